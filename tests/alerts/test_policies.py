"""Who hears of what: by tables, then through the database."""

from uuid import UUID, uuid4

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import Team
from alerts.actions import create_policy, update_channel
from alerts.models import Channel, Delivery, Policy
from alerts.policies import Rule, channels_to_tell
from incidents.models import Severity
from incidents.transitions import Transition
from tests.alerts.scenes import fail, make_monitor, make_team, make_webhook, queue, recover

pytestmark = pytest.mark.django_db

SHOP, BLOG = uuid4(), uuid4()
ANN, BEN = uuid4(), uuid4()


def rule(
    *channels: UUID,
    reach: str = "all",
    tags: tuple[str, ...] = (),
    monitors: tuple[UUID, ...] = (),
    on: tuple[str, ...] = ("down", "recovered"),
) -> Rule:
    return Rule(reach, frozenset(tags), frozenset(monitors), frozenset(on), channels)


@pytest.mark.parametrize(
    ("rules", "event", "told", "expected"),
    [
        ([], "down", [], []),
        ([rule(ANN)], "down", [], [ANN]),
        ([rule(ANN, BEN)], "down", [], [ANN, BEN]),
        ([rule(ANN), rule(ANN, BEN)], "down", [], [ANN, BEN]),
        ([rule(ANN)], "degraded", [], []),
        ([rule(ANN, on=("degraded",))], "degraded", [], [ANN]),
        ([rule(ANN, reach="tags", tags=("prod",))], "down", [], [ANN]),
        ([rule(ANN, reach="tags", tags=("test", "prod"))], "down", [], [ANN]),
        ([rule(ANN, reach="tags", tags=("test",))], "down", [], []),
        ([rule(ANN, reach="monitors", monitors=(SHOP,))], "down", [], [ANN]),
        ([rule(ANN, reach="monitors", monitors=(BLOG,))], "down", [], []),
        ([rule(ANN, BEN)], "recovered", [BEN], [BEN]),
        ([rule(ANN, on=("down",))], "recovered", [ANN], []),
        ([rule(ANN, on=("recovered",))], "recovered", [], [ANN]),
        ([rule(ANN, on=("degraded", "recovered"))], "recovered", [], []),
    ],
)
def test_who_is_told_of_the_shop_in_production(
    rules: list[Rule], event: str, told: list[UUID], expected: list[UUID]
) -> None:
    assert (
        channels_to_tell(rules, event=event, monitor_id=SHOP, tags=["prod", "eu"], told=told)
        == expected
    )


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
    with django_assert_num_queries(11):  # three of them are `queue`'s own
        queue(*transitions)
    assert Delivery.objects.count() == 21
