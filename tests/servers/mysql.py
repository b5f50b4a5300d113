"""A MySQL server's side of the protocol, as little of it as a check sees."""

import asyncio
import hashlib
import ssl
import struct
from collections.abc import Sequence

from tests.servers.raw import Conduct, Connection

_PROTOCOL_41, _SSL, _PLUGIN_AUTH, _SECURE = 0x200, 0x800, 0x80000, 0x8000
_OK = b"\x00\x00\x00\x02\x00\x00\x00"
_EOF = b"\xfe\x00\x00\x02\x00"


def error(code: int, message: str) -> bytes:
    return b"\xff" + struct.pack("<H", code) + b"#HY000" + message.encode()


def greeting(*, has_tls: bool = False) -> bytes:
    capabilities = _PROTOCOL_41 | _PLUGIN_AUTH | _SECURE | (_SSL if has_tls else 0)
    return b"".join(
        (
            b"\x0a8.4.0\x00",
            struct.pack("<I", 7),
            b"a" * 8 + b"\x00",
            struct.pack("<HBHHB", capabilities & 0xFFFF, 45, 2, capabilities >> 16, 21),
            bytes(10),
            b"b" * 12 + b"\x00",
            b"mysql_native_password\x00",
        )
    )


def packet(payload: bytes, number: int) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


def text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


def rows(*values: str) -> list[bytes]:
    """A result of one column."""
    column = text("def") + text("") * 3 + text("a") + text("") + b"\x0c"
    column += struct.pack("<HIBHB2x", 45, 100, 0xFD, 0, 0)
    return [b"\x01", column, _EOF, *map(text, values), _EOF]


def proof(password: bytes) -> bytes:
    """What mysql_native_password sends instead of the password, for the greeting's salt."""
    once = hashlib.sha1(password).digest()
    twice = hashlib.sha1(once).digest()
    salted = hashlib.sha1(b"a" * 8 + b"b" * 12 + twice).digest()
    return bytes(one ^ other for one, other in zip(once, salted, strict=True))


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return await reader.readexactly(int.from_bytes(head[:3], "little"))


def serve_mysql(
    *,
    login: bytes = _OK,
    answer: Sequence[bytes] | None = None,
    asked: list[str] | None = None,
    logins: list[bytes] | None = None,
) -> Conduct:
    """Greet, take any login with `login`, and each query with `answer` (None: silence)."""

    async def conduct(connection: Connection) -> None:
        await connection.send(packet(greeting(), 0))
        shown = await read_packet(connection.reader)
        if logins is not None:
            logins.append(shown)
        await connection.send(packet(login, 2))
        while True:
            command = await read_packet(connection.reader)
            if command[:1] != b"\x03":
                return
            if asked is not None:
                asked.append(command[1:].decode())
            for number, payload in enumerate(answer or (), start=1):
                await connection.send(packet(payload, number % 256))

    return conduct


def serve_mysql_over_tls(context: ssl.SSLContext) -> Conduct:
    """Greet, go over to TLS, take any login."""

    async def conduct(connection: Connection) -> None:
        await connection.send(packet(greeting(has_tls=True), 0))
        await read_packet(connection.reader)  # SSLRequest
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        is_done, has_answered = False, False
        while data := await connection.reader.read(65_536):
            incoming.write(data)
            try:
                if not is_done:
                    tls.do_handshake()
                    is_done = True
                if tls.read(65_536) and not has_answered:
                    tls.write(packet(_OK, 3))
                    has_answered = True
            except ssl.SSLWantReadError:
                pass
            await connection.send(outgoing.read())

    return conduct
