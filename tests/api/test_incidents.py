"""Incidents over REST."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.models import Membership, Team
from incidents.models import EventKind, Incident, IncidentEvent
from tests.api.conftest import Api
from tests.factories import (
    TeamFactory,
    UserFactory,
    WebhookFactory,
    make_monitor,
    make_policy,
)
from tests.incidents.scenes import REFUSED, observe

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_incident(team: Team, **fields: Any) -> Incident:
    started_at = fields.setdefault("started_at", NOON)
    incident = Incident.objects.create(
        **{
            "team": team,
            "monitor": fields.get("monitor") or make_monitor(team),
            "severity": "down",
            "reason": "connect_refused",
            "message": "Nobody listens on 127.0.0.1:9.",
            "locations": ["local"],
            "confirmed_at": started_at + timedelta(seconds=5),
            **fields,
        }
    )
    IncidentEvent.objects.create(
        incident=incident, kind=EventKind.OPENED, at=incident.confirmed_at, severity="down"
    )
    return incident


def test_an_incident_tells_what_where_and_since_when(api: Api, team: Team) -> None:
    incident = make_incident(team, resolved_at=NOON + timedelta(minutes=5), status="resolved")

    found = api.get(f"incidents/{incident.pk}/").json()

    updates = found.pop("updates")
    assert [one["kind"] for one in found.pop("timeline")] == ["began", "opened"]
    assert found.pop("evidence") == []
    assert found == {
        "id": str(incident.pk),
        "monitor": str(incident.monitor_id),
        "status": "resolved",
        "severity": "down",
        "reason": "connect_refused",
        "message": "Nobody listens on 127.0.0.1:9.",
        "started_at": "2026-03-01T12:00:00Z",
        "confirmed_at": "2026-03-01T12:00:05Z",
        "acknowledged_at": None,
        "acknowledged_by": None,
        "assigned_to": None,
        "resolved_at": "2026-03-01T12:05:00Z",
        "duration_seconds": 300,
        "locations": ["local"],
        "flapping": False,
        "changes": 0,
        "held": False,
        "snoozed_until": None,
        "parent": None,
        "children": [],
    }
    assert [(one["kind"], one["severity"], one["author"]) for one in updates] == [
        ("opened", "down", None)
    ]


def test_acknowledge_comment_resolve(api: Api, team: Team, membership: Membership) -> None:
    path = f"incidents/{make_incident(team).pk}/"

    taken = api.post(path + "acknowledge/").json()
    assert taken["status"] == "acknowledged"
    assert taken["acknowledged_by"] == membership.user.email

    said = api.post(path + "updates/", {"message": "On it.", "public": True})
    assert said.status_code == 201
    assert said.json()["author"] == membership.user.email

    done = api.post(path + "resolve/").json()
    assert done["status"] == "resolved"
    assert [one["kind"] for one in done["updates"]] == [
        "opened",
        "acknowledged",
        "commented",
        "resolved",
    ]
    assert done["updates"][2]["message"] == "On it."
    assert done["updates"][2]["public"] is True

    for action in ("acknowledge/", "resolve/"):
        again = api.post(path + action)
        assert again.status_code == 409
        assert again.json()["error"] == {
            "code": "conflict",
            "message": "The incident is already resolved.",
            "fields": {},
        }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message": ""},
        {"message": 1},
        {"message": "x", "loud": True},
        {"message": "x" * 10_001},
    ],
)
def test_an_update_needs_a_message(api: Api, team: Team, body: dict[str, Any]) -> None:
    answer = api.post(f"incidents/{make_incident(team).pk}/updates/", body)

    assert answer.status_code == 400
    assert answer.json()["error"]["fields"]


def test_another_teams_incident_is_not_found(api: Api) -> None:
    path = f"incidents/{make_incident(TeamFactory()).pk}/"

    assert api.get(path).status_code == 404
    for action in ("acknowledge/", "resolve/"):
        assert api.post(path + action).status_code == 404
    assert api.post(path + "updates/", {"message": "x"}).status_code == 404


class TestList:
    def test_comes_newest_first_and_is_filtered(self, api: Api, team: Team) -> None:
        old = make_incident(team, status="resolved", resolved_at=NOON)
        new = make_incident(team, started_at=NOON + timedelta(days=1))

        def ids(**query: Any) -> list[str]:
            return [one["id"] for one in api.get("incidents/", **query).json()["results"]]

        assert ids() == [str(new.pk), str(old.pk)]
        assert ids(status="resolved") == [str(old.pk)]
        assert ids(status="open,resolved") == [str(new.pk), str(old.pk)]
        assert ids(monitor=new.monitor_id) == [str(new.pk)]
        assert ids(monitor=uuid4()) == []
        assert ids(since="2026-03-02T00:00:00Z") == [str(new.pk)]
        assert ids(until="2026-03-02T00:00:00Z") == [str(old.pk)]

    @pytest.mark.parametrize(
        "query", [{"monitor": "1"}, {"status": "closed"}, {"since": "now"}, {"severity": "down"}]
    )
    def test_refuses_wrong_parameters(self, api: Api, query: dict[str, str]) -> None:
        assert api.get("incidents/", **query).status_code == 400

    def test_takes_as_many_queries_for_many_as_for_one(
        self, api: Api, team: Team, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        api.get("incidents/")  # notes the token's use
        for made in range(1, 4):
            make_incident(team)
            # token, count, page, events, children
            with django_assert_num_queries(5):
                assert api.get("incidents/").json()["count"] == made


def test_one_incident_comes_with_its_story_and_what_was_seen(api: Api, team: Team) -> None:
    monitor = make_monitor(team)
    make_policy(team, WebhookFactory(team=team, name="Pager"))
    seen = replace(REFUSED, details={"response": {"body": "Away."}})
    observe(monitor, seen, seen)

    found = api.get(f"incidents/{Incident.objects.get().pk}/").json()

    assert [one["kind"] for one in found["timeline"]] == ["began", "opened", "notified"]
    began, opened, notified = found["timeline"]
    assert began["at"] == found["started_at"]
    assert opened["locations"] == ["local"]
    assert (notified["channel"], notified["event"], notified["outcome"]) == (
        "Pager",
        "down",
        "queued",
    )
    [evidence] = found["evidence"]
    assert (evidence["location"], evidence["reason"]) == ("local", "connect_refused")
    assert evidence["details"] == {"response": {"body": "Away."}}
    assert "timeline" not in api.get("incidents/").json()["results"][0]


def test_it_is_assigned_to_a_member_of_the_team(
    api: Api, team: Team, membership: Membership
) -> None:
    path = f"incidents/{make_incident(team).pk}/assign/"
    found = api.post(path, {"to": membership.user.email}).json()
    assert found["assigned_to"] == membership.user.email
    entry = found["timeline"][-1]
    assert (entry["kind"], entry["assignee"]) == ("assigned", membership.user.email)
    assert api.post(path, {"to": None}).json()["assigned_to"] is None
    for stranger in (UserFactory().email, "nobody@example.org"):
        refused = api.post(path, {"to": stranger})
        assert refused.status_code == 400
        assert refused.json()["error"]["fields"] == {"to": ["Choose a member of the team."]}


def test_snoozing_it_snoozes_its_monitor(api: Api, team: Team) -> None:
    incident = make_incident(team)
    found = api.post(f"incidents/{incident.pk}/snooze/", {"seconds": 3600}).json()
    until = api.get(f"monitors/{incident.monitor_id}/").json()["snoozed_until"]
    assert found["snoozed_until"] == until is not None
    assert found["updates"][-1]["kind"] == "snoozed"
    ended = api.post(f"incidents/{incident.pk}/unsnooze/").json()
    assert ended["snoozed_until"] < until
    assert ended["updates"][-1]["kind"] == "unsnoozed"


@pytest.mark.parametrize("body", [{}, {"seconds": 59}, {"seconds": 2_592_001}, {"hours": 1}])
def test_a_snooze_says_for_how_long(api: Api, team: Team, body: dict[str, Any]) -> None:
    monitor = make_monitor(team)
    assert api.post(f"monitors/{monitor.pk}/snooze/", body).status_code == 400
    assert api.get(f"monitors/{monitor.pk}/").json()["snoozed_until"] is None
