"""Monitors over REST."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import Team
from incidents.models import Incident, IncidentStatus
from monitors.models import Assignment, Location, Monitor, Result, Status, StatusSpan
from monitors.partitions import ensure_partitions
from probe.values import result_id
from tests.api.conftest import Api
from tests.factories import TeamFactory, full_settings, make_monitor

pytestmark = pytest.mark.django_db

HTTP = {"name": "Shop", "kind": "http", "target": "http://127.0.0.1:9/"}


def test_a_monitor_needs_only_a_name_a_kind_and_a_target(api: Api) -> None:
    answer = api.post("monitors/", HTTP)

    assert answer.status_code == 201
    made = answer.json()
    assert answer["Location"].endswith(f"/api/v1/monitors/{made['id']}/")
    assert made["created_at"].endswith("Z")
    assert {name: made[name] for name in ("interval", "timeout", "failure_threshold")} == {
        "interval": 60,
        "timeout": 10,
        "failure_threshold": 2,
    }
    assert made["locations"] == ["local"]
    assert made["status"] == "pending"
    assert made["settings"]["method"] == "GET"
    assert made["incident"] is None
    assert made["ping_url"] is None
    assert api.get(f"monitors/{made['id']}/").json() == made


def test_a_registry_is_asked_seldom(api: Api) -> None:
    domain = {"name": "Our name", "kind": "domain", "target": "example.org"}

    made = api.post("monitors/", domain).json()
    assert (made["interval"], made["retry_interval"], made["timeout"]) == (21_600, 300, 30)
    reset = api.patch(f"monitors/{made['id']}/", {"interval": None, "timeout": None}).json()
    assert (reset["interval"], reset["timeout"]) == (21_600, 30)

    too_often = api.post("monitors/", {**domain, "interval": 60})
    assert too_often.status_code == 400
    assert too_often.json()["error"]["fields"] == {
        "interval": ["At least 3600 s, as not to burden a public server."]
    }
    our_own = {"settings": {"rdap_url": "https://rdap.example"}}
    assert api.post("monitors/", {**domain, "interval": 60, **our_own}).status_code == 201


def test_a_heartbeat_shows_its_ping_url(api: Api, settings: Any) -> None:
    made = api.post("monitors/", {"name": "Backup", "kind": "heartbeat"}).json()

    key = Monitor.objects.get().ping_key
    assert made["ping_url"] == f"{settings.BASE_URL}/ping/{key}"


def test_secrets_come_back_masked_and_survive_being_sent_back(api: Api) -> None:
    auth = {"type": "basic", "username": "me", "password": "hunter2 hunter2"}
    made = api.post("monitors/", {**HTTP, "settings": {"auth": auth}}).json()

    assert made["settings"]["auth"]["password"] == "********"
    answer = api.patch(f"monitors/{made['id']}/", {"settings": made["settings"]})
    assert answer.status_code == 200, answer.json()
    assert full_settings(Monitor.objects.get())["auth"]["password"] == "hunter2 hunter2"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"kind": "gopher"}, "kind"),
        ({"target": "not a url"}, "target"),
        ({"interval": 0}, "interval"),
        ({"interval": 86401}, "interval"),
        ({"interval": "60"}, "interval"),
        ({"interval": 10**400}, "interval"),
        ({"interval": True}, "interval"),
        ({"timeout": 10**400}, "timeout"),
        ({"timeout": 0.01}, "timeout"),
        ({"retry_interval": 61}, "retry_interval"),
        ({"locations": ["atlantis"]}, "locations"),
        ({"locations": "local"}, "locations"),
        ({"quorum": 2}, "quorum"),
        ({"tags": [1]}, "tags.0"),
        ({"tags": {"a": 1}}, "tags"),
        ({"settings": []}, "settings"),
        ({"settings": {"max_redirect": 3}}, "settings.max_redirect"),
        ({"settings": {"max_redirects": "many"}}, "settings.max_redirects"),
        ({"colour": "red"}, "colour"),
        ({"id": str(uuid4())}, "id"),
        ({"status": "up"}, "status"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_made(
    api: Api, wrong: dict[str, Any], field: str
) -> None:
    answer = api.post("monitors/", {**HTTP, **wrong})

    assert answer.status_code == 400, answer.content
    error = answer.json()["error"]
    assert error["code"] == "invalid"
    assert field in error["fields"], error
    assert not Monitor.objects.exists()


def test_a_key_is_unique_in_the_team(api: Api) -> None:
    make_monitor(TeamFactory(), key="shop")

    assert api.post("monitors/", {**HTTP, "key": "shop"}).status_code == 201
    again = api.post("monitors/", {**HTTP, "key": "shop"})
    assert again.status_code == 400
    assert "key" in again.json()["error"]["fields"]


def test_patch_changes_what_is_given_and_put_resets_the_rest(api: Api) -> None:
    made = api.post("monitors/", {**HTTP, "interval": 30, "tags": ["a"]}).json()
    path = f"monitors/{made['id']}/"

    patched = api.patch(path, {"name": "Till"}).json()
    assert (patched["name"], patched["interval"], patched["tags"]) == ("Till", 30, ["a"])

    put = api.put(path, HTTP).json()
    assert (put["name"], put["interval"], put["tags"]) == ("Shop", 60, [])


def test_a_patch_that_changes_nothing_is_no_change(api: Api) -> None:
    made = api.post("monitors/", {**HTTP, "settings": {"headers": {"X-Token": "hunter2"}}}).json()
    path = f"monitors/{made['id']}/"

    for values in ({}, {"name": "Shop"}, {"locations": ["local"]}, {"interval": 60}):
        assert api.patch(path, values).json()["updated_at"] == made["updated_at"]
    assert api.patch(path, {"name": "Till"}).json()["updated_at"] > made["updated_at"]


def test_null_is_the_default_of_both_intervals(api: Api) -> None:
    unset = {"interval": None, "retry_interval": None}
    made = api.post("monitors/", {**HTTP, **unset}).json()
    assert (made["interval"], made["retry_interval"]) == (60, 5)

    path = f"monitors/{made['id']}/"
    api.patch(path, {"interval": 600, "retry_interval": 300})
    reset = api.patch(path, {"interval": None}).json()
    assert (reset["interval"], reset["retry_interval"]) == (60, 60)
    assert api.patch(path, {"retry_interval": None}).json()["retry_interval"] == 5


@pytest.mark.parametrize("kind", [{}, {"kind": None}, {"kind": "gopher"}])
def test_what_is_wrong_with_the_kind_is_said_once(api: Api, kind: dict[str, Any]) -> None:
    values = {name: value for name, value in HTTP.items() if name != "kind"}
    [said] = api.post("monitors/", {**values, **kind}).json()["error"]["fields"]["kind"]
    assert said.startswith("Choose one of: ")


def test_put_leaves_a_paused_monitor_paused(api: Api, team: Team) -> None:
    monitor = make_monitor(team, enabled=False)

    answer = api.put(f"monitors/{monitor.pk}/", HTTP)

    assert answer.json()["enabled"] is False


@pytest.mark.parametrize(
    "pause",
    [
        lambda api, path: api.post(path + "pause/"),
        lambda api, path: api.patch(path, {"enabled": False}),
    ],
)
@pytest.mark.parametrize(
    "resume",
    [
        lambda api, path: api.post(path + "resume/"),
        lambda api, path: api.patch(path, {"enabled": True}),
    ],
)
def test_pause_and_resume(
    api: Api, team: Team, pause: Callable[..., Any], resume: Callable[..., Any]
) -> None:
    path = f"monitors/{make_monitor(team).pk}/"

    for _ in range(2):  # a second time changes nothing
        paused = pause(api, path)
        assert paused.status_code == 200
        assert (paused.json()["enabled"], paused.json()["status"]) == (False, "paused")
    for _ in range(2):
        resumed = resume(api, path)
        assert (resumed.json()["enabled"], resumed.json()["status"]) == (True, "pending")


def test_resuming_what_runs_forgets_nothing(api: Api, team: Team) -> None:
    monitor = make_monitor(team)
    Assignment.objects.update(failures=1)

    assert api.post(f"monitors/{monitor.pk}/resume/").status_code == 200

    assert Assignment.objects.get().failures == 1


def test_check_now(api: Api, team: Team) -> None:
    monitor = make_monitor(team)
    later = timezone.now() + timedelta(minutes=1)
    Assignment.objects.update(next_due_at=later)

    answer = api.post(f"monitors/{monitor.pk}/check/")

    assert answer.status_code == 202
    due_at = Assignment.objects.get().next_due_at
    assert due_at is not None
    assert due_at < later
    api.post(f"monitors/{monitor.pk}/pause/")
    assert api.post(f"monitors/{monitor.pk}/check/").status_code == 409


def test_delete(api: Api, team: Team) -> None:
    monitor = make_monitor(team)

    answer = api.delete(f"monitors/{monitor.pk}/")

    assert (answer.status_code, answer.content) == (204, b"")
    assert api.get(f"monitors/{monitor.pk}/").status_code == 404


class TestList:
    @pytest.fixture
    def monitors(self, team: Team) -> None:
        make_monitor(team, name="b", tags=["x", "y"], key="key-b")
        make_monitor(team, name="a", tags=["x"], target="http://127.0.0.1:9/needle")
        make_monitor(team, name="c", kind="heartbeat", enabled=False)
        Monitor.objects.filter(name="b").update(status=Status.DOWN)

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ({}, "abc"),
            ({"status": "down"}, "b"),
            ({"status": "down,paused"}, "bc"),
            ({"status": ["down", "paused"]}, "bc"),
            ({"kind": "heartbeat"}, "c"),
            ({"tag": "x"}, "ab"),
            ({"tag": "x,y"}, "b"),
            ({"enabled": "true"}, "ab"),
            ({"enabled": "false"}, "c"),
            ({"q": "NEEDLE"}, "a"),
            ({"q": "key-"}, "b"),
            ({"q": "%"}, ""),
            ({"ordering": "-name"}, "cba"),
            ({"ordering": "status"}, "bac"),
            ({"ordering": "-status"}, "cab"),
        ],
    )
    def test_filters_and_orders(
        self, monitors: None, api: Api, query: dict[str, Any], names: str
    ) -> None:
        answer = api.get("monitors/", **query).json()

        assert "".join(one["name"] for one in answer["results"]) == names
        assert answer["count"] == len(names)

    def test_pages(self, monitors: None, api: Api) -> None:
        first = api.get("monitors/", limit=2, tag="").json()
        assert first["count"] == 0  # an empty tag is a tag that nobody has

        first = api.get("monitors/", limit=2, ordering="name").json()
        second = api.get(first["next"]).json()

        assert [one["name"] for one in first["results"]] == ["a", "b"]
        assert [one["name"] for one in second["results"]] == ["c"]
        assert (first["previous"], second["next"]) == (None, None)
        assert api.get(second["previous"]).json()["results"] == first["results"]
        assert api.get("monitors/", offset=99).json()["results"] == []

    @pytest.mark.parametrize(
        "query",
        [
            {"limit": 501},
            {"limit": 0},
            {"limit": "ten"},
            {"limit": "1" * 5000},
            {"limit": ["1", "2"]},
            {"offset": -1},
            {"offset": 10**20},
            {"status": "broken"},
            {"enabled": "perhaps"},
            {"ordering": "secrets"},
            {"stauts": "down"},
            {"q": "a\0b"},
            {"a\0": "b"},
            {"tag": "\0"},
        ],
    )
    def test_refuses_wrong_parameters(self, api: Api, query: dict[str, Any]) -> None:
        answer = api.get("monitors/", **query)

        assert answer.status_code == 400
        assert answer.json()["error"]["fields"]

    def test_takes_as_many_queries_for_many_as_for_one(
        self, api: Api, team: Team, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        api.get("monitors/")  # notes the token's use
        for made in range(1, 4):
            make_monitor(team)
            # token, count, page, incidents, assignments
            with django_assert_num_queries(6):
                assert api.get("monitors/").json()["count"] == made


def test_the_open_incident_is_named(api: Api, team: Team) -> None:
    monitor = make_monitor(team)
    times = {"started_at": timezone.now(), "confirmed_at": timezone.now()}
    for status in (IncidentStatus.RESOLVED, IncidentStatus.ACKNOWLEDGED):
        incident = Incident.objects.create(
            team=team, monitor=monitor, severity="down", status=status, **times
        )

    assert api.get(f"monitors/{monitor.pk}/").json()["incident"] == str(incident.pk)
    assert api.get("monitors/").json()["results"][0]["incident"] == str(incident.pk)


class TestBulk:
    def test_creates_and_updates_by_key(self, api: Api, team: Team) -> None:
        make_monitor(team, key="one", name="old", interval=30)
        bodies = [{**HTTP, "key": "two", "name": "second"}, {"key": "one", "name": "new"}]

        answer = api.post("monitors/bulk/", {"monitors": bodies})

        assert answer.status_code == 200, answer.content
        told = answer.json()
        assert (told["created"], told["updated"]) == (1, 1)
        assert [one["name"] for one in told["results"]] == ["second", "new"]
        assert told["results"][1]["interval"] == 30

    def test_is_all_or_nothing(self, api: Api, team: Team) -> None:
        existing = make_monitor(team, key="one", name="old")
        bodies = [
            {"key": "one", "name": "new"},
            {**HTTP, "key": "two"},
            {**HTTP, "key": "three", "interval": 0},
            {**HTTP, "nonsense": 1},
        ]

        answer = api.post("monitors/bulk/", {"monitors": bodies})

        assert answer.status_code == 400
        assert set(answer.json()["error"]["fields"]) == {
            "monitors.2.interval",
            "monitors.3.nonsense",
        }
        existing.refresh_from_db()
        assert existing.name == "old"
        assert Monitor.objects.count() == 1

    def test_pauses(self, api: Api, team: Team) -> None:
        make_monitor(team, key="one")

        answer = api.post("monitors/bulk/", {"monitors": [{"key": "one", "enabled": False}]})

        assert answer.json()["results"][0]["status"] == "paused"

    def test_does_not_touch_another_teams_keys(self, api: Api) -> None:
        theirs = make_monitor(TeamFactory(), key="one", name="theirs")

        api.post("monitors/bulk/", {"monitors": [{**HTTP, "key": "one"}]})

        theirs.refresh_from_db()
        assert theirs.name == "theirs"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"monitors": []},
            {"monitors": {}},
            {"monitors": [1]},
            {"monitors": [{**HTTP, "key": "a"}, {**HTTP, "key": "a"}]},
            {"monitors": [{**HTTP, "key": {"a": 1}}]},
            {"monitors": [HTTP], "force": True},
            {"monitors": [HTTP] * 1001},
            [HTTP],
        ],
    )
    def test_refuses_other_forms(self, api: Api, body: Any) -> None:
        answer = api.post("monitors/bulk/", body)

        assert answer.status_code == 400
        assert not Monitor.objects.exists()


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def add_results(monitor: Monitor, *moments: datetime, status: str = "up") -> list[str]:
    ensure_partitions({moment.date() for moment in moments})
    results = [
        Result(
            id=result_id(assignment.pk, moment, 0),
            assignment=assignment,
            checked_at=moment,
            due_at=moment,
            attempt=0,
            status=status,
            latency_ms=1.5,
        )
        for moment in moments
        for assignment in Assignment.objects.filter(monitor=monitor)
    ]
    Result.objects.bulk_create(results)
    return [str(result.id) for result in results]


class TestResults:
    @pytest.fixture
    def monitor(self, team: Team) -> Monitor:
        Location.objects.create(slug="berlin", name="Berlin")
        return make_monitor(team, locations=["local", "berlin"])

    def read_all(self, api: Api, path: str, **query: Any) -> list[dict[str, Any]]:
        """Every result by following `next`; on the way back, `previous` gives the same pages."""
        pages = [api.get(path, **query).json()]
        while pages[-1]["next"]:
            pages.append(api.get(pages[-1]["next"]).json())
        for newer, older in pairwise(pages):
            assert api.get(older["previous"]).json()["results"] == newer["results"]
        assert pages[0]["previous"] is None
        return [result for page in pages for result in page["results"]]

    def test_come_newest_first_from_all_locations(self, api: Api, monitor: Monitor) -> None:
        moments = [NOON - timedelta(hours=9 * n) for n in range(7)]  # over several partitions
        ids = add_results(monitor, *moments)

        found = self.read_all(api, f"monitors/{monitor.pk}/results/", limit=3)

        assert sorted(one["id"] for one in found) == sorted(ids)
        times = [one["checked_at"] for one in found]
        assert times == sorted(times, reverse=True)
        assert times[0] == "2026-03-01T12:00:00Z"
        assert {one["location"] for one in found} == {"local", "berlin"}
        assert found[0]["phases"]["dns_ms"] is None

    def test_are_filtered(self, api: Api, monitor: Monitor) -> None:
        path = f"monitors/{monitor.pk}/results/"
        add_results(monitor, NOON)
        add_results(monitor, NOON + timedelta(minutes=1), status="down")

        def count(**query: str) -> int:
            return len(api.get(path, **query).json()["results"])

        assert count() == 4
        assert count(status="down") == 2
        assert count(status="down,up", location="berlin") == 2
        assert count(location="atlantis") == 0
        assert count(since="2026-03-01T12:01:00Z") == 2
        assert count(until="2026-03-01T13:01:00+01:00") == 2
        assert count(since="2026-03-01T12:00:00Z", until="2026-03-01T12:00:00Z") == 0

    def test_a_page_does_not_shift_when_results_arrive(self, api: Api, monitor: Monitor) -> None:
        add_results(monitor, *(NOON - timedelta(minutes=n) for n in range(4)))
        first = api.get(f"monitors/{monitor.pk}/results/", limit=4).json()

        add_results(monitor, NOON + timedelta(minutes=1))

        second = api.get(first["next"]).json()
        assert len(second["results"]) == 4
        assert not {r["id"] for r in first["results"]} & {r["id"] for r in second["results"]}
        newest = api.get(second["previous"]).json()
        assert newest["results"] == first["results"]
        assert newest["previous"] is not None  # what arrived meanwhile

    @pytest.mark.parametrize(
        "query",
        [
            {"cursor": "x"},
            {"cursor": "é"},
            {"cursor": "A" * 33},
            {"cursor": "AH__________AAAAAAAAAAAAAAAAAAAAAA"},  # beyond the calendar
            {"since": "yesterday"},
            {"since": "1700000000"},
            {"since": "2026-03-01T12:00:00"},
            {"since": "0001-01-01T00:00:00+14:00"},
            {"until": "9999-12-31T23:59:59-14:00"},
            {"status": "sideways"},
            {"offset": "1"},
        ],
    )
    def test_refuse_wrong_parameters(
        self, api: Api, monitor: Monitor, query: dict[str, str]
    ) -> None:
        answer = api.get(f"monitors/{monitor.pk}/results/", **query)

        assert answer.status_code == 400

    def test_extreme_times_are_no_trouble(self, api: Api, monitor: Monitor) -> None:
        for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
            path = f"monitors/{monitor.pk}/results/"
            assert api.get(path, since=moment).status_code == 200
            assert api.get(path, until=moment).status_code == 200


class TestStatistics:
    @pytest.fixture
    def monitor(self, team: Team) -> Monitor:
        monitor = make_monitor(team, sla_target=999)
        StatusSpan.objects.all().delete()
        hour = timedelta(hours=1)
        for n, status in enumerate(["up", "down", "degraded", "paused", "maintenance"]):
            StatusSpan.objects.create(
                monitor=monitor,
                status=status,
                started_at=NOON + n * hour,
                ended_at=NOON + (n + 1) * hour,
            )
        add_results(monitor, NOON, NOON + hour / 2)
        add_results(monitor, NOON + hour, status="down")
        Incident.objects.create(
            team=team,
            monitor=monitor,
            severity="down",
            status="resolved",
            started_at=NOON + hour,
            confirmed_at=NOON + hour,
            resolved_at=NOON + 2 * hour,
        )
        return monitor

    def test_tell_how_a_window_was_spent(self, api: Api, monitor: Monitor) -> None:
        answer = api.get(
            f"monitors/{monitor.pk}/stats/",
            since="2026-03-01T11:30:00Z",
            until="2026-03-01T16:30:00Z",
        )

        assert answer.json() == {
            "since": "2026-03-01T11:30:00Z",
            "until": "2026-03-01T16:30:00Z",
            "seconds": {
                "up": 3600,
                "degraded": 3600,
                "down": 3600,
                "maintenance": 1800,
                "paused": 3600,
                "unknown": 1800,
            },
            "uptime_percent": 66.666666,
            "coverage_percent": 70.0,
            "checks": {"up": 2, "degraded": 0, "down": 1, "unknown": 0},
            "latency": {
                "avg_ms": 1.5,
                "min_ms": 1.5,
                "max_ms": 1.5,
                "p50_ms": 1.5,
                "p75_ms": 1.5,
                "p90_ms": 1.5,
                "p95_ms": 1.5,
                "p99_ms": 1.5,
            },
            "incidents": 1,
            "mttr_seconds": 3600,
            "mtbf_seconds": 7200,
            "sla": {
                "target_percent": 99.9,
                "met": False,
                "error_budget_seconds": 10.8,
                "error_budget_left_seconds": -3589.2,
            },
        }

    def test_of_a_monitor_without_target_or_checks(self, api: Api, team: Team) -> None:
        answer = api.get(f"monitors/{make_monitor(team).pk}/stats/").json()

        assert answer["sla"] is None
        assert answer["checks"] == {"up": 0, "degraded": 0, "down": 0, "unknown": 0}
        assert set(answer["latency"].values()) == {None}
        assert (answer["mttr_seconds"], answer["mtbf_seconds"]) == (None, None)

    def test_of_a_team_and_of_a_tag(self, api: Api, monitor: Monitor, team: Team) -> None:
        make_monitor(team, tags=["web", "shop"])
        make_monitor(TeamFactory(), tags=["web"])
        window = {"since": "2026-03-01T11:30:00Z", "until": "2026-03-01T16:30:00Z"}

        whole = api.get("stats/", **window).json()
        tagged = api.get("stats/", tag="web,shop", **window).json()
        nothing = api.get("stats/", tag="none", **window).json()

        assert whole["monitors"] == 2
        assert (whole["seconds"]["down"], whole["seconds"]["unknown"]) == (3600, 1800 + 18000)
        assert (whole["uptime_percent"], whole["coverage_percent"]) == (66.666666, 35.0)
        assert (whole["incidents"], whole["sla"]) == (1, {"met": 0, "missed": 1})
        assert (tagged["monitors"], tagged["uptime_percent"]) == (1, None)
        assert (nothing["monitors"], nothing["coverage_percent"]) == (0, None)
        assert api.get("stats/", window="24h", **window).status_code == 400

    @pytest.mark.parametrize("window", ["24h", "7d", "30d", "90d", "365d"])
    def test_of_a_window_up_to_now(self, api: Api, monitor: Monitor, window: str) -> None:
        answer = api.get(f"monitors/{monitor.pk}/stats/", window=window).json()

        length = datetime.fromisoformat(answer["until"]) - datetime.fromisoformat(answer["since"])
        assert sum(answer["seconds"].values()) == pytest.approx(length.total_seconds())

    @pytest.mark.parametrize(
        "query",
        [
            {"window": "1y"},
            {"window": "24h", "since": "2026-03-01T11:30:00Z"},
            {"until": "2026-03-01T11:30:00Z"},
            {"since": "9000-01-01T00:00:00Z"},
            {"since": "2026-03-01T11:30:00Z", "until": "2026-03-01T11:30:00Z"},
        ],
    )
    def test_refuse_wrong_windows(self, api: Api, monitor: Monitor, query: dict[str, str]) -> None:
        assert api.get(f"monitors/{monitor.pk}/stats/", **query).status_code == 400

    def test_history_has_the_spans_of_a_window(self, api: Api, monitor: Monitor) -> None:
        answer = api.get(
            f"monitors/{monitor.pk}/history/",
            since="2026-03-01T13:30:00Z",
            until="2026-03-01T15:00:00Z",
        ).json()

        assert [span["status"] for span in answer["results"]] == ["degraded", "down"]
        assert answer["results"][0]["duration_seconds"] == 3600


def test_what_it_depends_on_is_given_by_id_or_key_and_read_as_ids(api: Api, team: Team) -> None:
    router = make_monitor(team, key="router")
    made = api.post("monitors/", {**HTTP, "depends_on": ["router"]})
    assert made.status_code == 201
    assert made.json()["depends_on"] == [str(router.pk)]
    path = f"monitors/{made.json()['id']}/"
    assert api.patch(path, {"name": "Other"}).json()["depends_on"] == [str(router.pk)]
    refused = api.patch(f"monitors/{router.pk}/", {"depends_on": [made.json()["id"]]})
    assert refused.status_code == 400
    assert refused.json()["error"]["fields"] == {
        "depends_on": ["Other depends on this monitor already."]
    }
    assert api.patch(path, {"depends_on": []}).json()["depends_on"] == []
