"""websocket: the upgrade from HTTP, optionally a message sent and one expected (RFC 6455)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from probe.assertions import Judge, Source
from probe.kinds.base import Kind
from probe.kinds.http.settings import Headers
from probe.kinds.http.target import parse_url
from probe.kinds.session import (
    NETWORK_SECTION,
    TLS_SECTION,
    Session,
    SessionPlan,
    StreamSettings,
    observe_session,
    shown,
)
from probe.net import Net, Trouble
from probe.values import Job, Observation, Reason, Spec

MAX_HEAD_BYTES = 65_536
MAX_MESSAGE_BYTES = 1_048_576
MAX_FRAMES = 10_000
"""How much is read of the answer to the upgrade, and of the messages until the expected one."""

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)(?: [^\r\n]*)?\r?\n")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_SCHEMES = {"ws": "http", "wss": "https"}


class WebsocketSettings(StreamSettings):
    sources: ClassVar[frozenset[Source]] = StreamSettings.sources - {Source.BANNER} | {
        Source.HEADER,
        Source.BODY,
        Source.JSON,
        Source.SIZE,
    }

    headers: Headers = Field(
        default_factory=dict,
        title="Headers",
        max_length=50,
        description="Sent with the request. Values of headers named like a secret are write-only.",
    )
    subprotocol: str | None = Field(
        default=None,
        max_length=200,
        title="Subprotocol",
        description="Asked for, and the server must agree to it.",
    )
    send: str | None = Field(
        default=None, max_length=10_000, title="Send", description="A message of text."
    )
    expect: str | None = Field(
        default=None,
        max_length=10_000,
        title="Expect",
        description="Text that must appear in a message of the server's.",
    )

    @field_validator("subprotocol")
    @classmethod
    def _check_subprotocol(cls, name: str | None) -> str | None:
        if name and not _TOKEN.fullmatch(name):
            raise ValueError("A subprotocol is one word, as in graphql-ws")
        return name or None


@dataclass(frozen=True, slots=True)
class WebsocketPlan(SessionPlan):
    path: str
    headers: Mapping[str, str]
    subprotocol: str | None
    send: bytes
    expect: bytes


def clean_target(text: str) -> str:
    """A URL of ws:// or wss:// in its normal form. Raises ValueError with a sentence."""
    text = text.strip()
    if text and "://" not in text:
        text = f"wss://{text}"
    scheme, _, rest = text.partition("://")
    if scheme.lower() not in _SCHEMES:
        raise ValueError("A URL starts with ws:// or wss://")
    url, _ = parse_url(f"{_SCHEMES[scheme.lower()]}://{rest}")
    if len(url) > 2000:
        raise ValueError("A URL may have 2,000 characters at most")
    return f"ws{url.removeprefix('http')}"


def make_plan(spec: Spec) -> WebsocketPlan:
    settings: WebsocketSettings = spec.settings
    url, origin = parse_url(f"http{spec.target.removeprefix('ws')}")
    netloc, slash, path = url.partition("://")[2].partition("/")
    given = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in settings.headers.items()
    }
    headers = {"Host": netloc, "User-Agent": "uptime/0.1 (+monitor)"}
    names = {name.lower() for name in given}
    headers = {name: text for name, text in headers.items() if name.lower() not in names} | given
    return WebsocketPlan(
        origin.host,
        origin.port,
        "none" if origin.is_tls else None,
        settings,
        Judge(settings.assertions, settings.assertion_tree),
        slash + path,
        headers,
        settings.subprotocol,
        (settings.send or "").encode(),
        (settings.expect or "").encode(),
    )


async def _talk(session: Session, plan: WebsocketPlan) -> None:
    reader = _Reader(session)
    await _upgrade(session, plan, reader)
    if plan.send:
        session.doing = "sending"
        await session.stream.send(_frame(_TEXT, plan.send))
    if plan.expect or plan.judge.sources & {Source.BODY, Source.JSON, Source.SIZE}:
        session.doing = "waiting for a message"
        await _await_message(session, plan, reader)
    session.facts[Source.SIZE] = len(session.body)
    await session.part(_frame(_CLOSE, b"\x03\xe8"))


# The upgrade


async def _upgrade(session: Session, plan: WebsocketPlan, reader: _Reader) -> None:
    session.doing = "waiting for the upgrade"
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    lines = [
        f"GET {plan.path} HTTP/1.1",
        *(f"{name}: {text}" for name, text in plan.headers.items()),
    ]
    lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    lines += [f"Sec-WebSocket-Key: {key}"]
    if plan.subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {plan.subprotocol}")
    started_at = time.monotonic()
    await session.stream.send("\r\n".join([*lines, "", ""]).encode())
    head = await reader.head()
    session.note("first_byte_ms", started_at)
    _check_upgrade(session, plan, head, key)


def _check_upgrade(session: Session, plan: WebsocketPlan, head: bytes, key: str) -> None:
    status_line = _STATUS_LINE.match(head)
    if status_line is None:
        raise Trouble(
            Reason.HTTP_PROTOCOL,
            f"{session.place} did not answer with HTTP but {shown(head)}, {session.after}.",
        )
    session.http_status = int(status_line.group(1))
    session.headers = headers = _parse_headers(head[status_line.end() :])
    if session.http_status != 101:
        raise Trouble(Reason.HTTP_STATUS, _status_message(session))
    for name, word in (("upgrade", "websocket"), ("connection", "upgrade")):
        if word not in _words(headers.get(name, "")):
            raise Trouble(
                Reason.HTTP_PROTOCOL,
                f"{session.place} upgrades to no WebSocket ({name.title()} is"
                f" {shown(headers.get(name, '').encode())}), {session.after}.",
            )
    digest = hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()
    expected = base64.b64encode(digest).decode()
    if (accept := headers.get("sec-websocket-accept", "")) != expected:
        raise Trouble(
            Reason.HTTP_PROTOCOL,
            f"{session.place} upgrades without the proof that it speaks WebSocket"
            f" (Sec-WebSocket-Accept is {shown(accept.encode())}), {session.after}.",
        )
    agreed = headers.get("sec-websocket-protocol")
    if agreed != plan.subprotocol:
        raise Trouble(
            Reason.HTTP_PROTOCOL,
            f"{session.place} chose the subprotocol {agreed or 'none'!r}, expected"
            f" {plan.subprotocol or 'none'!r}.",
        )


def _words(header: str) -> set[str]:
    return {word.strip().lower() for word in header.split(",")}


def _status_message(session: Session) -> str:
    try:
        phrase = f" ({HTTPStatus(session.http_status or 0).phrase})"
    except ValueError:
        phrase = ""
    return (
        f"Status {session.http_status}{phrase} {session.after}, expected 101 (Switching Protocols)."
    )


def _parse_headers(head: bytes) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for line in head.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip().lower(), []).append(value.strip())
    return {name: ", ".join(values) for name, values in found.items()}


# Messages


async def _await_message(session: Session, plan: WebsocketPlan, reader: _Reader) -> None:
    """Read messages until one has the expected text; without one, the first."""

    def mismatch(then: str) -> Trouble:
        got = f"{shown(bytes(session.body))}, {then}" if session.body else f"nothing, {then}"
        return Trouble(
            Reason.BANNER_MISMATCH,
            f"Expected {shown(plan.expect)} from {session.place}, got {got}, {session.after}.",
        )

    session.mismatch = mismatch
    total = 0
    while True:
        opcode, payload = await reader.message(mismatch)
        total += len(payload)
        if opcode == _CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            raise mismatch(f"then closed with code {code}")
        session.body[:] = payload
        if plan.expect in payload:
            return
        if total > MAX_MESSAGE_BYTES:
            raise mismatch("and more")


class _Reader:
    """Frames out of the stream. What can't be one is Trouble (http_protocol)."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._buffer = bytearray()
        self._frames = 0

    async def head(self) -> bytes:
        """The head of the answer to the upgrade, with its last line's end."""
        searched = 0
        while (at := self._buffer.find(b"\r\n\r\n", searched)) < 0:
            searched = max(len(self._buffer) - 3, 0)
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise self._broken("sent headers that are too large")
            if not await self._fill():
                if self._buffer:
                    return bytes(self._buffer)  # a line of some other protocol, perhaps
                raise self._broken("closed the connection without an answer")
        head = bytes(self._buffer[: at + 2])
        del self._buffer[: at + 4]
        return head

    async def message(self, cut_off: Callable[[str], Trouble]) -> tuple[int, bytes]:
        """The next message, put together from its frames; or the close. Pings are answered."""
        kind, parts, size = None, [], 0
        while True:
            is_last, opcode, payload = await self._frame(cut_off)
            if opcode == _PING:
                await self._session.stream.send(_frame(_PONG, payload))
            elif opcode == _CLOSE:
                return opcode, payload
            elif opcode in ((_CONTINUATION,) if kind else (_TEXT, _BINARY)):
                kind = kind or opcode
                parts.append(payload)
                size += len(payload)
                if size > MAX_MESSAGE_BYTES:
                    raise self._broken(f"sent a message of more than {MAX_MESSAGE_BYTES:,} bytes")
                if is_last:
                    return kind, b"".join(parts)
            elif opcode != _PONG:
                raise self._broken(f"sent a frame out of place (opcode {opcode})")

    async def _frame(self, cut_off: Callable[[str], Trouble]) -> tuple[bool, int, bytes]:
        self._frames += 1
        if self._frames > MAX_FRAMES:
            raise self._broken(f"sent more than {MAX_FRAMES:,} frames")
        first, second = await self._take(2, cut_off)
        if first & 0x70 or second & 0x80:
            raise self._broken("sent what is no WebSocket frame")
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(await self._take(2 if length == 126 else 8, cut_off), "big")
        if length > MAX_MESSAGE_BYTES:
            raise self._broken(f"sent a message of more than {MAX_MESSAGE_BYTES:,} bytes")
        return bool(first & 0x80), first & 0x0F, await self._take(length, cut_off)

    async def _take(self, count: int, cut_off: Callable[[str], Trouble]) -> bytes:
        while len(self._buffer) < count:
            if not await self._fill():
                raise cut_off("then closed")
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _fill(self) -> bool:
        data = await self._session.stream.receive()
        self._buffer += data
        return bool(data)

    def _broken(self, what: str) -> Trouble:
        place, after = self._session.place, self._session.after
        return Trouble(Reason.HTTP_PROTOCOL, f"{place} {what}, {after}.")


def _frame(opcode: int, payload: bytes) -> bytes:
    """A whole message in one frame, masked as a client must (section 5.3)."""
    mask = secrets.token_bytes(4)
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([0x80 | opcode]) + length + mask + masked


async def observe(job: Job, net: Net) -> Observation:
    plan = net.plans.get(job.spec, make_plan)
    return await observe_session(job, net, plan, lambda session: _talk(session, plan))


KIND = Kind(
    "websocket",
    "WebSocket",
    WebsocketSettings,
    observe,
    clean_target,
    summary="Open a WebSocket; send a message and expect one back.",
    target_label="URL",
    target_example="wss://example.org/socket",
    sections={
        "": ("assertions",),
        "Conversation": ("send", "expect", "subprotocol", "headers"),
        "TLS and certificates": TLS_SECTION,
        "Network": NETWORK_SECTION,
    },
)
