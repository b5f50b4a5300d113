"""A receiver of webhooks on loopback that keeps what it gets and answers as it is told."""

import json
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An ordinary answer."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Misbehaviour:
    """An answer that is none."""


HANG = Misbehaviour()  # silent until the receiver closes
RESET = Misbehaviour()  # the connection is torn down
DRIP = Misbehaviour()  # a header that grows a byte at a time, for ever


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or doesn't trust us, is part of the play."""


class Receiver:
    """The next requests are answered as scripted by `will`, all others by `default`.

    It rests for `pause_s` before a reply's head and in the midst of its body.
    """

    default: Reply | Misbehaviour = Reply()
    pause_s = 0.0

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.script: deque[Reply | Misbehaviour] = deque()
        self.closing = Event()
        self._came = Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._serve(self)

            do_GET = do_PUT = do_PATCH = do_POST  # noqa: N815 - the names of the library

            def log_message(self, format: str, *args: Any) -> None:
                """Tests are silent."""

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def will(self, *answers: Reply | Misbehaviour) -> None:
        self.script.extend(answers)

    def wait_for(self, count: int, timeout: float = 10) -> list[Request]:
        """The requests, once there are `count` of them."""
        return self.wait_until(lambda requests: len(requests) >= count, timeout)

    def wait_until(
        self, is_enough: Callable[[list[Request]], bool], timeout: float = 10
    ) -> list[Request]:
        with self._came:
            came = self._came.wait_for(lambda: is_enough(self.requests), timeout)
            assert came, f"only {len(self.requests)} requests came"
            return list(self.requests)

    def answer(self, request: Request) -> Reply | Misbehaviour:
        return self.script.popleft() if self.script else self.default

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        request = Request(handler.path, dict(handler.headers.items()), body, handler.command)
        with self._came:
            answer = self.answer(request)
            self.requests.append(request)
            self._came.notify_all()
        if isinstance(answer, Reply):
            self._reply(handler, answer)
        else:
            self._misbehave(handler, answer)

    def _reply(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        self.closing.wait(self.pause_s)
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if "Content-Length" not in reply.headers:
            handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        middle = len(reply.body) // 2
        handler.wfile.write(reply.body[:middle])
        self.closing.wait(self.pause_s)
        handler.wfile.write(reply.body[middle:])

    def _misbehave(self, handler: BaseHTTPRequestHandler, how: Misbehaviour) -> None:
        handler.close_connection = True
        if how is RESET:
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.connection.close()
        elif how is DRIP:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            self._drip(handler)
        else:
            self.closing.wait()

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        while not self.closing.is_set():
            try:
                handler.wfile.write(b"a")
            except OSError:
                return
            time.sleep(0.02)
