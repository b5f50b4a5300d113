"""Opsgenie, against a look-alike."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from alerts.channels.opsgenie import OpsgenieConfig, send
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
    of_a_test,
    refused,
    what_may_pass,
    wordiest,
)
from tests.servers.pagers import Opsgenie
from tests.servers.webhook import HANG


@pytest.fixture
def opsgenie() -> Iterator[Opsgenie]:
    with Opsgenie() as opsgenie:
        yield opsgenie


def config(opsgenie: Opsgenie, **changes: object) -> OpsgenieConfig:
    return OpsgenieConfig.model_validate(
        {"server": opsgenie.url, "api_key": Opsgenie.KEY, **changes}
    )


def test_the_trouble_creates_an_alert(message: Message, opsgenie: Opsgenie) -> None:
    send(message, config(opsgenie), DOOR)
    [taken] = opsgenie.taken
    assert taken["message"] == "DOWN: Shop — connection refused"
    assert taken["alias"] == "018f0000-0000-7000-8000-000000000002"
    assert taken["priority"] == "P1"
    assert taken["entity"] == "Shop"
    assert "Where: local" in taken["description"]
    assert "https://uptime.example/incidents/2/\n" in taken["description"]
    assert f"\nAcknowledge: {message.links[1].url}\n" in taken["description"]


def test_one_alias_lives_from_trouble_to_its_end(facts: Facts, opsgenie: Opsgenie) -> None:
    states = []
    for event in ("degraded", "down", "acknowledged", "recovered"):
        send(about(facts, event), config(opsgenie), DOOR)
        [state] = opsgenie.alerts.values()
        states.append(state)
    assert states == ["open", "open", "acknowledged", "closed"]
    assert opsgenie.taken[0]["priority"] == "P3"


def test_a_test_leaves_nothing_open(opsgenie: Opsgenie) -> None:
    send(of_a_test(), config(opsgenie), DOOR)
    assert list(opsgenie.alerts.values()) == ["closed"]


@what_may_pass
def test_what_may_pass_is_tried_again(message: Message, opsgenie: Opsgenie, answer: Answer) -> None:
    opsgenie.will(answer)
    assert is_tried_again(refused(lambda: send(message, config(opsgenie), IMPATIENT)))


def test_a_flood_names_the_time_to_wait(message: Message, opsgenie: Opsgenie) -> None:
    opsgenie.will(opsgenie.FLOOD)
    error = refused(lambda: send(message, config(opsgenie), DOOR))
    assert is_tried_again(error)
    assert error.retry_after == timedelta(seconds=31)


@pytest.mark.parametrize("answer", [Opsgenie.FORBIDDEN])
def test_what_stays_so_ends_the_channel(
    message: Message, opsgenie: Opsgenie, answer: Answer
) -> None:
    opsgenie.will(answer)
    error = refused(lambda: send(message, config(opsgenie), DOOR))
    assert is_for_the_channel(error)


def test_what_is_wrong_with_one_message_ends_that_alone(
    message: Message, opsgenie: Opsgenie
) -> None:
    opsgenie.will(opsgenie.UNPROCESSABLE)
    assert is_for_this_message(refused(lambda: send(message, config(opsgenie), DOOR)))


def test_the_secret_is_in_no_error(message: Message, opsgenie: Opsgenie) -> None:
    settings = config(opsgenie)
    opsgenie.will(opsgenie.FORBIDDEN, HANG)
    for _ in range(2):
        assert Opsgenie.KEY not in str(refused(lambda: send(message, settings, IMPATIENT)))
    assert Opsgenie.KEY not in repr(settings)


def test_the_longest_message_is_taken(facts: Facts, opsgenie: Opsgenie) -> None:
    send(longest(facts), config(opsgenie), DOOR)
    send(wordiest(facts), config(opsgenie), DOOR)
    assert len(opsgenie.taken) == 2
