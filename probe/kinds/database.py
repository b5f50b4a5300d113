"""What the kinds share that ask a database through a client library.

A kind gives a coroutine that connects to one address, asks, and returns what came; the rest is
here: resolve, guard, try the next address, keep time, compare, and judge assertions.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import Field, SecretStr, model_validator

from probe.assertions import TIMING, Evidence, Judge, Source
from probe.kinds.base import (
    AssertedSettings,
    CertificatePem,
    IpVersion,
    Resolver,
    clean_host,
    join_host_port,
    split_host_port,
)
from probe.net import Deadline, Net, Trouble, describe_errno, is_address, reason_of_errno
from probe.starttls import shown
from probe.streams import connect
from probe.values import Job, Observation, Phases, Reason, Spec, Status

MAX_ROWS = 1000
"""How many rows of an answer are taken in."""

_PATIENCE = 0.75
"""The share of the time after which a silent port is knocked at, to see whether it is open."""

_WORDS = {
    os.strerror(number).lower(): number
    for number in (
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EPIPE,
        errno.EADDRNOTAVAIL,
        errno.EPERM,
    )
}


class DatabaseSettings(AssertedSettings):
    sources: ClassVar[frozenset[Source]] = TIMING | {Source.ADDRESS, Source.VALUE, Source.ROWS}

    username: str = Field(default="", max_length=500, title="User name")
    password: SecretStr | None = Field(default=None, max_length=2000, title="Password")
    database: str = Field(default="", max_length=500, title="Database", description="Its name.")
    query: str | None = Field(
        default=None,
        max_length=10_000,
        title="Query",
        description="Asked after connecting; the first column of its first row counts. Give a user"
        " that may only read. Empty: only connect.",
    )
    expected: str | None = Field(
        default=None,
        max_length=10_000,
        title="Expected value",
        description="What the query must give, as text.",
    )
    tls: bool = Field(default=False, title="TLS", description="Refuse to speak in the clear.")
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
    ip_version: IpVersion = Field(
        default="auto", title="IP version", description="Connect over IPv4, IPv6 or either."
    )
    resolver: Resolver | None = Field(
        default=None,
        title="Resolver",
        description="Ask this name server (ip or ip:port) instead of the system's.",
    )

    @model_validator(mode="after")
    def _check_parts_fit(self) -> Self:
        if self.expected is not None and not self.query:
            raise ValueError("An expected value needs a query that gives it")
        return self


SECTIONS = {
    "": ("username", "password", "database", "query", "expected"),
    "TLS and certificates": ("tls", "verify_tls", "ca_certificate"),
    "Network": ("ip_version", "resolver"),
}


@dataclass(frozen=True, slots=True)
class DatabasePlan:
    host: str
    port: int
    settings: DatabaseSettings
    judge: Judge

    @property
    def place(self) -> str:
        return f"{self.host} port {self.port}"

    @property
    def password(self) -> str:
        secret = self.settings.password
        return secret.get_secret_value() if secret is not None else ""


class Asking:
    """One attempt at one address, as the kind's coroutine sees it.

    The coroutine calls `connected` when it is, and returns the rows of the query (none without
    one). It raises Trouble, or OSError where the connection breaks.
    """

    def __init__(self, plan: DatabasePlan, address: str) -> None:
        self.plan = plan
        self.address = address
        self.doing = "connecting"
        self.connect_ms: float | None = None
        self.first_byte_ms: float | None = None
        self.is_open = False
        self.on_open: Callable[[], None] = lambda: None
        self._started_at = time.monotonic()

    def connected(self) -> None:
        self.connect_ms = self._lap()
        self.doing = "waiting for an answer"
        self.on_open()

    def answered(self) -> None:
        self.first_byte_ms = self._lap()

    def _lap(self) -> float:
        before, self._started_at = self._started_at, time.monotonic()
        return round((self._started_at - before) * 1000, 3)

    def not_let_in(self, words: str) -> Trouble:
        """The server's own words for why it doesn't take this login."""
        user = self.plan.settings.username or "the default user"
        return Trouble(
            Reason.AUTH_FAILED,
            f"{self.plan.place} refuses the login of {user}: it said {shown(words.strip())}.",
        )

    def refused(self, words: str) -> Trouble:
        """The server's own words for why it doesn't do as asked."""
        what = "refuses the connection" if self.connect_ms is None else "refuses the query"
        return Trouble(
            Reason.BANNER_MISMATCH, f"{self.plan.place} {what}: it said {shown(words.strip())}."
        )

    def unreadable(self, words: str) -> Trouble:
        return Trouble(
            Reason.BANNER_MISMATCH,
            f"{self.plan.place} does not speak as expected, while {self.doing}: {words.strip()}.",
        )


Row = Sequence[Any]
Ask = Callable[[Asking], Awaitable[list[Row]]]


def planner(port: int) -> Callable[[Spec], DatabasePlan]:
    """What makes plans for a database with its standard port."""

    def make_plan(spec: Spec) -> DatabasePlan:
        settings: DatabaseSettings = spec.settings
        host, chosen_port = split_host_port(spec.target, port)
        judge = Judge(settings.assertions, settings.assertion_tree)
        return DatabasePlan(host, chosen_port, settings, judge)

    return make_plan


def cleaner(port: int) -> Callable[[str], str]:
    """What brings a target, whose port may be left out, to its normal form."""

    def clean_target(text: str) -> str:
        host, chosen_port = split_host_port(text, port)
        return join_host_port(clean_host(host), chosen_port)

    return clean_target


async def observe_database(job: Job, net: Net, plan: DatabasePlan, ask: Ask) -> Observation:
    """A check that connects to one address after the other until one answers."""
    deadline = Deadline(job.spec.timeout.total_seconds())
    dns_ms, asking = None, None
    try:
        addresses = await net.addresses(
            plan.host,
            allow_private=job.spec.allow_private,
            deadline=deadline,
            ip_version=plan.settings.ip_version,
            server=plan.settings.resolver,
        )
        dns_ms = None if is_address(plan.host) else round(deadline.elapsed_ms, 3)
        for left, address in zip(reversed(range(len(addresses))), addresses, strict=True):
            asking = Asking(plan, address)
            try:
                rows = await _ask_in_time(asking, ask, deadline, attempts_left=left + 1)
                break
            except Trouble as trouble:
                if not left or asking.connect_ms is not None or _is_final(trouble):
                    raise
        assert asking is not None, "a name has one address or is Trouble"
        _check_value(plan, rows)
    except Trouble as trouble:
        return trouble.observed(deadline.elapsed_ms, _phases(dns_ms, asking))
    phases = _phases(dns_ms, asking)
    seen = Observation(Status.UP, None, "", round(deadline.elapsed_ms, 3), phases)
    return plan.judge.grade(seen, _evidence(seen, asking, rows)) if plan.judge else seen


async def _ask_in_time(
    asking: Asking, ask: Ask, deadline: Deadline, *, attempts_left: int
) -> list[Row]:
    """What one address gives, which has a share of the time to be reached, and then all of it."""
    plan, share_s = asking.plan, max(deadline.remaining_s / attempts_left, 0)
    knocking = asyncio.create_task(_knock(asking, share_s * _PATIENCE))
    try:
        async with asyncio.timeout(share_s) as timer:
            asking.on_open = lambda: _extend(timer, deadline)
            return await ask(asking)
    except TimeoutError:
        limit = deadline.timeout_s
        if asking.connect_ms is None and not asking.is_open:
            raise Trouble(
                Reason.CONNECT_TIMEOUT, f"No connection to {plan.place} within {limit:g} s."
            ) from None
        raise Trouble(
            Reason.TIMEOUT, f"{plan.place} took longer than {limit:g} s, while {asking.doing}."
        ) from None
    except OSError as error:
        raise broken(asking, error.errno or 0) from None
    finally:
        knocking.cancel()


def _extend(timer: asyncio.Timeout, deadline: Deadline) -> None:
    if not timer.expired():
        timer.reschedule(asyncio.get_running_loop().time() + deadline.remaining_s)


async def _knock(asking: Asking, after_s: float) -> None:
    """Whether the port is open that a client library hasn't done with: libraries don't say whether
    it is the connection or the greeting that they wait for."""
    await asyncio.sleep(after_s)
    if asking.connect_ms is None:
        with suppress(Trouble):
            (await connect(asking.plan.host, [asking.address], asking.plan.port)).close()
            asking.is_open = True
            asking.doing = "waiting for the greeting or the login"
            asking.on_open()


def _is_final(trouble: Trouble) -> bool:
    """Whether another address would hardly do better."""
    return not trouble.reason.startswith("connect_")


def broken(asking: Asking, number: int) -> Trouble:
    """The connection failed, or broke, with an error of the system's."""
    place, reason = asking.plan.place, reason_of_errno(number)
    if asking.connect_ms is None:
        at = "" if asking.address == asking.plan.host else f" ({asking.address})"
        return Trouble(reason, f"No connection to {place}{at}: {describe_errno(number)}.")
    return Trouble(
        reason, f"{place} broke the connection while {asking.doing}: {describe_errno(number)}."
    )


def errno_in(words: str) -> int | None:
    """The system's error that a library tells of in words."""
    found = re.search("|".join(map(re.escape, _WORDS)), words.lower())
    return _WORDS[found.group()] if found else None


def _check_value(plan: DatabasePlan, rows: list[Row]) -> None:
    expected = plan.settings.expected
    if expected is None:
        return
    got = as_text(rows)
    if got != expected:
        said = "no row" if got is None else shown(got)
        raise Trouble(
            Reason.ASSERTION_FAILED,
            f"The query on {plan.place} should give {shown(expected)}, got {said}.",
        )


def as_text(rows: list[Row]) -> str | None:
    """The first column of the first row, as users write it."""
    if not rows or not rows[0]:
        return None
    value = rows[0][0]
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, bool | dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _phases(dns_ms: float | None, asking: Asking | None) -> Phases:
    if asking is None:
        return Phases(dns_ms=dns_ms)
    return Phases(dns_ms, asking.connect_ms, None, asking.first_byte_ms)


def _evidence(seen: Observation, asking: Asking, rows: list[Row]) -> Evidence:
    facts: dict[Source, Any] = {Source.ADDRESS: asking.address}
    if asking.plan.settings.query:
        facts[Source.ROWS] = len(rows)
        if (value := as_text(rows)) is not None:
            facts[Source.VALUE] = value
    return Evidence(latency_ms=seen.latency_ms, phases=seen.phases, facts=facts)
