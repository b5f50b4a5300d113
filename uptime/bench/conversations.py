"""What client and server say to each other in the protocols of the kinds, as little as will do.

The benchmark's targets say the one half, its floor the other; the prober finds its own words.
"""

import base64
import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Turn:
    """A client says `ask`; its server, once that has come up to `mark`, says `answer`, which may
    depend on what was asked. An empty answer is none."""

    ask: bytes
    mark: bytes
    answer: bytes | Callable[[bytes], bytes]

    def answer_to(self, asked: bytes) -> bytes:
        return self.answer if isinstance(self.answer, bytes) else self.answer(asked)


@dataclass(frozen=True)
class Conversation:
    """A server greets, then they take turns."""

    turns: tuple[Turn, ...]
    greeting: bytes = b""


def _line(ask: bytes, answer: bytes) -> Turn:
    return Turn(ask + b"\r\n", b"\r\n", answer and answer + b"\r\n")


# PostgreSQL's and MySQL's messages


def _postgres(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("!I", len(payload) + 4) + payload


_STARTUP = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0"
_POSTGRES_LETS_IN = b"".join(
    (
        _postgres(b"R", bytes(4)),
        _postgres(b"S", b"server_version\x0018.0\0"),
        _postgres(b"S", b"client_encoding\0UTF8\0"),
        _postgres(b"K", bytes(8)),
        _postgres(b"Z", b"I"),
    )
)


def _mysql(payload: bytes, number: int) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


_MYSQL_CAPABILITIES = 0x200 | 0x8000 | 0x80000  # PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH
_MYSQL_GREETING = b"".join(
    (
        b"\x0a8.4.0\0",
        struct.pack("<I", 7) + b"a" * 8 + b"\0",
        struct.pack("<HBHHB", _MYSQL_CAPABILITIES & 0xFFFF, 45, 2, _MYSQL_CAPABILITIES >> 16, 21),
        bytes(10) + b"b" * 12 + b"\0",
        b"mysql_native_password\0",
    )
)
_MYSQL_LOGIN = b"".join(
    (
        struct.pack("<IIB23x", _MYSQL_CAPABILITIES, 0xFFFFFF, 45),
        b"root\0",
        b"\x14" + bytes(20),
        b"mysql_native_password\0",
    )
)

# HTTP/2 (RFC 9113) with gRPC inside


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = struct.pack("!I", len(payload))[1:] + bytes([kind, flags])
    return head + struct.pack("!I", stream) + payload


def _header(name: bytes, value: bytes) -> bytes:
    """A literal that is not indexed (RFC 7541 section 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_CONTENT_TYPE = _header(b"content-type", b"application/grpc")
_GRPC_ASK = b"".join(
    (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        _frame(_SETTINGS, 0, 0),
        _frame(
            _HEADERS,
            _END_HEADERS,
            1,
            b"\x83\x86"  # :method POST, :scheme http
            + _header(b":path", b"/grpc.health.v1.Health/Check")
            + _header(b":authority", b"127.0.0.1")
            + _CONTENT_TYPE
            + _header(b"te", b"trailers"),
        ),
        _frame(_DATA, _END_STREAM, 1, bytes(5)),
    )
)
_GRPC_ANSWER = b"".join(
    (
        _frame(_SETTINGS, _ACK, 0),
        _frame(_HEADERS, _END_HEADERS, 1, b"\x88" + _CONTENT_TYPE),  # :status 200
        _frame(_DATA, 0, 1, b"\0\0\0\0\x02\x08\x01"),  # SERVING
        _frame(_HEADERS, _END_HEADERS | _END_STREAM, 1, _header(b"grpc-status", b"0")),
    )
)

# WebSocket (RFC 6455)

_WEBSOCKET_ASK = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_WEBSOCKET_CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


def _upgrade(asked: bytes) -> bytes:
    key = asked.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False)
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(digest.digest())
    )


# RDAP (RFC 9083) over HTTP


def _registration() -> bytes:
    ends_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=300)
    document = {
        "objectClassName": "domain",
        "ldhName": "example.org",
        "status": ["active"],
        "events": [{"eventAction": "expiration", "eventDate": ends_at.isoformat()}],
    }
    body = json.dumps(document).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/rdap+json\r\nContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n%b" % (len(body), body)
    )


CONVERSATIONS = {
    "smtp": Conversation(
        (_line(b"EHLO localhost", b"250 mail.example"), _line(b"QUIT", b"")),
        b"220 mail.example ESMTP\r\n",
    ),
    "imap": Conversation((_line(b"b9 LOGOUT", b""),), b"* OK IMAP4rev2 ready\r\n"),
    "pop3": Conversation((_line(b"QUIT", b""),), b"+OK POP3 ready\r\n"),
    "redis": Conversation((Turn(b"*1\r\n$4\r\nPING\r\n", b"\r\n", b"+PONG\r\n"),)),
    "postgres": Conversation(
        (
            Turn(struct.pack("!I", len(_STARTUP) + 4) + _STARTUP, b"", _POSTGRES_LETS_IN),
            Turn(_postgres(b"X", b""), b"", b""),
        )
    ),
    "mysql": Conversation(
        (Turn(_mysql(_MYSQL_LOGIN, 1), b"", _mysql(b"\0\0\0\x02\0\0\0", 2)),),
        _mysql(_MYSQL_GREETING, 0),
    ),
    "grpc": Conversation(
        # the mark: a frame of data that ends the first stream
        (Turn(_GRPC_ASK, b"\0\x01\0\0\0\x01", _GRPC_ANSWER),),
        _frame(_SETTINGS, 0, 0),
    ),
    "websocket": Conversation(
        (Turn(_WEBSOCKET_ASK, b"\r\n\r\n", _upgrade), Turn(_WEBSOCKET_CLOSE, b"", b""))
    ),
    "domain": Conversation(
        (
            Turn(
                b"GET /domain/example.org HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                b"\r\n\r\n",
                _registration(),
            ),
        )
    ),
}
