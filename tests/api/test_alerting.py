"""Channels, policies and deliveries over REST."""

from typing import Any
from uuid import uuid4

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.models import Team
from alerts.models import Attempt, Channel, ChannelProbe, Delivery, Policy
from tests.api.conftest import Api
from tests.factories import TeamFactory, WebhookFactory, make_monitor, make_policy
from uptime.clock import database_now

pytestmark = pytest.mark.django_db

HOOK = {
    "name": "Hook",
    "type": "webhook",
    "config": {"url": "http://127.0.0.1:9/", "secret": "open sesame"},
}


class TestChannels:
    def test_are_made_read_changed_and_deleted(self, api: Api) -> None:
        made = api.post("channels/", HOOK)
        assert made.status_code == 201
        path = f"channels/{made.json()['id']}/"
        assert made.json()["config"] == {
            "url": "http://127.0.0.1:9/",
            "secret": "********",
            "headers": {},
            "method": "POST",
            "content_type": "application/json",
            "probe_url": None,
            "body_template": "",
        }
        assert api.get(path).json() == made.json()
        assert api.get("channels/").json()["results"] == [made.json()]

        changed = api.patch(path, {"name": "Other", "config": made.json()["config"]})
        assert (changed.status_code, changed.json()["name"]) == (200, "Other")
        assert Channel.objects.get().full_config["secret"] == "open sesame"

        assert api.delete(path).status_code == 204
        assert api.get(path).status_code == 404

    def test_show_a_secret_that_was_made_for_them_once(self, api: Api) -> None:
        config = {"url": "http://127.0.0.1:9/"}
        made = api.post("channels/", {**HOOK, "config": config}).json()

        assert made["config"]["secret"] == Channel.objects.get().full_config["secret"]
        shown = api.get(f"channels/{made['id']}/").json()
        assert shown["config"]["secret"] == "********"

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"type": "pigeon"}, "type"),
            ({"type": 1}, "type"),
            ({"config": {}}, "config.url"),
            ({"config": {"url": "http://127.0.0.1:9/", "colour": 1}}, "config.colour"),
            ({"config": "x"}, "config"),
            ({"name": " "}, "name"),
            ({"enabled": "yes"}, "enabled"),
            ({"id": "x"}, "id"),
        ],
    )
    def test_refuse_a_wrong_field_by_name(
        self, api: Api, wrong: dict[str, Any], field: str
    ) -> None:
        answer = api.post("channels/", {**HOOK, **wrong})

        assert answer.status_code == 400
        assert field in answer.json()["error"]["fields"]

    def test_tell_whether_they_live(self, api: Api) -> None:
        made = api.post("channels/", HOOK).json()
        assert made["probe"].pop("next_at")
        assert made["probe"] == {
            "proves": "The address that you named for it answers.",
            "asked_at": None,
            "proven_at": None,
            "alive_since": None,
            "error": "",
            "is_final": False,
        }
        ChannelProbe.objects.update(error="It answered 410.", is_final=True)
        [shown] = api.get("channels/").json()["results"]
        assert shown["probe"]["error"] == "It answered 410."
        changed = api.patch(f"channels/{made['id']}/", {"config": made["config"]}).json()
        assert changed["probe"]["error"] == ""
        slack = {"type": "slack", "name": "S", "config": {"url": "https://hooks.slack.com/x"}}
        assert api.post("channels/", slack).json()["probe"] is None

    def test_send_a_test(self, api: Api, team: Team) -> None:
        channel = WebhookFactory(team=team)

        answer = api.post(f"channels/{channel.pk}/test/")

        assert answer.status_code == 202
        assert answer.json()["event"] == "test"
        assert answer.json()["incident"] is None
        assert api.get(f"deliveries/{answer.json()['id']}/").json()["status"] == "queued"


class TestPolicies:
    @pytest.fixture
    def body(self, team: Team) -> dict[str, Any]:
        return {
            "name": "All",
            "all": True,
            "on": ["down", "recovered"],
            "names": [],
            "steps": [
                {
                    "delay_seconds": 0,
                    "channels": [str(WebhookFactory(team=team).pk)],
                    "schedules": [],
                    "severities": ["down"],
                    "repeat_seconds": 3600,
                    "max_repeats": 5,
                }
            ],
            "stop_on_acknowledge": False,
            "active_hours": {
                "timezone": "America/New_York",
                "windows": [{"days": ["sat", "sun"], "start": "10:00", "end": "16:00"}],
            },
            "outside_hours": "drop",
        }

    def test_are_made_read_changed_and_deleted(
        self, api: Api, team: Team, body: dict[str, Any]
    ) -> None:
        made = api.post("policies/", body)
        assert made.status_code == 201
        path = f"policies/{made.json()['id']}/"
        assert {name: made.json()[name] for name in body} == body
        assert api.get(path).json() == made.json()
        assert api.get("policies/").json()["results"] == [made.json()]

        monitor = str(make_monitor(team).pk)
        changed = api.patch(path, {"monitors": [monitor]})
        assert changed.status_code == 200
        assert changed.json()["monitors"] == [monitor]
        assert changed.json()["all"] is False

        assert api.delete(path).status_code == 204
        assert not Policy.objects.exists()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"steps": []},
            {"steps": [{"delay_seconds": 60, "channels": []}]},
            {"active_hours": {"timezone": "UTC"}},
            {"active_hours": "always"},
            {"steps": [{"channels": ["01890000-0000-7000-8000-000000000000"]}]},
            {"steps": [{"channels": ["x"]}]},
            {"steps": "now"},
            {"on": ["exploded"]},
            {"on": []},
            {"all": False},
            {"tags": ["x"]},
            {"monitors": [str(uuid4())], "all": False},
            {"colour": "red"},
        ],
    )
    def test_refuse_wrong_fields(
        self, api: Api, body: dict[str, Any], wrong: dict[str, Any]
    ) -> None:
        answer = api.post("policies/", {**body, **wrong})

        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "invalid"
        assert not Policy.objects.exists()

    def test_have_as_many_steps_as_are_given(self, api: Api, body: dict[str, Any]) -> None:
        [step] = body["steps"]
        later = {**step, "delay_seconds": 900, "severities": []}

        made = api.post("policies/", {**body, "steps": [step, later]})

        assert made.json()["steps"] == [step, later]
        changed = api.patch(f"policies/{made.json()['id']}/", {"steps": [later]})
        assert changed.json()["steps"] == [later]

    def test_need_no_more_than_a_name_a_reach_and_a_step(
        self, api: Api, body: dict[str, Any]
    ) -> None:
        channels = body["steps"][0]["channels"]
        least = {"name": "P", "names": ["shop-*"], "steps": [{"channels": channels}]}
        made = api.post("policies/", least).json()
        assert made["on"] == ["down", "recovered"]
        assert (made["stop_on_acknowledge"], made["active_hours"]) == (True, None)
        assert made["outside_hours"] == "wait"

    def test_name_only_the_teams_own(self, api: Api, body: dict[str, Any]) -> None:
        theirs = WebhookFactory(team=TeamFactory())

        answer = api.post("policies/", {**body, "steps": [{"channels": [str(theirs.pk)]}]})

        assert answer.status_code == 400

    def test_take_as_many_queries_for_many_as_for_one(
        self, api: Api, team: Team, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        api.get("policies/")  # notes the token's use
        for made in range(1, 4):
            make_policy(team, WebhookFactory(team=team)).monitors.add(make_monitor(team))
            # token, count, page, monitors, steps, channels, schedules
            with django_assert_num_queries(7):
                assert api.get("policies/").json()["count"] == made


class TestDeliveries:
    @pytest.fixture
    def deliveries(self, api: Api, team: Team) -> list[str]:
        """Their ids, newest first."""
        path = f"channels/{WebhookFactory(team=team).pk}/test/"
        return [api.post(path).json()["id"] for _ in range(5)][::-1]

    def test_are_paged_by_cursor_both_ways(self, api: Api, deliveries: list[str]) -> None:
        first = api.get("deliveries/", limit=2).json()
        second = api.get(first["next"]).json()
        third = api.get(second["next"]).json()

        assert "count" not in first
        pages = [[one["id"] for one in page["results"]] for page in (first, second, third)]
        assert pages == [deliveries[:2], deliveries[2:4], deliveries[4:]]
        assert (first["previous"], third["next"]) == (None, None)
        assert api.get(third["previous"]).json()["results"] == second["results"]
        back = api.get(second["previous"]).json()
        assert (back["results"], back["previous"]) == (first["results"], None)

    def test_are_filtered(self, api: Api, deliveries: list[str]) -> None:
        Delivery.objects.filter(pk=deliveries[0]).update(status="dead")

        def count(**query: Any) -> int:
            return len(api.get("deliveries/", **query).json()["results"])

        assert count() == 5
        assert count(status="dead") == 1
        assert count(status="dead,queued") == 5
        assert count(channel=Channel.objects.get().pk) == 5
        assert count(incident=uuid4()) == 0
        assert api.get("deliveries/", status="lost").status_code == 400

    def test_that_are_dead_can_be_retried(self, api: Api, deliveries: list[str]) -> None:
        path = f"deliveries/{deliveries[0]}/retry/"
        assert api.post(path).status_code == 409

        Delivery.objects.filter(pk=deliveries[0]).update(status="dead", next_attempt_at=None)
        answer = api.post(path)

        assert answer.status_code == 202
        assert answer.json()["status"] == "queued"

    def test_are_read_with_their_attempts(self, api: Api, deliveries: list[str]) -> None:
        exchange = {
            "method": "POST",
            "url": "https://hooks.example/",
            "headers": {},
            "sent": "{}",
            "status": 500,
            "answer": "broken",
        }
        Attempt.objects.create(
            delivery_id=deliveries[0],
            number=1,
            began_at=database_now(),
            duration_ms=12.5,
            exchanges=[exchange],
            error="the receiver answered 500",
        )
        [attempt] = api.get(f"deliveries/{deliveries[0]}/").json()["log"]
        assert (attempt["number"], attempt["duration_ms"]) == (1, 12.5)
        assert attempt["exchanges"] == [exchange]

    def test_take_one_query_for_a_page(
        self, api: Api, deliveries: list[str], django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(2):  # token, page
            assert len(api.get("deliveries/").json()["results"]) == 5


def test_another_teams_objects_are_not_found(api: Api) -> None:
    team = TeamFactory()
    channel = WebhookFactory(team=team)
    policy = make_policy(team, channel)

    for path in (f"channels/{channel.pk}/", f"policies/{policy.pk}/"):
        assert api.get(path).status_code == 404
        assert api.patch(path, {"name": "mine"}).status_code == 404
        assert api.delete(path).status_code == 404
    assert api.post(f"channels/{channel.pk}/test/").status_code == 404
    assert api.get(f"deliveries/{uuid4()}/").status_code == 404
    assert api.post(f"deliveries/{uuid4()}/retry/").status_code == 404


def test_an_empty_patch_is_no_change(api: Api, team: Team) -> None:
    policy = make_policy(team, WebhookFactory(team=team))
    for path in (f"channels/{Channel.objects.get().pk}/", f"policies/{policy.pk}/"):
        before = api.get(path).json()
        assert api.patch(path, {}).json() == before
        assert api.get(path).json()["updated_at"] == before["updated_at"]
