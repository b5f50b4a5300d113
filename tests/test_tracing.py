"""The way to a host that was not reached is traced for the evidence: real packets, the database."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from incidents.models import Evidence
from incidents.routes import SOON, claim_untraced, keep_route
from monitors.models import Location, Monitor
from monitors.specs import spec_of
from probe.prober import Prober
from probe.values import Job, Observation, Reason, Status
from tests.factories import make_monitor
from tests.incidents.scenes import REFUSED, observe
from tests.servers.network import Internet, Route, why_not
from uptime.clock import database_now
from uptime.local_engine import DatabaseThread
from uptime.tracing import trace_routes

SILENT = Observation(Status.DOWN, Reason.CONNECT_TIMEOUT, "No connection to 8.8.8.8 port 443.")


def fail(kind: str, target: str, seen: Observation = SILENT, **options: Any) -> Monitor:
    monitor = make_monitor(kind=kind, target=target, settings=options.pop("settings", {}))
    return observe(monitor, seen, **options)


def untraced(slug: str = Location.LOCAL, limit: int = 10) -> list[str]:
    location = Location.objects.get(slug=slug)
    return [one.spec.target for one in claim_untraced(location_id=location.pk, limit=limit)]


@pytest.fixture
def internet() -> Iterator[Internet]:
    if reason := why_not():
        pytest.skip(reason)
    with Internet() as internet:
        yield internet


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("kind", "target"), [("tcp", "8.8.8.8:443"), ("http", "https://8.8.8.8/"), ("icmp", "8.8.8.8")]
)
def test_the_evidence_says_where_the_way_ends(kind: str, target: str, internet: Internet) -> None:
    internet.routes["8.8.8.8"] = Route(hops=("10.0.0.1", "10.0.0.2"), refusal=1)
    monitor = make_monitor(kind=kind, target=target)
    evidence = Evidence.objects.filter(assignment__monitor=monitor)
    spec, now = replace(spec_of(monitor), timeout=timedelta(seconds=0.4)), database_now()

    async def story() -> None:
        thread, asking = DatabaseThread("routes"), DatabaseThread("test")
        location = await asking.run(lambda: Location.objects.get(slug=Location.LOCAL))
        async with Prober() as prober, asyncio.timeout(30):
            seen = await prober.observe(Job(1, spec, now))
            await asking.run(lambda: observe(monitor, seen))
            tracing = asyncio.create_task(trace_routes(location.pk, prober.observe, thread))
            while "route" not in (  # noqa: ASYNC110 - the database tells nobody
                await asking.run(lambda: evidence.get().details)
            ):
                await asyncio.sleep(0.1)
            tracing.cancel()
            await asyncio.wait([tracing])
        for one in (thread, asking):
            one.close()

    asyncio.run(story())
    route = evidence.get().details["route"]
    assert [hop["addresses"] for hop in route["hops"]][:2] == [["10.0.0.1"], ["10.0.0.2"]]
    assert route["message"].startswith("8.8.8.8 can't be reached: hop ")
    assert route["message"].endswith(", 10.0.0.2, answered: host unreachable.")


@pytest.mark.django_db
def test_only_what_was_not_reached_is_traced_and_only_once() -> None:
    fail("tcp", "8.8.8.8:443")
    fail("tcp", "8.8.4.4:443", REFUSED)
    fail("http", "http://8.8.4.4/", settings={"proxy": "http://8.8.8.8:3128"})
    fail("dns", "example.org", replace(SILENT, reason=Reason.DNS_TIMEOUT))
    assert untraced(limit=0) == []
    assert untraced() == ["8.8.8.8:443"]
    assert untraced() == []


@pytest.mark.django_db
def test_what_waited_too_long_is_not_traced() -> None:
    fail("tcp", "8.8.8.8:443")
    Evidence.objects.update(checked_at=database_now() - SOON - timedelta(seconds=1))
    assert untraced() == []
    assert not Evidence.objects.filter(wants_trace=True).exists()


@pytest.mark.django_db
def test_a_trace_that_could_not_be_made_leaves_nothing() -> None:
    fail("tcp", "8.8.8.8:443")
    evidence = Evidence.objects.get()
    for details in (None, {}, {"hops": []}):
        keep_route(evidence.pk, replace(SILENT, details=details), database_now())
    evidence.refresh_from_db()
    assert "route" not in evidence.details
