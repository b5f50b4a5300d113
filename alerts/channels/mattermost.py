"""Mattermost: an incoming webhook of one's own server, with a message attachment.

https://developers.mattermost.com/integrate/webhooks/incoming/ (the request),
https://developers.mattermost.com/integrate/reference/message-attachments/ (the attachment; texts
are Markdown). All attachments together may have 7,900 characters on an old server.

Errors are the server's JSON `{"id", "message", "status_code"}`. 401, 403, 404 and 410 stay so, and
400 where it says that the webhook or its channel is gone.

https://docs.mattermost.com/administration-guide/manage/configure-health-check-probes has the call
that tells how the server is; none tells of an incoming webhook without a message.

`PerSec` and `MaxBurst` of a
server that limits have these defaults
(https://docs.mattermost.com/configure/rate-limiting-configuration-settings.html).
"""

from typing import Any

from pydantic import Field

from alerts.addresses import URL_LIMIT, SecretAddress
from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Answer, Door
from alerts.errors import DeliveryError
from alerts.messages import Message
from alerts.pacing import Rate
from alerts.refusals import answered_word, is_own_answer, refusal
from alerts.wording import cut, event_color

PROSE_LIMIT = 5000
VALUE_LIMIT = 900
_DEAD = (401, 403, 404, 410)
_DEAD_IDS = (
    "web.incoming_webhook.channel.app_error",
    "web.incoming_webhook.disabled.app_error",
    "web.incoming_webhook.invalid.app_error",
    "web.incoming_webhook.user.app_error",
)


class MattermostConfig(WordedConfig):
    url: SecretAddress = Field(
        title="Webhook address",
        description="As the server gave it: https://chat.example.com/hooks/…",
        max_length=URL_LIMIT,
    )
    channel: str = Field(
        default="",
        title="Channel",
        description="Another one than the webhook's own: its name in addresses, or @somebody.",
        pattern=r"^(@?[\w.-]{1,64})?$",
    )


def payload(message: Message, config: MattermostConfig) -> dict[str, Any]:
    attachment: dict[str, Any] = {
        "fallback": _unmentioned(message.subject),
        "color": event_color(message.facts.tone),
        "title": _unmentioned(message.subject),
        "title_link": message.link,
    }
    links = " · ".join(f"[{link.label}]({link.url})" for link in message.links)
    if message.prose:
        attachment["text"] = f"{cut(message.prose, PROSE_LIMIT)}\n\n{links}"
    else:
        attachment["text"] = links
        attachment["fields"] = [
            {"title": line.label, "value": cut(_literal(line.value), VALUE_LIMIT), "short": False}
            for line in message.lines
        ]
    return {"attachments": [attachment], **({"channel": config.channel} if config.channel else {})}


def _literal(text: str) -> str:
    """Markdown reads nothing into it, and nobody is mentioned by the name of a monitor."""
    escaped = "".join(f"\\{sign}" if sign in "\\*_[]`~#<>|" else sign for sign in text)
    return _unmentioned(escaped)


def _unmentioned(text: str) -> str:
    return text.replace("@", "@\u200b")


def send(message: Message, config: MattermostConfig, door: Door) -> None:
    answer = door.send_json(config.url.get_secret_value(), payload(message, config))
    if not answer.is_success:
        raise _refusal(answer)


def _refusal(answer: Answer) -> DeliveryError:
    return refusal(
        answer,
        said=answered_word(answer, "message"),
        is_dead=is_own_answer(answer, *_DEAD) or answered_word(answer, "id") in _DEAD_IDS,
        is_permanent=answer.status in (400, 413),
    )


def probe(config: MattermostConfig, door: Door) -> bool:
    server, is_hook, _ = config.url.get_secret_value().rpartition("/hooks/")
    if not is_hook:
        return False
    answer = door.get(f"{server}/api/v4/system/ping")
    if not answer.is_success:
        raise refusal(answer, said=answered_word(answer, "message"))
    if (status := answered_word(answer, "status")) != "OK":
        raise DeliveryError(f"the server's status is {status or 'unknown'}")
    return True


CHANNEL = ChannelType(
    name="mattermost",
    label="Mattermost",
    config=MattermostConfig,
    send=send,
    rate=Rate(600, 100),
    probe=probe,
    proves="The server is well; the webhook is not tried.",
)
