"""HTTP/3 against a server that speaks it, and against what goes wrong with it."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from probe.values import Observation, Reason, Status
from tests.probe.conftest import Check
from tests.servers import http, http3
from tests.servers.authority import Authority, Issued
from tests.servers.http3 import Asked
from tests.servers.raw import serve

AUTHORITY = Authority()
GOOD = AUTHORITY.issue("127.0.0.1", ends=timedelta(days=90))
SPOKEN = {"source": "http_version", "comparison": "equals", "value": "3"}
FINE = {"source": "body", "comparison": "contains", "value": "fine"}


async def ask(check: Check, port: int, **options: object) -> Observation:
    options = {"http_version": "3", "ca_certificate": AUTHORITY.certificate_pem} | options
    return await check("http", f"https://127.0.0.1:{port}", **options)


def announced(size: int) -> http3.Pairs:
    return (*http3.OK, ("content-length", str(size)))


def answer_after_hints(asked: Asked) -> None:
    asked.send_headers([(":status", "103")])
    http3.answer(body=b"fine")(asked)


def answer_and_close(asked: Asked) -> None:
    http3.answer(announced(4), b"fine")(asked)
    asked.close(0x100)


@pytest.mark.parametrize(
    "conduct",
    [
        http3.answer(body=b"so fine"),
        http3.answer(body=b"fine" * 50_000),
        http3.answer(body=b"fine", trailers=[("x-sum", "1")]),
        answer_after_hints,
        answer_and_close,
    ],
)
async def test_http3_is_spoken_where_it_is_chosen(conduct: http3.Conduct, check: Check) -> None:
    async with http3.serve(conduct, GOOD) as server:
        seen = await ask(check, server.port, assertions=[SPOKEN, FINE])
    assert seen.status == Status.UP, seen.message
    assert seen.cert_expires_at
    assert b":method: GET\r\n" in server.requests[0]


async def test_redirects_and_bodies_go_over_http3(check: Check) -> None:
    def lead(asked: Asked) -> None:
        if len(server.requests) == 1:
            http3.answer([(":status", "307"), ("location", "/next")])(asked)
        else:
            http3.answer()(asked)

    async with http3.serve(lead, GOOD) as server:
        seen = await ask(check, server.port, method="POST", body="{}")
    assert seen.status == Status.UP, seen.message
    assert b":path: /next\r\n" in server.requests[1]
    assert b"content-type: application/json\r\n" in server.requests[1]


async def test_another_version_is_not_taken_for_what_it_offers_besides(check: Check) -> None:
    """Each check is on its own, so Alt-Svc, which is for the next connection, changes nothing."""
    offer = http.respond(headers={"Alt-Svc": 'h3=":1"; ma=86400'})
    async with serve(http.answer(offer), tls=GOOD.server_context()) as server:
        seen = await ask(check, server.port, http_version="auto")
        chosen = await ask(check, server.port)
    assert seen.status == Status.UP, seen.message
    assert (chosen.status, chosen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)
    assert "over UDP (HTTP/3) was refused" in chosen.message


def begin_and_stop(then: Callable[[Asked], None]) -> http3.Conduct:
    def conduct(asked: Asked) -> None:
        asked.send_headers(http3.OK)
        asked.send_body(b"abc")
        then(asked)

    return conduct


@pytest.mark.parametrize(
    ("conduct", "reason", "told"),
    [
        (
            http3.answer([(":status", "503"), ("retry-after", "9")]),
            Reason.HTTP_STATUS,
            "Status 503 (Service Unavailable) after MS ms, expected 200-299: the server says that"
            " it is out of service for now, and to come back in 9 s.",
        ),
        (
            http3.stay_silent,
            Reason.TIMEOUT,
            "PLACE took longer than 1 s, while waiting for the first byte.",
        ),
        (
            begin_and_stop(http3.stay_silent),
            Reason.TIMEOUT,
            "PLACE took longer than 1 s, while reading the body (3 bytes so far).",
        ),
        (
            lambda asked: asked.reset(0x102),
            Reason.HTTP_PROTOCOL,
            "PLACE broke the HTTP protocol: HTTP/3 stream 0 reset by server (error 0x102"
            " INTERNAL_ERROR), after MS ms.",
        ),
        (
            lambda asked: asked.reset(0x10B),
            Reason.HTTP_PROTOCOL,
            "PLACE refused the request again and again (HTTP/3 REQUEST_REJECTED), after MS ms.",
        ),
        (
            lambda asked: asked.close(0x102),
            Reason.HTTP_PROTOCOL,
            "PLACE ended the HTTP/3 connection while waiting for the first byte, after MS ms.",
        ),
        (
            begin_and_stop(lambda asked: asked.close(0x100)),
            Reason.HTTP_PROTOCOL,
            "PLACE ended the HTTP/3 connection while reading the body (3 bytes so far), after MS"
            " ms.",
        ),
        (
            http3.answer(announced(40), b"abc"),
            Reason.HTTP_PROTOCOL,
            "PLACE broke the protocol of HTTP/3 while reading the body (3 bytes so far), after MS"
            " ms.",
        ),
        (
            lambda asked: asked.send_raw(b"\x40\x00\xff\xff"),
            Reason.HTTP_PROTOCOL,
            "PLACE broke the protocol of HTTP/3 while waiting for the first byte, after MS ms.",
        ),
    ],
)
async def test_an_answer_over_http3_that_fails_is_named(
    conduct: http3.Conduct, reason: Reason, told: str, check: Check
) -> None:
    async with http3.serve(conduct, GOOD) as server:
        seen = await ask(check, server.port, timeout=1 if reason == Reason.TIMEOUT else 10)
    assert (seen.status, seen.reason) == (Status.DOWN, reason)
    place = f"127.0.0.1 port {server.port}"
    assert re.sub(r"after \d+ ms", "after MS ms", seen.message).replace(place, "PLACE") == told


# The handshake

NO_HANDSHAKE = (
    r"The handshake of HTTP/3 with 127\.0\.0\.1 port \d+ failed after \d+ ms: the two have"
)


@pytest.mark.parametrize(
    ("issued", "reason", "told"),
    [
        (
            AUTHORITY.issue("other.example", ends=timedelta(days=90)),
            Reason.TLS_HOSTNAME,
            r"The certificate is for other\.example, not for 127\.0\.0\.1\.",
        ),
        (
            AUTHORITY.issue("127.0.0.1", ends=-timedelta(days=1)),
            Reason.TLS_EXPIRED,
            r"The certificate of 127\.0\.0\.1 expired on .* UTC, 1 days ago\.",
        ),
        (
            Authority("Other Root").issue("127.0.0.1", ends=timedelta(days=90)),
            Reason.TLS_UNTRUSTED,
            r"The certificate of 127\.0\.0\.1 is from 'Other Root', which is not trusted",
        ),
        (
            Issued(GOOD.certificate, AUTHORITY.issue("x", ends=timedelta(days=90)).key),
            Reason.TLS_HANDSHAKE,
            NO_HANDSHAKE,
        ),
    ],
)
async def test_a_certificate_over_http3_that_is_wrong_is_named(
    issued: Issued, reason: Reason, told: str, check: Check
) -> None:
    async with http3.serve(http3.answer(), issued) as server:
        seen = await ask(check, server.port)
    assert (seen.status, seen.reason) == (Status.DOWN, reason)
    assert re.match(told, seen.message), seen.message


async def test_a_server_of_quic_that_speaks_no_http3_is_named(check: Check) -> None:
    async with http3.serve(http3.answer(), GOOD, protocols=["hq-interop"]) as server:
        seen = await ask(check, server.port)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_HANDSHAKE)
    assert re.match(NO_HANDSHAKE, seen.message), seen.message


class Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram with what `respond` makes of it; None for nothing."""

    def __init__(self, respond: Callable[[bytes], bytes | None]) -> None:
        self._respond = respond

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # it is one
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if response := self._respond(data):
            self._transport.sendto(response, addr)


def name_other_versions(data: bytes) -> bytes:
    """Version negotiation (RFC 9000 section 17.2.1) that offers none but made-up ones."""
    to, rest = data[6 : 6 + data[5]], data[6 + data[5] :]
    sender = rest[1 : 1 + rest[0]]
    ids = bytes([len(sender)]) + sender + bytes([len(to)]) + to
    return b"\x80\0\0\0\0" + ids + b"\x1a\x2a\x3a\x4a"


@pytest.mark.parametrize(
    ("respond", "reason", "told"),
    [
        (
            lambda data: None,
            Reason.CONNECT_TIMEOUT,
            r"No connection to 127\.0\.0\.1 port \d+ over UDP \(HTTP/3\) within 0\.3 s\.",
        ),
        (
            lambda data: b"HTTP/1.1 200 OK\r\n\r\n",
            Reason.CONNECT_TIMEOUT,
            r"No connection to 127\.0\.0\.1 port \d+ over UDP \(HTTP/3\) within 0\.3 s\.",
        ),
        (name_other_versions, Reason.TLS_HANDSHAKE, NO_HANDSHAKE),
    ],
)
async def test_what_is_no_quic_is_named(
    respond: Callable[[bytes], bytes | None], reason: Reason, told: str, check: Check
) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Datagrams(respond), local_addr=("127.0.0.1", 0)
    )
    try:
        port = transport.get_extra_info("sockname")[1]
        seen = await ask(check, port, timeout=0.3 if "within" in told else 10)
    finally:
        transport.close()
    assert (seen.status, seen.reason) == (Status.DOWN, reason)
    assert re.match(told, seen.message), seen.message
