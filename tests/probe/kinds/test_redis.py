"""The redis check against a server that says what the test tells it to."""

import re
from datetime import timedelta

import pytest

from probe.values import Reason, Status
from tests.probe.conftest import Check
from tests.servers.authority import Authority
from tests.servers.raw import Conduct, Connection, free_port, serve


def answer_each(*answers: bytes, asked: list[bytes] | None = None) -> Conduct:
    """One answer to each command; then the end."""

    async def conduct(connection: Connection) -> None:
        for answer in answers:
            said = await connection.reader.read(10_000)
            if asked is not None:
                asked.append(said)
            await connection.send(answer)

    return conduct


async def test_a_server_that_answers_is_up(check: Check) -> None:
    asked: list[bytes] = []
    async with serve(answer_each(b"+PONG\r\n", asked=asked)) as server:
        seen = await check("redis", f"127.0.0.1:{server.port}")
    assert (seen.status, seen.message) == (Status.UP, "")
    assert asked == [b"*1\r\n$4\r\nPING\r\n"]
    assert seen.phases.connect_ms is not None


async def test_login_database_and_command(check: Check) -> None:
    asked: list[bytes] = []
    conduct = answer_each(b"+OK\r\n", b"+OK\r\n", b"$3\r\n4\xc3\xbc\r\n", asked=asked)
    async with serve(conduct) as server:
        seen = await check(
            "redis",
            f"127.0.0.1:{server.port}",
            username="eve",
            password="s3 cret",
            database=2,
            query="GET 'a key'",
            expected="4ü",
        )
    assert seen.status == Status.UP, seen.message
    assert asked == [
        b"*3\r\n$4\r\nAUTH\r\n$3\r\neve\r\n$7\r\ns3 cret\r\n",
        b"*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n",
        b"*2\r\n$3\r\nGET\r\n$5\r\na key\r\n",
    ]


FAILURES: dict[str, tuple[list[bytes], dict[str, object], Reason, str]] = {
    "login needed": (
        [b"-NOAUTH Authentication required.\r\n"],
        {},
        Reason.AUTH_FAILED,
        'PLACE did not answer PING: it said "NOAUTH Authentication required.".',
    ),
    "wrong password": (
        [b"-WRONGPASS invalid\r\n"],
        {"password": "x"},
        Reason.AUTH_FAILED,
        'PLACE did not log in: it said "WRONGPASS invalid".',
    ),
    "wrong password for an old Redis": (
        [b"-ERR invalid password\r\n"],
        {"password": "x"},
        Reason.AUTH_FAILED,
        'PLACE did not log in: it said "ERR invalid password".',
    ),
    "a password that Redis has none of": (
        [b"-ERR AUTH <password> called without any password configured\r\n"],
        {"password": "x"},
        Reason.AUTH_FAILED,
        'PLACE did not log in: it said "ERR AUTH <password> called without any password'
        ' configured".',
    ),
    "too many clients to log in": (
        [b"-ERR max number of clients reached\r\n"],
        {"password": "x"},
        Reason.BANNER_MISMATCH,
        'PLACE did not log in: it said "ERR max number of clients reached".',
    ),
    "loading": (
        [b"-LOADING Redis is loading the dataset in memory\r\n"],
        {},
        Reason.BANNER_MISMATCH,
        'PLACE did not answer PING: it said "LOADING Redis is loading the dataset in memory".',
    ),
    "wrong value": (
        [b"$1\r\n5\r\n"],
        {"query": "GET x", "expected": "4"},
        Reason.ASSERTION_FAILED,
        'GET on PLACE should give "4", got "5".',
    ),
    "an answer that is none": (
        [b"*-5\r\n"],
        {},
        Reason.BANNER_MISMATCH,
        'Expected an answer of Redis from PLACE, got "*-5".',
    ),
    "not a PONG": (
        [b"*-1\r\n"],
        {},
        Reason.BANNER_MISMATCH,
        'Expected PONG from PLACE, got "(nil)".',
    ),
    "no value": (
        [b"$-1\r\n"],
        {"query": "GET x", "expected": "4"},
        Reason.ASSERTION_FAILED,
        'GET on PLACE should give "4", got "(nil)".',
    ),
    "another protocol": (
        [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
        {},
        Reason.BANNER_MISMATCH,
        'Expected an answer of Redis from PLACE, got "HTTP/1.1 400 Bad Request".',
    ),
    "closed": (
        [],
        {},
        Reason.BANNER_MISMATCH,
        "PLACE closed the connection instead of answering (first).",
    ),
    "cut off": (
        [b"$10\r\nhalf"],
        {"query": "GET x"},
        Reason.BANNER_MISMATCH,
        'PLACE closed the connection instead of answering (after "half").',
    ),
    "a size that is none": (
        [b"$abc\r\n"],
        {},
        Reason.BANNER_MISMATCH,
        'Expected a number from PLACE, got "$abc".',
    ),
    "too large by its own word": (
        [b"$99999999999\r\n"],
        {},
        Reason.BODY_TOO_LARGE,
        "PLACE answered with more than 1048576 bytes.",
    ),
    "too large": (
        [b"+" + b"x" * 2_000_000],
        {},
        Reason.BODY_TOO_LARGE,
        "PLACE answered with more than 1048576 bytes.",
    ),
    "too deep": (
        [b"*1\r\n" * 50],
        {},
        Reason.BANNER_MISMATCH,
        'Expected an array that large or deep from PLACE, got "*1".',
    ),
    "silence": (
        [b""],
        {"query": "GET x"},
        Reason.TIMEOUT,
        "PLACE took longer than 0.4 s, while waiting for an answer.",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_failures_are_told_apart(failure: str, check: Check) -> None:
    answers, settings, reason, message = FAILURES[failure]

    async def conduct(connection: Connection) -> None:
        await answer_each(*answers)(connection)
        if answers == [b""]:
            await connection.reader.read()
        elif not answers:
            await connection.reader.read(1000)

    async with serve(conduct) as server:
        target = f"127.0.0.1:{server.port}"
        seen = await check("redis", target, timeout=0.4, **settings)
        message = message.replace("PLACE", f"127.0.0.1 port {server.port}")
    assert (seen.status, seen.reason, seen.message) == (Status.DOWN, reason, message)


async def test_nobody_listens(check: Check) -> None:
    seen = await check("redis", f"127.0.0.1:{free_port()}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)


async def test_tls_is_verified(check: Check) -> None:
    authority = Authority()
    context = authority.issue("127.0.0.1", ends=timedelta(days=5)).server_context()
    async with serve(answer_each(b"+PONG\r\n"), tls=context) as server:
        target = f"127.0.0.1:{server.port}"
        unknown = await check("redis", target, tls=True)
        known = await check("redis", target, tls=True, ca_certificate=authority.certificate_pem)
    assert unknown.reason == Reason.TLS_UNTRUSTED
    assert (known.status, known.reason) == (Status.DEGRADED, Reason.CERT_EXPIRING)


async def test_values_can_be_asserted(check: Check) -> None:
    limit = {"source": "value", "comparison": "less_than", "value": 100}
    async with serve(answer_each(b":250\r\n")) as server:
        target = f"127.0.0.1:{server.port}"
        seen = await check("redis", target, query="LLEN queue", assertions=[limit])
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert re.search("less than 100, got .?250", seen.message)


async def test_forbidden_networks_are_not_connected_to(check: Check) -> None:
    async with serve(answer_each(b"+PONG\r\n")) as server:
        seen = await check("redis", f"127.0.0.1:{server.port}", allow_private=False)
    assert (seen.reason, server.connections) == (Reason.TARGET_FORBIDDEN, 0)
