"""Microsoft Teams: a webhook of the Workflows app, which posts an adaptive card.

https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook
(the envelope of a message with one card),
https://learn.microsoft.com/en-us/microsoftteams/platform/task-modules-and-cards/cards/cards-format
(a card up to 28 KB). Workflows answers 202 and works later: what its flow makes of the card is not
told to the sender.

401, 403 and 404 (the flow was deleted, or its signature renewed) and 410 stay so; 400 is also said
by a flow that is switched off, which its owner can mend, so it is tried again.

Four in a second, 60 in half a minute
(https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using#rate-limiting-for-connectors).
"""

from typing import Any

from pydantic import Field

from alerts.addresses import URL_LIMIT, SecretAddress
from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Door
from alerts.messages import Message
from alerts.pacing import Rate
from alerts.refusals import answered_object, is_own_answer, refusal
from alerts.wording import cut_bytes

PROSE_BYTES = 12_000
_DEAD = (401, 403, 404, 410)
_COLORS = {"down": "Attention", "degraded": "Warning", "recovered": "Good"}


class TeamsConfig(WordedConfig):
    url: SecretAddress = Field(
        title="Webhook address",
        description="Of the workflow “Send webhook alerts to a channel”.",
        max_length=URL_LIMIT,
    )


def payload(message: Message) -> dict[str, Any]:
    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": card(message),
            }
        ],
    }


def card(message: Message) -> dict[str, Any]:
    title = {
        "type": "TextBlock",
        "size": "Large",
        "weight": "Bolder",
        "wrap": True,
        "color": _COLORS.get(message.facts.tone, "Accent"),
        "text": _literal(message.subject),
    }
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": message.subject,
        "msteams": {"width": "Full"},
        "body": [title, _body(message)],
        "actions": [
            {"type": "Action.OpenUrl", "title": link.label, "url": link.url}
            for link in message.links
        ],
    }


def _body(message: Message) -> dict[str, Any]:
    if message.prose:
        return {"type": "TextBlock", "wrap": True, "text": cut_bytes(message.prose, PROSE_BYTES)}
    facts = [{"title": line.label, "value": _literal(line.value)} for line in message.lines]
    return {"type": "FactSet", "facts": facts}


def _literal(text: str) -> str:
    """A text block understands a little Markdown, in which a name is not to be read."""
    return "".join(f"\\{sign}" if sign in "\\*_[]" else sign for sign in text)


def send(message: Message, config: TeamsConfig, door: Door) -> None:
    answer = door.send_json(config.url.get_secret_value(), payload(message))
    if not answer.is_success:
        error = answered_object(answer).get("error")
        said = error.get("message", "") if isinstance(error, dict) else ""
        raise refusal(answer, said=str(said), is_dead=is_own_answer(answer, *_DEAD))


CHANNEL = ChannelType(
    name="teams", label="Microsoft Teams", config=TeamsConfig, send=send, rate=Rate(120, 4)
)
