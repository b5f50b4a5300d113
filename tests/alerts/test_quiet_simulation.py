"""Maintenance, snoozes, groups and storms over weeks, counted message by message."""

from collections import Counter
from datetime import timedelta

import pytest

from accounts.models import Team
from alerts.actions import create_policy
from alerts.models import Channel, Delivery
from monitors.models import Monitor
from tests.alerts.scenes import make_webhook
from tests.alerts.simulation import Telling, WholeWorld
from tests.incidents.scenes import REFUSED, UP

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, team: Team) -> WholeWorld:
    return WholeWorld(monkeypatch, team, "2026-03-01T00:00")


@pytest.fixture
def chat(team: Team) -> Channel:
    return make_webhook(team, "http://127.0.0.1:9/", "Chat")


@pytest.fixture
def boss(team: Team) -> Channel:
    return make_webhook(team, "http://127.0.0.1:9/", "Boss")


def tell(team: Team, channel: Channel, after: int = 0, **values: object) -> None:
    """A policy with one step, so many minutes after the event."""
    steps = [{"delay_seconds": after * 60, "channels": [channel.pk]}]
    known = {"name": "P", "all": True, "on": ["down", "recovered"], **values}
    create_policy(team=team, values={**known, "steps": steps})


def fails(world: WholeWorld, monitor: Monitor, since: str, until: str) -> None:
    world.at(since, world.answer(REFUSED, monitor))
    world.at(until, world.answer(UP, monitor))


def shown(world: WholeWorld) -> list[tuple[str, str, str]]:
    return [(one.at[5:], one.channel, one.event) for one in world.told]


def test_weekly_maintenance_through_the_change_of_clocks(
    world: WholeWorld, team: Team, chat: Channel
) -> None:
    """Sundays from three to five in Berlin: 02:00 to 04:00 here, from the 29th of March on an hour
    earlier. Each week's outage is another one.
    """
    tell(team, chat)
    shop = world.monitor("Shop")
    weekly = {"rrule": "FREQ=WEEKLY", "timezone": "Europe/Berlin", "all": True}
    world.at("2026-03-20T00:00", world.plans("W", "2026-03-22T02:00", "2026-03-22T04:00", **weekly))
    fails(world, shop, "2026-03-22T02:50", "2026-03-22T04:30")  # outlives it
    fails(world, shop, "2026-03-29T01:50", "2026-03-29T03:30")  # outlives it
    fails(world, shop, "2026-04-05T00:50", "2026-04-05T02:30")  # was told before
    fails(world, shop, "2026-04-12T01:10", "2026-04-12T02:50")  # inside
    fails(world, shop, "2026-04-19T03:10", "2026-04-19T03:20")  # after
    world.run(until="2026-04-25T00:00")
    assert shown(world) == [
        ("03-22T04:00", "Chat", "down"),
        ("03-22T04:30", "Chat", "recovered"),
        ("03-29T03:00", "Chat", "down"),
        ("03-29T03:30", "Chat", "recovered"),
        ("04-05T00:50", "Chat", "down"),
        ("04-05T03:00", "Chat", "recovered"),
        ("04-19T03:10", "Chat", "down"),
        ("04-19T03:20", "Chat", "recovered"),
    ]


def test_maintenance_that_is_started_early_extended_and_ended_early(
    world: WholeWorld, team: Team, chat: Channel
) -> None:
    tell(team, chat)
    shop = world.monitor("Shop")
    for day in ("02", "03", "04"):
        plan = world.plans(day, f"2026-03-{day}T10:00", f"2026-03-{day}T11:00", all=True)
        world.at("2026-03-01T01:00", plan)
    world.at("2026-03-02T09:00", world.starts("02"))
    fails(world, shop, "2026-03-02T09:30", "2026-03-02T10:30")  # quiet
    world.at("2026-03-03T10:50", world.extends("03", 60))
    fails(world, shop, "2026-03-03T10:55", "2026-03-03T12:20")  # told at noon
    world.at("2026-03-04T10:20", world.ends("04"))
    fails(world, shop, "2026-03-04T10:10", "2026-03-04T10:40")  # told at 10:20
    world.run(until="2026-03-06T00:00")
    assert shown(world) == [
        ("03-03T12:00", "Chat", "down"),
        ("03-03T12:20", "Chat", "recovered"),
        ("03-04T10:20", "Chat", "down"),
        ("03-04T10:40", "Chat", "recovered"),
    ]


def test_nights_that_are_snoozed_and_a_boss_who_hears_after_ten_minutes(
    world: WholeWorld, team: Team, chat: Channel, boss: Channel
) -> None:
    tell(team, chat)
    tell(team, boss, after=10, on=["down"])
    shop = world.monitor("Shop")
    # snoozed after it was told, over before the boss's turn: its end is told in the morning
    fails(world, shop, "2026-03-02T22:00", "2026-03-03T03:00")
    world.at("2026-03-02T22:05", world.snoozes(shop, 8 * HOUR))
    # goes on in the morning: told anew, and the boss's ten minutes begin then
    fails(world, shop, "2026-03-03T22:00", "2026-03-04T07:00")
    world.at("2026-03-03T22:05", world.snoozes(shop, 8 * HOUR))
    # begins and ends inside, twice
    world.at("2026-03-04T22:00", world.snoozes(shop, 8 * HOUR))
    fails(world, shop, "2026-03-04T23:00", "2026-03-04T23:30")
    fails(world, shop, "2026-03-05T01:00", "2026-03-05T01:30")
    # ended by hand, an hour into the outage
    world.at("2026-03-05T22:00", world.snoozes(shop, 8 * HOUR))
    fails(world, shop, "2026-03-05T23:00", "2026-03-06T00:05")
    world.at("2026-03-06T00:00", world.wakes(shop))
    world.run(until="2026-03-08T00:00")
    assert shown(world) == [
        ("03-02T22:00", "Chat", "down"),
        ("03-03T06:05", "Chat", "recovered"),
        ("03-03T22:00", "Chat", "down"),
        ("03-04T06:05", "Chat", "down"),
        ("03-04T06:15", "Boss", "down"),
        ("03-04T07:00", "Chat", "recovered"),
        ("03-06T00:00", "Chat", "down"),
        ("03-06T00:05", "Chat", "recovered"),
    ]


def test_a_group_is_one_page_however_many_of_its_members_fail(
    world: WholeWorld, team: Team, chat: Channel, boss: Channel
) -> None:
    tell(team, chat, name="Groups", tags=["service"], all=False)
    tell(team, boss, name="Members", tags=["node"], all=False)
    nodes = [world.monitor(f"Node {n}", tags=["node"]) for n in range(4)]
    half = {"rule": "percent", "percent": 50}
    settings = {**half, "tags": ["node"]}
    world.monitor("Service", kind="group", target="", tags=["service"], settings=settings)
    fails(world, nodes[0], "2026-03-02T10:00", "2026-03-02T12:00")  # one of four
    fails(world, nodes[1], "2026-03-02T10:30", "2026-03-02T11:30")  # half of them
    fails(world, nodes[2], "2026-03-02T10:40", "2026-03-02T11:40")  # no news of the group
    # Two under maintenance: one of the other two is half of what counts.
    ids = [one.pk for one in nodes[2:]]
    times = ("2026-03-03T09:00", "2026-03-03T11:00")
    world.at("2026-03-03T08:00", world.plans("W", *times, monitors=ids))
    fails(world, nodes[0], "2026-03-03T10:00", "2026-03-03T10:15")
    fails(world, nodes[3], "2026-03-03T10:05", "2026-03-03T10:50")  # inside
    world.run(until="2026-03-05T00:00")
    assert [one for one in world.told if one.channel == "Chat"] == [
        Telling("2026-03-02T10:30", "Chat", "down", "Service"),
        Telling("2026-03-02T11:40", "Chat", "recovered", "Service"),
        Telling("2026-03-03T10:00", "Chat", "down", "Service"),
        Telling("2026-03-03T10:15", "Chat", "recovered", "Service"),
    ]
    members = Counter((one.event, one.monitor) for one in world.told if one.channel == "Boss")
    assert members == {
        (event, f"Node {n}"): count
        for event in ("down", "recovered")
        for n, count in ((0, 2), (1, 1), (2, 1))
    }


def test_a_storm_over_what_is_snoozed_under_maintenance_and_dependent(
    world: WholeWorld, team: Team
) -> None:
    chat = make_webhook(team, "http://127.0.0.1:9/", "Chat", digest_above=5)
    tell(team, chat)
    racks = [world.monitor(f"Rack {n}") for n in range(9)]
    switch = world.monitor("Switch")
    hosts = [world.monitor(f"Host {n}", depends_on=["Switch"]) for n in range(4)]
    snoozed, *others = racks
    world.at("2026-03-02T09:00", world.snoozes(snoozed, 8 * HOUR))
    ids = [one.pk for one in others[:2]]
    times = ("2026-03-02T09:00", "2026-03-02T11:00")
    world.at("2026-03-02T08:00", world.plans("W", *times, monitors=ids))
    world.at("2026-03-02T10:00", world.answer(REFUSED, *racks, *hosts, switch))
    world.at("2026-03-02T10:30", world.answer(UP, *racks, *hosts, switch))
    # the switch alone, with all that hangs on it
    world.at("2026-03-03T10:00", world.answer(REFUSED, *hosts, switch))
    world.at("2026-03-03T10:30", world.answer(UP, *hosts, switch))
    world.run(until="2026-03-05T00:00")
    assert world.told == [
        Telling("2026-03-02T10:00", "Chat", "digest", "7"),  # 6 racks and the switch
        Telling("2026-03-02T10:30", "Chat", "digest", "7"),
        Telling("2026-03-03T10:00", "Chat", "down", "Switch"),
        Telling("2026-03-03T10:30", "Chat", "recovered", "Switch"),
    ]
    assert not Delivery.objects.filter(next_attempt_at__isnull=False).exists()
