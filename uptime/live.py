"""Live events: what changed, told to whoever has a page or a program open.

A web process that has subscribers listens to the database in one thread (`uptime.changes` tells),
reads the rows that are named, and hands each subscriber what it may and wants to see. Events say
how things are now, so one that comes twice does no harm; an event's id is an instant, so a
subscriber that was away is told what changed since the last one it saw.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from threading import Lock, Thread
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, connections
from django.db.models import Q
from pydantic_core import to_json

from accounts.passes import Pass, good_passes
from incidents.models import Incident
from monitors.models import Assignment, Monitor
from uptime.bell import Bell
from uptime.changes import CHANNEL, Topic, read_notice
from uptime.clock import database_now
from uptime.database import Outage

log = structlog.get_logger(__name__)

KEEP_ALIVE_S = 15.0
"""A stream that has nothing to say says so this often, so that nobody on the way cuts it."""

RECONNECT_MS: Final = 2000

# Notices of so long are answered with one look at the database.
_GATHER_S = 0.1
_LISTEN_S = 1.0
# So long somebody reads on who was let out meanwhile.
_GOOD_FOR_S = 10.0
# A transaction's notice comes up to so much later than the instants that it wrote.
_COMMITTED_WITHIN = timedelta(minutes=1)
_REMEMBERED = timedelta(hours=1)
_MOST_AT_ONCE = 1000
_MOST_STREAMS = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Name(StrEnum):
    CHECK = "check.update"
    MONITOR = "monitor.status"
    INCIDENT = "incident.update"
    RESYNC = "resync"  # more was missed than is told one by one: read anew what you show


@dataclass(frozen=True, slots=True)
class Event:
    id: int
    """Microseconds since 1970, by the database's clock."""
    name: Name
    team_id: UUID
    monitor_id: UUID | None
    data: Mapping[str, Any]

    def render(self) -> bytes:
        head = f"id: {self.id}\nevent: {self.name}\ndata: ".encode()
        return head + to_json(self.data, inf_nan_mode="null") + b"\n\n"


class Subscription:
    """One reader's stream of a team's events; of these monitors and names only, if any are given.

    `since` is the id of the last event that the reader saw. The stream ends when what it was opened
    with opens nothing any more.
    """

    def __init__(
        self,
        *,
        team_id: UUID,
        opened_with: Pass | None = None,
        monitors: Collection[UUID] = (),
        names: Collection[Name] = (),
        since: int | None = None,
    ) -> None:
        self.team_id = team_id
        self.opened_with = opened_with
        self.monitors = frozenset(monitors)
        self.names = frozenset(names)
        self.since = since
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wants(self, event: Event) -> bool:
        if event.team_id != self.team_id:
            return False
        if event.name == Name.RESYNC:
            return True
        is_of_monitors = not self.monitors or event.monitor_id in self.monitors
        return is_of_monitors and (not self.names or event.name in self.names)

    async def stream(self, hub: "Hub") -> AsyncIterator[bytes]:
        """Server-sent events until the reader goes, the process ends, or the reader is too slow."""
        self._loop = asyncio.get_running_loop()
        hub.add(self)
        try:
            yield f"retry: {RECONNECT_MS}\n\n".encode()
            while True:
                try:
                    event = await asyncio.wait_for(self._events.get(), KEEP_ALIVE_S)
                except TimeoutError:
                    yield b": nothing new\n\n"
                    continue
                if event is None:
                    return
                yield event.render()
        finally:
            hub.remove(self)

    def push(self, events: Iterable[Event]) -> None:
        """Hand over what this reader wants of these events, from any thread."""
        if wanted := [event for event in events if self.wants(event)]:
            self._call(self._take, wanted)

    def end(self) -> None:
        self._call(self._events.put_nowait, None)

    def _take(self, events: list[Event]) -> None:
        # Whoever does not keep up is let go: it comes back with the id of the last one it saw.
        behind = self._events.qsize() > 2 * _MOST_AT_ONCE
        for event in [None] if behind else events:
            self._events.put_nowait(event)

    def _call(self, act: Callable[[Any], None], value: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(act, value)


class Hub:
    """This process's subscriptions, and the thread that listens while there are any."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._subscriptions: set[Subscription] = set()
        self._new: list[Subscription] = []
        self.is_running = False
        """Whether the thread is there: it ends a moment after the last subscription."""
        self._told_until: datetime | None = None
        self._let_go_at = 0.0
        self.is_ending: Callable[[], bool] = lambda: False
        """Whether the process is about to end: streams are ended then, and clients come back."""

    @property
    def is_full(self) -> bool:
        return len(self._subscriptions) >= _MOST_STREAMS

    def add(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions.add(subscription)
            self._new.append(subscription)
            if not self.is_running:
                self.is_running = True
                Thread(target=self._run, name="live", daemon=True).start()

    def remove(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions.discard(subscription)

    def _run(self) -> None:
        bell = Bell(CHANNEL)
        outage = Outage("live")
        self._told_until = None
        try:
            while self._goes_on():
                try:
                    self._step(bell)
                except (DatabaseError, InterfaceError) as error:
                    outage.begin(error)
                    time.sleep(_LISTEN_S)
                except Exception:  # the loop's edge: whoever listens later must not find it dead
                    log.exception("live.step.failed")
                    time.sleep(_LISTEN_S)
                else:
                    outage.end()
                finally:
                    connections.close_all()  # what is not in use belongs to the requests
        finally:
            bell.close()

    def _goes_on(self) -> bool:
        with self._lock:
            if self.is_ending():
                for one in self._subscriptions:
                    one.end()
                self._subscriptions.clear()
            self.is_running = bool(self._subscriptions)
            return self.is_running

    def _step(self, bell: Bell) -> None:
        """Listen for a moment, and tell what was heard of."""
        if not bell.is_listening:
            bell.listen()
            if self._told_until is not None:  # it was away: what was told meanwhile is lost
                self._catch_up(self._present(), self._told_until)
            self._told_until = database_now()
        while self._new:  # only this thread takes one away, once it has been told
            if (since := self._new[0].since) is not None:
                self._catch_up(self._new[:1], _instant(since))
            del self._new[0]
        if time.monotonic() >= self._let_go_at:
            self._let_go_at = time.monotonic() + _GOOD_FOR_S
            self._let_go()
        if notices := bell.wait(_LISTEN_S):
            time.sleep(_GATHER_S)
            self._tell([*notices, *bell.wait(0)])

    def _let_go(self) -> None:
        """End the streams of those who may read no more."""
        held = [(one, one.opened_with) for one in self._present() if one.opened_with is not None]
        good = good_passes({opened_with for _, opened_with in held}) if held else set()
        for one, opened_with in held:
            if opened_with not in good:
                one.end()

    def _present(self) -> list[Subscription]:
        with self._lock:
            return list(self._subscriptions)

    def _tell(self, notices: Sequence[str]) -> None:
        named: defaultdict[str, set[str]] = defaultdict(set)
        for notice in notices:
            topic, ids = read_notice(notice)
            named[topic].update(ids)
        subscriptions = self._present()
        now = database_now()
        events = read_events(
            now,
            teams={one.team_id for one in subscriptions},
            checks=Q(pk__in=named[Topic.CHECKS]),
            monitors=Q(pk__in=named[Topic.MONITORS]),
            incidents=Q(pk__in=named[Topic.INCIDENTS]),
        )
        for one in subscriptions:
            one.push(events)
        self._told_until = now

    def _catch_up(self, subscriptions: Sequence[Subscription], since: datetime) -> None:
        now = database_now()
        for team_id in {one.team_id for one in subscriptions}:
            events = read_events_since(since, now=now, team_id=team_id)
            for one in subscriptions:
                one.push(events)


hub = Hub()
"""The one of this process."""


def read_events_since(since: datetime, *, now: datetime, team_id: UUID) -> list[Event]:
    """How all of a team's is now that changed since then: at least that, perhaps a little more."""
    if now - since > _REMEMBERED:
        return [_resync(team_id, now)]
    at = since - _COMMITTED_WITHIN
    events = read_events(
        now,
        teams={team_id},
        checks=Q(last_checked_at__gte=at),
        # A status dates from the first failing check, which may lie long before its confirmation;
        # but whatever changes it, a check or a person, leaves one of these.
        monitors=Q(last_change_at__gte=at)
        | Q(updated_at__gte=at)
        | Q(
            pk__in=Assignment.objects.filter(
                monitor__team_id=team_id, last_checked_at__gte=at
            ).values("monitor_id")
        ),
        incidents=Q(
            pk__in=Incident.objects.filter(team_id=team_id, events__at__gte=at).values("pk")
        ),
    )
    return events if len(events) <= _MOST_AT_ONCE else [_resync(team_id, now)]


def read_events(
    now: datetime, *, teams: Collection[UUID], checks: Q, monitors: Q, incidents: Q
) -> list[Event]:
    """How these rows of these teams are now. Three queries at most."""
    return [
        *_check_events(now, Assignment.objects.filter(checks, monitor__team_id__in=teams)),
        *_monitor_events(now, Monitor.objects.filter(monitors, team_id__in=teams)),
        *_incident_events(now, Incident.objects.filter(incidents, team_id__in=teams)),
    ]


def _check_events(now: datetime, assignments: Any) -> list[Event]:
    rows = assignments.exclude(last_checked_at=None).values_list(
        "monitor__team_id",
        "monitor_id",
        "location__slug",
        "last_checked_at",
        "last_status",
        "last_reason",
        "last_message",
        "last_latency_ms",
    )
    names = ("monitor", "location", "checked_at", "status", "reason", "message", "latency_ms")
    return [
        Event(_id(now), Name.CHECK, row[0], row[1], dict(zip(names, row[1:], strict=True)))
        for row in rows[: _MOST_AT_ONCE + 1]
    ]


def _monitor_events(now: datetime, monitors: Any) -> list[Event]:
    names = ("id", "name", "status", "reason", "message", "last_change_at")
    return [
        Event(
            _id(now),
            Name.MONITOR,
            row[0],
            row[1],
            {"monitor": row[1], **dict(zip(names[1:], row[2:], strict=True))},
        )
        for row in monitors.values_list("team_id", *names)[: _MOST_AT_ONCE + 1]
    ]


def _incident_events(now: datetime, incidents: Any) -> list[Event]:
    names = ("id", "status", "severity", "reason", "message", "started_at", "resolved_at")
    return [
        Event(
            _id(now),
            Name.INCIDENT,
            row[0],
            row[1],
            {"incident": row[2], "monitor": row[1], **dict(zip(names[1:], row[3:], strict=True))},
        )
        for row in incidents.values_list("team_id", "monitor_id", *names)[: _MOST_AT_ONCE + 1]
    ]


def _resync(team_id: UUID, now: datetime) -> Event:
    return Event(_id(now), Name.RESYNC, team_id, None, {})


def _id(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _instant(id_: int) -> datetime:
    return _EPOCH + timedelta(microseconds=id_)
