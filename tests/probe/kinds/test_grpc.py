"""gRPC health: what each answer means, and what goes wrong."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.kinds.grpc import health_of
from probe.values import Reason, Status
from tests.probe.conftest import Check
from tests.servers import http
from tests.servers.authority import Authority
from tests.servers.http2 import Pairs, http2
from tests.servers.raw import Conduct, free_port, serve

HEADERS = ((":status", "200"), ("content-type", "application/grpc"))
OK = (("grpc-status", "0"),)


def message(payload: bytes) -> bytes:
    return b"\0" + len(payload).to_bytes(4, "big") + payload


SERVING, NOT_SERVING = message(b"\x08\x01"), message(b"\x08\x02")


def health(
    body: bytes = SERVING, trailers: Pairs = OK, *, asked: list[bytes] | None = None
) -> Conduct:
    return http2(HEADERS, body, trailers, asked=asked)


async def test_a_serving_server_is_up(check: Check) -> None:
    asked: list[bytes] = []
    async with serve(health(asked=asked)) as server:
        seen = await check("grpc", f"127.0.0.1:{server.port}", tls=False)
        named = await check("grpc", f"127.0.0.1:{server.port}", tls=False, service="a.B")
    assert seen.status == named.status == Status.UP, seen.message
    assert asked == [b"\0\0\0\0\0", b"\0\0\0\0\5\x0a\3a.B"]


async def test_tls_negotiates_http2(check: Check) -> None:
    authority = Authority()
    issued = authority.issue("127.0.0.1", ends=timedelta(days=90))
    context = issued.server_context()
    context.set_alpn_protocols(["h2"])
    async with serve(health(), tls=context) as server:
        seen = await check(
            "grpc", f"127.0.0.1:{server.port}", ca_certificate=authority.certificate_pem
        )
    assert seen.status == Status.UP, seen.message
    assert seen.cert_expires_at == issued.certificate.not_valid_after_utc


FAILURES: dict[str, tuple[Conduct, str]] = {
    "it is not serving": (
        health(NOT_SERVING),
        r"HOST says that the health is NOT_SERVING, expected SERVING, after \d+ ms\.",
    ),
    "its state is unknown": (
        health(message(b"")),
        r"HOST says that the health is UNKNOWN, expected SERVING, after \d+ ms\.",
    ),
    "it has no health service": (
        http2((*HEADERS, ("grpc-status", "12"))),
        r"HOST answered with gRPC status 12 \(UNIMPLEMENTED\): it has no health service, after .*",
    ),
    "it does not know the service": (
        http2((*HEADERS, ("grpc-status", "5"), ("grpc-message", "no such%20service"))),
        r"HOST answered with gRPC status 5 \(NOT_FOUND\): no such service, after \d+ ms\.",
    ),
    "it wants to know who asks": (
        http2((*HEADERS, ("grpc-status", "16"))),
        r"HOST answered with gRPC status 16 \(UNAUTHENTICATED\), after \d+ ms\.",
    ),
    "its answer is garbage": (
        health(message(b"\xff\xff")),
        r"HOST sent an answer of health that can't be read, after \d+ ms\.",
    ),
    "it is a web server": (
        http2(((":status", "200"), ("content-type", "text/html")), b"<html>"),
        r"HOST does not answer with gRPC \(no grpc-status\), after \d+ ms\.",
    ),
    "a proxy answers for it": (
        http2(((":status", "503"),)),
        r"Status 503 \(Service Unavailable\) after \d+ ms, expected 200\.",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_server_is_down_when(name: str, check: Check) -> None:
    conduct, text = FAILURES[name]
    async with serve(conduct) as server:
        seen = await check("grpc", f"127.0.0.1:{server.port}", tls=False)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.HTTP_STATUS), seen
    assert re.fullmatch(text.replace("HOST", f"127.0.0.1:{server.port}"), seen.message)


async def test_a_server_of_http1_is_told(check: Check) -> None:
    async with serve(http.answer(http.OK)) as server:
        seen = await check("grpc", f"127.0.0.1:{server.port}", tls=False, timeout=1)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.HTTP_PROTOCOL)


async def test_a_closed_port_is_refused(check: Check) -> None:
    seen = await check("grpc", f"127.0.0.1:{free_port()}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)


async def test_the_health_can_be_asserted(check: Check) -> None:
    wanted = {"source": "value", "comparison": "equals", "value": "NOT_SERVING"}
    async with serve(health()) as server:
        seen = await check("grpc", f"127.0.0.1:{server.port}", tls=False, assertions=[wanted])
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert seen.message == 'Value should be "NOT_SERVING", got "SERVING".'


@given(st.binary(max_size=40))
def test_no_message_breaks_the_reader(payload: bytes) -> None:
    for body in (payload, message(payload)):
        assert health_of(body) is None or health_of(body)
