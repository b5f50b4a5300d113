"""Google Chat: a space's incoming webhook, with a card.

https://developers.google.com/workspace/chat/quickstart/webhooks (the request, and `thread` with
`messageReplyOption`), https://developers.google.com/workspace/chat/api/reference/rest/v1/cards (the
card; a message has 32,000 bytes at most). The messages of one incident lie in one thread.

Errors are Google's `{"error": {"code", "message", "status"}}`. 401, 403 and 404 (the webhook or the
space is gone, the key is wrong) stay so; INVALID_ARGUMENT condemns this message alone.

One a second for a space
(https://developers.google.com/workspace/chat/limits).
"""

from html import escape
from typing import Any

import httpx
from pydantic import Field

from alerts.addresses import URL_LIMIT, SecretAddress
from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Answer, Door
from alerts.errors import DeliveryError
from alerts.messages import Message
from alerts.pacing import Rate
from alerts.refusals import answered_object, is_own_answer, refusal
from alerts.wording import cut, cut_bytes, event_sign

PROSE_BYTES = 4000  # of which HTML makes five times as many at worst
_DEAD = (401, 403, 404, 410)


class GoogleChatConfig(WordedConfig):
    url: SecretAddress = Field(
        title="Webhook address",
        description="As Google gave it: https://chat.googleapis.com/v1/spaces/…",
        max_length=URL_LIMIT,
    )


def payload(message: Message) -> dict[str, Any]:
    buttons = [
        {"text": link.label, "onClick": {"openLink": {"url": link.url}}} for link in message.links
    ]
    title = f"{event_sign(message.facts.tone)} {message.subject}"
    return {
        "fallbackText": message.subject,
        "thread": {"threadKey": str(message.story_id)},
        "cardsV2": [
            {
                "cardId": str(message.event_id),
                "card": {
                    "header": {"title": cut(title, 200)},
                    "sections": [
                        {"widgets": [*_widgets(message), {"buttonList": {"buttons": buttons}}]}
                    ],
                },
            }
        ],
    }


def _widgets(message: Message) -> list[dict[str, Any]]:
    if message.prose:
        text = escape(cut_bytes(message.prose, PROSE_BYTES), quote=False).replace("\n", "<br>")
        return [{"textParagraph": {"text": text}}]
    return [
        {
            "decoratedText": {
                "topLabel": line.label,
                "text": escape(line.value, quote=False),
                "wrapText": True,
            }
        }
        for line in message.lines
    ]


def send(message: Message, config: GoogleChatConfig, door: Door) -> None:
    address = httpx.URL(config.url.get_secret_value()).copy_merge_params(
        {"messageReplyOption": "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"}
    )
    answer = door.send_json(str(address), payload(message))
    if not answer.is_success:
        raise _refusal(answer)


def _refusal(answer: Answer) -> DeliveryError:
    error = answered_object(answer).get("error")
    said = error.get("message", "") if isinstance(error, dict) else ""
    return refusal(
        answer,
        said=str(said),
        is_dead=is_own_answer(answer, *_DEAD),
        is_permanent=answer.status == 400,
    )


CHANNEL = ChannelType(
    name="google_chat", label="Google Chat", config=GoogleChatConfig, send=send, rate=Rate(60, 1)
)
