"""A loopback server whose every byte the test decides: how it answers is a coroutine."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

Conduct = Callable[["Connection"], Awaitable[None]]


@dataclass
class Connection:
    """One accepted connection, as a conduct sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_lost: bool = False

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go over to TLS. Where the handshake fails, asyncio never tells that the end has come."""
        self.is_lost = True
        try:
            await self.writer.start_tls(context)
        except OSError as error:
            raise ConnectionAbortedError from error
        self.is_lost = False

    async def read_request(self) -> bytes:
        """The head of an HTTP request; its body is left unread."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST rather than FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Server:
    """`requests` are the heads that arrived, in order; `connections` counts who connected."""

    host: str
    port: int
    scheme: str = "http"
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@contextlib.asynccontextmanager
async def serve(
    conduct: Conduct,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    """Serve on loopback; at the end every connection is cut, also those that hang."""
    running: set[asyncio.Task[None]] = set()

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        server.connections += 1
        connection = Connection(reader, writer)
        try:
            await conduct(connection)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side went away, or the test is over
        finally:
            running.discard(task)
            writer.close()
            if not connection.is_lost:
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    await writer.wait_closed()

    listener = await asyncio.start_server(on_connection, host, port, ssl=tls, backlog=1024)
    bound_port = listener.sockets[0].getsockname()[1]
    server = Server(host, bound_port, "https" if tls else "http")
    try:
        yield server
    finally:
        listener.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def free_port(host: str = "127.0.0.1", kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port on which nobody listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def unanswered_port(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port whose SYN is never answered: the queue of its listener is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
