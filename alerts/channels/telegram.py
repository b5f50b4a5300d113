"""Telegram: the Bot API's sendMessage (https://core.telegram.org/bots/api#sendmessage).

The API tells by `ok: false` and an error code what is wrong. A bad token, an unknown chat and a
user who blocked the bot stay so: the channel is dead. 429 names the seconds to wait. What doesn't
speak the API's language (a proxy's error page) is tried again.

The message's links are buttons below it, acknowledging among them where it offers that
(https://core.telegram.org/bots/api#inlinekeyboardbutton).

The API knows no key against repetitions: the event's id is the last line, the same in each.

https://core.telegram.org/bots/api#getchat tells whether the bot sees the chat. That a user blocked
the bot it does not tell.

A group takes 20 a minute
(https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this).
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from html import escape
from typing import Any
from urllib.parse import quote

from django.conf import settings
from pydantic import BaseModel, Field, SecretStr, ValidationError

from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Answer, Door
from alerts.errors import DeadChannelError, DeliveryError
from alerts.messages import SUBJECT_LIMIT, Link, Message
from alerts.pacing import Rate
from alerts.wording import cut

BODY_LIMIT = 3400
_DEAD = (401, 403, 404)
_BAD_BUTTONS = ("inline keyboard button url", "button_url_invalid")
_DEAD_CHATS = ("chat not found", "group chat was deactivated", "user is deactivated")


class TelegramConfig(WordedConfig):
    bot_token: SecretStr = Field(
        title="Bot token",
        description="As @BotFather gave it: 123456789:AbC…",
        min_length=1,
        max_length=200,
    )
    chat_id: str = Field(
        title="Chat",
        description="The chat's number, or @name of a public channel.",
        pattern=r"^(-?\d{1,20}|@\w{4,64})$",
    )
    message_thread_id: int | None = Field(
        default=None, title="Topic", description="The topic's number in a forum.", ge=1
    )


class _Parameters(BaseModel):
    retry_after: int | None = None
    migrate_to_chat_id: int | None = None


class _Reply(BaseModel):
    """https://core.telegram.org/bots/api#making-requests"""

    ok: bool
    error_code: int = 0
    description: str = ""
    parameters: _Parameters = _Parameters()


def as_html(message: Message, *, links: Sequence[Link]) -> str:
    """The message in the API's HTML, within 4,096 characters as they are read."""
    return "\n".join(
        [
            f"<b>{_escaped(cut(message.subject, SUBJECT_LIMIT))}</b>",
            "",
            _escaped(cut(message.body, BODY_LIMIT)),
            "",
            *(_escaped(link.url) for link in links[:1]),
            *(f"{_escaped(link.label)}: {_escaped(link.url)}" for link in links[1:]),
            "",
            f"Event <code>{message.event_id}</code>",
        ]
    )


def _escaped(text: str) -> str:
    return escape(text, quote=False)


def send(message: Message, config: TelegramConfig, door: Door) -> None:
    reply = _call(message, config, config.chat_id, door)
    if moved_to := reply.parameters.migrate_to_chat_id:
        # A group that became a supergroup has a new number; the old one only tells it.
        reply = _call(message, config, str(moved_to), door)
    if not reply.ok:
        raise _refusal(reply)


def _call(message: Message, config: TelegramConfig, chat_id: str, door: Door) -> _Reply:
    reply = _post(message, config, chat_id, door, has_buttons=True)
    if not reply.ok and any(words in reply.description.lower() for words in _BAD_BUTTONS):
        # To an installation without a public name no button leads: the text has the addresses then.
        reply = _post(message, config, chat_id, door, has_buttons=False)
    return reply


def _post(
    message: Message, config: TelegramConfig, chat_id: str, door: Door, *, has_buttons: bool
) -> _Reply:
    values: dict[str, Any] = {
        "chat_id": chat_id,
        "text": as_html(message, links=message.links[:1] if has_buttons else message.links),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }
    if has_buttons:
        values["reply_markup"] = {"inline_keyboard": _keyboard(message.links)}
    if config.message_thread_id:
        values["message_thread_id"] = config.message_thread_id
    return _invoke("sendMessage", values, config, door)


def _keyboard(links: Sequence[Link]) -> list[list[dict[str, str]]]:
    """The first button in a row of its own, the others two by two."""
    buttons = [{"text": link.label, "url": link.url} for link in links]
    return [buttons[:1], *(buttons[at : at + 2] for at in range(1, len(buttons), 2))]


def probe(config: TelegramConfig, door: Door) -> bool:
    reply = _invoke("getChat", {"chat_id": config.chat_id}, config, door)
    if moved_to := reply.parameters.migrate_to_chat_id:
        reply = _invoke("getChat", {"chat_id": str(moved_to)}, config, door)
    if not reply.ok:
        raise _refusal(reply)
    return True


def _invoke(method: str, values: dict[str, Any], config: TelegramConfig, door: Door) -> _Reply:
    token = quote(config.bot_token.get_secret_value(), safe=":")
    answer = door.post(
        f"{settings.TELEGRAM_API_URL}/bot{token}/{method}",
        body=json.dumps(values).encode(),
        headers={"Content-Type": "application/json"},
        is_operators=True,
    )
    return _reply(answer)


def _reply(answer: Answer) -> _Reply:
    try:
        return _Reply.model_validate_json(answer.body)
    except ValidationError as error:
        raise DeliveryError(
            f"the Bot API answered {answer.status} with something that is not its own"
        ) from error


def _refusal(reply: _Reply) -> DeliveryError:
    text = f"Telegram: {reply.description or 'refused'} ({reply.error_code})"
    is_unknown = any(words in reply.description.lower() for words in _DEAD_CHATS)
    if reply.error_code in _DEAD or is_unknown:
        return DeadChannelError(text)
    wait = reply.parameters.retry_after
    return DeliveryError(
        text,
        is_permanent=reply.error_code == 400,
        retry_after=timedelta(seconds=wait) if wait else None,
    )


CHANNEL = ChannelType(
    name="telegram",
    label="Telegram",
    config=TelegramConfig,
    send=send,
    rate=Rate(20, 5),
    probe=probe,
    proves="The token is valid, and the bot sees the chat.",
)
