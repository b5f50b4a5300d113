"""The pages of on-call."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.models import Membership, Team
from alerts.models import Override, Schedule
from alerts.on_call.actions import create_schedule, schedule_values
from alerts.on_call.forms import read_windows, windows_text
from tests.factories import WebhookFactory
from uptime.errors import Invalid

pytestmark = pytest.mark.django_db


def text(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status
    shown: str = answer.content.decode()
    return shown


@pytest.fixture
def schedule(team: Team, owner: Membership) -> Schedule:
    layer = {"members": [owner.user.email], "start": "2026-01-05T09:00"}
    values = {"name": "Primary", "timezone": "Europe/Berlin", "layers": [layer]}
    return create_schedule(team=team, values=values)


def entered(owner: Membership, **changes: str) -> dict[str, str]:
    return {
        "name": "Primary",
        "timezone": "Europe/Berlin",
        "schedule.layers.0.members": owner.user.email,
        "schedule.layers.0.start": "2026-01-05T09:00",
        "schedule.layers.0.rotation": "custom",
        "schedule.layers.0.turn_hours": "12",
        "schedule.layers.0.windows": "mon-wed 08:00-18:00; sat,sun 10:00-14:00",
        "schedule.layers.1.rotation": "weekly",
        **changes,
    }


def test_without_a_schedule_the_page_says_what_one_is(client: Client) -> None:
    assert "No schedule yet" in text(client.get(reverse("on-call")))


def test_a_schedule_is_made_from_its_form_and_shown_in_it_again(
    client: Client, owner: Membership
) -> None:
    answer = client.post(reverse("schedule-new"), entered(owner), follow=True)
    assert "The next four weeks" in text(answer)
    made = Schedule.objects.get()
    [layer] = schedule_values(made)["layers"]
    assert (layer["rotation"], layer["turn_hours"]) == ("custom", 12)
    assert layer["windows"] == [
        {"days": ["mon", "tue", "wed"], "start": "08:00", "end": "18:00"},
        {"days": ["sat", "sun"], "start": "10:00", "end": "14:00"},
    ]
    shown = text(client.get(reverse("schedule-edit", args=[made.pk])))
    assert "mon,tue,wed 08:00-18:00; sat,sun 10:00-14:00" in shown
    assert 'value="2026-01-05T09:00"' in shown
    assert client.post(reverse("schedule-edit", args=[made.pk]), entered(owner)).status_code == 302


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"schedule.layers.0.windows": "someday"}, "makes no sense"),
        ({"schedule.layers.0.windows": "mon 08:00-25:00"}, "Give a time of day"),
        ({"schedule.layers.0.members": "x@example.org"}, "There is no member x@example.org"),
        ({"schedule.layers.0.start": ""}, "Give a date and a time"),
        ({"schedule.layers.0.turn_hours": ""}, "Say how long a turn is"),
        ({"timezone": "Mars"}, "not the name of a time zone"),
    ],
)
def test_what_is_wrong_with_a_schedule_stands_beside_it(
    client: Client, owner: Membership, wrong: dict[str, str], sentence: str
) -> None:
    shown = text(client.post(reverse("schedule-new"), entered(owner, **wrong)), 422)
    assert re.search(rf'class="error"[^>]*>[^<]*{sentence}', shown)


@pytest.mark.parametrize(
    ("told", "days"),
    [
        ("mon 08:00-18:00", [["mon"]]),
        ("Fri-Mon 22:00 - 06:00", [["fri", "sat", "sun", "mon"]]),
        ("mon, wed 08:00-18:00;; sun 00:00-00:00;", [["mon", "wed"], ["sun"]]),
        ("", []),
    ],
)
def test_windows_are_read_from_words(told: str, days: list[list[str]]) -> None:
    windows = read_windows(told, field="windows")
    assert [window["days"] for window in windows] == days
    assert read_windows(windows_text(windows), field="windows") == windows


@pytest.mark.parametrize("told", ["08:00-18:00", "mon", "mon 08:00", "moon 08:00-18:00"])
def test_other_words_are_refused(told: str) -> None:
    with pytest.raises(Invalid, match="makes no sense"):
        read_windows(told, field="windows")


def test_the_page_tells_who_is_on_call(
    client: Client, schedule: Schedule, owner: Membership
) -> None:
    shown = text(client.get(reverse("on-call")))
    assert "Primary" in shown
    assert str(owner.user) in shown
    assert "Covered" in shown


def test_an_override_is_added_in_the_schedules_time_zone_and_cancelled(
    client: Client, schedule: Schedule, owner: Membership
) -> None:
    data = {
        "member": owner.user.email,
        "starts_at": "2199-07-01T09:00",
        "ends_at": "2199-07-02T09:00",
    }
    client.post(reverse("override-new", args=[schedule.pk]), data)
    override = Override.objects.get()
    assert override.starts_at.isoformat() == "2199-07-01T07:00:00+00:00"
    assert "Cancel" in text(client.get(reverse("schedule", args=[schedule.pk])))
    client.post(reverse("override-cancel", args=[override.pk]))
    assert not Override.objects.exists()
    backwards = {**data, "ends_at": "2199-06-01T09:00"}
    shown = text(client.post(reverse("override-new", args=[schedule.pk]), backwards), 422)
    assert "end after it starts" in shown


def test_everybody_chooses_how_they_are_reached(
    viewer_client: Client, team: Team, schedule: Schedule
) -> None:
    channel = WebhookFactory(team=team)
    viewer_client.post(reverse("contacts"), {"channels": [str(channel.pk)]})
    assert [one.role for one in channel.contact_of.all()] == ["viewer"]
    assert re.search(
        rf'value="{channel.pk}"[^>]*checked', text(viewer_client.get(reverse("on-call")))
    )


def test_the_calendars_address_is_shown_and_can_be_changed(
    client: Client, schedule: Schedule
) -> None:
    page = reverse("schedule", args=[schedule.pk])
    pattern = r"/on-call/[0-9a-f-]{36}/[0-9a-f]{64}\.ics"
    first = re.search(pattern, text(client.get(page)))
    assert first
    assert Client().get(first[0]).status_code == 200
    client.post(reverse("calendar-renew", args=[schedule.pk]))
    assert Client().get(first[0]).status_code == 404
    second = re.search(pattern, text(client.get(page)))
    assert second
    assert Client().get(second[0]).status_code == 200


def test_a_schedule_is_deleted_after_a_question(client: Client, schedule: Schedule) -> None:
    address = reverse("schedule-delete", args=[schedule.pk])
    assert "tell nobody by it" in text(client.get(address))
    client.post(address)
    assert not Schedule.objects.exists()


def test_a_step_names_a_schedule_in_the_policys_form(
    client: Client, team: Team, schedule: Schedule
) -> None:
    data = {
        "name": "P",
        "on": ["down"],
        "reach": "all",
        "policy.steps.0.schedules": [str(schedule.pk)],
    }
    assert client.post(reverse("policy-new"), data).status_code == 302
    assert "who is on call by" in text(client.get(reverse("policies")))


def test_the_list_takes_as_many_queries_for_many_as_for_one(
    client: Client,
    team: Team,
    schedule: Schedule,
    owner: Membership,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(2):
        with django_assert_num_queries(11):
            client.get(reverse("on-call"))
        create_schedule(team=team, values=schedule_values(schedule))
