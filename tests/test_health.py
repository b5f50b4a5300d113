"""What the health addresses tell, and to what they keep."""

import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import Team
from alerts.models import Channel, Delivery
from monitors.models import Assignment, Location, Monitor, Shift
from uptime import health

SECRET = "hunter2-correct-horse"


@pytest.fixture
def shift(db: None) -> Shift:
    now = timezone.now()
    return Shift.objects.create(duty="checks", host="here", pid=1, started_at=now, beat_at=now)


@pytest.fixture
def assignment(db: None) -> Assignment:
    monitor = Monitor.objects.create(
        team=Team.objects.create(name="Team"), name="Shop", kind="http", target="http://shop/"
    )
    return Assignment.objects.create(
        monitor=monitor, location=Location.objects.get(slug=Location.LOCAL)
    )


def examined() -> dict[str, health.Part]:
    found: dict[str, health.Part] = {}
    health.examine(found)
    return found


def failing() -> list[str]:
    return [name for name, part in examined().items() if not part.is_ok]


def test_live_asks_no_database(client: Client) -> None:
    response = client.get("/health/live")  # without the mark, pytest-django refuses any query
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_live_is_not_cached_and_not_written_to(client: Client) -> None:
    assert "no-store" in client.get("/health/live")["Cache-Control"]
    assert client.head("/health/live").status_code == 200
    assert client.post("/health/live").status_code == 405


def test_everything_is_well_while_an_engine_beats(shift: Shift) -> None:
    parts = examined()
    named = ["database", "broker", "checks", "overdue", "sight", "deliveries", "history"]
    assert list(parts) == named
    assert all(part.is_ok for part in parts.values())
    assert parts["checks"].facts == {"engines": 1, "engines_draining": 0}


def test_no_engine_at_all_is_named(db: None) -> None:
    assert failing() == ["checks"]
    assert "no check engine" in examined()["checks"].message


def test_an_engine_that_fell_silent_is_no_engine(shift: Shift) -> None:
    Shift.objects.update(beat_at=timezone.now() - timedelta(seconds=11))
    assert failing() == ["checks"]


def test_a_shift_of_another_duty_is_no_engine(shift: Shift) -> None:
    Shift.objects.update(duty="deliveries")
    assert failing() == ["checks"]


def test_a_draining_engine_that_still_beats_will_do(shift: Shift) -> None:
    Shift.objects.update(is_draining=True)
    assert failing() == []
    assert examined()["checks"].facts == {"engines": 0, "engines_draining": 1}


def test_a_check_that_nobody_takes_is_named_with_its_age(
    shift: Shift, assignment: Assignment
) -> None:
    Assignment.objects.update(next_due_at=timezone.now() - timedelta(seconds=90))
    overdue = examined()["overdue"]
    assert not overdue.is_ok
    assert 90 <= overdue.facts["age_s"] < 95
    assert "a check has been due for 9" in overdue.message


@pytest.mark.parametrize(
    ("due", "owner", "lease"),
    [
        (30, None, None),  # late, within the limit
        (90, "somebody", -60),  # under somebody's lease: being checked
        (-30, None, None),  # not due yet
        (None, None, None),  # paused
    ],
)
def test_a_check_in_its_course_is_not_overdue(
    shift: Shift, assignment: Assignment, due: int | None, owner: str | None, lease: int | None
) -> None:
    now = timezone.now()
    Assignment.objects.update(
        next_due_at=None if due is None else now - timedelta(seconds=due),
        lease_owner=owner and uuid4(),
        lease_expires_at=None if lease is None else now - timedelta(seconds=lease),
    )
    assert failing() == []


def test_a_lease_that_lapsed_does_not_hide_an_overdue_check(
    shift: Shift, assignment: Assignment
) -> None:
    past = timezone.now() - timedelta(seconds=90)
    Assignment.objects.update(next_due_at=past, lease_owner=uuid4(), lease_expires_at=past)
    assert failing() == ["overdue"]


def test_what_another_location_leaves_undone_is_not_this_installations_trouble(
    shift: Shift, assignment: Assignment
) -> None:
    far = Location.objects.create(slug="far", name="Far away")
    Assignment.objects.update(location=far, next_due_at=timezone.now() - timedelta(hours=1))
    assert failing() == []


@pytest.mark.parametrize(("waits_s", "parts"), [(30, []), (90, ["deliveries"]), (-3600, [])])
def test_a_delivery_is_late_once_its_time_is_long_past(
    shift: Shift, assignment: Assignment, waits_s: int, parts: list[str]
) -> None:
    team = assignment.monitor.team
    Delivery.objects.create(
        team=team,
        channel=Channel.objects.create(team=team, name="Mail", type="email"),
        event="test",
        facts={},
        next_attempt_at=timezone.now() - timedelta(seconds=waits_s),
    )
    assert failing() == parts


def test_the_waiting_tasks_of_each_queue_are_told(shift: Shift) -> None:
    OrmQ.objects.create(key="checks", payload="x", lock=timezone.now())
    OrmQ.objects.create(key="checks", payload="x", lock=timezone.now() + timedelta(seconds=60))
    assert examined()["broker"].facts == {"waiting_tasks": {"checks": 1, "default": 0}}


def test_a_redis_that_is_away_is_named_without_its_password(
    shift: Shift, settings: Any, unused_tcp_port: int
) -> None:
    settings.REDIS_URL = f"redis://:{SECRET}@127.0.0.1:{unused_tcp_port}/0"
    parts = examined()
    assert failing() == ["broker"]
    assert "ConnectionError" in parts["broker"].message
    assert SECRET not in str(parts)


def test_a_redis_that_hangs_is_given_up(shift: Shift, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        settings.REDIS_URL = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"
        assert failing() == ["broker"]


def test_a_database_error_is_named_by_its_kind_only(
    shift: Shift, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(limit: timedelta) -> Iterator[None]:
        raise OperationalError(f'connection to "10.0.0.5" failed: password={SECRET}')

    monkeypatch.setattr(health.vitals, "bounded_reads", refuse)
    parts = examined()
    assert list(parts) == ["database"]
    assert parts["database"].message == "can't be asked (OperationalError); the log says more"


@pytest.mark.django_db(transaction=True)
class TestReady:
    """The address itself, whose examination runs on a connection of its own."""

    def test_it_is_200_when_all_is_well(self, client: Client) -> None:
        now = timezone.now()
        Shift.objects.create(duty="checks", host="here", pid=1, started_at=now, beat_at=now)
        response = client.get("/health/ready")
        assert response.status_code == 200
        assert response.json()["status"] == "ok"
        assert response.json()["failing"] == []
        assert response.json()["parts"]["overdue"] == {
            "status": "ok",
            "age_s": 0,
            "limit_s": 60,
        }
        assert "no-store" in response["Cache-Control"]

    def test_it_is_503_with_the_failing_part_named(self, client: Client) -> None:
        response = client.get("/health/ready")
        assert response.status_code == 503
        assert response.json()["failing"] == ["checks"]
        assert response.json()["parts"]["checks"]["status"] == "failing"

    def test_a_database_that_never_answers_is_given_up_and_asked_by_one_at_a_time(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer, asked = threading.Event(), []

        def hang(found: dict[str, health.Part]) -> None:
            asked.append(1)
            answer.wait(10)

        monkeypatch.setattr(health, "examine", hang)
        monkeypatch.setattr(health, "PATIENCE", timedelta(seconds=0.05))
        try:
            for _ in range(3):
                response = client.get("/health/ready")
                assert response.status_code == 503
                assert response.json()["parts"]["database"]["message"] == "no answer within 0.05 s"
                assert "not looked at" in response.json()["parts"]["broker"]["message"]
        finally:
            answer.set()
        assert len(asked) == 1

    def test_a_fault_of_ours_is_503_at_the_part_where_it_happened(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(now: object) -> health.Part:
            raise LookupError(SECRET)

        monkeypatch.setitem(health.PARTS, "broker", broken)
        response = client.get("/health/ready")
        assert response.status_code == 503
        failing = ["broker", "checks", "overdue", "sight", "deliveries", "history"]
        assert response.json()["failing"] == failing
        assert "fault of ours" in response.json()["parts"]["broker"]["message"]
        assert SECRET not in response.content.decode()

    def test_a_database_that_is_away_is_503_and_no_traceback(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
    ) -> None:
        away = {
            **connection.settings_dict,
            "HOST": "127.0.0.1",
            "PORT": str(unused_tcp_port),
            "PASSWORD": SECRET,
        }

        def examine_elsewhere(found: dict[str, health.Part]) -> None:
            connection.settings_dict = away
            examine(found)

        examine = health.examine
        monkeypatch.setattr(health, "examine", examine_elsewhere)
        response = client.get("/health/ready")
        assert response.status_code == 503
        assert response.json()["failing"] == list(health.PARTS)
        assert "OperationalError" in response.json()["parts"]["database"]["message"]
        assert SECRET not in json.dumps(response.json())
