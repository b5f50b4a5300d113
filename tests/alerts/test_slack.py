"""Slack, against a look-alike."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from alerts.channels.slack import SlackConfig, send
from alerts.messages import Facts, Message
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
from tests.servers.chats import Slack
from tests.servers.webhook import HANG


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as slack:
        yield slack


def config(slack: Slack, **changes: object) -> SlackConfig:
    return SlackConfig.model_validate({"url": slack.address, **changes})


def test_the_message_is_blocks_with_a_button(message: Message, slack: Slack) -> None:
    send(message, config(slack), DOOR)
    [taken] = slack.taken
    assert taken["text"] == "DOWN: Shop — connection refused"
    [attachment] = taken["attachments"]
    assert attachment["color"] == "#c62828"
    header, section, actions = attachment["blocks"]
    assert header["text"]["text"] == "🔴 DOWN: Shop — connection refused"
    assert {"type": "mrkdwn", "text": "*Since*\n2026-03-01 12:00:00 UTC"} in section["fields"]
    opens, acknowledges, *_ = actions["elements"]
    assert opens["text"]["text"] == "Open the incident"
    assert opens["url"] == "https://uptime.example/incidents/2/"
    assert acknowledges["text"]["text"] == "Acknowledge"
    assert acknowledges["url"] == message.links[1].url


def test_words_of_the_team_stand_in_one_section(message: Message, slack: Slack) -> None:
    send(message.with_words(prose="<!channel> & all"), config(slack), DOOR)
    section = slack.taken[0]["attachments"][0]["blocks"][1]
    assert section["text"] == {"type": "mrkdwn", "text": "&lt;!channel&gt; &amp; all"}


@what_may_pass
def test_what_may_pass_is_tried_again(message: Message, slack: Slack, answer: Answer) -> None:
    slack.will(answer)
    assert is_tried_again(refused(lambda: send(message, config(slack), IMPATIENT)))


def test_a_flood_names_the_time_to_wait(message: Message, slack: Slack) -> None:
    slack.will(slack.FLOOD)
    error = refused(lambda: send(message, config(slack), DOOR))
    assert is_tried_again(error)
    assert error.retry_after == timedelta(seconds=31)


@pytest.mark.parametrize(
    "answer", [Slack.NO_SERVICE, Slack.ARCHIVED, Slack.NOT_FOUND, Slack.PROHIBITED]
)
def test_what_stays_so_ends_the_channel(message: Message, slack: Slack, answer: Answer) -> None:
    slack.will(answer)
    error = refused(lambda: send(message, config(slack), DOOR))
    assert is_for_the_channel(error)


def test_what_is_wrong_with_one_message_ends_that_alone(message: Message, slack: Slack) -> None:
    slack.will(slack.INVALID)
    assert is_for_this_message(refused(lambda: send(message, config(slack), DOOR)))


def test_the_secret_is_in_no_error(message: Message, slack: Slack) -> None:
    settings = config(slack)
    slack.will(slack.NO_SERVICE, HANG)
    for _ in range(2):
        assert "SlackSecret" not in str(refused(lambda: send(message, settings, IMPATIENT)))
    assert "SlackSecret" not in repr(settings)


def test_the_longest_message_is_taken(facts: Facts, slack: Slack) -> None:
    send(longest(facts), config(slack), DOOR)
    send(wordiest(facts), config(slack), DOOR)
    assert len(slack.taken) == 2
