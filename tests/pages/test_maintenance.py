"""The pages of maintenance windows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Team
from incidents.maintenance.actions import create_window, end_window
from incidents.models import Incident, MaintenanceWindow
from monitors.models import Monitor
from tests.factories import make_monitor
from tests.incidents.scenes import REFUSED, UP, observe
from uptime.clock import database_now
from uptime.operations import review_incidents

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def monitor(team: Team) -> Monitor:
    return make_monitor(team, name="Shop")


def fields(monitor: Monitor, **changed: Any) -> dict[str, Any]:
    return {
        "name": "Upgrade",
        "starts_at": "2030-07-05T02:00",
        "ends_at": "2030-07-05T04:00",
        "timezone": "Europe/Berlin",
        "repeats": "FREQ=WEEKLY",
        "days": ["FR", "SU"],
        "monitors": [str(monitor.pk)],
        **changed,
    }


def running(team: Team) -> MaintenanceWindow:
    now = database_now()
    plan = {"name": "Now", "starts_at": now - HOUR, "ends_at": now + HOUR, "all": True}
    return create_window(team=team, values=plan)


def test_a_window_is_planned_by_the_clocks_of_its_zone(client: Client, monitor: Monitor) -> None:
    answer = client.post(reverse("maintenance-new"), fields(monitor))
    made = MaintenanceWindow.objects.get()
    assert answer.headers["Location"] == made.get_absolute_url()
    assert made.starts_at == datetime(2030, 7, 5, 0, 0, tzinfo=UTC)
    assert made.rrule == "FREQ=WEEKLY;BYDAY=FR,SU"
    assert list(made.monitors.all()) == [monitor]
    page = client.get(made.get_absolute_url()).content.decode()
    assert "Upgrade" in page
    assert "Shop" in page
    assert "Scheduled" in client.get(reverse("maintenance")).content.decode()


def test_a_window_is_edited_as_it_was_entered(client: Client, monitor: Monitor) -> None:
    client.post(reverse("maintenance-new"), fields(monitor))
    made = MaintenanceWindow.objects.get()
    address = reverse("maintenance-edit", args=[made.pk])
    page = client.get(address).content.decode()
    assert 'value="2030-07-05T02:00"' in page
    client.post(address, fields(monitor, repeats="rule", rule="FREQ=MONTHLY;BYDAY=1SU", all="on"))
    made.refresh_from_db()
    assert (made.rrule, made.is_for_all) == ("FREQ=MONTHLY;BYDAY=1SU", True)
    assert "FREQ=MONTHLY;BYDAY=1SU" in client.get(address).content.decode()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"timezone": "Mars"}, "not the name of a time zone"),
        ({"repeats": "rule", "rule": "FREQ=NEVER"}, "makes no sense"),
        ({"monitors": []}, "Say which monitors"),
        ({"ends_at": "2030-07-05T01:00"}, "has to end after it starts"),
        ({"starts_at": ""}, "required"),
    ],
)
def test_what_makes_no_sense_is_shown_at_its_field(
    client: Client, monitor: Monitor, changed: dict[str, Any], sentence: str
) -> None:
    answer = client.post(reverse("maintenance-new"), fields(monitor, **changed))
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert not MaintenanceWindow.objects.exists()


def test_a_window_is_ended_started_and_extended(
    client: Client, team: Team, monitor: Monitor
) -> None:
    made = running(team)
    page = client.get(made.get_absolute_url()).content.decode()
    assert "End it now" in page
    client.post(reverse("maintenance-extend", args=[made.pk]), {"minutes": "15"})
    made.refresh_from_db()
    assert made.finishes_at == made.ends_at + timedelta(minutes=15)
    client.post(reverse("maintenance-end", args=[made.pk]))
    made.refresh_from_db()
    assert not made.is_on(database_now())
    answer = client.post(reverse("maintenance-end", args=[made.pk]), follow=True)
    assert "It is not on." in answer.content.decode()


def test_a_window_is_deleted_after_asking(client: Client, team: Team) -> None:
    made = running(team)
    address = reverse("maintenance-delete", args=[made.pk])
    assert "Delete the maintenance window" in client.get(address).content.decode()
    client.post(address)
    assert not MaintenanceWindow.objects.exists()


def test_the_monitors_page_tells_of_it(client: Client, team: Team, monitor: Monitor) -> None:
    running(team)
    review_incidents()
    page = client.get(monitor.get_absolute_url()).content.decode()
    assert "Checks go on, nobody is told until" in page


def test_monitors_are_found_by_name(client: Client, team: Team, monitor: Monitor) -> None:
    make_monitor(team, name="Mail")
    page = client.get(reverse("maintenance-monitors"), {"q": "mai"}).content.decode()
    assert "Mail" in page
    assert "Shop" not in page


def test_an_incident_tells_of_the_maintenance_that_it_outlasted(client: Client, team: Team) -> None:
    monitor = observe(make_monitor(team, failure_threshold=1), UP, REFUSED)
    made = running(team)
    review_incidents()
    end_window(window=made)
    review_incidents()
    observe(monitor, REFUSED)
    review_incidents()
    page = client.get(Incident.objects.get().get_absolute_url()).content.decode()
    assert "Maintenance began" in page
    assert "Goes on after the maintenance" in page


def test_the_calendar_shows_a_month_of_what_is_planned(client: Client, team: Team) -> None:
    plan = {"starts_at": "2030-07-04T22:00Z", "ends_at": "2030-07-05T02:00Z", "all": True}
    window = create_window(team=team, values={"name": "Upgrade", **plan})
    client.cookies["zone"] = "Europe/Berlin"
    page = client.get(reverse("maintenance-calendar") + "?month=2030-07").content.decode()
    assert "July 2030" in page
    assert "Europe/Berlin" in page
    assert page.count(window.get_absolute_url()) == 1
    assert "00:00–04:00" in page
    elsewhere = client.get(reverse("maintenance-calendar") + "?month=2030-08").content.decode()
    assert "Nothing is planned in August 2030" in elsewhere


def test_a_day_of_the_calendar_leads_to_a_form_for_it(client: Client, team: Team) -> None:
    page = client.get(reverse("maintenance-new") + "?day=2030-07-05").content.decode()
    assert 'value="2030-07-05T00:00"' in page
    assert client.get(reverse("maintenance-new") + "?day=none").status_code == 200
