"""The postgres check against a real server behind loopback TCP, mysql against a look-alike."""

import asyncio
import errno
import os
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from probe.kinds.database import Asking
from probe.values import Observation, Reason, Status
from tests.probe.conftest import Check
from tests.servers import mysql
from tests.servers.authority import Authority
from tests.servers.dns import serve_names
from tests.servers.mysql import serve_mysql, serve_mysql_over_tls
from tests.servers.network import Internet, Route
from tests.servers.raw import Conduct, Connection, Server, free_port, serve, unanswered_port

KINDS = ["postgres", "mysql"]


def postgres_socket() -> str:
    """Where the suite's own PostgreSQL listens."""
    folder = parse_qs(urlsplit(os.environ["DATABASE_URL"]).query)["host"][0]
    return str(Path(folder) / ".s.PGSQL.5432")


async def relay(connection: Connection) -> None:
    """Both ways between a client and the suite's PostgreSQL."""
    reader, writer = await asyncio.open_unix_connection(postgres_socket())

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
        target.close()

    try:
        await asyncio.gather(carry(connection.reader, writer), carry(reader, connection.writer))
    finally:
        writer.close()


@asynccontextmanager
async def serve_postgres() -> AsyncIterator[Server]:
    async with serve(relay) as server:
        yield server


async def ask_postgres(check: Check, **settings: Any) -> tuple[Observation, str]:
    """What is seen, with PLACE for where the server is."""
    settings = {"username": "uptime", "database": "uptime", **settings}
    async with serve_postgres() as server:
        seen = await check("postgres", f"127.0.0.1:{server.port}", **settings)
        return seen, seen.message.replace(f"127.0.0.1 port {server.port}", "PLACE")


async def test_a_postgres_that_lets_in_is_up(check: Check) -> None:
    seen, message = await ask_postgres(check)
    assert (seen.status, message) == (Status.UP, "")
    assert seen.phases.connect_ms is not None


async def test_a_postgres_gives_the_value(check: Check) -> None:
    right, _ = await ask_postgres(check, query="select 40 + 2, 'more'", expected="42")
    wrong, message = await ask_postgres(check, query="select 41", expected="42")
    none, no_row = await ask_postgres(check, query="select 1 where false", expected="42")
    assert right.status == Status.UP, right.message
    assert right.phases.first_byte_ms is not None
    assert (wrong.status, wrong.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert message == 'The query on PLACE should give "42", got "41".'
    assert (none.reason, no_row) == (
        Reason.ASSERTION_FAILED,
        'The query on PLACE should give "42", got no row.',
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("true", "true"),
        ("null::int", "NULL"),
        ("1.50", "1.50"),
        ("""'{"a": [1, "é"]}'::jsonb""", '{"a": [1, "é"]}'),
        ("array[1, 2]", "[1, 2]"),
        ("date '2026-01-31'", "2026-01-31"),
        ("'\\x6869'::bytea", "hi"),
    ],
)
async def test_a_value_of_postgres_is_compared_as_text(value: str, text: str, check: Check) -> None:
    seen, message = await ask_postgres(check, query=f"select {value}", expected=text)
    assert seen.status == Status.UP, message


POSTGRES_REFUSALS: dict[str, tuple[dict[str, Any], Reason, str]] = {
    "no such user": (
        {"username": "nobody_here"},
        Reason.AUTH_FAILED,
        r'PLACE refuses the login of nobody_here: it said "FATAL: +role \\"nobody_here\\" does not'
        r' exist"\.',
    ),
    "no such database": (
        {"database": "nowhere"},
        Reason.BANNER_MISMATCH,
        r'PLACE refuses the connection: it said "FATAL: +database \\"nowhere\\" does not exist"\.',
    ),
    "no such table": (
        {"query": "select * from nowhere"},
        Reason.BANNER_MISMATCH,
        r'PLACE refuses the query: it said "relation \\"nowhere\\" does not exist"\.',
    ),
    "no such table, called like a part of TLS": (
        {"query": "select * from ssl_certificates"},
        Reason.BANNER_MISMATCH,
        r'PLACE refuses the query: it said "relation \\"ssl_certificates\\" does not exist"\.',
    ),
    "no query": (
        {"query": "selct 1"},
        Reason.BANNER_MISMATCH,
        r'PLACE refuses the query: it said "syntax error at or near \\"selct\\""\.',
    ),
}


@pytest.mark.parametrize("refusal", POSTGRES_REFUSALS)
async def test_refusals_of_postgres_are_quoted(refusal: str, check: Check) -> None:
    settings, reason, pattern = POSTGRES_REFUSALS[refusal]
    seen, message = await ask_postgres(check, **settings)
    assert (seen.status, seen.reason) == (Status.DOWN, reason)
    assert re.fullmatch(pattern, message), message


def postgres_that_asks_for_a_password(error: str) -> Conduct:
    """AuthenticationCleartextPassword, then an ErrorResponse with these words."""

    async def conduct(connection: Connection) -> None:
        await connection.reader.read(65_536)
        await connection.send(b"R\0\0\0\x08\0\0\0\x03")
        if not await connection.reader.read(65_536):
            return
        fields = f"SFATAL\0VFATAL\0C28P01\0M{error}\0\0".encode()
        await connection.send(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)

    return conduct


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"username": "ana", "password": "wrong"},
            'PLACE refuses the login of ana: it said "FATAL:  password authentication failed for'
            ' user \\"ana\\"".',
        ),
        ({"username": "ana"}, "PLACE asks for a password, and none is given."),
    ],
)
async def test_a_postgres_does_not_take_a_login(
    settings: dict[str, Any], message: str, check: Check
) -> None:
    words = 'password authentication failed for user "ana"'
    async with serve(postgres_that_asks_for_a_password(words)) as server:
        seen = await check("postgres", f"127.0.0.1:{server.port}", **settings)
    place = f"127.0.0.1 port {server.port}"
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.AUTH_FAILED)
    assert seen.message.replace(place, "PLACE") == message


async def test_a_pooler_is_quoted_on_what_lies_behind_it(check: Check) -> None:
    words = "server_login_retry: connect failed: Connection refused"
    async with serve(postgres_that_asks_for_a_password(words)) as server:
        place = f"127.0.0.1 port {server.port}"
        seen = await check("postgres", f"127.0.0.1:{server.port}", username="a", password="b")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.BANNER_MISMATCH)
    assert seen.message == f'{place} refuses the connection: it said "FATAL:  {words}".'


async def test_a_slow_query_of_postgres_times_out(check: Check) -> None:
    seen, message = await ask_postgres(check, query="select pg_sleep(60)", timeout=0.5)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TIMEOUT)
    assert message == "PLACE took longer than 0.5 s, while waiting for an answer."


async def test_a_postgres_that_falls_silent_is_not_waited_for(check: Check) -> None:
    """Neither for the query nor for its being cancelled."""
    async with serve(fall_silent_after(b"Q", b"P")) as server:
        place = f"127.0.0.1:{server.port}"
        settings = {"username": "uptime", "database": "uptime", "query": "select 1"}
        seen = await check("postgres", place, timeout=0.5, **settings)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TIMEOUT)
    assert seen.message == (
        f"127.0.0.1 port {server.port} took longer than 0.5 s, while waiting for an answer."
    )


def fall_silent_after(*messages: bytes) -> Conduct:
    """The suite's PostgreSQL until it is sent one of these messages; later connections are open and
    silent."""
    silenced = False

    async def conduct(connection: Connection) -> None:
        nonlocal silenced
        if silenced:
            await asyncio.Event().wait()
        reader, writer = await asyncio.open_unix_connection(postgres_socket())

        async def answer() -> None:
            while data := await reader.read(65_536):
                await connection.send(data)

        answering = asyncio.create_task(answer())
        try:
            while data := await connection.reader.read(65_536):
                if data.startswith(messages):
                    silenced = True
                    await asyncio.Event().wait()
                writer.write(data)
        finally:
            answering.cancel()
            writer.close()

    return conduct


@pytest.mark.parametrize("moment", ["login", "answer"])
async def test_one_message_of_postgres_without_end_is_not_taken_in(
    moment: str, check: Check
) -> None:
    async def flood(connection: Connection) -> None:
        await connection.reader.read(65_536)
        await connection.send(b"R\0\0\0\x08\0\0\0\0")  # let in
        if moment == "answer":
            await connection.send(b"Z\0\0\0\x05I")
            await connection.reader.read(65_536)
        await connection.send(b"N" + (1 << 30).to_bytes(4, "big"))
        while True:
            await connection.send(b"x" * 262_144)

    async with serve(flood) as server:
        place = f"127.0.0.1:{server.port}"
        before = psutil.Process().memory_info().rss
        seen = await check("postgres", place, query="select 1", timeout=10)
        grown_mb = (psutil.Process().memory_info().rss - before) / 2**20
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.BODY_TOO_LARGE), seen.message
    assert grown_mb < 100


async def test_a_long_answer_of_postgres_is_not_taken_in(check: Check) -> None:
    query = "select repeat('x', 1000) from generate_series(1, 1000000)"
    limit = {"source": "rows", "comparison": "less_than", "value": 10}
    seen, message = await ask_postgres(check, query=query, assertions=[limit], timeout=5)
    assert seen.reason == Reason.ASSERTION_FAILED, message
    assert message.startswith("Number of rows should be less than 10, got 1000")


async def test_a_postgres_without_tls_is_told(check: Check) -> None:
    seen, message = await ask_postgres(check, tls=True)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_HANDSHAKE)
    assert message.startswith("No TLS with PLACE: server does not support SSL")


def postgres_over_tls(context: ssl.SSLContext) -> Conduct:
    """Goes over to TLS and lets in whoever comes."""

    async def conduct(connection: Connection) -> None:
        await connection.reader.readexactly(8)
        await connection.send(b"S")
        await connection.start_tls(context)
        await connection.reader.read(65_536)
        await connection.send(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I")
        await connection.reader.read()

    return conduct


async def test_a_postgres_over_tls_is_verified_by_name(check: Check) -> None:
    authority = Authority()
    context = authority.issue("db.example", ends=timedelta(days=90)).server_context()
    async with (
        serve(postgres_over_tls(context)) as server,
        serve_names({"db.example": ["127.0.0.1"], "x.example": ["127.0.0.1"]}) as names,
    ):
        options = {"tls": True, "resolver": names.address}
        trusting = options | {"ca_certificate": authority.certificate_pem}
        right = await check("postgres", f"db.example:{server.port}", **trusting)
        other = await check("postgres", f"x.example:{server.port}", **trusting)
        unknown = await check("postgres", f"db.example:{server.port}", **options)
        anyhow = await check("postgres", f"x.example:{server.port}", verify_tls=False, **options)
    assert right.status == anyhow.status == Status.UP, right.message + anyhow.message
    assert (other.status, other.reason) == (Status.DOWN, Reason.TLS_HOSTNAME), other.message
    assert (unknown.status, unknown.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED), unknown.message


async def test_authorities_that_can_not_be_kept_are_a_fault_of_ours(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_name: str) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("os.memfd_create", fail)
    authority = Authority("One That Nobody Asked With")
    seen, message = await ask_postgres(check, tls=True, ca_certificate=authority.certificate_pem)
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)
    assert message == "The authorities can't be given to libpq: Too many open files."


# MySQL


async def ask_mysql(check: Check, conduct: Conduct, **settings: Any) -> tuple[Observation, str]:
    async with serve(conduct) as server:
        seen = await check("mysql", f"127.0.0.1:{server.port}", **settings)
        return seen, seen.message.replace(f"127.0.0.1 port {server.port}", "PLACE")


async def test_a_mysql_that_lets_in_is_up(check: Check) -> None:
    seen, message = await ask_mysql(check, serve_mysql())
    assert (seen.status, message) == (Status.UP, "")


async def test_a_mysql_gives_the_value(check: Check) -> None:
    asked: list[str] = []
    conduct = serve_mysql(answer=mysql.rows("42", "43"), asked=asked)
    right, _ = await ask_mysql(check, conduct, query="SELECT a FROM b", expected="42")
    wrong, message = await ask_mysql(check, conduct, query="SELECT a FROM b", expected="7")
    assert right.status == Status.UP, right.message
    assert asked[0] == "SELECT a FROM b"
    assert (wrong.status, wrong.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert message == 'The query on PLACE should give "7", got "42".'


async def test_a_long_answer_of_mysql_is_not_taken_in(check: Check) -> None:
    answer = mysql.rows(*["x"] * 2000)
    limit = {"source": "rows", "comparison": "less_than", "value": 10}
    seen, message = await ask_mysql(
        check, serve_mysql(answer=answer), query="SELECT 1", assertions=[limit]
    )
    assert seen.reason == Reason.ASSERTION_FAILED, message
    assert message.startswith("Number of rows should be less than 10, got 1000")


async def test_what_speaks_no_mysql_is_told_so(check: Check) -> None:
    async def speak_http(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await connection.reader.read()

    async with serve(speak_http) as server:
        seen = await check("mysql", f"127.0.0.1:{server.port}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.BANNER_MISMATCH)
    assert seen.message == (
        f"What answers at 127.0.0.1 port {server.port} does not speak the protocol of MySQL."
    )


async def test_a_greeting_of_mysql_that_breaks_off_is_told(check: Check) -> None:
    async def break_off(connection: Connection) -> None:
        await connection.send(mysql.packet(mysql.greeting()[:22], 0))

    async with serve(break_off) as server:
        seen = await check("mysql", f"127.0.0.1:{server.port}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.BANNER_MISMATCH)
    assert "can't be read" in seen.message


async def test_packets_of_mysql_without_end_are_not_taken_in(check: Check) -> None:
    async def flood(connection: Connection) -> None:
        while True:
            await connection.send(b"\xff\xff\xff\x00" + bytes(0xFFFFFF))

    seen, message = await ask_mysql(check, flood)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.BODY_TOO_LARGE)
    assert message == "PLACE answered with more than 16777216 bytes."


@pytest.mark.parametrize("password", ["secret", "sécret", "пароль 密码"])
async def test_a_password_of_mysql_is_sent_as_utf_8(password: str, check: Check) -> None:
    logins: list[bytes] = []
    seen, message = await ask_mysql(check, serve_mysql(logins=logins), password=password)
    assert seen.status == Status.UP, message
    assert mysql.proof(password.encode()) in logins[0]


async def test_a_fault_of_ours_is_not_the_servers(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(_asking: Asking) -> None:
        raise TypeError

    monkeypatch.setattr(Asking, "answered", stumble)
    seen, _ = await ask_mysql(check, serve_mysql(answer=mysql.rows("1")), query="SELECT 1")
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)


async def test_refusals_of_mysql_are_quoted(check: Check) -> None:
    login = serve_mysql(login=mysql.error(1045, "Access denied for user 'eve'"))
    query = serve_mysql(answer=[mysql.error(1146, "Table 'b' doesn't exist")])
    kept_out, how = await ask_mysql(check, login, username="eve", password="wrong")
    failed, why = await ask_mysql(check, query, query="SELECT 1")
    assert (kept_out.status, kept_out.reason) == (Status.DOWN, Reason.AUTH_FAILED)
    assert how == (
        "PLACE refuses the login of eve: it said \"Access denied for user 'eve' (1045)\"."
    )
    assert failed.reason == Reason.BANNER_MISMATCH
    assert why == "PLACE refuses the query: it said \"Table 'b' doesn't exist (1146)\"."


@pytest.mark.parametrize(
    "words",
    ["Table 'x.ssl_certificates' doesn't exist", "No foreign data source: Connection refused"],
)
async def test_a_mysql_is_quoted_whatever_the_words_sound_like(words: str, check: Check) -> None:
    conduct = serve_mysql(answer=[mysql.error(1146, words)])
    seen, message = await ask_mysql(check, conduct, query="SELECT 1")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.BANNER_MISMATCH)
    assert message == f'PLACE refuses the query: it said "{words} (1146)".'


async def test_a_mysql_too_busy_to_greet_is_quoted(check: Check) -> None:
    async def refuse(connection: Connection) -> None:
        await connection.send(mysql.packet(mysql.error(1040, "Too many connections"), 0))

    seen, message = await ask_mysql(check, refuse)
    assert seen.reason == Reason.BANNER_MISMATCH
    assert "Too many connections" in message


async def test_a_mysql_over_tls_is_verified_by_name(check: Check) -> None:
    authority = Authority()
    context = authority.issue("db.example", ends=timedelta(days=90)).server_context()
    settings = {"tls": True, "ca_certificate": authority.certificate_pem}
    async with (
        serve(serve_mysql_over_tls(context)) as server,
        serve_names({"db.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}) as names,
    ):
        options = {"resolver": names.address, **settings}
        right = await check("mysql", f"db.example:{server.port}", **options)
        wrong = await check("mysql", f"other.example:{server.port}", **options)
        unknown = await check(
            "mysql", f"db.example:{server.port}", tls=True, resolver=names.address
        )
    assert right.status == Status.UP, right.message
    assert (wrong.status, wrong.reason) == (Status.DOWN, Reason.TLS_HOSTNAME)
    assert (unknown.status, unknown.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)


async def test_a_mysql_without_tls_is_told(check: Check) -> None:
    seen, message = await ask_mysql(check, serve_mysql(), tls=True)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TLS_HANDSHAKE)
    assert message == "PLACE offers no TLS."


async def test_a_mysql_that_is_silent_about_a_query_times_out(check: Check) -> None:
    seen, message = await ask_mysql(check, serve_mysql(), query="SELECT 1", timeout=0.4)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TIMEOUT)
    assert message == "PLACE took longer than 0.4 s, while waiting for an answer."


# Both


async def hang_up(connection: Connection) -> None:
    await connection.reader.read(1)


async def close(connection: Connection) -> None:
    return


async def speak_http(connection: Connection) -> None:
    await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await connection.reader.read()


async def say_nothing(connection: Connection) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("kind", KINDS)
async def test_nobody_listens(kind: str, check: Check) -> None:
    port = free_port()
    seen = await check(kind, f"127.0.0.1:{port}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)
    assert seen.message == f"No connection to 127.0.0.1 port {port}: connection refused."


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refusal_from_afar(kind: str, check: Check, internet: Internet) -> None:
    internet.routes["8.8.8.8"] = Route(delay_s=0.02)
    for _ in range(5):
        seen = await check(kind, "8.8.8.8:4000")
        assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED), seen.message


@pytest.mark.parametrize("kind", KINDS)
async def test_a_port_that_never_answers(kind: str, check: Check) -> None:
    with unanswered_port() as port:
        seen = await check(kind, f"127.0.0.1:{port}", timeout=0.4)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_TIMEOUT)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_says_nothing(kind: str, check: Check) -> None:
    async with serve(say_nothing) as server:
        seen = await check(kind, f"127.0.0.1:{server.port}", timeout=0.4)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TIMEOUT)
    assert seen.message == (
        f"127.0.0.1 port {server.port} took longer than 0.4 s, while waiting for the greeting or"
        " the login."
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("conduct", [hang_up, close], ids=["hang up", "close"])
async def test_a_server_that_closes(kind: str, conduct: Conduct, check: Check) -> None:
    async with serve(conduct) as server:
        seen = await check(kind, f"127.0.0.1:{server.port}", timeout=0.6)
    assert seen.status == Status.DOWN
    assert seen.reason in (Reason.CONNECT_RESET, Reason.TIMEOUT), seen.message


@pytest.mark.parametrize("kind", KINDS)
async def test_another_protocol(kind: str, check: Check) -> None:
    async with serve(speak_http) as server:
        seen = await check(kind, f"127.0.0.1:{server.port}", timeout=0.6)
    assert seen.status == Status.DOWN
    assert seen.reason in (Reason.BANNER_MISMATCH, Reason.TIMEOUT), seen.message


@pytest.mark.parametrize("kind", KINDS)
async def test_one_dead_address_of_several_does_no_harm(kind: str, check: Check) -> None:
    conduct = relay if kind == "postgres" else serve_mysql()
    async with serve(conduct) as server:
        zone = {"x.example": ["127.0.0.2", "127.0.0.1"]}
        async with serve_names(zone) as names:
            target = f"x.example:{server.port}"
            seen = await check(
                kind, target, resolver=names.address, username="uptime", database="uptime"
            )
    assert seen.status == Status.UP, seen.message
    assert seen.phases.dns_ms is not None


@pytest.mark.parametrize("kind", KINDS)
async def test_an_address_that_is_reached_has_all_of_the_time(kind: str, check: Check) -> None:
    """Two addresses halve the time for reaching one of them, not for its answer."""
    conduct = relay if kind == "postgres" else serve_mysql()

    async def dawdle(connection: Connection) -> None:
        await asyncio.sleep(0.8)
        await conduct(connection)

    async with serve(dawdle) as server:
        zone = {"x.example": ["127.0.0.1", "127.0.0.2"]}
        async with serve_names(zone) as names:
            seen = await check(
                kind,
                f"x.example:{server.port}",
                resolver=names.address,
                username="uptime",
                database="uptime",
                timeout=1.5,
            )
    assert seen.status == Status.UP, seen.message


@pytest.mark.parametrize("kind", KINDS)
async def test_forbidden_networks_are_not_connected_to(kind: str, check: Check) -> None:
    async with serve(say_nothing) as server:
        seen = await check(kind, f"127.0.0.1:{server.port}", allow_private=False)
    assert (seen.reason, server.connections) == (Reason.TARGET_FORBIDDEN, 0)


@pytest.mark.parametrize("kind", [*KINDS, "redis"])
async def test_an_expectation_needs_a_question(kind: str, check: Check) -> None:
    with pytest.raises(ValueError, match="expected value needs"):
        await check(kind, "127.0.0.1:1", expected="1")
