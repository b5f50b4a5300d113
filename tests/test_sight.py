"""A network that is cut: real checks, the real engine, the database; nobody is told of outages."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now
from django.test import Client

from accounts.models import Team
from incidents.models import Incident
from monitors.models import Assignment, Location, Monitor, Result, Shift, Status
from probe.engine import Engine
from probe.prober import Prober
from probe.sight import Pace, Sight
from tests.factories import MembershipFactory, TeamFactory, make_monitor
from tests.servers.dns import SILENCE, NameServer, Outcome, serve_names
from tests.servers.network import Internet, Route, why_not
from uptime import health, metrics
from uptime.clock import database_now
from uptime.load import Meter
from uptime.local_engine import DatabaseThread, LocalSink, LocalSource
from uptime.shifts import begin_shift, run_engine
from uptime.sight import report_sight

pytestmark = pytest.mark.django_db(transaction=True)

Condition = Callable[[], bool]


@pytest.fixture(autouse=True)
def _connections() -> Iterator[None]:
    yield
    connections.close_all()


class Scene:
    """A shift's engine at work on monitors that are checked each second and need no confirming."""

    def __init__(self) -> None:
        shift = begin_shift("checks")
        assert shift is not None
        shift.refresh_from_db()
        self.shift = shift
        self.stop = asyncio.Event()
        self.threads = [DatabaseThread("lease"), DatabaseThread("store"), DatabaseThread("test")]

    async def ask(self, question: Callable[[], Any]) -> Any:
        return await self.threads[2].run(question)

    async def until(self, condition: Condition) -> None:
        async with asyncio.timeout(20):
            while not await self.ask(condition):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.05)

    async def play(self, run: Awaitable[None], story: Callable[[], Awaitable[None]]) -> None:
        running = asyncio.ensure_future(run)
        try:
            await story()
        finally:
            self.stop.set()
            await running
            for thread in self.threads:
                thread.close()


def watch(kind: str, target: str, team: Team, **settings: Any) -> Monitor:
    return make_monitor(
        team,
        kind=kind,
        target=target,
        interval=1,
        timeout=0.5,
        retry_interval=1,
        failure_threshold=1,
        settings=settings,
    )


def all_are(status: Status) -> Condition:
    return lambda: set(Monitor.objects.values_list("status", flat=True)) == {status}


def all_saw(status: str) -> Condition:
    return lambda: set(Assignment.objects.values_list("last_status", flat=True)) == {status}


def is_blind() -> bool:
    return Location.objects.get(slug=Location.LOCAL).blind_since is not None


async def cut_and_mend(scene: Scene, cut: Callable[[], None], mend: Callable[[], None]) -> None:
    """The network goes and comes back; the books say so, and nothing else."""
    await scene.until(all_are(Status.UP))
    cut()
    await scene.until(is_blind)
    await scene.until(all_saw("unknown"))
    mend()
    await scene.until(lambda: not is_blind())
    await scene.until(all_saw("up"))
    assert await scene.ask(all_are(Status.UP))
    assert await scene.ask(lambda: not Incident.objects.exists())
    since = scene.shift.started_at
    seen = Result.objects.filter(checked_at__gte=since).values_list("status", "reason")
    results = await scene.ask(lambda: set(seen))
    assert results == {("up", None), ("unknown", "location_blind")}


@pytest.fixture
def internet() -> Iterator[Internet]:
    if reason := why_not():
        pytest.skip(reason)
    with Internet() as internet:
        yield internet


HOSTS = [f"198.51.100.{number}" for number in range(1, 9)]


async def run_shift(scene: Scene, story: Callable[[], Awaitable[None]]) -> None:
    async with Prober() as prober:
        leases, results, _ = scene.threads
        run = run_engine(
            scene.shift, prober.observe, leases, results, scene.stop, scene.stop, Meter()
        )
        await scene.play(run, story)


def test_a_link_that_is_cut_opens_no_incident_and_is_seen_again(internet: Internet) -> None:
    team = TeamFactory()
    for host in HOSTS:
        internet.routes[host] = Route(open_ports=frozenset({80}))
        watch("tcp", f"{host}:80", team)
    scene = Scene()
    asyncio.run(run_shift(scene, lambda: cut_and_mend(scene, internet.cut, internet.mend)))


def test_a_host_that_is_gone_while_the_link_is_there_is_down(internet: Internet) -> None:
    team = TeamFactory()
    gone, there = HOSTS[:2]
    internet.routes[gone] = Route(open_ports=frozenset({80, 81, 82}))
    internet.routes[there] = Route(open_ports=frozenset({80}))
    for target in (f"{gone}:80", f"{gone}:81", f"{gone}:82", f"{there}:80"):
        watch("tcp", target, team)
    scene = Scene()

    async def story() -> None:
        await scene.until(all_are(Status.UP))
        del internet.routes[gone]
        await scene.until(lambda: Incident.objects.count() == 3)
        assert not await scene.ask(is_blind)
        reasons = Incident.objects.values_list("reason", flat=True)
        assert await scene.ask(lambda: set(reasons)) == {"connect_timeout"}

    asyncio.run(run_shift(scene, story))


async def run_on_loopback(scene: Scene, servers: list[NameServer]) -> None:
    """The engine, whose hosts on this machine count as witnesses for once."""
    leases, results, _ = scene.threads

    async def tell(is_blind: bool) -> None:
        await leases.run(lambda: report_sight(shift_id=scene.shift.id, is_blind=is_blind))

    def set_all(outcome: Outcome) -> None:
        for server in servers:
            server.zone["shop.example"] = outcome

    location = await scene.ask(lambda: Location.objects.get(slug=Location.LOCAL).id)
    async with Prober() as prober:
        sight = Sight(
            observe=prober.observe,
            anchors=[],
            tell=tell,
            is_witness=lambda host: True,
            pace=Pace(again=timedelta(milliseconds=200)),
        )
        engine = Engine(
            source=LocalSource(owner=scene.shift.id, location_id=location, thread=leases),
            sink=LocalSink(owner=scene.shift.id, thread=results),
            observe=sight.observe,
        )
        looking = asyncio.create_task(sight.watch())
        await scene.play(
            engine.run(scene.stop, hurry=scene.stop),
            lambda: cut_and_mend(scene, lambda: set_all(SILENCE), lambda: set_all(["192.0.2.1"])),
        )
        looking.cancel()
        await asyncio.wait([looking])


def test_the_same_on_loopback_with_name_servers_that_fall_silent() -> None:
    team = TeamFactory()
    ports = free_ports(6)
    for number, port in enumerate(ports, start=1):
        watch("dns", "shop.example", team, resolver=f"127.0.1.{number}:{port}")
    scene = Scene()

    async def run() -> None:
        async with AsyncExitStack() as stack:
            servers = [
                await stack.enter_async_context(
                    serve_names({"shop.example": ["192.0.2.1"]}, f"127.0.1.{number}", port)
                )
                for number, port in enumerate(ports, start=1)
            ]
            await run_on_loopback(scene, servers)

    asyncio.run(run())


def free_ports(count: int) -> list[int]:
    """UDP ports that are free on every address of loopback, a moment ago at least."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            for _ in range(count)
        ]
        for one in sockets:
            one.bind(("0.0.0.0", 0))
        return [one.getsockname()[1] for one in sockets]


# What the location's state says, and to whom


@pytest.fixture
def shift() -> Shift:
    shift = begin_shift("checks")
    assert shift is not None
    return shift


def another_engine() -> Shift:
    return Shift.objects.create(
        duty="checks", host="another machine", pid=1, started_at=Now(), beat_at=Now()
    )


def test_a_location_is_blind_when_all_its_engines_are(shift: Shift) -> None:
    other = another_engine()
    report_sight(shift_id=shift.id, is_blind=True)
    assert not is_blind()
    assert health.examine_sight(database_now()).facts == {"engines_blind": 1}
    report_sight(shift_id=other.id, is_blind=True)
    assert is_blind()
    report_sight(shift_id=shift.id, is_blind=False)
    assert not is_blind()


def test_a_new_shift_begins_as_blind_as_the_last_one_ended(shift: Shift) -> None:
    report_sight(shift_id=shift.id, is_blind=True)
    Shift.objects.all().delete()
    successor = begin_shift("checks")
    assert successor is not None
    assert successor.blind_since == Location.objects.get(slug=Location.LOCAL).blind_since


def test_health_metrics_and_pages_say_that_a_location_is_blind(
    shift: Shift, client: Client
) -> None:
    membership = MembershipFactory(user__is_superuser=True, user__is_staff=True)
    monitor = make_monitor(membership.team)
    client.force_login(membership.user)
    assert health.examine_sight(database_now()).is_ok
    assert 'uptime_location_blind{location="local"} 0.0' in metrics.exposition().decode()
    assert "no network" not in client.get("/").content.decode()
    report_sight(shift_id=shift.id, is_blind=True)
    part = health.examine_sight(database_now())
    assert not part.is_ok
    assert "no network for 0 s" in part.message
    assert 'uptime_location_blind{location="local"} 1.0' in metrics.exposition().decode()
    for page in ("/", monitor.get_absolute_url()):
        assert "has had no network since" in client.get(page).content.decode()
    assert client.get("/api/v1/locations/").json()["results"][0]["blind_since"]
    assert client.get("/admin/monitors/location/").status_code == 200
