"""Months of alerting, counted message by message."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from accounts.models import Membership, Team
from alerts.actions import create_policy
from alerts.models import Channel, Delivery, Escalation
from alerts.on_call.actions import add_override, create_schedule, set_contacts
from incidents.models import Severity
from monitors.models import Monitor
from tests.alerts.scenes import make_monitor, make_webhook
from tests.alerts.simulation import Telling, World, every, utc
from tests.factories import MembershipFactory

pytestmark = pytest.mark.django_db

BERLIN = ZoneInfo("Europe/Berlin")  # forward on 2026-03-29 at 02:00, back on 2026-10-25 at 03:00
HOUR = timedelta(hours=1)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, team: Team) -> World:
    return World(monkeypatch, team, "2026-01-01T00:00")


@pytest.fixture
def shop(team: Team) -> Monitor:
    return make_monitor(team, "Shop")


@pytest.fixture
def chat(team: Team) -> Channel:
    return make_webhook(team, "http://127.0.0.1:9/", "Chat")


@pytest.fixture
def boss(team: Team) -> Channel:
    return make_webhook(team, "http://127.0.0.1:9/", "Boss")


def member(team: Team, name: str) -> Membership:
    """Somebody with a phone of their own name."""
    one: Membership = MembershipFactory(
        team=team, user__name=name, user__email=f"{name.lower()}@example.org", user__password=None
    )
    phone = make_webhook(team, "http://127.0.0.1:9/", name)
    set_contacts(member=one, values={"channels": [phone.pk]})
    return one


@pytest.fixture
def people(team: Team) -> list[Membership]:
    return [member(team, name) for name in ("Ann", "Ben", "Cay")]


def policy(team: Team, *steps: dict[str, Any], **values: Any) -> None:
    known = {"name": "P", "all": True, "on": ["down", "recovered"], **values}
    create_policy(team=team, values={**known, "steps": list(steps)})


def step(*channels: Channel, after: int = 0, **values: Any) -> dict[str, Any]:
    """`after` so many minutes."""
    told = {"channels": [channel.pk for channel in channels]} if channels else {}
    return {"delay_seconds": after * 60, **told, **values}


def test_one_incident_minute_by_minute(
    world: World, shop: Monitor, chat: Channel, boss: Channel
) -> None:
    policy(
        world.team,
        step(chat, repeat_seconds=3600, max_repeats=2),
        step(boss, after=30),
    )
    world.at("2026-03-02T09:00", world.fails(shop))
    world.at("2026-03-02T13:10", world.recovers(shop))
    world.run(until="2026-04-01T00:00")
    assert world.told == [
        Telling("2026-03-02T09:00", "Chat", "down", "Shop"),
        Telling("2026-03-02T09:30", "Boss", "down", "Shop"),
        Telling("2026-03-02T10:00", "Chat", "reminder", "Shop"),
        Telling("2026-03-02T11:00", "Chat", "reminder", "Shop"),
        Telling("2026-03-02T13:10", "Boss", "recovered", "Shop"),
        Telling("2026-03-02T13:10", "Chat", "recovered", "Shop"),
    ]


def test_a_year_of_weekly_turns_pages_whoever_is_on_call_through_both_changes_of_clocks(
    world: World, shop: Monitor, people: list[Membership]
) -> None:
    layer = {"members": [one.user.email for one in people], "start": "2026-01-05T09:00"}
    schedule = create_schedule(
        team=world.team,
        values={"name": "Primary", "timezone": "Europe/Berlin", "layers": [layer]},
    )
    policy(world.team, step(schedules=[schedule.pk]))
    # Mondays by turns one minute before the hand-over and one minute after it.
    monday = datetime(2026, 1, 12, 9, 0, tzinfo=BERLIN)
    expected = []
    for week in range(1, 51):
        handed_over = monday.astimezone(utc("2026-01-01").tzinfo)
        is_after = week % 2
        began = handed_over + timedelta(minutes=1 if is_after else -1)
        over = began + timedelta(seconds=30)
        world.at(began, world.fails(shop))
        world.at(over, world.recovers(shop))
        name = people[(week if is_after else week - 1) % 3].user.name
        expected += [
            Telling(f"{began:%Y-%m-%dT%H:%M}", name, "down", "Shop"),
            Telling(f"{over:%Y-%m-%dT%H:%M}", name, "recovered", "Shop"),
        ]
        monday += timedelta(weeks=1)  # by wall clocks
    world.run(until="2027-01-10T00:00")
    assert sorted(world.told) == sorted(expected)
    assert len(expected) == 100


def test_a_night_that_is_handed_over_reminds_whoever_is_on_call_by_then(
    world: World, shop: Monitor, people: list[Membership]
) -> None:
    ann, ben, cay = (one.user.email for one in people)
    layer = {"members": [ann, ben], "start": "2026-03-01T08:00"}
    turns = {**layer, "rotation": "custom", "turn_hours": 12}
    schedule = create_schedule(
        team=world.team,
        values={"name": "Primary", "timezone": "Europe/Berlin", "layers": [turns]},
    )
    add_override(
        schedule=schedule,
        values={
            "member": cay,
            "starts_at": utc("2026-03-29T10:00"),
            "ends_at": utc("2026-03-29T14:00"),
        },
    )
    policy(world.team, step(schedules=[schedule.pk], repeat_seconds=2 * 3600))
    world.at("2026-03-28T23:30", world.fails(shop))  # 00:30 in the night that is an hour shorter
    world.at("2026-03-29T16:00", world.recovers(shop))
    world.run(until="2026-04-01T00:00")
    paged = [(one.at[11:], one.channel) for one in world.told if one.event != "recovered"]
    assert paged == [
        ("23:30", "Ben"),
        ("01:30", "Ben"),
        ("03:30", "Ben"),
        ("05:30", "Ben"),
        ("07:30", "Ann"),  # 08:00 in Berlin now is 06:00 here
        ("09:30", "Ann"),
        ("11:30", "Cay"),
        ("13:30", "Cay"),
        ("15:30", "Ann"),
    ]
    over = [one.channel for one in world.told if one.event == "recovered"]
    assert over == ["Ann", "Ben", "Cay"]


def test_half_a_year_of_office_hours(
    world: World, shop: Monitor, chat: Channel, boss: Channel
) -> None:
    window = {"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "end": "18:00"}
    hours = {"timezone": "Europe/Berlin", "windows": [window]}
    policy(world.team, step(chat), on=["down"], active_hours=hours)
    policy(world.team, step(boss), on=["down"], active_hours=hours, outside_hours="drop")
    # It fails at 05:30 UTC: before eight in Berlin in winter (06:30) and in summer (07:30).
    days = every(3, since="2026-02-02T05:30", until="2026-08-01T00:00")
    for day in days:
        world.at(day, world.fails(shop))
        world.at(day + 23 * HOUR, world.recovers(shop))
    world.run(until="2026-09-01T00:00")

    workdays = [day for day in days if day.weekday() < 5]
    assert Counter(one.channel for one in world.told) == {"Chat": len(workdays)}
    opened = Counter(one.at[11:] for one in world.told)
    in_winter = sum(day < utc("2026-03-29T00:00") for day in workdays)
    assert opened == {"07:00": in_winter, "06:00": len(workdays) - in_winter}
    skipped = Counter(Escalation.objects.values_list("skipped_because", flat=True))
    # the boss's on each day; the chat's of weekends, which were over by Monday
    assert skipped == {"": len(workdays), "hours": len(days), "resolved": len(days) - len(workdays)}


def test_a_quarter_of_incidents_of_which_every_other_is_acknowledged(
    world: World, shop: Monitor, chat: Channel, boss: Channel, people: list[Membership]
) -> None:
    policy(world.team, step(chat, repeat_seconds=1800), step(boss, after=60))
    days = every(3, since="2026-01-10T12:00", until="2026-04-10T00:00")
    assert len(days) == 30
    for number, day in enumerate(days):
        world.at(day, world.fails(shop))
        if number % 2:
            world.at(day + 0.75 * HOUR, world.acknowledges(shop, people[0].user))
        world.at(day + 2.25 * HOUR, world.recovers(shop))
    world.run(until="2026-05-01T00:00")
    assert Counter((one.channel, one.event) for one in world.told) == {
        ("Chat", "down"): 30,
        ("Chat", "reminder"): 15 * 1 + 15 * 4,
        ("Boss", "down"): 15,
        ("Boss", "recovered"): 15,
        ("Chat", "recovered"): 30,
    }


def test_routes_by_severity_through_what_gets_worse_and_better(
    world: World, shop: Monitor, chat: Channel, boss: Channel
) -> None:
    policy(
        world.team,
        step(chat),
        step(boss, after=10, severities=["down"]),
        on=["down", "degraded", "recovered"],
    )
    world.at("2026-02-01T10:00", world.fails(shop, Severity.DEGRADED))
    world.at("2026-02-01T11:00", world.turns(shop, Severity.DOWN))
    world.at("2026-02-01T11:05", world.turns(shop, Severity.DEGRADED))
    world.at("2026-02-01T12:00", world.turns(shop, Severity.DOWN))
    world.at("2026-02-01T13:00", world.recovers(shop))
    world.run(until="2026-02-02T00:00")
    assert [(one.at[11:], one.channel, one.event) for one in world.told] == [
        ("10:00", "Chat", "degraded"),
        ("11:00", "Chat", "down"),
        ("11:05", "Chat", "degraded"),
        ("12:00", "Chat", "down"),
        ("12:10", "Boss", "down"),
        ("13:00", "Boss", "recovered"),
        ("13:00", "Chat", "recovered"),
    ]


def test_no_event_is_told_twice_to_one_channel_however_many_policies_overlap(
    world: World, shop: Monitor, chat: Channel
) -> None:
    for repeat in (1800, 3600, 5400):
        policy(world.team, step(chat, repeat_seconds=repeat))
    world.at("2026-02-01T10:00", world.fails(shop))
    world.at("2026-02-01T16:10", world.recovers(shop))
    world.run(until="2026-02-02T00:00")
    reminders = [one.at[11:] for one in world.told if one.event == "reminder"]
    assert reminders == [f"{10 + n // 2}:{'30' if n % 2 else '00'}" for n in range(1, 13)]
    assert Delivery.objects.count() == 14
