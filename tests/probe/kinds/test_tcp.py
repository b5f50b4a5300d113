"""The tcp check: connect, TLS, send, expect."""

import asyncio
import re
from datetime import timedelta

import pytest

from probe.kinds.tcp import unescape
from probe.values import Reason, Status
from tests.probe.conftest import Check
from tests.servers import http
from tests.servers.authority import Authority, issue
from tests.servers.dns import serve_names
from tests.servers.raw import Connection, free_port, serve, unanswered_port
from tests.servers.tls import serve_tls


async def greet(connection: Connection) -> None:
    await connection.send(b"220 mail.example ESMTP\r\n")
    await connection.send(await connection.reader.readline())
    await connection.reader.read()


async def test_an_open_port_is_up(check: Check) -> None:
    async with serve(greet) as server:
        seen = await check("tcp", f"127.0.0.1:{server.port}")
    assert (seen.status, seen.message) == (Status.UP, "")
    assert seen.phases.connect_ms is not None
    assert seen.phases.dns_ms is None


async def test_a_closed_port_is_down(check: Check) -> None:
    port = free_port()
    seen = await check("tcp", f"127.0.0.1:{port}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)
    assert re.fullmatch(
        rf"Connection to 127\.0\.0\.1 port {port} was refused after \d+ ms\.", seen.message
    )


async def test_a_port_that_never_answers_times_out(check: Check) -> None:
    with unanswered_port() as port:
        seen = await check("tcp", f"127.0.0.1:{port}", timeout=0.3)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_TIMEOUT)
    assert seen.message == f"No connection to 127.0.0.1 port {port} within 0.3 s."


async def test_an_expected_banner_is_up(check: Check) -> None:
    async with serve(greet) as server:
        seen = await check("tcp", f"127.0.0.1:{server.port}", expect="ESMTP")
    assert seen.status == Status.UP
    assert seen.phases.first_byte_ms is not None


async def test_a_greeting_may_come_in_pieces(check: Check) -> None:
    async def stammer(connection: Connection) -> None:
        for piece in (b"220 ma", b"il.example ", b"ESMTP\r\n"):
            await connection.send(piece)
            await asyncio.sleep(0.01)
        await connection.reader.read()

    named = {"source": "banner", "comparison": "contains", "value": "ESMTP"}
    other = {"source": "banner", "comparison": "contains", "value": "IMAP"}
    async with serve(stammer) as server:
        good = await check("tcp", f"127.0.0.1:{server.port}", assertions=[named])
        bad = await check("tcp", f"127.0.0.1:{server.port}", assertions=[other])
    assert good.status == Status.UP, good.message
    assert (bad.status, bad.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert bad.message == 'Banner should contain "IMAP", got "220 mail.example ESMTP\\r\\n".'


async def test_what_is_sent_can_be_expected_back(check: Check) -> None:
    async with serve(greet) as server:
        target = f"127.0.0.1:{server.port}"
        seen = await check("tcp", target, send=r"PING\r\n", expect=r"PING\r\n")
    assert seen.status == Status.UP


async def test_another_banner_is_a_mismatch(check: Check) -> None:
    async def refuse(connection: Connection) -> None:
        await connection.send(b"554 go away\r\n")

    async with serve(refuse) as server:
        seen = await check("tcp", f"127.0.0.1:{server.port}", expect="220")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.BANNER_MISMATCH)
    assert re.fullmatch(
        rf'Expected "220" from 127\.0\.0\.1 port {server.port}, got "554 go away\\r\\n", then'
        r" closed, after \d+ ms\.",
        seen.message,
    )


async def test_a_banner_that_stops_short_is_a_mismatch(check: Check) -> None:
    async with serve(greet) as server:
        seen = await check("tcp", f"127.0.0.1:{server.port}", expect="250", timeout=0.2)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.BANNER_MISMATCH)
    assert "then silence, after" in seen.message


async def test_a_server_that_babbles_is_cut_off(check: Check) -> None:
    async def babble(connection: Connection) -> None:
        while True:
            await connection.send(b"x" * 65536)

    async with serve(babble) as server:
        seen = await check("tcp", f"127.0.0.1:{server.port}", expect="220")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.BANNER_MISMATCH)
    assert "and more, after" in seen.message


async def test_silence_is_a_timeout_with_its_phase(check: Check) -> None:
    async with serve(http.stay_silent) as server:
        target = f"127.0.0.1:{server.port}"
        waiting = await check("tcp", target, expect="220", timeout=0.2)
        shaking = await check("tcp", target, tls=True, timeout=0.2)
    assert waiting.reason == shaking.reason == Reason.TIMEOUT
    assert waiting.message == (
        f"127.0.0.1 port {server.port} took longer than 0.2 s, while waiting for an answer."
    )
    assert shaking.message.endswith("took longer than 0.2 s, while in the TLS handshake.")


async def test_a_reset_is_told_with_its_phase(check: Check) -> None:
    async def drop(connection: Connection) -> None:
        await connection.reader.read(1)
        connection.reset()

    async with serve(drop) as server:
        seen = await check("tcp", f"127.0.0.1:{server.port}", send="x", expect="220")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_RESET)
    assert "broke the connection while waiting for an answer: connection reset" in seen.message


async def test_a_connection_that_is_reset_at_once_was_accepted(check: Check) -> None:
    async def drop(connection: Connection) -> None:
        connection.reset()

    async with serve(drop) as server:
        target = f"127.0.0.1:{server.port}"
        plain = await check("tcp", target)
        asked = await check("tcp", target, expect="220")
        secured = await check("tcp", target, tls=True)
    assert plain.status == Status.UP, plain.message
    assert (asked.status, asked.reason) == (Status.DOWN, Reason.CONNECT_RESET)
    assert "while waiting for an answer: connection reset by peer, after" in asked.message
    assert (secured.status, secured.reason) == (Status.DOWN, Reason.CONNECT_RESET)
    assert "in the TLS handshake: connection reset by peer" in secured.message


async def test_tls_is_verified_and_dated(check: Check) -> None:
    authority = Authority()
    issued = authority.issue("127.0.0.1", ends=timedelta(days=90))
    with serve_tls(issued.server_context()) as server:
        target = f"127.0.0.1:{server.port}"
        options = {"tls": True, "send": r"GET / HTTP/1.0\r\n\r\n", "expect": "200 OK"}
        untrusted = await check("tcp", target, **options)
        unverified = await check("tcp", target, verify_tls=False, **options)
        trusted = await check("tcp", target, ca_certificate=authority.certificate_pem, **options)
    assert (untrusted.status, untrusted.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert unverified.status == trusted.status == Status.UP, trusted.message
    assert trusted.cert_expires_at == issued.certificate.not_valid_after_utc
    assert trusted.phases.tls_ms is not None


@pytest.mark.parametrize("kind", ["tcp", "tls"])
async def test_a_name_with_its_last_dot_is_the_same_name(kind: str, check: Check) -> None:
    authority = Authority()
    context = authority.issue("x.example", ends=timedelta(days=90)).server_context()
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    with serve_tls(context) as server:
        async with serve_names({"x.example": ["127.0.0.1"]}) as names:
            seen = await check(
                kind,
                f"x.example.:{server.port}",
                resolver=names.address,
                ca_certificate=authority.certificate_pem,
                **({"tls": True} if kind == "tcp" else {}),
            )
    assert seen.status == Status.UP, seen.message
    assert asked == ["x.example"]


async def test_a_self_signed_certificate_is_told(check: Check) -> None:
    with serve_tls(issue("a.example", issuer=None).server_context()) as server:
        seen = await check("tcp", f"127.0.0.1:{server.port}", tls=True)
    assert seen.message == "The certificate of 127.0.0.1 is self-signed."


async def test_plain_text_on_a_tls_check_is_a_failed_handshake(check: Check) -> None:
    async with serve(greet) as server:
        seen = await check("tcp", f"127.0.0.1:{server.port}", tls=True)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_HANDSHAKE)
    assert seen.message == "The TLS handshake with 127.0.0.1 failed: it does not speak TLS."


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (None, b""),
        ("plain", b"plain"),
        (r"a\r\nb", b"a\r\nb"),
        (r"\x00\xff", b"\x00\xff"),
        (r"\\n", b"\\n"),
        ("ü", "ü".encode()),
        (r"\q", rb"\q"),
    ],
)
def test_escapes_stand_for_bytes(text: str | None, data: bytes) -> None:
    assert unescape(text) == data
