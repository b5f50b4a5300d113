"""What people do to incidents, and to monitors where incidents follow from it.

Each takes effect in one transaction. Wrong states raise `uptime.errors.Conflict`. `by` is None for
somebody who is known only by the link in a message that they hold.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Coalesce

from accounts.audit import record, record_each
from accounts.models import Membership, User
from incidents.models import EventKind, Incident, IncidentEvent, IncidentStatus
from incidents.transitions import (
    Transition,
    add_event,
    close_incident,
    close_incidents,
    write_status,
    write_statuses,
)
from monitors.models import Monitor, Status
from monitors.scheduling import lock_assignments, start_checks, stop_checks
from uptime.changes import Topic, tell_changed
from uptime.clock import database_now
from uptime.errors import Conflict, Invalid

BY_LINK = "Through the link in a message."
SHORTEST_SNOOZE = timedelta(minutes=1)
LONGEST_SNOOZE = timedelta(days=30)


def resume_monitor(*, monitor: Monitor) -> Monitor:
    """Check again, starting now; the monitor is pending until its first check says more.

    Resuming one that runs changes nothing.
    """
    resume_monitors(monitor_ids=[monitor.pk])
    return Monitor.objects.get(pk=monitor.pk)


@transaction.atomic
def stop_monitors(
    *, monitor_ids: Collection[UUID], by: User | None = None, is_recorded: bool = True
) -> tuple[int, list[Transition]]:
    """Pause several, as one; returns how many were not paused yet, and what was closed.

    What is under way is thrown away. Open incidents are closed: a person ended the watching, and
    nobody knows whether the targets recovered. Callers go through `uptime.operations`, which also
    closes them at the pagers. `is_recorded` is false where the audit trail tells of a deletion.
    """
    monitors = _lock_monitors(monitor_ids, enabled=True)
    stop_checks([one.pk for one in monitors])
    _write_enabled(monitors, is_enabled=False, status=Status.PAUSED)
    rows = Incident.objects.filter(monitor__in=monitors).unresolved()
    incidents = list(rows.locked())
    are_secret = [one.is_secret for one in incidents]
    events = close_incidents(incidents, at=database_now(), message="The monitor was paused.", by=by)
    if is_recorded:
        record_each("monitor.paused", monitors)
    return len(monitors), [
        Transition(incident, event, "closed", is_secret)
        for incident, event, is_secret in zip(incidents, events, are_secret, strict=True)
    ]


@transaction.atomic
def resume_monitors(*, monitor_ids: Collection[UUID]) -> int:
    """Resume several, as one; returns how many were paused."""
    monitors = _lock_monitors(monitor_ids, enabled=False)
    start_checks(monitors)
    _write_enabled(monitors, is_enabled=True, status=Status.PENDING)
    record_each("monitor.resumed", monitors)
    return len(monitors)


def _lock_monitors(monitor_ids: Collection[UUID], *, enabled: bool) -> list[Monitor]:
    """Lock these monitors and their assignments; returns those that are (not) enabled."""
    lock_assignments(monitor_ids)
    locked = Monitor.objects.filter(pk__in=monitor_ids).locked()
    return [one for one in locked if one.enabled == enabled]


def _write_enabled(monitors: Sequence[Monitor], *, is_enabled: bool, status: Status) -> None:
    now = database_now()
    Monitor.objects.filter(pk__in=[one.pk for one in monitors]).update(
        enabled=is_enabled, updated_at=now
    )
    write_statuses(monitors, status=status, at=now)


def snooze_monitor(*, monitor: Monitor, length: timedelta, by: User | None) -> Monitor:
    """Tell nobody of it for a while; see `snooze_monitors`."""
    snooze_monitors(monitor_ids=[monitor.pk], length=length, by=by)
    return Monitor.objects.get(pk=monitor.pk)


@transaction.atomic
def snooze_monitors(*, monitor_ids: Collection[UUID], length: timedelta, by: User | None) -> int:
    """Tell nobody of these from now on, for so long; what is still wrong then is told then.

    They are checked as ever, and their time counts. Those that are snoozed are so for so long from
    now. Returns how many there are.
    """
    if not SHORTEST_SNOOZE <= length <= LONGEST_SNOOZE:
        raise Invalid({"seconds": ["Should be from a minute to 30 days."]})
    chosen = Monitor.objects.filter(pk__in=monitor_ids)
    locked = list(chosen.locked())
    now = database_now()
    chosen.update(snoozed_at=Coalesce("snoozed_at", Value(now)), snoozed_until=now + length)
    message = f"Nobody is told until {now + length:%Y-%m-%d %H:%M} UTC."
    _note_snooze(locked, EventKind.SNOOZED, message, by, now)
    record_each("monitor.snoozed", locked)
    return len(locked)


def unsnooze_monitor(*, monitor: Monitor, by: User | None) -> Monitor:
    """End its snooze now; no error where there is none. See `unsnooze_monitors`."""
    unsnooze_monitors(monitor_ids=[monitor.pk], by=by)
    return Monitor.objects.get(pk=monitor.pk)


@transaction.atomic
def unsnooze_monitors(*, monitor_ids: Collection[UUID], by: User | None) -> int:
    """End their snoozes now: what is wrong is told within a second. Returns how many there were."""
    now = database_now()
    snoozed = Monitor.objects.filter(pk__in=monitor_ids, snoozed_until__gt=now)
    locked = list(snoozed.locked())
    snoozed.update(snoozed_until=now)
    _note_snooze(locked, EventKind.UNSNOOZED, "Ended early.", by, now)
    record_each("monitor.unsnoozed", locked)
    return len(locked)


def _note_snooze(
    monitors: Sequence[Monitor], kind: EventKind, message: str, by: User | None, at: datetime
) -> None:
    tell_changed(Topic.MONITORS, [one.pk for one in monitors])
    rows = Incident.objects.filter(monitor__in=monitors).unresolved()
    incidents = list(rows.locked())
    IncidentEvent.objects.bulk_create(
        IncidentEvent(incident=one, kind=kind, at=at, message=message, author=by)
        for one in incidents
    )
    tell_changed(Topic.INCIDENTS, [one.pk for one in incidents])


@transaction.atomic
def mark_acknowledged(*, incident: Incident, by: User | None) -> Transition | None:
    """Write down that somebody is on it; None where that is so already.

    Callers go through `uptime.operations.acknowledge_incident`, which also tells the pagers.
    """
    locked = _lock(incident)
    if locked.status == IncidentStatus.RESOLVED:
        raise Conflict("The incident is already resolved.")
    if locked.status == IncidentStatus.ACKNOWLEDGED:
        return None
    locked.status = IncidentStatus.ACKNOWLEDGED
    locked.acknowledged_at = database_now()
    locked.acknowledged_by = by
    locked.save(update_fields=["status", "acknowledged_at", "acknowledged_by"])
    event = add_event(
        locked,
        kind=EventKind.ACKNOWLEDGED,
        at=locked.acknowledged_at,
        author=by,
        message="" if by else BY_LINK,
    )
    record("incident.acknowledged", locked, team=locked.team_id, name=locked.monitor.name)
    return Transition(locked, event, EventKind.ACKNOWLEDGED.value, locked.is_secret)


@transaction.atomic
def assign_incident(*, incident: Incident, to: User | None, by: User | None) -> Incident:
    """Make it somebody's to deal with, or nobody's. Raises Invalid for who is not in the team."""
    if to is not None and not Membership.objects.filter(team=incident.team_id, user=to).exists():
        raise Invalid({"to": ["Choose a member of the team."]})
    locked = _lock(incident)
    if locked.status == IncidentStatus.RESOLVED:
        raise Conflict("The incident is already resolved.")
    if locked.assigned_to_id == (to.pk if to else None):
        return locked
    locked.assigned_to = to
    locked.save(update_fields=["assigned_to"])
    add_event(
        locked,
        kind=EventKind.ASSIGNED,
        at=database_now(),
        author=by,
        assignee=to,
        message="" if by else BY_LINK,
    )
    record("incident.assigned", locked, team=locked.team_id, name=locked.monitor.name)
    return locked


@transaction.atomic
def close_by_hand(*, incident: Incident, by: User | None) -> Transition:
    """Resolve an incident on a person's word, and let the checks prove it.

    The monitor is pending again and checked at once: if it still fails, a new incident opens.
    Callers go through `uptime.operations.resolve_incident`, which also tells people.
    """
    start_checks([incident.monitor])
    monitor = Monitor.objects.locked().get(pk=incident.monitor_id)
    locked = _lock(incident)
    if locked.status == IncidentStatus.RESOLVED:
        raise Conflict("The incident is already resolved.")
    now, is_secret = database_now(), locked.is_secret
    event = close_incident(locked, at=now, message=f"Resolved by {by}." if by else BY_LINK, by=by)
    record("incident.resolved", locked, team=locked.team_id, name=monitor.name)
    if monitor.enabled:
        write_status(monitor, status=Status.PENDING, at=now)
    return Transition(locked, event, "recovered", is_secret)


@transaction.atomic
def add_update(
    *, incident: Incident, by: User | None, message: str, public: bool = False
) -> IncidentEvent:
    """Write a comment into the timeline. Raises Invalid when there is nothing in it."""
    message = message.strip()
    if not message:
        raise Invalid({"message": ["Write something."]})
    if len(message) > 10_000:
        raise Invalid({"message": ["At most 10,000 characters."]})
    record("incident.commented", incident, team=incident.team_id, name=incident.monitor.name)
    return add_event(
        incident,
        kind=EventKind.COMMENTED,
        at=database_now(),
        author=by,
        message=message,
        is_public=public,
    )


def _lock(incident: Incident) -> Incident:
    return Incident.objects.locked().get(pk=incident.pk)
