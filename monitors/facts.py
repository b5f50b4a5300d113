"""The details of a check as a page shows them: what they are called, in what order.

Kinds put what they saw into `Observation.details`; what is named here is shown, the rest is not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: a text or several, or a point in time."""

    label: str
    texts: Sequence[str] = ()
    moment: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What belongs together, under a title."""

    title: str
    lines: Sequence[Fact]


def facts_in(details: Mapping[str, Any]) -> list[Facts]:
    """What there is to show, in sections; those that have nothing are left out."""
    sections = [
        Facts("Certificate", _lines(details.get("certificate") or {}, _CERTIFICATE)),
        Facts("Connection", _lines(details, _CONNECTION)),
        Facts("DNS answer", _lines(details, _DNS)),
        Facts("Registration", _lines(details, _REGISTRATION)),
        Facts("Packets", _lines(details, _PACKETS)),
        Facts("Route", _route(details.get("hops"))),
    ]
    return [section for section in sections if section.lines]


Line = Callable[[Mapping[str, Any]], Fact | None]


def _lines(details: Mapping[str, Any], lines: Sequence[Line]) -> list[Fact]:
    return [fact for line in lines if (fact := line(details)) is not None]


def _text(label: str, name: str, unit: str = "") -> Line:
    """A value, or a list of them."""

    def line(details: Mapping[str, Any]) -> Fact | None:
        value = details.get(name)
        values = value if isinstance(value, list | tuple) else [value]
        texts = [f"{one}{unit}" for one in values if one not in (None, "")]
        return Fact(label, texts) if texts else None

    return line


def _moment(label: str, name: str) -> Line:
    def line(details: Mapping[str, Any]) -> Fact | None:
        try:
            return Fact(label, moment=datetime.fromisoformat(str(details.get(name))))
        except ValueError:
            return None

    return line


def _key(details: Mapping[str, Any]) -> Fact | None:
    if not details.get("key_type"):
        return None
    signed = f", signed with {details['signature_hash']}" if details.get("signature_hash") else ""
    return Fact("Key", [f"{details['key_type']}, {details.get('key_bits')} bits{signed}"])


def _chain(details: Mapping[str, Any]) -> Fact | None:
    chain = details.get("chain")
    if not isinstance(chain, list | tuple) or len(chain) < 2:
        return None
    return Fact("Chain", [f"{one.get('subject')} from {one.get('issuer')}" for one in chain])


_CERTIFICATE: tuple[Line, ...] = (
    _text("Subject", "subject"),
    _text("Names", "alternative_names"),
    _text("Issuer", "issuer"),
    _moment("Valid from", "not_before"),
    _moment("Valid until", "not_after"),
    _key,
    _text("Serial number", "serial_number"),
    _text("Fingerprint (SHA-256)", "fingerprint"),
)
_CONNECTION: tuple[Line, ...] = (
    _text("Addresses", "addresses"),
    _text("Address", "address"),
    _text("Redirects", "redirects"),
    _text("HTTP version", "http_version"),
    _text("HTTP/3", "http3"),
    _text("TLS version", "tls_version"),
    _text("Cipher", "cipher"),
    _text("Protocol (ALPN)", "alpn"),
    _chain,
)
_DNS: tuple[Line, ...] = (
    _text("Response code", "rcode"),
    _text("Aliases", "aliases"),
    _text("Records", "answers"),
    _text("Time to live", "ttl", " s"),
)
_REGISTRATION: tuple[Line, ...] = (
    _text("Registrar", "registrar"),
    _text("Status", "statuses"),
    _moment("Registered until", "expires_at"),
)
_PACKETS: tuple[Line, ...] = (
    _text("Sent", "sent"),
    _text("Lost", "lost"),
    _text("Fastest", "min_ms", " ms"),
    _text("Slowest", "max_ms", " ms"),
    _text("Jitter", "jitter_ms", " ms"),
)


def _route(hops: Any) -> list[Fact]:
    if not isinstance(hops, list | tuple):
        return []
    return [Fact(f"Hop {hop.get('hop')}", [_hop(hop)]) for hop in hops]


def _hop(hop: Mapping[str, Any]) -> str:
    named = ", ".join(map(str, hop.get("addresses") or [])) or "no answer"
    average_ms = hop.get("average_ms")
    return f"{named} · {average_ms:.1f} ms" if isinstance(average_ms, int | float) else named
