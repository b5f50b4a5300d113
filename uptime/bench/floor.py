"""What a machine charges for the bare minimum of a check: connect, ask, read to the end, close.

Plain blocking sockets, one after the other; no product of ours in between.
"""

import socket
import ssl
import time
from urllib.parse import urlsplit


def floor_cpu_ms(url: str, count: int) -> float:
    """CPU milliseconds of this process per bare exchange with `url` (http, https or tcp)."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    address = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
    context = ssl.create_default_context() if parts.scheme == "https" else None
    request = b"" if parts.scheme == "tcp" else _request(url)
    _exchange(address, context, request)  # the first one loads things
    before = time.process_time()
    for _ in range(count):
        _exchange(address, context, request)
    return (time.process_time() - before) / count * 1000


def _request(url: str) -> bytes:
    parts = urlsplit(url)
    return f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()


def _exchange(address: tuple[str, int], context: ssl.SSLContext | None, request: bytes) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        if context is not None:
            with context.wrap_socket(connection, server_hostname=address[0]) as secured:
                _ask(secured, request)
        elif request:
            _ask(connection, request)


def _ask(connection: socket.socket, request: bytes) -> None:
    connection.sendall(request)
    while connection.recv(65536):
        pass
