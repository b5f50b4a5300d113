"""Gotify, against a look-alike."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from alerts.channels.gotify import GotifyConfig, send
from alerts.messages import Facts, Message
from tests.alerts.refusals import (
    DOOR,
    IMPATIENT,
    Answer,
    about,
    is_for_the_channel,
    is_for_this_message,
    is_tried_again,
    longest,
    refused,
    what_may_pass,
    wordiest,
)
from tests.servers.pushes import Gotify
from tests.servers.webhook import HANG, Reply


@pytest.fixture
def gotify() -> Iterator[Gotify]:
    with Gotify() as gotify:
        yield gotify


def config(gotify: Gotify, **changes: object) -> GotifyConfig:
    return GotifyConfig.model_validate(
        {"server": gotify.url + "/", "token": Gotify.TOKEN, **changes}
    )


def test_the_message_opens_the_incident_on_a_tap(message: Message, gotify: Gotify) -> None:
    send(message, config(gotify), DOOR)
    [taken] = gotify.taken
    assert taken["title"] == "DOWN: Shop — connection refused"
    assert "Where: local" in taken["message"]
    assert taken["priority"] == 8
    assert taken["extras"] == {
        "client::notification": {"click": {"url": "https://uptime.example/incidents/2/"}}
    }


def test_the_end_of_trouble_is_not_urgent(facts: Facts, gotify: Gotify) -> None:
    send(about(facts, "recovered"), config(gotify), DOOR)
    assert gotify.taken[0]["priority"] == 3


def test_a_message_that_it_does_not_understand_is_not_repeated(
    message: Message, gotify: Gotify
) -> None:
    gotify.will(Reply(400))
    assert is_for_this_message(refused(lambda: send(message, config(gotify), DOOR)))


@what_may_pass
def test_what_may_pass_is_tried_again(message: Message, gotify: Gotify, answer: Answer) -> None:
    gotify.will(answer)
    assert is_tried_again(refused(lambda: send(message, config(gotify), IMPATIENT)))


def test_a_flood_names_the_time_to_wait(message: Message, gotify: Gotify) -> None:
    gotify.will(gotify.FLOOD)
    error = refused(lambda: send(message, config(gotify), DOOR))
    assert is_tried_again(error)
    assert error.retry_after == timedelta(seconds=31)


@pytest.mark.parametrize("answer", [Gotify.UNAUTHORIZED, Gotify.NOT_FOUND])
def test_what_stays_so_ends_the_channel(message: Message, gotify: Gotify, answer: Answer) -> None:
    gotify.will(answer)
    error = refused(lambda: send(message, config(gotify), DOOR))
    assert is_for_the_channel(error)


def test_the_secret_is_in_no_error(message: Message, gotify: Gotify) -> None:
    settings = config(gotify)
    gotify.will(gotify.UNAUTHORIZED, HANG)
    for _ in range(2):
        assert Gotify.TOKEN not in str(refused(lambda: send(message, settings, IMPATIENT)))
    assert Gotify.TOKEN not in repr(settings)


def test_the_longest_message_is_taken(facts: Facts, gotify: Gotify) -> None:
    send(longest(facts), config(gotify), DOOR)
    send(wordiest(facts), config(gotify), DOOR)
    assert len(gotify.taken) == 2
