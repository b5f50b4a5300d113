"""Discord, against a look-alike."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from alerts.channels.discord import DiscordConfig, send
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
from tests.servers.chats import Discord
from tests.servers.webhook import HANG


@pytest.fixture
def discord() -> Iterator[Discord]:
    with Discord() as discord:
        yield discord


def config(discord: Discord, **changes: object) -> DiscordConfig:
    return DiscordConfig.model_validate({"url": discord.address, **changes})


def test_the_message_is_an_embed(message: Message, discord: Discord) -> None:
    send(message, config(discord, username="Watch"), DOOR)
    [taken] = discord.taken
    assert taken["username"] == "Watch"
    assert taken["allowed_mentions"] == {"parse": []}
    [embed] = taken["embeds"]
    assert embed["title"] == "DOWN: Shop — connection refused"
    assert embed["color"] == 0xC62828
    assert embed["url"] == "https://uptime.example/incidents/2/"
    assert embed["timestamp"] == "2026-03-01T12:00:05+00:00"
    assert {"name": "Where", "value": "local", "inline": False} in embed["fields"]


def test_words_of_the_team_are_the_description(message: Message, discord: Discord) -> None:
    send(message.with_words(prose="It is down."), config(discord), DOOR)
    [embed] = discord.taken[0]["embeds"]
    assert embed["description"].startswith("It is down.\n\n[Open the incident](https://")
    assert "fields" not in embed


@what_may_pass
def test_what_may_pass_is_tried_again(message: Message, discord: Discord, answer: Answer) -> None:
    discord.will(answer)
    assert is_tried_again(refused(lambda: send(message, config(discord), IMPATIENT)))


def test_a_flood_names_the_time_to_wait(message: Message, discord: Discord) -> None:
    discord.will(discord.FLOOD)
    error = refused(lambda: send(message, config(discord), DOOR))
    assert is_tried_again(error)
    assert error.retry_after == timedelta(seconds=31.5)


@pytest.mark.parametrize("answer", [Discord.UNKNOWN, Discord.INVALID_TOKEN])
def test_what_stays_so_ends_the_channel(message: Message, discord: Discord, answer: Answer) -> None:
    discord.will(answer)
    error = refused(lambda: send(message, config(discord), DOOR))
    assert is_for_the_channel(error)


def test_what_is_wrong_with_one_message_ends_that_alone(message: Message, discord: Discord) -> None:
    discord.will(discord.INVALID)
    assert is_for_this_message(refused(lambda: send(message, config(discord), DOOR)))


def test_the_secret_is_in_no_error(message: Message, discord: Discord) -> None:
    settings = config(discord)
    discord.will(discord.UNKNOWN, HANG)
    for _ in range(2):
        assert "DiscordSecret" not in str(refused(lambda: send(message, settings, IMPATIENT)))
    assert "DiscordSecret" not in repr(settings)


def test_the_longest_message_is_taken(facts: Facts, discord: Discord) -> None:
    send(longest(facts), config(discord), DOOR)
    send(wordiest(facts), config(discord), DOOR)
    assert len(discord.taken) == 2
