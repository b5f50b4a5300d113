"""traceroute: the routers on the way to a host, by packets whose time to live ends at each.

ICMP packets go over the sockets of `probe.icmp`. UDP and TCP need no privilege: Linux keeps what
routers say about a socket's packets in its error queue (IP_RECVERR, ip(7)).
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from probe.assertions import TIMING, Evidence, Judge, Source
from probe.icmp import IP_RECVERR, LEVEL, TTL, Answer, describe, family_of, read_extended_error
from probe.kinds.base import AssertedSettings, IpVersion, Kind, Resolver, clean_host
from probe.net import Deadline, Net, Trouble, describe_errno, is_address, reason_of_errno
from probe.values import NO_PHASES, Job, Observation, Phases, Reason, Spec, Status

HOPS_AT_ONCE = 5
"""Routers limit how much they answer: fewer at once lose fewer answers, but take longer."""

WAIT_S = 1.0
"""How long an answer is waited for, where the timeout leaves room for all hops."""

_UDP_PORT, _TCP_PORT = 33434, 80
_PAYLOAD = bytes(32)
_PORT_UNREACHABLE = {(socket.AF_INET, 3, 3), (socket.AF_INET6, 1, 4)}
_EXCEEDED = {(socket.AF_INET, 11, 0), (socket.AF_INET6, 3, 0)}


class TracerouteSettings(AssertedSettings):
    sources: ClassVar = TIMING | {
        Source.HOPS,
        Source.PACKET_LOSS,
        Source.ROUND_TRIP,
        Source.ADDRESS,
    }

    protocol: Literal["udp", "icmp", "tcp"] = Field(
        default="udp", title="Protocol", description="What is sent; filters treat them differently."
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        title="Port",
        description="For udp the first of a row (33434), for tcp the one to connect to (80).",
    )
    max_hops: int = Field(
        default=30, ge=1, le=64, title="Hops at most", description="Further is not looked."
    )
    queries: int = Field(
        default=3, ge=1, le=10, title="Packets per hop", description="Sent to each hop."
    )
    ip_version: IpVersion = Field(
        default="auto", title="IP version", description="Trace over IPv4, IPv6 or either."
    )
    resolver: Resolver | None = Field(
        default=None,
        title="Resolver",
        description="Ask this name server (ip or ip:port) instead of the system's.",
    )


@dataclass(frozen=True, slots=True)
class Hop:
    """What came back for the packets of one time to live; None where nothing did."""

    number: int
    answers: tuple[Answer | None, ...]

    @property
    def heard(self) -> list[Answer]:
        return [answer for answer in self.answers if answer is not None]

    @property
    def is_target(self) -> bool:
        return any(not answer.trouble for answer in self.heard)

    @property
    def refusal(self) -> Answer | None:
        """What a router said that makes going further pointless."""
        refusals = (one for one in self.heard if one.trouble and not one.is_exceeded)
        return next(refusals, None)

    @property
    def loss_percent(self) -> float:
        return round(100 * (1 - len(self.heard) / len(self.answers)), 1)

    @property
    def round_trip(self) -> dict[str, float]:
        times = [answer.rtt_ms for answer in self.heard]
        if not times:
            return {}
        average = round(sum(times) / len(times), 3)
        return {"min": min(times), "average": average, "max": max(times)}

    def as_details(self) -> dict[str, Any]:
        return {
            "hop": self.number,
            "addresses": list(dict.fromkeys(answer.address for answer in self.heard)),
            "loss_percent": self.loss_percent,
            **{f"{name}_ms": value for name, value in self.round_trip.items()},
        }


class Trace:
    """Packets to one address, a few hops at a time, until it is reached."""

    def __init__(self, net: Net, address: str, settings: TracerouteSettings) -> None:
        self.address = address
        self.hops: list[Hop] = []
        self._net = net
        self._settings = settings
        self._family = family_of(address)

    async def run(self, deadline: Deadline) -> None:
        """Raises Trouble where sending is not allowed, OSError where it fails."""
        limit = self._settings.max_hops
        for first in range(1, limit + 1, HOPS_AT_ONCE):
            numbers = range(first, min(first + HOPS_AT_ONCE, limit + 1))
            rounds_left = (limit - first) // HOPS_AT_ONCE + 1
            wait_s = min(WAIT_S, deadline.remaining_s / rounds_left)
            if wait_s <= 0.01:
                return
            for hop in await asyncio.gather(*(self._ask(number, wait_s) for number in numbers)):
                self.hops.append(hop)
                if hop.is_target or hop.refusal is not None:
                    return

    async def _ask(self, number: int, wait_s: float) -> Hop:
        answers = await asyncio.gather(
            *(self._send(number, query, wait_s) for query in range(self._settings.queries))
        )
        return Hop(number, tuple(answers))

    async def _send(self, number: int, query: int, wait_s: float) -> Answer | None:
        match self._settings.protocol:
            case "icmp":
                return await self._send_icmp(number, wait_s)
            case "udp":
                first = self._settings.port or _UDP_PORT
                port = first + (number - 1) * self._settings.queries + query
                return await self._send_udp(number, min(port, 65535), wait_s)
            case "tcp":
                return await self._send_tcp(number, self._settings.port or _TCP_PORT, wait_s)

    async def _send_icmp(self, number: int, wait_s: float) -> Answer | None:
        arrived: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def take(answer: Answer) -> None:
            if not arrived.done():
                arrived.set_result(answer)

        key = self._net.pings.send(self.address, _PAYLOAD, take, ttl=number)
        try:
            async with asyncio.timeout(wait_s):
                return await arrived
        except TimeoutError:
            self._net.pings.forget(self.address, key)
            return None

    async def _send_udp(self, number: int, port: int, wait_s: float) -> Answer | None:
        with self._socket(socket.SOCK_DGRAM, number) as sock:
            sock.connect((self.address, port))
            started_at = time.perf_counter()
            sock.send(_PAYLOAD)
            if not await _wait_for(sock, wait_s, for_writing=False):
                return None
            rtt_ms = _since(started_at)
            return self._read_error(sock, rtt_ms) or Answer(self.address, rtt_ms)

    async def _send_tcp(self, number: int, port: int, wait_s: float) -> Answer | None:
        with self._socket(socket.SOCK_STREAM, number) as sock:
            # reset rather than closed: nothing of the connection is left at the target
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            started_at = time.perf_counter()
            failure = sock.connect_ex((self.address, port))
            if failure not in (0, errno.EINPROGRESS, errno.ECONNREFUSED):
                raise OSError(failure, "connect")
            if failure == errno.EINPROGRESS and not await _wait_for(sock, wait_s, for_writing=True):
                return None
            rtt_ms = _since(started_at)
            return self._read_error(sock, rtt_ms) or Answer(self.address, rtt_ms)

    @contextmanager
    def _socket(self, kind: socket.SocketKind, hops: int) -> Iterator[socket.socket]:
        with socket.socket(self._family, kind | socket.SOCK_NONBLOCK) as sock:
            level = LEVEL[self._family]
            sock.setsockopt(level, IP_RECVERR[self._family], 1)
            name = (
                socket.IPV6_UNICAST_HOPS if self._family == socket.AF_INET6 else TTL[self._family]
            )
            sock.setsockopt(level, name, hops)
            yield sock

    def _read_error(self, sock: socket.socket, rtt_ms: float) -> Answer | None:
        """What a router said of the packet; None where the target itself answered."""
        with suppress(OSError):
            _data, ancillary, _flags, _address = sock.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
            error = read_extended_error(self._family, ancillary)
            if error is None or not error.is_icmp:
                return None
            what = (self._family, error.kind, error.code)
            if what in _PORT_UNREACHABLE and error.offender == self.address:
                return None
            words = describe(self._family, error.kind, error.code)
            return Answer(error.offender, rtt_ms, words, what in _EXCEEDED)
        return None


def _since(started_at: float) -> float:
    return round((time.perf_counter() - started_at) * 1000, 3)


async def _wait_for(sock: socket.socket, wait_s: float, *, for_writing: bool) -> bool:
    """Whether something happens on a socket in time: data, a connection, or an error."""
    loop = asyncio.get_running_loop()
    happened = asyncio.Event()
    fd = sock.fileno()
    add, remove = (
        (loop.add_writer, loop.remove_writer)
        if for_writing
        else (loop.add_reader, loop.remove_reader)
    )
    add(fd, happened.set)
    try:
        async with asyncio.timeout(wait_s):
            return await happened.wait()
    except TimeoutError:
        return False
    finally:
        remove(fd)


def _make_judge(spec: Spec) -> Judge:
    return Judge(spec.settings.assertions, spec.settings.assertion_tree)


async def observe(job: Job, net: Net) -> Observation:
    settings: TracerouteSettings = job.spec.settings
    judge = net.plans.get(job.spec, _make_judge)
    deadline = Deadline(job.spec.timeout.total_seconds())
    host, phases = job.spec.target, NO_PHASES
    try:
        addresses = await net.addresses(
            host,
            allow_private=job.spec.allow_private,
            deadline=deadline,
            ip_version=settings.ip_version,
            server=settings.resolver,
        )
        if not is_address(host):
            phases = Phases(dns_ms=round(deadline.elapsed_ms, 3))
        trace = Trace(net, addresses[0], settings)
        await trace.run(deadline)
    except Trouble as trouble:
        return trouble.observed(deadline.elapsed_ms, phases)
    except OSError as error:
        return _unsent(addresses[0], error).observed(deadline.elapsed_ms, phases)
    seen = _judged(host, trace, deadline, phases)
    return judge.grade(seen, _evidence(seen, trace)) if judge else seen


def _unsent(address: str, error: OSError) -> Trouble:
    number = error.errno or 0
    return Trouble(
        reason_of_errno(number), f"No packet can be sent to {address}: {describe_errno(number)}."
    )


def _judged(host: str, trace: Trace, deadline: Deadline, phases: Phases) -> Observation:
    place = host if host == trace.address else f"{host} ({trace.address})"
    status, reason, message = _verdict(place, trace.hops)
    return Observation(
        status,
        reason,
        message,
        round(deadline.elapsed_ms, 3),
        phases,
        details={"address": trace.address, "hops": [hop.as_details() for hop in trace.hops]},
    )


def _verdict(place: str, hops: list[Hop]) -> tuple[Status, Reason | None, str]:
    if hops and hops[-1].is_target:
        return Status.UP, None, ""
    if hops and (refusal := hops[-1].refusal) is not None:
        return (
            Status.DOWN,
            Reason.CONNECT_UNREACHABLE,
            f"{place} can't be reached: hop {hops[-1].number}, {refusal.address}, answered:"
            f" {refusal.trouble}.",
        )
    last = next((hop for hop in reversed(hops) if hop.heard), None)
    if last is None:
        tried = "1 hop" if len(hops) == 1 else f"{len(hops)} hops"
        way = f"no router on the way to it answered either ({tried} tried)"
    else:
        average = last.round_trip["average"]
        way = (
            f"the last to answer was hop {last.number}, {last.heard[0].address}, in {average:g} ms"
        )
    return Status.DOWN, Reason.CONNECT_TIMEOUT, f"{place} did not answer; {way}."


def _evidence(seen: Observation, trace: Trace) -> Evidence:
    facts: dict[Source, Any] = {Source.ADDRESS: trace.address}
    if trace.hops and trace.hops[-1].is_target:
        facts[Source.HOPS] = trace.hops[-1].number
        facts[Source.PACKET_LOSS] = trace.hops[-1].loss_percent
        facts[Source.ROUND_TRIP] = trace.hops[-1].round_trip
    return Evidence(latency_ms=seen.latency_ms, phases=seen.phases, facts=facts)


KIND = Kind(
    "traceroute",
    "Traceroute",
    TracerouteSettings,
    observe,
    clean_host,
    at_once=100,  # each sends dozens of packets, and routers answer few in a second
    summary="Trace the routers on the way to a host; judge how many, how fast, how reliable.",
    target_label="Host",
    target_example="router.example.org",
    sections={"": ("protocol", "port", "max_hops", "queries")},
)
