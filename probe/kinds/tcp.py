"""tcp: connect, optionally under TLS, send a text, expect a text."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import time
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from pydantic import Field

from probe.kinds.base import (
    IpVersion,
    Kind,
    KindSettings,
    Resolver,
    clean_host_port,
    split_host_port,
)
from probe.net import Deadline, Net, Trouble, describe_errno, guard, reason_of_errno
from probe.streams import Stream, connect
from probe.values import Job, Observation, Phases, Reason, Spec, Status

MAX_ANSWER_BYTES = 65_536
"""How much of what a server says is searched for the expected text."""

_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|[rnt0\\])")
_ESCAPED = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


class TcpSettings(KindSettings):
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
    verify_tls: bool = Field(
        default=True,
        title="Verify certificate",
        description="With TLS, check the certificate's chain, names and dates.",
    )
    ip_version: IpVersion = Field(
        default="auto", title="IP version", description="Connect over IPv4, IPv6 or either."
    )
    resolver: Resolver | None = Field(
        default=None,
        title="Resolver",
        description="Ask this name server (ip or ip:port) instead of the system's.",
    )


@dataclass(frozen=True, slots=True)
class TcpPlan:
    host: str
    port: int
    is_literal: bool
    send: bytes
    expect: bytes
    settings: TcpSettings


def make_plan(spec: Spec) -> TcpPlan:
    settings: TcpSettings = spec.settings
    host, port = split_host_port(spec.target)
    try:
        ipaddress.ip_address(host)
        is_literal = True
    except ValueError:
        is_literal = False
    return TcpPlan(
        host, port, is_literal, unescape(settings.send), unescape(settings.expect), settings
    )


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


class Conversation:
    """One check's dealings with the server, and what was seen of it until it ended."""

    def __init__(self, plan: TcpPlan, net: Net, deadline: Deadline, *, allow_private: bool) -> None:
        self._plan = plan
        self._net = net
        self._deadline = deadline
        self._allow_private = allow_private
        self._times_ms: dict[str, float] = {}
        self._doing = "connecting"
        self._said = bytearray()
        self.cert_expires_at: datetime | None = None

    @property
    def phases(self) -> Phases:
        return Phases(**self._times_ms)

    async def hold(self) -> None:
        """Go through it all. Raises Trouble, or OSError where the connection breaks."""
        plan = self._plan
        addresses = await self._addresses()
        guard(plan.host, addresses, allow_private=self._allow_private)
        async with asyncio.timeout(max(self._deadline.remaining_s, 0)):
            await self._talk(addresses)

    async def _talk(self, addresses: list[str]) -> None:
        plan = self._plan
        started_at = time.monotonic()
        stream = await connect(plan.host, addresses, plan.port)
        try:
            self._note("connect_ms", started_at)
            if plan.settings.tls:
                await self._secure(stream)
            if plan.send:
                self._doing = "sending"
                await stream.send(plan.send)
            if plan.expect:
                await self._expect(stream)
        finally:
            stream.close()

    async def _addresses(self) -> list[str]:
        plan = self._plan
        if plan.is_literal:
            return [plan.host]
        started_at = time.monotonic()
        try:
            return await self._net.resolver.resolve(
                plan.host,
                ip_version=plan.settings.ip_version,
                server=plan.settings.resolver,
                deadline=self._deadline,
            )
        finally:
            self._note("dns_ms", started_at)

    async def _secure(self, stream: Stream) -> None:
        self._doing = "in the TLS handshake"
        started_at = time.monotonic()
        await stream.start_tls(self._plan.host, verify=self._plan.settings.verify_tls)
        self._note("tls_ms", started_at)
        if der := stream.certificate:
            self.cert_expires_at = x509.load_der_x509_certificate(der).not_valid_after_utc

    async def _expect(self, stream: Stream) -> None:
        self._doing = "waiting for an answer"
        started_at = time.monotonic()
        expected, said = self._plan.expect, self._said
        while expected not in said:
            data = await stream.receive()
            if data and not said:
                self._note("first_byte_ms", started_at)
            said += data
            if not data or len(said) > MAX_ANSWER_BYTES:
                raise self._mismatch("then closed" if not data else "and more")

    def _note(self, phase: str, started_at: float) -> None:
        self._times_ms[phase] = round((time.monotonic() - started_at) * 1000, 3)

    def _mismatch(self, then: str) -> Trouble:
        got = f"{_shown(bytes(self._said))}, {then}" if self._said else f"nothing, {then}"
        return Trouble(
            Reason.BANNER_MISMATCH,
            f"Expected {_shown(self._plan.expect)} from {self._plan.host} port {self._plan.port},"
            f" got {got}, after {self._deadline.elapsed_ms:.0f} ms.",
        )

    def timeout_trouble(self) -> Trouble:
        if self._said:
            return self._mismatch("then silence")
        place, limit = f"{self._plan.host} port {self._plan.port}", self._deadline.timeout_s
        if self._doing == "connecting":
            return Trouble(Reason.CONNECT_TIMEOUT, f"No connection to {place} within {limit:g} s.")
        return Trouble(
            Reason.TIMEOUT, f"{place} took longer than {limit:g} s, while {self._doing}."
        )

    def broken_trouble(self, error: OSError) -> Trouble:
        number = error.errno or 0
        return Trouble(
            reason_of_errno(number),
            f"{self._plan.host} port {self._plan.port} broke the connection while {self._doing}:"
            f" {describe_errno(number)}, after {self._deadline.elapsed_ms:.0f} ms.",
        )


def _shown(data: bytes) -> str:
    text = data[:120].decode("utf-8", "backslashreplace")
    return json.dumps(text, ensure_ascii=False) + ("…" if len(data) > 120 else "")


async def observe(job: Job, net: Net) -> Observation:
    plan = net.plans.get(job.spec, make_plan)
    deadline = Deadline(job.spec.timeout.total_seconds())
    conversation = Conversation(plan, net, deadline, allow_private=job.spec.allow_private)
    trouble: Trouble | None = None
    try:
        await conversation.hold()
    except Trouble as error:
        trouble = error
    except TimeoutError:
        trouble = conversation.timeout_trouble()
    except OSError as error:
        trouble = conversation.broken_trouble(error)
    latency_ms = round(deadline.elapsed_ms, 3)
    phases, expires_at = conversation.phases, conversation.cert_expires_at
    if trouble is None:
        return Observation(Status.UP, None, "", latency_ms, phases, None, expires_at)
    status = Status.UNKNOWN if trouble.reason == Reason.CHECK_ERROR else Status.DOWN
    return Observation(
        status, trouble.reason, trouble.message, latency_ms, phases, None, expires_at
    )


KIND = Kind(
    "tcp",
    "TCP port",
    TcpSettings,
    observe,
    clean_host_port,
    summary="Connect to a port, optionally under TLS; send a text and expect one back.",
    target_label="Host and port",
    target_example="db.example.org:5432",
    sections={"": ("tls",), "Conversation": ("send", "expect")},
)
