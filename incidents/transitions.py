"""Apply verdicts: with `incidents.reviews`, the one writer of monitors' status, of incidents' state
and of status spans.

Everything here runs in the caller's transaction and returns the transitions that others may want
to hear of. Locks are taken in one order everywhere: assignments, monitors, incidents, each by id.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from accounts.models import User
from incidents.groups import Rule, decide_group
from incidents.holding import Doubt, doubts_about
from incidents.machine import SUSPENDED, TROUBLE, FlapLimit, LocationState, Verdict, decide_verdict
from incidents.maintenance.reads import Cover, covers_of
from incidents.models import EventKind, Incident, IncidentEvent, IncidentStatus, Severity
from monitors.groups import GROUP, tally_members
from monitors.models import Assignment, Monitor, Status, StatusSpan
from monitors.spans import StatusChange, store_statuses
from monitors.storing import PASSIVE_KINDS, look_soon
from uptime.changes import Topic, tell_changed

# So long what was seen inside a maintenance window waits for a check that proves it.
PROOF_PATIENCE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Transition:
    """A change that people may want to be told of.

    `kind` is down, degraded, recovered, flapping, acknowledged or closed (nobody watches any more).
    What `is_held` is told later, by `incidents.reviews`, or never. `is_known`: somebody has said
    since it happened that they are on it.
    """

    incident: Incident
    event: IncidentEvent
    kind: str
    is_held: bool = False
    is_known: bool = False


def settle(checked_at: Mapping[UUID, datetime]) -> list[Transition]:
    """Bring monitors in line with what their locations say, however many changed at once.

    `checked_at` maps each monitor to the last check that may have changed it. The caller's
    transaction holds the locks of the assignments that it changed.
    """
    rows = Monitor.objects.filter(id__in=checked_at, enabled=True).exclude(kind=GROUP)
    monitors = list(rows.locked())
    states = _states_of(monitors)
    open_incidents = _open_incidents(monitors)
    verdicts = []
    for monitor in monitors:
        if monitor.status == Status.MAINTENANCE:
            continue
        incident = open_incidents.get(monitor.id)
        verdict = decide_verdict(
            states[monitor.id],
            quorum=monitor.quorum,
            before=_status_before(monitor, incident),
            changed_at=monitor.last_change_at,
        )
        if verdict.status in TROUBLE and _waits_for_proof(
            monitor, states[monitor.id], checked_at[monitor.id]
        ):
            continue
        if verdict.status in TROUBLE and _outlasts(monitor, states[monitor.id]):
            verdict = replace(verdict, since=monitor.last_change_at)
        verdicts.append((monitor, incident, verdict))
    return _apply(verdicts, checked_at)


def settle_groups(doubted: Mapping[UUID, tuple[datetime, datetime]]) -> list[Transition]:
    """Bring groups in line with their members, as those are now.

    `doubted` maps each group to the stretch of time within which something of it changed.
    """
    rows = Monitor.objects.filter(id__in=doubted, enabled=True, kind=GROUP)
    groups = list(rows.locked())
    open_incidents = _open_incidents(groups)
    tallies = tally_members([group.id for group in groups])
    verdicts = []
    for group in groups:
        if group.status == Status.MAINTENANCE and not group.reason:
            continue  # its own; it is not that of its members
        incident = open_incidents.get(group.id)
        before = _status_before(group, incident)
        verdict = decide_group(Rule.of(group), tallies[group.id], before=before)
        if verdict.since is not None:
            since, until = doubted[group.id]
            verdict = replace(verdict, since=min(max(verdict.since, since), until))
        verdicts.append((group, incident, verdict))
    return _apply(verdicts, {group: until for group, (_, until) in doubted.items()})


def _apply(
    verdicts: Sequence[tuple[Monitor, Incident | None, Verdict]], at: Mapping[UUID, datetime]
) -> list[Transition]:
    """Write these verdicts on locked monitors, and what follows from them."""
    turning = [monitor for monitor, _, verdict in verdicts if _is_turn(monitor, verdict)]
    under_maintenance = covers_of(turning)
    changes = _Changes(
        _changes_of(turning, before=min(at.values())),
        doubts_about([one.id for one in turning]),
    )
    for monitor, incident, verdict in verdicts:
        if cover := under_maintenance.get(monitor.id):
            changes.suspend(monitor, incident, cover)
        elif _is_turn(monitor, verdict):
            changes.turn(monitor, incident, verdict, at[monitor.id])
        else:
            changes.refresh(monitor, incident, verdict)
    return changes.write()


def _open_incidents(monitors: Collection[Monitor]) -> dict[UUID, Incident]:
    incidents = Incident.objects.filter(monitor__in=monitors).unresolved()
    return {one.monitor_id: one for one in incidents.locked()}


def _status_before(monitor: Monitor, incident: Incident | None) -> Status:
    """What the monitor was when it was last seen."""
    is_unseen = monitor.status in (Status.UNKNOWN, Status.PENDING)
    if is_unseen and incident is not None and not incident.is_flapping:
        return Status(incident.severity)
    return Status(monitor.status)


def _waits_for_proof(monitor: Monitor, states: Iterable[LocationState], at: datetime) -> bool:
    """Whether a monitor is in trouble only by what was seen before it became pending again.

    That was inside a maintenance window, and says nothing of how things are after it.
    """
    return (
        _is_pending_again(monitor)
        and at - monitor.last_change_at <= PROOF_PATIENCE
        and any(one.state in TROUBLE and not one.is_proven for one in states)
    )


def _outlasts(monitor: Monitor, states: Iterable[LocationState]) -> bool:
    """Whether its trouble began before it became pending again: inside a window."""
    return _is_pending_again(monitor) and any(
        one.troubled_since is not None and one.troubled_since <= monitor.last_change_at
        for one in states
        if one.state in TROUBLE
    )


def _is_pending_again(monitor: Monitor) -> bool:
    return monitor.status == Status.PENDING and monitor.last_change_at > monitor.created_at


def _is_turn(monitor: Monitor, verdict: Verdict) -> bool:
    """Whether a stretch of another status begins; recovering is part of being down."""
    return stretch_of(Status(monitor.status)) != stretch_of(verdict.status)


def stretch_of(status: Status) -> Status:
    return Status.DOWN if status == Status.RECOVERING else status


def _states_of(monitors: Iterable[Monitor]) -> dict[UUID, list[LocationState]]:
    known = {monitor.id: monitor for monitor in monitors}
    found: dict[UUID, list[LocationState]] = {pk: [] for pk in known}
    rows = Assignment.objects.filter(monitor_id__in=found, is_active=True).values_list(
        "monitor_id",
        "location__slug",
        "state",
        "troubled_since",
        "last_reason",
        "last_message",
        "passes",
        "last_checked_at",
        "last_status",
    )
    for monitor_id, slug, state, since, reason, message, passes, checked_at, seen in rows:
        monitor = known[monitor_id]
        is_recovering = state == Status.DOWN and passes > 0 and monitor.failure_window is None
        is_proven = monitor.kind in PASSIVE_KINDS or (
            seen in TROUBLE and checked_at is not None and checked_at >= monitor.last_change_at
        )
        found[monitor_id].append(
            LocationState(slug, Status(state), since, reason, message, is_recovering, is_proven)
        )
    return found


@dataclass(frozen=True, slots=True)
class _Changed:
    """The last status of a monitor that somebody saw, and when it was another than before, as far
    as its flap limit looks back.
    """

    last: Status | None = None
    at: tuple[datetime, ...] = ()


def _changes_of(monitors: Iterable[Monitor], *, before: datetime) -> dict[UUID, _Changed]:
    """How those changed that may flap. That one was not seen in between is no change."""
    watched = {one.id: one for one in monitors if one.flap_threshold}
    found: dict[UUID, _Changed] = {}
    if watched:
        horizon = before - max(one.flap_window for one in watched.values())
        rows = StatusSpan.objects.filter(monitor__in=watched, started_at__gt=horizon)
        for monitor_id, name, started_at in rows.order_by("started_at").values_list(
            "monitor_id", "status", "started_at"
        ):
            known = found.get(monitor_id)
            found[monitor_id] = _changed(known, Status(name), started_at)
    for monitor_id in watched.keys() - found.keys():
        found[monitor_id] = _Changed(stretch_of(Status(watched[monitor_id].status)))
    return found


def _changed(known: _Changed | None, status: Status, at: datetime) -> _Changed:
    """What is known after one more stretch; before the first one lies another status than its."""
    if status not in _COUNTED:
        return known or _Changed()
    is_change = known is None or known.last not in (None, status)
    return _Changed(status, (*(known.at if known else ()), *([at] if is_change else [])))


_COUNTED = (Status.UP, Status.DEGRADED, Status.DOWN)


class _Changes:
    """What verdicts change, collected row by row and written set by set."""

    def __init__(
        self,
        changed: Mapping[UUID, _Changed],
        doubts: Mapping[UUID, Doubt],
    ) -> None:
        self._changed_before = changed
        self._doubts = doubts
        self._suspects: set[UUID] = set()
        self._doubted_since: list[datetime] = []
        self._statuses: list[StatusChange] = []
        self._opened: list[Incident] = []
        self._changed: list[Incident] = []
        self._events: list[IncidentEvent] = []
        self._transitions: list[Transition] = []

    def turn(
        self, monitor: Monitor, incident: Incident | None, verdict: Verdict, at: datetime
    ) -> None:
        """A verdict that begins another stretch of the monitor's history."""
        verdict = replace(verdict, status=stretch_of(verdict.status))
        since = max(verdict.since or at, monitor.last_change_at)
        self._set_status(monitor, verdict, since)
        if verdict.status == Status.PAUSED and incident is not None:
            self._close(incident, since, verdict.message)
        if verdict.status not in _COUNTED:
            return  # nobody knows: what was told of stays as it is
        at = max(at, since)
        changes = self._flaps(monitor, incident, verdict.status, since, at)
        if incident is not None:
            self._changed.append(incident)
            self._go_on(incident, verdict, at, changes, monitor)
        elif verdict.status in TROUBLE:
            self._open(monitor, verdict, since, at, changes)

    def suspend(self, monitor: Monitor, incident: Incident | None, cover: Cover) -> None:
        """Maintenance begins: whatever happens until its end, nobody is told."""
        self._set_status(
            monitor, Verdict(Status.MAINTENANCE, message=cover.window.name), cover.since
        )
        if incident is not None:
            message = f"“{cover.window.name}”: nobody is told until it is over."
            self._note(incident, EventKind.MAINTENANCE, cover.since, message, "")

    def resume(self, monitor: Monitor, at: datetime) -> None:
        """Maintenance is over: the monitor is pending until it is settled."""
        at = max(at, monitor.last_change_at)
        self._set_status(monitor, Verdict(Status.PENDING), at)

    def refresh(self, monitor: Monitor, incident: Incident | None, verdict: Verdict) -> None:
        """Trouble that changed its cause, or whose checks pass again: the page says the present."""
        known = (monitor.status, monitor.reason, monitor.message)
        if known == (verdict.status, verdict.reason, verdict.message):
            return
        self._set_status(monitor, verdict, None)
        if incident is not None and verdict.status in TROUBLE:
            _explain(incident, verdict)
            self._changed.append(incident)

    def write(self) -> list[Transition]:
        store_statuses(self._statuses)
        Incident.objects.bulk_create(self._opened)
        Incident.objects.bulk_update(self._changed, WRITTEN, batch_size=500)
        IncidentEvent.objects.bulk_create(self._events)
        tell_changed(Topic.INCIDENTS, {one.pk for one in (*self._opened, *self._changed)})
        if self._suspects:
            look_soon(self._suspects, unless_since=max(self._doubted_since))
        return self._transitions

    def _set_status(self, monitor: Monitor, verdict: Verdict, since: datetime | None) -> None:
        self._statuses.append(
            StatusChange(monitor.id, verdict.status, verdict.reason, verdict.message, since)
        )

    def _flaps(
        self,
        monitor: Monitor,
        incident: Incident | None,
        status: Status,
        since: datetime,
        at: datetime,
    ) -> int:
        """How often the status changed, this time included, if that is flapping; else 0."""
        before = self._changed_before.get(monitor.id, _Changed())
        is_change = status != before.last
        if incident is not None and incident.is_flapping:
            return incident.changes + is_change
        limit = FlapLimit(monitor.flap_threshold, monitor.flap_window)
        changes = limit.count([*before.at, *([since] if is_change else [])], at)
        return changes if limit.is_exceeded_by(changes) else 0

    def _open(
        self, monitor: Monitor, verdict: Verdict, since: datetime, at: datetime, changes: int
    ) -> None:
        incident = Incident(
            team_id=monitor.team_id,
            monitor=monitor,
            severity=Severity(verdict.status.value),
            started_at=since,
            confirmed_at=at,
        )
        _explain(incident, verdict)
        self._opened.append(incident)
        opened = self._note(incident, EventKind.OPENED, at, verdict.message, incident.severity)
        opened.locations = incident.locations
        if changes:
            self._flap(incident, monitor, changes, at)
        else:
            self._tell(incident, opened, incident.severity)

    def _close(self, incident: Incident, at: datetime, message: str) -> None:
        """Nobody watches any more, as where a monitor is paused by hand."""
        is_secret = incident.is_secret
        event = resolved(incident, at=at, message=message)
        self._changed.append(incident)
        self._events.append(event)
        self._transitions.append(Transition(incident, event, "closed", is_secret))

    def _go_on(
        self, incident: Incident, verdict: Verdict, at: datetime, changes: int, monitor: Monitor
    ) -> None:
        """Another stretch within an open incident, or its end."""
        if verdict.status in TROUBLE:
            self._worsen_or_ease(
                incident,
                verdict,
                at,
                is_quiet=bool(changes),
                is_news=monitor.status in SUSPENDED,
            )
        elif not changes:
            is_secret = incident.is_secret
            event = resolved(incident, at=at, message="The checks pass again.")
            self._events.append(event)
            self._transitions.append(Transition(incident, event, "recovered", is_secret))
        if changes:
            self._flap(incident, monitor, changes, at)

    def _worsen_or_ease(
        self, incident: Incident, verdict: Verdict, at: datetime, *, is_quiet: bool, is_news: bool
    ) -> None:
        """`is_quiet`: it flaps. `is_news`: that it goes on is worth telling, after maintenance."""
        severity = Severity(verdict.status.value)
        _explain(incident, verdict)
        if severity == incident.severity and not is_news:
            return
        if is_quiet:
            incident.severity = Severity.DOWN  # of what flaps, the worst that it was
            return
        incident.severity = severity
        kind = EventKind.OUTLASTED if is_news else EventKind.SEVERITY_CHANGED
        event = self._note(incident, kind, at, verdict.message, severity)
        event.locations = incident.locations
        self._tell(incident, event, severity)

    def _flap(self, incident: Incident, monitor: Monitor, changes: int, at: datetime) -> None:
        """Count a change; only the first that is flapping is written down and told of."""
        is_new = not incident.is_flapping
        if is_new or changes > incident.changes:
            incident.changes, incident.calm_at = changes, at + monitor.flap_window
        if is_new:
            message = f"Changed {changes} times within {minutes_of(monitor)}."
            event = self._note(incident, EventKind.FLAPPING, at, message, incident.severity)
            self._tell(incident, event, "flapping")

    def _note(
        self, incident: Incident, kind: EventKind, at: datetime, message: str, severity: str
    ) -> IncidentEvent:
        event = IncidentEvent(
            incident=incident, kind=kind, at=at, severity=severity, message=message
        )
        self._events.append(event)
        return event

    def _tell(self, incident: Incident, event: IncidentEvent, kind: str) -> None:
        """Have trouble told, unless it may come of what the monitor depends on."""
        doubt = self._doubts.get(incident.monitor_id)
        if doubt is not None and not incident.is_held:
            incident.held_since, incident.held_until = event.at, event.at + doubt.patience
            self._suspects.update(doubt.suspects)
            self._doubted_since.append(event.at)
        if not incident.is_held:
            incident.told_at = incident.told_at or event.at
        self._transitions.append(Transition(incident, event, kind, incident.is_held))


WRITTEN = [
    "status",
    "severity",
    "reason",
    "message",
    "locations",
    "resolved_at",
    "changes",
    "calm_at",
    "parent",
    "held_since",
    "held_until",
    "told_at",
]


def minutes_of(monitor: Monitor) -> str:
    minutes = round(monitor.flap_window_s / 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"


def _explain(incident: Incident, verdict: Verdict) -> None:
    incident.reason, incident.message = verdict.reason, verdict.message
    incident.locations = list(verdict.locations)


def resolved(
    incident: Incident, *, at: datetime, message: str, by: User | None = None
) -> IncidentEvent:
    """Resolve an incident in memory; returns the unsaved entry of its timeline."""
    incident.status = IncidentStatus.RESOLVED
    incident.resolved_at = max(at, incident.started_at)
    incident.calm_at = incident.held_since = incident.held_until = None
    return IncidentEvent(
        incident=incident,
        kind=EventKind.RESOLVED,
        at=incident.resolved_at,
        message=message,
        author=by,
    )


def begin_maintenance(monitor_ids: Collection[UUID]) -> None:
    """Put those of these monitors under maintenance that a window covers now."""
    if not monitor_ids:
        return
    monitors = list(Monitor.objects.filter(id__in=monitor_ids).locked())
    watched = [one for one in monitors if one.enabled and one.status != Status.MAINTENANCE]
    covers = covers_of(watched)
    incidents = _open_incidents(watched)
    changes = _Changes({}, {})
    for monitor in watched:
        if cover := covers.get(monitor.id):
            changes.suspend(monitor, incidents.get(monitor.id), cover)
    changes.write()


def end_maintenance(ended_at: Mapping[UUID, datetime]) -> list[Transition]:
    """Take monitors out of maintenance, as of these instants.

    What is well is up at once, and an incident that waited for that is over. What is in trouble is
    pending: whoever keeps the windows has it checked and settled.
    """
    if not ended_at:
        return []
    monitors = Monitor.objects.filter(id__in=ended_at).locked()
    ended = [one for one in monitors if one.status == Status.MAINTENANCE]
    changes = _Changes({}, {})
    for monitor in ended:
        changes.resume(monitor, ended_at[monitor.id])
    changes.write()
    return settle({one.id: ended_at[one.id] for one in ended}) if ended else []


def write_status(monitor: Monitor, *, status: Status, at: datetime) -> None:
    """Set a locked monitor's status to one that needs no reason, and turn its span."""
    if status != monitor.status:
        write_statuses([monitor], status=status, at=at)
        monitor.refresh_from_db()


def write_statuses(monitors: Iterable[Monitor], *, status: Status, at: datetime) -> None:
    """The same of several, in the database only."""
    store_statuses(
        [
            StatusChange(one.id, status, "", "", max(at, one.last_change_at))
            for one in monitors
            if one.status != status
        ]
    )


def close_incident(
    incident: Incident, *, at: datetime, message: str, by: User | None = None
) -> IncidentEvent:
    """Resolve a locked incident and write it into its timeline."""
    [event] = close_incidents([incident], at=at, message=message, by=by)
    return event


def close_incidents(
    incidents: Sequence[Incident], *, at: datetime, message: str, by: User | None = None
) -> list[IncidentEvent]:
    """The same of several."""
    events = [resolved(one, at=at, message=message, by=by) for one in incidents]
    Incident.objects.bulk_update(incidents, WRITTEN, batch_size=500)
    IncidentEvent.objects.bulk_create(events)
    tell_changed(Topic.INCIDENTS, [one.pk for one in incidents])
    return events


def add_event(
    incident: Incident,
    *,
    kind: EventKind,
    at: datetime,
    severity: str = "",
    message: str = "",
    author: User | None = None,
    assignee: User | None = None,
    is_public: bool = False,
) -> IncidentEvent:
    tell_changed(Topic.INCIDENTS, [incident.pk])
    return IncidentEvent.objects.create(
        incident=incident,
        kind=kind,
        at=at,
        severity=severity,
        message=message,
        author=author,
        assignee=assignee,
        is_public=is_public,
    )
