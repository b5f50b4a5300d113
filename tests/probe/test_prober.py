"""The prober: on time whatever hangs, and honest about faults of its own."""

import asyncio
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from probe.kinds import KINDS
from probe.kinds.base import Kind
from probe.prober import Prober
from probe.values import Job, Observation, Reason, Status
from tests.probe.conftest import make_job
from tests.servers import http
from tests.servers.dns import serve_names
from tests.servers.network import Internet
from tests.servers.raw import Conduct, Connection, serve


def replace_observe(monkeypatch: pytest.MonkeyPatch, observe: Any) -> None:
    kind: Kind = replace(KINDS["tcp"], observe=observe)
    monkeypatch.setitem(KINDS, "tcp", kind)


async def test_checks_that_hang_hold_up_no_others(prober: Prober) -> None:
    """Some hang for as long as others take."""
    hanging: list[Connection] = []
    all_hang = asyncio.Event()

    async def hang_by_path(connection: Connection) -> None:
        if http.path_of(await connection.read_request()) == "/hang":
            hanging.append(connection)
            if len(hanging) == 200:
                all_hang.set()
            await asyncio.Event().wait()
        await connection.send(http.OK)

    async with serve(hang_by_path) as server:
        jobs = [make_job("http", f"{server.url}/hang", timeout=60) for _ in range(200)]
        hung = [asyncio.create_task(prober.observe(job)) for job in jobs]
        await all_hang.wait()
        jobs = [make_job("http", server.url, timeout=30) for _ in range(200)]
        seen = await asyncio.gather(*map(prober.observe, jobs))
        assert not any(task.done() for task in hung)
        for task in hung:
            task.cancel()
        await asyncio.wait(hung)
    assert {observation.status for observation in seen} == {Status.UP}


async def test_a_bug_of_ours_is_unknown_never_down(
    prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def observe(job: Job, net: object) -> Observation:
        raise ZeroDivisionError

    replace_observe(monkeypatch, observe)
    seen = await prober.observe(make_job("tcp", "127.0.0.1:1"))
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)
    assert seen.message == "The check itself failed: ZeroDivisionError."


async def test_a_kind_that_never_ends_is_ended(
    prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def observe(job: Job, net: object) -> Observation:
        await asyncio.Event().wait()
        raise AssertionError

    replace_observe(monkeypatch, observe)
    seen = await prober.observe(make_job("tcp", "127.0.0.1:1", timeout=0.1))
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TIMEOUT)
    assert seen.message == "The check did not end within 0.1 s."


def stand_still_before(conduct: Conduct) -> Conduct:
    """A server that takes its whole loop with it, which is the prober's: a starved machine."""

    async def stand_still(connection: Connection) -> None:
        time.sleep(0.3)  # noqa: ASYNC251 - the fault itself
        await conduct(connection)

    return stand_still


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("http", {}), ("http", {"upside_down": True}), ("tcp", {"expect": "hi"}), ("redis", {})],
)
async def test_what_timed_out_while_we_stood_still_is_unknown(
    kind: str, settings: dict[str, Any]
) -> None:
    async with serve(stand_still_before(http.stay_silent)) as server, Prober() as prober:
        target = server.url if kind == "http" else f"{server.host}:{server.port}"
        seen = await prober.observe(make_job(kind, target, timeout=0.2, **settings))
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)
    assert seen.message.startswith("Not judged: this machine stood still for 0.")


async def test_what_was_slow_while_we_stood_still_is_unknown() -> None:
    async with serve(stand_still_before(http.answer(http.OK))) as server, Prober() as prober:
        ours = make_job("http", server.url, timeout=2, latency_degraded_ms=250)
        its_own = make_job("http", server.url, timeout=2, latency_degraded_ms=0.001)
        by_us, by_it = await prober.observe(ours), await prober.observe(its_own)
    assert (by_us.status, by_us.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)
    assert (by_it.status, by_it.reason) == (Status.DEGRADED, Reason.LATENCY)


async def test_what_was_plain_while_we_stood_still_is_judged(prober: Prober) -> None:
    broken = http.answer(http.respond(status="500 Broken"))
    async with serve(stand_still_before(broken)) as server:
        seen = await prober.observe(make_job("http", server.url, timeout=0.4))
        turned = await prober.observe(make_job("http", server.url, timeout=0.4, upside_down=True))
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.HTTP_STATUS)
    assert turned.status == Status.UP


@contextmanager
def take_all_descriptors() -> Iterator[None]:
    """No file or socket can be opened meanwhile, whatever else is closed."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


OF_ALL_SORTS = pytest.mark.parametrize(
    ("kind", "target", "settings"),
    [
        ("http", "http://PLACE/", {}),
        ("http", "http://x.example/", {}),
        ("http", "https://PLACE/", {"http_version": "3"}),
        ("tcp", "PLACE", {}),
        ("tcp", "x.example:80", {}),
        ("tls", "PLACE", {}),
        ("redis", "PLACE", {}),
        ("mysql", "PLACE", {}),
        ("postgres", "PLACE", {}),
        ("smtp", "PLACE", {}),
        ("grpc", "PLACE", {}),
        ("websocket", "ws://PLACE/", {}),
        ("dns", "x.example", {}),
        ("dns", "x.example", {"transport": "tcp"}),
        ("traceroute", "127.0.0.1", {}),
        ("traceroute", "127.0.0.1", {"protocol": "tcp"}),
    ],
)


@OF_ALL_SORTS
async def test_a_machine_without_descriptors_blames_no_target(
    kind: str, target: str, settings: dict[str, Any], prober: Prober
) -> None:
    async with serve(http.answer(http.OK)) as server, serve_names({"x.example": []}) as names:
        target = target.replace("PLACE", f"{server.host}:{server.port}")
        settings |= {"resolver": names.address} if "x.example" in target else {}
        job = make_job(kind, target, **settings)
        with take_all_descriptors():
            seen = await prober.observe(job)
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR), seen


@OF_ALL_SORTS
async def test_a_machine_without_local_ports_blames_no_target(
    kind: str, target: str, settings: dict[str, Any], prober: Prober, internet: Internet
) -> None:
    async with serve(http.answer(http.OK)) as server, serve_names({"x.example": []}) as names:
        target = target.replace("PLACE", f"{server.host}:{server.port}")
        settings |= {"resolver": names.address} if "x.example" in target else {}
        with internet.without_ports():
            seen = await prober.observe(make_job(kind, target, timeout=0.3, **settings))
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR), seen


async def test_a_monitor_that_can_not_be_read_is_unknown(prober: Prober) -> None:
    job = make_job("tcp", "127.0.0.1:1")
    spec = replace(job.spec, fault="The stored secrets can't be read.", settings=None)
    seen = await prober.observe(replace(job, spec=spec))
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)
    assert seen.message == "The stored secrets can't be read."


async def test_a_cancelled_check_leaves_nothing_behind(prober: Prober) -> None:
    has_asked = asyncio.Event()

    async def take_and_hang(connection: Connection) -> None:
        await connection.read_request()
        has_asked.set()
        await asyncio.Event().wait()

    async with serve(take_and_hang) as server:
        task = asyncio.create_task(prober.observe(make_job("http", server.url, timeout=30)))
        await has_asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with serve(http.answer(http.OK)) as server:
        seen = await prober.observe(make_job("http", server.url))
    assert seen.status == Status.UP


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_describes_its_settings(name: str) -> None:
    kind = KINDS[name]
    assert kind.name == name
    assert kind.label
    assert kind.settings().latency_degraded_ms is None
    for field in kind.settings.model_fields.values():
        assert field.title


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        ("http", "https://Example.ORG", "https://example.org/"),
        ("http", "example.org/a", "https://example.org/a"),
        ("http", "http://example.org:80/?q=ü", "http://example.org/?q=%C3%BC"),
        ("http", "https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("http", "https://Straße.example/", "https://xn--strae-oqa.example/"),
        ("http", "https://i❤.example/", "https://xn--i-7iq.example/"),
        ("http", "https://ｆｕｌｌ。example/", "https://full.example/"),
        ("http", "http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080/"),
        ("tcp", " Example.org:22 ", "example.org:22"),
        ("tcp", "[::1]:25", "[::1]:25"),
        ("heartbeat", "", ""),
    ],
)
def test_targets_have_a_normal_form(kind: str, given: str, kept: str) -> None:
    assert KINDS[kind].clean_target(given) == kept
    assert KINDS[kind].clean_target(kept) == kept


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("http", ""),
        ("http", "ftp://example.org"),
        ("http", "http://"),
        ("http", "http://user:pass@example.org"),
        ("http", "http://example.org:0/"),
        ("http", "http://example.org:port/"),
        ("http", "http://exa mple.org/"),
        ("http", "http://1.2.3/"),
        ("http", "http://-a.example/"),
        ("http", "http://a\\b/"),
        ("tcp", "example.org"),
        ("tcp", "example.org:70000"),
        ("tcp", ":22"),
        ("heartbeat", "something"),
    ],
)
def test_targets_that_make_no_sense_are_refused(kind: str, bad: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        KINDS[kind].clean_target(bad)
