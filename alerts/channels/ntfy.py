"""ntfy: a topic of ntfy.sh or of one's own server.

https://docs.ntfy.sh/publish/#publish-as-json (the request: JSON to the server's root),
https://docs.ntfy.sh/publish/#limitations (a message of 4,096 bytes, three buttons),
https://docs.ntfy.sh/publish/#authentication (an access token, or user and password).

https://docs.ntfy.sh/config/#health-checks tells how the server is; what the credentials may do is
tried by publishing alone.

Errors are `{"code", "http", "error"}`. 401, 403 and 404 stay so; 400 and 413 condemn this message
alone; 429 is a limit of visitors.

A visitor has 60 requests, and one more every five
seconds (https://docs.ntfy.sh/config/#request-limits).
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from alerts.addresses import URL_LIMIT, Server, Token, basic_credentials
from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Answer, Door
from alerts.errors import DeliveryError
from alerts.messages import Message
from alerts.pacing import Rate
from alerts.refusals import answered_object, answered_word, is_own_answer, refusal
from alerts.wording import cut, cut_bytes

MESSAGE_BYTES = 4000
ACTIONS = 3
_DEAD = (401, 403, 404, 410)
_PRIORITIES = {"min": 1, "low": 2, "default": 3, "high": 4, "max": 5}
_TAGS = {"down": "red_circle", "degraded": "orange_circle", "recovered": "green_circle"}
Priority = Literal["min", "low", "default", "high", "max"]


def _clean_tag(tag: str) -> str:
    tag = tag.strip()
    if not re.fullmatch(r"[\w+-]{1,50}", tag):
        raise ValueError(f"“{tag}” is not a tag: letters, digits, _, + and - only.")
    return tag


class NtfyConfig(WordedConfig):
    server: Server = Field(
        default="https://ntfy.sh",
        title="Server",
        description="ntfy.sh, or a server of your own.",
        max_length=URL_LIMIT,
    )
    topic: SecretStr = Field(
        title="Topic",
        description="Whoever knows the name of an open topic can read it.",
        min_length=1,
        max_length=64,
    )
    token: Token | None = Field(
        default=None, title="Access token", description="tk_…, for a guarded topic.", max_length=200
    )
    username: str = Field(
        default="",
        title="User",
        description="With a password, in place of a token; no colon in it.",
        pattern=r"^[^:]*$",
        max_length=100,
    )
    password: SecretStr | None = Field(
        default=None, title="Password", description="Of the user.", max_length=200
    )
    priority: Priority = Field(
        default="high", title="Priority", description="Of trouble; its end comes as default."
    )
    tags: list[Annotated[str, AfterValidator(_clean_tag)]] = Field(
        default=[],
        title="Tags",
        description="Added to each message; names of emojis appear as such.",
        max_length=5,
    )

    @model_validator(mode="after")
    def _has_a_topic_and_one_way_in(self) -> Self:
        if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", self.topic.get_secret_value()):
            raise ValueError("A topic has letters, digits, - and _ only.")
        if bool(self.username) != bool(self.password):
            raise ValueError("User and password belong together.")
        if self.token and self.username:
            raise ValueError("Give a token, or user and password, not both.")
        return self


def payload(message: Message, config: NtfyConfig) -> dict[str, Any]:
    return {
        "topic": config.topic.get_secret_value(),
        "title": cut(message.subject, 250),
        "message": cut_bytes(message.body, MESSAGE_BYTES),
        "priority": _PRIORITIES[config.priority if message.facts.is_trouble else "default"],
        "tags": [_TAGS.get(message.facts.tone, "large_blue_circle"), *config.tags],
        "click": message.link,
        "actions": [
            {"action": "view", "label": link.label, "url": link.url}
            for link in (message.links[1:] or message.links)[:ACTIONS]  # a tap opens the first
        ],
    }


def _credentials(config: NtfyConfig) -> dict[str, str]:
    if config.token:
        return {"Authorization": f"Bearer {config.token.get_secret_value()}"}
    if config.password:
        return basic_credentials(config.username, config.password.get_secret_value())
    return {}


def send(message: Message, config: NtfyConfig, door: Door) -> None:
    answer = door.send_json(
        f"{config.server}/", payload(message, config), headers=_credentials(config)
    )
    if not answer.is_success:
        raise _refusal(answer)


def _refusal(answer: Answer) -> DeliveryError:
    return refusal(
        answer,
        said=answered_word(answer, "error"),
        is_dead=is_own_answer(answer, *_DEAD),
        is_permanent=answer.status in (400, 413),
    )


def probe(config: NtfyConfig, door: Door) -> bool:
    answer = door.get(f"{config.server}/v1/health")
    if not answer.is_success:
        raise refusal(answer, said=answered_word(answer, "error"))
    if answered_object(answer).get("healthy") is not True:
        raise DeliveryError("the server does not say that it is healthy")
    return True


CHANNEL = ChannelType(
    name="ntfy",
    label="ntfy",
    config=NtfyConfig,
    send=send,
    rate=Rate(12, 60),
    probe=probe,
    proves="The server is well; topic and credentials are not tried.",
)
