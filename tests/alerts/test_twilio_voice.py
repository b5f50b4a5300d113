"""Phone calls through Twilio, against a look-alike."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from alerts.channels.twilio_voice import TwilioVoiceConfig, send
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
from tests.servers.pagers import Twilio
from tests.servers.webhook import HANG


@pytest.fixture
def twilio() -> Iterator[Twilio]:
    with Twilio() as twilio:
        yield twilio


def config(twilio: Twilio, **changes: object) -> TwilioVoiceConfig:
    return TwilioVoiceConfig.model_validate(
        {
            "server": twilio.url,
            "account_sid": Twilio.SID,
            "auth_token": Twilio.TOKEN,
            "sender": "+1 555 0100",
            "to": "+49 30 1234567",
            **changes,
        }
    )


def test_the_subject_is_read_aloud(message: Message, twilio: Twilio) -> None:
    send(message, config(twilio, language="de-DE", repeats=3), DOOR)
    assert twilio.taken == [
        {
            "To": "+49301234567",
            "From": "+15550100",
            "Twiml": '<Response><Say language="de-DE" loop="3">'
            "DOWN: Shop — connection refused</Say></Response>",
        }
    ]


def test_what_xml_can_not_hold_is_left_out(message: Message, twilio: Twilio) -> None:
    send(message.with_words(prose="a\x0b<b> & c"), config(twilio), DOOR)
    assert ">a &lt;b&gt; &amp; c</Say>" in twilio.taken[0]["Twiml"]


@what_may_pass
def test_what_may_pass_is_tried_again(message: Message, twilio: Twilio, answer: Answer) -> None:
    twilio.will(answer)
    assert is_tried_again(refused(lambda: send(message, config(twilio), IMPATIENT)))


def test_a_flood_names_the_time_to_wait(message: Message, twilio: Twilio) -> None:
    twilio.will(twilio.FLOOD)
    error = refused(lambda: send(message, config(twilio), DOOR))
    assert is_tried_again(error)
    assert error.retry_after == timedelta(seconds=31)


@pytest.mark.parametrize("answer", [Twilio.UNAUTHORIZED, Twilio.INVALID_TO])
def test_what_stays_so_ends_the_channel(message: Message, twilio: Twilio, answer: Answer) -> None:
    twilio.will(answer)
    error = refused(lambda: send(message, config(twilio), DOOR))
    assert is_for_the_channel(error)


def test_what_is_wrong_with_one_message_ends_that_alone(message: Message, twilio: Twilio) -> None:
    twilio.will(twilio.TOO_LONG)
    assert is_for_this_message(refused(lambda: send(message, config(twilio), DOOR)))


def test_the_secret_is_in_no_error(message: Message, twilio: Twilio) -> None:
    settings = config(twilio)
    twilio.will(twilio.UNAUTHORIZED, HANG)
    for _ in range(2):
        assert Twilio.TOKEN not in str(refused(lambda: send(message, settings, IMPATIENT)))
    assert Twilio.TOKEN not in repr(settings)


def test_the_longest_message_is_taken(facts: Facts, twilio: Twilio) -> None:
    send(longest(facts), config(twilio), DOOR)
    send(wordiest(facts), config(twilio), DOOR)
    assert len(twilio.taken) == 2
