"""What passing checks see besides their result is asked for now and then, and kept."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from monitors.details import AGAIN, AT_ONCE, EVERY, Asking
from monitors.models import Assignment, Details, Monitor
from monitors.specs import spec_of
from probe.values import Finished, Job, Observation, Reason, Spec, Status
from tests.factories import MembershipFactory, TeamFactory, make_monitor
from tests.pages.conftest import signed_in
from uptime.clock import database_now
from uptime.intake import take_in
from uptime.operations import delete_monitor

pytestmark = pytest.mark.django_db

SEEN = {
    "addresses": ["192.0.2.7"],
    "certificate": {"subject": "CN=shop.example.org", "serial_number": "hunter2"},
    "response": {"body": "private"},
}
UP = Observation(Status.UP, latency_ms=12.5, details=SEEN)


def check(monitor: Monitor, seen: Observation, *, wants_details: bool = True) -> None:
    assignment = Assignment.objects.get(monitor=monitor)
    owner, now = uuid4(), database_now()
    Assignment.objects.filter(pk=assignment.pk).update(lease_owner=owner, next_due_at=now)
    job = Job(assignment.pk, spec_of(monitor), now, wants_details=wants_details)
    take_in([Finished(job, seen, started_at=now, finished_at=database_now())], owner=owner)


def found(monitor: Monitor) -> dict[str, Any] | None:
    row = Details.objects.filter(assignment__monitor=monitor).first()
    return row.found if row else None


@pytest.fixture
def spec() -> Spec:
    return spec_of(make_monitor())


def test_a_check_is_asked_once_in_six_hours_and_after_a_change(spec: Spec) -> None:
    asking = Asking()
    assert asking.asks(1, spec, 1000)
    asking.rest(1, spec.revision, 1001)
    soon = 1001 + EVERY.total_seconds()
    assert not asking.asks(1, spec, soon - 1)
    assert asking.asks(1, replace(spec, revision=spec.revision + 1), soon - 1)
    assert asking.asks(1, spec, soon)


def test_a_check_that_brought_nothing_is_asked_again_soon(spec: Spec) -> None:
    asking = Asking()
    assert asking.asks(1, spec, 1000)
    assert not asking.asks(1, spec, 1000 + AGAIN.total_seconds() - 1)
    assert asking.asks(1, spec, 1000 + AGAIN.total_seconds())


def test_many_are_asked_one_after_the_other(spec: Spec) -> None:
    asking = Asking()
    at_once = sum(asking.asks(number, spec, 1000) for number in range(1000))
    assert at_once == AT_ONCE
    assert sum(asking.asks(number, spec, 1002) for number in range(1000)) == 10


def test_heartbeats_are_not_asked() -> None:
    assert not Asking().asks(1, spec_of(make_monitor(kind="heartbeat", target="")), 1000)


def test_what_was_seen_is_kept_without_the_answer_and_without_secrets() -> None:
    auth = {"type": "basic", "username": "probe", "password": "hunter2"}
    monitor = make_monitor(settings={"auth": auth})
    check(monitor, UP)
    assert found(monitor) == {
        "addresses": ["192.0.2.7"],
        "certificate": {"subject": "CN=shop.example.org", "serial_number": "********"},
    }
    check(monitor, replace(UP, details={"addresses": ["192.0.2.8"]}))
    assert found(monitor) == {"addresses": ["192.0.2.8"]}


def test_neither_failing_checks_nor_those_not_asked_leave_any() -> None:
    monitor = make_monitor()
    check(monitor, UP, wants_details=False)
    check(monitor, replace(UP, status=Status.DOWN, reason=Reason.CONNECT_REFUSED, message="No."))
    assert found(monitor) is None


def test_they_go_with_their_monitor() -> None:
    monitor = make_monitor()
    check(monitor, UP)
    delete_monitor(monitor=monitor)
    assert not Details.objects.exists()


def test_a_monitors_page_shows_them() -> None:
    team = TeamFactory()
    monitor = make_monitor(team)
    check(monitor, UP)
    shown = signed_in(MembershipFactory(team=team)).get(monitor.get_absolute_url())
    assert "CN=shop.example.org" in shown.content.decode()
    assert "192.0.2.7" in shown.content.decode()
