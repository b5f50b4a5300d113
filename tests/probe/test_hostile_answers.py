"""Whatever bytes come, every kind ends in time with a verdict about the target; and a thousand
checks of which half hang leave the others on time."""

import asyncio
import os
import socket
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.dns_message import (
    TYPES,
    Answer,
    MalformedError,
    UnrelatedError,
    encode_query,
    read_answer,
    read_name,
)
from probe.icmp import EchoSocket
from probe.prober import Prober
from probe.values import Observation, Reason, Status
from tests.probe.conftest import make_job, was_not_judged
from tests.servers import mysql
from tests.servers.dns import say, serve_names
from tests.servers.raw import Connection, serve

TIMEOUT_S = 0.3
LATE_S = 0.25

# Answers of name servers

GOOD = [
    (name, say(f"x.example. 60 IN {name} {text}"))
    for name, text in {
        "A": "192.0.2.1",
        "MX": "10 mail.example.",
        "SOA": "ns. root. 1 2 3 4 5",
        "TXT": '"one" "two"',
        "CAA": '0 issue "ca.example"',
        "HTTPS": '1 . alpn="h2"',
        "DNSKEY": "257 3 8 AwEAAa==",
        "DS": "1 8 2 " + "ab" * 32,
    }.items()
]
edits = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=12)


def make_query(record_type: str) -> bytes:
    return encode_query(0x1234, "x.example", TYPES[record_type], has_edns=True)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(GOOD), edits, st.integers(0, 200))
def test_a_spoilt_dns_answer_is_read_or_refused(
    good: tuple[str, Callable[[bytes], bytes]], edits: list[tuple[int, int]], cut: int
) -> None:
    record_type, answering = good
    data = bytearray(answering(make_query(record_type)))
    for at, value in edits:
        data[at % len(data)] = value
    try:
        answer = read_answer(bytes(data[: cut + 1]), 0x1234, "x.example", TYPES[record_type])
    except (MalformedError, UnrelatedError):
        return
    assert isinstance(answer, Answer)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(sorted(TYPES)))
def test_noise_is_no_dns_answer(noise: bytes, record_type: str) -> None:
    data = b"\x12\x34\x81\x80\x00\x00\x00\x03" + noise
    try:
        read_answer(data, 0x1234, "x.example", TYPES[record_type])
    except (MalformedError, UnrelatedError):
        return


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.integers(0, 299))
def test_names_end(data: bytes, at: int) -> None:
    try:
        name, end = read_name(data, at)
    except (MalformedError, IndexError):
        return
    assert len(name) <= 254 * 4
    assert at < end <= len(data)


# Answers over streams

_PIECES = [
    b"+PONG\r\n",
    b"-ERR no\r\n",
    b"$5\r\nhello\r\n",
    b"$-1\r\n",
    b"$999999999\r\n",
    b"*3\r\n:1\r\n",
    b"*1\r\n" * 20,
    mysql.packet(mysql.greeting(), 0),
    mysql.packet(mysql.greeting()[:20], 0),
    mysql.packet(b"\x00\x00\x00\x02\x00\x00\x00", 2),
    mysql.packet(b"\xff\x10\x04#08004Too many connections", 0),
    mysql.packet(b"\xfemysql_clear_password\x00", 2),
    mysql.packet(b"\xfb/etc/passwd", 1),
    b"\xff\xff\xff\x00",
    b"S",
    b"N",
    b"R\x00\x00\x00\x08\x00\x00\x00\x00",
    b"R\x00\x00\x00\x0c\x00\x00\x00\x05salt",
    b"R\x00\x00\x00\x08\x00\x00\x00\x09",
    b"Z\x00\x00\x00\x05I",
    b"E\x00\x00\x00\x10SFATAL\x00Mno\x00\x00",
    b"D\x7f\xff\xff\xff",
    b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00",
    b"\x16\x03\x03\x40\x00",
    b"\x15\x03\x03\x00\x02\x02\x28",
    b"\x15\x03\x03\x00\x02\x01\x00",
    b"\x17\x03\x03\x00\x01\x00",
    b"220 hi\r\n250 STARTTLS\r\n220 go\r\n",
]
answers = st.lists(st.one_of(st.sampled_from(_PIECES), st.binary(max_size=60)), max_size=8)
STREAM_KINDS: dict[str, dict[str, object]] = {
    "tls": {"verify_tls": False},
    "redis": {"query": "GET x"},
    "postgres": {"query": "select 1"},
    "mysql": {"query": "select 1"},
}


def _served_s(prober: Prober) -> float:
    """How long the prober's loop has run by now, but for when the machine stood still."""
    return asyncio.get_running_loop().time() - prober._pulse.lost_s


async def _observe(pieces: list[bytes], *, is_open: bool) -> tuple[list[Observation], float]:
    async def conduct(connection: Connection) -> None:
        for piece in pieces:
            await connection.send(piece)
            await asyncio.sleep(0)
        if is_open:
            await connection.reader.read()

    async with serve(conduct) as server, Prober() as prober:
        target = f"127.0.0.1:{server.port}"
        jobs = [
            make_job(kind, target, timeout=TIMEOUT_S, **options)
            for kind, options in STREAM_KINDS.items()
        ]
        started_at = _served_s(prober)
        seen = await asyncio.gather(*(prober.observe(job) for job in jobs))
        return seen, _served_s(prober) - started_at


@settings(max_examples=60, deadline=None)
@given(answers, st.booleans())
def test_no_answer_makes_a_check_fail_by_itself(pieces: list[bytes], is_open: bool) -> None:
    seen, seconds = asyncio.run(_observe(pieces, is_open=is_open))
    for kind, one in zip(STREAM_KINDS, seen, strict=True):
        if was_not_judged(one):
            continue
        assert one.status in (Status.UP, Status.DEGRADED, Status.DOWN), (kind, one)
        assert bool(one.message) == (one.status != Status.UP), (kind, one)
    assert seconds < TIMEOUT_S + LATE_S


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=4))
def test_no_datagram_makes_a_check_fail_by_itself(noise: list[bytes]) -> None:
    async def observe() -> tuple[Observation, float]:
        def answer(query: bytes) -> list[bytes]:
            return [part if len(part) % 2 else query[:2] + part for part in noise]

        async with serve_names({"x.example": answer}) as names, Prober() as prober:
            job = make_job("dns", "x.example", resolver=names.address, timeout=TIMEOUT_S)
            started_at = _served_s(prober)
            return await prober.observe(job), _served_s(prober) - started_at

    seen, seconds = asyncio.run(observe())
    if was_not_judged(seen):
        return
    assert seen.status == Status.DOWN
    assert seen.reason is not None
    assert seen.reason.startswith(("dns_", "connect_")), seen
    assert seconds < TIMEOUT_S + LATE_S


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_packet_upsets_the_socket_for_pings(packet: bytes) -> None:
    async def take() -> None:
        echoes = EchoSocket(socket.AF_INET)
        try:
            key = echoes.send("127.0.0.2", b"", lambda _answer: None, None)
            echoes._take(packet, "127.0.0.1", 0)
            echoes._take(b"\x45" + packet, "127.0.0.1", 0)
            echoes.forget(key)
        finally:
            echoes.close()

    if os.geteuid() == 0:
        asyncio.run(take())


# Memory


@pytest.mark.parametrize("kind", ["tls", "redis", "mysql", "dns"])
async def test_an_answer_without_end_is_not_kept(kind: str, prober: Prober) -> None:
    flood = {
        "tls": b"\x16\x03\x03\x40\x00" + bytes(0x4000),
        "redis": b"+" + b"x" * 65_536,
        "mysql": mysql.packet(b"x" * 65_000, 0),
        "dns": b"\xff\xff" + b"x" * 65_535,
    }[kind]

    async def conduct(connection: Connection) -> None:
        while True:
            await connection.send(flood)

    async with serve(conduct) as server:
        target = "x.example" if kind == "dns" else f"127.0.0.1:{server.port}"
        options = (
            {"resolver": f"127.0.0.1:{server.port}", "transport": "tcp"} if kind == "dns" else {}
        )
        job = make_job(kind, target, timeout=1, **options)
        tracemalloc.start()
        try:
            seen = await prober.observe(job)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert seen.status == Status.DOWN
    assert peak < 16 * 2**20


# Many at once


async def test_a_thousand_checks_of_which_half_hang(prober: Prober) -> None:
    async def answer_or_hang(connection: Connection) -> None:
        if b"hang" in await connection.reader.read(200):
            await asyncio.Event().wait()
        await connection.send(b"+PONG\r\n")

    def is_good(number: int) -> bool:
        return number % 2 == 0

    zone = {"good.example": ["127.0.0.1"], "hang.example": "SILENCE"}
    async with serve(answer_or_hang) as server, serve_names(zone) as names:
        tcp, resolver = f"127.0.0.1:{server.port}", names.address
        jobs = []
        for number in range(1000):
            word = "good" if is_good(number) else "hang"
            timeout = 2 if number % 20 == 5 else 60
            match number // 2 % 3:
                case 0:
                    job = make_job("redis", tcp, timeout=timeout, query=f"GET {word}")
                case 1:
                    job = make_job("dns", f"{word}.example", timeout=timeout, resolver=resolver)
                case _:
                    send = {"send": word, "expect": "PONG"}
                    job = make_job("tcp", tcp, timeout=timeout, **send)
            jobs.append(job)
        checks = [asyncio.create_task(prober.observe(job)) for job in jobs]
        good = await asyncio.gather(*checks[::2])
        patient = [task for task in checks[1::2] if task not in checks[5::20]]
        assert not any(task.done() for task in patient)  # the good ones did not wait for them
        hung = await asyncio.gather(*checks[5::20])
        for task in patient:
            task.cancel()
        await asyncio.wait(patient)
    assert {one.status for one in good} == {Status.UP}
    assert {one.reason for one in hung} == {Reason.TIMEOUT, Reason.DNS_TIMEOUT}
    assert all((one.latency_ms or 0) >= 2000 for one in hung)
