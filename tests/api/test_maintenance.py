"""Maintenance windows over REST."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from accounts.models import Team
from incidents.maintenance.actions import create_window
from incidents.models import MaintenanceWindow
from monitors.models import Monitor
from tests.api.conftest import Api
from tests.factories import TeamFactory, make_monitor
from tests.incidents.scenes import UP, observe
from uptime.clock import database_now
from uptime.operations import review_incidents

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
def monitor(team: Team) -> Monitor:
    return observe(make_monitor(team), UP)


def values(monitor: Monitor, **changed: Any) -> dict[str, Any]:
    now = database_now()
    return {
        "name": "Upgrade",
        "starts_at": iso(now + HOUR),
        "ends_at": iso(now + 2 * HOUR),
        "rrule": "FREQ=WEEKLY",
        "timezone": "Europe/Berlin",
        "monitors": [str(monitor.pk)],
        "public": True,
        **changed,
    }


def test_a_window_is_planned_read_and_changed(api: Api, monitor: Monitor) -> None:
    given = values(monitor)
    created = api.post("maintenance/", given)
    assert created.status_code == 201
    made = created.json()
    assert {name: made[name] for name in given} == given
    assert (made["state"], made["begins_at"]) == ("scheduled", given["starts_at"])
    assert (made["all"], made["tags"]) == (False, [])

    address = f"maintenance/{made['id']}/"
    assert api.patch(address, {"tags": ["eu"], "public": False}).json()["tags"] == ["eu"]
    assert api.get(address).json()["public"] is False
    assert [one["id"] for one in api.get("maintenance/").json()["results"]] == [made["id"]]
    assert api.get(f"maintenance/?monitor={monitor.pk}").json()["count"] == 1
    assert api.get("maintenance/?monitor=01a2048b-9b41-7739-9e72-6be3bdc51623").json()["count"] == 0
    assert api.delete(address).status_code == 204
    assert api.get(address).status_code == 404


def test_a_window_is_started_extended_and_ended(api: Api, monitor: Monitor) -> None:
    made = api.post("maintenance/", values(monitor)).json()
    address = f"maintenance/{made['id']}/"
    assert api.post(f"{address}end/").status_code == 409
    assert api.post(f"{address}start/").json()["state"] == "active"
    review_incidents()
    assert api.get(f"monitors/{monitor.pk}/").json()["status"] == "maintenance"
    later = datetime.fromisoformat(made["finishes_at"]) + timedelta(minutes=30)
    assert api.post(f"{address}extend/", {"minutes": 30}).json()["finishes_at"] == iso(later)
    assert api.post(f"{address}extend/", {"minutes": 0}).status_code == 400
    ended = api.post(f"{address}end/").json()
    week = timedelta(days=7)
    assert ended["state"] == "scheduled"
    assert ended["begins_at"] in {
        iso(datetime.fromisoformat(made["starts_at"]) + week + shift)
        for shift in (-HOUR, timedelta(), HOUR)  # the clocks may change in between
    }


def test_its_occurrences_are_listed(api: Api, monitor: Monitor) -> None:
    plan = values(
        monitor,
        starts_at="2030-03-24T01:00:00Z",
        ends_at="2030-03-24T03:00:00Z",
        rrule="FREQ=WEEKLY",
    )
    made = api.post("maintenance/", plan).json()
    window = "since=2030-03-01T00:00:00Z&until=2030-04-01T00:00:00Z"
    found = api.get(f"maintenance/{made['id']}/occurrences/?{window}").json()
    assert found["occurrences"] == [
        {"starts_at": "2030-03-24T01:00:00Z", "ends_at": "2030-03-24T03:00:00Z"},
        {"starts_at": "2030-03-31T01:00:00Z", "ends_at": "2030-03-31T02:00:00Z"},
    ]
    window = "since=2030-03-01T00:00:00Z&until=2035-04-01T00:00:00Z"
    assert api.get(f"maintenance/{made['id']}/occurrences/?{window}").status_code == 400


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"rrule": "FREQ=SOMETIMES"}, "rrule"),
        ({"timezone": "Berlin"}, "timezone"),
        ({"starts_at": "2030-01-01T00:00:00"}, "starts_at"),
        ({"monitors": []}, ""),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_makes_no_sense_is_refused(
    api: Api, monitor: Monitor, changed: dict[str, Any], field: str
) -> None:
    answer = api.post("maintenance/", values(monitor, **changed))
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [field]
    assert not MaintenanceWindow.objects.exists()


def test_another_teams_window_is_not_there(api: Api) -> None:
    now = database_now()
    foreign = create_window(
        team=TeamFactory(),
        values={"name": "Theirs", "starts_at": now, "ends_at": now + HOUR, "all": True},
    )
    for method, path in [("get", ""), ("delete", ""), ("post", "start/"), ("post", "end/")]:
        answer = getattr(api, method)(f"maintenance/{foreign.pk}/{path}")
        assert answer.status_code == 404
    assert MaintenanceWindow.objects.filter(pk=foreign.pk).exists()


def test_results_inside_are_marked(api: Api, team: Team, monitor: Monitor) -> None:
    now = database_now()
    plan = {"name": "Now", "starts_at": now, "ends_at": now + HOUR, "all": True}
    create_window(team=team, values=plan)
    review_incidents()
    observe(monitor, UP)
    found = api.get(f"monitors/{monitor.pk}/results/").json()["results"]
    assert [one["maintenance"] for one in found] == [True, False]
