"""Schedules, overrides and contacts over REST."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.models import Membership, Team
from alerts.models import Override, Schedule
from alerts.on_call.actions import create_schedule
from tests.api.conftest import Api
from tests.factories import MembershipFactory, WebhookFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def body(membership: Membership) -> dict[str, Any]:
    return {
        "name": "Primary",
        "timezone": "America/New_York",
        "layers": [
            {
                "members": [membership.user.email],
                "start": "2026-01-05T09:00",
                "rotation": "weekly",
                "turn_hours": 168,
                "windows": [{"days": ["mon"], "start": "09:00", "end": "17:00"}],
            }
        ],
    }


def test_schedules_are_made_read_changed_and_deleted(api: Api, body: dict[str, Any]) -> None:
    made = api.post("schedules/", body)
    assert made.status_code == 201
    path = f"schedules/{made.json()['id']}/"
    assert {name: made.json()[name] for name in body} == body
    assert api.get(path).json() == made.json()
    assert api.get("schedules/").json()["results"] == [made.json()]

    changed = api.patch(path, {"timezone": "UTC"})
    assert (changed.status_code, changed.json()["timezone"]) == (200, "UTC")
    assert changed.json()["layers"] == body["layers"]

    assert api.delete(path).status_code == 204
    assert not Schedule.objects.exists()


def test_who_is_on_call_now_and_next(
    api: Api, body: dict[str, Any], membership: Membership
) -> None:
    path = f"schedules/{api.post('schedules/', body).json()['id']}/"
    # Monday, 12:00 in New York
    now = api.get(f"{path}on-call/", at="2026-01-12T17:00:00Z").json()
    assert now == {
        "member": membership.user.email,
        "until": "2026-01-12T22:00:00Z",
        "next": {
            "starts_at": "2026-01-12T22:00:00Z",
            "ends_at": "2026-01-19T14:00:00Z",
            "member": None,
        },
    }
    window = {"since": "2026-01-12T00:00:00Z", "until": "2026-01-13T00:00:00Z"}
    found = api.get(f"{path}shifts/", **window).json()["shifts"]
    assert [shift["member"] for shift in found] == [None, membership.user.email, None]
    wrong = api.get(f"{path}shifts/", **{**window, "until": "2036-01-13T00:00:00Z"})
    assert "until" in wrong.json()["error"]["fields"]


def test_an_override_is_added_and_taken_back(api: Api, team: Team, body: dict[str, Any]) -> None:
    other = MembershipFactory(team=team)
    path = f"schedules/{api.post('schedules/', body).json()['id']}/"
    values = {
        "member": other.user.email,
        "starts_at": "2199-01-12T00:00:00Z",
        "ends_at": "2199-01-14T00:00:00Z",
    }
    made = api.post(f"{path}overrides/", values)
    assert made.status_code == 201
    assert {name: made.json()[name] for name in values} == values
    assert api.get(f"{path}overrides/").json()["results"] == [made.json()]
    then = api.get(f"{path}on-call/", at="2199-01-13T00:00:00Z").json()
    assert then["member"] == other.user.email
    assert api.delete(f"{path}overrides/{made.json()['id']}/").status_code == 204
    assert not Override.objects.exists()


def test_contacts_are_chosen_for_a_member(api: Api, team: Team, membership: Membership) -> None:
    channel = str(WebhookFactory(team=team).pk)
    [contact] = api.get("contacts/").json()["results"]
    assert contact == {"id": membership.pk, "member": membership.user.email, "channels": []}
    chosen = api.patch(f"contacts/{membership.pk}/", {"channels": [channel]})
    assert chosen.json()["channels"] == [channel]
    assert api.patch(f"contacts/{membership.pk}/", {"channels": [str(uuid4())]}).status_code == 400


def test_a_step_may_name_a_schedule(api: Api, body: dict[str, Any]) -> None:
    schedule = api.post("schedules/", body).json()["id"]
    policy = {"name": "P", "all": True, "steps": [{"schedules": [schedule]}]}
    made = api.post("policies/", policy)
    assert made.status_code == 201
    assert made.json()["steps"][0]["schedules"] == [schedule]
    foreign = {**policy, "steps": [{"schedules": [str(uuid4())]}]}
    assert "steps.0.schedules" in api.post("policies/", foreign).json()["error"]["fields"]


def test_another_teams_are_not_found(api: Api) -> None:
    theirs = MembershipFactory()
    layer = {"members": [theirs.user.email], "start": "2026-01-05T09:00"}
    schedule = create_schedule(team=theirs.team, values={"name": "Theirs", "layers": [layer]})
    path = f"schedules/{schedule.pk}/"
    for address in (path, f"{path}on-call/", f"{path}overrides/"):
        assert api.get(address).status_code == 404
    assert api.patch(path, {"name": "mine"}).status_code == 404
    assert api.delete(path).status_code == 404
    assert api.patch(f"contacts/{theirs.pk}/", {"channels": []}).status_code == 404


def test_lists_take_as_many_queries_for_many_as_for_one(
    api: Api, body: dict[str, Any], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    api.get("schedules/")  # notes the token's use
    for made in range(1, 4):
        api.post("schedules/", body)
        # token, count, page, layers, members, overrides
        with django_assert_num_queries(6):
            assert api.get("schedules/").json()["count"] == made


def test_the_calendar_opens_by_its_address_alone(api: Api, body: dict[str, Any]) -> None:
    address = api.post("schedules/", body).json()["calendar_url"]
    path = "/" + address.split("/", 3)[3]
    answer = Client().get(path)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/calendar")
    assert b"BEGIN:VEVENT" in answer.content
    assert Client().get(path[:-10] + "000000.ics").status_code == 404
