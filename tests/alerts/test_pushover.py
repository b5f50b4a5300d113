"""Pushover, against a look-alike."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from alerts.channels.pushover import PushoverConfig, send
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
from tests.servers.chats import as_json
from tests.servers.pushes import Pushover
from tests.servers.webhook import HANG, Reply


@pytest.fixture
def pushover() -> Iterator[Pushover]:
    with Pushover() as pushover:
        yield pushover


def config(pushover: Pushover, **changes: object) -> PushoverConfig:
    return PushoverConfig.model_validate(
        {"server": pushover.url, "token": Pushover.TOKEN, "user": Pushover.USER, **changes}
    )


def test_the_message_is_pushed(message: Message, pushover: Pushover) -> None:
    send(message, config(pushover, device="phone"), DOOR)
    [taken] = pushover.taken
    assert taken["title"] == "DOWN: Shop — connection refused"
    assert "Where: local" in taken["message"]
    assert taken["priority"] == 1
    assert taken["timestamp"] == 1772366405
    assert taken["device"] == "phone"
    assert (taken["url"], taken["url_title"]) == (
        "https://uptime.example/incidents/2/",
        "Open the incident",
    )
    assert "retry" not in taken


def test_an_emergency_is_repeated_until_confirmed(facts: Facts, pushover: Pushover) -> None:
    urgent = config(pushover, priority="emergency", retry_s=30, expire_s=600)
    send(about(facts, "down"), urgent, DOOR)
    send(about(facts, "recovered"), urgent, DOOR)
    down, recovered = pushover.taken
    assert (down["priority"], down["retry"], down["expire"]) == (2, 30, 600)
    assert recovered["priority"] == 0
    assert "retry" not in recovered
    assert pushover.cancelled == [down["tags"]]


def test_an_emergency_that_cannot_be_ended_yet_is_tried_again_before_its_end_is_told(
    facts: Facts, pushover: Pushover
) -> None:
    urgent, over = config(pushover, priority="emergency"), about(facts, "recovered")
    pushover.will(Reply(503))
    assert is_tried_again(refused(lambda: send(over, urgent, DOOR)))
    pushover.will(as_json(404, {"errors": ["receipt not found"], "status": 0}))
    send(over, urgent, DOOR)
    assert len(pushover.taken) == 1
    send(over, config(pushover), DOOR)
    assert pushover.cancelled == []


def test_a_refusal_of_one_message_ends_that_alone(message: Message, pushover: Pushover) -> None:
    pushover.will(as_json(400, {"errors": ["message cannot be blank"], "status": 0}))
    error = refused(lambda: send(message, config(pushover), DOOR))
    assert is_for_this_message(error)
    assert "message cannot be blank" in str(error)


@what_may_pass
def test_what_may_pass_is_tried_again(message: Message, pushover: Pushover, answer: Answer) -> None:
    pushover.will(answer)
    assert is_tried_again(refused(lambda: send(message, config(pushover), IMPATIENT)))


def test_a_flood_names_the_time_to_wait(message: Message, pushover: Pushover) -> None:
    pushover.will(pushover.FLOOD)
    error = refused(lambda: send(message, config(pushover), DOOR))
    assert is_tried_again(error)
    assert error.retry_after == timedelta(seconds=31)


@pytest.mark.parametrize("answer", [Pushover.INVALID_TOKEN, Pushover.INVALID_USER])
def test_what_stays_so_ends_the_channel(
    message: Message, pushover: Pushover, answer: Answer
) -> None:
    pushover.will(answer)
    error = refused(lambda: send(message, config(pushover), DOOR))
    assert is_for_the_channel(error)


def test_the_secret_is_in_no_error(message: Message, pushover: Pushover) -> None:
    settings = config(pushover)
    pushover.will(pushover.INVALID_TOKEN, HANG)
    for _ in range(2):
        assert Pushover.TOKEN not in str(refused(lambda: send(message, settings, IMPATIENT)))
    assert Pushover.TOKEN not in repr(settings)


def test_the_longest_message_is_taken(facts: Facts, pushover: Pushover) -> None:
    send(longest(facts), config(pushover), DOOR)
    send(wordiest(facts), config(pushover), DOOR)
    assert len(pushover.taken) == 2
