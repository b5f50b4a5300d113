"""HTTP/3 against a server that speaks it, and against what goes wrong with it."""

import asyncio
import re
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from probe.kinds.http.offers import Offer, read_offer, recall
from probe.prober import Prober
from probe.values import Observation, Reason, Status
from tests.probe.conftest import Check, make_job
from tests.servers import http, http3
from tests.servers.authority import Authority, Issued
from tests.servers.http3 import Asked
from tests.servers.raw import Conduct, free_port, serve

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


async def test_http3_is_not_spoken_where_nobody_listens(check: Check) -> None:
    async with serve(http.answer(http.OK), tls=GOOD.server_context()) as server:
        seen = await ask(check, server.port)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)
    assert "over UDP (HTTP/3) was refused" in seen.message


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


# HTTP/3 that is offered


def offering(value: str) -> Conduct:
    return http.answer(http.respond(b"fine", headers={"Alt-Svc": value}))


async def observe(
    prober: Prober, port: int, known: str = "", *, timeout: float = 40, **settings: Any
) -> Observation:
    """One check of several, `known` what the last one left for it. HTTP/3 has a part of its time,
    which must do on a busy machine as well."""
    settings = {"ca_certificate": AUTHORITY.certificate_pem} | settings
    job = make_job("http", f"https://127.0.0.1:{port}", timeout=timeout, **settings)
    return await prober.observe(replace(job, last_fingerprint=known, wants_details=True))


def offered(port: int) -> str:
    """What an answer over TCP that offered HTTP/3 there left just now."""
    return str(Offer(port).made(datetime.now(UTC)))


def spoken(seen: Observation) -> str:
    return str((seen.details or {}).get("http_version"))


async def test_an_offered_http3_is_spoken_from_the_next_check_on(prober: Prober) -> None:
    async with http3.serve(http3.answer(body=b"fine"), GOOD) as over_udp:
        offer = offering(f'h2=":1", h3=":{over_udp.port}"; ma=86400, h3-29=":2"')
        async with serve(offer, tls=GOOD.server_context()) as over_tcp:
            first = await observe(prober, over_tcp.port)
            second = await observe(prober, over_tcp.port, first.fingerprint)
    assert (first.status, spoken(first)) == (Status.UP, "1.1"), first.message
    assert first.fingerprint.startswith(f"h3:{over_udp.port} good:")
    assert (second.status, spoken(second)) == (Status.UP, "3"), second.message
    assert second.fingerprint == ""  # nothing new
    assert (second.details or {})["http3"] == f"offered at UDP port {over_udp.port}"
    assert (over_tcp.connections, over_udp.connections) == (1, 1)


VOID: dict[str, tuple[http3.Conduct, Issued, Reason]] = {
    "reset": (lambda asked: asked.reset(0x102), GOOD, Reason.HTTP_PROTOCOL),
    "cut short": (http3.answer(announced(40), b"abc"), GOOD, Reason.HTTP_PROTOCOL),
    "misdirected": (http3.answer([(":status", "421")]), GOOD, Reason.HTTP_STATUS),
    "with a certificate of another": (
        http3.answer(),
        AUTHORITY.issue("other.example", ends=timedelta(days=90)),
        Reason.TLS_HOSTNAME,
    ),
}


@pytest.mark.parametrize("failure", VOID)
async def test_an_offered_http3_that_fails_is_no_trouble_of_the_target(
    failure: str, prober: Prober
) -> None:
    conduct, issued, reason = VOID[failure]
    async with http3.serve(conduct, issued) as over_udp:
        offer = offering(f'h3=":{over_udp.port}"')
        async with serve(offer, tls=GOOD.server_context()) as over_tcp:
            known = offered(over_udp.port)
            seen = await observe(prober, over_tcp.port, known)
            tried = over_udp.connections
            rested = await observe(prober, over_tcp.port, seen.fingerprint)
    assert (seen.status, spoken(seen), seen.message) == (Status.UP, "1.1", "")
    assert seen.fingerprint.startswith(f"h3:{over_udp.port} failed:1 until:")
    assert f"it failed ({reason})" in (seen.details or {})["http3"]
    assert (rested.status, rested.fingerprint) == (Status.UP, "")
    assert over_udp.connections == tried > 0


async def test_an_offered_http3_that_is_silent_gives_way_to_tcp(prober: Prober) -> None:
    async with http3.serve(http3.stay_silent, GOOD) as over_udp:
        known = offered(over_udp.port)
        offer = offering(f'h3=":{over_udp.port}"')
        async with serve(offer, tls=GOOD.server_context()) as over_tcp:
            for timeout in (0.4, 2, 8):  # on a busy machine it may take longer to connect
                seen = await observe(prober, over_tcp.port, known, timeout=timeout)
                if over_udp.requests and seen.status == Status.UP:
                    break
    assert (seen.status, spoken(seen)) == (Status.UP, "1.1"), seen.message
    assert f"reason:{Reason.TIMEOUT}" in seen.fingerprint


async def test_an_offer_where_nothing_answers_is_given_up_after_a_part_of_the_time(
    prober: Prober,
) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        async with serve(offering(f'h3=":{port}"'), tls=GOOD.server_context()) as over_tcp:
            seen = await observe(prober, over_tcp.port, offered(port), timeout=1.6)
    assert (seen.status, spoken(seen)) == (Status.UP, "1.1"), seen.message
    assert f"reason:{Reason.CONNECT_TIMEOUT}" in seen.fingerprint


async def test_an_offer_that_nobody_keeps_is_refused_at_once(prober: Prober) -> None:
    port = free_port(kind=socket.SOCK_DGRAM)
    async with serve(offering(f'h3=":{port}"'), tls=GOOD.server_context()) as over_tcp:
        seen = await observe(prober, over_tcp.port, offered(port))
    assert (seen.status, spoken(seen)) == (Status.UP, "1.1"), seen.message
    assert f"reason:{Reason.CONNECT_REFUSED}" in seen.fingerprint


async def test_an_answer_over_an_offered_http3_is_what_counts(prober: Prober) -> None:
    async with (
        http3.serve(http3.answer([(":status", "500")]), GOOD) as over_udp,
        serve(offering(f'h3=":{over_udp.port}"'), tls=GOOD.server_context()) as over_tcp,
    ):
        seen = await observe(prober, over_tcp.port, offered(over_udp.port))
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.HTTP_STATUS)
    assert seen.message.endswith(" expected 200-299 (over HTTP/3).")
    assert over_tcp.connections == 0


async def test_tcp_is_asked_now_and_then_where_http3_answers(prober: Prober) -> None:
    async with http3.serve(http3.answer(), GOOD) as over_udp:
        stale = f"h3:{over_udp.port} good:1"
        offer = offering(f'h3=":{over_udp.port}"')
        async with serve(offer, tls=GOOD.server_context()) as over_tcp:
            seen = await observe(prober, over_tcp.port, stale)
            later = await observe(prober, over_tcp.port, seen.fingerprint)
        dead = await observe(prober, over_tcp.port, stale)
        resting = str(Offer(over_udp.port).failed("timeout", datetime.now(UTC)))
        dead_meanwhile = await observe(prober, over_tcp.port, resting)
    assert (spoken(seen), spoken(later)) == ("1.1", "3")
    assert (over_tcp.connections, over_udp.connections) == (1, 1)
    assert (dead.status, dead.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)
    assert dead_meanwhile.status == Status.DOWN
    until_tcp_answers = str(Offer(over_udp.port))
    assert dead.fingerprint == dead_meanwhile.fingerprint == until_tcp_answers


async def test_what_fails_over_tcp_as_well_is_down(prober: Prober) -> None:
    seen = await observe(prober, free_port(), offered(free_port(kind=socket.SOCK_DGRAM)))
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)
    assert "UDP" not in seen.message
    offer = recall(seen.fingerprint)
    assert offer is not None
    assert not offer.is_open(datetime.now(UTC) + timedelta(days=1))  # until TCP answers


async def test_an_answer_without_an_offer_takes_it_back(prober: Prober) -> None:
    known = offered(free_port(kind=socket.SOCK_DGRAM))
    async with serve(http.answer(http.OK), tls=GOOD.server_context()) as server:
        seen = await observe(prober, server.port, known)
        later = await observe(prober, server.port, seen.fingerprint)
    assert (seen.status, recall(seen.fingerprint)) == (Status.UP, None)
    assert (later.status, later.fingerprint) == (Status.UP, "")


@pytest.mark.parametrize(
    "settings", [{"http_version": "1.1"}, {"method": "POST"}, {"proxy": "http://127.0.0.1:1"}]
)
async def test_no_offer_is_taken_where_another_way_is_wanted(
    settings: dict[str, str], prober: Prober
) -> None:
    async with (
        http3.serve(http3.answer(), GOOD) as over_udp,
        serve(offering(f'h3=":{over_udp.port}"'), tls=GOOD.server_context()) as over_tcp,
    ):
        seen = await observe(prober, over_tcp.port, offered(over_udp.port), **settings)
    assert seen.fingerprint == ""
    assert over_udp.connections == 0


@pytest.mark.parametrize(
    ("value", "port"),
    [
        (b'h3=":443"', 443),
        (b'h3="x.example:8443"; ma=60', 8443),
        (b'h2=":443"; ma=1, h3=":444"; persist=1', 444),
        (b'h3="other.example:443", h3=":445"', 445),
        (b'h3=":443"; ma=0', None),
        (b'h3=":0", h3=":65536", h3=":99999999"', None),
        (b'h3-29=":443"', None),
        (b"clear", None),
        (b'h3=":443', None),
        (b"\xff" * 3000 + b', h3=":443"', None),
    ],
)
def test_offers_are_read(value: bytes, port: int | None) -> None:
    offer = read_offer([b"HTTP/2 200\r\n", b"Alt-Svc: " + value + b"\r\n"], "x.example")
    assert offer == (Offer(port) if port else None)


def test_an_offer_rests_ever_longer() -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    offer, rests = Offer(443), []
    for _ in range(30):
        offer = offer.failed("timeout", now)
        rests.append(offer.rests_until - now.timestamp())
        assert recall(str(offer)) == offer
    assert rests[:3] == [300, 600, 1200]
    assert max(rests) == rests[-1] == 8 * 3600
    assert not offer.is_open(now)
    assert offer.is_open(now + timedelta(hours=8))


def test_an_offer_is_taken_for_a_while() -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    offer = Offer(443).made(now)
    assert recall(str(offer)) == offer
    assert offer.is_open(now + timedelta(minutes=9))
    assert not offer.is_open(now + timedelta(minutes=10))
