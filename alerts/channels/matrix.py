"""Matrix: a message into a room.

https://spec.matrix.org/latest/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid
(the request; the transaction's id is the delivery's, so the server itself drops a repetition),
https://spec.matrix.org/latest/client-server-api/#mroommessage-msgtypes (text and its HTML form),
https://spec.matrix.org/latest/client-server-api/#standard-error-response (`errcode`).

An unknown token, a room that the user is not in and a user who was deactivated stay so;
M_TOO_LARGE and M_BAD_JSON condemn this message alone; M_LIMIT_EXCEEDED names the time to wait.

https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3accountwhoami names the token's
user, and …/#get_matrixclientv3roomsroomidstateeventtypestatekey whether they are in the room.

Synapse takes one in five seconds and ten
at once (`rc_message`).
"""

from datetime import timedelta
from html import escape
from typing import Any
from urllib.parse import quote

from pydantic import Field

from alerts.addresses import URL_LIMIT, Server, Token
from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Answer, Door
from alerts.errors import DeadChannelError, DeliveryError
from alerts.messages import Message
from alerts.pacing import Rate
from alerts.refusals import answered_object, answered_word, refusal
from alerts.wording import cut_bytes, event_color

BODY_BYTES = 8000  # an event has 65,536, and HTML makes five times as many at worst
_DEAD_CODES = (
    "M_FORBIDDEN",
    "M_MISSING_TOKEN",
    "M_NOT_FOUND",
    "M_UNKNOWN_TOKEN",
    "M_USER_DEACTIVATED",
)
_PERMANENT_CODES = ("M_BAD_JSON", "M_NOT_JSON", "M_TOO_LARGE", "M_INVALID_PARAM")


class MatrixConfig(WordedConfig):
    server: Server = Field(
        title="Home server",
        description="Where its API is reached: https://matrix.example.com",
        max_length=URL_LIMIT,
    )
    room: str = Field(
        title="Room",
        description="The internal id, not an alias: !abc:example.com. The user must have joined.",
        pattern=r"^![^\s/?#]{1,254}$",
    )
    access_token: Token = Field(
        title="Access token", description="Of the user who sends.", max_length=2000
    )


def payload(message: Message) -> dict[str, Any]:
    links = "\n".join(f"{link.label}: {link.url}" for link in message.links)
    return {
        "msgtype": "m.text",
        "body": f"{message.subject}\n\n{cut_bytes(message.body, BODY_BYTES)}\n\n{links}",
        "format": "org.matrix.custom.html",
        "formatted_body": _html(message),
        "m.mentions": {},
    }


def _html(message: Message) -> str:
    color = event_color(message.facts.tone)
    links = " · ".join(
        f'<a href="{escape(link.url)}">{escape(link.label)}</a>' for link in message.links
    )
    body = escape(cut_bytes(message.body, BODY_BYTES)).replace("\n", "<br>")
    title = f'<strong><font data-mx-color="{color}">{escape(message.subject)}</font></strong>'
    return f"<p>{title}</p><p>{body}</p><p>{links}</p>"


def send(message: Message, config: MatrixConfig, door: Door) -> None:
    room = quote(config.room, safe="")
    answer = door.send_json(
        f"{config.server}/_matrix/client/v3/rooms/{room}/send/m.room.message/{message.event_id}",
        payload(message),
        headers=_credentials(config),
        method="PUT",
    )
    if not answer.is_success:
        raise _refusal(answer)


def probe(config: MatrixConfig, door: Door) -> bool:
    me = answered_word(_get(config, door, "account/whoami"), "user_id")
    if not me:
        raise DeliveryError("the server does not say whose token it is")
    room = quote(config.room, safe="")
    answer = _get(config, door, f"rooms/{room}/state/m.room.member/{quote(me, safe='')}")
    if (membership := answered_word(answer, "membership")) != "join":
        raise DeadChannelError(f"{me} is not in the room ({membership or 'unknown'})")
    return True


def _get(config: MatrixConfig, door: Door, path: str) -> Answer:
    answer = door.get(f"{config.server}/_matrix/client/v3/{path}", headers=_credentials(config))
    if not answer.is_success:
        raise _refusal(answer)
    return answer


def _credentials(config: MatrixConfig) -> dict[str, str]:
    return {"Authorization": f"Bearer {config.access_token.get_secret_value()}"}


def _refusal(answer: Answer) -> DeliveryError:
    code = answered_word(answer, "errcode")
    wait = answered_object(answer).get("retry_after_ms")
    return refusal(
        answer,
        said=" ".join(part for part in (code, answered_word(answer, "error")) if part),
        is_dead=code in _DEAD_CODES,
        is_permanent=code in _PERMANENT_CODES,
        retry_after=timedelta(milliseconds=wait) if isinstance(wait, int) else None,
    )


CHANNEL = ChannelType(
    name="matrix",
    label="Matrix",
    config=MatrixConfig,
    send=send,
    rate=Rate(12, 10),
    probe=probe,
    proves="The token is valid, and its user is in the room.",
)
