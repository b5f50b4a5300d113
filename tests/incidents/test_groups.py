"""A group is what its rule makes of its members."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Thread
from typing import Any

import pytest
from django.db import connection, connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Team
from alerts.models import Delivery
from incidents.groups import Rule, decide_group
from incidents.machine import TROUBLE
from incidents.maintenance.actions import create_window, end_window
from incidents.models import EventKind, Incident
from monitors.actions import (
    check_now,
    create_monitor,
    tag_monitors,
    untag_monitors,
    update_monitor,
)
from monitors.groups import Member, Tally, groups_of, members_of
from monitors.models import Doubt, Monitor, Status, StatusSpan
from tests.factories import TeamFactory, WebhookFactory, make_monitor, make_policy
from tests.incidents.scenes import (
    OURS,
    OWNER,
    REFUSED,
    SLOW,
    UP,
    assert_spans_meet,
    leased,
    observe,
)
from uptime.clock import database_now
from uptime.errors import Conflict, Invalid
from uptime.intake import take_in
from uptime.operations import (
    delete_monitor,
    pause_monitor,
    pause_monitors,
    resolve_incident,
    review_incidents,
    set_enabled,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team))
    return team


def make_group(team: Team, *members: Monitor, tags: Iterable[str] = (), **rule: Any) -> Monitor:
    values = {"name": "Cluster", "kind": "group", "members": [str(one.pk) for one in members]}
    given = {**values, "settings": {**rule, "tags": list(tags)}}
    group = create_monitor(team=team, values=given)
    review_incidents()
    return again(group)


def nodes(team: Team, count: int, **values: Any) -> list[Monitor]:
    named = [make_monitor(team, name=f"Node {number}", **values) for number in range(1, count + 1)]
    return [observe(one, UP) for one in named]


def again(monitor: Monitor) -> Monitor:
    return Monitor.objects.get(pk=monitor.pk)


def fail(*monitors: Monitor) -> None:
    for monitor in monitors:
        observe(monitor, REFUSED, REFUSED)


def status_of(group: Monitor) -> str:
    review_incidents()
    return again(group).status


def incident_of(monitor: Monitor) -> Incident:
    return Incident.objects.filter(monitor=monitor).latest("started_at")


def told() -> Counter[tuple[str, str]]:
    rows = Delivery.objects.values_list("incident__monitor__name", "event")
    return Counter((str(name), event) for name, event in rows)


def tally(**counts: int) -> Tally:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    troubled = [
        Member(f"{status} {number}", status, began + timedelta(minutes=number))
        for status in TROUBLE
        for number in range(counts.get(status.value, 0))
    ]
    return Tally({Status(name): count for name, count in counts.items()}, troubled)


ANY, ALL, HALF = Rule(0), Rule(1), Rule(0.5)


@pytest.mark.parametrize(
    ("rule", "counts", "expected"),
    [
        (ANY, {"up": 3}, "up"),
        (ANY, {"up": 2, "down": 1}, "down"),
        (ANY, {"up": 2, "recovering": 1}, "down"),
        (ANY, {"up": 2, "degraded": 1}, "degraded"),
        (ALL, {"up": 1, "down": 2}, "up"),
        (ALL, {"down": 3}, "down"),
        (ALL, {"down": 2, "degraded": 1}, "degraded"),
        (HALF, {"up": 2, "down": 1}, "up"),
        (HALF, {"up": 1, "down": 2}, "down"),
        (HALF, {"up": 2, "down": 2}, "down"),
        (HALF, {"up": 2, "down": 1, "degraded": 1}, "degraded"),
        (Rule(0.3), {"up": 7, "down": 3}, "down"),
        (Rule(1, degraded_by_any=True), {"up": 2, "down": 1}, "degraded"),
        # who is not watched does not count
        (ALL, {"down": 1, "paused": 2, "maintenance": 3}, "down"),
        (ANY, {"paused": 2}, "paused"),
        (ANY, {"paused": 2, "maintenance": 1}, "maintenance"),
        (ANY, {}, "paused"),
        # who knows nothing is not in trouble, and does not prove that all is well
        (ALL, {"down": 1, "unknown": 1}, "unknown"),
        (ALL, {"down": 1, "pending": 1}, "pending"),
        (ANY, {"up": 1, "unknown": 4}, "up"),
        (ANY, {"unknown": 2}, "unknown"),
        (ANY, {"unknown": 1, "pending": 1}, "pending"),
    ],
)
def test_the_rule(rule: Rule, counts: dict[str, int], expected: str) -> None:
    assert decide_group(rule, tally(**counts), before=Status.UP).status == expected


@pytest.mark.parametrize(
    ("rule", "counts", "expected"),
    [
        (ALL, {"down": 1, "unknown": 1}, "down"),
        (HALF, {"down": 1, "up": 1, "unknown": 8}, "down"),
        (HALF, {"up": 1, "unknown": 9}, "up"),
        (ANY, {"unknown": 2}, "unknown"),
    ],
)
def test_silence_of_members_ends_no_trouble(
    rule: Rule, counts: dict[str, int], expected: str
) -> None:
    assert decide_group(rule, tally(**counts), before=Status.DOWN).status == expected


def test_it_dates_from_the_member_that_made_it_so_and_names_them() -> None:
    verdict = decide_group(HALF, tally(down=7, up=3), before=Status.UP)
    assert verdict.since is not None
    assert verdict.since.minute == 4  # the fifth of them
    named = ", ".join(f"down {number}" for number in range(5))
    assert verdict.message == f"7 of 10 members are down: {named} and 2 more."


def test_one_that_is_down_is_an_incident_of_the_group_and_told(team: Team) -> None:
    first, second = nodes(team, 2)
    group = make_group(team, first, second)
    assert group.status == "up"
    fail(first)
    assert status_of(group) == "down"
    incident = incident_of(group)
    assert incident.message == "1 of 2 members is down: Node 1."
    assert incident.reason == "members"
    assert incident.started_at == incident_of(first).started_at
    assert told() == {("Node 1", "down"): 1, ("Cluster", "down"): 1}
    fail(second)
    assert status_of(group) == "down"
    assert again(group).message == "2 of 2 members are down: Node 1, Node 2."
    observe(first, UP)
    observe(second, UP)
    assert status_of(group) == "up"
    assert told()["Cluster", "recovered"] == 1
    assert incident_of(group).resolved_at == incident_of(second).resolved_at
    assert_spans_meet(group)


def test_all_and_a_share(team: Team) -> None:
    members = nodes(team, 4)
    every = make_group(team, *members, rule="all")
    half = make_group(team, *members, rule="percent", percent=50)
    fail(members[0])
    assert (status_of(every), status_of(half)) == ("up", "up")
    fail(members[1])
    assert (status_of(every), status_of(half)) == ("up", "down")
    fail(*members[2:])
    assert status_of(every) == "down"
    assert incident_of(every).started_at == incident_of(members[3]).started_at
    assert incident_of(half).started_at == incident_of(members[1]).started_at


def test_tags_bring_members_as_they_come_and_go(team: Team) -> None:
    [first] = nodes(team, 1, tags=["db"])
    group = make_group(team, tags=["db", "cache"])
    fail(first)
    assert status_of(group) == "down"
    untag_monitors(monitor_ids=[first.pk], tag="db")
    assert status_of(group) == "paused"
    [second] = nodes(team, 1, tags=["cache"])
    assert status_of(group) == "up"
    tag_monitors(monitor_ids=[first.pk], tag="db")
    before = again(group).last_change_at
    assert status_of(group) == "down"
    # it was up until then, however long its new member is down
    assert again(group).last_change_at > before
    update_monitor(monitor=first, values={"tags": []})
    assert status_of(group) == "up"
    assert list(members_of(group)) == [second]
    assert list(groups_of(second)) == [group]
    assert_spans_meet(group)


def test_monitors_of_other_teams_are_no_members(team: Team) -> None:
    [stranger] = nodes(TeamFactory(), 1, tags=["db"])
    group = make_group(team, tags=["db"])
    fail(stranger)
    assert status_of(group) == "paused"
    with pytest.raises(Invalid):
        update_monitor(monitor=group, values={"members": [str(stranger.pk)]})


def test_a_member_that_is_paused_or_deleted_does_not_count(team: Team) -> None:
    first, second, third = nodes(team, 3)
    group = make_group(team, first, second, third, rule="all")
    fail(first)
    pause_monitor(monitor=second)
    assert status_of(group) == "up"
    delete_monitor(monitor=third)
    assert status_of(group) == "down"
    pause_monitor(monitor=first)
    assert status_of(group) == "paused"
    assert incident_of(group).is_resolved
    set_enabled(monitor=first, is_enabled=True)
    fail(first)
    assert status_of(group) == "down"


def test_a_group_of_which_all_members_are_under_maintenance_is_so_too(team: Team) -> None:
    first, second = nodes(team, 2)
    group = make_group(team, first, second)
    now = database_now()
    window = create_window(
        team=team,
        values={
            "name": "Work",
            "starts_at": now - timedelta(minutes=1),
            "ends_at": now + timedelta(hours=1),
            "monitors": [first.pk, second.pk],
        },
    )
    assert status_of(group) == "maintenance"
    assert status_of(group) == "maintenance"  # and stays so
    fail(first)
    assert status_of(group) == "maintenance"
    end_window(window=window)
    review_incidents()
    observe(first, REFUSED)
    assert status_of(group) == "down"
    assert told() == {("Node 1", "down"): 1, ("Cluster", "down"): 1}
    assert_spans_meet(group)


def test_a_window_over_the_group_alone_is_the_groups(team: Team) -> None:
    [first] = nodes(team, 1)
    group = make_group(team, first)
    now = database_now()
    window = create_window(
        team=team,
        values={
            "name": "Work",
            "starts_at": now - timedelta(minutes=1),
            "ends_at": now + timedelta(hours=1),
            "monitors": [group.pk],
        },
    )
    assert status_of(group) == "maintenance"
    fail(first)
    assert status_of(group) == "maintenance"
    assert told() == {("Node 1", "down"): 1}
    end_window(window=window)
    assert status_of(group) == "down"
    assert told() == {("Node 1", "down"): 1, ("Cluster", "down"): 1}
    assert (
        incident_of(group).started_at
        == StatusSpan.objects.get(monitor=group, ended_at=None).started_at
    )
    assert_spans_meet(group)


def test_what_depends_on_the_group_is_held_under_its_incident(team: Team) -> None:
    first, second = nodes(team, 2)
    group = make_group(team, first, second)
    shop = make_monitor(team, name="Shop", depends_on=["Cluster"])
    observe(shop, UP)
    update_monitor(monitor=first, values={"depends_on": ["Cluster"]})
    fail(shop)
    review_incidents()
    assert not told()  # its members are being looked at
    fail(first)
    review_incidents()
    review_incidents()
    assert told() == {("Cluster", "down"): 1}
    assert {one.monitor.name for one in incident_of(group).children.all()} == {"Shop", "Node 1"}
    observe(first, UP)
    review_incidents()
    observe(shop, UP)
    review_incidents()
    assert told() == {("Cluster", "down"): 1, ("Cluster", "recovered"): 1}


def test_a_group_whose_members_are_proven_fine_holds_nothing(team: Team) -> None:
    first, second = nodes(team, 2)
    make_group(team, first, second)
    shop = make_monitor(team, name="Shop", depends_on=["Cluster"])
    observe(shop, UP)
    fail(shop)
    observe(first, UP)
    review_incidents()
    assert not told()  # of the second nobody knows yet
    observe(second, UP)
    observe(shop, REFUSED)
    review_incidents()
    assert told() == {("Shop", "down"): 1}


def test_trouble_of_a_group_that_depends_on_something_waits_for_that(team: Team) -> None:
    [router] = nodes(team, 1)
    update_monitor(monitor=router, values={"name": "Router"})
    [first] = nodes(team, 1, depends_on=["Router"])
    group = make_group(team, first)
    update_monitor(monitor=group, values={"depends_on": ["Router"]})
    fail(first)
    assert status_of(group) == "down"
    fail(router)
    review_incidents()
    assert told() == {("Router", "down"): 1}
    assert incident_of(group).parent == incident_of(router)


def test_a_group_in_a_group(team: Team) -> None:
    first, second = nodes(team, 2)
    inner = make_group(team, first)
    outer = make_group(team, inner, second, rule="all")
    fail(first)
    review_incidents()
    assert status_of(outer) == "up"
    fail(second)
    assert status_of(outer) == "down"
    with pytest.raises(Invalid, match="members"):
        update_monitor(monitor=inner, values={"members": [str(outer.pk)]})
    with pytest.raises(Invalid, match="members"):
        update_monitor(monitor=inner, values={"members": [str(inner.pk)]})


def test_a_group_is_no_member_by_its_tags(team: Team) -> None:
    [first] = nodes(team, 1, tags=["db"])
    group = make_group(team, tags=["db"])
    update_monitor(monitor=group, values={"tags": ["db"]})
    fail(first)
    assert status_of(group) == "down"
    assert list(members_of(group)) == [first]


def test_only_groups_have_members_and_nobody_checks_a_group(team: Team) -> None:
    [first] = nodes(team, 1)
    with pytest.raises(Invalid):
        update_monitor(monitor=first, values={"members": [str(first.pk)]})
    group = make_group(team, first)
    assert not group.assignments.exists()
    with pytest.raises(Conflict):
        check_now(monitor=group)


def test_a_group_that_is_paused_says_nothing(team: Team) -> None:
    [first] = nodes(team, 1)
    group = make_group(team, first)
    pause_monitor(monitor=group)
    fail(first)
    assert status_of(group) == "paused"
    set_enabled(monitor=group, is_enabled=True)
    assert status_of(group) == "down"


def test_a_groups_incident_that_is_resolved_by_hand_opens_anew_while_it_is_true(
    team: Team,
) -> None:
    [first] = nodes(team, 1)
    group = make_group(team, first)
    fail(first)
    review_incidents()
    resolve_incident(incident=incident_of(group), by=None)
    assert status_of(group) == "down"
    assert Incident.objects.filter(monitor=group).count() == 2


def test_another_rule_counts_at_once(team: Team) -> None:
    first, second = nodes(team, 2)
    group = make_group(team, first, second, rule="all")
    fail(first)
    assert status_of(group) == "up"
    update_monitor(monitor=group, values={"settings": {"rule": "any"}})
    assert status_of(group) == "down"
    update_monitor(monitor=group, values={"members": [str(second.pk)]})
    assert status_of(group) == "up"


def test_members_that_come_and_go_are_one_flapping_incident_of_the_group(team: Team) -> None:
    [first] = nodes(team, 1)
    group = make_group(team, first)
    for _ in range(5):
        fail(first)
        review_incidents()
        observe(first, UP)
        review_incidents()
    assert incident_of(group).is_flapping
    kinds = incident_of(group).events.values_list("kind", flat=True)
    assert EventKind.FLAPPING in kinds
    assert_spans_meet(group)


LETTERS = {"u": UP, "g": SLOW, "d": REFUSED, "?": OURS}
STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from("ugd?ptT"), st.booleans()), max_size=24
)
RULES = st.fixed_dictionaries(
    {
        "rule": st.sampled_from(["any", "all", "percent"]),
        "percent": st.sampled_from([1, 25, 50, 51, 75, 100]),
        "degraded_by_any": st.booleans(),
    }
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS, RULES)
def test_at_any_quiet_moment_a_group_is_what_its_rule_says(
    steps: list[tuple[int, str, bool]], rule: dict[str, Any]
) -> None:
    team = TeamFactory()
    members = nodes(team, 4, flap_threshold=0)
    for one in members[2:]:
        tag_monitors(monitor_ids=[one.pk], tag="x")
    group = make_group(team, *members[:2], tags=["x"], **rule)
    before = Status(group.status)
    for number, letter, is_quiet in steps:
        act(members[number], letter)
        if is_quiet:
            review_incidents()
            before = assert_follows_its_rule(group, rule, before)
            assert_spans_meet(group)
    assert not again(group).incidents.filter(status="open").count() > 1


def act(monitor: Monitor, letter: str) -> None:
    monitor = again(monitor)
    if letter == "p":
        set_enabled(monitor=monitor, is_enabled=not monitor.enabled)
    elif letter == "t":
        untag_monitors(monitor_ids=[monitor.pk], tag="x")
    elif letter == "T":
        tag_monitors(monitor_ids=[monitor.pk], tag="x")
    elif monitor.enabled:
        times = 3 if letter == "?" else 2
        observe(monitor, *([LETTERS[letter]] * times))


def assert_follows_its_rule(group: Monitor, rule: Mapping[str, Any], before: Status) -> Status:
    """By another way than the code's: member by member."""
    group = again(group)
    statuses = list(members_of(group).exclude(status="paused").values_list("status", flat=True))
    down = sum(one in ("down", "recovering") for one in statuses)
    bad = down + statuses.count("degraded")
    known = bad + statuses.count("up")
    incident = Incident.objects.filter(monitor=group).unresolved().first()
    was_bad = before in ("down", "degraded") or (
        before in ("unknown", "pending") and incident is not None
    )
    of = known if was_bad else len(statuses)
    needed = {"any": 1, "all": of, "percent": math.ceil(of * rule["percent"] / 100)}[rule["rule"]]
    needed = max(needed, 1)
    if not statuses:
        expected = "paused"
    elif down >= needed:
        expected = "down"
    elif bad >= (1 if rule["degraded_by_any"] else needed):
        expected = "degraded"
    elif "up" in statuses:
        expected = "up"
    else:
        expected = "pending" if "pending" in statuses else "unknown"
    if not (incident is not None and incident.is_flapping):
        assert group.status == expected
        assert (incident is not None) == (
            expected in ("down", "degraded") or (expected in ("unknown", "pending") and was_bad)
        )
    return Status(group.status)


def test_a_look_that_fails_is_made_again(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    [first] = nodes(team, 1)
    group = make_group(team, first)
    fail(first)
    with monkeypatch.context() as broken:
        broken.setattr("incidents.transitions.tally_members", lambda _: 1 / 0)
        review_incidents()
    assert again(group).status == "up"
    assert status_of(group) == "down"
    assert not Doubt.objects.exists()


@pytest.fixture
def _no_results_left(transactional_db: None) -> Iterator[None]:
    """Results are no model's own table: nobody else takes them away."""
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE monitors_result")


@pytest.mark.usefixtures("_no_results_left")
def test_members_that_turn_while_all_are_paused_and_resumed_leave_the_group_as_its_rule_says() -> (
    None
):
    team = TeamFactory()
    members = nodes(team, 4, flap_threshold=0)
    group = make_group(team, *members, rule="percent")
    update_monitor(monitor=group, values={"flap_threshold": 0})
    errors: list[BaseException] = []

    def turn(seed: int) -> None:
        chance = Random(seed)
        for _ in range(8):
            seen = chance.choice([UP, REFUSED])
            batch = [leased(one, seen) for one in chance.sample(members, 2)]
            take_in(batch, owner=OWNER)

    def switch() -> None:
        ids = [group.pk, *(one.pk for one in members)]
        for _ in range(3):
            pause_monitors(monitor_ids=ids)
            for one in (*members, group):
                set_enabled(monitor=one, is_enabled=True)

    def review() -> None:
        for _ in range(12):
            review_incidents()

    def run(action: Any, *args: Any) -> None:
        try:
            action(*args)
        except BaseException as error:  # noqa: BLE001 - the test's thread tells of it
            errors.append(error)
        finally:
            connections.close_all()

    threads = [
        Thread(target=run, args=args)
        for args in [(turn, 1), (turn, 2), (switch,), (review,), (review,)]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    review_incidents()
    assert not Doubt.objects.exists()
    for one in members:
        observe(one, UP)
    assert status_of(group) == "up"
    fail(*members[:2])
    assert status_of(group) == "down"
    assert_spans_meet(group)
