"""What is kept of an exchange that failed, for the engineer who looks into it.

Small and harmless: the answer's head and the beginning of its body, without what may open a door.
Values of headers that are named like a secret are masked, and so is what was sent in such headers
wherever the server repeats it. Nothing here is done for a check that passed, unless it was asked
for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from probe.certificates import facts_of
from probe.kinds.http.exchange import KEPT, charset_of
from probe.kinds.http.settings import is_secret_header

if TYPE_CHECKING:
    from probe.kinds.http.chain import Chain
    from probe.kinds.http.exchange import Answer, Received

LINES_KEPT = 60
LINE_KEPT = 300
SHORTEST_SECRET = 4  # what is shorter is no secret, and masking it would tear the text
MASK = "********"


def exhibits_of(
    chain: Chain, answer: Answer | None, *, sent: Iterable[bytes], method: str
) -> dict[str, Any]:
    """The exchange as values that JSON can hold; `sent` are the header lines of the request."""
    found: dict[str, Any] = {
        "method": method,
        "url": chain.trail[-1] if chain.trail else "",
        "addresses": chain.addresses,
    }
    if answer is not None:
        found["http_version"] = answer.http_version
    if answer is not None and answer.certificate:
        found["certificate"] = facts_of(answer.certificate)
    if chain.received is not None and chain.received.header_lines:
        found["response"] = _response(chain.received, hidden=_secrets_in(sent))
    return found


def _response(received: Received, *, hidden: Collection[str]) -> dict[str, Any]:
    kept = b"".join(received.beginning)[:KEPT]
    return {
        "head": _hide("\n".join(_head(received.header_lines)), hidden),
        "body": _hide(_text(kept, received.headers.get("content-type", "")), hidden),
        "body_bytes": received.size,
        "is_cut": received.size > len(kept),
    }


def _head(lines: list[bytes]) -> list[str]:
    """The last answer's status line and headers, one a line, secrets masked."""
    shown: list[str] = []
    for raw in lines:
        line = raw.decode("latin-1").strip()
        if raw.startswith(b"HTTP/"):
            shown.clear()  # what came before was an interim answer
        name, colon, _ = line.partition(":")
        if not line or len(shown) >= LINES_KEPT:
            continue
        is_secret = bool(colon) and is_secret_header(name)
        shown.append(f"{name}: {MASK}" if is_secret else line[:LINE_KEPT])
    return shown


def _text(body: bytes, content_type: str) -> str:
    try:
        return body.decode(charset_of(content_type) or "utf-8", "replace")
    except LookupError:  # a charset of the server's own
        return body.decode("latin-1")


def _secrets_in(lines: Iterable[bytes]) -> set[str]:
    """The values of headers that are secret, whole and without the scheme before them."""
    found: set[str] = set()
    for raw in lines:
        name, _, value = raw.decode("latin-1").partition(":")
        if is_secret_header(name):
            found |= {value.strip(), value.strip().rpartition(" ")[2]}
    return {secret for secret in found if len(secret) >= SHORTEST_SECRET}


def _hide(text: str, hidden: Collection[str]) -> str:
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
