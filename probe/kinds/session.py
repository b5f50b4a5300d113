"""What the kinds share that speak a protocol of their own over TCP: from a name to a verdict.

A kind gives its settings (from `StreamSettings`), a `SessionPlan`, and a coroutine that talks; the
rest is here: resolve, guard, connect, go over to TLS, tell phases apart, explain what breaks, and
judge certificate and assertions.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from probe import certificates
from probe.assertions import TIMING, Evidence, Judge, Source
from probe.kinds.base import AssertedSettings, CertificatePem, IpVersion, MinTls, Resolver
from probe.net import Deadline, Net, Trouble, describe_errno, is_address, reason_of_errno
from probe.starttls import LineReader, StartTls, ask_for_tls
from probe.streams import Stream, UnverifiedError, connect
from probe.values import Job, Observation, Phases, Reason, Status

_MAX_SHOWN = 120

TLS_SECTION = ("verify_tls", "cert_expiry_days", "min_tls", "ca_certificate")
NETWORK_SECTION = ("ip_version", "resolver")


class StreamSettings(AssertedSettings):
    """What every kind of this sort takes."""

    sources: ClassVar[frozenset[Source]] = TIMING | {
        Source.ADDRESS,
        Source.BANNER,
        Source.CERT_DAYS,
        Source.CERTIFICATE,
        Source.TLS_VERSION,
    }

    verify_tls: bool = Field(
        default=True,
        title="Verify certificate",
        description="With TLS, check the certificate's chain, names and dates.",
    )
    ca_certificate: CertificatePem | None = Field(
        default=None,
        title="CA certificates (PEM)",
        description="Trusted in addition to the system's.",
    )
    cert_expiry_days: int = Field(
        default=14,
        ge=0,
        le=3650,
        title="Certificate days",
        description="Degraded when the certificate has fewer days left. 0: off.",
    )
    min_tls: MinTls = Field(
        default="1.2", title="Lowest TLS version", description="An older one is degraded."
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
class SessionPlan:
    """`way` is how to get to TLS: None stays in the clear, `none` speaks it from the first byte."""

    host: str
    port: int
    way: StartTls | None
    settings: StreamSettings
    judge: Judge


class Session:
    """One check's dealings with the server, and what was seen of it until it ended.

    While talking, a kind says what it is `doing` (to follow "while"), notes phases, and leaves in
    `facts`, `headers` and `body` what assertions may be about. `mismatch` tells of a `body` that is
    not what was expected, and then of silence.
    """

    def __init__(self, plan: SessionPlan, net: Net, deadline: Deadline, *, private: bool) -> None:
        self.plan = plan
        self.deadline = deadline
        self.place = f"{plan.host} port {plan.port}"
        self.doing = "connecting"
        self.facts: dict[Source, Any] = {}
        self.body = bytearray()
        self.headers: dict[str, str] = {}
        self.http_status: int | None = None
        self.stream: Stream
        self.lines: LineReader
        self.mismatch: Callable[[str], Trouble] | None = None
        self.certificate: bytes | None = None
        self.cert_expires_at: datetime | None = None
        self._weakness = ""
        self._net = net
        self._allow_private = private
        self._times_ms: dict[str, float] = {}

    @property
    def phases(self) -> Phases:
        return Phases(**self._times_ms)

    @property
    def after(self) -> str:
        return f"after {self.deadline.elapsed_ms:.0f} ms"

    def note(self, phase: str, started_at: float) -> None:
        """A phase that began at `started_at` (monotonic) is over; only its first end counts."""
        self._times_ms.setdefault(phase, round((time.monotonic() - started_at) * 1000, 3))

    async def part(self, goodbye: bytes) -> None:
        """Say goodbye; a server that has gone already is no trouble any more."""
        with suppress(OSError, Trouble):
            await self.stream.send(goodbye)

    async def hold(self, talk: Talk) -> None:
        """Go through it all. Raises Trouble, TimeoutError, or OSError where something breaks."""
        addresses = await self._addresses()
        async with asyncio.timeout(max(self.deadline.remaining_s, 0)):
            try:
                self.stream = await self._open(addresses)
            except UnverifiedError as error:
                raise await self._explain(error, addresses) from None
            try:
                self._look_at_tls()
                await talk(self)
            finally:
                self.stream.close()

    async def _addresses(self) -> list[str]:
        plan, started_at = self.plan, time.monotonic()
        try:
            return await self._net.addresses(
                plan.host,
                allow_private=self._allow_private,
                deadline=self.deadline,
                ip_version=plan.settings.ip_version,
                server=plan.settings.resolver,
            )
        finally:
            if not is_address(plan.host):
                self.note("dns_ms", started_at)

    async def _open(self, addresses: list[str], *, verify: bool = True) -> Stream:
        """Connect, and secure the connection where that is asked for."""
        plan, started_at = self.plan, time.monotonic()
        stream = await connect(plan.host, addresses, plan.port)
        try:
            self.note("connect_ms", started_at)
            self.facts[Source.ADDRESS] = stream.address
            self.lines = LineReader(stream, self.place)
            if plan.way is not None:
                await self._secure(stream, plan.way, verify=verify and plan.settings.verify_tls)
        except BaseException:
            stream.close()
            raise
        return stream

    async def _secure(self, stream: Stream, way: StartTls, *, verify: bool) -> None:
        self.doing = "asking for TLS"
        await ask_for_tls(way, self.lines)
        self.doing = "in the TLS handshake"
        started_at = time.monotonic()
        await stream.start_tls(
            self.plan.host, verify=verify, authorities=self.plan.settings.ca_certificate
        )
        self.note("tls_ms", started_at)

    async def _explain(self, error: UnverifiedError, addresses: list[str]) -> Trouble:
        """The same trouble with names and dates: the certificate is fetched again, unverified."""
        try:
            stream = await self._open(addresses, verify=False)
        except (Trouble, OSError):
            return error
        certificate = certificates.load(stream.certificate or b"")
        stream.close()
        if certificate is None:
            return error
        self.cert_expires_at = certificate.not_valid_after_utc
        return certificates.trouble_of(error.code, error.text, certificate, self.plan.host)

    def _look_at_tls(self) -> None:
        self.certificate = self.stream.certificate
        if self.certificate is None:
            return
        self.facts[Source.TLS_VERSION] = self.stream.tls_version
        if certificate := certificates.load(self.certificate):
            self.cert_expires_at = certificate.not_valid_after_utc
            self._weakness = certificates.weakness_of(certificate)

    # What it amounts to

    def is_content(self) -> bool:
        """Whether what was seen so far fulfils the assertions."""
        latency_ms = round(self.deadline.elapsed_ms, 3)
        seen = Observation(Status.UP, None, "", latency_ms, self.phases)
        return self.plan.judge.is_content(self._evidence(seen))

    def judge(self) -> Observation:
        """The observation of a session that went well: what TLS says, then the assertions."""
        settings, latency_ms = self.plan.settings, round(self.deadline.elapsed_ms, 3)
        seen = Observation(
            Status.UP, None, "", latency_ms, self.phases, self.http_status, self.cert_expires_at
        )
        version = self.facts.get(Source.TLS_VERSION, "")
        if version and version < settings.min_tls:
            message = f"{self.place} speaks TLS {version}, expected {settings.min_tls} or newer."
            seen = _degraded(seen, Reason.TLS_DEPRECATED, message)
        elif self._weakness:
            message = f"The certificate of {self.plan.host} has {self._weakness}: too weak."
            seen = _degraded(seen, Reason.TLS_DEPRECATED, message)
        elif message := certificates.expiry_warning(
            self.cert_expires_at, settings.cert_expiry_days
        ):
            seen = _degraded(seen, Reason.CERT_EXPIRING, message)
        return self.plan.judge.grade(seen, self._evidence(seen)) if self.plan.judge else seen

    def _evidence(self, seen: Observation) -> Evidence:
        return Evidence(
            headers=self.headers,
            body=bytes(self.body),
            latency_ms=seen.latency_ms,
            phases=seen.phases,
            certificate=self.certificate,
            facts=self.facts,
        )

    def details(self) -> dict[str, Any]:
        """Where it was connected to, and what TLS showed."""
        found: dict[str, Any] = {}
        if address := self.facts.get(Source.ADDRESS):
            found["addresses"] = [address]
        if version := self.facts.get(Source.TLS_VERSION):
            found["tls_version"] = version
        if self.certificate:
            found["certificate"] = certificates.facts_of(self.certificate)
        return found

    def troubled(self, trouble: Trouble) -> Observation:
        seen = trouble.observed(self.deadline.elapsed_ms, self.phases)
        return replace(seen, http_status=self.http_status, cert_expires_at=self.cert_expires_at)

    def timeout_trouble(self) -> Trouble:
        if self.body and self.mismatch is not None:
            return self.mismatch("then silence")
        limit = self.deadline.timeout_s
        if self.doing == "connecting":
            message = f"No connection to {self.place} within {limit:g} s."
            return Trouble(Reason.CONNECT_TIMEOUT, message)
        message = f"{self.place} took longer than {limit:g} s, while {self.doing}."
        return Trouble(Reason.TIMEOUT, message)

    def broken_trouble(self, error: OSError) -> Trouble:
        number = error.errno or 0
        return Trouble(
            reason_of_errno(number),
            f"{self.place} broke the connection while {self.doing}: {describe_errno(number)},"
            f" {self.after}.",
        )


Talk = Callable[[Session], Awaitable[None]]


def _degraded(seen: Observation, reason: Reason, message: str) -> Observation:
    return replace(seen, status=Status.DEGRADED, reason=reason, message=message)


async def observe_session(job: Job, net: Net, plan: SessionPlan, talk: Talk) -> Observation:
    """A check that connects and then talks."""
    deadline = Deadline(job.spec.timeout.total_seconds())
    session = Session(plan, net, deadline, private=job.spec.allow_private)
    seen = await _hold(session, talk)
    return replace(seen, details=session.details()) if job.wants_details else seen


async def _hold(session: Session, talk: Talk) -> Observation:
    try:
        await session.hold(talk)
    except Trouble as trouble:
        return session.troubled(trouble)
    except TimeoutError:
        return session.troubled(session.timeout_trouble())
    except OSError as error:
        return session.troubled(session.broken_trouble(error))
    return session.judge()


def shown(data: bytes) -> str:
    """What a server said, quoted and cut for a message."""
    text = data[:_MAX_SHOWN].decode("utf-8", "backslashreplace")
    return json.dumps(text, ensure_ascii=False) + ("…" if len(data) > _MAX_SHOWN else "")
