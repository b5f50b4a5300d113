"""Discord: a channel's webhook that takes embeds.

https://discord.com/developers/docs/resources/webhook#execute-webhook (the request),
https://discord.com/developers/docs/resources/message#embed-object-embed-limits (title 256
characters, description 4,096, 25 fields with 256 and 1,024, 6,000 in all),
https://discord.com/developers/docs/topics/rate-limits (429 names the seconds in `retry_after`).

401, 403 and 404 (10015, unknown webhook) stay so; 400 condemns this message alone. Nobody is
mentioned, whatever a monitor's name or a target's answer holds.

A channel takes 30 a minute, five of them within two seconds
(the answers tell what is left).

https://discord.com/developers/docs/resources/webhook#get-webhook-with-token tells of the webhook
and posts nothing.
"""

from datetime import timedelta
from typing import Any

import httpx
from pydantic import Field

from alerts.addresses import URL_LIMIT, SecretAddress
from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Answer, Door
from alerts.errors import DeliveryError
from alerts.messages import Message
from alerts.pacing import Rate
from alerts.refusals import answered_object, answered_word, is_own_answer, refusal
from alerts.wording import cut, event_color

TITLE_LIMIT = 256
PROSE_LIMIT = 4096
VALUE_LIMIT = 600
FIELDS = 8  # with the limits above: below 6,000 characters in all
_DEAD = (401, 403, 404)


class DiscordConfig(WordedConfig):
    url: SecretAddress = Field(
        title="Webhook address",
        description="As Discord gave it: https://discord.com/api/webhooks/…",
        max_length=URL_LIMIT,
    )
    username: str = Field(
        default="",
        title="Name",
        description="Under which the messages appear, in place of the webhook's own.",
        max_length=80,
    )


def payload(message: Message, config: DiscordConfig) -> dict[str, Any]:
    values: dict[str, Any] = {"embeds": [_embed(message)], "allowed_mentions": {"parse": []}}
    if config.username:
        values["username"] = config.username
    return values


def _embed(message: Message) -> dict[str, Any]:
    embed: dict[str, Any] = {
        "title": cut(message.subject, TITLE_LIMIT),
        "url": message.link,
        "color": int(event_color(message.facts.tone)[1:], 16),
        "timestamp": message.facts.occurred_at.isoformat(),
    }
    links = "\n".join(f"[{link.label}]({link.url})" for link in message.links)
    if message.prose:
        # the links stay whole, whatever the length of the text
        return embed | {"description": f"{cut(message.prose, PROSE_LIMIT - 1500)}\n\n{links}"}
    fields = [
        {"name": line.label, "value": cut(line.value, VALUE_LIMIT), "inline": False}
        for line in message.lines[:FIELDS]
    ]
    return embed | {"fields": fields, "description": links}


def send(message: Message, config: DiscordConfig, door: Door) -> None:
    answer = door.send_json(config.url.get_secret_value(), payload(message, config))
    if not answer.is_success:
        raise _refusal(answer)


def probe(config: DiscordConfig, door: Door) -> bool:
    webhook = httpx.URL(config.url.get_secret_value()).copy_with(query=None)
    answer = door.get(str(webhook))
    if not answer.is_success:
        raise _refusal(answer)
    return True


def _refusal(answer: Answer) -> DeliveryError:
    wait = answered_object(answer).get("retry_after") if answer.status == 429 else None
    return refusal(
        answer,
        said=answered_word(answer, "message"),
        is_dead=is_own_answer(answer, *_DEAD),
        is_permanent=answer.status == 400,
        retry_after=timedelta(seconds=wait) if isinstance(wait, int | float) else None,
    )


CHANNEL = ChannelType(
    name="discord",
    label="Discord",
    config=DiscordConfig,
    send=send,
    rate=Rate(30, 5),
    probe=probe,
    proves="The webhook is there, and its address is valid.",
)
