"""Webhook: a signed request to any address; by default a JSON document, POSTed.

The document is `alerts.messages.Facts` with its `event_id`; a body template says it otherwise, in
the words of `alerts.templating`. `X-Uptime-Signature` is `t=<unix seconds>,v1=<hex HMAC-SHA256 of
"t.body">` under the channel's secret, whatever the body; a receiver compares it in constant time
and refuses an old `t`. `X-Uptime-Event-Id` is the same over all attempts, so a receiver can tell a
repetition.

Any 2xx is taken as received. 410 Gone is a receiver's way to say "never again"; every other answer
is tried again, 404 and 401 included: a receiver that is being deployed gives those for a minute,
and an alert must outlive that minute.

Where the team names an address for it, that is asked now and then by GET, with the same headers.
"""

import hashlib
import hmac
import json
import re
import secrets
import time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from alerts.addresses import URL_LIMIT, Address
from alerts.channels.base import ChannelConfig, ChannelType
from alerts.door import Door
from alerts.messages import Message, sample_message
from alerts.refusals import refusal
from alerts.templating import TEMPLATE_LIMIT, TextTemplate, render_text

JSON_TYPE = "application/json"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OUR_HEADERS = {"host", "content-length", "transfer-encoding", "connection"}


def _clean_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"“{name}” can't be a header's name.")
        if name.lower() == "content-type":
            raise ValueError("Give the content type in its own setting.")
        if name.lower() in _OUR_HEADERS or name.lower().startswith("x-uptime-"):
            raise ValueError(f"The header {name} is set by the product itself.")
        text = value.get_secret_value()
        if not (text.isascii() and (text.isprintable() or not text)):
            raise ValueError(f"The header {name} may hold printable ASCII characters only.")
    return headers


def _new_secret() -> SecretStr:
    return SecretStr(secrets.token_urlsafe(32))


class WebhookConfig(ChannelConfig):
    url: Address = Field(
        title="Address", description="Where the document is sent.", max_length=URL_LIMIT
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
    method: Literal["POST", "PUT", "PATCH", "GET"] = Field(
        default="POST", title="Method", description="A GET has no body."
    )
    content_type: str = Field(
        default=JSON_TYPE,
        title="Content type",
        description="Of the body; for application/json a template must give valid JSON.",
        pattern=r"^[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?[a-z-]+=[A-Za-z0-9.+_-]+)*$",
        max_length=100,
    )
    body_template: TextTemplate = Field(
        default="",
        title="Body",
        description="In place of the product's document; a template, see docs/channels.md.",
        max_length=TEMPLATE_LIMIT,
    )

    probe_url: Address | None = Field(
        default=None,
        title="Address to ask",
        description="Asked about once a day by GET, if given: a 2xx says that the receiver lives.",
        max_length=URL_LIMIT,
    )

    @field_validator("body_template")
    @classmethod
    def _is_of_its_type(cls, template: str, info: ValidationInfo) -> str:
        if template and info.data.get("content_type", "").startswith(JSON_TYPE):
            try:
                json.loads(render_text(template, sample_message()))
            except ValueError as error:
                raise ValueError(
                    f"This does not give JSON ({error}). Write texts as {{{{ subject|json }}}}."
                ) from error
        return template


def signature(secret: str, body: bytes, at: int) -> str:
    """The value of `X-Uptime-Signature` for `body`, signed at the Unix time `at`."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={digest.hexdigest()}"


def document(message: Message) -> dict[str, Any]:
    return {"event_id": str(message.event_id), **message.facts.as_json()}


def body_of(message: Message, config: WebhookConfig) -> bytes:
    if config.method == "GET":
        return b""
    text = render_text(config.body_template, message) if config.body_template else ""
    return (text or json.dumps(document(message), ensure_ascii=False)).encode()


def send(message: Message, config: WebhookConfig, door: Door) -> None:
    body = body_of(message, config)
    secret = config.secret.get_secret_value()
    answer = door.request(
        config.method,
        config.url,
        body=body,
        headers={
            **_own_headers(config),
            **({"Content-Type": config.content_type} if body else {}),
            "X-Uptime-Event-Id": str(message.event_id),
            "X-Uptime-Signature": signature(secret, body, int(time.time())),
        },
    )
    if not answer.is_success:
        raise refusal(answer, is_dead=answer.status == 410)


def _own_headers(config: WebhookConfig) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in config.headers.items()}


def probe(config: WebhookConfig, door: Door) -> bool:
    if config.probe_url is None:
        return False
    answer = door.get(config.probe_url, headers=_own_headers(config))
    if not answer.is_success:
        raise refusal(answer, is_dead=answer.status == 410)
    return True


def preview(message: Message, config: WebhookConfig) -> str:
    return body_of(message, config).decode()


CHANNEL = ChannelType(
    name="webhook",
    label="Webhook",
    config=WebhookConfig,
    send=send,
    preview=preview,
    probe=probe,
    proves="The address that you named for it answers.",
)
