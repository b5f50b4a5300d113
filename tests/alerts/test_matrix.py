"""Matrix, against a look-alike."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from pydantic import ValidationError

from alerts.channels.matrix import MatrixConfig, send
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
from tests.servers.pushes import Matrix
from tests.servers.webhook import HANG


@pytest.fixture
def matrix() -> Iterator[Matrix]:
    with Matrix() as matrix:
        yield matrix


def config(matrix: Matrix, **changes: object) -> MatrixConfig:
    return MatrixConfig.model_validate(
        {"server": matrix.url, "room": Matrix.ROOM, "access_token": Matrix.TOKEN, **changes}
    )


def test_the_message_is_text_and_html(facts: Facts, matrix: Matrix) -> None:
    assert facts.monitor is not None
    monitor = facts.monitor.model_copy(update={"name": "<Shop>"})
    message = compose_message(uuid4(), facts.model_copy(update={"monitor": monitor}))
    send(message, config(matrix), DOOR)
    [taken] = matrix.taken
    assert taken["msgtype"] == "m.text"
    assert taken["body"].startswith("DOWN: <Shop> — connection refused\n\nMonitor: <Shop>\n")
    assert "DOWN: &lt;Shop&gt;" in taken["formatted_body"]
    assert '<a href="https://uptime.example/incidents/2/">' in taken["formatted_body"]
    assert taken["m.mentions"] == {}


def test_a_repetition_is_dropped_by_the_server(message: Message, matrix: Matrix) -> None:
    send(message, config(matrix), DOOR)
    send(message, config(matrix), DOOR)
    assert [one["transaction"] for one in matrix.taken] == [str(message.event_id)]


@pytest.mark.parametrize("room", ["#alias:example.org", "room", "!a/b:example.org", "!"])
def test_what_is_no_rooms_id_is_refused(matrix: Matrix, room: str) -> None:
    with pytest.raises(ValidationError):
        config(matrix, room=room)


@what_may_pass
def test_what_may_pass_is_tried_again(message: Message, matrix: Matrix, answer: Answer) -> None:
    matrix.will(answer)
    assert is_tried_again(refused(lambda: send(message, config(matrix), IMPATIENT)))


def test_a_flood_names_the_time_to_wait(message: Message, matrix: Matrix) -> None:
    matrix.will(matrix.FLOOD)
    error = refused(lambda: send(message, config(matrix), DOOR))
    assert is_tried_again(error)
    assert error.retry_after == timedelta(seconds=31.5)


@pytest.mark.parametrize("answer", [Matrix.UNKNOWN_TOKEN, Matrix.FORBIDDEN])
def test_what_stays_so_ends_the_channel(message: Message, matrix: Matrix, answer: Answer) -> None:
    matrix.will(answer)
    error = refused(lambda: send(message, config(matrix), DOOR))
    assert is_for_the_channel(error)


def test_what_is_wrong_with_one_message_ends_that_alone(message: Message, matrix: Matrix) -> None:
    matrix.will(matrix.TOO_LARGE)
    assert is_for_this_message(refused(lambda: send(message, config(matrix), DOOR)))


def test_the_secret_is_in_no_error(message: Message, matrix: Matrix) -> None:
    settings = config(matrix)
    matrix.will(matrix.UNKNOWN_TOKEN, HANG)
    for _ in range(2):
        assert Matrix.TOKEN not in str(refused(lambda: send(message, settings, IMPATIENT)))
    assert Matrix.TOKEN not in repr(settings)


def test_the_longest_message_is_taken(facts: Facts, matrix: Matrix) -> None:
    send(longest(facts), config(matrix), DOOR)
    send(wordiest(facts), config(matrix), DOOR)
    assert len(matrix.taken) == 2
