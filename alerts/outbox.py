"""The outbox: deliveries are queued with what they tell of, leased, sent, and finished.

A delivery leaves at least once. Its row commits together with the incident's event; a sender leases
it for `LEASE`, sends it outside of any transaction, and records the outcome only if the lease is
still its own. When a sender dies in between, the lease lapses and the delivery is sent again under
the same id.

How an attempt ended is written down by `alerts.recording`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q, prefetch_related_objects

from accounts.models import Membership, Role
from alerts.escalation import plan_escalation
from alerts.messages import DIGEST, FOR_PAGERS, TEST, facts_of_test, facts_of_transition
from alerts.models import (
    Channel,
    Delivery,
    DeliveryQuerySet,
    DeliveryStatus,
    Escalation,
    Event,
)
from alerts.policies import Decision, Occasion, decide_tellings, names_of
from alerts.rules import channels_owed, pagers_told, rules_of_teams, subject_of
from alerts.silence import hold_back
from alerts.storms import Candidate, choose
from incidents.transitions import Transition
from uptime.clock import database_now

NOTIFY_CHANNEL = "deliveries"
LEASE = timedelta(seconds=20)
TEST_STEP = -1
NOTICE_STEP = -2
REPORT_STEP = -3
OWNERS_TOLD = 20  # as many as one e-mail channel takes
# Candidates that one look reads: enough to find several channels behind one with a long queue.
LOOK = 64


def queue_deliveries(transitions: Sequence[Transition]) -> int:
    """Queue what the policies tell of these transitions at once, and plan what they tell later.

    Runs in the caller's transaction, which holds the incidents' locks; a sender hears of it when
    that commits. Returns how many deliveries were queued. The number of queries doesn't depend on
    how many transitions there are.
    """
    if not transitions:
        return 0
    now = database_now()
    deliveries: list[Delivery] = []
    escalations: list[Escalation] = []
    for transition, decision in _decisions(transitions, now):
        deliveries += _deliveries(transition, decision, now)
        escalations += [plan_escalation(transition, later, now) for later in decision.later]
    Delivery.objects.bulk_create(deliveries)
    Escalation.objects.bulk_create(escalations)
    if deliveries:
        announce()
    return len(deliveries)


def _decisions(
    transitions: Sequence[Transition], now: datetime
) -> Iterator[tuple[Transition, Decision]]:
    incidents = [transition.incident for transition in transitions]
    prefetch_related_objects(incidents, "monitor")
    rules = rules_of_teams(
        {incident.team_id for incident in incidents}, {one.monitor_id for one in incidents}, now
    )
    owed = channels_owed([t.incident.pk for t in transitions if t.kind == Event.RECOVERED])
    pagers = pagers_told([t.incident.pk for t in transitions if t.kind in FOR_PAGERS])
    for transition in transitions:
        incident = transition.incident
        severity = transition.event.severity or incident.severity
        occasion = Occasion(
            event=transition.kind,
            events=names_of(transition.kind, incident.reason, severity),
            severity=severity,
            subject=subject_of(incident),
        )
        listeners = pagers if transition.kind in FOR_PAGERS else owed
        waiting = listeners.setdefault(incident.pk, [])
        decision = decide_tellings(
            rules.get(incident.team_id, ()),
            occasion,
            owed=waiting,
            now=now,
            is_acknowledged=transition.is_known,
        )
        # one batch may hold an incident's beginning and its end
        waiting += [channel for channel, told in decision.now.items() if told.owes_recovery]
        yield transition, decision


def queue_test(channel: Channel) -> Delivery:
    """Queue a message that says it is a test; it goes the way of every other delivery."""
    now = database_now()
    delivery = Delivery.objects.create(
        team_id=channel.team_id,
        channel=channel,
        event=TEST,
        step=TEST_STEP,
        facts=facts_of_test(channel, now).as_json(),
        next_attempt_at=now,
        created_at=now,
    )
    announce()
    return delivery


def announce() -> None:
    """Wake the senders once the present transaction commits (at once when there is none)."""
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {NOTIFY_CHANNEL}")


def _deliveries(transition: Transition, decision: Decision, now: datetime) -> list[Delivery]:
    facts = facts_of_transition(transition).as_json() if decision.now else {}
    return [
        Delivery(
            team_id=transition.incident.team_id,
            channel_id=channel,
            incident=transition.incident,
            incident_event=transition.event,
            event=transition.kind,
            step=told.step,
            due_at=now,
            owes_recovery=told.owes_recovery,
            facts=facts,
            next_attempt_at=now,
            created_at=now,
        )
        for channel, told in decision.now.items()
    ]


@dataclass(frozen=True, slots=True)
class Leased:
    """A delivery in this sender's hands: all that sending needs, no row behind it.

    `attempt` counts from 1. `reaches_private` says whether the channel's team may have messages
    sent into the networks that are closed to others. A notice goes to the team's owners.
    """

    id: UUID
    owner: UUID
    attempt: int
    event: str
    facts: dict[str, Any]
    channel_id: UUID | None
    channel_type: str
    channel_enabled: bool
    config: dict[str, Any]
    secrets: str
    reaches_private: bool
    settled: Mapping[str, str]
    is_notice: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended. `error` is None when the message was taken.

    `is_permanent` ends this delivery, `is_channel_dead` its channel. `retry_after` is how long the
    receiver asked to be left alone; `settled` are the receivers that the next attempt leaves out.
    `exchanges`, `began_at` (by this machine's clock) and `took` are for the log.
    """

    error: str | None = None
    is_permanent: bool = False
    is_channel_dead: bool = False
    retry_after: timedelta | None = None
    settled: Mapping[str, str] = field(default_factory=dict)
    exchanges: Sequence[Mapping[str, Any]] = ()
    began_at: datetime | None = None
    took: timedelta = timedelta()


SENT = Outcome()


def lease_deliveries(
    *,
    owner: UUID,
    now: datetime,
    limit: int,
    per_channel: Callable[[UUID | None], int],
    in_flight: Iterable[Leased] = (),
) -> list[Leased]:
    """Take up to `limit` due deliveries, of one channel at most what `per_channel` says of it.

    A channel's rate may allow fewer, and what comes in a storm is merged (`alerts.storms`). What is
    `in_flight` in the caller's hands counts towards its channel and is not taken again, even if its
    lease has lapsed.
    """
    held = list(in_flight)
    room = _Room(per_channel, held)
    waiting = Delivery.objects.due(now).exclude(pk__in=[leased.id for leased in held])
    return _as_leased(_lease(waiting.exclude(room.is_full()), room, owner, now, limit), owner)


def _lease(
    waiting: DeliveryQuerySet, room: "_Room", owner: UUID, now: datetime, limit: int
) -> list[Delivery]:
    """Look on, beyond the channels that hold back what they have, until some may be sent."""
    decided: set[UUID] = set()
    while limit > 0:
        looked_at = _look(waiting, decided, now)
        with transaction.atomic():
            chosen = room.admitted(looked_at.unpaced)[:limit]
            chosen += choose(looked_at.paced, room.left, limit - len(chosen), now)
            rows = _take(chosen, owner, now) if chosen else []
        decided |= looked_at.channels
        if rows or not looked_at.paced:
            return rows
    return []


@dataclass(frozen=True, slots=True)
class _Look:
    """Some that are due: tests and notices, which leave at once, and what has a pace to keep."""

    unpaced: list[tuple[UUID, UUID | None]]
    paced: list[Candidate]

    @property
    def channels(self) -> set[UUID]:
        return {candidate.channel_id for candidate in self.paced}


def _look(waiting: DeliveryQuerySet, decided: Collection[UUID], now: datetime) -> _Look:
    """Pass over the channels that hold back what they have, and those `decided` on just now."""
    rows = (
        waiting.in_turn()
        .exclude(step__gte=0, channel__in=decided)
        # what was decided ahead of now hinders nothing: since then the clock was put back
        .exclude(step__gte=0, channel__pace__not_before__gt=now, channel__pace__counted_at__lte=now)
        .order_by("next_attempt_at", "pk")
        .values_list("pk", "channel_id", "step", "attempts", "event", "next_attempt_at")[:LOOK]
    )
    found = _Look([], [])
    for pk, channel_id, step, attempts, event, due_at in rows:
        if step >= 0 and channel_id:
            is_fresh = not attempts and event != DIGEST
            found.paced.append(Candidate(pk, channel_id, is_fresh, due_at or now))
        else:
            found.unpaced.append((pk, channel_id))
    return found


class _Room:
    """How many more deliveries each channel may have in flight."""

    def __init__(self, per_channel: Callable[[UUID | None], int], held: Collection[Leased]) -> None:
        self._per_channel = per_channel
        self._used: dict[UUID | None, int] = {}
        for leased in held:
            self.takes(leased.channel_id)

    def takes(self, channel_id: UUID | None) -> bool:
        left = self.left(channel_id)
        self._used[channel_id] = self._used.get(channel_id, 0) + 1
        return left > 0

    def admitted(self, deliveries: Iterable[tuple[UUID, UUID | None]]) -> list[UUID]:
        return [pk for pk, channel_id in deliveries if self.takes(channel_id)]

    def left(self, channel_id: UUID | None) -> int:
        return max(0, self._per_channel(channel_id) - self._used.get(channel_id, 0))

    def is_full(self) -> Q:
        """Deliveries of channels that have no room; notices without one are as one channel."""
        full = [channel for channel in self._used if not self.left(channel)]
        condition = Q(channel__in=[channel for channel in full if channel])
        return condition | Q(channel=None) if None in full else condition


def _take(chosen: Sequence[UUID], owner: UUID, now: datetime) -> list[Delivery]:
    # Due once more: since they were read, another sender may have had them.
    due = list(
        Delivery.objects.due(now)
        .filter(pk__in=chosen)
        .select_related("channel__member__user", "incident__monitor")
        .select_for_update(skip_locked=True, of=("self",))
    )
    rows = hold_back(due, now)
    Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(
        status=DeliveryStatus.SENDING,
        lease_owner=owner,
        next_attempt_at=now + LEASE,
        attempts=F("attempts") + 1,
    )
    return rows


def _as_leased(rows: Sequence[Delivery], owner: UUID) -> list[Leased]:
    trusted = teams_of_staff({row.team_id for row in rows})
    return [
        _leased_notice(row, owner)
        if row.step == NOTICE_STEP
        else _leased(row, owner, reaches_private=row.team_id in trusted)
        for row in rows
    ]


def teams_of_staff(teams: Collection[UUID]) -> set[UUID]:
    """Those that somebody owns who may administer this installation anyway."""
    owners = Membership.objects.filter(role=Role.OWNER, user__is_staff=True, user__is_active=True)
    return set(owners.filter(team__in=teams).values_list("team_id", flat=True))


def _leased(row: Delivery, owner: UUID, *, reaches_private: bool) -> Leased:
    channel = row.channel or Channel()  # of a notice that is about none
    return Leased(
        id=row.pk,
        owner=owner,
        attempt=row.attempts + 1,
        event=row.event,
        facts=row.facts,
        channel_id=row.channel_id,
        channel_type=channel.type,
        channel_enabled=channel.enabled,
        config=live_config(channel),
        secrets=channel.secrets,
        reaches_private=reaches_private,
        settled=row.settled,
    )


def live_config(channel: Channel) -> dict[str, Any]:
    """A member's own e-mail goes to their address as it is now."""
    config: dict[str, Any] = channel.config
    return {**config, "to": [channel.member.user.email]} if channel.member else config


def _leased_notice(row: Delivery, owner: UUID) -> Leased:
    """A notice goes to the owners by e-mail: its own channel, if any, is what it is about."""
    owners = Membership.objects.filter(team=row.team_id, role=Role.OWNER, user__is_active=True)
    emails = list(owners.order_by("pk").values_list("user__email", flat=True)[:OWNERS_TOLD])
    return replace(
        _leased(row, owner, reaches_private=False),
        channel_type="email",
        channel_enabled=True,
        config={"to": emails},
        secrets="",
        is_notice=True,
    )


def renew_leases(leases: Collection[Leased], now: datetime) -> None:
    """Keep what is still being sent for another `LEASE`."""
    Delivery.objects.filter(
        pk__in=[leased.id for leased in leases],
        status=DeliveryStatus.SENDING,
        lease_owner__in={leased.owner for leased in leases},
    ).update(next_attempt_at=now + LEASE)


def release_deliveries(*, living: Collection[UUID]) -> int:
    """Make due what is leased by nobody among the `living`; returns how many there were."""
    orphans = Delivery.objects.filter(
        status=DeliveryStatus.SENDING, next_attempt_at__isnull=False
    ).exclude(lease_owner__in=living)
    with transaction.atomic():
        count = orphans.update(next_attempt_at=database_now())
        if count:
            announce()
    return count
