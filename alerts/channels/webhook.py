"""Webhook: a signed JSON document, POSTed to any address.

The body is `alerts.messages.Facts` with its `event_id`. `X-Uptime-Signature` is
`t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">` under the channel's secret; a receiver compares
it in constant time and refuses an old `t`. `X-Uptime-Event-Id` is the same over all attempts, so a
receiver can tell a repetition.

Any 2xx is taken as received. 410 Gone is a receiver's way to say "never again"; every other answer
is tried again, 404 and 401 included: a receiver that is being deployed gives those for a minute,
and an alert must outlive that minute.
"""

import hashlib
import hmac
import json
import re
import secrets
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
from pydantic import AfterValidator, Field, SecretStr

from alerts.channels.base import ChannelConfig, ChannelType
from alerts.door import Answer, Door
from alerts.errors import DeliveryError
from alerts.messages import Message

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OUR_HEADERS = {"host", "content-length", "content-type", "transfer-encoding", "connection"}


def _clean_url(url: str) -> str:
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise ValueError("This is not an address.") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("Give a full address that begins with https:// or http://.")
    if parsed.userinfo:
        raise ValueError("Give credentials in a header, not in the address.")
    return str(parsed)


def _clean_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"“{name}” can't be a header's name.")
        if name.lower() in _OUR_HEADERS or name.lower().startswith("x-uptime-"):
            raise ValueError(f"The header {name} is set by the product itself.")
        text = value.get_secret_value()
        if not (text.isascii() and (text.isprintable() or not text)):
            raise ValueError(f"The header {name} may hold printable ASCII characters only.")
    return headers


def _new_secret() -> SecretStr:
    return SecretStr(secrets.token_urlsafe(32))


class WebhookConfig(ChannelConfig):
    url: Annotated[str, AfterValidator(_clean_url)] = Field(
        title="Address", description="Where the document is POSTed.", max_length=2000
    )
    secret: SecretStr = Field(
        default_factory=_new_secret,
        title="Signing secret",
        description="Signs each request. Made for you if you give none, and shown once.",
        min_length=8,
        max_length=500,
    )
    headers: Annotated[dict[str, SecretStr], AfterValidator(_clean_headers)] = Field(
        default={},
        title="Headers",
        description="Sent with each request, an Authorization for instance; values are secret.",
        max_length=20,
    )


def signature(secret: str, body: bytes, at: int) -> str:
    """The value of `X-Uptime-Signature` for `body`, signed at the Unix time `at`."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={digest.hexdigest()}"


def document(message: Message) -> dict[str, Any]:
    return {"event_id": str(message.event_id), **message.facts.as_json()}


def send(message: Message, config: WebhookConfig, door: Door) -> None:
    body = json.dumps(document(message), ensure_ascii=False).encode()
    answer = door.post(
        config.url,
        body=body,
        headers={
            **{name: value.get_secret_value() for name, value in config.headers.items()},
            "Content-Type": "application/json",
            "X-Uptime-Event-Id": str(message.event_id),
            "X-Uptime-Signature": signature(
                config.secret.get_secret_value(), body, int(time.time())
            ),
        },
    )
    if not answer.is_success:
        raise _refusal(answer)


def _refusal(answer: Answer) -> DeliveryError:
    text = f"the receiver answered {answer.status}"
    if 300 <= answer.status < 400:
        text += "; redirects are not followed, give the final address"
    retry_after = answer.retry_after(datetime.now(UTC)) if answer.status in (429, 503) else None
    return DeliveryError(text, is_permanent=answer.status == 410, retry_after=retry_after)


CHANNEL = ChannelType(name="webhook", label="Webhook", config=WebhookConfig, send=send)
