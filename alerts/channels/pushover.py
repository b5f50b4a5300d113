"""Pushover: the Message API.

https://pushover.net/api (the request; a title of 250 characters, a message of 1,024, an address of
512 with a title of 100; "being friendly": a 4xx will be the same if it is repeated),
https://pushover.net/api#priority (2 is an emergency: repeated every `retry` seconds, 30 at least,
until somebody confirms it or `expire` seconds have passed, 10,800 at most).

https://pushover.net/api/receipts#cancel (by `tags`, here the incident's id): an emergency whose
incident is over is repeated no more.

https://pushover.net/api#validate tells whether a user has a device that would get the message.

A 4xx names in its JSON what is wrong: the token or the user, which ends the channel, or something
of this message. 429 is the month's quota.
"""

from typing import Any, Literal

from pydantic import Field

from alerts.addresses import URL_LIMIT, Server, Token
from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Answer, Door
from alerts.errors import DeliveryError
from alerts.messages import Message
from alerts.models import Event
from alerts.refusals import answered_object, refusal
from alerts.wording import cut

TITLE_LIMIT = 250
MESSAGE_LIMIT = 1024
ADDRESS_LIMIT = 512
_PRIORITIES = {"lowest": -2, "low": -1, "normal": 0, "high": 1, "emergency": 2}
Priority = Literal["lowest", "low", "normal", "high", "emergency"]


class PushoverConfig(WordedConfig):
    token: Token = Field(
        title="Application token",
        description="Of an application made at pushover.net.",
        max_length=100,
    )
    user: Token = Field(
        title="User or group key", description="Who gets the message.", max_length=100
    )
    device: str = Field(
        default="",
        title="Device",
        description="One device's name; all of the user's where it is left out.",
        pattern=r"^[\w,-]*$",
        max_length=200,
    )
    priority: Priority = Field(
        default="high",
        title="Priority",
        description="Of trouble; its end comes as normal. An emergency repeats until that, or until"
        " it is confirmed.",
    )
    retry_s: int = Field(
        default=60,
        title="Repeat an emergency every … seconds",
        description="At least 30.",
        ge=30,
        le=10800,
    )
    expire_s: int = Field(
        default=3600,
        title="Repeat an emergency for … seconds",
        description="At most 10,800, three hours.",
        ge=30,
        le=10800,
    )
    server: Server = Field(
        default="https://api.pushover.net",
        title="Server",
        description="Where the API is reached.",
        max_length=URL_LIMIT,
    )


def payload(message: Message, config: PushoverConfig) -> dict[str, Any]:
    priority = _PRIORITIES[config.priority]
    if not message.facts.is_trouble:
        priority = min(priority, _PRIORITIES["normal"])
    values: dict[str, Any] = {
        "token": config.token.get_secret_value(),
        "user": config.user.get_secret_value(),
        "title": cut(message.subject, TITLE_LIMIT),
        "message": cut(message.body, MESSAGE_LIMIT),
        "priority": priority,
        "timestamp": int(message.facts.occurred_at.timestamp()),
    }
    if len(message.link) <= ADDRESS_LIMIT:
        values |= {"url": message.link, "url_title": message.links[0].label}
    if config.device:
        values["device"] = config.device
    if priority == _PRIORITIES["emergency"]:
        values |= {"retry": config.retry_s, "expire": config.expire_s}
        values["tags"] = str(message.story_id)
    return values


def send(message: Message, config: PushoverConfig, door: Door) -> None:
    if config.priority == "emergency" and message.facts.event == Event.RECOVERED:
        _cancel(message, config, door)
    answer = door.send_json(f"{config.server}/1/messages.json", payload(message, config))
    if not answer.is_success:
        raise _refusal(answer)


def _cancel(message: Message, config: PushoverConfig, door: Door) -> None:
    """Before the message, so that what may pass repeats none. What is refused is over anyway."""
    answer = door.send_json(
        f"{config.server}/1/receipts/cancel_by_tag/{message.story_id}.json",
        {"token": config.token.get_secret_value()},
    )
    if answer.status >= 500 or answer.status == 429:
        raise _refusal(answer)


def probe(config: PushoverConfig, door: Door) -> bool:
    values = {
        "token": config.token.get_secret_value(),
        "user": config.user.get_secret_value(),
        **({"device": config.device} if config.device else {}),
    }
    answer = door.send_json(f"{config.server}/1/users/validate.json", values)
    if not answer.is_success:
        raise _refusal(answer)
    return True


def _refusal(answer: Answer) -> DeliveryError:
    found = answered_object(answer)
    errors = found.get("errors")
    is_final = 400 <= answer.status < 500 and answer.status != 429 and found.get("status") == 0
    return refusal(
        answer,
        said="; ".join(map(str, errors)) if isinstance(errors, list) else "",
        is_dead=is_final and ("invalid" in (found.get("token"), found.get("user"))),
        is_permanent=is_final,
    )


CHANNEL = ChannelType(
    name="pushover",
    label="Pushover",
    config=PushoverConfig,
    send=send,
    probe=probe,
    proves="The application is known, and the user has an active device.",
)
