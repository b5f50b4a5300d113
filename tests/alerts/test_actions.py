"""Channels and policies as people and programs change them."""

from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Team
from alerts.actions import (
    create_channel,
    create_policy,
    delete_channel,
    policy_values,
    retry_delivery,
    send_test,
    update_channel,
    update_policy,
)
from alerts.channels import CHANNELS
from alerts.models import Channel, Delivery, DeliveryStatus, Policy, Reach
from tests.alerts.scenes import make_monitor, make_team, make_webhook
from uptime.errors import Conflict, Invalid
from uptime.secrets import MASK

pytestmark = pytest.mark.django_db

URL = "https://hooks.example/"
TELEGRAM = {"bot_token": "123:abc", "chat_id": "-100"}


def channel_values(**changes: Any) -> dict[str, Any]:
    return {"name": "Hook", "type": "webhook", "config": {"url": URL}, **changes}


def policy_of(channel: Channel, **changes: Any) -> dict[str, Any]:
    steps = [{"delay_seconds": 0, "channels": [str(channel.pk)]}]
    return {"name": "All", "all": True, "on": ["down"], "steps": steps, **changes}


def step_of(channel: Channel, **changes: Any) -> dict[str, Any]:
    return {
        "delay_seconds": 0,
        "channels": [channel.pk],
        "schedules": [],
        "severities": [],
        "repeat_seconds": None,
        "max_repeats": None,
        **changes,
    }


def hours(**window: Any) -> dict[str, Any]:
    whole = {"days": ["mon"], "start": "08:00", "end": "18:00", **window}
    return {"active_hours": {"timezone": "Europe/Berlin", "windows": [whole]}}


@pytest.fixture
def channel(team: Team) -> Channel:
    return make_webhook(team, URL)


@pytest.fixture
def policy(team: Team, channel: Channel) -> Policy:
    return create_policy(team=team, values=policy_of(channel))


def test_the_channels_of_this_issue_are_found() -> None:
    assert {"email", "telegram", "webhook"} <= set(CHANNELS)


def test_every_setting_of_every_channel_has_a_title() -> None:
    for channel in CHANNELS.values():
        for info in channel.config.model_fields.values():
            assert info.title
            assert info.description


def test_a_webhook_without_a_secret_is_given_one_that_is_shown_once(team: Team) -> None:
    channel = create_channel(team=team, values=channel_values())
    secret = channel.new_secrets["secret"]
    assert len(secret) >= 32
    stored = Channel.objects.get()
    assert stored.new_secrets == {}
    assert stored.config == {"url": URL, "secret": MASK}
    assert secret not in stored.secrets
    assert stored.full_config["secret"] == secret


def test_a_secret_of_ones_own_is_not_shown(team: Team) -> None:
    config = {"url": URL, "secret": "of my own making"}
    channel = create_channel(team=team, values=channel_values(config=config))
    assert channel.new_secrets == {}
    assert channel.full_config["secret"] == "of my own making"


@pytest.mark.parametrize(
    "config",
    [
        {"url": "https://other.example/"},
        {"url": "https://other.example/", "secret": MASK},
    ],
    ids=["left out", "masked"],
)
def test_a_change_keeps_the_signing_secret(channel: Channel, config: dict[str, Any]) -> None:
    secret = channel.full_config["secret"]
    update_channel(channel=channel, values={"config": config})
    channel.refresh_from_db()
    assert channel.full_config == {"url": "https://other.example/", "secret": secret}


def test_a_masked_header_keeps_its_value(team: Team) -> None:
    config = {"url": URL, "headers": {"Authorization": "Bearer abc"}}
    channel = create_channel(team=team, values=channel_values(config=config))
    assert channel.config["headers"] == {"Authorization": MASK}
    headers = {"Authorization": MASK, "X-New": "1"}
    update_channel(channel=channel, values={"config": {"url": URL, "headers": headers}})
    assert channel.full_config["headers"] == {"Authorization": "Bearer abc", "X-New": "1"}


def test_a_change_of_the_name_alone_leaves_the_rest(channel: Channel) -> None:
    before = channel.full_config
    update_channel(channel=channel, values={"name": "Renamed", "enabled": False})
    channel.refresh_from_db()
    assert (channel.name, channel.enabled, channel.full_config) == ("Renamed", False, before)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"type": "pigeon"}, "type"),
        ({"config": {}}, "config.url"),
        ({"config": {"url": "nowhere"}}, "config.url"),
        ({"config": {"url": URL, "colour": "red"}}, "config.colour"),
        ({"config": "text"}, "config"),
        ({"enabled": "yes"}, "enabled"),
        ({"colour": "red"}, "colour"),
        ({"type": "telegram", "config": {**TELEGRAM, "chat_id": "x"}}, "config.chat_id"),
        ({"type": "email", "config": {"to": ["a@b.example", "nobody"]}}, "config.to.1"),
    ],
)
def test_wrong_values_of_a_channel_are_named(
    team: Team, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as raised:
        create_channel(team=team, values=channel_values(**changes))
    assert list(raised.value.fields) == [field]
    assert not Channel.objects.exists()


def test_a_channel_keeps_its_type(channel: Channel) -> None:
    with pytest.raises(Invalid) as raised:
        update_channel(channel=channel, values={"type": "telegram", "config": TELEGRAM})
    assert list(raised.value.fields) == ["type"]


def test_a_deleted_channel_leaves_its_policies_standing(channel: Channel, policy: Policy) -> None:
    delete_channel(channel=channel)
    assert [step["channels"] for step in policy_values(Policy.objects.get())["steps"]] == [[]]


def test_a_test_is_queued_with_its_facts(channel: Channel) -> None:
    delivery = send_test(channel=channel)
    assert (delivery.event, delivery.step, delivery.incident) == ("test", -1, None)
    assert "test of the channel “Hook”" in delivery.facts["message"]


def test_tests_can_be_sent_again_and_again(channel: Channel) -> None:
    send_test(channel=channel)
    send_test(channel=channel)
    assert Delivery.objects.count() == 2


@pytest.mark.parametrize("status", [DeliveryStatus.DEAD, DeliveryStatus.FAILED])
def test_what_failed_can_be_retried(channel: Channel, status: DeliveryStatus) -> None:
    delivery = send_test(channel=channel)
    Delivery.objects.update(status=status, attempts=20, next_attempt_at=None)
    retry_delivery(delivery=delivery)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.QUEUED, 0)
    assert delivery.next_attempt_at is not None


@pytest.mark.parametrize(
    "status", [DeliveryStatus.QUEUED, DeliveryStatus.SENDING, DeliveryStatus.SENT]
)
def test_what_did_not_fail_cannot_be_retried(channel: Channel, status: DeliveryStatus) -> None:
    delivery = send_test(channel=channel)
    Delivery.objects.update(status=status)
    with pytest.raises(Conflict):
        retry_delivery(delivery=delivery)


def test_a_policy_is_read_as_it_was_written(team: Team, channel: Channel) -> None:
    monitor = make_monitor(team)
    values = {
        "name": "Shop",
        "enabled": True,
        "on": ["down", "degraded", "recovered"],
        "all": False,
        "tags": [],
        "monitors": [monitor.pk],
        "names": [],
        "steps": [
            step_of(channel),
            step_of(channel, delay_seconds=600, severities=["down"]),
            step_of(channel, delay_seconds=3600, repeat_seconds=1800, max_repeats=4),
        ],
        "expiry_days": [60, 3],
        "stop_on_acknowledge": False,
        "active_hours": {
            "timezone": "Europe/Berlin",
            "windows": [{"days": ["mon", "fri"], "start": "08:00", "end": "18:30"}],
        },
        "outside_hours": "drop",
    }
    policy = create_policy(team=team, values=values)
    assert policy_values(Policy.objects.get(pk=policy.pk)) == values
    assert policy.reach == Reach.MONITORS


def test_a_new_reach_replaces_the_old_one(policy: Policy) -> None:
    update_policy(policy=policy, values={"tags": ["prod", "prod"]})
    values = policy_values(Policy.objects.get())
    assert (values["all"], values["tags"], values["on"]) == (False, ["prod"], ["down"])


def test_a_change_of_the_name_alone_leaves_the_policys_rest(policy: Policy) -> None:
    before = policy_values(policy)
    update_policy(policy=policy, values={"name": "Renamed"})
    assert policy_values(Policy.objects.get()) == {**before, "name": "Renamed"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"on": []}, "on"),
        ({"on": ["exploded"]}, "on.0"),
        ({"all": False}, ""),
        ({"tags": ["prod"]}, ""),
        ({"steps": []}, "steps"),
        ({"steps": [{"channels": []}]}, "steps.0.channels"),
        ({"steps": [{"channels": [str(uuid4())]}]}, "steps.0.channels"),
        ({"steps": [{"channels": ["x"]}]}, "steps.0.channels.0"),
        ({"colour": "red"}, "colour"),
        ({"all": False, "monitors": [str(uuid4())]}, "monitors"),
        ({"names": ["shop-*"]}, ""),
        (hours(days=[]), "active_hours.windows.0.days"),
        (hours(days=["someday"]), "active_hours.windows.0.days.0"),
        (hours(start="24:00"), "active_hours.windows.0.start"),
        (hours(end="noon"), "active_hours.windows.0.end"),
        ({"active_hours": {"timezone": "UTC", "windows": []}}, "active_hours.windows"),
        ({"active_hours": {"timezone": "Mars", "windows": []}}, "active_hours.timezone"),
        ({"outside_hours": "shout"}, "outside_hours"),
        ({"expiry_days": [0]}, "expiry_days.0"),
        ({"expiry_days": []}, "expiry_days"),
        ({"stop_on_acknowledge": "no"}, "stop_on_acknowledge"),
    ],
)
def test_wrong_values_of_a_policy_are_named(
    team: Team, channel: Channel, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as raised:
        create_policy(team=team, values=policy_of(channel, **changes))
    assert field in raised.value.fields
    assert not Policy.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"delay_seconds": -1}, "steps.1.delay_seconds"),
        ({"delay_seconds": 31 * 86400}, "steps.1.delay_seconds"),
        ({"repeat_seconds": 59}, "steps.1.repeat_seconds"),
        ({"repeat_seconds": 60, "max_repeats": 0}, "steps.1.max_repeats"),
        ({"max_repeats": 3}, "steps.1"),
        ({"severities": ["awful"]}, "steps.1.severities.0"),
        ({"channels": [str(uuid4())]}, "steps.1.channels"),
    ],
)
def test_wrong_values_of_a_step_are_named(
    team: Team, channel: Channel, change: dict[str, Any], field: str
) -> None:
    steps = [step_of(channel), step_of(channel, **change)]
    with pytest.raises(Invalid) as raised:
        create_policy(team=team, values=policy_of(channel, steps=steps))
    assert list(raised.value.fields) == [field]


def test_a_changed_step_stays_the_same_row_and_one_too_many_goes(
    team: Team, channel: Channel
) -> None:
    steps = [step_of(channel), step_of(channel, delay_seconds=60)]
    policy = create_policy(team=team, values=policy_of(channel, steps=steps))
    first = policy.steps.get(position=0)
    update_policy(policy=policy, values={"steps": [step_of(channel, delay_seconds=5)]})
    kept = policy.steps.get()
    assert (kept.pk, kept.delay_s) == (first.pk, 5)


def test_what_is_another_teams_is_unknown(team: Team, channel: Channel) -> None:
    other = make_team()
    with pytest.raises(Invalid, match="no channel"):
        create_policy(team=other, values=policy_of(channel))
    foreign = {"all": False, "monitors": [make_monitor(other).pk]}
    with pytest.raises(Invalid, match="no monitor"):
        create_policy(team=team, values=policy_of(channel, **foreign))
