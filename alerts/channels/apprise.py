"""Every other service, through Apprise (https://github.com/caronc/apprise/wiki).

Apprise speaks to some 200 services by addresses of its own (`zulip://…`, `signal://…`). It brings
its own HTTP and takes its own time, so each message is sent by a process of its own
(`alerts.apprise_runner`), which is ended when its time is over and knows neither the installation's
secrets nor its database.

What holds of the door's guard: that process connects to no forbidden network, whichever library
asks for it and wherever a redirect leads; it runs no other program and reads no file but Python's.
What does not: names are resolved by the system, and the answer's headers are Apprise's to judge, so
a `Retry-After` is not seen.
"""

import json
import os
import re
import subprocess
import sys
from threading import BoundedSemaphore
from typing import Any

from django.conf import settings
from pydantic import Field, SecretStr, field_validator

from alerts.addresses import URL_LIMIT
from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Door
from alerts.errors import DeadChannelError, DeliveryError
from alerts.messages import Message
from alerts.refusals import SAID_LIMIT, printable
from alerts.wording import cut, one_line

START_S = 10  # to start Python and load Apprise, on a busy machine
LOCAL_SCHEMES = frozenset(
    ("dbus", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows")
)  # they address the machine itself
AT_ONCE = 4  # each takes some 60 MB while it lasts
_free = BoundedSemaphore(AT_ONCE)
_TYPES = {"down": "failure", "degraded": "warning", "recovered": "success"}
_STATUS = re.compile(r"\berror=(401|410)\b")
_PASSED_ON = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")


class AppriseConfig(WordedConfig):
    url: SecretStr = Field(
        title="Apprise address",
        description="As Apprise's documentation has it for the service: zulip://…, signal://…",
        max_length=URL_LIMIT,
    )

    @field_validator("url")
    @classmethod
    def _is_of_a_service(cls, url: SecretStr) -> SecretStr:
        address = url.get_secret_value().strip()
        scheme = re.match(r"([a-z][a-z0-9+.-]*)://\S", address, re.IGNORECASE)
        if scheme is None or not address.isprintable():
            raise ValueError("Give an address of Apprise: service://…")
        if scheme[1].lower() in LOCAL_SCHEMES:
            raise ValueError(f"{scheme[1]}:// addresses this machine itself and is not served.")
        return SecretStr(address)


def send(message: Message, config: AppriseConfig, door: Door) -> None:
    # no more of them: many of its services take but a few hundred characters
    links = "\n".join(f"{link.label}: {link.url}" for link in message.links[:2])
    order = {
        "url": config.url.get_secret_value(),
        "title": message.subject,
        "body": f"{message.body}\n\n{links}",
        "type": _TYPES.get(message.facts.tone, "info"),
        "reaches_private": door.reaches_private,
    }
    seconds = door.deadline.total_seconds() + START_S
    if not _free.acquire(timeout=seconds):
        raise DeliveryError("Apprise is busy with other messages")
    try:
        report = _run(order, seconds)
    finally:
        _free.release()
    if not report.get("is_sent"):
        raise _refusal(report)


def _run(order: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What the runner reports. Raises DeliveryError when it did not come to report anything."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "alerts.apprise_runner"],
            input=json.dumps(order).encode(),
            capture_output=True,
            timeout=seconds,
            cwd=settings.BASE_DIR,
            env={"HOME": "/nonexistent", "LANG": "C.UTF-8", **_environment()},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeliveryError(f"Apprise did not come to an end within {seconds:g} s") from error
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise DeliveryError(f"Apprise ended without an answer ({done.returncode})") from error
    return report


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _refusal(report: dict[str, Any]) -> DeliveryError:
    said = cut(one_line(printable(report.get("said", ""))), SAID_LIMIT)
    if refused := report.get("refused"):
        return DeliveryError(f"Apprise was kept from it: {refused}", is_permanent=True)
    if not report.get("is_understood"):
        return DeadChannelError(f"Apprise does not understand the address. {said}".strip())
    text = f"Apprise: {said or 'not sent'}"
    return DeadChannelError(text) if _STATUS.search(said) else DeliveryError(text)


CHANNEL = ChannelType(
    name="apprise", label="Another service (Apprise)", config=AppriseConfig, send=send
)
