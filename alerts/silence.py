"""What must not be told now: of monitors that are under maintenance, or snoozed; or not at all: of
those that are paused.

Asked before a delivery leaves, whenever it was queued: a message that was tried in vain before a
window began is not tried inside. What is kept back costs no attempt; it is looked at again when the
silence is to end, and every `LOOK_AGAIN`, so that an end that comes early is noticed. By then it
leaves if it is still true. Else it is dropped: the incident is over, or what goes on was told anew.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Case, F, Q, QuerySet, Value, When

from alerts.messages import DIGEST, FOR_PAGERS, REMINDER
from alerts.models import Delivery, DeliveryStatus, Event
from alerts.policies import TROUBLES
from incidents.maintenance.reads import covers_of
from incidents.models import Incident, IncidentEvent
from monitors.models import Monitor, Status

LOOK_AGAIN = timedelta(seconds=30)
SOON = timedelta(seconds=1)
AT_ONCE = 1000

_OF_TROUBLE = (*TROUBLES, REMINDER)


def hold_back(rows: Sequence[Delivery], now: datetime) -> list[Delivery]:
    """Those of these locked deliveries, which come with incident and monitor, that may leave.

    A digest waits while nobody is to be told of any of those that it was made of.
    """
    told_in = _told_in(rows)
    if not told_in:
        return list(rows)
    about = {pk: [one.incident for one in ones if one.incident] for pk, ones in told_in.items()}
    monitors = {one.monitor_id: one.monitor for ones in about.values() for one in ones}
    silences = _silences(monitors.values(), now)
    silent = {
        pk
        for pk, incidents in about.items()
        if all(_is_silent(one, one.monitor, silences) for one in incidents)
    }
    if silent:
        _keep([row for row in rows if row.pk in silent], about, silences, now)
    held = [row for row in rows if row.silenced_at and row.pk in about and row.pk not in silent]
    untrue = _stale([one for row in held for one in told_in[row.pk]])
    untrue |= _abandoned(one for ones in told_in.values() for one in ones)
    stale = [
        row
        for row in rows
        if row.pk in about
        and row.pk not in silent
        and all(one.pk in untrue for one in told_in[row.pk])
    ]
    if stale:
        _drop(stale, told_in)
    kept = silent | {row.pk for row in stale}
    return [row for row in rows if row.pk not in kept]


def _told_in(rows: Sequence[Delivery]) -> dict[UUID, list[Delivery]]:
    """What each of these tells that may have to wait: itself, or what it is a digest of."""
    found = {row.pk: [row] for row in rows if row.incident and row.event not in FOR_PAGERS}
    digests = [row.pk for row in rows if row.event == DIGEST]
    if digests:
        # No join: of what changes this fast, the planner knows too little to plan one of thousands.
        members = Delivery.objects.filter(digest__in=digests).defer("facts", "settled")
        for member in members.prefetch_related("incident__monitor"):
            if member.digest_id:
                found.setdefault(member.digest_id, []).append(member)
    # What is about no incident, an expiry for instance, needs not wait.
    return {pk: ones for pk, ones in found.items() if all(one.incident for one in ones)}


def _silences(monitors: Collection[Monitor], now: datetime) -> dict[UUID, datetime]:
    """Of which of these nobody is told now, and when to look at that again."""
    covers = covers_of(monitors)
    found = {}
    for one in monitors:
        if one.snoozed_until is not None:
            until = one.snoozed_until
        elif cover := covers.get(one.pk):
            until = cover.until
        elif one.status in (Status.MAINTENANCE, Status.PENDING):
            until = now  # it is being settled
        else:
            continue
        found[one.pk] = min(max(until, now + SOON), now + LOOK_AGAIN)
    return found


def _is_silent(incident: Incident, monitor: Monitor, silences: Mapping[UUID, datetime]) -> bool:
    """A pending monitor says nothing of trouble that goes on; that trouble is over may be told."""
    is_known = monitor.status != Status.PENDING or monitor.snoozed_until is not None
    return monitor.pk in silences and (is_known or not incident.is_resolved)


def _keep(
    rows: Iterable[Delivery],
    about: Mapping[UUID, Sequence[Incident]],
    silences: Mapping[UUID, datetime],
    now: datetime,
) -> None:
    """Have them wait, and with them what else is due of the same incidents, to any channel."""
    of_monitor: dict[UUID, set[UUID]] = {}
    for row in rows:
        if row.incident:
            of_monitor.setdefault(row.incident.monitor_id, set()).add(row.incident.pk)
        else:
            until = min(silences[one.monitor_id] for one in about[row.pk])
            _postpone([row.pk], until, now)
    for monitor, incidents in of_monitor.items():
        due = Delivery.objects.due(now).filter(incident__in=incidents)
        locked = due.exclude(event__in=FOR_PAGERS).select_for_update(skip_locked=True, of=("self",))
        _postpone(locked.values_list("pk", flat=True)[:AT_ONCE], silences[monitor], now)


def _postpone(deliveries: Iterable[UUID], until: datetime, now: datetime) -> None:
    Delivery.objects.filter(pk__in=list(deliveries)).update(
        next_attempt_at=until,
        silenced_at=Case(When(silenced_at=None, then=Value(now)), default=F("silenced_at")),
        status=Case(
            When(status=DeliveryStatus.SENDING, then=Value(DeliveryStatus.QUEUED)),
            default=F("status"),
        ),
        lease_owner=None,
    )


def _stale(rows: Sequence[Delivery]) -> set[UUID]:
    """Those that tell of trouble that is over, or of which more was told since."""
    about_trouble = [row for row in rows if row.event in _OF_TROUBLE]
    latest = dict(
        IncidentEvent.objects.filter(incident__in={row.incident_id for row in about_trouble})
        .exclude(severity="")
        .order_by("incident", "-pk")
        .distinct("incident")
        .values_list("incident_id", "pk")
        if about_trouble
        else ()
    )
    return {
        row.pk
        for row in about_trouble
        if row.incident
        and (row.incident.is_resolved or latest.get(row.incident.pk) != row.incident_event_id)
    }


def _abandoned(rows: Iterable[Delivery]) -> set[UUID]:
    """Those that tell of trouble whose end nobody will hear of: its monitor was paused."""
    return {
        row.pk
        for row in rows
        if row.event in _OF_TROUBLE
        and row.incident
        and row.incident.is_resolved
        and not row.incident.monitor.enabled
    }


def _drop(rows: Sequence[Delivery], told_in: Mapping[UUID, Sequence[Delivery]]) -> None:
    """With what the same channel was to hear of the end, if it never heard of the beginning."""
    waiting = Delivery.objects.filter(next_attempt_at__isnull=False)
    _mark(waiting.filter(pk__in=[row.pk for row in rows]))
    _mark(Delivery.objects.filter(digest__in=[row.pk for row in rows]))
    for row in (part for one in rows for part in told_in[one.pk]):
        if row.incident is None or not row.incident.is_resolved:
            continue
        same = Delivery.objects.filter(incident=row.incident, channel=row.channel_id)
        if not same.filter(Q(attempts__gt=0) | Q(digest__attempts__gt=0)).exists():
            _mark(waiting.filter(pk__in=same.filter(event=Event.RECOVERED).values("pk")))


def _mark(which: QuerySet[Delivery]) -> None:
    which.update(
        status=DeliveryStatus.DROPPED,
        next_attempt_at=None,
        lease_owner=None,
        last_error="Nobody was to be told when it was due, and it was no longer true after that.",
    )
