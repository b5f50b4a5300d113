"""DNS messages: the question as bytes, the answer as values (RFC 1035).

By hand where every check passes; what is rare to print (CAA, SVCB, DNSKEY ...) dnspython prints.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

TYPES = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
    "DS": 43,
    "DNSKEY": 48,
    "SVCB": 64,
    "HTTPS": 65,
    "CAA": 257,
}
RCODES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    6: "YXDOMAIN",
    7: "YXRRSET",
    8: "NXRRSET",
    9: "NOTAUTH",
    10: "NOTZONE",
    11: "DSOTYPENI",
}
_EXTENDED_RCODES = {  # in an OPT record, RFC 6891 section 6.1.3
    16: "BADVERS",
    17: "BADKEY",
    18: "BADTIME",
    19: "BADMODE",
    20: "BADNAME",
    21: "BADALG",
    22: "BADTRUNC",
    23: "BADCOOKIE",
}

_NAMES = {number: name for name, number in TYPES.items()}
_CNAME = TYPES["CNAME"]
_OPT = 41
_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')  # as in a zone file
_IN = 1
_UDP_BYTES = 1232  # what passes everywhere without fragments, DNS Flag Day 2020
_EDNS = struct.pack("!BHHIH", 0, _OPT, _UDP_BYTES, 0, 0)
_ONE_NAME = {TYPES["NS"], TYPES["CNAME"], TYPES["PTR"]}


class MalformedError(Exception):
    """Bytes that are no DNS message; the text says where they stop making sense."""


class UnrelatedError(Exception):
    """A message that answers another question, or none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a name server said to one question.

    `aliases` is the way from the name that was asked through CNAMEs, empty without one. `values`
    are the records of the type asked for at its end, as text. `loops`: the way bites its tail.
    `strays` are names that the way does not lead to, whose records of the type came nevertheless:
    they answer nothing. `failure` is the message itself where its rcode is another than NOERROR.
    """

    rcode: str
    is_truncated: bool
    aliases: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    loops: bool = False
    strays: tuple[str, ...] = ()
    ttl_s: int | None = None
    failure: bytes = b""


@lru_cache(maxsize=8192)
def encode_name(name: str) -> bytes:
    """A host name on the wire; names are in ASCII already."""
    labels = [label.encode("ascii") for label in name.removesuffix(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def encode_query(identity: int, name: str, record_type: int, *, has_edns: bool) -> bytes:
    header = _HEADER.pack(identity, 0x0100, 1, 0, 0, 1 if has_edns else 0)
    question = encode_name(name) + _QUESTION.pack(record_type, _IN)
    return header + question + (_EDNS if has_edns else b"")


def reverse_name(address: str) -> str:
    """The name under which an address is looked up backwards (RFC 1035 section 3.5, RFC 3596)."""
    return ipaddress.ip_address(address).reverse_pointer


def read_answer(data: bytes, identity: int, name: str, record_type: int) -> Answer:
    """Read the answer to a question. Raises MalformedError, or UnrelatedError."""
    try:
        return _read_answer(data, identity, name, record_type)
    except (struct.error, IndexError, ValueError):
        raise MalformedError("it ends too early") from None


def _read_answer(data: bytes, identity: int, name: str, record_type: int) -> Answer:
    got, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if got != identity or not flags & 0x8000:
        raise UnrelatedError
    rcode = RCODES.get(flags & 15, f"RCODE {flags & 15}")
    failure = data if flags & 15 else b""
    at = 12
    if questions:  # a server that fails may leave the question out
        asked, at = read_name(data, at)
        kind, cls = _QUESTION.unpack_from(data, at)
        at += 4
        if (asked, kind, cls) != (name.removesuffix("."), record_type, _IN):
            raise UnrelatedError
    if not answers and (extended := _extended_rcode(data, at, authorities + additional)):
        number = extended << 4 | flags & 15
        return Answer(_EXTENDED_RCODES.get(number, f"RCODE {number}"), False, failure=data)
    if flags & 0x0200 or not answers:
        return Answer(rcode, bool(flags & 0x0200), failure=failure)
    records, at = _read_records(data, at, answers, record_type)
    _read_records(data, at, authorities + additional, 0)  # to the end, or it was cut off
    answer = follow(records, name.removesuffix("."), record_type, rcode)
    return replace(answer, failure=failure) if failure else answer


def _extended_rcode(data: bytes, at: int, count: int) -> int:
    """The upper bits of the rcode, out of the OPT record, where there is one."""
    for _ in range(count):
        _, at = read_name(data, at)
        kind, _, ttl, length = _RECORD.unpack_from(data, at)
        if kind == _OPT:
            return int(ttl >> 24)
        at += 10 + length
    return 0


def _read_records(data: bytes, at: int, count: int, record_type: int) -> tuple[list[Record], int]:
    """Of so many records those of the type, and CNAMEs; and where they end."""
    records: list[Record] = []
    for _ in range(count):
        owner, at = read_name(data, at)
        kind, cls, ttl_s, length = _RECORD.unpack_from(data, at)
        at += 10
        if at + length > len(data):
            raise MalformedError("a record is longer than the message")
        if record_type and cls == _IN and kind in (record_type, _CNAME):
            value = _read_value(data, at, length, kind)
            records.append(Record(owner, kind, value, ttl_s))
        at += length
    return records, at


class Record(NamedTuple):
    owner: str
    kind: int
    value: str
    ttl_s: int


def follow(
    records: Sequence[Record], name: str, record_type: int, rcode: str = "NOERROR"
) -> Answer:
    """What records say to a question: those of the type that the way of aliases from its name leads
    to. Others than of the type are CNAMEs."""
    aliases: dict[str, str] = {}
    found: dict[str, list[Record]] = {}
    for one in records:
        if one.kind == record_type:
            found.setdefault(one.owner, []).append(one)
        else:
            aliases[one.owner] = one.value
    way = [name]
    while way[-1] not in found and way[-1] in aliases:
        target = aliases[way[-1]]
        if target in way:
            return Answer(rcode, False, (*way[1:], target), (), loops=True)
        way.append(target)
    right = found.pop(way[-1], [])
    return Answer(
        rcode,
        False,
        tuple(way[1:]),
        tuple([one.value for one in right]),
        strays=tuple(sorted(found)) if found else (),
        ttl_s=min([one.ttl_s for one in right], default=None),
    )


def read_name(data: bytes, at: int) -> tuple[str, int]:
    """The name at a position, in lower case without the last dot, and where it ends.

    Pointers lead backwards only, so that none can lead in a circle.
    """
    labels: list[str] = []
    end, lowest, size = -1, at, 0
    while True:
        length = data[at]
        if length == 0:
            return ".".join(labels), end if end >= 0 else at + 1
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | data[at + 1]
            if end < 0:
                end = at + 2
            if target >= lowest:
                raise MalformedError("a name points forward")
            at = lowest = target
            continue
        label = data[at + 1 : at + 1 + length]
        size += length + 1
        if length > 63 or size > 254 or len(label) < length:
            raise MalformedError("a name is too long")
        labels.append(_label(label))
        at += 1 + length


@lru_cache(maxsize=8192)
def _label(label: bytes) -> str:
    """A label as text; bytes that are no visible ASCII, and dots, are escaped."""
    text = "".join(
        chr(byte) if 0x21 <= byte <= 0x7E and byte not in b".\\" else f"\\{byte:03d}"
        for byte in label
    )
    return text.lower()


def _read_value(data: bytes, at: int, length: int, kind: int) -> str:
    if kind == 1 and length == 4:
        return socket.inet_ntop(socket.AF_INET, data[at : at + 4])
    if kind == 28 and length == 16:
        return socket.inet_ntop(socket.AF_INET6, data[at : at + 16])
    if kind in _ONE_NAME:
        return read_name(data, at)[0]
    if kind == TYPES["MX"]:
        (preference,) = struct.unpack_from("!H", data, at)
        return f"{preference} {read_name(data, at + 2)[0] or '.'}"
    if kind == TYPES["SRV"]:
        priority, weight, port = struct.unpack_from("!HHH", data, at)
        return f"{priority} {weight} {port} {read_name(data, at + 6)[0] or '.'}"
    if kind == TYPES["SOA"]:
        primary, at = read_name(data, at)
        mailbox, at = read_name(data, at)
        return " ".join([primary, mailbox, *map(str, struct.unpack_from("!IIIII", data, at))])
    if kind == TYPES["TXT"]:
        return _read_text(data[at : at + length])
    return _print_by_library(data, at, length, kind)


def _read_text(data: bytes) -> str:
    """The strings of a TXT record, joined, as those who read SPF and the like join them."""
    parts, at = [], 0
    while at < len(data):
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts).decode("utf-8", "backslashreplace")


def _print_by_library(data: bytes, at: int, length: int, kind: int) -> str:
    import dns.exception
    import dns.rdata

    try:
        text = dns.rdata.from_wire("IN", _NAMES[kind], data, at, length).to_text()
    except (dns.exception.DNSException, ValueError, IndexError, struct.error):
        raise MalformedError("a record can't be read") from None
    return normal_value(text, kind)


def normal_value(text: str, kind: int) -> str:
    """A record as users write it, in the form that answers have here."""
    text = text.strip()
    if kind == TYPES["TXT"]:
        is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
        return "".join(_STRING.findall(text)) if is_quoted else text
    if kind in (TYPES["A"], TYPES["AAAA"]):
        return _normal_address(text)
    words = text.split()
    if kind == TYPES["DNSKEY"]:
        return " ".join([*words[:3], "".join(words[3:])])
    if kind == TYPES["DS"]:
        return " ".join([*words[:3], "".join(words[3:]).lower()])
    if kind == TYPES["CAA"]:
        tag = [word.lower() for word in words[:2]]
        value = " ".join(words[2:])
        return " ".join([*tag, value if value.startswith('"') else f'"{value}"'])
    if kind in (TYPES["SVCB"], TYPES["HTTPS"]):
        return " ".join(words)
    return " ".join(word.lower().removesuffix(".") or "." for word in words)


def _normal_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text
