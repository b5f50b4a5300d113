"""What a machine charges for the bare minimum of a check: connect, ask, read to the end, close.

Plain blocking sockets, one after the other; no product of ours in between.
"""

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from probe.kinds.traceroute import HOPS_AT_ONCE, TracerouteSettings
from uptime.bench.conversations import CONVERSATIONS, Conversation


def floor_cpu_ms(url: str, count: int) -> float:
    """CPU milliseconds of this process per bare exchange with `url`.

    For icmp three echoes over one open socket; for dns a question and its answer over a socket of
    its own; for traceroute as many packets as a check sends to a host that is next door; for tls
    the handshake; for the others as said above.
    """
    with _exchange_of(url) as exchange:
        exchange()  # the first one loads things
        before = time.process_time()
        for _ in range(count):
            exchange()
        return (time.process_time() - before) / count * 1000


def paced_floor_cpu_ms(url: str, *, per_s: float, seconds: float) -> float:
    """The same with the exchanges spread evenly over time.

    A process that sleeps between them pays for each wake-up, which many at once share.
    """
    count = int(per_s * seconds)
    with _exchange_of(url) as exchange:
        exchange()
        start, before = time.monotonic(), time.process_time()
        for number in range(count):
            time.sleep(max(0, start + number / per_s - time.monotonic()))
            exchange()
        return (time.process_time() - before) / count * 1000


@contextmanager
def _exchange_of(url: str) -> Iterator[Callable[[], None]]:
    parts = urlsplit(url)
    if parts.scheme == "icmp":
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
            yield _pings(sock, parts.netloc)
    else:
        yield _exchange_on_its_own(url)


def _exchange_on_its_own(url: str) -> Callable[[], None]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    if parts.scheme == "traceroute":
        return lambda: _trace(parts.hostname or "")
    is_secure = parts.scheme in ("https", "tls")
    address = (parts.hostname, parts.port or (443 if is_secure else 80))
    if parts.scheme == "dns":
        return lambda: _ask_name(address, parts.path.strip("/"))
    if parts.scheme in CONVERSATIONS:
        return lambda: _converse(address, CONVERSATIONS[parts.scheme])
    context = ssl.create_default_context() if is_secure else None
    request = _request(url) if parts.scheme in ("http", "https") else b""
    return lambda: _exchange(address, context, request)


def _pings(sock: socket.socket, host: str) -> Callable[[], None]:
    sock.setsockopt(
        255, 1, struct.pack("@I", ~1 & 0xFFFFFFFF)
    )  # SOL_RAW, ICMP_FILTER: replies only
    header = struct.pack("!BBHHH", 8, 0, ~0x0800 & 0xFFFF, 0, 0)  # of zeros, so the sum is easy
    packet = header + bytes(56)

    def ping() -> None:
        for _ in range(3):
            sock.sendto(packet, (host, 0))
            sock.recv(2048)

    return ping


def _ask_name(address: tuple[str, int], name: str) -> None:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = b"\x00\x07\x01\x00\x00\x01" + bytes(6) + labels + b"\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.send(query)
        sock.recv(2048)


def _trace(host: str) -> None:
    """Each packet meets a closed port, and the kernel's answer is waited for."""
    packets = HOPS_AT_ONCE * TracerouteSettings().queries
    for number in range(packets):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((host, 33_434 + number))
            sock.send(bytes(32))
            with suppress(ConnectionRefusedError):
                sock.recv(2048)


def _converse(address: tuple[str, int], conversation: Conversation) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        _take(connection, len(conversation.greeting))
        for turn in conversation.turns:
            connection.sendall(turn.ask)
            _take(connection, len(turn.answer_to(turn.ask)))


def _take(connection: socket.socket, count: int) -> None:
    while count > 0:
        count -= len(connection.recv(65536))


def _request(url: str) -> bytes:
    parts = urlsplit(url)
    return f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()


def _exchange(address: tuple[str, int], context: ssl.SSLContext | None, request: bytes) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        if context is not None:
            with context.wrap_socket(connection, server_hostname=address[0]) as secured:
                if request:
                    _ask(secured, request)
        elif request:
            _ask(connection, request)


def _ask(connection: socket.socket, request: bytes) -> None:
    connection.sendall(request)
    while connection.recv(65536):
        pass
