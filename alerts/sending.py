"""One attempt to send one delivery: no database, no transaction, no exception."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, quote_plus

import structlog
from pydantic import ValidationError

from alerts.channels import CHANNELS
from alerts.channels.base import ChannelConfig, ChannelType
from alerts.door import Door, load_authorities
from alerts.errors import DeadChannelError, DeliveryError
from alerts.messages import TEST, Facts, compose_message, sample_message
from alerts.outbox import SENT, Leased, Outcome
from alerts.recording import MAX_ATTEMPTS
from alerts.templating import reworded
from incidents.links import without_keys
from uptime.secrets import MASK, SecretsUnreadable, decrypt, unseal

log = structlog.get_logger(__name__)

ERROR_LIMIT = 500
SHORTEST_SECRET = 8


def load_messages() -> None:
    """Load what the first message would else wait for: the pages its links lead to, templates, TLS.

    That takes a second or two of CPU. Before a process forks, it is done once for all of its own.
    """
    message = sample_message()
    message.text, message.html  # noqa: B018 - they are rendered when they are asked for
    load_authorities()


def attempt_delivery(leased: Leased) -> Outcome:
    """Send it and say how that went, and what was said."""
    began_at, began = datetime.now(UTC), time.monotonic()
    door = Door(reaches_private=leased.reaches_private)
    outcome = _attempt(leased, door)
    return replace(
        outcome,
        exchanges=_told(door, leased),
        began_at=began_at,
        took=timedelta(seconds=time.monotonic() - began),
    )


def _told(door: Door, leased: Leased) -> list[dict[str, Any]]:
    if not door.exchanges:  # nor, perhaps, can its secrets be read
        return []
    return [
        one.as_json(lambda text: without_secrets(text, leased.secrets).replace("\0", ""))
        for one in door.exchanges
    ]


def _attempt(leased: Leased, door: Door) -> Outcome:
    try:
        _send(leased, door)
    except DeliveryError as error:
        text = without_secrets(str(error), leased.secrets)
        return Outcome(
            storable(text),
            is_permanent=error.is_permanent,
            is_channel_dead=isinstance(error, DeadChannelError),
            retry_after=error.retry_after,
            settled={name: storable(why) for name, why in error.settled.items()},
        )
    except SecretsUnreadable as error:
        return Outcome(str(error))
    except Exception as error:  # a sender's thread ends here; a fault of ours is retried, visibly
        log.exception("alerts.delivery.broke", delivery=str(leased.id), type=leased.channel_type)
        return Outcome(f"internal error ({type(error).__name__})")
    return SENT


def storable(text: str) -> str:
    """A receiver's own words may be of any length and hold what PostgreSQL can't store."""
    return text.replace("\0", "")[:ERROR_LIMIT]


def without_secrets(text: str, encrypted: str) -> str:
    """`text` without the channel's secrets, and without links that do something for whoever has
    them: a receiver may repeat in its answer what it was sent, and the log is read by more people.

    Of an address that is a secret, each long part is one, too, but for the host of a web address.
    """
    text = without_keys(text)
    for secret in decrypt(encrypted).values():
        for one in (secret, *_parts_of_address(secret)):
            if len(one) >= SHORTEST_SECRET:
                for written in _as_written(one):
                    text = text.replace(written, MASK)
    return text


def _as_written(secret: str) -> set[str]:
    """As it stands in plain text, in an address, a form and a JSON document."""
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }


def _parts_of_address(secret: str) -> list[str]:
    scheme, colon, rest = secret.partition("://")
    if not colon:
        return []
    if scheme in ("http", "https"):
        rest = rest.partition("/")[2]
    return re.split(r"[/?&=:@]", rest)


def _send(leased: Leased, door: Door) -> None:
    if leased.attempt > MAX_ATTEMPTS:
        # Its sender died each time before it could record anything: it may be what kills them.
        raise DeliveryError("given up: no attempt came to an end", is_permanent=True)
    if not leased.channel_enabled and leased.event != TEST:
        raise DeliveryError("the channel is disabled", is_permanent=True)
    channel, config = open_channel(leased.channel_type, leased.config, leased.secrets)
    message = compose_message(leased.id, Facts.model_validate(leased.facts))
    message = replace(reworded(message, config), settled=leased.settled)
    channel.send(message, config, door)


def open_channel(
    type_name: str, public: Mapping[str, Any], encrypted: str
) -> tuple[ChannelType[Any], ChannelConfig]:
    """A channel's type and its settings with their secrets. Raises DeliveryError, for good."""
    channel = CHANNELS.get(type_name)
    if channel is None:
        raise DeliveryError(f"there is no channel of type {type_name}", is_permanent=True)
    try:
        return channel, channel.config.model_validate(unseal(dict(public), encrypted))
    except ValidationError as error:
        # Not the error's own text: it repeats the values, secrets among them.
        raise DeliveryError(
            "the channel's settings are no longer valid: save them again", is_permanent=True
        ) from error
