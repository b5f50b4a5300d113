"""Links in messages that do one thing to one incident, for whoever holds them, without a login.

A link is signed, good for one purpose and for `GOOD_FOR`. Opening it shows what it is about and
asks; only the answer does it, so that nothing happens when a mail scanner follows it.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, SignatureExpired, TimestampSigner
from django.urls import reverse

from uptime.secrets import MASK

GOOD_FOR = timedelta(days=7)


class Purpose(StrEnum):
    """In the order in which messages offer them."""

    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    COMMENT = "comment"
    ASSIGN = "assign"


class LinkRefused(Exception):
    """It was not made by this installation, or is too old; the message says which."""


@dataclass(frozen=True, slots=True)
class ActionLink:
    purpose: Purpose
    incident_id: UUID

    @property
    def url(self) -> str:
        """Signed as of now."""
        token = _signer().sign(f"{self.purpose}.{self.incident_id.hex}")
        return f"{settings.BASE_URL}{reverse('incident-link', args=[token])}"

    @classmethod
    def read(cls, token: str) -> "ActionLink":
        """What a link's token stands for. Raises LinkRefused."""
        try:
            purpose, _, incident_id = _signer().unsign(token, max_age=GOOD_FOR).partition(".")
            return cls(Purpose(purpose), UUID(incident_id))
        except SignatureExpired:
            raise LinkRefused(f"This link was good for {GOOD_FOR.days} days.") from None
        except (BadSignature, ValueError):
            raise LinkRefused("This link is not complete, or not one of ours.") from None


def without_keys(text: str) -> str:
    """The text, with whatever links of these are in it good for nothing."""
    return _TOKEN.sub(rf"\1.\2.{MASK}", text)


_TOKEN = re.compile(rf"({'|'.join(Purpose)})\.([0-9a-f]{{32}})\.[\w-]+\.[\w-]+")


def _signer() -> TimestampSigner:
    return TimestampSigner(sep=".", salt="incidents.links")
