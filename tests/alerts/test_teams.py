"""Microsoft Teams, against a look-alike."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from alerts.channels.teams import TeamsConfig, send
from alerts.messages import Facts, Message, compose_message
from tests.alerts.refusals import (
    DOOR,
    IMPATIENT,
    Answer,
    is_for_the_channel,
    is_tried_again,
    longest,
    refused,
    what_may_pass,
    wordiest,
)
from tests.servers.chats import Teams
from tests.servers.webhook import HANG


@pytest.fixture
def teams() -> Iterator[Teams]:
    with Teams() as teams:
        yield teams


def config(teams: Teams, **changes: object) -> TeamsConfig:
    return TeamsConfig.model_validate({"url": teams.address, **changes})


def test_the_message_is_an_adaptive_card(message: Message, teams: Teams) -> None:
    send(message, config(teams), DOOR)
    card = teams.taken[0]["attachments"][0]["content"]
    title, facts = card["body"]
    assert (title["text"], title["color"]) == ("DOWN: Shop — connection refused", "Attention")
    assert {"title": "Where", "value": "local"} in facts["facts"]
    assert card["actions"] == [
        {"type": "Action.OpenUrl", "title": link.label, "url": link.url} for link in message.links
    ]


def test_a_name_is_not_read_as_markdown(facts: Facts, teams: Teams) -> None:
    assert facts.monitor is not None
    monitor = facts.monitor.model_copy(update={"name": "a_b*c[d](e)"})
    named = facts.model_copy(update={"monitor": monitor})
    send(compose_message(uuid4(), named), config(teams), DOOR)
    title, _ = teams.taken[0]["attachments"][0]["content"]["body"]
    assert r"a\_b\*c\[d\](e)" in title["text"]


def test_a_flow_that_is_switched_off_is_tried_again(message: Message, teams: Teams) -> None:
    teams.will(teams.OFF)
    error = refused(lambda: send(message, config(teams), DOOR))
    assert is_tried_again(error)
    assert "It is switched off." in str(error)


@what_may_pass
def test_what_may_pass_is_tried_again(message: Message, teams: Teams, answer: Answer) -> None:
    teams.will(answer)
    assert is_tried_again(refused(lambda: send(message, config(teams), IMPATIENT)))


def test_a_flood_names_the_time_to_wait(message: Message, teams: Teams) -> None:
    teams.will(teams.FLOOD)
    error = refused(lambda: send(message, config(teams), DOOR))
    assert is_tried_again(error)
    assert error.retry_after == timedelta(seconds=31)


@pytest.mark.parametrize("answer", [Teams.GONE, Teams.UNSIGNED])
def test_what_stays_so_ends_the_channel(message: Message, teams: Teams, answer: Answer) -> None:
    teams.will(answer)
    error = refused(lambda: send(message, config(teams), DOOR))
    assert is_for_the_channel(error)


def test_the_secret_is_in_no_error(message: Message, teams: Teams) -> None:
    settings = config(teams)
    teams.will(teams.GONE, HANG)
    for _ in range(2):
        assert "TeamsSecret" not in str(refused(lambda: send(message, settings, IMPATIENT)))
    assert "TeamsSecret" not in repr(settings)


def test_the_longest_message_is_taken(facts: Facts, teams: Teams) -> None:
    send(longest(facts), config(teams), DOOR)
    send(wordiest(facts), config(teams), DOOR)
    assert len(teams.taken) == 2
