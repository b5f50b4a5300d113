"""How attempts to deliver ended: written down, and what follows from it.

What is given up is handed on to the channel's fallback. So is what was not taken for some minutes;
the channel itself goes on being tried. A channel whose receiver refused it for good is disabled,
and its team's owners are told so by e-mail; a test that arrives enables it again.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from alerts.messages import (
    DIGEST,
    DISABLED,
    FOR_PAGERS,
    REMINDER,
    TEST,
    channel_facts,
    facts_of_dead_channel,
    facts_of_incident,
)
from alerts.models import Attempt, Channel, ChannelProbe, Delivery, DeliveryStatus, Event
from alerts.outbox import NOTICE_STEP, Leased, Outcome, announce
from alerts.policies import TROUBLES
from alerts.rules import pager_types
from incidents.models import EventKind, Incident, IncidentEvent
from uptime.clock import database_now
from uptime.counters import count_deliveries

FIRST_BACK_OFF = timedelta(seconds=5)
LONGEST_BACK_OFF = timedelta(hours=1)
JITTER = 0.1
MAX_ATTEMPTS = 20  # with the back-off above: about eleven hours
# As many, or so long a wait that the receiver asked for, and the fallback is told meanwhile.
ATTEMPTS_ALONE = 6  # some three minutes
LONGEST_ALONE = timedelta(minutes=5)

Ended = tuple[Leased, Outcome]


def record_outcomes(ended: Sequence[Ended]) -> set[UUID]:
    """Write down how attempts ended, in one transaction; returns those that were still ours.

    An attempt that took longer than its lease, so that another sender has the delivery, counts for
    nothing: that one's outcome does. Many that were sent cost few statements; each that failed
    costs some of its own.
    """
    now = database_now()
    with transaction.atomic():
        # Before the deliveries, as whoever changes an incident does.
        _lock_incidents([leased.id for leased, outcome in ended if _is_handed_on(leased, outcome)])
        held = _lock_those_held(ended)
        ours = [(leased, outcome) for leased, outcome in ended if leased.id in held]
        sent = [leased for leased, outcome in ours if outcome.error is None]
        _record_sent(sent, now)
        counted = Counter((leased.channel_type, DeliveryStatus.SENT.value) for leased in sent)
        for leased, outcome in ours:
            if outcome.error is not None:
                status = _record_failure(leased, outcome, outcome.error, now)
                counted[leased.channel_type, status.value] += 1
        Attempt.objects.bulk_create(_attempt(leased, outcome, now) for leased, outcome in ours)
        count_deliveries(counted)
    return held


def _attempt(leased: Leased, outcome: Outcome, now: datetime) -> Attempt:
    return Attempt(
        delivery_id=leased.id,
        number=leased.attempt,
        began_at=outcome.began_at or now,
        duration_ms=round(outcome.took.total_seconds() * 1000, 3),
        exchanges=list(outcome.exchanges),
        error=outcome.error or "",
    )


def _is_given_up(leased: Leased, outcome: Outcome) -> bool:
    is_last = outcome.is_permanent or leased.attempt >= MAX_ATTEMPTS
    return outcome.error is not None and is_last


def _is_handed_on(leased: Leased, outcome: Outcome) -> bool:
    """Whether the channel's fallback is told, if it has one and that was not told before."""
    is_late = leased.attempt >= ATTEMPTS_ALONE or bounded(outcome.retry_after) > LONGEST_ALONE
    return outcome.error is not None and (is_late or _is_given_up(leased, outcome))


def _lock_incidents(handed_on: Sequence[UUID]) -> None:
    """Those that a fallback is now told of: either their end comes after that, or it is known."""
    if handed_on:
        told = Delivery.objects.filter(channel__fallback__isnull=False).filter(
            Q(pk__in=handed_on) | Q(digest__in=handed_on)
        )
        rows = Incident.objects.filter(pk__in=told.values("incident")).order_by("pk")
        list(rows.select_for_update(no_key=True).values_list("pk"))


def await_recording(deliveries: QuerySet[Delivery]) -> None:
    """Lock deliveries that are about to be deleted.

    An attempt that is being recorded meanwhile has come before, and goes with its delivery; one
    that comes later finds nothing. Otherwise it would be kept of a delivery that is gone, which
    the database refuses to whoever deletes.
    """
    list(deliveries.order_by("pk").select_for_update(of=("self",)).values_list("pk"))


def _lock_those_held(ended: Sequence[Ended]) -> set[UUID]:
    """The deliveries whose lease is still that of the attempt, locked."""
    attempts = {leased.id: (leased.owner, leased.attempt) for leased, _ in ended}
    rows = Delivery.objects.filter(pk__in=attempts, status=DeliveryStatus.SENDING)
    locked = rows.order_by("pk").select_for_update(of=("self",))
    return {
        pk
        for pk, owner, attempt in locked.values_list("pk", "lease_owner", "attempts")
        if attempts[pk] == (owner, attempt)
    }


def _record_sent(sent: Sequence[Leased], now: datetime) -> None:
    if not sent:
        return
    Delivery.objects.filter(pk__in=[leased.id for leased in sent]).update(
        status=DeliveryStatus.SENT,
        sent_at=now,
        next_attempt_at=None,
        lease_owner=None,
        last_error="",
    )
    _share([one for one in sent if one.event == DIGEST], status=DeliveryStatus.SENT, sent_at=now)
    told = {one.channel_id for one in sent if one.channel_id and not one.is_notice}
    # in one order, so that two dispatchers never wait for each other in a circle
    rows = Channel.objects.filter(pk__in=told).order_by("pk").select_for_update(no_key=True)
    dead = [pk for pk, dead_since in rows.values_list("pk", "dead_since") if dead_since]
    Channel.objects.filter(pk__in=told).update(last_sent_at=now, last_error="")
    # What was just sent refutes an earlier answer, or the next one confirms it.
    ChannelProbe.objects.filter(pk__in=told).exclude(error="").update(due_at=now)
    if dead:
        Channel.objects.filter(pk__in=dead).update(enabled=True, dead_since=None)


def _share(digests: Sequence[Leased], *, last_error: str = "", **fate: Any) -> None:
    """What became of digests became of all that was merged into them."""
    if digests:
        members = Delivery.objects.filter(digest__in=[digest.id for digest in digests])
        members.update(last_error=last_error, **fate)


def _record_failure(leased: Leased, outcome: Outcome, error: str, now: datetime) -> DeliveryStatus:
    is_dead = _is_given_up(leased, outcome)
    status = DeliveryStatus.DEAD if is_dead else DeliveryStatus.FAILED
    pause = back_off(leased.attempt, outcome.retry_after, chance=random.random())  # noqa: S311 - spreads load, guards nothing
    Delivery.objects.filter(pk=leased.id).update(
        status=status,
        next_attempt_at=None if is_dead else now + pause,
        lease_owner=None,
        last_error=error,
        settled={**leased.settled, **outcome.settled},
    )
    if leased.event == DIGEST:
        _share([leased], status=status, last_error=error)
    _note_on_channel(leased, outcome, error, now)
    if _is_handed_on(leased, outcome):
        _hand_on(leased, now, is_dead=is_dead)
    return status


def back_off(attempt: int, retry_after: timedelta | None, *, chance: float) -> timedelta:
    """How long to wait after the failed `attempt` (from 1).

    It doubles from `FIRST_BACK_OFF` to `LONGEST_BACK_OFF`, spread by `chance` (0 to 1) over
    `JITTER` to either side, and is never shorter than the receiver asked for, as far as that stays
    below the longest.
    """
    doubled = min(FIRST_BACK_OFF * (1 << min(attempt - 1, 16)), LONGEST_BACK_OFF)
    spread = doubled * (1 + JITTER * (2 * chance - 1))
    return max(spread, bounded(retry_after))


def bounded(retry_after: timedelta | None) -> timedelta:
    return min(max(retry_after or timedelta(), timedelta()), LONGEST_BACK_OFF)


def _note_on_channel(leased: Leased, outcome: Outcome, error: str, now: datetime) -> None:
    if leased.is_notice or leased.channel_id is None:
        return
    channel = Channel.objects.filter(pk=leased.channel_id)
    if leased.event == TEST:
        # Somebody is looking, and may be trying settings: nothing is disabled.
        channel.update(last_error=error)
    else:
        channel.filter(dead_since__isnull=True).update(last_error=error)
        if outcome.is_channel_dead:
            _disable(channel, error, now)
    if outcome.retry_after:
        # Asked to wait, everything else for this receiver waits too, and keeps its attempts.
        until = now + bounded(outcome.retry_after)
        Delivery.objects.filter(
            channel=leased.channel_id, lease_owner=None, next_attempt_at__lt=until
        ).update(next_attempt_at=until)


def _disable(channel: QuerySet[Channel], why: str, now: datetime) -> None:
    """Disable it and tell the owners, unless that was done or somebody disabled it before."""
    if not channel.filter(enabled=True).update(enabled=False, dead_since=now):
        return
    dead = channel.get()
    Delivery.objects.create(
        team_id=dead.team_id,
        channel=dead,
        event=DISABLED,
        step=NOTICE_STEP,
        facts=facts_of_dead_channel(dead, why, now).as_json(),
        next_attempt_at=now,
        created_at=now,
    )
    announce()


def _hand_on(leased: Leased, now: datetime, *, is_dead: bool) -> None:
    """Queue it for the channel that stands in for its own, if there is one, with what waits its
    turn behind it.

    Of a digest that is each of its members, which may well be merged there, too. Among channels
    that stand in for each other it goes round once: none is told of an event twice, however often
    this is asked for. Trouble that is over by now is told together with its end, in one message; a
    pager is not woken for it.
    """
    is_about_itself = leased.is_notice or leased.event in (TEST, *FOR_PAGERS)
    if is_about_itself or leased.channel_id is None:
        return
    channel = Channel.objects.get(pk=leased.channel_id)
    fallback_id = channel.fallback_id
    if fallback_id is None or not _is_kept(fallback_id):
        return
    own = Delivery.objects.filter(
        **{"digest": leased.id} if leased.event == DIGEST else {"pk": leased.id}
    )
    behind = Delivery.objects.filter(
        channel=channel,
        incident__in=own.exclude(incident=None).values("incident"),
        event__in=(*TROUBLES, REMINDER),
        attempts=0,
        next_attempt_at__isnull=False,
    )
    handed_on = (own | behind).select_related("incident__monitor").order_by("pk")
    rows = [row for row in handed_on if _may_go_on(row, is_dead=is_dead)]
    Delivery.objects.bulk_create(
        [
            *(_in_place_of(row, channel, now) for row in rows if not _is_late(row)),
            *_late_news([row for row in rows if _is_late(row)], channel, now),
        ],
        ignore_conflicts=True,
    )
    announce()


def _in_place_of(row: Delivery, channel: Channel, now: datetime, **other: Any) -> Delivery:
    """The same to the channel's fallback, but for the `other` values."""
    facts = {**other.pop("facts", row.facts), "failed_channel": _as_facts(channel)}
    same = {
        "team_id": row.team_id,
        "channel_id": channel.fallback_id,
        "incident_id": row.incident_id,
        "incident_event_id": row.incident_event_id,
        "event": row.event,
        "step": row.step,
        "repeat": row.repeat,
        "due_at": row.due_at,
        "owes_recovery": row.owes_recovery,
    }
    return Delivery(**{**same, **other}, facts=facts, next_attempt_at=now, created_at=now)


def _as_facts(channel: Channel) -> dict[str, Any]:
    return channel_facts(channel).model_dump(mode="json")


def _is_late(row: Delivery) -> bool:
    """Whether it tells of trouble that is over."""
    is_end = row.event == Event.RECOVERED
    return row.incident is not None and row.incident.is_resolved and not is_end


def _late_news(rows: Sequence[Delivery], channel: Channel, now: datetime) -> Iterator[Delivery]:
    """What tells the channel's fallback that there was trouble, and that it is over.

    It has the key of the end's own message, so that it is not told of that once more. There is none
    for what the fallback was told already, nor where a person ended the watching.
    """
    fallback = channel.fallback
    if not rows or fallback is None or fallback.type in pager_types():
        return
    told = set(
        Delivery.objects.filter(
            channel=fallback, incident_event__in=[row.incident_event_id for row in rows]
        ).values_list("incident_event_id", flat=True)
    )
    incidents = {row.incident_id for row in rows}
    ends = IncidentEvent.objects.filter(incident__in=incidents, kind=EventKind.RESOLVED)
    end_of = {end.incident_id: end for end in ends.order_by("at", "pk")}
    sent = Delivery.objects.filter(incident_event__in=end_of.values())
    due_at = dict(sent.values_list("incident_event_id", "due_at"))
    for row in rows:
        incident = row.incident
        end = end_of.get(incident.pk) if incident else None
        is_news = row.incident_event_id not in told
        if incident and end and is_news and incident.monitor.enabled:
            yield _in_place_of(
                row,
                channel,
                now,
                incident_event_id=end.pk,
                event=Event.RECOVERED,
                repeat=0,
                due_at=due_at.get(end.pk, end.at),
                owes_recovery=False,
                facts=facts_of_incident(incident, now).as_json(),
            )


def _may_go_on(row: Delivery, *, is_dead: bool) -> bool:
    """What tells of no incident's event has nothing that would end its round: once is enough, when
    it is given up.
    """
    if not isinstance(row.facts, dict):
        return False
    return row.incident_event_id is not None or (is_dead and not row.facts.get("failed_channel"))


def _is_kept(channel_id: UUID) -> bool:
    """Whether there is this channel, and will be until the present transaction commits.

    Foreign keys are checked at the commit: a channel that is deleted meanwhile would undo all of
    it. This lock keeps out its deletion and nothing else.
    """
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(Channel._meta.db_table)
        cursor.execute(f"SELECT 1 FROM {table} WHERE id = %s FOR KEY SHARE", [channel_id])  # noqa: S608 - the table's own name
        return cursor.fetchone() is not None
