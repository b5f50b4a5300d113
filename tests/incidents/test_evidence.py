"""What the first failing check saw stands with the incident; passing checks leave nothing."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Team
from alerts.models import Delivery, DeliveryStatus
from incidents.actions import add_update
from incidents.evidence import evidence_of, forget_evidence
from incidents.models import Evidence, Incident
from incidents.timeline import timeline_of
from monitors.actions import update_monitor
from monitors.models import Monitor, PingKind
from probe.values import Phases
from tests.factories import TeamFactory, UserFactory, WebhookFactory, make_monitor, make_policy
from tests.incidents.scenes import OURS, OWNER, REFUSED, SLOW, UP, leased, make_locations, observe
from uptime.clock import database_now
from uptime.intake import record_ping, take_in
from uptime.operations import acknowledge_incident

pytestmark = pytest.mark.django_db

BROKEN = replace(
    REFUSED,
    http_status=500,
    phases=Phases(dns_ms=1.5, connect_ms=2.0, first_byte_ms=3.0, transfer_ms=0.5),
    details={"addresses": ["127.0.0.1"], "response": {"head": "HTTP/1.1 500", "body": "Away."}},
)


@pytest.fixture
def team() -> Team:
    return TeamFactory()


@pytest.fixture
def monitor(team: Team) -> Monitor:
    return observe(make_monitor(team, name="Shop"), UP)


def kept(monitor: Monitor) -> list[tuple[str, str]]:
    rows = Evidence.objects.filter(assignment__monitor=monitor).order_by("id")
    return [(one.status, one.message) for one in rows]


def test_it_is_of_the_first_failing_check(monitor: Monitor) -> None:
    at = database_now()
    observe(monitor, BROKEN, at=at)
    observe(monitor, replace(BROKEN, message="The second."))
    observe(monitor, replace(BROKEN, message="The third."))
    [one] = evidence_of(Incident.objects.get())
    assert (one.checked_at, one.message, one.http_status) == (at, "Refused.", 500)
    assert one.phases == {
        "dns_ms": 1.5,
        "connect_ms": 2.0,
        "first_byte_ms": 3.0,
        "transfer_ms": 0.5,
    }
    in_order = [("DNS", 1.5), ("Connect", 2.0), ("First byte", 3.0), ("Transfer", 0.5)]
    assert one.labelled_phases == in_order
    assert one.details == BROKEN.details


def test_passing_checks_and_faults_of_ours_leave_none_and_cost_no_statement(
    monitor: Monitor,
) -> None:
    batch = [leased(monitor, UP)]
    with CaptureQueriesContext(connection) as queries:
        take_in(batch, owner=OWNER)
    assert not [one for one in queries if "evidence" in one["sql"]]
    observe(monitor, OURS, OURS, UP)
    assert kept(monitor) == []


def test_trouble_that_gets_worse_leaves_some_again(monitor: Monitor) -> None:
    observe(monitor, SLOW, SLOW, REFUSED, REFUSED, REFUSED)
    assert kept(monitor) == [("degraded", "Took 900 ms."), ("down", "Refused.")]


def test_each_location_leaves_its_own(team: Team) -> None:
    monitor = make_monitor(team, locations=make_locations("north", "south"), quorum=2)
    for place in ("north", "south"):
        observe(monitor, UP, location=place)
    for place in ("south", "north", "south", "north"):
        observe(monitor, REFUSED, location=place)
    found = evidence_of(Incident.objects.get())
    assert [one.assignment.location.slug for one in found] == ["south", "north"]
    opened = Incident.objects.get().events.get()
    assert opened.locations == ["north", "south"]


def test_a_heartbeat_that_reports_failure_leaves_it(team: Team) -> None:
    monitor = make_monitor(team, kind="heartbeat", settings={"grace": 10})
    record_ping(ping_key=monitor.ping_key, kind=PingKind.FAIL, method="GET", exit_status=3)
    [one] = evidence_of(Incident.objects.get())
    assert "exit status 3" in one.message


def test_secrets_of_the_monitor_are_masked_wherever_a_server_repeats_them(
    monitor: Monitor,
) -> None:
    auth = {"type": "basic", "username": "ann", "password": "correct horse"}
    monitor = update_monitor(monitor=monitor, values={"settings": {"auth": auth}})
    seen: dict[str, Any] = {"response": {"body": "ann:correct horse!"}, "rows": ["correct horse"]}
    observe(monitor, replace(REFUSED, details=seen))
    details = Evidence.objects.get().details
    assert details == {"response": {"body": "ann:********!"}, "rows": ["********"]}


def test_whatever_a_server_sent_can_be_kept(monitor: Monitor) -> None:
    seen: dict[str, Any] = {
        "nul": "a\x00b",
        "half": "\ud800",
        "number": float("nan"),
        "tuple": (1, None, True),
        "object": timedelta(seconds=1),
        "k\x00ey": 1,
    }
    observe(monitor, replace(REFUSED, message="a\x00b", details=seen))
    assert Evidence.objects.get().details == {
        "nul": "a\ufffdb",
        "half": "?",
        "number": None,
        "tuple": [1, None, True],
        "object": "0:00:01",
        "k\ufffdey": 1,
    }


def test_what_is_too_large_is_left_out(monitor: Monitor) -> None:
    seen = {"hops": ["x" * 100] * 1000, "address": "127.0.0.1"}
    observe(monitor, replace(REFUSED, details=seen))
    assert Evidence.objects.get().details == {"address": "127.0.0.1"}


def test_what_came_to_nothing_is_forgotten_after_a_day_and_the_rest_with_the_results(
    monitor: Monitor,
) -> None:
    observe(monitor, REFUSED, UP)  # a blip
    observe(monitor, BROKEN, BROKEN, UP)
    now = database_now()
    assert forget_evidence(now + timedelta(hours=23)) == 0
    assert forget_evidence(now + timedelta(hours=25)) == 1
    assert [one.http_status for one in Evidence.objects.all()] == [500]
    assert forget_evidence(now + timedelta(days=91)) == 1


def test_the_timeline_tells_the_whole_story_in_order(team: Team, monitor: Monitor) -> None:
    make_policy(team, WebhookFactory(team=team, name="Pager"))
    observe(monitor, BROKEN, BROKEN)
    incident, ann = Incident.objects.get(), UserFactory(name="Ann")
    Delivery.objects.update(status=DeliveryStatus.SENT, sent_at=database_now())
    acknowledge_incident(incident=incident, by=ann)
    add_update(incident=incident, by=ann, message="On it.")
    observe(monitor, UP)
    told = [(one.kind, str(one.author or one.channel)) for one in timeline_of(incident)]
    assert told == [
        ("began", ""),
        ("opened", ""),
        ("notified", "Pager"),
        ("acknowledged", "Ann"),
        ("commented", "Ann"),
        ("resolved", ""),
        ("notified", "Pager"),
    ]
    opened = timeline_of(incident)[1]
    assert (opened.locations, opened.severity) == (("local",), "down")
