"""A small internet of our own: what lies beyond the machine is played by the test.

with Internet() as internet:                      # this thread has left the machine's network
    internet.routes["8.8.8.8"] = Route(hops=("10.0.0.1", None, "10.0.0.3"))

The thread moves into a network namespace (namespaces(7)) whose only way out is a TUN device. A
player at its far end answers each packet as its route says. Needs CAP_SYS_ADMIN; `why_not` says
what is missing.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_INFO = 0x1001
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCGIFINDEX = 0x8916, 0x891C, 0x8933
_SIOCSIFFLAGS, _SIOCADDRT = 0x8914, 0x890B
_RTF_UP = 1
_IFF_UP_RUNNING = 0x41
_CAP_NET_RAW = 13

OUR_IPV4, OUR_IPV6 = "10.99.0.1", "2001:db8:99::1"
"""This machine's addresses there; all of IPv4 and 2000::/3 are the internet."""

_libc = ctypes.CDLL(None, use_errno=True)


@cache
def why_not() -> str:
    """Why this process can't have a network of its own; empty where it can."""
    try:
        with Internet():
            return ""
    except OSError as error:
        return f"this machine allows no network namespace of our own: {error}"


@dataclass(frozen=True)
class Route:
    """The way to an address, and what is at its end.

    `hops` are the routers on the way, None for one that says nothing. `lost` are the packets that
    vanish, by their number on this route from 0. `refusal` is the ICMP code with which the last
    router says that the address can't be reached. `delay_s` is how long each answer takes.
    `open_ports` answer to TCP; `is_silent` swallows all that arrives.
    """

    hops: tuple[str | None, ...] = ()
    lost: frozenset[int] = frozenset()
    refusal: int | None = None
    delay_s: float = 0
    open_ports: frozenset[int] = frozenset()
    is_silent: bool = False
    copies: int = 1
    source: str | None = None


@dataclass
class Packet:
    """An IP packet as it left this machine."""

    raw: bytes
    is_ipv6: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_ipv6 = self.raw[0] >> 4 == 6

    @property
    def source(self) -> str:
        return self._address(8, 12)

    @property
    def target(self) -> str:
        return self._address(24, 16)

    def _address(self, at_v6: int, at_v4: int) -> str:
        if self.is_ipv6:
            return socket.inet_ntop(socket.AF_INET6, self.raw[at_v6 : at_v6 + 16])
        return socket.inet_ntop(socket.AF_INET, self.raw[at_v4 : at_v4 + 4])

    @property
    def hops_left(self) -> int:
        return self.raw[7] if self.is_ipv6 else self.raw[8]

    @property
    def protocol(self) -> int:
        return self.raw[6] if self.is_ipv6 else self.raw[9]

    @property
    def content(self) -> bytes:
        return self.raw[40:] if self.is_ipv6 else self.raw[(self.raw[0] & 15) * 4 :]


class Internet:
    """`routes` are by address; one without a route is answered by nobody. `seen` is what came."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.seen: list[Packet] = []
        self._counts: dict[str, int] = {}
        self._timers: list[threading.Timer] = []
        self._owned = 0

    def __enter__(self) -> Self:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _call("unshare", _CLONE_NEWNET)
        except OSError:
            os.close(self._home)
            raise
        try:
            self._tun = _open_tun()
            _configure()
        except OSError:
            self._go_home()
            raise
        self._bell = os.eventfd(0)
        self._player = threading.Thread(target=self._play, daemon=True)
        self._player.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for timer in self._timers:
            timer.cancel()
            timer.join()
        os.eventfd_write(self._bell, 1)
        self._player.join()
        os.close(self._bell)
        os.close(self._tun)
        self._go_home()

    def _go_home(self) -> None:
        _call("setns", self._home, _CLONE_NEWNET)
        os.close(self._home)

    def own(self, address: str) -> None:
        """Give this machine one more IPv4 address, on loopback: servers of tests can be there."""
        self._owned += 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            _set_address(control, f"lo:{self._owned}", address, 32)

    def cut(self) -> None:
        """Take the link down: the kernel says that nothing beyond can be reached."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCSIFFLAGS, _request("world", struct.pack("h", 0)))

    def mend(self) -> None:
        """Bring the link up again, for IPv4."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            _bring_up(control, "world")
            _add_default_route(control)

    def allow_pings(self, *, for_all: bool) -> None:
        """Let every group open unprivileged ICMP sockets, or none."""
        text = "0 2147483647" if for_all else "1 0"
        Path("/proc/sys/net/ipv4/ping_group_range").write_text(text)

    @contextlib.contextmanager
    def without_ports(self) -> Iterator[None]:
        """No connection and no datagram gets a local port meanwhile: the only one is taken."""
        ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
        before = ports.read_text()
        ports.write_text("32768 32768")
        kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        with contextlib.ExitStack() as taken:
            for kind in kinds:
                taker = taken.enter_context(socket.socket(socket.AF_INET6, kind))
                taker.bind(("::", 32768))  # of IPv4 as well
            yield
        ports.write_text(before)

    def withdraw_ipv6(self) -> None:
        """Take this machine's IPv6 away, but for its own address ::1."""
        Path("/proc/sys/net/ipv6/conf/world/disable_ipv6").write_text("1")

    def _play(self) -> None:
        with select.epoll() as poll:
            poll.register(self._tun, select.EPOLLIN)
            poll.register(self._bell, select.EPOLLIN)
            while not any(fd == self._bell for fd, _ in poll.poll()):
                packet = Packet(os.read(self._tun, 65535))
                for answer, delay_s in self._answers(packet):
                    self._send(answer, delay_s)

    def _send(self, answer: bytes, delay_s: float) -> None:
        if not delay_s:
            os.write(self._tun, answer)
            return
        timer = threading.Timer(delay_s, os.write, (self._tun, answer))
        self._timers.append(timer)
        timer.start()

    def _answers(self, packet: Packet) -> Iterator[tuple[bytes, float]]:
        route = self.routes.get(packet.target)
        if route is None:
            return
        self.seen.append(packet)
        number = self._counts.get(packet.target, 0)
        self._counts[packet.target] = number + 1
        if number in route.lost:
            return
        if packet.hops_left <= len(route.hops):
            router = route.hops[packet.hops_left - 1]
            if router is not None:
                yield _exceeded(packet, router), route.delay_s
        elif route.refusal is not None:
            router = next((hop for hop in reversed(route.hops) if hop), packet.target)
            yield _unreachable(packet, router, route.refusal), route.delay_s
        elif not route.is_silent:
            answer = _answer_of_host(packet, route)
            for _ in range(route.copies if answer else 0):
                yield answer, route.delay_s


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _open_tun() -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"world", _IFF_TUN_NO_INFO))
    except OSError:
        os.close(tun)
        raise
    return tun


def _configure() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control6,
    ):
        # no pause to make sure of addresses (RFC 4862 section 5.4): nobody else is there
        Path("/proc/sys/net/ipv6/conf/world/accept_dad").write_text("0")
        for name in ("lo", "world"):
            _bring_up(control, name)
        _set_address(control, "world", OUR_IPV4, 24)
        _add_default_route(control)
        index = struct.unpack_from("i", fcntl.ioctl(control, _SIOCGIFINDEX, _request("world")), 16)
        address = socket.inet_pton(socket.AF_INET6, OUR_IPV6)
        fcntl.ioctl(control6, _SIOCSIFADDR, struct.pack("16sIi", address, 3, *index))
    while _is_tentative(address):  # for a moment; packets would leave with another address
        time.sleep(0.001)


def _bring_up(control: socket.socket, name: str) -> None:
    fcntl.ioctl(control, _SIOCSIFFLAGS, _request(name, struct.pack("h", _IFF_UP_RUNNING)))


def _add_default_route(control: socket.socket) -> None:
    device = ctypes.create_string_buffer(b"world")
    route = struct.pack("@L", 0) + struct.pack("H14x", socket.AF_INET) * 3
    route += struct.pack("@HhLPhPLLH", _RTF_UP, 0, 0, 0, 0, ctypes.addressof(device), 0, 0, 0)
    fcntl.ioctl(control, _SIOCADDRT, route + bytes(6))


def _is_tentative(address: bytes) -> bool:
    lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
    flags = {line.split()[0]: int(line.split()[4], 16) for line in lines}
    return bool(flags.get(address.hex(), 0x40) & 0x40)


def _set_address(control: socket.socket, name: str, address: str, prefix: int) -> None:
    mask = struct.pack("!I", (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF)
    for request, value in ((_SIOCSIFADDR, socket.inet_aton(address)), (_SIOCSIFNETMASK, mask)):
        fcntl.ioctl(control, request, _request(name, struct.pack("HH4s", 2, 0, value)))


def _request(name: str, value: bytes = b"") -> bytes:
    return struct.pack("16s24s", name.encode(), value)


# Packets


def checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ip(source: str, target: str, protocol: int, content: bytes) -> bytes:
    if ":" in source:
        start = struct.pack("!IHBB", 6 << 28, len(content), protocol, 64)
        return start + _pton(source) + _pton(target) + content
    start = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(content), 0, 0, 64, protocol, 0)
    header = start + _pton(source) + _pton(target)
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + content


def _pton(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _icmp(source: str, target: str, kind: int, code: int, rest: bytes) -> bytes:
    if ":" in source:
        body = struct.pack("!BBH", kind, code, 0) + rest
        return _ip(source, target, 58, _summed(source, target, 58, body, 2))
    body = struct.pack("!BBH", kind, code, 0) + rest
    return _ip(source, target, 1, body[:2] + struct.pack("!H", checksum(body)) + body[4:])


def _summed(source: str, target: str, protocol: int, body: bytes, at: int) -> bytes:
    """`body` with the checksum over it and its addresses at `at` (RFC 8200, section 8.1)."""
    length = struct.pack("!I", len(body)) if ":" in source else struct.pack("!H", len(body))
    kind = struct.pack("!I", protocol) if ":" in source else struct.pack("!H", protocol)
    total = checksum(_pton(source) + _pton(target) + length + kind + body)
    return body[:at] + struct.pack("!H", total) + body[at + 2 :]


def _exceeded(packet: Packet, router: str) -> bytes:
    source = router if not packet.is_ipv6 or ":" in router else f"2001:db8::{router}"
    kind = 3 if packet.is_ipv6 else 11
    return _icmp(source, packet.source, kind, 0, bytes(4) + packet.raw[:128])


def _unreachable(packet: Packet, router: str, code: int) -> bytes:
    kind = 1 if packet.is_ipv6 else 3
    return _icmp(router, packet.source, kind, code, bytes(4) + packet.raw[:128])


def _answer_of_host(packet: Packet, route: Route) -> bytes:
    host, us, content = route.source or packet.target, packet.source, packet.content
    if packet.protocol in (1, 58):
        kind = {8: 0, 128: 129}.get(content[0])
        return b"" if kind is None else _icmp(host, us, kind, 0, content[4:])
    if packet.protocol == socket.IPPROTO_UDP:
        return _unreachable(packet, host, 4 if packet.is_ipv6 else 3)
    return _tcp_answer(host, us, content, route)


def _tcp_answer(host: str, us: str, segment: bytes, route: Route) -> bytes:
    ours, theirs, number = struct.unpack_from("!HHI", segment)
    if not segment[13] & 2:  # only a SYN is answered
        return b""
    flags = 0x12 if theirs in route.open_ports else 0x14
    head = struct.pack("!HHIIBBHHH", theirs, ours, 1, number + 1, 5 << 4, flags, 65535, 0, 0)
    return _ip(host, us, socket.IPPROTO_TCP, _summed(host, us, socket.IPPROTO_TCP, head, 16))


# Privileges


@contextlib.contextmanager
def without_raw_sockets() -> Iterator[None]:
    """This thread without CAP_NET_RAW."""
    header = struct.pack("Ii", 0x20080522, 0)
    data = ctypes.create_string_buffer(24)
    _call_pointers("capget", header, data)
    before = bytes(data)
    low, *rest = struct.unpack("6I", before)
    reduced = struct.pack("6I", low & ~(1 << _CAP_NET_RAW), *rest)
    _call_pointers("capset", header, ctypes.create_string_buffer(reduced, 24))
    try:
        yield
    finally:
        _call_pointers("capset", header, ctypes.create_string_buffer(before, 24))


def _call_pointers(name: str, header: bytes, data: object) -> None:
    if getattr(_libc, name)(ctypes.create_string_buffer(header), data) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
