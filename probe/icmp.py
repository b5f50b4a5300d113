"""ICMP echo: one socket per address family for all checks; answers find their way by id and number.

    pings = Pings()
    key = pings.send("192.0.2.1", payload, on_answer)     # Trouble, OSError
    pings.forget("192.0.2.1", key)                        # wanted no longer

A raw socket is taken where the process may open one (CAP_NET_RAW); else an unprivileged one, where
its group lies in net.ipv4.ping_group_range (Linux, icmp(7)).
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from probe.net import Trouble
from probe.values import Reason

_ECHO_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_ECHO_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_UNREACHABLE = {socket.AF_INET: 3, socket.AF_INET6: 1}
_EXCEEDED = {socket.AF_INET: 11, socket.AF_INET6: 3}
_PARAMETER = {socket.AF_INET: 12, socket.AF_INET6: 4}
_TOO_BIG = {socket.AF_INET: -1, socket.AF_INET6: 2}

# of Linux' headers, unknown to the socket module
_SO_TIMESTAMPNS = 35
_SOL_RAW = 255
_ICMP_FILTER = 1
_ICMP6_FILTER = 1
IP_RECVERR = {socket.AF_INET: 11, socket.AF_INET6: 25}
LEVEL = {socket.AF_INET: socket.IPPROTO_IP, socket.AF_INET6: socket.IPPROTO_IPV6}
TTL = {socket.AF_INET: socket.IP_TTL, socket.AF_INET6: socket.IPV6_HOPLIMIT}

_BUFFER_BYTES = 4 * 2**20
_SEND_TRIES = 5
_READS_AT_ONCE = 256  # then other work of the loop gets its turn

_HEADER = struct.Struct("!BBHHH")
_TIMESPEC = struct.Struct("@qq")
_EXTENDED_ERROR = struct.Struct("@IBBBBII")  # sock_extended_err, ip(7)

_UNREACHABLE_CODES = {
    socket.AF_INET: {
        0: "network unreachable",
        1: "host unreachable",
        2: "protocol unreachable",
        3: "port unreachable",
        4: "fragmentation needed",
        6: "network unknown",
        7: "host unknown",
        9: "network prohibited",
        10: "host prohibited",
        13: "prohibited by a filter",
    },
    socket.AF_INET6: {
        0: "no route",
        1: "prohibited by a filter",
        2: "beyond the scope of the source address",
        3: "address unreachable",
        4: "port unreachable",
        5: "source address refused by policy",
        6: "route rejected",
    },
}


@dataclass(slots=True)  # not frozen: that makes each take three times as long to make
class Answer:
    """What came back for one packet: `trouble` is empty for an echo, else what a router said.

    `is_exceeded`: the packet's time to live ended at `address`, which is a router on the way.
    """

    address: str
    rtt_ms: float
    trouble: str = ""
    is_exceeded: bool = False


OnAnswer = Callable[[Answer], None]


def describe(family: socket.AddressFamily, kind: int, code: int) -> str:
    """What an ICMP error says, in words."""
    if kind == _UNREACHABLE[family]:
        return _UNREACHABLE_CODES[family].get(code, f"unreachable (code {code})")
    if kind == _EXCEEDED[family]:
        return "time to live exceeded" if code == 0 else "reassembly time exceeded"
    if kind == _TOO_BIG[family]:
        return "packet too big"
    return f"ICMP type {kind} code {code}"


class Pings:
    """The sockets of one prober, opened when first used."""

    def __init__(self) -> None:
        self._sockets: dict[socket.AddressFamily, EchoSocket] = {}
        self._pacers: dict[float, Pacer] = {}

    def pacer(self, gap_s: float) -> Pacer:
        """What calls back after just this time; made for a few different ones."""
        found = self._pacers.get(gap_s)
        if found is None:
            found = self._pacers[gap_s] = Pacer(gap_s)
        return found

    def send(
        self, address: str, payload: bytes, on_answer: OnAnswer, *, ttl: int | None = None
    ) -> int:
        """Send one echo request; `on_answer` is called once, unless the key is forgotten.

        Raises Trouble (check_error) where the process may not, OSError where sending fails.
        """
        return self._socket(family_of(address)).send(address, payload, on_answer, ttl)

    def forget(self, address: str, key: int) -> None:
        """No answer to this packet is wanted any more."""
        self._socket(family_of(address)).forget(key)

    def _socket(self, family: socket.AddressFamily) -> EchoSocket:
        found = self._sockets.get(family)
        if found is None:
            found = self._sockets[family] = EchoSocket(family)
        return found

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()
        self._sockets.clear()


class Pacer:
    """Calls back after a time that is the same for all: so they wait in a row, behind one timer.

    A timer of the loop's for each packet would cost more than sending it.
    """

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._loop = asyncio.get_running_loop()
        self._row: deque[tuple[float, Callable[[], None]]] = deque()
        self._is_armed = False

    def call(self, action: Callable[[], None]) -> None:
        """Call `action` once, the gap from now. What raises there is the loop's to report."""
        self._row.append((self._loop.time() + self._gap_s, action))
        self._arm()

    def _arm(self) -> None:
        if self._row and not self._is_armed:
            self._is_armed = True
            self._loop.call_at(self._row[0][0], self._run)

    def _run(self) -> None:
        # what falls due within a millisecond goes along: nobody measures a gap to that
        now = self._loop.time() + 0.001
        row = self._row
        try:
            while row and row[0][0] <= now:
                row.popleft()[1]()
        finally:
            self._is_armed = False
            self._arm()


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def open_socket(family: socket.AddressFamily) -> tuple[socket.socket, bool]:
    """A socket for ICMP, and whether it is a raw one. Raises Trouble where neither is allowed."""
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        try:
            return socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol), (
                kind == socket.SOCK_RAW
            )
        except PermissionError:
            continue
        except OSError as error:  # an address family or protocol that the kernel lacks
            raise Trouble(
                Reason.CHECK_ERROR, f"This machine can't send ICMP: {error.strerror}."
            ) from None
    raise Trouble(
        Reason.CHECK_ERROR,
        "This process may not send ICMP: give it CAP_NET_RAW, or let its group lie in the sysctl"
        " net.ipv4.ping_group_range.",
    )


class _Pending:
    __slots__ = ("address", "on_answer", "sent_at", "sent_at_ns")

    def __init__(self, address: bytes, on_answer: OnAnswer) -> None:
        self.address = address
        self.on_answer = on_answer
        self.sent_at_ns = time.time_ns()
        self.sent_at = time.perf_counter()


class EchoSocket:
    """All echo requests of one address family.

    The 32 bits of id and number together are a packet's key on a raw socket. On an unprivileged one
    the kernel sets the id, and the number alone is the key. An answer counts only where it comes
    from the address that was asked, or quotes the packet that was sent there.
    """

    def __init__(self, family: socket.AddressFamily) -> None:
        self._family = family
        self._socket, self._is_raw = open_socket(family)
        self._mask = 0xFFFFFFFF if self._is_raw else 0xFFFF
        self._next_key = secrets.randbits(32) & self._mask
        self._pending: dict[int, _Pending] = {}
        self._set_options()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def _set_options(self) -> None:
        sock, family = self._socket, self._family
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        if not self._is_raw:
            sock.setsockopt(LEVEL[family], IP_RECVERR[family], 1)
            return
        # the kernel drops what is not for us: above all, on loopback, our own requests
        wanted = [
            kinds[family] for kinds in (_ECHO_REPLY, _UNREACHABLE, _EXCEEDED, _PARAMETER, _TOO_BIG)
        ]
        if family == socket.AF_INET:
            mask = ~sum(1 << kind for kind in wanted if kind >= 0) & 0xFFFFFFFF
            sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("@I", mask))
        else:
            blocked = (1 << 256) - 1 - sum(1 << kind for kind in wanted)
            words = [blocked >> 32 * number & 0xFFFFFFFF for number in range(8)]
            sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("@8I", *words))

    def send(self, address: str, payload: bytes, on_answer: OnAnswer, ttl: int | None) -> int:
        key = self._free_key()
        packet = self._packet(key, payload)
        pending = self._pending[key] = _Pending(packed(address), on_answer)
        try:
            self._transmit(packet, address, ttl)
        except OSError:
            del self._pending[key]
            raise
        pending.sent_at = time.perf_counter()
        return key

    def _transmit(self, packet: bytes, address: str, ttl: int | None) -> None:
        for tries_left in reversed(range(_SEND_TRIES)):
            try:
                if ttl is None:
                    self._socket.sendto(packet, (address, 0))
                else:
                    hops = (LEVEL[self._family], TTL[self._family], struct.pack("@i", ttl))
                    self._socket.sendmsg([packet], [hops], 0, (address, 0))
            except OSError:
                # with IP_RECVERR a call fails once for each error that came for earlier packets
                if self._is_raw or not tries_left:
                    raise
            else:
                return

    def _free_key(self) -> int:
        if len(self._pending) > self._mask // 2:
            raise Trouble(Reason.CHECK_ERROR, "Too many ICMP packets are under way at once.")
        while self._next_key in self._pending:
            self._next_key = (self._next_key + 1) & self._mask
        key = self._next_key
        self._next_key = (key + 1) & self._mask
        return key

    def _packet(self, key: int, payload: bytes) -> bytes:
        kind, identity, number = _ECHO_REQUEST[self._family], key >> 16, key & 0xFFFF
        # elsewhere than on a raw socket of IPv4 the kernel sums up
        check = 0
        if self._is_raw and self._family == socket.AF_INET:
            total = (kind << 8) + identity + number + _sum(payload)
            total = (total & 0xFFFF) + (total >> 16)
            total = (total & 0xFFFF) + (total >> 16)
            check = ~total & 0xFFFF
        return _HEADER.pack(kind, 0, check, identity, number) + payload

    def forget(self, key: int) -> None:
        self._pending.pop(key, None)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    # Reading

    def _read(self) -> None:
        receive = self._socket.recvmsg
        for _ in range(_READS_AT_ONCE):
            try:
                data, ancillary, _flags, source = receive(2048, 64)
            except BlockingIOError:
                break
            except OSError:
                break  # an error that was queued for the socket; the queue below says more
            arrived_at_ns = 0
            if ancillary:
                seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
                arrived_at_ns = seconds * 1_000_000_000 + nanoseconds
            self._take(data, source[0], arrived_at_ns)
        if not self._is_raw:
            self._read_errors()

    def _take(self, data: bytes, source: str, arrived_at_ns: int) -> None:
        has_ip_header = self._is_raw and self._family == socket.AF_INET
        at = (data[0] & 0x0F) * 4 if has_ip_header and data else 0
        if len(data) < at + _HEADER.size:
            return
        kind, code, _check, identity, number = _HEADER.unpack_from(data, at)
        if kind == _ECHO_REPLY[self._family]:
            key = identity << 16 | number if self._is_raw else number
            pending = self._pending.get(key)
            if pending is not None and pending.address == packed(source.partition("%")[0]):
                del self._pending[key]
                pending.on_answer(Answer(source, _rtt_ms(pending, arrived_at_ns)))
            return
        quoted = _quoted(self._family, data[at + 8 :])
        if quoted is not None:
            target, header = quoted
            self._take_error(kind, code, source, target, header, arrived_at_ns)

    def _read_errors(self) -> None:
        for _ in range(_READS_AT_ONCE):
            try:
                data, ancillary, _flags, target = self._socket.recvmsg(
                    2048, 512, socket.MSG_ERRQUEUE
                )
            except OSError:
                return
            error = read_extended_error(self._family, ancillary)
            if error is not None and error.is_icmp:
                self._take_error(
                    error.kind, error.code, error.offender, packed(target[0]), data[:8], 0
                )

    def _take_error(
        self, kind: int, code: int, source: str, target: bytes, header: bytes, arrived_at_ns: int
    ) -> None:
        if len(header) < 8:
            return
        sent_kind, _code, _check, identity, number = _HEADER.unpack(header)
        if sent_kind != _ECHO_REQUEST[self._family]:
            return
        key = identity << 16 | number if self._is_raw else number
        pending = self._pending.get(key)
        if pending is None or pending.address != target:
            return
        del self._pending[key]
        pending.on_answer(
            Answer(
                source,
                _rtt_ms(pending, arrived_at_ns),
                describe(self._family, kind, code),
                kind == _EXCEEDED[self._family] and code == 0,
            )
        )


@dataclass(frozen=True, slots=True)
class ExtendedError:
    """An error out of a socket's error queue, and who sent it."""

    number: int
    is_icmp: bool
    kind: int
    code: int
    offender: str


def read_extended_error(
    family: socket.AddressFamily, ancillary: list[tuple[int, int, bytes]]
) -> ExtendedError | None:
    """The sock_extended_err among a message's ancillary data (ip(7), IP_RECVERR)."""
    for level, kind, data in ancillary:
        if (level, kind) != (LEVEL[family], IP_RECVERR[family]):
            continue
        number, origin, icmp_kind, icmp_code, *_ = _EXTENDED_ERROR.unpack_from(data)
        offender = ""
        if len(data) >= 24 and family == socket.AF_INET:
            offender = socket.inet_ntop(family, data[20:24])
        elif len(data) >= 40 and family == socket.AF_INET6:
            offender = socket.inet_ntop(family, data[24:40])
        return ExtendedError(number, origin in (2, 3), icmp_kind, icmp_code, offender)
    return None


def _rtt_ms(pending: _Pending, arrived_at_ns: int) -> float:
    """By the kernel's stamp, so that a busy loop adds nothing; a clock that was set counts not."""
    seen_ms = (time.perf_counter() - pending.sent_at) * 1000
    stamped_ms = (arrived_at_ns - pending.sent_at_ns) / 1e6
    return round(stamped_ms if 0 <= stamped_ms <= seen_ms + 1 else seen_ms, 3)


def _quoted(family: socket.AddressFamily, data: bytes) -> tuple[bytes, bytes] | None:
    """Of a packet that an ICMP error quotes: where it was sent to, and its ICMP header."""
    if family == socket.AF_INET:
        if len(data) < 28:
            return None
        length = (data[0] & 0x0F) * 4
        return data[16:20], data[length : length + 8]
    if len(data) < 48 or data[6] != socket.IPPROTO_ICMPV6:
        return None
    return data[24:40], data[40:48]


@lru_cache(maxsize=4096)
def packed(address: str) -> bytes:
    return ipaddress.ip_address(address.partition("%")[0]).packed


@lru_cache(maxsize=64)
def _sum(payload: bytes) -> int:
    """The sum of 16-bit words that goes into a checksum (RFC 1071)."""
    padded = payload + b"\0" * (len(payload) % 2)
    return sum(struct.unpack(f"!{len(padded) // 2}H", padded))
