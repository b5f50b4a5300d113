"""OAuth2: the token that a check shows, fetched when there is none that is good any more."""

from __future__ import annotations

import json
import time
from typing import Any

from probe.kinds.http.chain import Chain
from probe.kinds.http.plan import HttpPlan, Token
from probe.net import Deadline, Net, Trouble
from probe.values import Reason

DEFAULT_LIFE_S = 60.0
"""How long a token is used whose answer doesn't say for how long it is good."""
_MARGIN = 0.1  # of a token's life, in which it is renewed ahead of its end
_MAX_TOKEN_CHARS = 16_384


async def take_token(
    plan: HttpPlan, token_plan: HttpPlan, net: Net, deadline: Deadline, *, allow_private: bool
) -> str:
    """The token at hand while it is good, else a new one. Raises Trouble."""
    if not plan.token.text or time.monotonic() >= plan.token.ends_at:
        forget_token(plan)
        fresh = await _fetch(token_plan, net, deadline, allow_private=allow_private)
        plan.token.text, plan.token.ends_at = fresh.text, fresh.ends_at
    return plan.token.text


def forget_token(plan: HttpPlan) -> None:
    plan.token.text = ""


async def _fetch(
    token_plan: HttpPlan, net: Net, deadline: Deadline, *, allow_private: bool
) -> Token:
    settings = token_plan.settings
    ip_version = "auto" if settings.ip_version == "both" else settings.ip_version
    chain = Chain(
        token_plan,
        net,
        deadline,
        allow_private=allow_private,
        ip_version=ip_version,
        method=settings.method,
    )
    try:
        answer = await chain.answer()
    except Trouble as trouble:
        raise Trouble(
            trouble.reason, f"No OAuth2 token from {token_plan.url}: {trouble.message}"
        ) from None
    document = _parsed(bytes(answer.received.body or b""))
    text = document.get("access_token")
    if answer.status != 200 or not isinstance(text, str) or not _is_sendable(text):
        raise Trouble(Reason.HTTP_STATUS, _refusal(token_plan.url, answer.status, document))
    return Token(text, time.monotonic() + _life_s(document.get("expires_in")) * (1 - _MARGIN))


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _is_sendable(token: str) -> bool:
    return (
        bool(token) and len(token) <= _MAX_TOKEN_CHARS and token.isascii() and token.isprintable()
    )


def _life_s(expires_in: Any) -> float:
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_LIFE_S
    return min(max(seconds, 0.0), 86_400.0) if seconds == seconds else DEFAULT_LIFE_S


def _refusal(url: str, status: int, document: dict[str, Any]) -> str:
    """The error that the server names (RFC 6749 section 5.2); never a token."""
    named = [document.get(name) for name in ("error", "error_description")]
    said = ": ".join(text[:100] for text in named if isinstance(text, str) and text)
    what = f"status {status}" if status != 200 else "status 200 without an access_token"
    return f"No OAuth2 token from {url}: {what}" + (f" ({said})." if said else ".")
