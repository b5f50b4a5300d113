"""Who hears of what: by tables, then through the database."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import Team
from alerts.actions import create_policy, update_channel
from alerts.hours import ActiveHours, Window
from alerts.models import Channel, Delivery, Policy, Skip
from alerts.policies import (
    Decision,
    Occasion,
    Rule,
    Situation,
    Step,
    Subject,
    decide_tellings,
    names_of,
    next_repeat,
    skip_reason,
)
from incidents.models import Severity
from incidents.transitions import Transition
from tests.alerts.scenes import fail, make_monitor, make_team, make_webhook, queue, recover

SHOP = Subject(uuid4(), "Shop EU", ["prod", "eu"])
ANN, BEN, CAY = uuid4(), uuid4(), uuid4()
AT_NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
OFFICE = ActiveHours(ZoneInfo("UTC"), (Window(frozenset(range(5)), time(8), time(18)),))
NIGHTS = ActiveHours(ZoneInfo("UTC"), (Window(frozenset(range(7)), time(22), time(6)),))


def step(*channels: UUID, after: timedelta = timedelta(), **values: Any) -> Step:
    known = {"repeat": None, "max_repeats": None, "severities": frozenset(), **values}
    return Step(id=hash((channels, after)), position=0, delay=after, channels=channels, **known)


def rule(*told: UUID | Step, on: Sequence[str] = ("down", "recovered"), **values: Any) -> Rule:
    """Channels make one immediate step; steps are taken as they are."""
    channels = [one for one in told if isinstance(one, UUID)]
    steps = [one for one in told if isinstance(one, Step)] or [step(*channels)]
    reach = {"reach": "all", "tags": frozenset(), "names": (), "monitors": frozenset(), **values}
    return Rule(id=uuid4(), on=frozenset(on), steps=tuple(steps), **reach)


def tagged(*tags: str) -> dict[str, Any]:
    return {"reach": "tags", "tags": frozenset(tags)}


def named(*names: str) -> dict[str, Any]:
    return {"reach": "names", "names": names}


def decided(
    rules: Sequence[Rule],
    event: str = "down",
    *,
    owed: Sequence[UUID] = (),
    reason: str = "connect_refused",
    now: datetime = AT_NOON,
) -> Decision:
    severity = "degraded" if event == "degraded" else "down"
    occasion = Occasion(event, names_of(event, reason, severity), severity, SHOP)
    return decide_tellings(rules, occasion, owed=owed, now=now)


@pytest.mark.parametrize(
    ("rules", "event", "owed", "expected"),
    [
        ([], "down", [], []),
        ([rule(ANN)], "down", [], [ANN]),
        ([rule(ANN, BEN)], "down", [], [ANN, BEN]),
        ([rule(ANN), rule(ANN, BEN)], "down", [], [ANN, BEN]),
        ([rule(ANN)], "degraded", [], []),
        ([rule(ANN, on=["degraded"])], "degraded", [], [ANN]),
        ([rule(ANN, **tagged("prod"))], "down", [], [ANN]),
        ([rule(ANN, **tagged("test", "prod"))], "down", [], [ANN]),
        ([rule(ANN, **tagged("test"))], "down", [], []),
        ([rule(ANN, **named("shop*"))], "down", [], [ANN]),
        ([rule(ANN, **named("Blog", "SHOP eu"))], "down", [], [ANN]),
        ([rule(ANN, **named("shop"))], "down", [], []),
        ([rule(ANN, reach="monitors", monitors=frozenset([SHOP.id]))], "down", [], [ANN]),
        ([rule(ANN, reach="monitors", monitors=frozenset([uuid4()]))], "down", [], []),
        ([rule(ANN, BEN)], "recovered", [BEN], [BEN]),
        ([], "recovered", [BEN], [BEN]),
        ([rule(ANN, on=["recovered"])], "recovered", [], [ANN]),
        ([rule(ANN, on=["recovered"])], "recovered", [BEN, ANN], [BEN, ANN]),
        ([rule(ANN, on=["degraded", "recovered"])], "recovered", [], []),
        ([rule(ANN)], "flapping", [], [ANN]),
        ([rule(ANN, on=["degraded"])], "flapping", [], []),
        ([rule(ANN, on=["flapping"])], "flapping", [], [ANN]),
        ([rule(ANN, on=["flapping", "recovered"])], "recovered", [], []),
    ],
)
def test_who_is_told_of_the_shop_in_production(
    rules: list[Rule], event: str, owed: list[UUID], expected: list[UUID]
) -> None:
    assert list(decided(rules, event, owed=owed).now) == expected


@pytest.mark.parametrize(
    ("reason", "on", "expected"),
    [
        ("heartbeat_missed", ["heartbeat_late"], [ANN]),
        ("heartbeat_missed", ["down"], [ANN]),
        ("heartbeat_missed", ["down", "heartbeat_late"], [ANN]),
        ("heartbeat_failed", ["heartbeat_late"], []),
        ("connect_refused", ["heartbeat_late"], []),
    ],
)
def test_a_late_heartbeat_can_be_asked_for_by_its_own_name(
    reason: str, on: list[str], expected: list[UUID]
) -> None:
    assert list(decided([rule(ANN, on=on)], reason=reason).now) == expected


def test_the_end_is_owed_where_any_rule_that_tells_of_the_trouble_tells_of_it() -> None:
    both = decided([rule(ANN, on=["down"]), rule(ANN, BEN), rule(CAY, on=["down"])])
    assert {channel: told.owes_recovery for channel, told in both.now.items()} == {
        ANN: True,
        BEN: True,
        CAY: False,
    }


def later(decision: Decision) -> list[tuple[int, datetime, str]]:
    return [(one.repeat, one.due_at, one.skipped_because) for one in decision.later]


def test_a_delayed_step_is_told_later_and_repeats_once_it_was() -> None:
    decision = decided([rule(step(ANN), step(BEN, after=10 * MINUTE, repeat=HOUR))])
    assert list(decision.now) == [ANN]
    assert later(decision) == [(0, AT_NOON + 10 * MINUTE, "")]


def test_an_immediate_step_that_repeats_is_told_now_and_later() -> None:
    decision = decided([rule(step(ANN, repeat=HOUR))])
    assert list(decision.now) == [ANN]
    assert later(decision) == [(1, AT_NOON + HOUR, "")]


def test_a_recovery_is_not_repeated() -> None:
    assert later(decided([rule(step(ANN, repeat=HOUR), on=["recovered"])], "recovered")) == []


@pytest.mark.parametrize(("event", "told"), [("down", [ANN]), ("degraded", [BEN])])
def test_severity_chooses_the_step(event: str, told: list[UUID]) -> None:
    routes = rule(
        step(ANN, severities=frozenset(["down"])),
        step(BEN, severities=frozenset(["degraded"])),
        on=["down", "degraded"],
    )
    assert list(decided([routes], event).now) == told


def test_a_step_without_anybody_is_recorded() -> None:
    assert later(decided([rule(step())])) == [(0, AT_NOON, "nobody")]


EVENING = AT_NOON + 8 * HOUR  # Monday, 20:00
MORNING = AT_NOON + 20 * HOUR  # Tuesday, 08:00


def test_what_falls_outside_the_hours_waits_for_them() -> None:
    decision = decided([rule(ANN, hours=OFFICE)], now=EVENING)
    assert list(decision.now) == []
    assert later(decision) == [(0, MORNING, "")]


def test_or_is_dropped_and_that_is_recorded() -> None:
    decision = decided([rule(ANN, hours=OFFICE, waits_for_hours=False)], now=EVENING)
    assert list(decision.now) == []
    assert later(decision) == [(0, EVENING, "hours")]


def test_a_step_that_is_due_outside_the_hours_waits_too() -> None:
    steps = rule(step(ANN, after=7 * HOUR), hours=OFFICE)
    assert later(decided([steps])) == [(0, MORNING, "")]


def test_the_end_of_what_was_told_is_told_at_any_hour() -> None:
    assert list(decided([rule(ANN, hours=OFFICE)], "recovered", owed=[ANN], now=EVENING).now)


@pytest.mark.parametrize(
    ("repeat", "limit", "due_at", "now", "values", "expected"),
    [
        (0, None, AT_NOON, AT_NOON, {}, (1, AT_NOON + HOUR)),
        (2, 3, AT_NOON, AT_NOON, {}, (3, AT_NOON + HOUR)),
        (3, 3, AT_NOON, AT_NOON, {}, None),
        # nobody looked for a while: what was missed is passed over
        (0, None, AT_NOON, AT_NOON + 59 * MINUTE, {}, (1, AT_NOON + HOUR)),
        (0, None, AT_NOON, AT_NOON + HOUR, {}, (1, AT_NOON + 2 * HOUR)),
        (4, None, AT_NOON, AT_NOON + 150 * MINUTE, {}, (5, AT_NOON + 3 * HOUR)),
        # 18:00 is outside: at 08:00 the next day, or at the next full hour of the grid
        (0, None, AT_NOON + 5 * HOUR, AT_NOON + 5 * HOUR, {"hours": OFFICE}, (1, MORNING)),
        (
            0,
            None,
            AT_NOON + 5 * HOUR + 30 * MINUTE,
            AT_NOON + 6 * HOUR,
            {"hours": OFFICE, "waits_for_hours": False},
            (1, MORNING + 30 * MINUTE),
        ),
    ],
)
def test_what_follows_a_telling(
    repeat: int,
    limit: int | None,
    due_at: datetime,
    now: datetime,
    values: dict[str, Any],
    expected: tuple[int, datetime] | None,
) -> None:
    one = step(ANN, repeat=HOUR, max_repeats=limit)
    following = next_repeat(rule(one, **values), one, repeat, due_at, now)
    assert (following and (following.repeat, following.due_at)) == expected


def test_a_repeat_that_never_meets_the_hours_is_given_up() -> None:
    daily = step(ANN, repeat=timedelta(days=1))
    sleeps = rule(daily, hours=NIGHTS, waits_for_hours=False)
    assert next_repeat(sleeps, daily, 0, AT_NOON, AT_NOON) is None


@given(
    interval=st.timedeltas(MINUTE, timedelta(days=3)),
    slept=st.timedeltas(timedelta(), timedelta(days=30)),
    waits=st.booleans(),
    hours=st.sampled_from([None, OFFICE, NIGHTS]),
)
def test_repeats_are_never_in_the_past_nor_outside_the_hours(
    interval: timedelta, slept: timedelta, waits: bool, hours: ActiveHours | None
) -> None:
    one = step(ANN, repeat=interval)
    now = AT_NOON + slept
    following = next_repeat(rule(one, hours=hours, waits_for_hours=waits), one, 0, AT_NOON, now)
    if following:
        assert following.due_at > now
        assert hours is None or hours.contains(following.due_at)


CALM = {"is_acknowledged": False, "is_resolved": False, "is_changed": False}


@pytest.mark.parametrize(
    ("values", "stands", "event", "expected"),
    [
        ({}, {}, "down", None),
        ({}, {"is_acknowledged": True}, "down", Skip.ACKNOWLEDGED),
        ({"stops_on_acknowledge": False}, {"is_acknowledged": True}, "down", None),
        ({}, {"is_resolved": True}, "down", Skip.RESOLVED),
        ({}, {"is_resolved": True}, "recovered", None),
        ({}, {"is_changed": True}, "down", Skip.CHANGED),
        ({}, {"severity": "degraded"}, "down", Skip.POLICY),
        (tagged("blog"), {}, "down", Skip.POLICY),
    ],
)
def test_what_is_due_is_decided_by_the_state_of_things_then(
    values: dict[str, Any], stands: dict[str, Any], event: str, expected: Skip | None
) -> None:
    one = step(ANN, severities=frozenset(["down"]))
    situation = Situation(**{"subject": SHOP, "severity": "down", **CALM, **stands})
    assert skip_reason(rule(one, **values), one, event, situation) == expected


def test_nothing_is_told_by_a_policy_that_is_off() -> None:
    situation = Situation(subject=SHOP, severity="down", **CALM)
    assert skip_reason(None, step(ANN), "down", situation) == Skip.POLICY


def policy(team: Team, *channels: Channel, **values: object) -> Policy:
    steps = [{"delay_seconds": 0, "channels": [str(channel.pk) for channel in channels]}]
    return create_policy(team=team, values={"name": "P", "steps": steps, **values})


def receivers(*transitions: Transition) -> list[str]:
    return sorted(delivery.channel.name for delivery in queue(*transitions))


@pytest.fixture
def ann(team: Team) -> Channel:
    return make_webhook(team, "http://127.0.0.1:9/", "Ann")


@pytest.fixture
def ben(team: Team) -> Channel:
    return make_webhook(team, "http://127.0.0.1:9/", "Ben")


def test_a_channel_named_twice_is_told_once(team: Team, ann: Channel, ben: Channel) -> None:
    policy(team, ann, all=True)
    policy(team, ann, ben, tags=["prod"])
    assert receivers(fail(make_monitor(team, tags=("prod",)))) == ["Ann", "Ben"]


def test_policies_of_other_teams_are_not_asked(team: Team, ann: Channel) -> None:
    policy(team, ann, all=True)
    assert receivers(fail(make_monitor(make_team()))) == []


def test_disabled_policies_and_channels_tell_nobody(team: Team, ann: Channel, ben: Channel) -> None:
    policy(team, ann, all=True, enabled=False)
    policy(team, ben, all=True)
    update_channel(channel=ben, values={"enabled": False})
    assert receivers(fail(make_monitor(team))) == []


def test_a_recovery_goes_to_whom_the_failure_went(team: Team, ann: Channel, ben: Channel) -> None:
    policy(team, ann, all=True)
    failed = fail(make_monitor(team))
    queue(failed)
    policy(team, ben, all=True)
    assert receivers(recover(failed.incident)) == ["Ann"]


def test_a_slow_start_counts_as_trouble_told(team: Team, ann: Channel) -> None:
    policy(team, ann, all=True, on=["degraded", "recovered"])
    failed = fail(make_monitor(team), severity=Severity.DEGRADED)
    assert receivers(failed) == ["Ann"]
    assert receivers(recover(failed.incident)) == ["Ann"]


def test_a_beginning_and_its_end_in_one_batch_are_both_told(team: Team, ann: Channel) -> None:
    policy(team, ann, all=True)
    failed = fail(make_monitor(team))
    assert [d.event for d in queue(failed, recover(failed.incident))] == ["down", "recovered"]


def test_deliveries_hold_what_was_true_then(team: Team, ann: Channel, settings: Settings) -> None:
    policy(team, ann, all=True)
    monitor = make_monitor(team)
    [delivery] = queue(fail(monitor))
    monitor.name = "Renamed"
    monitor.save()
    delivery.refresh_from_db()
    assert delivery.team == team
    assert delivery.facts["monitor"]["name"] == "Shop"
    assert delivery.facts["incident"]["url"] == (
        f"{settings.BASE_URL}/incidents/{delivery.incident_id}/"
    )
    assert delivery.facts["duration_seconds"] == 5.0


def test_the_number_of_queries_does_not_depend_on_the_number_of_failures(
    team: Team, ann: Channel, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    policy(team, ann, all=True)
    transitions = [fail(make_monitor(team, f"Shop {number}")) for number in range(20)]
    transitions.append(recover(transitions[0].incident))
    with django_assert_num_queries(12):  # three of them are `queue`'s own
        queue(*transitions)
    assert Delivery.objects.count() == 21
