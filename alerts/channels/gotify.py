"""Gotify: an application of one's own server.

https://gotify.net/api-docs#/message/createMessage (the request, `X-Gotify-Key`),
https://gotify.net/docs/msgextras (`client::notification` opens an address on a tap).

https://gotify.net/api-docs#/health/getHealth tells how the server is; there is no call by which an
application's token could be tried without a message.

Errors are `{"error", "errorCode", "errorDescription"}`. 401, 403 and 404 stay so; 400 condemns this
message alone.
"""

from typing import Any

from pydantic import Field

from alerts.addresses import URL_LIMIT, Server, Token
from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Door
from alerts.errors import DeliveryError
from alerts.messages import Message
from alerts.refusals import answered_word, is_own_answer, refusal

_CALM = 3
_DEAD = (401, 403, 404, 410)


class GotifyConfig(WordedConfig):
    server: Server = Field(
        title="Server", description="https://gotify.example.com", max_length=URL_LIMIT
    )
    token: Token = Field(
        title="Application token", description="Of an application, not of a client.", max_length=200
    )
    priority: int = Field(
        default=8,
        title="Priority",
        description="Of trouble, 0 to 10; its end comes with 3 at most.",
        ge=0,
        le=10,
    )


def payload(message: Message, config: GotifyConfig) -> dict[str, Any]:
    links = "\n".join(f"{link.label}: {link.url}" for link in message.links)
    return {
        "title": message.subject,
        "message": f"{message.body}\n\n{links}",
        "priority": config.priority if message.facts.is_trouble else min(config.priority, _CALM),
        "extras": {"client::notification": {"click": {"url": message.link}}},
    }


def send(message: Message, config: GotifyConfig, door: Door) -> None:
    answer = door.send_json(
        f"{config.server}/message",
        payload(message, config),
        headers={"X-Gotify-Key": config.token.get_secret_value()},
    )
    if not answer.is_success:
        raise refusal(
            answer,
            said=answered_word(answer, "errorDescription", "error"),
            is_dead=is_own_answer(answer, *_DEAD),
            is_permanent=answer.status == 400,
        )


def probe(config: GotifyConfig, door: Door) -> bool:
    answer = door.get(f"{config.server}/health")
    if not answer.is_success:
        raise refusal(answer)
    if (health := answered_word(answer, "health")) != "green":
        raise DeliveryError(f"the server's health is {health or 'unknown'}")
    return True


CHANNEL = ChannelType(
    name="gotify",
    label="Gotify",
    config=GotifyConfig,
    send=send,
    probe=probe,
    proves="The server is well; its token is not tried.",
)
