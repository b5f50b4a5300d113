"""Whatever bytes a server sends and whatever settings are accepted, a check ends in time with a
verdict about the target."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from probe.kinds import KINDS
from probe.prober import Prober
from probe.values import Job, Observation, Status
from tests.probe.conftest import PatientProber, make_job
from tests.servers import http
from tests.servers.raw import Conduct, Connection, serve

TIMEOUT_S = 0.5

_HTTP_PIECES = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 302 Found\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 999 \xff\r\n",
    b"HTTP/1.0 204\r\n",
    b"HTTP/2 200\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: br, zstd\r\n",
    b"Content-Type: text/html; charset=\xff\r\n",
    b"Content-Type: application/xml; charset=utf-16\r\n",
    b"Location: /again\r\n",
    b"Location: //[::1]:0/\xff\r\n",
    b"Location: http://\x80/\r\n",
    b"Set-Cookie: a=\xff; Domain=.; Path=\r\n",
    b"WWW-Authenticate: Digest realm=\xff, nonce=\r\n",
    b"Retry-After: \xff\r\n",
    b": nameless\r\n",
    b" folded\r\n",
    b"\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"\x1f\x8b\x08\x00",
    b'{"a": [1, 2',
    b"<a b='c'>&x;</d>",
]
_OTHER_PIECES = [
    b"220 mail\r\n",
    b"220-mail\r\n",
    b"250 STARTTLS\r\n",
    b"250-STARTTLS\r\n250 AUTH PLAIN\r\n",
    b"334 \xff\r\n",
    b"* OK\r\n",
    b"* OK\r\na1 OK\r\n",
    b"a1 OK\r\n",
    b"+ go on\r\n",
    b"+OK\r\n",
    b"S",
    b"234 go\r\n",
    b"\x16\x03\x03\x00\x7a\x02",
    b"\x15\x03\x03\x00\x02\x02\x28",
    b"\x81\x05hello",
    b"\x89\x00",
    b"\x88\x02\x03\xe8",
    b"\x81\x7f",
    b"\0\0\0\4\0\0\0\0\0",
    b"\0\0\x01\x01\x05\0\0\0\1\x88",
    b"\0\0\0\7\0\0\0\0\0",
]
http_answers = st.lists(
    st.one_of(st.sampled_from(_HTTP_PIECES), st.binary(max_size=40)), max_size=12
)
answers = st.lists(
    st.one_of(st.sampled_from(_HTTP_PIECES + _OTHER_PIECES), st.binary(max_size=40)), max_size=12
)

ASSERTIONS = [
    {"source": "header", "property": "content-type", "comparison": "matches", "value": "x"},
    {"source": "json", "property": "$..a", "comparison": "equals", "value": 1},
    {"source": "html", "property": "a[b]", "comparison": "not_empty", "severity": "degraded"},
    {"source": "xml", "property": "a", "comparison": "exists", "severity": "degraded"},
    {"source": "body", "comparison": "contains", "value": "hello", "severity": "degraded"},
]
LOGIN = {"username": "ana", "password": "secret"}
DIGEST = {"type": "digest", **LOGIN}
WAYS: list[tuple[str, str, dict[str, Any]]] = [
    ("http", "http://{}", {"assertions": ASSERTIONS}),
    ("http", "http://{}", {"auth": DIGEST, "method": "HEAD"}),
    ("http", "http://{}", {"http_version": "2"}),
    ("http", "https://{}", {"verify_tls": False}),
    ("tcp", "{}", {"send": r"GET / HTTP/1.0\r\n\r\n", "expect": "hello"}),
    *(
        ("tcp", "{}", {"starttls": protocol, "expect": "x"})
        for protocol in ("none", "smtp", "imap", "pop3", "ftp", "postgres")
    ),
    *((kind, "{}", LOGIN) for kind in ("smtp", "imap", "pop3")),
    *((kind, "{}", {"security": "tls"}) for kind in ("smtp", "imap", "pop3")),
    ("websocket", "ws://{}", {"send": "hello", "expect": "world"}),
    ("grpc", "{}", {"tls": False}),
]


def blurt(response: bytes, *, stays: bool) -> Conduct:
    """Say this without hearing what is asked; then go, or stay and be silent."""

    async def conduct(connection: Connection) -> None:
        await connection.send(response)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_S * 2 if stays else 0.02):
                while await connection.reader.read(65_536):
                    pass

    return conduct


async def _observe(response: bytes, *, stays: bool) -> list[Observation]:
    """All ways at once."""
    async with serve(blurt(response, stays=stays)) as server, PatientProber() as prober:
        at = f"127.0.0.1:{server.port}"
        jobs = [make_job(kind, form.format(at), timeout=TIMEOUT_S, **s) for kind, form, s in WAYS]
        return await _all(prober, jobs)


async def _all(prober: Prober, jobs: list[Job]) -> list[Observation]:
    async with asyncio.timeout(60):  # a check that outlives its own limit by far fails the test
        return await asyncio.gather(*(prober.observe(job) for job in jobs))


def assert_is_sound(seen: Observation) -> None:
    assert seen.status in (Status.UP, Status.DEGRADED, Status.DOWN), seen
    assert (seen.reason is None) == (seen.status == Status.UP)
    assert bool(seen.message) == (seen.status != Status.UP)
    assert len(seen.message) < 2000


@settings(max_examples=60, deadline=None)
@given(answers, st.sampled_from([False] * 9 + [True]))
def test_no_answer_makes_a_check_fail_by_itself(pieces: list[bytes], stays: bool) -> None:
    for seen in asyncio.run(_observe(b"".join(pieces), stays=stays)):
        assert_is_sound(seen)


async def _observe_http(response: bytes) -> list[Observation]:
    async with serve(http.answer(response)) as server, PatientProber() as prober:
        jobs = [make_job("http", server.url, timeout=TIMEOUT_S, assertions=ASSERTIONS)]
        return await _all(prober, jobs)


@settings(max_examples=100, deadline=None)
@given(http_answers)
def test_no_answer_of_http_makes_a_check_fail_by_itself(pieces: list[bytes]) -> None:
    [seen] = asyncio.run(_observe_http(b"".join(pieces)))
    assert_is_sound(seen)


# Settings

texts = st.one_of(st.text(max_size=20), st.sampled_from(["", "x", "a b", "ü", "\n", "127.0.0.1:1"]))
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 70_000),
    texts,
    st.lists(texts, max_size=2),
    st.dictionaries(texts, texts, max_size=2),
    st.sampled_from(
        [
            DIGEST,
            {"type": "basic", **LOGIN},
            {"type": "bearer", "token": "t"},
            "HEAD",
            "POST",
            "OPTIONS",
            "4",
            "6",
            "both",
            "1.0",
            "1.1",
            "1.3",
            "2",
            "3",
            "smtp",
            "imap",
            "starttls",
            "tls",
            "socks5h://127.0.0.1:1",
            "http://127.0.0.1:1",
            "SERVICE_UNKNOWN",
            ["100-599"],
            ASSERTIONS[:1],
            {"any": [ASSERTIONS[1], {"none": [ASSERTIONS[2]]}]},
        ]
    ),
)
TARGETS = {
    "http": "http://{}/",
    "tcp": "{}",
    "smtp": "{}",
    "imap": "{}",
    "pop3": "{}",
    "websocket": "ws://{}",
    "grpc": "{}",
}


def accepted(kind: str, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Of the settings drawn, those that validation accepts, one by one and together."""
    kept: dict[str, Any] = {}
    for name, value in drawn.items():
        try:
            KINDS[kind].settings(**kept, **{name: value})
        except ValidationError:
            continue
        kept[name] = value
    return kept


async def _observe_with(kind: str, drawn: Mapping[str, Any]) -> list[Observation]:
    async with serve(blurt(http.OK, stays=False)) as server, PatientProber() as prober:
        target = TARGETS[kind].format(f"127.0.0.1:{server.port}")
        job = make_job(kind, target, timeout=TIMEOUT_S, **accepted(kind, drawn))
        return await _all(prober, [job])


@pytest.mark.parametrize("kind", TARGETS)
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_no_settings_that_are_accepted_make_a_check_fail_by_itself(
    kind: str, data: st.DataObject
) -> None:
    fields = sorted(KINDS[kind].settings.model_fields)
    drawn = data.draw(st.dictionaries(st.sampled_from(fields), values, max_size=6))
    [seen] = asyncio.run(_observe_with(kind, drawn))
    assert_is_sound(seen)


# Memory

FLOODS: dict[str, tuple[str, str, bytes]] = {
    "body": ("http", "http://{}", b"HTTP/1.1 200 OK\r\n\r\n"),
    "headers": ("http", "http://{}", b"HTTP/1.1 200 OK\r\nX: "),
    "status line": ("http", "http://{}", b"HTTP/1.1 "),
    "greeting": ("smtp", "{}", b"220-"),
    "banner": ("tcp", "{}", b""),
    "upgrade": ("websocket", "ws://{}", b"HTTP/1.1 101 Yes\r\nX: "),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_does_not_fill_the_memory(name: str, prober: Prober) -> None:
    kind, form, start = FLOODS[name]

    async def flood(connection: Connection) -> None:
        await connection.send(start)
        while True:
            await connection.send(b"x" * 65_536)

    async with serve(flood) as server:
        form = form.format(f"127.0.0.1:{server.port}")
        expectation = {"expect": "never"} if kind in ("tcp", "websocket") else {}
        job = make_job(kind, form, timeout=1, **expectation)
        await prober.observe(job)  # the first one loads things
        before = psutil.Process().memory_info().rss
        jobs = [replace(job, assignment_id=number) for number in range(20)]
        outcome = await _all(prober, jobs)
        grown_mb = (psutil.Process().memory_info().rss - before) / 2**20
    for seen in outcome:
        assert_is_sound(seen)
        assert seen.status == Status.DOWN
    assert grown_mb < 60
