"""Apply verdicts: the one writer of monitors' status, of incidents' state and of status spans.

Everything here runs in the caller's transaction and returns the transitions that others may want
to hear of. Locks are taken in one order everywhere: assignments, then monitors, by id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.models import User
from incidents.machine import LocationState, Verdict, decide_verdict
from incidents.models import EventKind, Incident, IncidentEvent, IncidentStatus, Severity
from monitors.models import Assignment, Monitor, Status
from monitors.spans import turn_span


@dataclass(frozen=True, slots=True)
class Transition:
    """A change that people may want to be told of: `kind` is down, degraded or recovered."""

    incident: Incident
    event: IncidentEvent
    kind: str


def settle(checked_at: Mapping[UUID, datetime]) -> list[Transition]:
    """Bring monitors in line with what their locations say.

    `checked_at` maps each monitor to the check that may have changed it. The caller's transaction
    holds the locks of the assignments that it changed.
    """
    monitors = list(
        Monitor.objects.filter(id__in=checked_at, enabled=True).select_for_update().order_by("id")
    )
    states = _states_of(monitors)
    transitions = []
    for monitor in monitors:
        verdict = decide_verdict(states[monitor.id], quorum=monitor.quorum)
        if transition := _apply_verdict(monitor, verdict, checked_at[monitor.id]):
            transitions.append(transition)
    return transitions


def _states_of(monitors: Iterable[Monitor]) -> dict[UUID, list[LocationState]]:
    found: dict[UUID, list[LocationState]] = {monitor.id: [] for monitor in monitors}
    rows = Assignment.objects.filter(monitor_id__in=found, is_active=True).values_list(
        "monitor_id",
        "location__slug",
        "state",
        "troubled_since",
        "last_reason",
        "last_message",
    )
    for monitor_id, slug, state, since, reason, message in rows:
        found[monitor_id].append(LocationState(slug, Status(state), since, reason, message))
    return found


def _apply_verdict(monitor: Monitor, verdict: Verdict, at: datetime) -> Transition | None:
    before = Status(monitor.status)
    if verdict.status == before:
        _refresh_reason(monitor, verdict)
        return None
    since = write_status(
        monitor,
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message,
        at=verdict.since or at,
    )
    incident = _open_incident_of(monitor)
    if verdict.status in (Status.DOWN, Status.DEGRADED):
        severity = Severity(verdict.status.value)
        if incident is None:
            return _open(monitor, verdict, severity, since, at)
        return _change_severity(incident, verdict, severity, at)
    if incident is not None and verdict.status == Status.UP:
        event = close_incident(incident, at=max(at, since), message="The checks pass again.")
        return Transition(incident, event, "recovered")
    return None


def write_status(
    monitor: Monitor, *, status: Status, at: datetime, reason: str = "", message: str = ""
) -> datetime:
    """Set a locked monitor's status and turn its span; returns the instant that it holds from."""
    since = turn_span(monitor_id=monitor.id, status=status, reason=reason, at=at)
    monitor.status, monitor.reason, monitor.message = status, reason, message
    monitor.last_change_at = since
    monitor.save(update_fields=["status", "reason", "message", "last_change_at"])
    return since


def _refresh_reason(monitor: Monitor, verdict: Verdict) -> None:
    """Trouble that changed its cause: the page and the incident say the present one."""
    if (monitor.reason, monitor.message) == (verdict.reason, verdict.message):
        return
    monitor.reason, monitor.message = verdict.reason, verdict.message
    monitor.save(update_fields=["reason", "message"])
    Incident.objects.filter(monitor=monitor).unresolved().update(
        reason=verdict.reason, message=verdict.message, locations=list(verdict.locations)
    )


def _open_incident_of(monitor: Monitor) -> Incident | None:
    return Incident.objects.filter(monitor=monitor).unresolved().select_for_update().first()


def _open(
    monitor: Monitor, verdict: Verdict, severity: Severity, since: datetime, at: datetime
) -> Transition:
    incident = Incident.objects.create(
        team_id=monitor.team_id,
        monitor=monitor,
        severity=severity,
        reason=verdict.reason,
        message=verdict.message,
        locations=list(verdict.locations),
        started_at=since,
        confirmed_at=max(at, since),
    )
    event = add_event(
        incident,
        kind=EventKind.OPENED,
        at=incident.confirmed_at,
        severity=severity,
        message=verdict.message,
    )
    return Transition(incident, event, severity.value)


def _change_severity(
    incident: Incident, verdict: Verdict, severity: Severity, at: datetime
) -> Transition:
    incident.severity = severity
    incident.reason, incident.message = verdict.reason, verdict.message
    incident.locations = list(verdict.locations)
    incident.save(update_fields=["severity", "reason", "message", "locations"])
    event = add_event(
        incident,
        kind=EventKind.SEVERITY_CHANGED,
        at=at,
        severity=severity,
        message=verdict.message,
    )
    return Transition(incident, event, severity.value)


def close_incident(
    incident: Incident, *, at: datetime, message: str, by: User | None = None
) -> IncidentEvent:
    """Resolve a locked incident and write it into its timeline."""
    incident.status = IncidentStatus.RESOLVED
    incident.resolved_at = max(at, incident.started_at)
    incident.save(update_fields=["status", "resolved_at"])
    return add_event(
        incident, kind=EventKind.RESOLVED, at=incident.resolved_at, message=message, author=by
    )


def add_event(
    incident: Incident,
    *,
    kind: EventKind,
    at: datetime,
    severity: str = "",
    message: str = "",
    author: User | None = None,
    is_public: bool = False,
) -> IncidentEvent:
    return IncidentEvent.objects.create(
        incident=incident,
        kind=kind,
        at=at,
        severity=severity,
        message=message,
        author=author,
        is_public=is_public,
    )
