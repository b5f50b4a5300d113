"""The Telegram channel, against a look-alike of the Bot API."""

from datetime import timedelta
from uuid import uuid4

import pytest
from pydantic import ValidationError
from pytest_django import Settings

from alerts.channels.telegram import TelegramConfig, send
from alerts.door import Door
from alerts.errors import DeadChannelError, DeliveryError
from alerts.messages import Facts, Message, compose_message
from tests.alerts.refusals import is_for_this_message, refused, wordiest
from tests.servers.telegram import BLOCKED, BotApi, Refusal, flood
from tests.servers.webhook import DRIP, HANG, RESET, Misbehaviour, Reply

DOOR = Door()
IMPATIENT = Door(deadline=timedelta(seconds=0.4))


def config(**changes: object) -> TelegramConfig:
    return TelegramConfig.model_validate(
        {"bot_token": BotApi.TOKEN, "chat_id": BotApi.CHAT, **changes}
    )


def test_the_message_arrives_in_the_chat(message: Message, bot_api: BotApi) -> None:
    send(message, config(), DOOR)
    [arrived] = bot_api.messages
    assert arrived["chat_id"] == BotApi.CHAT
    assert arrived["parse_mode"] == "HTML"
    assert arrived["text"].startswith("<b>DOWN: Shop — connection refused</b>\n")
    assert "Since: 2026-03-01 12:00:00 UTC" in arrived["text"]
    assert "\nhttps://uptime.example/incidents/2/\n" in arrived["text"]
    assert "message_thread_id" not in arrived


def test_its_links_are_buttons(message: Message, bot_api: BotApi) -> None:
    send(message, config(), DOOR)
    rows = bot_api.messages[0]["reply_markup"]["inline_keyboard"]
    assert [[button["text"] for button in row] for row in rows] == [
        ["Open the incident"],
        ["Acknowledge", "Resolve"],
        ["Comment", "Assign"],
    ]
    urls = [button["url"] for row in rows for button in row]
    assert urls == [link.url for link in message.links]


def test_a_button_that_leads_nowhere_public_is_left_out(message: Message, bot_api: BotApi) -> None:
    """As the API answers for http://localhost."""
    text = "Bad Request: inline keyboard button URL 'http://localhost/' is invalid: Wrong HTTP URL"
    bot_api.will(Refusal(400, text).reply())
    send(message, config(), DOOR)
    [arrived] = bot_api.messages
    assert "reply_markup" not in arrived
    assert all(link.url in arrived["text"] for link in message.links)


def test_a_repetition_can_be_told_by_its_event(message: Message, bot_api: BotApi) -> None:
    for _ in range(2):
        send(message, config(), DOOR)
    last_lines = [arrived["text"].splitlines()[-1] for arrived in bot_api.messages]
    assert last_lines == [f"Event <code>{message.event_id}</code>"] * 2


def test_a_topic_of_a_forum_is_named(message: Message, bot_api: BotApi) -> None:
    send(message, config(message_thread_id=7), DOOR)
    assert bot_api.messages[0]["message_thread_id"] == 7


def test_a_chat_may_be_given_as_a_number(message: Message, bot_api: BotApi) -> None:
    send(message, config(chat_id=int(BotApi.CHAT)), DOOR)
    assert len(bot_api.messages) == 1


def test_what_people_wrote_is_escaped(facts: Facts, bot_api: BotApi) -> None:
    assert facts.monitor is not None
    monitor = facts.monitor.model_copy(update={"name": "<b>A & B</b>"})
    send(compose_message(uuid4(), facts.model_copy(update={"monitor": monitor})), config(), DOOR)
    assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in bot_api.messages[0]["text"]


def test_the_longest_message_is_short_enough(facts: Facts, bot_api: BotApi) -> None:
    assert facts.monitor is not None
    endless = "&" * 5000
    monitor = facts.monitor.model_copy(update={"name": endless, "target": endless})
    changes = {"monitor": monitor, "message": endless, "locations": [endless]}
    send(compose_message(uuid4(), facts.model_copy(update=changes)), config(), DOOR)
    assert len(bot_api.messages) == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"bot_token": "999:other"}, "Unauthorized"),
        ({"chat_id": "-1"}, "chat not found"),
    ],
)
def test_settings_that_lead_nowhere_end_the_channel(
    message: Message, bot_api: BotApi, changes: dict[str, str], text: str
) -> None:
    with pytest.raises(DeadChannelError, match=text):
        send(message, config(**changes), DOOR)


def test_a_user_who_blocked_the_bot_ends_the_channel(message: Message, bot_api: BotApi) -> None:
    bot_api.will(BLOCKED.reply())
    with pytest.raises(DeadChannelError, match="blocked"):
        send(message, config(), DOOR)


def test_what_is_wrong_with_one_message_ends_that_alone(message: Message, bot_api: BotApi) -> None:
    bot_api.will(Refusal(400, "Bad Request: can't parse entities").reply())
    error = refused(lambda: send(message, config(), DOOR))
    assert is_for_this_message(error)


def test_words_of_the_team_are_short_enough(facts: Facts, bot_api: BotApi) -> None:
    send(wordiest(facts), config(), DOOR)
    assert len(bot_api.messages) == 1


def test_a_flood_names_the_seconds_to_wait(message: Message, bot_api: BotApi) -> None:
    bot_api.will(flood(31).reply())
    with pytest.raises(DeliveryError, match="Too Many Requests") as raised:
        send(message, config(), DOOR)
    assert not raised.value.is_permanent
    assert raised.value.retry_after == timedelta(seconds=31)


def test_a_group_that_became_a_supergroup_is_followed(message: Message, bot_api: BotApi) -> None:
    bot_api.chats.add("-1009")
    moved = "Bad Request: group chat was upgraded to a supergroup chat"
    bot_api.will(Refusal(400, moved, {"migrate_to_chat_id": -1009}).reply())
    send(message, config(), DOOR)
    assert bot_api.messages[0]["chat_id"] == "-1009"


@pytest.mark.parametrize(
    "answer",
    [
        Reply(502, body=b"<html>Bad Gateway</html>"),
        Reply(404, body=b"not found"),
        Refusal(500, "Internal Server Error").reply(),
        HANG,
        RESET,
        DRIP,
    ],
    ids=["gateway", "not the API", "its own fault", "hang", "reset", "drip"],
)
def test_what_may_pass_is_tried_again(
    message: Message, bot_api: BotApi, answer: Reply | Misbehaviour
) -> None:
    bot_api.will(answer)
    with pytest.raises(DeliveryError) as raised:
        send(message, config(), IMPATIENT)
    assert not raised.value.is_permanent


def test_the_token_is_in_no_error(message: Message, bot_api: BotApi, settings: Settings) -> None:
    settings.TELEGRAM_API_URL = "http://127.0.0.1:1"
    with pytest.raises(DeliveryError, match=r"127\.0\.0\.1") as raised:
        send(message, config(), DOOR)
    assert BotApi.TOKEN not in str(raised.value)
    assert BotApi.TOKEN not in repr(config())


@pytest.mark.parametrize("chat", ["", "my chat", "@me", "12.5"])
def test_what_names_no_chat_is_refused(chat: str) -> None:
    with pytest.raises(ValidationError):
        config(chat_id=chat)
