"""ntfy, against a look-alike."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from pydantic import ValidationError

from alerts.channels.ntfy import NtfyConfig, send
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
from tests.servers.pushes import Ntfy
from tests.servers.webhook import HANG


@pytest.fixture
def ntfy() -> Iterator[Ntfy]:
    with Ntfy() as ntfy:
        yield ntfy


def config(ntfy: Ntfy, **changes: object) -> NtfyConfig:
    return NtfyConfig.model_validate({"server": ntfy.url, "topic": Ntfy.TOPIC, **changes})


def test_the_message_is_published_to_the_topic(message: Message, ntfy: Ntfy) -> None:
    send(message, config(ntfy, priority="max", tags=["shop"]), DOOR)
    [taken] = ntfy.taken
    assert taken["topic"] == Ntfy.TOPIC
    assert taken["title"] == "DOWN: Shop — connection refused"
    assert "Where: local" in taken["message"]
    assert taken["priority"] == 5
    assert taken["tags"] == ["red_circle", "shop"]
    assert taken["click"] == "https://uptime.example/incidents/2/"
    assert taken["actions"] == [
        {"action": "view", "label": label, "url": link.url}
        for label, link in zip(
            ["Acknowledge", "Resolve", "Comment"], message.links[1:4], strict=True
        )
    ]


def test_the_end_of_trouble_is_not_urgent(facts: Facts, ntfy: Ntfy) -> None:
    send(about(facts, "recovered"), config(ntfy, priority="max"), DOOR)
    assert ntfy.taken[0]["priority"] == 3


@pytest.mark.parametrize(
    "credentials",
    [{"token": Ntfy.TOKEN}, {"username": Ntfy.USER, "password": Ntfy.PASSWORD}],
    ids=["token", "password"],
)
def test_a_guarded_topic_is_opened(message: Message, credentials: dict[str, str]) -> None:
    with Ntfy(is_guarded=True) as ntfy:
        send(message, config(ntfy, **credentials), DOOR)
        assert len(ntfy.taken) == 1
        assert is_for_the_channel(refused(lambda: send(message, config(ntfy), DOOR)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"topic": "a/b"},
        {"topic": ""},
        {"username": "phil"},
        {"password": "secret"},
        {"token": "tk_x", "username": "phil", "password": "secret"},
        {"token": "tk\r\nX-Evil: 1"},
        {"server": "ntfy.sh"},
        {"server": "https://user:pw@ntfy.sh"},
        {"server": "https://ntfy.sh/?a=1"},
        {"tags": ["a b"]},
        {"priority": "urgent!"},
    ],
)
def test_settings_that_make_no_sense_are_refused(ntfy: Ntfy, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        config(ntfy, **wrong)


@what_may_pass
def test_what_may_pass_is_tried_again(message: Message, ntfy: Ntfy, answer: Answer) -> None:
    ntfy.will(answer)
    assert is_tried_again(refused(lambda: send(message, config(ntfy), IMPATIENT)))


def test_a_flood_names_the_time_to_wait(message: Message, ntfy: Ntfy) -> None:
    ntfy.will(ntfy.FLOOD)
    error = refused(lambda: send(message, config(ntfy), DOOR))
    assert is_tried_again(error)
    assert error.retry_after == timedelta(seconds=31)


@pytest.mark.parametrize("answer", [Ntfy.FORBIDDEN, Ntfy.UNAUTHORIZED])
def test_what_stays_so_ends_the_channel(message: Message, ntfy: Ntfy, answer: Answer) -> None:
    ntfy.will(answer)
    error = refused(lambda: send(message, config(ntfy), DOOR))
    assert is_for_the_channel(error)


def test_what_is_wrong_with_one_message_ends_that_alone(message: Message, ntfy: Ntfy) -> None:
    ntfy.will(ntfy.TOO_LARGE)
    assert is_for_this_message(refused(lambda: send(message, config(ntfy), DOOR)))


def test_the_secret_is_in_no_error(message: Message, ntfy: Ntfy) -> None:
    settings = config(ntfy)
    ntfy.will(ntfy.FORBIDDEN, HANG)
    for _ in range(2):
        assert Ntfy.TOPIC not in str(refused(lambda: send(message, settings, IMPATIENT)))
    assert Ntfy.TOPIC not in repr(settings)


def test_the_longest_message_is_taken(facts: Facts, ntfy: Ntfy) -> None:
    send(longest(facts), config(ntfy), DOOR)
    send(wordiest(facts), config(ntfy), DOOR)
    assert len(ntfy.taken) == 2
