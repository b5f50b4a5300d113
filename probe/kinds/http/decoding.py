"""The compressions of HTTP bodies (RFC 9110 section 8.4.1), undone piece by piece.

libcurl can do this as well, but takes a stream that is cut short for a whole one.
"""

from __future__ import annotations

import zlib
from typing import Protocol

ACCEPTED = "gzip, deflate, br"

_MAX_LAYERS = 5
_MAX_PIECE_BYTES = 1_048_576
"""What one piece may grow to between two layers; more is a bomb."""


class DecodingError(Exception):
    """The bytes are not what they are said to be."""


class _Layer(Protocol):
    def decode(self, data: bytes, limit: int) -> bytes:
        """What these bytes stand for; about `limit` bytes where they stand for more."""

    @property
    def is_complete(self) -> bool: ...


class Decoder:
    """Undoes the codings of one body, which are given in the order in which they were applied."""

    def __init__(self, codings: list[str]) -> None:
        if len(codings) > _MAX_LAYERS:
            raise DecodingError
        *self._outer, self._inner = [_layer(coding) for coding in reversed(codings)]

    def decode(self, data: bytes, limit: int) -> bytes:
        """The next piece of the body; one that is larger than `limit` is cut. Raises
        DecodingError."""
        piece_limit = max(limit, _MAX_PIECE_BYTES)
        for layer in self._outer:
            data = layer.decode(data, piece_limit + 1)
            if len(data) > piece_limit:
                return data
        return self._inner.decode(data, limit + 1)

    @property
    def is_complete(self) -> bool:
        """Whether each compressed stream came to its end."""
        return all(layer.is_complete for layer in (*self._outer, self._inner))


def codings_of(header: str) -> list[str]:
    """The codings that a Content-Encoding names, but for those that change nothing."""
    if not header:
        return []
    names = (name.strip().lower() for name in header.split(","))
    return [name for name in names if name not in ("", "identity", "none")]


def _layer(coding: str) -> _Layer:
    if coding in ("gzip", "x-gzip"):
        return _Gzip()
    if coding == "deflate":
        return _Deflate()
    if coding == "br":
        return _Brotli()
    raise DecodingError


class _Gzip:
    """RFC 1952: one member after the other, each with a checksum."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    @property
    def is_complete(self) -> bool:
        return self._member.eof

    def decode(self, data: bytes, limit: int) -> bytes:
        parts: list[bytes] = []
        while data and limit > 0:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
            parts.append(_inflate(self._member, data, limit))
            limit -= len(parts[-1])
            data = self._member.unused_data
        return b"".join(parts)


class _Deflate:
    """RFC 9110 means zlib's format; some send the bare stream, without head and checksum."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()
        self._head = b""
        self._has_begun = False

    @property
    def is_complete(self) -> bool:
        return self._stream.eof

    def decode(self, data: bytes, limit: int) -> bytes:
        if not self._has_begun:
            self._head += data
            if len(self._head) < 2:
                return b""
            data, self._has_begun = self._head, True
            if data[0] & 0x0F != 8 or int.from_bytes(data[:2], "big") % 31:
                self._stream = zlib.decompressobj(wbits=-15)
        if self._stream.eof and data:
            raise DecodingError
        return _inflate(self._stream, data, limit)


def _inflate(stream: zlib._Decompress, data: bytes, limit: int) -> bytes:
    try:
        return stream.decompress(data, limit)
    except zlib.error:
        raise DecodingError from None


class _Brotli:
    """RFC 7932."""

    def __init__(self) -> None:
        import brotli  # few servers speak it to a client that takes gzip as well

        self._stream = brotli.Decompressor()
        self._error = brotli.error

    @property
    def is_complete(self) -> bool:
        return bool(self._stream.is_finished())

    def decode(self, data: bytes, limit: int) -> bytes:
        try:
            piece: bytes = self._stream.process(data, output_buffer_limit=limit)
        except self._error:
            raise DecodingError from None
        return piece
