"""While what a monitor depends on is down, nobody is told of the monitor's trouble."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Team
from alerts.escalation import decide_due
from alerts.models import Delivery, Escalation
from incidents.maintenance.actions import create_window, end_window
from incidents.models import EventKind, Incident, MaintenanceWindow
from monitors.actions import create_monitor, update_monitor
from monitors.drafts import values_of
from monitors.models import Assignment, Monitor
from probe.values import Observation
from tests.factories import TeamFactory, UserFactory, WebhookFactory, make_monitor, make_policy
from tests.incidents.scenes import OWNER, REFUSED, SLOW, UP, leased, observe
from uptime.clock import database_now
from uptime.errors import Invalid
from uptime.intake import take_in
from uptime.operations import (
    acknowledge_incident,
    pause_monitor,
    resolve_incident,
    review_incidents,
)

pytestmark = pytest.mark.django_db

EVENTS = ["down", "degraded", "recovered"]


@pytest.fixture
def team() -> Team:
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team), on=EVENTS)
    return team


@pytest.fixture
def router(team: Team) -> Monitor:
    return observe(make_monitor(team, name="Router"), UP)


def behind(parent: Monitor, count: int = 1, **values: Any) -> list[Monitor]:
    """Monitors that are up and depend on `parent`."""
    given = {"depends_on": [str(parent.pk)], **values}
    return [observe(make_monitor(parent.team, **given), UP) for _ in range(count)]


def fail(*monitors: Monitor, seen: Observation = REFUSED) -> None:
    for monitor in monitors:
        observe(monitor, seen, seen)


def told() -> Counter[tuple[str, str]]:
    """How often what was told of which monitor."""
    rows = Delivery.objects.values_list("incident__monitor__name", "event")
    return Counter((str(name), event) for name, event in rows)


def incident_of(monitor: Monitor) -> Incident:
    return Incident.objects.filter(monitor=monitor).latest("started_at")


def next_check(monitor: Monitor) -> datetime:
    due_at = Assignment.objects.get(monitor=monitor).next_due_at
    assert due_at is not None
    return due_at


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations(list("rraabbcc")), st.integers(0, 255))
def test_a_parent_and_its_children_are_one_page_in_whatever_order_they_fail(
    order: list[str], looks: int
) -> None:
    Delivery.objects.all().delete()
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team), on=EVENTS)
    router = observe(make_monitor(team, name="Router"), UP)
    monitors = {"r": router, **dict(zip("abc", behind(router, 3), strict=True))}
    for place, letter in enumerate(order):
        observe(monitors[letter], REFUSED)
        if looks >> place & 1:
            review_incidents()
    review_incidents()
    assert told() == {("Router", "down"): 1}
    for letter in "abc":
        assert incident_of(monitors[letter]).parent == incident_of(router)
    for letter in order[:4]:
        observe(monitors[letter], UP)
    observe(router, UP)
    for letter in "abc":
        observe(monitors[letter], UP)
        review_incidents()
    assert told() == {("Router", "down"): 1, ("Router", "recovered"): 1}


def test_a_parent_and_forty_children_in_one_batch_cost_the_statements_of_four(
    team: Team,
) -> None:
    def statements(count: int) -> int:
        router = observe(make_monitor(team, name=f"Router of {count}"), UP)
        batch = [*behind(router, count), router]
        at = database_now()
        for monitor in batch:
            observe(monitor, REFUSED, at=at)
        second = [leased(one, REFUSED, at=at + timedelta(seconds=5)) for one in batch]
        with CaptureQueriesContext(connection) as queries:
            assert take_in(second, owner=OWNER) == count + 1
            review_incidents()
        assert incident_of(router).children.count() == count
        return len(queries)

    assert statements(4) == statements(40)
    assert told() == {("Router of 4", "down"): 1, ("Router of 40", "down"): 1}


def test_trouble_of_its_own_is_told_once_its_parent_is_proven_fine(router: Monitor) -> None:
    [server] = behind(router, name="Server")
    fail(server)
    review_incidents()
    assert not told()
    assert next_check(router) <= database_now()
    observe(router, UP)
    review_incidents()
    assert told() == {("Server", "down"): 1}
    incident = incident_of(server)
    assert (incident.is_held, incident.parent) == (False, None)
    assert Delivery.objects.get().incident_event == incident.events.get()
    observe(server, UP)
    assert told() == {("Server", "down"): 1, ("Server", "recovered"): 1}


def test_a_parent_that_just_failed_is_waited_for(router: Monitor) -> None:
    [server] = behind(router, name="Server")
    fail(server)
    observe(router, REFUSED)
    confirmed_at = next_check(router)
    review_incidents()
    assert not told()
    assert next_check(router) == confirmed_at
    observe(router, UP)
    review_incidents()
    assert told() == {("Server", "down"): 1}


def test_a_parent_that_nobody_checks_holds_nothing_for_long(router: Monitor) -> None:
    [server] = behind(router, name="Server")
    fail(server)
    held_until = incident_of(server).held_until
    assert held_until is not None
    # twice the timeout, the pause between them, and what happens around them
    waits = held_until - incident_of(server).confirmed_at
    assert waits == timedelta(seconds=2 * 10 + 5 + 5)
    Incident.objects.update(held_until=database_now())
    review_incidents()
    assert told() == {("Server", "down"): 1}


def test_what_is_still_down_when_its_parent_recovers_is_told_then(router: Monitor) -> None:
    server, lucky = behind(router, 2)
    Monitor.objects.filter(pk=server.pk).update(name="Server")
    fail(router, server, lucky)
    review_incidents()
    observe(router, UP)
    review_incidents()
    assert told() == {("Router", "down"): 1, ("Router", "recovered"): 1}
    for monitor in (router, server, lucky):
        assert next_check(monitor) <= database_now()
    observe(router, UP)
    observe(lucky, UP)
    observe(server, REFUSED)
    review_incidents()
    assert told() - Counter({("Router", "down"): 1, ("Router", "recovered"): 1}) == {
        ("Server", "down"): 1
    }
    kinds = list(incident_of(server).events.order_by("id").values_list("kind", flat=True))
    assert kinds == [EventKind.OPENED, EventKind.HELD, EventKind.RELEASED]
    assert "Router" in incident_of(server).events.get(kind=EventKind.RELEASED).message
    review_incidents()
    observe(server, UP)
    assert told()["Server", "recovered"] == 1


def test_the_end_of_what_nobody_heard_of_is_told_to_nobody(router: Monitor) -> None:
    make_policy(router.team, WebhookFactory(team=router.team), on=["recovered"])
    server, other = behind(router, 2)
    fail(router, server, other)
    review_incidents()
    observe(server, UP)
    resolve_incident(incident=incident_of(other), by=UserFactory())
    assert told() == {("Router", "down"): 1}


def test_a_child_that_was_told_of_before_is_told_of_its_end(router: Monitor) -> None:
    [server] = behind(router, name="Server")
    fail(server, seen=SLOW)
    observe(router, UP)
    review_incidents()
    fail(router, server)
    review_incidents()
    assert told() == {("Server", "degraded"): 1, ("Router", "down"): 1}
    assert incident_of(server).severity == "down"
    observe(server, UP)
    assert told()["Server", "recovered"] == 1


def test_later_steps_wait_while_a_parent_is_down(team: Team, router: Monitor) -> None:
    later = team.policies.get().steps.create(position=1, delay_s=600)
    later.channels.set([WebhookFactory(team=team)])
    [server] = behind(router, name="Server")
    fail(server)
    observe(router, UP)
    review_incidents()
    fail(router)
    decide_due(database_now() + timedelta(minutes=11))
    assert told() == {("Server", "down"): 1, ("Router", "down"): 2}
    observe(router, UP)
    decide_due(database_now() + timedelta(minutes=12))
    assert told()["Server", "down"] == 2


@pytest.mark.parametrize("is_under", [False, True])
def test_what_somebody_is_on_by_then_wakes_nobody(router: Monitor, is_under: bool) -> None:
    [server] = behind(router, name="Server")
    fail(server)
    if is_under:
        fail(router)
    review_incidents()
    acknowledge_incident(incident=incident_of(server), by=UserFactory())
    observe(router, UP)
    review_incidents()
    observe(router, UP)
    observe(server, REFUSED)
    review_incidents()
    assert not incident_of(server).is_held
    assert told()["Server", "down"] == 0
    assert Escalation.objects.get(incident=incident_of(server)).skipped_because == "acknowledged"
    observe(server, UP)
    assert told()["Server", "recovered"] == 0


def test_what_became_worse_since_somebody_is_on_it_is_told(router: Monitor) -> None:
    [server] = behind(router, name="Server")
    fail(server, seen=SLOW)
    observe(router, UP)
    review_incidents()
    acknowledge_incident(incident=incident_of(server), by=UserFactory())
    fail(server)
    observe(router, UP)
    review_incidents()
    assert told() == {("Server", "degraded"): 1, ("Server", "down"): 1}


def test_a_chain_is_told_at_its_upper_end(router: Monitor) -> None:
    [switch] = behind(router)
    [server] = behind(switch)
    fail(server)
    fail(switch)
    review_incidents()
    fail(router)
    review_incidents()
    assert told() == {("Router", "down"): 1}
    assert incident_of(server).parent == incident_of(switch)
    assert incident_of(switch).parent == incident_of(router)


def test_one_of_several_parents_is_enough(team: Team, router: Monitor) -> None:
    power = observe(make_monitor(team, name="Power"), UP)
    [server] = behind(router, depends_on=[str(router.pk), str(power.pk)])
    fail(server)
    observe(router, UP)
    review_incidents()
    assert not told()
    fail(power)
    review_incidents()
    assert told() == {("Power", "down"): 1}
    assert incident_of(server).parent == incident_of(power)


def test_a_degraded_parent_holds_nothing(router: Monitor) -> None:
    [server] = behind(router, name="Server")
    fail(router, seen=SLOW)
    fail(server)
    observe(router, SLOW)
    review_incidents()
    assert told() == {("Router", "degraded"): 1, ("Server", "down"): 1}


def test_a_parent_that_is_paused_holds_nothing(router: Monitor) -> None:
    [server] = behind(router, name="Server")
    fail(router, server)
    review_incidents()
    pause_monitor(monitor=router)
    review_incidents()
    observe(server, REFUSED)
    review_incidents()
    assert told() == {("Router", "down"): 1, ("Server", "down"): 1}


def test_what_no_longer_depends_on_it_is_told(router: Monitor) -> None:
    [server] = behind(router, name="Server")
    fail(router, server)
    review_incidents()
    update_monitor(monitor=server, values={"depends_on": []})
    review_incidents()
    observe(server, REFUSED)
    review_incidents()
    assert told() == {("Router", "down"): 1, ("Server", "down"): 1}


def planned(*monitors: Monitor) -> MaintenanceWindow:
    """Maintenance of these that is on."""
    now = database_now()
    times = {"starts_at": now - timedelta(minutes=1), "ends_at": now + timedelta(hours=1)}
    ids = [one.pk for one in monitors]
    window = create_window(team=monitors[0].team, values={"name": "W", **times, "monitors": ids})
    review_incidents()
    return window


def wait_in_vain(*failing: Monitor) -> None:
    """So long that what is held would be told."""
    for monitor in failing:
        observe(monitor, REFUSED)
    Incident.objects.filter(held_until__isnull=False).update(held_until=database_now())
    review_incidents()


def test_what_depends_on_planned_work_is_kept_quiet_with_it(router: Monitor) -> None:
    [server] = behind(router, name="Server")
    window = planned(router)
    fail(router, server)
    for _ in range(3):
        wait_in_vain(router, server)
    assert not told()
    kinds = list(incident_of(server).events.order_by("id").values_list("kind", flat=True))
    assert kinds == [EventKind.OPENED, EventKind.HELD]
    assert "“Router” is down under maintenance" in incident_of(server).events.last().message
    end_window(window=window)
    review_incidents()
    observe(server, REFUSED)
    wait_in_vain()
    assert not told()  # the router is to be proven first
    observe(router, UP)
    observe(server, REFUSED)
    review_incidents()
    assert told() == {("Server", "down"): 1}


def test_maintenance_that_begins_in_a_parents_outage_wakes_nobody_for_its_children(
    router: Monitor,
) -> None:
    [server] = behind(router, name="Server")
    fail(router, server)
    review_incidents()
    window = planned(router)
    for _ in range(3):
        wait_in_vain(router, server)
    assert told() == {("Router", "down"): 1}
    end_window(window=window)
    review_incidents()
    observe(server, REFUSED)
    observe(router, REFUSED)
    wait_in_vain()
    assert told() == {("Router", "down"): 2}
    assert incident_of(server).parent == incident_of(router)


def test_a_parent_under_maintenance_that_works_holds_nothing(router: Monitor) -> None:
    [server] = behind(router, name="Server")
    planned(router)
    fail(server)
    observe(router, UP)
    review_incidents()
    assert told() == {("Server", "down"): 1}


def test_a_group_under_maintenance_is_down_as_its_rule_has_it(team: Team) -> None:
    nodes = [observe(make_monitor(team, name=f"Node {n}"), UP) for n in range(3)]
    settings = {"rule": "percent", "percent": 60}
    names = {"members": [str(one.pk) for one in nodes], "settings": settings}
    cluster = make_monitor(team, name="Cluster", kind="group", target="", **names)
    review_incidents()
    [server] = behind(cluster, name="Server")
    planned(cluster)
    fail(nodes[0], nodes[1], server)
    wait_in_vain(server, *nodes[:2])
    assert told()["Server", "down"] == 0
    observe(nodes[1], UP)
    wait_in_vain(server)
    assert told()["Server", "down"] == 1


def problems(values: dict[str, Any], monitor: Monitor) -> Iterable[str]:
    with pytest.raises(Invalid) as refused:
        update_monitor(monitor=monitor, values=values)
    return refused.value.fields["depends_on"]


def test_parents_are_named_by_id_key_or_name(team: Team) -> None:
    by_id, by_key = make_monitor(team), make_monitor(team, key="power")
    by_name = make_monitor(team, name="Router, upstairs")
    named = [str(by_id.pk), "power", "Router, upstairs", "power"]
    child = create_monitor(
        team=team,
        values={"name": "S", "kind": "tcp", "target": "127.0.0.1:9", "depends_on": named},
    )
    assert set(values_of(child)["depends_on"]) == {str(one.pk) for one in (by_id, by_key, by_name)}
    update_monitor(monitor=child, values={"name": "Server"})
    assert child.depends_on.count() == 3
    update_monitor(
        monitor=child,
        values={"name": "S", "target": "127.0.0.1:9"},
        is_whole=True,
    )
    assert child.depends_on.count() == 0


def test_who_is_meant_must_be_clear_and_of_the_team(team: Team, router: Monitor) -> None:
    foreign = make_monitor(name="Foreign")
    for _ in range(2):
        make_monitor(team, name="Twin")
    given = {"depends_on": [str(foreign.pk), "Foreign", "Twin", "Router"]}
    assert problems(given, make_monitor(team)) == [
        f"There is no monitor {foreign.pk}.",
        "There is no monitor Foreign.",
        "There are 2 monitors called Twin: give an id.",
    ]


def test_nothing_depends_on_itself(router: Monitor) -> None:
    [switch] = behind(router, name="Switch")
    [server] = behind(switch, name="Server")
    assert problems({"depends_on": ["Router"]}, router) == ["A monitor can't depend on itself."]
    assert problems({"depends_on": ["Server"]}, router) == [
        "Server depends on this monitor already."
    ]
    update_monitor(monitor=server, values={"depends_on": ["Router", "Switch"]})
