"""What is due is planned by channel: how much of it leaves now, and what is merged into digests.

State is in the database and locked while it is decided on, so that several dispatchers together
keep to a channel's rate, and merge each delivery once.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Max

from alerts.channels import CHANNELS
from alerts.digests import Member, digest_of
from alerts.messages import DIGEST, facts_of_digest
from alerts.models import Channel, ChannelPace, Delivery, DeliveryQuerySet
from alerts.pacing import GATHERING, Limits, Pace, Plan, Rate, Waiting, decide_pace
from alerts.silence import hold_back

MOST_IN_DIGEST = 1000
MOST_AT_ONCE = 20 * MOST_IN_DIGEST


@dataclass(frozen=True, slots=True)
class Candidate:
    """A delivery that is due; `is_fresh` if it was never tried and so can be merged."""

    id: UUID
    channel_id: UUID
    is_fresh: bool
    due_at: datetime


def choose(
    candidates: Sequence[Candidate], room: Callable[[UUID], int], limit: int, now: datetime
) -> list[UUID]:
    """Which deliveries are to be sent now, in the caller's transaction: `limit` in all, and of each
    channel as many as it has room for.

    Those of a digest that is made here give way to it. What another dispatcher decides on at this
    moment is left to it.
    """
    by_channel: dict[UUID, list[Candidate]] = {}
    for candidate in candidates:
        by_channel.setdefault(candidate.channel_id, []).append(candidate)
    chosen: list[UUID] = []
    for row in _lock_paces(by_channel, now):
        own = by_channel[row.channel_id]
        fresh = [one for one in own if one.is_fresh]
        others = [one for one in own if not one.is_fresh]
        limits = limits_of(row.channel)
        waiting = _waiting(row.channel, limits, fresh, len(others), now)
        free = min(room(row.channel_id), limit - len(chosen))
        plan = decide_pace(_pace(row), limits, waiting, room=free, now=now)
        chosen += [one.id for one in [*others[: plan.others], *fresh[: plan.fresh]]]
        if plan.is_digest:
            chosen += _merge(row.channel, now)
        _save(row, plan)
    return chosen


def _waiting(
    channel: Channel, limits: Limits, fresh_ones: Sequence[Candidate], others: int, now: datetime
) -> Waiting:
    """What waits for the channel. The candidates are the first; more may have come after them."""
    if not fresh_ones:
        return Waiting(0, others, None, None)
    first_at, last_at = fresh_ones[0].due_at, fresh_ones[-1].due_at
    if limits.digest_above is not None and last_at + GATHERING <= now:
        due = fresh(Delivery.objects.due(now).filter(channel=channel))
        last_at = due.aggregate(last=Max("next_attempt_at"))["last"] or last_at
    return Waiting(len(fresh_ones), others, first_at, last_at)


def limits_of(channel: Channel) -> Limits:
    """The channel's own, else what its type's vendor allows."""
    type_ = CHANNELS.get(channel.type)
    if type_ is None:
        return Limits()
    rate = type_.rate
    if channel.rate_per_minute:
        burst = min(rate.burst if rate else channel.rate_per_minute, channel.rate_per_minute)
        rate = Rate(channel.rate_per_minute, burst)
    return Limits(rate, None if type_.is_pager else channel.digest_above)


def _lock_paces(channels: Collection[UUID], now: datetime) -> list[ChannelPace]:
    rows = (
        ChannelPace.objects.filter(pk__in=channels)
        .order_by("pk")
        .select_related("channel")
        .select_for_update(skip_locked=True, of=("self",))
    )
    found = list(rows)
    known = ChannelPace.objects.filter(pk__in=channels).values_list("pk", flat=True)
    if len(found) < len(channels) and (missing := set(channels) - set(known)):
        ChannelPace.objects.bulk_create(
            (ChannelPace(channel_id=one, counted_at=now, window_since=now) for one in missing),
            ignore_conflicts=True,
        )
        found = list(rows.all())
    return found


def _pace(row: ChannelPace) -> Pace:
    tokens = float("inf") if row.tokens is None else row.tokens
    return Pace(tokens, row.counted_at, row.window_since, row.singles, row.digested_at)


def _save(row: ChannelPace, plan: Plan) -> None:
    pace = plan.pace
    row.tokens = None if pace.tokens == float("inf") else pace.tokens
    row.counted_at, row.window_since = pace.counted_at, pace.window_since
    row.singles, row.digested_at = pace.singles, pace.digested_at
    row.not_before = plan.not_before
    row.save()


def fresh(deliveries: DeliveryQuerySet) -> DeliveryQuerySet:
    """Those that can be merged: a message that was tried keeps its own key."""
    return deliveries.filter(attempts=0, step__gte=0).exclude(event=DIGEST)


def _merge(channel: Channel, now: datetime) -> list[UUID]:
    """Make digests of all that waits for the channel; their ids.

    Whoever holds the channel's pace is the only one who merges for it.
    """
    rows = list(
        fresh(Delivery.objects.due(now).filter(channel=channel).in_turn())
        .prefetch_related("incident__monitor")
        .order_by("next_attempt_at", "pk")
        .select_for_update(skip_locked=True, of=("self",))[:MOST_AT_ONCE]
    )
    rows = hold_back(rows, now)
    parts = [rows[at : at + MOST_IN_DIGEST] for at in range(0, len(rows), MOST_IN_DIGEST)]
    return [_digest(channel, part, now).pk for part in parts]


def _digest(channel: Channel, rows: Sequence[Delivery], now: datetime) -> Delivery:
    members = [Member(row.pk, row.facts, _tags(row)) for row in rows]
    digest = Delivery.objects.create(
        team_id=channel.team_id,
        channel=channel,
        event=DIGEST,
        facts=facts_of_digest(digest_of(members), now).as_json(),
        next_attempt_at=now,
        created_at=now,
    )
    Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(
        digest=digest, next_attempt_at=None
    )
    return digest


def _tags(row: Delivery) -> Sequence[str]:
    return row.incident.monitor.tags if row.incident else ()
