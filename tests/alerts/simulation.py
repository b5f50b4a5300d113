"""Months of alerting in seconds: a world with a clock of its own, and what it told to whom.

    world = World(monkeypatch, team, start)
    world.at("2026-03-02T09:00", world.fails(shop))      # what happens, and when
    world.at("2026-03-02T09:20", world.acknowledges(shop))
    world.run(until="2026-09-01T00:00")
    world.told                                            # [(when, to whom, what), …]

The real code runs on a real database: transitions are queued as the intake queues them, and the
dispatcher's step decides what is due. Only the clock is the world's, and it jumps from one instant
at which something happens or is due to the next. `World` begins with incidents, which is quick;
`WholeWorld` with what targets answer, and ends with what leaves. To simulate more, add a method
that returns what happens: a callable that gets the time.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.db.models import Count, Min, Model, Q

from accounts.models import Team, User
from alerts.escalation import decide_due
from alerts.models import Channel, ChannelPace, Delivery, Escalation, EscalationState
from alerts.outbox import SENT, lease_deliveries, queue_deliveries
from alerts.recording import record_outcomes
from incidents.actions import snooze_monitor, unsnooze_monitor
from incidents.maintenance.actions import create_window, end_window, extend_window, start_window
from incidents.models import (
    EventKind,
    Incident,
    IncidentEvent,
    IncidentStatus,
    MaintenanceWindow,
    Severity,
)
from incidents.transitions import Transition
from monitors.groups import GROUP
from monitors.models import Doubt, Monitor, Status, StatusSpan
from monitors.partitions import ensure_partitions
from probe.values import Observation
from tests.factories import make_monitor
from tests.incidents.scenes import OWNER, UP, leased
from uptime.clock import database_now
from uptime.intake import take_in
from uptime.operations import acknowledge_incident, review_incidents

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


class WholeWorld(World):
    """A world of checks: what targets answer is taken in, reviewed each second, and sent.

    All is real but the engine and the network: monitors, windows, snoozes and groups are acted on
    as people do. `told` is what left, to the minute; of a digest with how many it is about.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, team: Team, start: str) -> None:
        super().__init__(monkeypatch, team, start)
        for module in list(sys.modules.values()):
            if getattr(module, "database_now", None) is database_now:
                monkeypatch.setattr(module, "database_now", lambda: self.now)
        self._targets: dict[UUID, Observation] = {}
        self._left: list[Telling] = []
        self._sender = uuid4()

    @property
    def told(self) -> list[Telling]:
        return self._left

    def monitor(self, name: str, **values: Any) -> Monitor:
        """One that is as old as the world, and up."""
        one: Monitor = make_monitor(self.team, name=name, failure_threshold=1, **values)
        Monitor.objects.filter(pk=one.pk).update(
            created_at=self.now, last_change_at=self.now, updated_at=self.now
        )
        StatusSpan.objects.filter(monitor=one).update(started_at=self.now)
        if one.kind != GROUP:
            self.answer(UP, one)(self.now)
        return one

    # -- what happens ----------------------------------------------------------------------------

    def answer(self, observation: Observation, *monitors: Monitor) -> Happening:
        """From now on these targets answer so; they are checked at once, in one batch."""

        def happen(at: datetime) -> None:
            self._targets |= dict.fromkeys([one.pk for one in monitors], observation)
            self._check(monitors)

        return happen

    def plans(self, name: str, starts: str, ends: str, **values: Any) -> Happening:
        given = {"name": name, "starts_at": utc(starts), "ends_at": utc(ends), **values}
        return lambda at: void(create_window(team=self.team, values=given))

    def starts(self, name: str) -> Happening:
        return lambda at: void(start_window(window=self._window(name)))

    def extends(self, name: str, minutes: int) -> Happening:
        return lambda at: void(extend_window(window=self._window(name), minutes=minutes))

    def ends(self, name: str) -> Happening:
        return lambda at: void(end_window(window=self._window(name)))

    def snoozes(self, monitor: Monitor, length: timedelta) -> Happening:
        return lambda at: void(snooze_monitor(monitor=monitor, length=length, by=None))

    def wakes(self, monitor: Monitor) -> Happening:
        return lambda at: void(unsnooze_monitor(monitor=monitor, by=None))

    # -- how it runs -----------------------------------------------------------------------------

    def _window(self, name: str) -> MaintenanceWindow:
        return MaintenanceWindow.objects.get(name=name)

    def _escalate(self, *, before: datetime) -> None:
        self._look()
        while due_at := self._next(before):
            self.now = due_at
            self._look()

    def _next(self, before: datetime) -> datetime | None:
        """When something is due, or to be looked at again."""
        columns: list[tuple[type[Model], str]] = [
            (Escalation, "due_at"),
            (MaintenanceWindow, "begins_at"),
            (MaintenanceWindow, "finishes_at"),
            (Monitor, "snoozed_until"),
            (Incident, "calm_at"),
            (Incident, "held_until"),
            (Delivery, "next_attempt_at"),
            (ChannelPace, "not_before"),
        ]
        first, *others = (
            model._default_manager.filter(**{f"{name}__gt": self.now, f"{name}__lt": before})
            .order_by()
            .values_list(name)
            for model, name in columns
        )
        return min((at for (at,) in first.union(*others)), default=None)

    def _look(self) -> None:
        """Second by second, until nothing changes any more."""
        before = self._state()
        for _ in range(30):
            review_incidents()
            decide_due(self.now)
            self._check_again()
            self._send()
            after = self._state()
            if after == before:
                return
            before = after
            self.now += timedelta(seconds=1)
        raise AssertionError(f"It never comes to rest: {before}")

    def _state(self) -> object:
        return (
            list(Monitor.objects.order_by("pk").values_list("status", "last_change_at")),
            Incident.objects.aggregate(held=Count("pk", filter=Q(held_since__isnull=False))),
            Delivery.objects.aggregate(Count("pk"), Count("next_attempt_at")),
            IncidentEvent.objects.count(),
            Doubt.objects.count(),
        )

    def _check_again(self) -> None:
        """What the engine is asked to check at once: trouble that has to be proven."""
        held = Monitor.objects.filter(
            incidents__held_until__isnull=False, incidents__resolved_at=None
        )
        pending = Monitor.objects.filter(status=Status.PENDING, enabled=True)
        parents = Monitor.objects.filter(dependents__in=held)
        self._check((pending | held | parents).exclude(kind=GROUP).distinct())

    def _check(self, monitors: Iterable[Monitor]) -> None:
        if batch := [leased(one, self._targets[one.pk], at=self.now) for one in monitors]:
            ensure_partitions({self.now.date()})
            assert take_in(batch, owner=OWNER) == len(batch)

    def _send(self) -> None:
        names = dict(Channel.objects.values_list("pk", "name"))
        while found := lease_deliveries(
            owner=self._sender, now=self.now, limit=100, per_channel=lambda _: 8
        ):
            record_outcomes([(one, SENT) for one in found])
            for one in found:
                digest, monitor = one.facts["digest"], one.facts["monitor"]
                about = str(digest["count"]) if digest else monitor["name"]
                assert one.channel_id
                self._left.append(
                    Telling(f"{self.now:%Y-%m-%dT%H:%M}", names[one.channel_id], one.event, about)
                )


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def void(_: object) -> None:
    """For a happening whose value nobody wants."""


def every(days: int, *, since: str, until: str) -> list[datetime]:
    """Each so many days at the same time, in UTC."""
    first = utc(since)
    count = (utc(until) - first) // timedelta(days=days) + 1
    return [first + number * timedelta(days=days) for number in range(count)]
