"""Whatever an address or a form holds, the answer is never a fault of ours."""

import base64
import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Team
from incidents.models import MaintenanceWindow
from monitors.models import Monitor
from statuspages.actions import create_page
from statuspages.models import Post
from tests.factories import make_monitor

pytestmark = pytest.mark.django_db

EARLIEST = ("0001-01-01T00:00", "Asia/Tokyo")
LATEST = ("9999-12-31T23:59", "America/New_York")


def place(*parts: Any) -> str:
    return packed(json.dumps(parts))


def packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, 1e308 * 10), (2, "\ud800"), (2, ["x"]), (3, "0001-01-01T00:00+14:00"), (4, 5), (4, None)],
)
def test_a_place_in_the_list_that_nobody_gave_is_its_beginning(
    client: Client, team: Team, at: int, value: Any
) -> None:
    parts = [1, "up", "x", "2026-01-01T00:00:00+00:00", str(make_monitor(team).pk), 0]
    parts[at] = value
    for sort in ("state", "name", "changed"):
        query = {"page": place(*parts), "sort": sort}
        assert client.get(reverse("home"), query).status_code == 200


def test_a_place_in_the_list_may_be_nested_deeply(client: Client) -> None:
    assert client.get(reverse("home"), {"page": packed("[" * 2500)}).status_code == 200


@pytest.mark.parametrize(
    "name", ["policy-new", "policy-monitors", "maintenance-new", "maintenance-monitors"]
)
def test_a_search_for_nul_finds_what_a_search_for_nothing_does(client: Client, name: str) -> None:
    assert client.get(reverse(name), {"q": "\0"}).status_code == 200


@pytest.mark.parametrize(("time", "zone"), [EARLIEST, LATEST])
def test_a_time_at_the_edge_of_the_calendar_is_refused_at_its_field(
    client: Client, team: Team, time: str, zone: str
) -> None:
    page = create_page(team=team, values={"name": "Acme", "slug": "acme"})
    times = {"starts_at": time, "ends_at": time, "zone": zone, "timezone": zone}

    for address, fields in (
        (reverse("maintenance-new"), {"name": "Move", "all": "on"}),
        (
            reverse("status-post-new", args=[page.pk, "maintenance"]),
            {"title": "Move", "phase": "scheduled"},
        ),
    ):
        answer = client.post(address, {**times, **fields})
        assert answer.status_code == 422
        assert "Give a year from 2000 to 2199." in answer.content.decode()
    assert not MaintenanceWindow.objects.exists()
    assert not Post.objects.exists()


@pytest.mark.parametrize(("time", "zone"), [EARLIEST, LATEST])
def test_a_time_at_the_edge_of_the_calendar_filters_nothing(
    client: Client, team: Team, time: str, zone: str
) -> None:
    checks = reverse("monitor-results", args=[make_monitor(team).pk])
    assert client.get(checks, {"since": time, "until": time, "zone": zone}).status_code == 200


@pytest.mark.parametrize("promised", ["1e308", "-1e308", "100.1"])
def test_no_monitor_promises_more_than_everything(client: Client, promised: str) -> None:
    fields = {"target": "http://127.0.0.1/", "sla_target": promised}
    answer = client.post(reverse("monitor-new-kind", args=["http"]), fields)
    assert answer.status_code == 422
    assert "Give a share of 100 %." in answer.content.decode()
    assert not Monitor.objects.exists()


def test_a_form_may_have_a_box_for_each_of_very_many(client: Client, team: Team) -> None:
    page = create_page(team=team, values={"name": "Acme", "slug": "acme"})
    boxes = {f"impact-{number}": "" for number in range(10_000)}
    fields = {"title": "Slow", "phase": "investigating", **boxes}
    answer = client.post(reverse("status-post-new", args=[page.pk, "incident"]), fields)
    assert answer.status_code == 302
    assert Post.objects.get().title == "Slow"


def test_a_value_that_looks_like_deep_json_is_a_text(client: Client) -> None:
    row = "settings.assertions.0"
    fields = {"target": "http://127.0.0.1/", f"{row}.source": "body", f"{row}.value": "[" * 3000}
    answer = client.post(
        reverse("monitor-new-kind", args=["http"]), {**fields, f"{row}.comparison": "contains"}
    )
    assert answer.status_code < 500
