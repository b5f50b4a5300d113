"""Results of one assignment packed into a few kilobytes, and back. Pure functions of values.

A check has a dozen figures, most of which hardly differ from the check before. They are laid out by
column; each column of whole numbers as what it is above its least, or as its steps, whichever is
smaller; each of those by byte (all lowest bytes, then all next ones), so that noise stands apart
from what is nearly constant; and each such plane is deflated, or kept as it is where that is no
smaller. Columns are read one by one: who wants latencies does not inflate the texts.

Nothing is lost but what lies below a microsecond.
"""

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

VERSION = 1

_LEVEL = 6


class Check(NamedTuple):
    """One result; instants in microseconds since the epoch, durations in microseconds.

    `id` is None where it is what `probe.values.result_id` makes of the other parts.
    """

    checked_us: int
    due_us: int
    attempt: int
    status: str
    reason: str | None
    message: str | None
    http_status: int | None
    cert_expires_us: int | None
    latency_us: int | None
    dns_us: int | None
    connect_us: int | None
    tls_us: int | None
    first_byte_us: int | None
    transfer_us: int | None
    id: str | None


_NUMBERS = (
    "due_us",
    "late_us",
    "attempt",
    "http_status",
    "cert_expires_us",
    "latency_us",
    "dns_us",
    "connect_us",
    "tls_us",
    "first_byte_excess_us",
    "transfer_us",
)
_TEXTS = ("status", "reason", "message", "id")
_COLUMNS = (*_NUMBERS, *_TEXTS)
_HEADER = struct.Struct(f"<BI{len(_COLUMNS)}I")


def pack(checks: Sequence[Check]) -> bytes:
    columns: dict[str, list[Any]] = {
        name: list(column)
        for name, column in zip(Check._fields, zip(*checks, strict=True), strict=True)
    }
    # Lateness is small, and a check's phases add up to its latency but for the odd microsecond.
    columns["late_us"] = [one.checked_us - one.due_us for one in checks]
    columns["first_byte_excess_us"] = [
        None if one.first_byte_us is None else one.first_byte_us - _rest_us(one) for one in checks
    ]
    sections = [_pack_numbers(columns[name]) for name in _NUMBERS]
    sections += [_pack_texts(columns[name]) for name in _TEXTS]
    return _HEADER.pack(VERSION, len(checks), *map(len, sections)) + b"".join(sections)


def _rest_us(one: Check) -> int:
    """What latency leaves for the first byte."""
    others = (one.dns_us, one.connect_us, one.tls_us, one.transfer_us)
    return (one.latency_us or 0) - sum(part or 0 for part in others)


class Packed:
    """What `pack` made, read by the column. Raises ValueError for another version's."""

    def __init__(self, payload: bytes) -> None:
        version, self.count, *lengths = _HEADER.unpack_from(payload)
        if version != VERSION:
            raise ValueError(f"results packed in a form {version} that is not known here")
        ends = list(accumulate(lengths, initial=_HEADER.size))
        self._payload = payload
        self._bounds = dict(zip(_COLUMNS, pairwise(ends), strict=True))
        self._unpacked: dict[str, list[Any]] = {}

    def column(self, name: str) -> list[Any]:
        """All checks' values of one field of `Check`, in their order."""
        if name not in self._unpacked:
            derived = _DERIVED.get(name)
            self._unpacked[name] = derived(self) if derived else self._read(name)
        return self._unpacked[name]

    def check(self, place: int) -> Check:
        return Check(*(self.column(name)[place] for name in Check._fields))

    def checks(self) -> list[Check]:
        columns = [self.column(name) for name in Check._fields]
        return list(map(Check._make, zip(*columns, strict=True)))

    def _read(self, name: str) -> list[Any]:
        start, end = self._bounds[name]
        section = self._payload[start:end]
        unpack = _unpack_texts if name in _TEXTS else _unpack_numbers
        return unpack(section, self.count)

    def _checked_us(self) -> list[int]:
        return [
            due + late
            for due, late in zip(self.column("due_us"), self.column("late_us"), strict=True)
        ]

    def _first_byte_us(self) -> list[int | None]:
        names = ("first_byte_excess_us", "latency_us", "dns_us", "connect_us", "tls_us")
        columns = [self.column(name) for name in (*names, "transfer_us")]
        return [
            None if excess is None else excess + (whole or 0) - sum(part or 0 for part in others)
            for excess, whole, *others in zip(*columns, strict=True)
        ]


_DERIVED: dict[str, Callable[[Packed], list[Any]]] = {
    "checked_us": Packed._checked_us,
    "first_byte_us": Packed._first_byte_us,
}


# -- numbers ---------------------------------------------------------------------------------------

# how many are not null, whether they are steps, the least or first, bytes of the largest
_NUMBERS_HEAD = struct.Struct("<I?qB")
_LENGTH = struct.Struct("<I")


def _pack_numbers(values: Sequence[int | None]) -> bytes:
    """Empty when there is none at all."""
    present = [value for value in values if value is not None]
    if not present:
        return b""
    marks = b"" if len(present) == len(values) else bytes(value is not None for value in values)
    least = min(present)
    level = _pack_planes([value - least for value in present])
    first, steps = present[0], [_fold(b - a) for a, b in pairwise(present)]
    ramp = _pack_planes(steps)
    is_ramp, base, (width, planes) = min(
        (False, least, level), (True, first, ramp), key=lambda one: len(one[2][1])
    )
    head = _NUMBERS_HEAD.pack(len(present), is_ramp, base, width)
    return head + planes + (_deflate(marks) if marks else b"")


def _unpack_numbers(section: bytes, count: int) -> list[int | None]:
    if not section:
        return [None] * count
    known, is_ramp, base, width = _NUMBERS_HEAD.unpack_from(section)
    folded, end = _unpack_planes(section, _NUMBERS_HEAD.size, width, known - is_ramp)
    if is_ramp:
        present = list(accumulate(map(_unfold, folded), initial=base))
    else:
        present = [base + value for value in folded]
    if known == count:
        return list(present)
    values = iter(present)
    return [next(values) if mark else None for mark in zlib.decompress(section[end:], -15)]


def _fold(step: int) -> int:
    """Small steps up and down become small numbers: 0, -1, 1, -2, 2 … are 0, 1, 2, 3, 4 …"""
    return step << 1 if step >= 0 else (-step << 1) - 1


def _unfold(folded: int) -> int:
    return -(folded + 1 >> 1) if folded & 1 else folded >> 1


def _pack_planes(values: Sequence[int]) -> tuple[int, bytes]:
    """The bytes that the largest needs, and the planes, each with its length before it."""
    width = (max(values, default=0).bit_length() + 7) // 8
    raw = struct.pack(f"<{len(values)}Q", *values)
    planes = [raw[place::8] for place in range(width)]
    kept = [min(plane, _deflate(plane), key=len) for plane in planes]
    return width, b"".join(_LENGTH.pack(len(plane)) + plane for plane in kept)


def _unpack_planes(section: bytes, start: int, width: int, count: int) -> tuple[Iterable[int], int]:
    """The values, and where their planes end."""
    raw = bytearray(8 * count)
    for place in range(width):
        (length,) = _LENGTH.unpack_from(section, start)
        start += _LENGTH.size
        plane = section[start : start + length]
        # of two equally long ones the plane itself was kept, so the length tells which it is
        raw[place::8] = plane if length == count else zlib.decompress(plane, -15)
        start += length
    return struct.unpack(f"<{count}Q", raw), start


# -- texts -----------------------------------------------------------------------------------------


def _pack_texts(values: Sequence[str | None]) -> bytes:
    """The different texts once, and for each value its place among them."""
    places: dict[str | None, int] = {}
    numbers = [places.setdefault(value, len(places)) for value in values]
    texts = _deflate(json.dumps(list(places), ensure_ascii=False).encode())
    return _LENGTH.pack(len(texts)) + texts + _pack_numbers(numbers)


def _unpack_texts(section: bytes, count: int) -> list[str | None]:
    (length,) = _LENGTH.unpack_from(section)
    end = _LENGTH.size + length
    texts = json.loads(zlib.decompress(section[_LENGTH.size : end], -15))
    return [texts[place] for place in _unpack_numbers(section[end:], count)]


def _deflate(data: bytes) -> bytes:
    """Without zlib's envelope: the database has checksums of its own, and planes are many."""
    return zlib.compress(data, _LEVEL, wbits=-15)
