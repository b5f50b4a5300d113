"""HTTP/3 as a server offers it (Alt-Svc, RFC 7838), taken up at the next check.

What is known of an offer goes from check to check as the fingerprint of the observation, so it
outlives each of our processes. An offer that led nowhere rests for a while, as in browsers. One
that leads somewhere is taken up for a while: who comes for the first time comes over TCP, so that
has to answer, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

TAKEN_FOR = timedelta(minutes=10)
"""From then on TCP is asked, until an answer that comes over it makes the offer again."""
FIRST_REST = timedelta(minutes=5)
LONGEST_REST = timedelta(hours=8)
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}  # asked again over TCP where no answer comes

_NO_OFFER = "h3:none"
_KNOWN = re.compile(
    r"h3:(\d{1,5})(?: good:(\d{1,11}))?"
    r"(?: failed:(\d{1,3}) until:(\d{1,11}) reason:([a-z_]{1,30}))?"
)
_ALTERNATIVE = re.compile(r'(?:^|,)[ \t]*h3="([^"\s:]*):(\d{1,5})"([^,]*)')
_AT_ONCE_STALE = re.compile(r";[ \t]*ma=\"?0+\"?[ \t]*(?:;|$)")
_MOST_READ = 2000  # characters of a header


@dataclass(frozen=True, slots=True)
class Offer:
    """HTTP/3 at a UDP port of the host, taken up until `good_until` (Unix seconds). So many
    `failures` in a row, the last one's `reason`, have it rest until `rests_until`."""

    port: int
    good_until: int = 0
    failures: int = 0
    rests_until: int = 0
    reason: str = ""

    def is_open(self, now: datetime) -> bool:
        if self.failures:
            return now.timestamp() >= self.rests_until
        return now.timestamp() < self.good_until

    def made(self, now: datetime) -> Offer:
        """The same, as an answer over TCP made it now, or one over HTTP/3 proved it."""
        return Offer(self.port, int((now + TAKEN_FOR).timestamp()))

    def failed(self, reason: str, now: datetime) -> Offer:
        failures = min(self.failures + 1, 20)
        rest = min(FIRST_REST * 2 ** (failures - 1), LONGEST_REST)
        return Offer(self.port, 0, failures, int((now + rest).timestamp()), reason)

    def __str__(self) -> str:
        if not self.failures:
            return f"h3:{self.port} good:{self.good_until}"
        return (
            f"h3:{self.port} failed:{self.failures} until:{self.rests_until} reason:{self.reason}"
        )

    @property
    def told(self) -> str:
        if not self.failures:
            return f"offered at UDP port {self.port}"
        until = datetime.fromtimestamp(self.rests_until, UTC)
        return (
            f"offered at UDP port {self.port}, where it failed ({self.reason}): not asked for again"
            f" before {until:%Y-%m-%d %H:%M} UTC"
        )


def recall(fingerprint: str) -> Offer | None:
    """The offer that an earlier check left."""
    found = _KNOWN.fullmatch(fingerprint)
    if not found:
        return None
    port, good_until, failures, until, reason = found.groups()
    return Offer(int(port), int(good_until or 0), int(failures or 0), int(until or 0), reason or "")


def fingerprint_of(before: Offer | None, after: Offer | None) -> str:
    """What the next check is to know; empty where that is what this one knew."""
    if after == before:
        return ""
    return str(after) if after else _NO_OFFER


def read_offer(lines: Iterable[bytes], host: str) -> Offer | None:
    """What the lines of an answer's headers offer at the host itself, the first choice."""
    values = [line[8:] for line in lines if line[:8].lower() == b"alt-svc:"]
    if not values:
        return None
    text = b",".join(value.strip() for value in values)[:_MOST_READ].decode("latin-1")
    for alternative in _ALTERNATIVE.finditer(text):
        at, digits, parameters = alternative.groups()
        is_here = at.lower() in ("", host)
        if is_here and 0 < int(digits) < 65_536 and not _AT_ONCE_STALE.search(parameters):
            return Offer(int(digits))
    return None
