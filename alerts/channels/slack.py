"""Slack: an incoming webhook that takes blocks, with buttons that open the incident.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks (the request, and the
errors that an address gives for good), https://docs.slack.dev/reference/block-kit/blocks (limits: a
header 150 characters, a section 3,000, ten fields of 2,000).

The answer is a plain text: `ok`, or a code. A webhook that was removed, an archived channel and an
app that was thrown out stay so; `invalid_payload` condemns this message alone.

One a second, and short bursts
(https://docs.slack.dev/apis/web-api/rate-limits).
"""

from typing import Any

from pydantic import Field

from alerts.addresses import URL_LIMIT, SecretAddress
from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Answer, Door
from alerts.errors import DeliveryError
from alerts.messages import Message
from alerts.pacing import Rate
from alerts.refusals import answered_text, refusal
from alerts.wording import cut, event_color, event_sign

HEADER_LIMIT = 150
SECTION_LIMIT = 3000
FIELDS = 10
_DEAD_CODES = (
    "action_prohibited",
    "channel_is_archived",
    "channel_not_found",
    "invalid_token",
    "no_active_hooks",
    "no_service",
    "no_service_id",
    "no_team",
    "team_disabled",
    "token_revoked",
    "user_not_found",
)


class SlackConfig(WordedConfig):
    url: SecretAddress = Field(
        title="Webhook address",
        description="As Slack gave it: https://hooks.slack.com/services/…",
        max_length=URL_LIMIT,
    )


def _escaped(text: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text#escaping"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _mrkdwn(text: str, limit: int) -> dict[str, str]:
    return {"type": "mrkdwn", "text": cut(_escaped(text), limit)}


def _plain(text: str, limit: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": cut(text, limit), "emoji": True}


def payload(message: Message) -> dict[str, Any]:
    return {
        # what notifications show, and clients without blocks
        "text": _escaped(message.subject),
        "attachments": [{"color": event_color(message.facts.tone), "blocks": _blocks(message)}],
    }


def _blocks(message: Message) -> list[dict[str, Any]]:
    title = f"{event_sign(message.facts.tone)} {message.subject}"
    buttons = [
        {"type": "button", "text": _plain(link.label, 75), "url": link.url}
        for link in message.links
    ]
    return [
        {"type": "header", "text": _plain(title, HEADER_LIMIT)},
        _section(message),
        {"type": "actions", "elements": buttons},
    ]


def _section(message: Message) -> dict[str, Any]:
    if message.prose:
        return {"type": "section", "text": _mrkdwn(message.prose, SECTION_LIMIT)}
    fields = [
        {"type": "mrkdwn", "text": f"*{line.label}*\n{cut(_escaped(line.value), 1900)}"}
        for line in message.lines[:FIELDS]
    ]
    return {"type": "section", "fields": fields}


def send(message: Message, config: SlackConfig, door: Door) -> None:
    answer = door.send_json(config.url.get_secret_value(), payload(message))
    if not answer.is_success:
        raise _refusal(answer)


def _refusal(answer: Answer) -> DeliveryError:
    code = answered_text(answer)
    return refusal(
        answer,
        said=code,
        is_dead=code in _DEAD_CODES or answer.status == 410,
        is_permanent=answer.status == 400,
    )


CHANNEL = ChannelType(name="slack", label="Slack", config=SlackConfig, send=send, rate=Rate(60, 5))
