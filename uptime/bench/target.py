"""Loopback targets that cost little, each in a process of its own.

with loopback_target() as url: ...
with slow_target(9) as url: ...
with loopback_name_server() as url: ...
with loopback_partner("smtp") as url: ...
"""

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from uptime.bench.conversations import CONVERSATIONS, Conversation

BODY = b"x" * 1024
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(BODY), BODY)
)
_RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"  # A 192.0.2.1
_NAME_SERVER = "names"
_SLOW = "slow"


@contextmanager
def loopback_target(certificate: Path | None = None) -> Iterator[str]:
    """Start the target; yields its URL. With a PEM file of a key and its chain it speaks TLS."""
    if certificate is None:
        with _process() as port:
            yield f"http://127.0.0.1:{port}/"
    else:
        with _process(str(certificate)) as port:
            yield f"https://127.0.0.1:{port}/"


@contextmanager
def slow_target(seconds: float) -> Iterator[str]:
    """Start a target that answers after so many seconds; yields its URL."""
    with _process(_SLOW, str(seconds)) as port:
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def loopback_name_server() -> Iterator[str]:
    """Start a name server that has one address for every name; yields `dns://` it and a name."""
    with _process(_NAME_SERVER) as port:
        yield f"dns://127.0.0.1:{port}/x.example"


@contextmanager
def loopback_partner(protocol: str) -> Iterator[str]:
    """Start a server that holds a conversation; yields its URL, the scheme the protocol."""
    with _process(protocol) as port:
        yield f"{protocol}://127.0.0.1:{port}/"


@contextmanager
def _process(*arguments: str) -> Iterator[int]:
    """Run this module; yields the port on which it listens."""
    with subprocess.Popen(  # noqa: S603 - this interpreter, on this module
        [sys.executable, "-m", "uptime.bench.target", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _serve_names() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        print(server.getsockname()[1], flush=True)
        while True:
            query, sender = server.recvfrom(2048)
            question = query[12 : query.index(0, 12) + 5]
            head = query[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"
            server.sendto(head + question + _RECORD, sender)


class _Answer(asyncio.Protocol):
    """One prebuilt answer to whatever comes first, at once or later, then the end."""

    def __init__(self, after_s: float = 0) -> None:
        self._after_s = after_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._after_s:
            asyncio.get_running_loop().call_later(self._after_s, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        self._transport.write(ANSWER)
        self._transport.close()


class _Partner(asyncio.Protocol):
    """The server's half of a conversation; it is the client that ends it."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._turns = iter(conversation.turns)
        self._turn = next(self._turns, None)
        self._asked = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._conversation.greeting:
            transport.write(self._conversation.greeting)

    def data_received(self, data: bytes) -> None:
        self._asked += data
        if self._turn is not None and self._turn.mark in self._asked:
            if answer := self._turn.answer_to(self._asked):
                self._transport.write(answer)
            self._turn, self._asked = next(self._turns, None), b""


async def _serve(what: str = "", seconds: float = 0) -> None:
    """A protocol to converse in, the PEM file of an HTTPS server, or plain HTTP, slow or not."""
    context = None
    make: Callable[[], asyncio.Protocol] = partial(_Answer, seconds)
    if what in CONVERSATIONS:
        make = partial(_Partner, CONVERSATIONS[what])
    elif what not in ("", _SLOW):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(what)
    server = await asyncio.get_running_loop().create_server(
        make, "", 0, backlog=4096, ssl=context, family=socket.AF_INET
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:] == [_NAME_SERVER]:
        _serve_names()
    what, *seconds = sys.argv[1:] or [""]
    asyncio.run(_serve(what, *map(float, seconds)))
