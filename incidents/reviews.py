"""What time alone decides of incidents: flapping and snoozes that are over, trouble that is
held; and groups.

For whoever looks once a second; what another process has in its hands is left to the next look.
Like `incidents.transitions` this returns what others may want to hear of.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from incidents.holding import DOWN, Family, Hold, Parent, decide_hold
from incidents.machine import SUSPENDED, TROUBLE
from incidents.models import (
    EventKind,
    Incident,
    IncidentEvent,
    IncidentQuerySet,
    IncidentStatus,
    Severity,
)
from incidents.transitions import (
    WRITTEN,
    Transition,
    add_event,
    minutes_of,
    resolved,
    settle,
    settle_groups,
    stretch_of,
)
from monitors.groups import take_doubts
from monitors.models import Monitor, Status
from monitors.storing import look_soon
from uptime.changes import Topic, tell_changed
from uptime.ids import lowest_uuid7

AT_ONCE = 1000
LEEWAY = timedelta(minutes=1)
"""By so much machines' clocks, from which ids are made, may be behind the database's."""


@transaction.atomic
def review_doubts(now: datetime) -> list[Transition]:
    """Bring in line the groups that a change may have made another, and the monitors whose
    locations or quorum were changed.

    Of groups in groups one level at a time: the next is for the next look.
    """
    doubted = take_doubts(AT_ONCE)
    if not doubted:
        return []
    # All of their locks before those of any incident, as everywhere.
    list(Monitor.objects.filter(pk__in=doubted).locked())
    return settle({one: until for one, (_, until) in doubted.items()}) + settle_groups(doubted)


@transaction.atomic
def end_snoozes(now: datetime) -> list[Transition]:
    """Tell, once their snooze is over, what is still wrong with monitors, and what ended meanwhile.

    What began and ended inside is never told. What is held, or under maintenance, is told when that
    is over.
    """
    due = Monitor.objects.filter(snoozed_until__lte=now)
    monitors = list(due.locked(skip_locked=True)[:AT_ONCE])
    if not monitors:
        return []
    found = [
        transition
        for incident in _of_snoozed(monitors)
        if (transition := _told_after_snooze(incident, now))
    ]
    Monitor.objects.filter(pk__in=[one.pk for one in monitors]).update(
        snoozed_at=None, snoozed_until=None
    )
    tell_changed(Topic.MONITORS, [one.pk for one in monitors])
    return found


def _of_snoozed(monitors: Iterable[Monitor]) -> list[Incident]:
    """Their open incidents, and those from before the snooze that ended inside; locked.

    An end dates from what was seen, which may have been before the snooze though it was known only
    inside: after a check that took its time, or once flapping was over. What counts is when its
    entry was made, and that nobody was told.
    """
    by_id = {one.pk: one for one in monitors}
    since = min(one.snoozed_at for one in by_id.values() if one.snoozed_at)
    # by their reverse names: this package does not know of the next one
    ended = IncidentEvent.objects.filter(
        incident__monitor__in=by_id,
        kind=EventKind.RESOLVED,
        pk__gte=lowest_uuid7(since - LEEWAY),
        deliveries=None,
        escalations=None,
    )
    rows = Incident.objects.filter(monitor__in=by_id).filter(
        ~Q(status=IncidentStatus.RESOLVED) | Q(pk__in=ended.values("incident"))
    )
    found = list(rows.locked())
    for incident in found:
        incident.monitor = by_id[incident.monitor_id]
    return found


def _told_after_snooze(incident: Incident, now: datetime) -> Transition | None:
    monitor = incident.monitor
    assert monitor.snoozed_at is not None
    if incident.is_resolved:
        end = incident.events.filter(kind=EventKind.RESOLVED).latest("at", "pk")
        is_from_before = incident.confirmed_at < monitor.snoozed_at
        is_told = incident.told_at is not None
        return Transition(incident, end, "recovered") if is_from_before and is_told else None
    if incident.is_held or monitor.status in SUSPENDED or not monitor.enabled:
        return None
    incident.told_at = incident.told_at or now
    incident.save(update_fields=WRITTEN)
    event = add_event(
        incident,
        kind=EventKind.UNSNOOZED,
        at=now,
        severity=incident.severity,
        message=f"It is still {incident.severity}.",
    )
    kind = EventKind.FLAPPING.value if incident.is_flapping else incident.severity
    return Transition(incident, event, kind)


@transaction.atomic
def calm_down(now: datetime) -> list[Transition]:
    """End the flapping of what did not change for its flap window.

    An incident whose monitor is up is resolved; one that stays in trouble goes on as any other.
    """
    due = Incident.objects.filter(calm_at__lte=now)
    waiting = dict(due.values_list("pk", "monitor_id")[:AT_ONCE])
    if not waiting:
        return []
    monitors = {
        monitor.id: monitor
        for monitor in Monitor.objects.filter(id__in=waiting.values()).locked(skip_locked=True)
    }
    # Due once more: since they were found, a check may have changed them.
    incidents = due.filter(pk__in=waiting, monitor__in=monitors).locked()
    found = [_calm(incident, monitors[incident.monitor_id], now) for incident in incidents]
    return [transition for transition in found if transition]


def _calm(incident: Incident, monitor: Monitor, now: datetime) -> Transition | None:
    incident.monitor, incident.calm_at = monitor, None
    message = f"No change for {minutes_of(monitor)}, after {incident.changes} of them."
    if monitor.status == Status.UP:
        is_held = incident.is_secret
        event = resolved(incident, at=monitor.last_change_at, message=message)
        event.at, kind = now, "recovered"
    else:
        is_held = incident.is_held
        event = IncidentEvent(incident=incident, kind=EventKind.CALMED, at=now, message=message)
        if monitor.status in TROUBLE:
            event.severity = Severity(stretch_of(Status(monitor.status)).value)
            incident.severity = event.severity
        kind = event.severity
    incident.save(update_fields=WRITTEN)
    event.save()
    tell_changed(Topic.INCIDENTS, [incident.pk])
    return Transition(incident, event, kind, is_held) if kind else None


@transaction.atomic
def review_held(now: datetime) -> list[Transition]:
    """Tell, or hold under a parent's incident, the trouble that may be that of a parent.

    The number of statements does not depend on how many incidents there are.
    """
    incidents = list(_in_question().select_related("monitor").locked(skip_locked=True)[:AT_ONCE])
    if not incidents:
        return []
    review = _Review(Family.of([incident.monitor for incident in incidents]), now)
    for incident in incidents:
        review.decide(incident)
    return review.write()


def _in_question() -> IncidentQuerySet:
    """What is held, except under an incident that goes on of what its monitor depends on."""
    tie = Monitor.depends_on.through.objects.filter(
        from_monitor=OuterRef(OuterRef("monitor")), to_monitor=OuterRef("monitor")
    )
    goes_on = Incident.objects.unresolved().filter(
        Exists(tie), pk=OuterRef("parent"), monitor__status__in=DOWN, severity=Severity.DOWN
    )
    held = (
        Incident.objects.unresolved()
        .filter(held_since__isnull=False)
        .exclude(monitor__status__in=SUSPENDED)
    )
    return held.filter(Q(held_until__isnull=False) | ~Exists(goes_on))


class _Review:
    """What becomes of held incidents, decided one by one and written set by set."""

    def __init__(self, family: Family, now: datetime) -> None:
        self._family = family
        self._now = now
        self._changed: list[Incident] = []
        self._events: list[IncidentEvent] = []
        self._told: list[tuple[Incident, IncidentEvent | None]] = []
        self._waiting_on: list[IncidentEvent] = []
        self._to_check: dict[datetime, set[UUID]] = {}

    def decide(self, incident: Incident) -> None:
        assert incident.held_since is not None
        since, until = incident.held_since, incident.held_until
        parents = self._family.parents_of(incident.monitor_id, since=since)
        match decide_hold(
            parents,
            was_under=until is None,
            is_failing=self._family.is_failing(incident.monitor_id, since=since),
            is_overdue=until is not None and until <= self._now,
        ):
            case Hold.UNDER:
                self._put_under(incident, parents)
            case Hold.WAIT:
                self._wait(incident)
            case Hold.WAIT_ON:
                self._wait_on(incident, parents)
            case Hold.TELL:
                self._tell(incident, parents)

    def write(self) -> list[Transition]:
        transitions = self._transitions()
        Incident.objects.bulk_update(self._changed, WRITTEN, batch_size=500)
        IncidentEvent.objects.bulk_create([*self._events, *self._news_of_waiting()])
        tell_changed(Topic.INCIDENTS, {incident.pk for incident in self._changed})
        for since, monitors in self._to_check.items():
            look_soon(monitors, unless_since=since)
        return transitions

    def _transitions(self) -> list[Transition]:
        """What is told: of what was never held under another, as if it had never been held."""
        trouble = _latest_troubles([incident for incident, _ in self._told])
        found = []
        for incident, release in self._told:
            kind = EventKind.FLAPPING.value if incident.is_flapping else incident.severity
            latest, known_at = trouble[incident.pk], incident.acknowledged_at
            is_known = known_at is not None and latest.at < known_at
            found.append(Transition(incident, release or latest, kind, is_known=is_known))
        return found

    def _put_under(self, incident: Incident, parents: Iterable[Parent]) -> None:
        cause, parent = min(
            ((one.incident, one) for one in parents if one.incident is not None),
            key=lambda found: (found[0].started_at, found[0].pk),
        )
        if incident.parent_id != cause.pk:
            message = f"“{parent.name}” is down: nobody is told of this until that is over."
            self._note(incident, EventKind.HELD, message)
        incident.parent, incident.held_until = cause, None
        self._changed.append(incident)

    def _wait(self, incident: Incident) -> None:
        if incident.held_until is None:  # the parent is over
            self._begin_to_wait(incident)
        assert incident.held_since is not None
        to_check = self._to_check.setdefault(incident.held_since, set())
        to_check.update(self._family.checked_soon(incident.monitor_id))

    def _begin_to_wait(self, incident: Incident) -> None:
        incident.held_since = self._now
        incident.held_until = self._now + self._family.patience_with(incident.monitor)
        self._changed.append(incident)

    def _wait_on(self, incident: Incident, parents: Iterable[Parent]) -> None:
        """Wait anew for a parent that nobody is told of; that it does so is said once."""
        self._begin_to_wait(incident)
        names = ", ".join(f"“{one.name}”" for one in parents if one.is_quietly_down)
        message = f"{names} is down under maintenance: nobody is told of this until that is over."
        self._waiting_on.append(self._event(incident, EventKind.HELD, message))

    def _tell(self, incident: Incident, parents: Iterable[Parent]) -> None:
        incident.held_since = incident.held_until = None
        incident.told_at = incident.told_at or self._now
        self._changed.append(incident)
        release = None
        if incident.parent_id is not None:
            names = ", ".join(f"“{parent.name}”" for parent in parents)
            message = f"{names} is down no more, and this still is." if names else ""
            release = self._note(incident, EventKind.RELEASED, message, severity=incident.severity)
        self._told.append((incident, release))

    def _news_of_waiting(self) -> list[IncidentEvent]:
        if not self._waiting_on:
            return []
        known = IncidentEvent.objects.filter(
            incident__in=[event.incident_id for event in self._waiting_on], kind=EventKind.HELD
        )
        told = set(known.values_list("incident_id", flat=True))
        return [event for event in self._waiting_on if event.incident_id not in told]

    def _note(
        self, incident: Incident, kind: EventKind, message: str, *, severity: str = ""
    ) -> IncidentEvent:
        event = self._event(incident, kind, message, severity)
        self._events.append(event)
        return event

    def _event(
        self, incident: Incident, kind: EventKind, message: str, severity: str = ""
    ) -> IncidentEvent:
        return IncidentEvent(
            incident=incident, kind=kind, at=self._now, message=message, severity=severity
        )


def _latest_troubles(incidents: Iterable[Incident]) -> dict[UUID, IncidentEvent]:
    """For each of these the last event at which it became what it is."""
    events = (
        IncidentEvent.objects.filter(incident__in=[incident.pk for incident in incidents])
        .exclude(severity="")
        .order_by("incident", "-pk")
        .distinct("incident")
    )
    return {event.incident_id: event for event in events}
