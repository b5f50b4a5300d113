"""A TLS server on loopback. Threads and plain sockets: asyncio drops the alerts of a failed
handshake, and what a client makes of them is what tests want to know."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from threading import Thread

from tests.servers.http import OK
from tests.servers.raw import Server


@contextlib.contextmanager
def serve_tls(context: ssl.SSLContext, *, response: bytes = OK) -> Iterator[Server]:
    """Answer every request with `response`; handshakes that fail end with their alert."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    server = Server("127.0.0.1", listener.getsockname()[1], "https")
    thread = Thread(target=_run, args=(listener, context, response, server), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread out of accept
        thread.join(timeout=5)
        listener.close()


def _run(listener: socket.socket, context: ssl.SSLContext, response: bytes, server: Server) -> None:
    while True:
        try:
            accepted, _ = listener.accept()
        except OSError:
            return
        server.connections += 1
        accepted.settimeout(2)
        secured = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        with secured, contextlib.suppress(OSError):
            _answer(secured, response, server)


def _answer(secured: ssl.SSLSocket, response: bytes, server: Server) -> None:
    try:
        secured.do_handshake()
    except ssl.SSLError:
        secured.shutdown(socket.SHUT_WR)
        while secured.recv(4096):  # to close on unread data would reset, and lose the alert
            pass
        return
    head = b""
    while b"\r\n\r\n" not in head:
        head += secured.recv(4096) or b"\r\n\r\n"
    server.requests.append(head)
    secured.sendall(response)
    secured.unwrap()
