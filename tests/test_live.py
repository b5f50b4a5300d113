"""Live events, from the commit to a subscription."""

import queue
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import SESSION_KEY
from django.db import connection

from accounts.models import Scope, Team
from accounts.passes import Pass
from accounts.sessions import SessionStore
from accounts.tokens import authenticate_token, issue_token
from monitors.models import Monitor
from monitors.specs import spec_of
from probe.values import Finished, Job, Observation, Reason, Status
from tests.factories import MembershipFactory, TeamFactory, lease_of, make_monitor
from tests.operations.product import wait_until
from uptime.clock import database_now
from uptime.intake import take_in
from uptime.live import Event, Hub, Name, Subscription, read_events_since
from uptime.operations import pause_monitor

pytestmark = pytest.mark.django_db(transaction=True)


class Reader(Subscription):
    """A subscription whose events are kept instead of streamed."""

    def __init__(self, team: Team, **wanted: Any) -> None:
        super().__init__(team_id=team.pk, **wanted)
        self.events: queue.Queue[Event] = queue.Queue()
        self.has_ended = False

    def push(self, events: Iterable[Event]) -> None:
        for event in filter(self.wants, events):
            self.events.put(event)

    def end(self) -> None:
        self.has_ended = True

    def next(self) -> Event:
        return self.events.get(timeout=20)

    def next_names(self, count: int) -> set[str]:
        return {self.next().name for _ in range(count)}


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub of the test's own, whose thread ends with the test."""
    hub = Hub()
    yield hub
    hub.is_ending = lambda: True
    wait_until(lambda: not hub.is_running)


@pytest.fixture
def read(hub: Hub) -> Callable[..., Reader]:
    """Subscribe, and wait until the hub listens."""

    def start(team: Team, **wanted: Any) -> Reader:
        reader = Reader(team, **wanted)
        hub.add(reader)
        wait_until(listeners)
        return reader

    return start


def listeners() -> list[int]:
    """The backends that listen for changes in the test's database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE query = 'LISTEN changes' AND datname = current_database()"
        )
        return [pid for (pid,) in cursor.fetchall()]


def see(monitor: Monitor, status: Status = Status.UP) -> datetime:
    """Take in a check of the monitor; returns when it was made."""
    owner = uuid4()
    assignment = lease_of(monitor, owner)
    reason = None if status == Status.UP else Reason.CONNECT_REFUSED
    at = database_now()
    spec = spec_of(Monitor.objects.get(pk=monitor.pk))
    assert assignment.next_due_at is not None
    job = Job(assignment.pk, spec, assignment.next_due_at, assignment.attempt)
    assert take_in([Finished(job, Observation(status, reason), at, at)], owner=owner) == 1
    return at


def test_a_check_its_status_and_its_incident_are_told(read: Callable[..., Reader]) -> None:
    monitor = make_monitor(failure_threshold=1)
    reader = read(monitor.team)
    see(monitor, Status.DOWN)
    told = {event.name: event.data for event in (reader.next(), reader.next(), reader.next())}
    assert set(told) == {Name.CHECK, Name.MONITOR, Name.INCIDENT}
    assert {data["monitor"] for data in told.values()} == {monitor.pk}
    assert told[Name.CHECK]["status"] == told[Name.MONITOR]["status"] == "down"
    assert told[Name.INCIDENT]["reason"] == "connect_refused"


def test_a_stream_ends_when_its_token_is_revoked_or_its_member_removed(
    read: Callable[..., Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uptime.live._GOOD_FOR_S", 0)
    member = MembershipFactory()
    user, team = member.user, member.team
    tokens = [
        authenticate_token(issue_token(user=user, team=team, scope=Scope.READ)) for _ in range(2)
    ]
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session.save()
    passes = [Pass(team.pk, user.pk, token_id=token.pk) for token in tokens if token]
    passes.append(Pass(team.pk, user.pk, session_key=session.session_key or ""))
    first, second, third = (read(team, opened_with=one) for one in passes)

    assert tokens[0] is not None
    tokens[0].delete()
    wait_until(lambda: first.has_ended)
    assert (second.has_ended, third.has_ended) == (False, False)
    session.delete()
    wait_until(lambda: third.has_ended)
    assert not second.has_ended
    member.delete()
    wait_until(lambda: second.has_ended)


def test_what_people_do_is_told_too(read: Callable[..., Reader]) -> None:
    monitor = make_monitor()
    reader = read(monitor.team)
    pause_monitor(monitor=monitor)
    assert reader.next().data["status"] == "paused"


def test_a_reader_gets_its_own_teams_events_of_what_it_asked_for(
    read: Callable[..., Reader],
) -> None:
    team = TeamFactory()
    asked, other, foreign = make_monitor(team), make_monitor(team), make_monitor()
    of_one = read(team, monitors=[asked.pk])
    of_statuses = read(team, names=[Name.MONITOR])
    for monitor in (foreign, other, asked):
        see(monitor)
    assert {event.monitor_id for event in (of_one.next(), of_one.next())} == {asked.pk}
    statuses = [of_statuses.next(), of_statuses.next()]
    assert {event.name for event in statuses} == {Name.MONITOR}
    assert {event.monitor_id for event in statuses} == {asked.pk, other.pk}


def test_who_comes_back_is_told_what_it_missed(read: Callable[..., Reader]) -> None:
    monitor = make_monitor(failure_threshold=1)
    seen_at = see(monitor, Status.DOWN)
    last_id = int(seen_at.timestamp() * 1_000_000)
    reader = read(monitor.team, since=last_id)
    assert reader.next_names(3) == {Name.CHECK, Name.MONITOR, Name.INCIDENT}


def test_who_was_away_for_long_is_told_to_read_anew() -> None:
    team = TeamFactory()
    now = database_now()
    (event,) = read_events_since(now - timedelta(hours=2), now=now, team_id=team.pk)
    assert event.name == Name.RESYNC


def test_what_is_said_while_nobody_listens_is_told_once_somebody_does(
    hub: Hub, read: Callable[..., Reader]
) -> None:
    monitor = make_monitor()
    reader = read(monitor.team)
    see(monitor)
    assert reader.next_names(2) == {Name.CHECK, Name.MONITOR}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [listeners()])
    pause_monitor(monitor=monitor)
    while reader.next().data["status"] != "paused":
        pass


def test_a_notice_that_nobody_understands_ends_nothing(
    hub: Hub, read: Callable[..., Reader]
) -> None:
    """As of a newer version beside this one."""
    monitor = make_monitor()
    reader = read(monitor.team)
    with connection.cursor() as cursor:
        cursor.execute("NOTIFY changes, 'planets 1'")
    see(monitor)
    pause_monitor(monitor=monitor)
    while reader.next().data.get("status") != "paused":
        pass


def test_the_end_of_the_process_ends_every_stream(hub: Hub, read: Callable[..., Reader]) -> None:
    reader = read(TeamFactory())
    hub.is_ending = lambda: True
    wait_until(lambda: reader.has_ended)
    wait_until(lambda: not listeners())


def test_nobody_listens_for_nobody(hub: Hub, read: Callable[..., Reader]) -> None:
    reader = read(TeamFactory())
    hub.remove(reader)
    wait_until(lambda: not hub.is_running and not listeners())
