"""Sockets that are watched for a moment, and closed."""

import asyncio
import logging
import socket

import pytest

from probe.readiness import IN, OUT, readiness


async def test_who_waits_is_told_once_and_again() -> None:
    ready = readiness()
    here, there = socket.socketpair()
    with here, there:
        await ready.until(here.fileno(), OUT)
        waiting = asyncio.create_task(ready.until(here.fileno(), IN))
        await asyncio.sleep(0)
        assert not waiting.done()
        there.send(b"x")
        await waiting
        await ready.until(here.fileno(), IN)
        ready.forget(here.fileno())


async def test_a_number_that_goes_to_another_socket_is_watched_anew() -> None:
    """Also where somebody waited in vain for the first."""
    ready = readiness()
    here, there = socket.socketpair()
    number = here.fileno()
    waiting = asyncio.create_task(ready.until(number, IN))
    await asyncio.sleep(0)
    waiting.cancel()
    ready.forget(number)
    here.close()
    there.close()
    here, there = socket.socketpair()
    with here, there:
        assert here.fileno() == number
        there.send(b"x")
        await ready.until(number, IN)
        ready.forget(number)


async def test_the_end_of_a_connection_is_told() -> None:
    ready = readiness()
    here, there = socket.socketpair()
    with here:
        there.close()
        await ready.until(here.fileno(), IN)
        ready.forget(here.fileno())


async def test_an_error_of_one_reader_is_reported_and_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ready = readiness()
    pairs = [socket.socketpair() for _ in range(2)]
    (bad, to_bad), (good, to_good) = pairs

    def fail() -> None:
        ready.forget(bad.fileno())
        raise ZeroDivisionError

    ready.watch(bad.fileno(), IN, fail)
    waiting = asyncio.create_task(ready.until(good.fileno(), IN))
    await asyncio.sleep(0)
    to_bad.send(b"x")
    to_good.send(b"x")
    with caplog.at_level(logging.ERROR, "asyncio"):
        await waiting
        await asyncio.sleep(0)
    assert "ZeroDivisionError" in caplog.text
    ready.forget(good.fileno())
    for pair in pairs:
        for each in pair:
            each.close()
