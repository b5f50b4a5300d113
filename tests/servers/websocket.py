"""Conducts for `tests.servers.raw`: a WebSocket server's good and bad behaviour."""

import base64
import hashlib
from collections.abc import Mapping

from tests.servers.http import header_of
from tests.servers.raw import Conduct, Connection

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(opcode: int, payload: bytes, *, is_last: bool = True) -> bytes:
    """A frame as servers send it, without a mask (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 65536:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes([(0x80 if is_last else 0) | opcode]) + length + payload


def text(payload: str) -> bytes:
    return frame(1, payload.encode())


async def upgrade(connection: Connection, headers: Mapping[str, str] | None = None) -> bytes:
    """Take the request and agree. Returns the request's head."""
    head = await connection.read_request()
    key = (header_of(head, "Sec-WebSocket-Key") or "").encode()
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    known = {"Sec-WebSocket-Accept": accept} | dict(headers or {})
    lines += [f"{name}: {value}" for name, value in known.items()]
    await connection.send("\r\n".join([*lines, "", ""]).encode())
    return head


async def receive(connection: Connection) -> tuple[int, bytes]:
    """A frame of the client's, unmasked."""
    first, second = await connection.reader.readexactly(2)
    assert second & 0x80, "a client's frames are masked"
    size = second & 0x7F
    if size == 126:
        size = int.from_bytes(await connection.reader.readexactly(2), "big")
    mask = await connection.reader.readexactly(4)
    masked = await connection.reader.readexactly(size)
    return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))


def say(*frames: bytes, headers: Mapping[str, str] | None = None) -> Conduct:
    """Agree, send these, then listen until the client leaves."""

    async def conduct(connection: Connection) -> None:
        await upgrade(connection, headers)
        await connection.send(b"".join(frames))
        await connection.reader.read()

    return conduct


async def echo(connection: Connection) -> None:
    await upgrade(connection)
    while True:
        opcode, payload = await receive(connection)
        await connection.send(frame(opcode, payload))
        if opcode == 8:
            return
