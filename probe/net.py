"""The network as the kinds see it: names resolved, forbidden networks kept out, errors explained.

A check resolves each name itself, judges every address it is about to connect to, and connects to
exactly those: a name that answers differently a moment later changes nothing.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from probe.values import NO_PHASES, Observation, Phases, Reason, Spec, Status

if TYPE_CHECKING:
    from probe.curl import Transfers
    from probe.icmp import Pings
    from probe.resolver import Resolver

Plan = TypeVar("Plan")

MOST_ADDRESSES = 20
"""How many of a name's addresses are tried, and told of: an answer over TCP holds thousands."""


class Trouble(Exception):
    """Why a check did not pass; raised inside a kind, which turns it into an observation."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    def observed(self, latency_ms: float, phases: Phases = NO_PHASES) -> Observation:
        """The observation of a check that ended with this; a fault of ours is not the target's."""
        status = Status.UNKNOWN if self.reason == Reason.CHECK_ERROR else Status.DOWN
        return Observation(status, self.reason, self.message, round(latency_ms, 3), phases)


@dataclass(frozen=True, slots=True)
class Net:
    """What a kind observes with; one per prober."""

    resolver: Resolver
    transfers: Transfers
    plans: Plans
    pings: Pings

    async def addresses(
        self,
        host: str,
        *,
        allow_private: bool,
        deadline: Deadline,
        ip_version: str = "auto",
        server: str | None = None,
    ) -> list[str]:
        """The addresses of `host`, in the order to try them, each allowed to be connected to.

        The one gate of all kinds: connect to what this gives, never to a name. A resolver of the
        check's own is judged like a target. Raises Trouble.
        """
        if is_address(host):
            guard(host, [host], allow_private=allow_private)
            check_ipv6(host, [host])
            return [host]
        if server is not None:
            guard_resolver(server, allow_private=allow_private)
        found = await self.resolver.resolve(
            host, ip_version=ip_version, server=server, deadline=deadline
        )
        guard(host, found, allow_private=allow_private)
        check_ipv6(host, found)
        return found[:MOST_ADDRESSES]


class Plans:
    """What kinds prepared per monitor, so that it isn't made anew for each check; bounded.

    One for http takes about 600 bytes, and to make it 0.05 ms of CPU.
    """

    def __init__(self, limit: int = 200_000) -> None:
        self._limit = limit
        self._made: dict[UUID, tuple[int, Any]] = {}

    def get(self, spec: Spec, make: Callable[[Spec], Plan]) -> Plan:
        """The plan for this revision of the monitor, made by `make` where there is none."""
        known = self._made.get(spec.monitor_id)
        if known is not None and known[0] == spec.revision:
            plan: Plan = known[1]
            return plan
        plan = make(spec)
        if len(self._made) >= self._limit:
            del self._made[next(iter(self._made))]
        self._made[spec.monitor_id] = (spec.revision, plan)
        return plan


class Deadline:
    """The instant by which a check must have ended."""

    __slots__ = ("ends_at", "started_at", "timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.started_at = time.monotonic()
        self.ends_at = self.started_at + timeout_s

    def part(self, share: float) -> Deadline:
        """A deadline for the first part of what is left; it speaks of the whole timeout."""
        return self.at_most(self.remaining_s * share)

    def at_most(self, seconds: float) -> Deadline:
        """A deadline for a part that may take so long; it speaks of the whole timeout."""
        part = Deadline(self.timeout_s)
        part.started_at = self.started_at
        part.ends_at = min(self.ends_at, time.monotonic() + seconds)
        return part

    @property
    def remaining_s(self) -> float:
        return self.ends_at - time.monotonic()

    @property
    def elapsed_ms(self) -> float:
        return (time.monotonic() - self.started_at) * 1000


# Forbidden networks

_FORBIDDEN_BESIDES = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments, RFC 6890; also Oracle's metadata service
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598; also Alibaba's metadata service
        "168.63.129.16/32",  # Azure's host, which hands out secrets, on a public address
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "64:ff9b:1::/48",  # NAT64 of local use, RFC 8215
        "fec0::/10",  # site-local, RFC 3879
        "2001::/23",  # Teredo and other protocol assignments, RFC 2928
    )
)
_EMBEDDINGS = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible, RFC 4291
        "::ffff:0:0/96",  # IPv4-mapped, RFC 4291
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 7915
        "64:ff9b::/96",  # NAT64, RFC 6052
    )
)


@lru_cache(maxsize=4096)
def is_forbidden(address: str) -> bool:
    """Whether an address lies in a network that checks for strangers must not reach.

    Loopback, private, link-local, unique-local, carrier-grade, multicast, reserved, unspecified,
    cloud metadata; and the IPv6 forms that lead to such an IPv4 address.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.sixtofour is not None and is_forbidden(str(ip.sixtofour)):
            return True
        if any(ip in network for network in _EMBEDDINGS):
            return is_forbidden(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
    return (
        not ip.is_global
        or ip.is_multicast
        or ip.is_reserved
        or any(ip.version == network.version and ip in network for network in _FORBIDDEN_BESIDES)
    )


def guard(host: str, addresses: list[str], *, allow_private: bool) -> None:
    """Raise Trouble where one of the addresses must not be connected to."""
    if allow_private:
        return
    for address in addresses:
        if is_forbidden(address):
            at = "" if address == host else f" resolves to {address}, which"
            raise Trouble(
                Reason.TARGET_FORBIDDEN,
                f"{host}{at} lies in a network that may not be checked from here.",
            )


def guard_resolver(server: str, *, allow_private: bool) -> None:
    """Raise Trouble where `ip`, `ip:port` or `[ip]:port` must not be asked."""
    if allow_private:
        return
    address = server if is_address(server) else server.rpartition(":")[0].strip("[]")
    if is_forbidden(address):
        raise Trouble(
            Reason.TARGET_FORBIDDEN,
            f"The resolver {server} lies in a network that may not be checked from here.",
        )


_NO_WAY = {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_IPV6_INTERNET = "2000::1"  # in the block that all public addresses are from, RFC 4291 section 2.4


def check_ipv6(host: str, addresses: list[str]) -> None:
    """Raise Trouble (check_error) where IPv6 alone leads to a host and this machine has none: that
    says nothing of the host. Where it lacks but the way to this host, kinds call it unreachable."""
    if not all(":" in address for address in addresses):
        return
    if not any(map(has_way_to, (*addresses, _IPV6_INTERNET))):
        raise Trouble(
            Reason.CHECK_ERROR,
            f"This machine has no IPv6, which alone leads to {host} ({addresses[0]}).",
        )


def has_way_to(address: str) -> bool:
    """Whether the kernel has a route. A socket for datagrams that is given an address asks for one
    and sends nothing."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))
    except OSError as error:
        return error.errno not in _NO_WAY
    return True


@lru_cache(maxsize=4096)
def is_address(host: str) -> bool:
    """Whether a host is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# Errors of the operating system

_REASONS = {
    errno.ECONNREFUSED: Reason.CONNECT_REFUSED,
    errno.ETIMEDOUT: Reason.CONNECT_TIMEOUT,
    errno.ECONNRESET: Reason.CONNECT_RESET,
    errno.ECONNABORTED: Reason.CONNECT_RESET,
    errno.EPIPE: Reason.CONNECT_RESET,
    errno.EHOSTUNREACH: Reason.CONNECT_UNREACHABLE,
    errno.ENETUNREACH: Reason.CONNECT_UNREACHABLE,
    errno.EHOSTDOWN: Reason.CONNECT_UNREACHABLE,
    errno.ENETDOWN: Reason.CONNECT_UNREACHABLE,
    errno.EAFNOSUPPORT: Reason.CONNECT_UNREACHABLE,
    errno.EACCES: Reason.CONNECT_UNREACHABLE,  # a router on the way prohibits it
}


def reason_of_errno(number: int) -> Reason:
    """The reason for a failed socket call; what is no fault of the target's is a check_error."""
    return _REASONS.get(number, Reason.CHECK_ERROR)


def own_fault(address: str, port: int) -> int:
    """The error with which this machine can't even begin to send datagrams there, for want of a
    free descriptor or port; 0 where it can, or where something else fails. Sends nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, port))
    except OSError as error:
        number = error.errno or 0
        return number if reason_of_errno(number) == Reason.CHECK_ERROR else 0
    return 0


def describe_errno(number: int) -> str:
    """What happened, to follow "after 3 ms: "."""
    return os.strerror(number).lower()
