"""The network as the kinds see it: names resolved, forbidden networks kept out, errors explained.

A check resolves each name itself, judges every address it is about to connect to, and connects to
exactly those: a name that answers differently a moment later changes nothing.
"""

from __future__ import annotations

import asyncio
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

import pycares
import pycares.errno as ares

from probe.curl import Transfers
from probe.values import NO_PHASES, Observation, Phases, Reason, Spec, Status

if TYPE_CHECKING:
    from probe.icmp import Pings

Plan = TypeVar("Plan")


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
        return found


class Plans:
    """What kinds prepared per monitor, so that it isn't made anew for each check; bounded."""

    def __init__(self, limit: int = 20_000) -> None:
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
        part = Deadline(self.timeout_s)
        part.started_at = self.started_at
        part.ends_at = time.monotonic() + self.remaining_s * share
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
    if not any(map(_has_way_to, (*addresses, _IPV6_INTERNET))):
        raise Trouble(
            Reason.CHECK_ERROR,
            f"This machine has no IPv6, which alone leads to {host} ({addresses[0]}).",
        )


def _has_way_to(address: str) -> bool:
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
    errno.EACCES: Reason.CONNECT_UNREACHABLE,  # a firewall on the way out rejects it
    errno.EPERM: Reason.CONNECT_UNREACHABLE,
}


def reason_of_errno(number: int) -> Reason:
    """The reason for a failed socket call; what is no fault of the target's is a check_error."""
    return _REASONS.get(number, Reason.CHECK_ERROR)


def describe_errno(number: int) -> str:
    """What happened, to follow "after 3 ms: "."""
    return os.strerror(number).lower()


# Names

_FAMILIES = {"auto": socket.AF_UNSPEC, "4": socket.AF_INET, "6": socket.AF_INET6}
_DNS_TROUBLE = {
    ares.ARES_ENOTFOUND: (Reason.DNS_NXDOMAIN, "{host} does not exist (NXDOMAIN from {server})."),
    ares.ARES_ESERVFAIL: (Reason.DNS_SERVFAIL, "{server} failed to resolve {host} (SERVFAIL)."),
    ares.ARES_EREFUSED: (Reason.DNS_REFUSED, "{server} refused to resolve {host} (REFUSED)."),
    ares.ARES_ENODATA: (Reason.DNS_NO_ANSWER, "{host} has no {records} record ({server})."),
    ares.ARES_ECONNREFUSED: (
        Reason.DNS_REFUSED,
        "{server} can't be reached to resolve {host}: connection refused.",
    ),
    ares.ARES_ENOTIMP: (Reason.DNS_REFUSED, "{server} doesn't answer such queries (NOTIMP)."),
    ares.ARES_EFORMERR: (Reason.DNS_SERVFAIL, "{server} can't read the query (FORMERR)."),
    ares.ARES_EBADRESP: (Reason.DNS_SERVFAIL, "{server} gave a malformed answer for {host}."),
    ares.ARES_EBADNAME: (Reason.DNS_NXDOMAIN, "{host} is not a name that DNS can hold."),
}
_RECORDS = {"auto": "A or AAAA", "4": "A", "6": "AAAA"}
_PATIENCE = 0.25
"""The share of the time after which a name server that has not answered is asked once more."""

_SHARED_FATE = {ares.ARES_EBADRESP, ares.ARES_ECONNREFUSED}
"""What c-ares says to all who wait on one socket when one of them is answered with rubbish."""


class Resolver:
    """Names to addresses, through the system's resolvers or one of the check's own."""

    def __init__(self) -> None:
        self._channels: dict[str | None, _Channel] = {}

    async def resolve(
        self, host: str, *, ip_version: str, server: str | None, deadline: Deadline
    ) -> list[str]:
        """The addresses of `host`, in the order to try them (RFC 6724). Raises Trouble."""
        family = _FAMILIES[ip_version]
        if host == "localhost":
            server = None  # no business of a name server's, RFC 6761 section 6.3
        try:
            return await self._resolve(host, family, server, deadline)
        except pycares.AresError as error:
            raise self._trouble(error.args[0], host, ip_version, server) from None
        except TimeoutError:
            raise Trouble(
                Reason.DNS_TIMEOUT,
                _sentence(
                    f"{_name(server)} did not answer for {host} within {deadline.timeout_s:g} s."
                ),
            ) from None

    async def _resolve(
        self, host: str, family: socket.AddressFamily, server: str | None, deadline: Deadline
    ) -> list[str]:
        try:
            return await _ask(lambda: self._channel(server), host, family, deadline)
        except pycares.AresError as error:
            if error.args[0] not in _SHARED_FATE:
                raise
        own = _Channel(server)
        try:
            return await _ask(lambda: own, host, family, deadline)
        finally:
            own.retire()

    def _channel(self, server: str | None) -> _Channel:
        channel = self._channels.get(server)
        if channel is None or channel.is_stale:
            self._retire_stale()
            channel = self._channels[server] = _Channel(server)
        return channel

    def _retire_stale(self) -> None:
        for server, channel in list(self._channels.items()):
            if channel.is_stale:
                channel.retire()
                del self._channels[server]

    def _trouble(self, code: int, host: str, ip_version: str, server: str | None) -> Trouble:
        reason, text = _DNS_TROUBLE.get(
            code, (Reason.CHECK_ERROR, f"Resolving {{host}} failed with error {code} of c-ares.")
        )
        message = text.format(host=host, server=_name(server), records=_RECORDS[ip_version])
        return Trouble(reason, _sentence(message))

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()


def _name(server: str | None) -> str:
    return f"the resolver {server}" if server else "the system's resolver"


def _sentence(text: str) -> str:
    return f"The{text[3:]}" if text.startswith("the ") else text


async def _ask(
    choose_channel: Callable[[], _Channel],
    host: str,
    family: socket.AddressFamily,
    deadline: Deadline,
) -> list[str]:
    """Ask until there is an answer. Raises TimeoutError at the deadline, or AresError."""
    while (remaining_s := deadline.remaining_s) > 0:
        try:
            async with asyncio.timeout(remaining_s):
                return await _look_up(choose_channel(), host, family, remaining_s * _PATIENCE)
        except pycares.AresError as error:
            # c-ares gives up sooner than the check when it has seen faster answers
            if error.args[0] != ares.ARES_ETIMEOUT:
                raise
    raise TimeoutError


async def _look_up(
    channel: _Channel, host: str, family: socket.AddressFamily, patience_s: float
) -> list[str]:
    """Ask; where no answer has come after a while, ask again beside it, each family by itself.

    A datagram may have been lost, and some name servers never answer for AAAA: one family's
    addresses will do then. Raises AresError.
    """
    first = channel.lookup(host, family)
    lookups = [first]
    try:
        await asyncio.wait(lookups, timeout=patience_s)
        if not first.done():
            both = (socket.AF_INET, socket.AF_INET6)
            families = both if family == socket.AF_UNSPEC else (family,)
            lookups += (channel.lookup(host, each) for each in families)
        while not first.done():
            done, _ = await asyncio.wait(lookups, return_when=asyncio.FIRST_COMPLETED)
            failed = [each for each in done if each.exception() is not None]
            if answered := done.difference(failed):
                return answered.pop().result()
            lookups = [each for each in lookups if each not in failed]
        return first.result()
    finally:
        for each in lookups:
            each.cancel()


class _Channel:
    """A c-ares channel on the running loop.

    c-ares remembers answers and failing servers for as long as a channel lives, and has no switch
    for it here. A monitor must see the change, so a channel serves for a second and then retires.
    """

    LIFETIME_S = 1.0

    def __init__(self, server: str | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._born_at = self._loop.time()
        self._open = 0
        self._is_retired = False
        self._is_closed = False
        self._readers: set[int] = set()
        self._writers: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        options: dict[str, Any] = {"timeout": 2.0, "tries": 4}
        if server is not None:
            # the server's own answer: no hosts file, no search domains
            options |= {"servers": [server], "lookups": "b", "domains": []}
        self._ares = pycares.Channel(sock_state_cb=self._on_socket, **options)

    @property
    def is_stale(self) -> bool:
        return self._loop.time() - self._born_at > self.LIFETIME_S

    def lookup(self, host: str, family: socket.AddressFamily) -> asyncio.Future[list[str]]:
        future: asyncio.Future[list[str]] = self._loop.create_future()

        def on_answer(found: pycares.AddrInfoResult | None, error: int | None) -> None:
            self._open -= 1
            if not future.done():
                if error is not None:
                    future.set_exception(pycares.AresError(error, pycares.errno.strerror(error)))
                else:
                    assert found is not None
                    addresses = (node.addr[0].decode() for node in found.nodes)
                    future.set_result(list(dict.fromkeys(addresses)))
            if self._is_retired and not self._open and not self._is_closed:
                self._loop.call_soon(self.close)  # not from inside c-ares' own callback

        self._open += 1
        try:
            self._ares.getaddrinfo(
                host, None, family=family, type=socket.SOCK_STREAM, callback=on_answer
            )
        except pycares.AresError as error:
            if not future.done():  # it raised before it called back; it may do both
                self._open -= 1
                future.set_exception(error)
        self._arm()
        return future

    def retire(self) -> None:
        """Take no more questions; close when those under way have their answers."""
        self._is_retired = True
        if not self._open:
            self.close()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for fd in self._readers:
            self._loop.remove_reader(fd)
        for fd in self._writers:
            self._loop.remove_writer(fd)
        self._readers.clear()
        self._writers.clear()
        self._is_closed = True
        self._ares.cancel()  # here rather than in the thread that takes the channel apart
        self._ares.close()

    def _on_socket(self, fd: int, readable: bool, writable: bool) -> None:
        if self._is_closed:
            return
        if readable:
            self._readers.add(fd)
            self._loop.add_reader(fd, self._process, fd, pycares.ARES_SOCKET_BAD)
        elif fd in self._readers:
            self._readers.remove(fd)
            self._loop.remove_reader(fd)
        if writable:
            self._writers.add(fd)
            self._loop.add_writer(fd, self._process, pycares.ARES_SOCKET_BAD, fd)
        elif fd in self._writers:
            self._writers.remove(fd)
            self._loop.remove_writer(fd)

    def _process(self, read_fd: int, write_fd: int) -> None:
        self._ares.process_fd(read_fd, write_fd)
        self._arm()

    def _on_timer(self) -> None:
        self._timer = None
        self._process(pycares.ARES_SOCKET_BAD, pycares.ARES_SOCKET_BAD)

    def _arm(self) -> None:
        """Wake when c-ares wants to send again. A wake-up too early does no harm, so keep it."""
        if self._timer is None and self._open:
            wait_s: float = self._ares.timeout()  # type: ignore[no-untyped-call]
            self._timer = self._loop.call_later(max(wait_s, 0.01), self._on_timer)
