"""Google Chat, against a look-alike."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from alerts.channels.google_chat import GoogleChatConfig, send
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
from tests.servers.chats import GoogleChat
from tests.servers.webhook import HANG


@pytest.fixture
def google_chat() -> Iterator[GoogleChat]:
    with GoogleChat() as google_chat:
        yield google_chat


def config(google_chat: GoogleChat, **changes: object) -> GoogleChatConfig:
    return GoogleChatConfig.model_validate({"url": google_chat.address, **changes})


def test_the_message_is_a_card_in_the_incidents_thread(
    message: Message, google_chat: GoogleChat
) -> None:
    send(message, config(google_chat), DOOR)
    [taken] = google_chat.taken
    assert taken["thread"] == {"threadKey": "018f0000-0000-7000-8000-000000000002"}
    assert taken["query"].endswith("&messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD")
    card = taken["cardsV2"][0]["card"]
    assert card["header"]["title"] == "🔴 DOWN: Shop — connection refused"
    *lines, buttons = card["sections"][0]["widgets"]
    assert {"topLabel": "Where", "text": "local", "wrapText": True} in [
        line["decoratedText"] for line in lines
    ]
    opens, acknowledges, *_ = buttons["buttonList"]["buttons"]
    assert opens["onClick"]["openLink"]["url"] == "https://uptime.example/incidents/2/"
    assert acknowledges["onClick"]["openLink"]["url"] == message.links[1].url


def test_words_of_the_team_are_a_paragraph(message: Message, google_chat: GoogleChat) -> None:
    send(message.with_words(prose="<b>down</b>\nnow"), config(google_chat), DOOR)
    paragraph, _ = google_chat.taken[0]["cardsV2"][0]["card"]["sections"][0]["widgets"]
    assert paragraph["textParagraph"]["text"] == "&lt;b&gt;down&lt;/b&gt;<br>now"


@what_may_pass
def test_what_may_pass_is_tried_again(
    message: Message, google_chat: GoogleChat, answer: Answer
) -> None:
    google_chat.will(answer)
    assert is_tried_again(refused(lambda: send(message, config(google_chat), IMPATIENT)))


def test_a_flood_names_the_time_to_wait(message: Message, google_chat: GoogleChat) -> None:
    google_chat.will(google_chat.FLOOD)
    error = refused(lambda: send(message, config(google_chat), DOOR))
    assert is_tried_again(error)
    assert error.retry_after == timedelta(seconds=31)


@pytest.mark.parametrize("answer", [GoogleChat.NO_SPACE, GoogleChat.DENIED])
def test_what_stays_so_ends_the_channel(
    message: Message, google_chat: GoogleChat, answer: Answer
) -> None:
    google_chat.will(answer)
    error = refused(lambda: send(message, config(google_chat), DOOR))
    assert is_for_the_channel(error)


def test_what_is_wrong_with_one_message_ends_that_alone(
    message: Message, google_chat: GoogleChat
) -> None:
    google_chat.will(google_chat.INVALID)
    assert is_for_this_message(refused(lambda: send(message, config(google_chat), DOOR)))


def test_the_secret_is_in_no_error(message: Message, google_chat: GoogleChat) -> None:
    settings = config(google_chat)
    google_chat.will(google_chat.NO_SPACE, HANG)
    for _ in range(2):
        assert "GoogleToken" not in str(refused(lambda: send(message, settings, IMPATIENT)))
    assert "GoogleToken" not in repr(settings)


def test_the_longest_message_is_taken(facts: Facts, google_chat: GoogleChat) -> None:
    send(longest(facts), config(google_chat), DOOR)
    send(wordiest(facts), config(google_chat), DOOR)
    assert len(google_chat.taken) == 2
