"""Months of alerting in seconds: a world with a clock of its own, and what it told to whom.

    world = World(monkeypatch, team, start)
    world.at("2026-03-02T09:00", world.fails(shop))      # what happens, and when
    world.at("2026-03-02T09:20", world.acknowledges(shop))
    world.run(until="2026-09-01T00:00")
    world.told                                            # [(when, to whom, what), …]

The real code runs on a real database: transitions are queued as the intake queues them, and the
dispatcher's step decides what is due. Only the clock is the world's, and it jumps from one instant
at which something happens or is due to the next. To simulate more (maintenance, storms), add a
method that returns what happens: a callable that gets the time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from django.db import transaction
from django.db.models import Min

from accounts.models import Team, User
from alerts.escalation import decide_due
from alerts.models import Delivery, Escalation, EscalationState
from alerts.outbox import queue_deliveries
from incidents.models import EventKind, Incident, IncidentEvent, IncidentStatus, Severity
from incidents.transitions import Transition
from monitors.models import Monitor
from uptime.operations import acknowledge_incident

Happening = Callable[[datetime], None]


@dataclass(frozen=True, slots=True, order=True)
class Telling:
    """One message, to the minute."""

    at: str
    channel: str
    event: str
    monitor: str


class World:
    CLOCKS: ClassVar[tuple[str, ...]] = (
        "alerts.outbox.database_now",
        "incidents.actions.database_now",
    )

    def __init__(self, monkeypatch: pytest.MonkeyPatch, team: Team, start: str) -> None:
        self.team = team
        self.now = utc(start)
        self._plan: list[tuple[datetime, int, Happening]] = []
        for clock in self.CLOCKS:
            monkeypatch.setattr(clock, lambda: self.now)

    def at(self, when: str | datetime, happening: Happening) -> None:
        moment = utc(when) if isinstance(when, str) else when
        self._plan.append((moment, len(self._plan), happening))

    def run(self, until: str) -> None:
        """Let everything happen that is planned, or falls due, before `until`."""
        self._plan.sort(key=lambda entry: entry[:2])
        for moment, _, happening in self._plan:
            self._escalate(before=moment)
            self.now = moment
            happening(moment)
        self._plan.clear()
        self._escalate(before=utc(until))
        self.now = utc(until)

    @property
    def told(self) -> list[Telling]:
        rows = Delivery.objects.order_by("created_at", "channel__name", "pk").values_list(
            "created_at", "channel__name", "event", "incident__monitor__name"
        )
        return [Telling(f"{at:%Y-%m-%dT%H:%M}", *rest) for at, *rest in rows]

    # -- what happens ----------------------------------------------------------------------------

    def fails(self, monitor: Monitor, severity: Severity = Severity.DOWN) -> Happening:
        """The monitor's incident opens."""

        def happen(at: datetime) -> None:
            incident = Incident.objects.create(
                team=self.team, monitor=monitor, severity=severity, started_at=at, confirmed_at=at
            )
            self._tell(incident, EventKind.OPENED, severity.value, at, severity=severity)

        return happen

    def turns(self, monitor: Monitor, severity: Severity) -> Happening:
        """What is wrong becomes worse or better."""

        def happen(at: datetime) -> None:
            incident = self._incident(monitor)
            incident.severity = severity
            incident.save(update_fields=["severity"])
            self._tell(incident, EventKind.SEVERITY_CHANGED, severity.value, at, severity=severity)

        return happen

    def recovers(self, monitor: Monitor) -> Happening:
        def happen(at: datetime) -> None:
            incident = self._incident(monitor)
            incident.status, incident.resolved_at = IncidentStatus.RESOLVED, at
            incident.save(update_fields=["status", "resolved_at"])
            self._tell(incident, EventKind.RESOLVED, "recovered", at)

        return happen

    def acknowledges(self, monitor: Monitor, by: User) -> Happening:
        return lambda at: void(acknowledge_incident(incident=self._incident(monitor), by=by))

    # -- how it runs -----------------------------------------------------------------------------

    def _incident(self, monitor: Monitor) -> Incident:
        return Incident.objects.unresolved().get(monitor=monitor)

    def _tell(
        self, incident: Incident, kind: EventKind, event: str, at: datetime, severity: str = ""
    ) -> None:
        entry = IncidentEvent.objects.create(incident=incident, kind=kind, at=at, severity=severity)
        with transaction.atomic():
            queue_deliveries([Transition(incident, entry, event)])

    def _escalate(self, *, before: datetime) -> None:
        for due_at in self._due(before):
            self.now = due_at
            decide_due(due_at)

    def _due(self, before: datetime) -> Iterator[datetime]:
        waiting = Escalation.objects.filter(state=EscalationState.WAITING, due_at__lt=before)
        while due_at := waiting.aggregate(first=Min("due_at"))["first"]:
            yield due_at


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def void(_: object) -> None:
    """For a happening whose value nobody wants."""


def every(days: int, *, since: str, until: str) -> list[datetime]:
    """Each so many days at the same time, in UTC."""
    first = utc(since)
    count = (utc(until) - first) // timedelta(days=days) + 1
    return [first + number * timedelta(days=days) for number in range(count)]
