"""A name server on loopback that answers as told, wrong answers included."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.servers.raw import Connection, serve

NXDOMAIN, SERVFAIL, REFUSED, SILENCE = "NXDOMAIN", "SERVFAIL", "REFUSED", "SILENCE"
_RCODES = {"NOERROR": 0, SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5}
_TYPES = {1: "A", 28: "AAAA"}


Answering = Callable[[bytes], bytes | list[bytes]]
Outcome = str | list[str] | Answering


def say(
    *records: str, rcode: str = "NOERROR", is_truncated: bool = False, authority: str = ""
) -> Answering:
    """An answer of these records, each as in a zone file: `x.example. 60 IN MX 10 mail.example.`"""

    def answering(query: bytes) -> bytes:
        reply = dns.message.make_response(dns.message.from_wire(query))
        reply.set_rcode(dns.rcode.from_text(rcode))
        reply.flags |= dns.flags.TC if is_truncated else 0
        for section, texts in ((reply.answer, records), (reply.authority, (authority,))):
            for text in filter(None, texts):
                owner, ttl, *rest = text.split(" ", 4)
                section.append(dns.rrset.from_text(owner, int(ttl), *rest))
        return reply.to_wire(max_size=65535)

    return answering


def tamper(answering: Answering, change: Callable[[bytes], bytes | list[bytes]]) -> Answering:
    """The bytes of an answer, spoilt."""

    def spoilt(query: bytes) -> bytes | list[bytes]:
        whole = answering(query)
        assert isinstance(whole, bytes)
        return change(whole)

    return spoilt


@dataclass
class NameServer:
    """`zone` maps a name to an outcome (a constant above), its addresses, or a function that makes
    the answer, or several, of the query; it may be changed."""

    zone: dict[str, Outcome]
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answers(self, query: bytes) -> Sequence[bytes]:
        name, record_type, question = _parse(query)
        self.asked.append((name, record_type))
        outcome = self.zone.get(name, NXDOMAIN)
        if outcome == SILENCE:
            return []
        if callable(outcome):
            said = outcome(query)
            return [said] if isinstance(said, bytes) else said
        addresses = outcome if isinstance(outcome, list) else []
        rcode = _RCODES[outcome if isinstance(outcome, str) else "NOERROR"]
        records = [_record(address) for address in addresses if _type_of(address) == record_type]
        header = query[:2] + struct.pack(">HHHHH", 0x8180 | rcode, 1, len(records), 0, 0)
        return [header + question + b"".join(records)]


def _parse(query: bytes) -> tuple[str, str, bytes]:
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    (number,) = struct.unpack(">H", query[at + 1 : at + 3])
    return ".".join(labels), _TYPES.get(number, str(number)), query[12 : at + 5]


def _type_of(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def _record(address: str) -> bytes:
    family, number = (socket.AF_INET6, 28) if ":" in address else (socket.AF_INET, 1)
    data = socket.inet_pton(family, address)
    return struct.pack(">HHHIH", 0xC00C, number, 1, 60, len(data)) + data


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for reply in self._server.answers(data):
            self._transport.sendto(reply, addr)


@contextlib.asynccontextmanager
async def serve_names(
    zone: Mapping[str, Outcome], host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[NameServer]:
    server = NameServer(dict(zone))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Protocol(server), local_addr=(host, port)
    )
    server.port = transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def serve_names_over_tcp(
    zone: Mapping[str, Outcome], *, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[NameServer]:
    """Answers on streams; an outcome of several pieces is sent as it is, without lengths."""
    names = NameServer(dict(zone))

    async def conduct(connection: Connection) -> None:
        (length,) = struct.unpack("!H", await connection.reader.readexactly(2))
        answers = names.answers(await connection.reader.readexactly(length))
        if len(answers) == 1:
            answers = [struct.pack("!H", len(answers[0])), *answers]
        for piece in answers:
            await connection.send(piece)
        if not answers:
            await connection.reader.read()

    async with serve(conduct, port=port, tls=tls) as server:
        names.port = server.port
        yield names
