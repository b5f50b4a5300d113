"""A web server of HTTP/3 on loopback: how it answers is a function of the request."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

from aioquic.asyncio import QuicConnectionProtocol
from aioquic.asyncio import serve as serve_quic
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ProtocolNegotiated, QuicEvent

from tests.servers.authority import Issued
from tests.servers.raw import Server

Pairs = Sequence[tuple[str, str]]
Conduct = Callable[["Asked"], None]
OK: Pairs = ((":status", "200"),)


class Asked:
    """One request that has come whole, and the means to answer it."""

    def __init__(self, protocol: "_Protocol", stream: int) -> None:
        self._protocol = protocol
        self._stream = stream

    def send_headers(self, pairs: Pairs, *, ends: bool = False) -> None:
        encoded = [(name.encode(), value.encode()) for name, value in pairs]
        self._protocol.http.send_headers(self._stream, encoded, ends)

    def send_body(self, body: bytes, *, ends: bool = False) -> None:
        self._protocol.http.send_data(self._stream, body, ends)

    def send_raw(self, frames: bytes) -> None:
        self._protocol.quic.send_stream_data(self._stream, frames, end_stream=True)

    def reset(self, code: int) -> None:
        self._protocol.quic.reset_stream(self._stream, code)

    def close(self, code: int) -> None:
        """End the connection, once what was sent so far is on its way."""
        self._protocol.transmit()
        self._protocol.quic.close(code)


def answer(headers: Pairs = OK, body: bytes = b"", trailers: Pairs = ()) -> Conduct:
    def conduct(asked: Asked) -> None:
        asked.send_headers(headers)
        asked.send_body(body, ends=not trailers)
        if trailers:
            asked.send_headers(trailers, ends=True)

    return conduct


def stay_silent(asked: Asked) -> None:
    pass


class _Protocol(QuicConnectionProtocol):
    def __init__(
        self, quic: QuicConnection, *, conduct: Conduct, server: Server, **more: Any
    ) -> None:
        super().__init__(quic, **more)
        self.quic = quic
        self.http: H3Connection
        self._conduct = conduct
        self._server = server

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self.quic)
            self._server.connections += 1
        elif hasattr(self, "http"):
            for seen in self.http.handle_event(event):
                self._on_http(seen)

    def _on_http(self, seen: H3Event) -> None:
        if isinstance(seen, HeadersReceived):
            self._server.requests.append(b"".join(b"%s: %s\r\n" % pair for pair in seen.headers))
        if isinstance(seen, DataReceived | HeadersReceived) and seen.stream_ended:
            self._conduct(Asked(self, seen.stream_id))
            self.transmit()


@contextlib.asynccontextmanager
async def serve(
    conduct: Conduct,
    issued: Issued,
    *,
    protocols: Sequence[str] = tuple(H3_ALPN),
) -> AsyncIterator[Server]:
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=list(protocols),
        certificate=issued.certificate,
        certificate_chain=list(issued.chain),
        private_key=issued.key,
    )
    server = Server("127.0.0.1", 0, "https")
    quic = await serve_quic(
        "127.0.0.1",
        0,
        configuration=configuration,
        create_protocol=partial(_Protocol, conduct=conduct, server=server),
    )
    server.port = quic._transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        quic.close()
