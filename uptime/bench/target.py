"""A loopback HTTP target that costs little, in a process of its own.

with loopback_target() as url: ...
"""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BODY = b"x" * 1024
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(BODY), BODY)
)


@contextmanager
def loopback_target(certificate: Path | None = None) -> Iterator[str]:
    """Start the target; yields its URL. With a PEM file of a key and its chain it speaks TLS."""
    command = [sys.executable, "-m", "uptime.bench.target"]
    scheme = "http" if certificate is None else "https"
    with subprocess.Popen(  # noqa: S603 - this interpreter, on this module
        command if certificate is None else [*command, str(certificate)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield f"{scheme}://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.terminate()


class _Answer(asyncio.Protocol):
    """One prebuilt answer to whatever comes first, then the end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER)
        self._transport.close()


async def _serve(certificate: str | None) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(
        _Answer, "127.0.0.1", 0, backlog=4096, ssl=context
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1] if len(sys.argv) > 1 else None))
