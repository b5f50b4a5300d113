"""tcp: connect, optionally under TLS, send a text, expect a text."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from probe.assertions import Judge, Source
from probe.kinds.base import Kind, clean_host_port, split_host_port
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
from probe.starttls import StartTls
from probe.values import Job, Observation, Reason, Spec

MAX_ANSWER_BYTES = 65_536
"""How much of what a server says is searched for the expected text."""

_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|[rnt0\\])")
_ESCAPED = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


class TcpSettings(StreamSettings):
    sources: ClassVar[frozenset[Source]] = StreamSettings.sources | {Source.BODY, Source.SIZE}

    send: str | None = Field(
        default=None,
        max_length=10_000,
        title="Send",
        description=r"Sent after connecting. \r, \n, \t, \0, \\ and \xHH stand for one byte each.",
    )
    expect: str | None = Field(
        default=None,
        max_length=10_000,
        title="Expect",
        description="Text that must appear in what the server says.",
    )
    tls: bool = Field(default=False, title="TLS", description="Speak TLS from the first byte.")
    starttls: StartTls = Field(
        default="none",
        title="STARTTLS",
        description="Begin in the clear and go over to TLS as this protocol does; what is sent and"
        " expected comes after that.",
    )


@dataclass(frozen=True, slots=True)
class TcpPlan(SessionPlan):
    send: bytes
    expect: bytes


def make_plan(spec: Spec) -> TcpPlan:
    settings: TcpSettings = spec.settings
    host, port = split_host_port(spec.target)
    way = settings.starttls if settings.tls or settings.starttls != "none" else None
    judge = Judge(settings.assertions, settings.assertion_tree)
    send, expect = unescape(settings.send), unescape(settings.expect)
    return TcpPlan(host, port, way, settings, judge, send, expect)


def unescape(text: str | None) -> bytes:
    r"""The bytes that a text stands for: UTF-8, with \r \n \t \0 \\ and \xHH as one byte each."""
    parts: list[bytes] = []
    at = 0
    for match in _ESCAPE.finditer(text or ""):
        code = match.group(1)
        byte = bytes.fromhex(code[1:]) if code[0] == "x" else _ESCAPED[code].encode()
        parts += [match.string[at : match.start()].encode(), byte]
        at = match.end()
    return b"".join([*parts, (text or "")[at:].encode()])


_QUIET_S = 0.3
"""After so much silence a server has said what it has to say."""

_WANTS_ANSWER = {Source.BANNER, Source.BODY, Source.SIZE}


async def _talk(session: Session, plan: TcpPlan) -> None:
    if plan.send:
        session.doing = "sending"
        await session.stream.send(plan.send)
    if plan.expect:
        await _expect(session, plan.expect)
    elif plan.judge.sources & _WANTS_ANSWER:
        await _listen(session)
    _keep_answer(session)


def _keep_answer(session: Session) -> None:
    session.facts[Source.BANNER] = session.body.decode("utf-8", "backslashreplace")
    session.facts[Source.SIZE] = len(session.body)


async def _listen(session: Session) -> None:
    """Take what the server says until it fulfils the assertions, or no more comes: it may say it in
    several pieces."""
    session.doing, started_at = "waiting for an answer", time.monotonic()
    patience_s: float | None = None  # the first word may take all of the time
    while len(session.body) <= MAX_ANSWER_BYTES:
        try:
            async with asyncio.timeout(patience_s):
                data = await session.stream.receive()
        except TimeoutError:
            if patience_s is None:
                raise
            return
        if not data:
            return
        session.note("first_byte_ms", started_at)
        session.body += data
        _keep_answer(session)
        if session.is_content():
            return
        patience_s = min(_QUIET_S, session.deadline.remaining_s / 2)


async def _expect(session: Session, expected: bytes) -> None:
    def mismatch(then: str) -> Trouble:
        got = f"{shown(bytes(said))}, {then}" if said else f"nothing, {then}"
        return Trouble(
            Reason.BANNER_MISMATCH,
            f"Expected {shown(expected)} from {session.place}, got {got}, {session.after}.",
        )

    session.doing = "waiting for an answer"
    session.mismatch = mismatch
    said, started_at = session.body, time.monotonic()
    searched = 0
    while said.find(expected, searched) < 0:
        searched = max(len(said) - len(expected), 0)
        data = await session.stream.receive()
        if data:
            session.note("first_byte_ms", started_at)
        said += data
        if not data:
            raise mismatch("then closed")
        if len(said) > MAX_ANSWER_BYTES:
            raise mismatch("and more")


async def observe(job: Job, net: Net) -> Observation:
    plan = net.plans.get(job.spec, make_plan)
    return await observe_session(job, net, plan, lambda session: _talk(session, plan))


KIND = Kind(
    "tcp",
    "TCP port",
    TcpSettings,
    observe,
    clean_host_port,
    summary="Connect to a port, optionally under TLS; send a text and expect one back.",
    target_label="Host and port",
    target_example="db.example.org:5432",
    sections={
        "": ("tls", "starttls", "assertions"),
        "Conversation": ("send", "expect"),
        "TLS and certificates": TLS_SECTION,
        "Network": NETWORK_SECTION,
    },
)
