"""The page of a monitor's checks, and taking them away as a file."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import reverse

from accounts.models import Membership, Team
from monitors.models import Assignment, Monitor, Result
from monitors.partitions import ensure_partitions
from probe.values import result_id
from tests.factories import TeamFactory, make_monitor
from tests.pages.conftest import text_of

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def monitor(team: Team) -> Monitor:
    ensure_partitions({NOON.date()})
    return make_monitor(team)


def check(monitor: Monitor, minute: int, status: str = "up", message: str = "") -> None:
    assignment = Assignment.objects.get(monitor=monitor)
    at = NOON + timedelta(minutes=minute)
    Result.objects.create(
        id=result_id(assignment.pk, at, 0),
        assignment=assignment,
        checked_at=at,
        due_at=at,
        attempt=0,
        status=status,
        message=message or None,
        latency_ms=minute,
        first_byte_ms=minute,
    )


def listed(client: Client, monitor: Monitor, **query: Any) -> Any:
    answer = client.get(reverse("monitor-results", args=[monitor.pk]), query)
    assert answer.status_code == 200
    return answer.context


def minutes(context: Any) -> list[int]:
    return [int(line.result.latency_ms) for line in context["lines"]]


def taken(client: Client, monitor: Monitor, form: str, **query: Any) -> str:
    answer = client.get(reverse("monitor-results-export", args=[monitor.pk, form]), query)
    assert answer.status_code == 200
    stream = cast(StreamingHttpResponse, answer).streaming_content
    return text_of(cast(Iterable[bytes], stream))


def test_pages_go_on_from_a_result_both_ways(client: Client, monitor: Monitor) -> None:
    for minute in range(120):
        check(monitor, minute)
    first = listed(client, monitor)
    assert minutes(first) == list(range(119, 69, -1))
    assert not first["newer"]
    second = listed(client, monitor, page=first["older"])
    assert minutes(second) == list(range(69, 19, -1))
    third = listed(client, monitor, page=second["older"])
    assert minutes(third) == list(range(19, -1, -1))
    assert not third["older"]
    assert minutes(listed(client, monitor, page=third["newer"])) == minutes(second)
    assert minutes(listed(client, monitor, page="nonsense")) == minutes(first)


def test_filters_choose_by_result_and_time(client: Client, monitor: Monitor) -> None:
    for minute, status in enumerate(["up", "down", "up", "down", "degraded"]):
        check(monitor, minute, status)
    assert minutes(listed(client, monitor, status="down")) == [3, 1]
    within = {"since": "2026-11-20T12:01", "until": "2026-11-20T12:04"}
    assert minutes(listed(client, monitor, **within)) == [3, 2, 1]
    assert minutes(listed(client, monitor, status="down", since="2026-11-20T12:02")) == [3]
    assert minutes(listed(client, monitor, status="odd", since="soon")) == [4, 3, 2, 1, 0]
    assert not listed(client, monitor, status="unknown")["lines"]


def test_times_are_by_the_viewers_clock(
    client: Client, monitor: Monitor, owner: Membership
) -> None:
    for minute in range(3):
        check(monitor, minute)
    assert minutes(listed(client, monitor, since="2026-11-20T12:02")) == [2]
    kolkata = {"since": "2026-11-20T17:31", "zone": "Asia/Kolkata"}
    assert minutes(listed(client, monitor, **kolkata)) == [2, 1]
    client.cookies["zone"] = "Asia/Kolkata"
    assert minutes(listed(client, monitor, since="2026-11-20T17:31")) == [2, 1]
    client.cookies["zone"] = "../../etc/passwd"
    assert minutes(listed(client, monitor, since="2026-11-20T12:02")) == [2]
    owner.user.time_zone = "Europe/Berlin"
    owner.user.save()
    assert minutes(listed(client, monitor, since="2026-11-20T13:02")) == [2]
    assert minutes(listed(client, monitor, **kolkata)) == [2, 1]
    assert minutes(listed(client, monitor, since="2026-11-20T13:02", zone="Nowhere")) == [2]
    assert len(json.loads(taken(client, monitor, "json", **kolkata))) == 2


def test_a_file_holds_what_the_filters_let_through_oldest_first(
    client: Client, monitor: Monitor
) -> None:
    for minute, status in enumerate(["up", "down", "up"]):
        check(monitor, minute, status)
    rows = list(csv.DictReader(io.StringIO(taken(client, monitor, "csv"))))
    assert [row["status"] for row in rows] == ["up", "down", "up"]
    assert rows[1]["first_byte_ms"] == "1.0"
    assert rows[1]["location"] == "local"
    [down] = json.loads(taken(client, monitor, "json", status="down"))
    assert down["latency_ms"] == 1
    assert down["phases"]["first_byte_ms"] == 1
    assert json.loads(taken(client, monitor, "json", status="unknown")) == []


def test_what_a_server_says_is_no_formula(client: Client, monitor: Monitor) -> None:
    check(monitor, 0, "down", '=HYPERLINK("http://evil.example")')
    [row] = csv.DictReader(io.StringIO(taken(client, monitor, "csv")))
    assert row["message"] == '\'=HYPERLINK("http://evil.example")'
    [result] = json.loads(taken(client, monitor, "json"))
    assert result["message"].startswith("=")


def test_files_go_on_over_more_than_one_batch(
    client: Client, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitors.result_views.AT_ONCE", 2)
    for minute in range(5):
        check(monitor, minute)
    assert [one["latency_ms"] for one in json.loads(taken(client, monitor, "json"))] == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert len(taken(client, monitor, "csv").splitlines()) == 6


def test_other_teams_checks_and_unknown_forms_do_not_exist(
    client: Client, monitor: Monitor
) -> None:
    foreign = make_monitor(TeamFactory())
    for name, args in (
        ("monitor-results", [foreign.pk]),
        ("monitor-results-export", [foreign.pk, "csv"]),
        ("monitor-results-export", [monitor.pk, "xls"]),
    ):
        assert client.get(reverse(name, args=args)).status_code == 404
