"""A web server of HTTP/2 on loopback, as small as can be: it answers each request with what a test
gives, headers and trailers included. A conduct for `tests.servers.raw`."""

from collections.abc import Sequence

from tests.servers.raw import Conduct, Connection

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY = 0, 1, 4, 6, 7
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1

Pairs = Sequence[tuple[str, str]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113 section 4.1."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def block(pairs: Pairs) -> bytes:
    """Headers as literals that go into no table (RFC 7541 section 6.2.2)."""
    parts = []
    for name, value in pairs:
        parts += [b"\0", _text(name), _text(value)]
    return b"".join(parts)


def _text(text: str) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text.encode()


def http2(
    headers: Pairs = ((":status", "200"),),
    body: bytes = b"",
    trailers: Pairs = (),
    *,
    asked: list[bytes] | None = None,
) -> Conduct:
    """Answer the first request; the payloads of its DATA frames are noted in `asked`."""

    async def conduct(connection: Connection) -> None:
        assert await connection.reader.readexactly(len(_PREFACE)) == _PREFACE
        await connection.send(frame(_SETTINGS, 0, 0))
        stream = await _read_request(connection, asked)
        ends = _END_STREAM if not body and not trailers else 0
        await connection.send(frame(_HEADERS, _END_HEADERS | ends, stream, block(headers)))
        if body:
            await connection.send(frame(_DATA, 0 if trailers else _END_STREAM, stream, body))
        if trailers:
            flags = _END_HEADERS | _END_STREAM
            await connection.send(frame(_HEADERS, flags, stream, block(trailers)))
        await connection.reader.read()

    return conduct


async def _read_request(connection: Connection, asked: list[bytes] | None) -> int:
    """The number of the stream whose request has come whole."""
    while True:
        head = await connection.reader.readexactly(9)
        payload = await connection.reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == _SETTINGS and not flags & _ACK:
            await connection.send(frame(_SETTINGS, _ACK, 0))
        if kind == _DATA and asked is not None:
            asked.append(payload)
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            return stream
