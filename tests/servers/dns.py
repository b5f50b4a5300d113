"""A name server on loopback that answers as told, wrong answers included."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import cast

NXDOMAIN, SERVFAIL, REFUSED, SILENCE = "NXDOMAIN", "SERVFAIL", "REFUSED", "SILENCE"
_RCODES = {"NOERROR": 0, SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5}
_TYPES = {1: "A", 28: "AAAA"}


@dataclass
class NameServer:
    """`zone` maps a name to an outcome (a constant above) or its addresses, and may be changed."""

    zone: dict[str, str | list[str]]
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, query: bytes) -> bytes | None:
        name, record_type, question = _parse(query)
        self.asked.append((name, record_type))
        outcome = self.zone.get(name, NXDOMAIN)
        if outcome == SILENCE:
            return None
        addresses = outcome if isinstance(outcome, list) else []
        rcode = _RCODES["NOERROR" if isinstance(outcome, list) else outcome]
        records = [_record(address) for address in addresses if _type_of(address) == record_type]
        header = query[:2] + struct.pack(">HHHHH", 0x8180 | rcode, 1, len(records), 0, 0)
        return header + question + b"".join(records)


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
        reply = self._server.answer(data)
        if reply is not None:
            self._transport.sendto(reply, addr)


@contextlib.asynccontextmanager
async def serve_names(zone: Mapping[str, str | list[str]]) -> AsyncIterator[NameServer]:
    server = NameServer(dict(zone))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Protocol(server), local_addr=("127.0.0.1", 0)
    )
    server.port = transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()
