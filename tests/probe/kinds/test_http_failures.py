"""Servers that misbehave, and what the http check makes of each: status, reason, message."""

import re

import pytest

from probe.values import Reason, Status
from tests.probe.conftest import Check
from tests.servers import http
from tests.servers.raw import Conduct, Connection, free_port, serve, unanswered_port

MISBEHAVIOURS: dict[str, tuple[Conduct, Reason, str]] = {
    "it resets on accept": (
        http.reset_on_accept,
        Reason.CONNECT_RESET,
        r"HOST reset the connection while waiting for the first byte, after \d+ ms\.",
    ),
    "it resets after the request": (
        http.reset_after_request,
        Reason.CONNECT_RESET,
        r"HOST reset the connection while waiting for the first byte, after \d+ ms\.",
    ),
    "it closes without an answer": (
        http.close_after_request,
        Reason.HTTP_PROTOCOL,
        r"HOST closed the connection without an answer, after \d+ ms\.",
    ),
    "it says nothing": (
        http.stay_silent,
        Reason.TIMEOUT,
        r"HOST took longer than 0\.5 s, while waiting for the first byte\.",
    ),
    "it drips": (
        http.drip,
        Reason.TIMEOUT,
        r"HOST took longer than 0\.5 s, while reading the body \(\d+ bytes so far\)\.",
    ),
    "its body is cut short": (
        http.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
        Reason.HTTP_PROTOCOL,
        r"HOST closed the connection after 9 bytes of the body, 100 were announced, after \d+ ms\.",
    ),
    "its chunks end early": (
        http.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        Reason.HTTP_PROTOCOL,
        r"HOST closed the connection after 5 bytes of the body, before its end, after \d+ ms\.",
    ),
    "its chunk size is no number": (
        http.answer(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"
        ),
        Reason.HTTP_PROTOCOL,
        r"HOST broke the HTTP protocol: .*(chunk|hexadecimal).*, after \d+ ms\.",
    ),
    "its content length is no number": (
        http.answer(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nhello"),
        Reason.HTTP_PROTOCOL,
        r"HOST broke the HTTP protocol: .*Content-Length.*, after \d+ ms\.",
    ),
    "it speaks no HTTP": (
        http.answer(b"\x00\x01\x02 what?\r\n"),
        Reason.HTTP_PROTOCOL,
        r"HOST did not answer with HTTP, after \d+ ms\.",
    ),
    "it speaks HTTP 0.9": (
        http.answer(b"<html>hello</html>"),
        Reason.HTTP_PROTOCOL,
        r"HOST did not answer with HTTP, after \d+ ms\.",
    ),
    "its gzip is none": (
        http.answer(http.respond(b"plain", headers={"Content-Encoding": "gzip"})),
        Reason.HTTP_PROTOCOL,
        r"HOST sent a body that can't be decompressed, after \d+ ms\.",
    ),
    "its headers never end": (
        http.endless_headers,
        Reason.HTTP_PROTOCOL,
        r"HOST (sent headers that are too large|broke .*: .*header.*), after \d+ ms\.",
    ),
    "its body never ends": (
        http.endless_body,
        Reason.BODY_TOO_LARGE,
        r"The body is larger than 1,048,576 bytes \(max_body_bytes\), after \d+ ms\.",
    ),
    "its body is a bomb": (
        http.answer(http.gzip_bomb()),
        Reason.BODY_TOO_LARGE,
        r"The body is larger than 1,048,576 bytes \(max_body_bytes\), after \d+ ms\.",
    ),
    "it only ever continues": (
        http.answer(b"HTTP/1.1 100 Continue\r\n\r\n" * 3),
        Reason.HTTP_PROTOCOL,
        r"HOST closed the connection without an answer, after \d+ ms\.",
    ),
    "it has an error": (
        http.answer(http.respond(status="503 Busy")),
        Reason.HTTP_STATUS,
        r"Status 503 \(Service Unavailable\) after \d+ ms, expected 200-299\.",
    ),
    "its status is its own": (
        http.answer(http.respond(status="799 Odd")),
        Reason.HTTP_STATUS,
        r"Status 799 after \d+ ms, expected 200-299\.",
    ),
    "it redirects to nowhere": (
        http.answer(http.respond(status="302 Found")),
        Reason.HTTP_STATUS,
        r"Status 302 \(Found\) after \d+ ms, expected 200-299\.",
    ),
    "it redirects out of the web": (
        http.answer(http.redirect("ftp://example.org/file")),
        Reason.HTTP_PROTOCOL,
        r".* redirects to 'ftp://example\.org/file': A URL starts with http:// or https://\.",
    ),
}


@pytest.mark.parametrize("name", MISBEHAVIOURS)
async def test_a_server_is_down_when(name: str, check: Check) -> None:
    conduct, reason, message = MISBEHAVIOURS[name]
    async with serve(conduct) as server:
        seen = await check("http", server.url, timeout=0.5)
    assert (seen.status, seen.reason) == (Status.DOWN, reason), seen
    assert re.fullmatch(message.replace("HOST", f"127.0.0.1 port {server.port}"), seen.message)
    assert seen.latency_ms is not None
    assert seen.latency_ms < 750


async def test_a_closed_port_refuses(check: Check) -> None:
    port = free_port()
    seen = await check("http", f"http://127.0.0.1:{port}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)
    assert re.fullmatch(
        rf"Connection to 127\.0\.0\.1 port {port} was refused after \d+ ms\.", seen.message
    )
    assert seen.phases.connect_ms is None


async def test_a_connection_that_is_never_answered_times_out(check: Check) -> None:
    with unanswered_port() as port:
        seen = await check("http", f"http://127.0.0.1:{port}", timeout=0.3)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_TIMEOUT)
    assert seen.message == f"No connection to 127.0.0.1 port {port} within 0.3 s."


async def test_a_handshake_that_hangs_is_named_as_the_phase(check: Check) -> None:
    async with serve(http.stay_silent) as server:
        seen = await check("http", f"https://127.0.0.1:{server.port}", timeout=0.3)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TIMEOUT)
    assert seen.message.endswith("took longer than 0.3 s, while in the TLS handshake.")
    assert seen.phases.connect_ms is not None
    assert seen.phases.first_byte_ms is None


async def test_plain_http_on_a_tls_port_is_a_failed_handshake(check: Check) -> None:
    async def complain(connection: Connection) -> None:
        await connection.reader.read(1)
        await connection.send(http.respond(status="400 Bad Request"))

    async with serve(complain) as server:
        seen = await check("http", f"https://127.0.0.1:{server.port}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_HANDSHAKE)
    assert "wrong version number" in seen.message
    assert server.connections == 1


async def test_a_body_of_exactly_the_limit_passes(check: Check) -> None:
    async with serve(http.answer(http.respond(b"x" * 1000))) as server:
        seen = await check("http", server.url, max_body_bytes=1000)
        assert seen.status == Status.UP
        seen = await check("http", server.url, max_body_bytes=999)
        assert seen.reason == Reason.BODY_TOO_LARGE
