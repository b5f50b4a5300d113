"""Servers that misbehave, and what the http check makes of each: status, reason, message."""

import asyncio
import gzip
import re
import zlib

import brotli
import pytest

from probe.values import Reason, Status
from tests.probe.conftest import Check
from tests.servers import http
from tests.servers.raw import Conduct, Connection, free_port, serve, unanswered_port

START = b"HTTP/1.1 200 OK\r\n"
NULLS = b"\0" * 20_000_000
PROSE = b"The quick brown fox jumps over the lazy dog. " * 20
NO_HTTP = r"HOST did not answer with HTTP, after \d+ ms\."
FOREIGN = r"HOST did not answer with HTTP but \"{}\", after \d+ ms\."
BROKEN = r"HOST broke the HTTP protocol: {}, after \d+ ms\."
TOO_LARGE = r"The body is larger than 1,048,576 bytes \(max_body_bytes\), after \d+ ms\."
UNPACKED = r"HOST sent a body that can't be decompressed \({}\), after \d+ ms\."
CUT_SHORT = r"HOST sent a body whose compression \({}\) is cut short, after \d+ ms\."
NO_LOCATION = (
    r"Status 302 \(Found\) after \d+ ms, expected 200-299: it redirects, but its Location header is"
    r" missing or empty\."
)
NOT_EXPECTED = r"Status {} after \d+ ms, expected 200-299\."


def repeat(start: bytes, *, forever: bytes, pause: float = 0) -> Conduct:
    """Read the request, send a start, and then the same without end."""

    async def conduct(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(start)
        while True:
            await connection.send(forever)
            await asyncio.sleep(pause)

    return conduct


async def reset_in_the_body(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(START + b"Content-Length: 100\r\n\r\nhello")
    await asyncio.sleep(0.05)  # a reset that comes at once overtakes the bytes
    connection.reset()


def packed(body: bytes, coding: str) -> Conduct:
    return http.answer(http.respond(body, headers={"Content-Encoding": coding}))


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
        FOREIGN.format(r"\\u0000\\u0001\\u0002 what\?\\r\\n"),
    ),
    "it speaks HTTP 0.9": (
        http.answer(b"<html>hello</html>"),
        Reason.HTTP_PROTOCOL,
        FOREIGN.format("<html>hello</html>"),
    ),
    "its gzip is none": (
        packed(b"plain", "gzip"),
        Reason.HTTP_PROTOCOL,
        UNPACKED.format("gzip"),
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
        r"HOST closed the connection after the interim status 100 alone, after \d+ ms\.",
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
        NO_LOCATION,
    ),
    "its headers are cut short": (
        http.answer(START + b"Content-Type: te"),
        Reason.HTTP_PROTOCOL,
        r"HOST closed the connection in the middle of the headers, after \d+ ms\.",
    ),
    "its status line is cut short": (
        http.answer(b"HTTP/1.1 20"),
        Reason.HTTP_PROTOCOL,
        r"HOST closed the connection without an answer, after \d+ ms\.",
    ),
    "its headers drip": (
        repeat(START, forever=b"X: y\r\n", pause=0.05),
        Reason.TIMEOUT,
        r"HOST took longer than 0\.5 s, while reading the headers\.",
    ),
    "it resets in the body": (
        reset_in_the_body,
        Reason.CONNECT_RESET,
        r"HOST reset the connection while reading the body \(5 bytes so far\), after \d+ ms\.",
    ),
    "it has two lengths": (
        http.answer(START + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\nhello"),
        Reason.HTTP_PROTOCOL,
        BROKEN.format("Invalid Content-Length: value"),
    ),
    "its length is negative": (
        http.answer(START + b"Content-Length: -5\r\n\r\nhello"),
        Reason.HTTP_PROTOCOL,
        BROKEN.format("Invalid Content-Length: value"),
    ),
    "it announces gigabytes": (
        http.answer(START + b"Content-Length: 5000000000\r\n\r\nhello"),
        Reason.HTTP_PROTOCOL,
        r"HOST closed the connection after 5 bytes of the body, 5,000,000,000 were announced,"
        r" after \d+ ms\.",
    ),
    "a chunk is larger than can be": (
        http.answer(START + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 18 + b"\r\nhello"),
        Reason.HTTP_PROTOCOL,
        BROKEN.format("chunk hex-length longer than 17"),
    ),
    "a chunk has no end": (
        http.answer(START + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        BROKEN.format("Malformed encoding found in chunked-encoding"),
    ),
    "a chunk is cut short": (
        http.answer(START + b"Transfer-Encoding: chunked\r\n\r\nff\r\nhello"),
        Reason.HTTP_PROTOCOL,
        r"HOST closed the connection after 5 bytes of the body, before its end, after \d+ ms\.",
    ),
    "its chunks never end": (
        repeat(
            START + b"Transfer-Encoding: chunked\r\n\r\n",
            forever=b"ffff\r\n" + b"x" * 65535 + b"\r\n",
        ),
        Reason.BODY_TOO_LARGE,
        TOO_LARGE,
    ),
    "a chunk's extension never ends": (
        repeat(START + b"Transfer-Encoding: chunked\r\n\r\n5;", forever=b"x" * 9999, pause=0.01),
        Reason.TIMEOUT,
        r"HOST took longer than 0\.5 s, while reading the body \(0 bytes so far\)\.",
    ),
    "its transfer encoding is its own": (
        http.answer(START + b"Transfer-Encoding: wow\r\n\r\nhello"),
        Reason.HTTP_PROTOCOL,
        r"HOST sent a body that can't be decompressed, after \d+ ms\.",
    ),
    "its content encoding is its own": (
        packed(b"x", "wow"),
        Reason.HTTP_PROTOCOL,
        UNPACKED.format("wow"),
    ),
    "its packing is packed too often": (
        packed(b"x", ", ".join(["gzip"] * 6)),
        Reason.HTTP_PROTOCOL,
        UNPACKED.format("gzip, gzip, gzip, gzip, gzip, gzip"),
    ),
    "its bomb is packed twice": (
        packed(gzip.compress(gzip.compress(NULLS)), "gzip, gzip"),
        Reason.BODY_TOO_LARGE,
        TOO_LARGE,
    ),
    "its bomb is deflated": (
        packed(zlib.compress(NULLS), "deflate"),
        Reason.BODY_TOO_LARGE,
        TOO_LARGE,
    ),
    "garbage follows its gzip": (
        packed(gzip.compress(b"hello") + b"garbage", "gzip"),
        Reason.HTTP_PROTOCOL,
        UNPACKED.format("gzip"),
    ),
    "its gzip is cut short": (
        packed(gzip.compress(PROSE)[:-20], "gzip"),
        Reason.HTTP_PROTOCOL,
        CUT_SHORT.format("gzip"),
    ),
    "its gzip lacks the checksum": (
        packed(gzip.compress(PROSE)[:-8], "x-gzip"),
        Reason.HTTP_PROTOCOL,
        CUT_SHORT.format("x-gzip"),
    ),
    "its gzip has a wrong checksum": (
        packed(gzip.compress(PROSE)[:-8] + bytes(8), "gzip"),
        Reason.HTTP_PROTOCOL,
        UNPACKED.format("gzip"),
    ),
    "its deflate is cut short": (
        packed(zlib.compress(PROSE)[:-6], "deflate"),
        Reason.HTTP_PROTOCOL,
        CUT_SHORT.format("deflate"),
    ),
    "its deflate is one byte": (
        packed(b"\x78", "deflate"),
        Reason.HTTP_PROTOCOL,
        CUT_SHORT.format("deflate"),
    ),
    "its brotli is cut short": (
        packed(brotli.compress(PROSE)[:-6], "br"),
        Reason.HTTP_PROTOCOL,
        CUT_SHORT.format("br"),
    ),
    "its brotli is none": (
        packed(b"\xff" * 50, "br"),
        Reason.HTTP_PROTOCOL,
        UNPACKED.format("br"),
    ),
    "its brotli is a bomb": (
        packed(brotli.compress(NULLS), "br"),
        Reason.BODY_TOO_LARGE,
        TOO_LARGE,
    ),
    "its body is longer than announced": (
        http.answer(START + b"Content-Length: 2\r\n\r\nhello"),
        Reason.HTTP_PROTOCOL,
        r"HOST sent 3 bytes more than the body's announced length, after \d+ ms\.",
    ),
    "an interim answer is all that comes": (
        repeat(b"HTTP/1.1 102 Processing\r\n\r\n", forever=b"", pause=0.1),
        Reason.TIMEOUT,
        r"HOST took longer than 0\.5 s, while waiting for what follows status 102\.",
    ),
    "its status is zero": (
        http.answer(b"HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        NO_HTTP,
    ),
    "its status is 99": (
        http.answer(b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        NO_HTTP,
    ),
    "its status has four digits": (
        http.answer(b"HTTP/1.1 2000 Odd\r\nContent-Length: 0\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        r"HOST sent a status line that is none \('HTTP/1\.1 2000 Odd'\), after \d+ ms\.",
    ),
    "its status is a word": (
        http.answer(b"HTTP/1.1 abc Odd\r\nContent-Length: 0\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        NO_HTTP,
    ),
    "its status is 600": (
        http.answer(http.respond(status="600 Odd")),
        Reason.HTTP_STATUS,
        NOT_EXPECTED.format("600"),
    ),
    "its status is 999": (
        http.answer(http.respond(status="999 Odd")),
        Reason.HTTP_STATUS,
        NOT_EXPECTED.format("999"),
    ),
    "it switches protocols unasked": (
        http.answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        r"HOST switched to another protocol \(status 101\), which nobody asked for, after \d+ ms\.",
    ),
    "it switches protocols unasked and is silent": (
        http.say_and_hang(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        r"HOST switched to another protocol \(status 101\), which nobody asked for, after \d+ ms\.",
    ),
    "its version is one that there is none of": (
        http.answer(b"HTTP/3.7 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        Reason.HTTP_PROTOCOL,
        r"HOST sent a status line that is none \('HTTP/3\.7 200 OK'\), after \d+ ms\.",
    ),
    "it says that nothing changed": (
        http.answer(http.respond(b"", status="304 Not Modified")),
        Reason.HTTP_STATUS,
        NOT_EXPECTED.format(r"304 \(Not Modified\)"),
    ),
    "its version is of the future": (
        http.answer(b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        NO_HTTP,
    ),
    "it claims another version": (
        http.answer(b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        BROKEN.format(r"Version mismatch \(from HTTP/1 to HTTP/2\)"),
    ),
    "a header has no colon": (
        http.answer(START + b"nonsense\r\nContent-Length: 0\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        BROKEN.format("Header without colon"),
    ),
    "a header has a NUL": (
        http.answer(START + b"X: a\0b\r\nContent-Length: 0\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        BROKEN.format("NUL byte in header"),
    ),
    "it continues without end": (
        repeat(b"", forever=b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        Reason.HTTP_PROTOCOL,
        BROKEN.format(r"Too large response headers: .*"),
    ),
    "it floods with small headers": (
        repeat(START, forever=b"a:\r\n" * 10_000),
        Reason.HTTP_PROTOCOL,
        r"HOST (sent headers that are too large|broke .*: .*header.*), after \d+ ms\.",
    ),
    "its status line never ends": (
        repeat(b"HTTP/1.1 200 ", forever=b"x" * 65535),
        Reason.HTTP_PROTOCOL,
        r"HOST sent headers that are too large, after \d+ ms\.",
    ),
    "it speaks SSH": (
        http.answer(b"SSH-2.0-OpenSSH_9.9\r\n"),
        Reason.HTTP_PROTOCOL,
        FOREIGN.format(r"SSH-2\.0-OpenSSH_9\.9\\r\\n"),
    ),
    "it speaks TLS": (
        http.answer(b"\x15\x03\x01\x00\x02\x02\x28"),
        Reason.HTTP_PROTOCOL,
        r"HOST speaks TLS, but is asked without it: its URL should begin with https://,"
        r" after \d+ ms\.",
    ),
    "it speaks HTTP/2 only": (
        http.answer(b"\0\0\0\4\0\0\0\0\0"),
        Reason.HTTP_PROTOCOL,
        FOREIGN.format(r"(\\u000\d)+"),
    ),
    "it redirects to itself": (
        http.answer(http.redirect("/")),
        Reason.REDIRECT_LOOP,
        r"The redirects go round: (\S+) → \1\.",
    ),
    "it redirects to an empty place": (
        http.answer(http.redirect("")),
        Reason.HTTP_STATUS,
        NO_LOCATION,
    ),
    "it redirects to two places": (
        http.answer(b"HTTP/1.1 302 F\r\nLocation: /a\r\nLocation: /b\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        BROKEN.format("Multiple Location headers"),
    ),
    "it leaves the choice": (
        http.answer(http.redirect("/x", status=300)),
        Reason.HTTP_STATUS,
        NOT_EXPECTED.format(r"300 \(Multiple Choices\)"),
    ),
    "it redirects to a port that can't be": (
        http.answer(http.redirect("http://127.0.0.1:99999/")),
        Reason.HTTP_PROTOCOL,
        r".* redirects to 'http://127\.0\.0\.1:99999/': The port must be a number from 1 to"
        r" 65535, not '99999'\.",
    ),
    "it redirects to a script": (
        http.answer(http.redirect("javascript:alert(1)")),
        Reason.HTTP_PROTOCOL,
        r".* redirects to 'javascript:alert\(1\)': A URL starts with http:// or https://\.",
    ),
    "it redirects to a file": (
        http.answer(http.redirect("file:///etc/passwd")),
        Reason.HTTP_PROTOCOL,
        r".* redirects to 'file:///etc/passwd': A URL starts with http:// or https://\.",
    ),
    "it redirects to where nobody listens": (
        http.answer(http.redirect("http://127.0.0.1:1/")),
        Reason.CONNECT_REFUSED,
        r"Connection to 127\.0\.0\.1 port 1 was refused after \d+ ms \(redirected \S+ →"
        r" http://127\.0\.0\.1:1/\)\.",
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
        timeout = 0.5 if reason == Reason.TIMEOUT else 10
        seen = await check("http", server.url, timeout=timeout)
    assert (seen.status, seen.reason) == (Status.DOWN, reason), seen
    assert re.fullmatch(message.replace("HOST", f"127.0.0.1 port {server.port}"), seen.message)
    assert seen.latency_ms is not None


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
    assert seen.message.endswith(" ms: it does not speak TLS.")
    assert server.connections == 1


async def test_a_body_of_exactly_the_limit_passes(check: Check) -> None:
    async with serve(http.answer(http.respond(b"x" * 1000))) as server:
        seen = await check("http", server.url, max_body_bytes=1000)
        assert seen.status == Status.UP
        seen = await check("http", server.url, max_body_bytes=999)
        assert seen.reason == Reason.BODY_TOO_LARGE


TAMPERED: dict[str, tuple[bytes, dict[str, object], str]] = {
    "the page is empty": (
        http.respond(b""),
        {"source": "body", "comparison": "not_empty"},
        'Body should not be empty, got "".',
    ),
    "the page is an error that calls itself a success": (
        http.respond(b"<b>Fatal error</b>: Uncaught PDOException"),
        {"source": "body", "comparison": "not_contains", "value": "Fatal error"},
        'Body should not contain "Fatal error", got "<b>Fatal error</b>: Uncaught PDOException".',
    ),
    "the page is somebody else's": (
        http.respond(b"<title>Domain for sale</title>"),
        {"source": "html", "property": "title", "comparison": "equals", "value": "Shop"},
        'HTML title should be "Shop", got "Domain for sale".',
    ),
    "the JSON is a page": (
        http.respond(b"<html>Sorry", headers={"Content-Type": "application/json"}),
        {"source": "json", "property": "$.ok", "comparison": "equals", "value": True},
        "JSON $.ok should be true, but the body is not JSON (Expecting value: line 1 column 1"
        ' (char 0)): "<html>Sorry".',
    ),
    "the JSON is cut short": (
        http.respond(b'{"ok": tr'),
        {"source": "json", "property": "$.ok", "comparison": "equals", "value": True},
        "JSON $.ok should be true, but the body is not JSON (Expecting value: line 1 column 8"
        ' (char 7)): "{\\"ok\\": tr".',
    ),
    "the JSON says that it is broken": (
        http.respond(b'{"ok": false}'),
        {"source": "json", "property": "$.ok", "comparison": "equals", "value": True},
        "JSON $.ok should be true, got false.",
    ),
    "the charset is a lie": (
        http.respond(b"gr\xfcn", headers={"Content-Type": "text/html; charset=utf-8"}),
        {"source": "body", "comparison": "contains", "value": "grün"},
        'Body should contain "grün", got "gr\ufffdn" (the body is not valid utf-8).',
    ),
    "the header is gone": (
        http.respond(),
        {"source": "header", "property": "Strict-Transport-Security", "comparison": "exists"},
        "Header Strict-Transport-Security should exist, got nothing.",
    ),
    "the body has another size": (
        http.respond(b"12345"),
        {"source": "size", "comparison": "at_least", "value": 1000},
        "Size (bytes) should be at least 1000, got 5.",
    ),
    "the version is an old one": (
        http.respond(headers={"X-Version": "1.9.0"}),
        {
            "source": "header",
            "property": "X-Version",
            "comparison": "at_least",
            "value": "1.10.0",
        },
        'Header X-Version should be at least "1.10.0", got "1.9.0".',
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
async def test_a_success_is_down_when(name: str, check: Check) -> None:
    response, assertion, message = TAMPERED[name]
    async with serve(http.answer(response)) as server:
        trusting = await check("http", server.url)
        seen = await check("http", server.url, assertions=[assertion])
    assert trusting.status == Status.UP
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.ASSERTION_FAILED), seen
    assert seen.http_status == 200
    assert seen.message == message


HARMLESS: dict[str, bytes] = {
    "lines that end as Unix does": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "a line end after the body": START + b"Content-Length: 2\r\n\r\nhi\r\n",
    "a body where none may be": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    "a compressed nothing": http.respond(b"", headers={"Content-Encoding": "gzip"}),
    "a compression of no effect": http.respond(headers={"Content-Encoding": "identity"}),
    "a length beside chunks": START
    + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "no length at all": START + b"\r\nhi",
    "no body at all": START + b"\r\n",
    "trailers": START + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n",
    "an early hint": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + http.OK,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhi",
    "no reason phrase": b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "bytes of no charset in a header": START + b"X: \xff\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", HARMLESS)
async def test_a_server_stays_up_with(name: str, check: Check) -> None:
    async with serve(http.answer(HARMLESS[name])) as server:
        seen = await check("http", server.url, timeout=1)
    assert seen.status == Status.UP, seen.message


PACKED = {
    "gzip": gzip.compress(PROSE),
    "gzip in two members": gzip.compress(PROSE[:9]) + gzip.compress(PROSE[9:]),
    "deflate": zlib.compress(PROSE),
    "deflate without its head": zlib.compress(PROSE, wbits=-15),
    "br": brotli.compress(PROSE),
    "gzip, br": brotli.compress(gzip.compress(PROSE)),
}


@pytest.mark.parametrize("name", PACKED)
async def test_a_body_is_read_that_is_packed_as(name: str, check: Check) -> None:
    conduct = packed(PACKED[name], name.partition(" in ")[0].partition(" without")[0])
    wanted = {"source": "body", "comparison": "equals", "value": PROSE.decode()}
    async with serve(conduct) as server:
        seen = await check("http", server.url, assertions=[wanted])
    assert seen.status == Status.UP, seen.message


async def test_a_packed_body_that_comes_byte_by_byte_is_put_together(check: Check) -> None:
    async def conduct(connection: Connection) -> None:
        await connection.read_request()
        for byte in http.respond(zlib.compress(b"hello"), headers={"Content-Encoding": "deflate"}):
            await connection.send(bytes([byte]))
            await asyncio.sleep(0)

    wanted = {"source": "body", "comparison": "equals", "value": "hello"}
    async with serve(conduct) as server:
        seen = await check("http", server.url, assertions=[wanted])
    assert seen.status == Status.UP, seen.message


def alert(number: int) -> Conduct:
    """Take the client's first message, and refuse it as TLS does."""

    async def conduct(connection: Connection) -> None:
        await connection.reader.read(1)
        await connection.send(b"\x15\x03\x03\x00\x02\x02" + bytes([number]))
        await connection.reader.read()

    return conduct


async def hang_up(connection: Connection) -> None:
    await connection.reader.read(1)


async def reset(connection: Connection) -> None:
    await connection.reader.read(1)
    connection.reset()


async def send_zeros(connection: Connection) -> None:
    await connection.send(b"\0" * 100)
    await connection.reader.read()


HANDSHAKES: dict[str, tuple[Conduct, str]] = {
    "aborted": (alert(40), r"handshake failure"),
    "refused for its version": (alert(70), r"it speaks no version of TLS that is known here"),
    "refused for its name": (alert(112), r"it does not know the name asked for \(SNI\)"),
    "without a protocol in common": (alert(120), r".*knows none of the protocols.*\(ALPN\)"),
    "lost to a fault of the server's": (alert(80), r"internal error"),
    "hung up on": (hang_up, r".*(eof|connection|closed|errno 0|reset|SSL_ERROR_SYSCALL).*"),
    "reset": (reset, r"connection reset by peer"),
    "answered with zeros": (send_zeros, r"it does not speak TLS"),
}


@pytest.mark.parametrize("name", HANDSHAKES)
async def test_a_handshake_fails_that_is(name: str, check: Check) -> None:
    conduct, detail = HANDSHAKES[name]
    async with serve(conduct) as server:
        seen = await check("http", f"https://127.0.0.1:{server.port}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_HANDSHAKE), seen
    place = rf"127\.0\.0\.1 port {server.port}"
    wanted = rf"The TLS handshake with {place} failed after \d+ ms: .*{detail}\."
    assert re.fullmatch(wanted, seen.message, re.IGNORECASE), seen.message
