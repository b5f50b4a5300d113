"""Conducts for `tests.servers.raw`: a web server's behaviour, and misbehaviour."""

import asyncio
import gzip
from collections.abc import Callable, Mapping

from tests.servers.raw import Conduct, Connection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def respond(
    body: bytes = b"hi", *, status: str = "200 OK", headers: Mapping[str, str] | None = None
) -> bytes:
    """A well-formed response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(
    location: str, *, status: int = 302, headers: Mapping[str, str] | None = None
) -> bytes:
    return respond(b"", status=f"{status} Found", headers={"Location": location, **(headers or {})})


def answer(response: bytes, *, seen: list[bytes] | None = None) -> Conduct:
    """Read the request, send these bytes, close."""

    async def conduct(connection: Connection) -> None:
        head = await connection.read_request()
        if seen is not None:
            seen.append(head)
        await connection.send(response)

    return conduct


def route(pages: Mapping[str, bytes], *, seen: list[bytes] | None = None) -> Conduct:
    """Answer by path; the heads of the requests are noted in `seen`."""
    return react(lambda head: pages[path_of(head)], seen=seen)


def react(choose: Callable[[bytes], bytes], *, seen: list[bytes] | None = None) -> Conduct:
    """Answer with what a function of the request's head gives."""

    async def conduct(connection: Connection) -> None:
        head = await connection.read_request()
        if seen is not None:
            seen.append(head)
        await connection.send(choose(head))

    return conduct


def path_of(head: bytes) -> str:
    return head.split(b" ", 2)[1].decode()


def header_of(head: bytes, name: str) -> str | None:
    """A header of a request, None where it is missing."""
    for line in head.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name.lower():
            return value.strip()
    return None


def say_and_hang(beginning: bytes) -> Conduct:
    """Read the request, send these bytes, and never end."""

    async def conduct(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(beginning)
        await asyncio.Event().wait()

    return conduct


async def reset_on_accept(connection: Connection) -> None:
    connection.reset()


async def reset_after_request(connection: Connection) -> None:
    await connection.read_request()
    connection.reset()


async def close_after_request(connection: Connection) -> None:
    await connection.read_request()


async def stay_silent(connection: Connection) -> None:
    await asyncio.Event().wait()


async def drip(connection: Connection) -> None:
    """A byte at a time, forever on the way."""
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        await connection.send(b"x")
        await asyncio.sleep(0.05)


async def endless_body(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        await connection.send(b"x" * 65536)


async def endless_headers(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await connection.send(b"X-Flood: " + b"x" * 8000 + b"\r\n")


def gzip_bomb(size: int = 50_000_000) -> bytes:
    """A small response that decompresses to `size` bytes."""
    return respond(gzip.compress(b"\0" * size), headers={"Content-Encoding": "gzip"})
