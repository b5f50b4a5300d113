"""Mattermost, against a look-alike."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from alerts.channels.mattermost import MattermostConfig, send
from alerts.messages import Facts, Message, compose_message
from tests.alerts.refusals import (
    DOOR,
    IMPATIENT,
    Answer,
    is_for_the_channel,
    is_for_this_message,
    is_tried_again,
    longest,
    refused,
    what_may_pass,
    wordiest,
)
from tests.servers.chats import Mattermost
from tests.servers.webhook import HANG


@pytest.fixture
def mattermost() -> Iterator[Mattermost]:
    with Mattermost() as mattermost:
        yield mattermost


def config(mattermost: Mattermost, **changes: object) -> MattermostConfig:
    return MattermostConfig.model_validate({"url": mattermost.address, **changes})


def test_the_message_is_an_attachment(message: Message, mattermost: Mattermost) -> None:
    send(message, config(mattermost, channel="ops"), DOOR)
    [taken] = mattermost.taken
    assert taken["channel"] == "ops"
    [attachment] = taken["attachments"]
    assert attachment["title"] == "DOWN: Shop — connection refused"
    assert attachment["title_link"] == "https://uptime.example/incidents/2/"
    assert attachment["color"] == "#c62828"
    assert {"title": "Where", "value": "local", "short": False} in attachment["fields"]


def test_nobody_is_mentioned_by_a_monitors_name(facts: Facts, mattermost: Mattermost) -> None:
    assert facts.monitor is not None
    monitor = facts.monitor.model_copy(update={"name": "@all"})
    named = facts.model_copy(update={"monitor": monitor})
    send(compose_message(uuid4(), named), config(mattermost), DOOR)
    [attachment] = mattermost.taken[0]["attachments"]
    assert "@all" not in str(attachment)


@what_may_pass
def test_what_may_pass_is_tried_again(
    message: Message, mattermost: Mattermost, answer: Answer
) -> None:
    mattermost.will(answer)
    assert is_tried_again(refused(lambda: send(message, config(mattermost), IMPATIENT)))


def test_a_flood_names_the_time_to_wait(message: Message, mattermost: Mattermost) -> None:
    mattermost.will(mattermost.FLOOD)
    error = refused(lambda: send(message, config(mattermost), DOOR))
    assert is_tried_again(error)
    assert error.retry_after == timedelta(seconds=31)


@pytest.mark.parametrize("answer", [Mattermost.INVALID_HOOK, Mattermost.NO_CHANNEL])
def test_what_stays_so_ends_the_channel(
    message: Message, mattermost: Mattermost, answer: Answer
) -> None:
    mattermost.will(answer)
    error = refused(lambda: send(message, config(mattermost), DOOR))
    assert is_for_the_channel(error)


def test_what_is_wrong_with_one_message_ends_that_alone(
    message: Message, mattermost: Mattermost
) -> None:
    mattermost.will(mattermost.TOO_LONG)
    assert is_for_this_message(refused(lambda: send(message, config(mattermost), DOOR)))


def test_the_secret_is_in_no_error(message: Message, mattermost: Mattermost) -> None:
    settings = config(mattermost)
    mattermost.will(mattermost.INVALID_HOOK, HANG)
    for _ in range(2):
        assert "mattermostsecret" not in str(refused(lambda: send(message, settings, IMPATIENT)))
    assert "mattermostsecret" not in repr(settings)


def test_the_longest_message_is_taken(facts: Facts, mattermost: Mattermost) -> None:
    send(longest(facts), config(mattermost), DOOR)
    send(wordiest(facts), config(mattermost), DOOR)
    assert len(mattermost.taken) == 2
