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
from monitors.spans import StatusChange, store_statuses


@dataclass(frozen=True, slots=True)
class Transition:
    """A change that people may want to be told of: `kind` is down, degraded or recovered."""

    incident: Incident
    event: IncidentEvent
    kind: str


def settle(checked_at: Mapping[UUID, datetime]) -> list[Transition]:
    """Bring monitors in line with what their locations say, however many changed at once.

    `checked_at` maps each monitor to the check that may have changed it. The caller's transaction
    holds the locks of the assignments that it changed.
    """
    monitors = list(
        Monitor.objects.filter(id__in=checked_at, enabled=True).select_for_update().order_by("id")
    )
    states = _states_of(monitors)
    open_incidents = {
        incident.monitor_id: incident
        for incident in Incident.objects.filter(monitor__in=monitors)
        .unresolved()
        .select_for_update()
    }
    changes = _Changes()
    for monitor in monitors:
        verdict = decide_verdict(states[monitor.id], quorum=monitor.quorum)
        at, incident = checked_at[monitor.id], open_incidents.get(monitor.id)
        if verdict.status == monitor.status:
            changes.refresh_reason(monitor, incident, verdict)
        else:
            changes.apply(monitor, incident, verdict, at)
    return changes.write()


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


class _Changes:
    """What verdicts change, collected row by row and written set by set."""

    def __init__(self) -> None:
        self._statuses: list[StatusChange] = []
        self._opened: list[Incident] = []
        self._changed: list[Incident] = []
        self._transitions: list[Transition] = []

    def apply(
        self, monitor: Monitor, incident: Incident | None, verdict: Verdict, at: datetime
    ) -> None:
        """A verdict that differs from the monitor's status."""
        since = max(verdict.since or at, monitor.last_change_at)
        self._statuses.append(
            StatusChange(monitor.id, verdict.status, verdict.reason, verdict.message, since)
        )
        if verdict.status in (Status.DOWN, Status.DEGRADED):
            severity = Severity(verdict.status.value)
            if incident is None:
                self._open(monitor, verdict, severity, since, max(at, since))
            else:
                self._change_severity(incident, verdict, severity, at)
        elif incident is not None and verdict.status == Status.UP:
            event = _resolved(incident, at=max(at, since), message="The checks pass again.")
            self._tell(incident, event, "recovered")
            self._changed.append(incident)

    def refresh_reason(self, monitor: Monitor, incident: Incident | None, verdict: Verdict) -> None:
        """Trouble that changed its cause: the page and the incident say the present one."""
        if (monitor.reason, monitor.message) == (verdict.reason, verdict.message):
            return
        self._statuses.append(
            StatusChange(monitor.id, verdict.status, verdict.reason, verdict.message, None)
        )
        if incident is not None:
            _explain(incident, verdict)
            self._changed.append(incident)

    def write(self) -> list[Transition]:
        store_statuses(self._statuses)
        Incident.objects.bulk_create(self._opened)
        Incident.objects.bulk_update(
            self._changed,
            ["status", "severity", "reason", "message", "locations", "resolved_at"],
            batch_size=500,
        )
        IncidentEvent.objects.bulk_create([one.event for one in self._transitions])
        return self._transitions

    def _open(
        self,
        monitor: Monitor,
        verdict: Verdict,
        severity: Severity,
        since: datetime,
        confirmed_at: datetime,
    ) -> None:
        incident = Incident(
            team_id=monitor.team_id,
            monitor=monitor,
            severity=severity,
            started_at=since,
            confirmed_at=confirmed_at,
        )
        _explain(incident, verdict)
        self._opened.append(incident)
        event = IncidentEvent(
            incident=incident,
            kind=EventKind.OPENED,
            at=confirmed_at,
            severity=severity,
            message=verdict.message,
        )
        self._tell(incident, event, severity.value)

    def _change_severity(
        self, incident: Incident, verdict: Verdict, severity: Severity, at: datetime
    ) -> None:
        incident.severity = severity
        _explain(incident, verdict)
        self._changed.append(incident)
        event = IncidentEvent(
            incident=incident,
            kind=EventKind.SEVERITY_CHANGED,
            at=at,
            severity=severity,
            message=verdict.message,
        )
        self._tell(incident, event, severity.value)

    def _tell(self, incident: Incident, event: IncidentEvent, kind: str) -> None:
        self._transitions.append(Transition(incident, event, kind))


def _explain(incident: Incident, verdict: Verdict) -> None:
    incident.reason, incident.message = verdict.reason, verdict.message
    incident.locations = list(verdict.locations)


def _resolved(
    incident: Incident, *, at: datetime, message: str, by: User | None = None
) -> IncidentEvent:
    """Resolve an incident in memory; returns the unsaved entry of its timeline."""
    incident.status = IncidentStatus.RESOLVED
    incident.resolved_at = max(at, incident.started_at)
    return IncidentEvent(
        incident=incident,
        kind=EventKind.RESOLVED,
        at=incident.resolved_at,
        message=message,
        author=by,
    )


def write_status(monitor: Monitor, *, status: Status, at: datetime) -> None:
    """Set a locked monitor's status to one that needs no reason, and turn its span."""
    at = max(at, monitor.last_change_at)
    if status != monitor.status:
        store_statuses([StatusChange(monitor.id, status, "", "", at)])
        monitor.refresh_from_db()


def close_incident(
    incident: Incident, *, at: datetime, message: str, by: User | None = None
) -> IncidentEvent:
    """Resolve a locked incident and write it into its timeline."""
    event = _resolved(incident, at=at, message=message, by=by)
    incident.save(update_fields=["status", "resolved_at"])
    event.save()
    return event


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
