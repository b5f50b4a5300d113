"""The engine on the database's own tables: edits act at once, clocks may differ."""

import asyncio
import contextvars
import datetime as real
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections

from incidents.actions import resume_monitor
from monitors.actions import update_monitor
from monitors.models import Assignment, Location, Monitor, Result
from probe.engine import Engine, Limits, Reading
from probe.values import Job, Observation, Status
from tests.factories import TeamFactory, make_monitor
from uptime.clock import database_now
from uptime.local_engine import DatabaseThread, LocalSink, LocalSource
from uptime.operations import pause_monitor

pytestmark = pytest.mark.django_db(transaction=True)

LIMITS = Limits(
    lease_every=timedelta(milliseconds=50),
    batch_age=timedelta(milliseconds=20),
    drain=timedelta(0),
)
Observe = Callable[[Job], Awaitable[Observation]]


@pytest.fixture(autouse=True)
def _connections() -> Iterator[None]:
    yield
    connections.close_all()


class Running:
    """An engine at work, with two database connections of its own."""

    def __init__(self, observe: Observe, location_id: int) -> None:
        self.stop = asyncio.Event()
        self.threads = [DatabaseThread("lease"), DatabaseThread("store")]
        leases, results = self.threads
        owner = uuid4()
        self.engine = Engine(
            source=LocalSource(owner=owner, location_id=location_id, thread=leases),
            sink=LocalSink(owner=owner, thread=results),
            observe=observe,
            limits=LIMITS,
        )
        self.task = asyncio.create_task(self.engine.run(self.stop, hurry=self.stop))

    async def end(self) -> None:
        self.stop.set()
        await self.task
        for thread in self.threads:
            thread.close()


def test_the_clock_is_read_closely_whatever_the_first_lease_has_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the first checks come early, by half of the time that took."""
    spread_at = []
    monkeypatch.setattr(
        "uptime.local_engine.spread_overdue", lambda **_: spread_at.append(time.monotonic())
    )

    async def lease() -> Reading:
        thread = DatabaseThread("lease")
        source = LocalSource(owner=uuid4(), location_id=1, thread=thread)
        reading, _ = await source.lease(limit=1, ahead=timedelta(0))
        thread.close()
        return reading

    reading = asyncio.run(lease())
    assert spread_at[0] <= reading.asked <= reading.answered


async def pass_at_once(job: Job) -> Observation:
    return Observation(Status.UP)


def run(story: Callable[["Stage"], Awaitable[None]], *engines: Observe) -> None:
    asyncio.run(_run(story, engines or (pass_at_once,)))


async def _run(story: Callable[["Stage"], Awaitable[None]], engines: tuple[Observe, ...]) -> None:
    stage = Stage()
    location_id = await stage.do(local_id)
    running = [Running(observe, location_id) for observe in engines]
    try:
        await story(stage)
    finally:
        for one in running:
            await one.end()
        stage.thread.close()


class Stage:
    """What a test asks of the database and does to it while engines run."""

    def __init__(self) -> None:
        self.thread = DatabaseThread("test")

    async def do(self, action: Callable[[], Any]) -> Any:
        return await self.thread.run(action)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not await self.do(condition):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.02)


def local_id() -> int:
    return Location.objects.get(slug=Location.LOCAL).id


def results_of(monitor: Monitor, *, due_after: real.datetime | None = None) -> Any:
    found = Result.objects.filter(assignment__monitor=monitor)
    return found.filter(due_at__gt=due_after) if due_after else found


def test_a_shorter_interval_is_kept_from_the_next_second_on() -> None:
    monitor = make_monitor(interval=3600)

    async def story(stage: Stage) -> None:
        await stage.until(lambda: results_of(monitor).count() == 1)
        edited_at = await stage.do(database_now)
        await stage.do(lambda: update_monitor(monitor=monitor, values={"interval": 1}))
        await stage.until(lambda: results_of(monitor, due_after=edited_at).count() >= 3)
        due = await stage.do(
            lambda: list(results_of(monitor, due_after=edited_at).order_by("due_at"))
        )
        assert due[0].due_at - edited_at < timedelta(seconds=1)
        assert due[2].due_at - due[1].due_at == timedelta(seconds=1)

    run(story)


@pytest.fixture
def gate() -> asyncio.Event:
    return asyncio.Event()


def test_an_edit_while_a_check_is_under_way_is_checked_at_once_and_the_old_answer_dropped(
    gate: asyncio.Event,
) -> None:
    monitor = make_monitor(interval=3600, target="http://127.0.0.1:9/old")
    asked: list[str] = []

    async def observe(job: Job) -> Observation:
        asked.append(job.spec.target)
        if job.spec.target.endswith("old"):
            await gate.wait()
        return Observation(Status.UP, message=job.spec.target)

    async def story(stage: Stage) -> None:
        await stage.until(lambda: len(asked) == 1)
        values = {"target": "http://127.0.0.1:9/new", "interval": 1800}
        await stage.do(lambda: update_monitor(monitor=monitor, values=values))
        await stage.until(lambda: results_of(monitor).count() == 1)
        gate.set()
        await asyncio.sleep(0.2)  # what is dropped leaves no trace to wait for
        [result] = await stage.do(lambda: list(results_of(monitor)))
        assert result.message == "http://127.0.0.1:9/new"
        due_at = await stage.do(lambda: Assignment.objects.get(monitor=monitor).next_due_at)
        assert due_at - await stage.do(database_now) <= timedelta(seconds=1800)

    run(story, observe)


def test_a_pause_acts_at_once_also_on_what_is_leased_and_waits_for_its_instant() -> None:
    monitor = make_monitor(interval=1)

    def is_leased() -> bool:
        return Assignment.objects.filter(monitor=monitor, lease_owner__isnull=False).exists()

    async def story(stage: Stage) -> None:
        await stage.until(lambda: results_of(monitor).count() >= 2)
        await stage.until(is_leased)
        await stage.do(lambda: pause_monitor(monitor=monitor))
        seen = await stage.do(lambda: results_of(monitor).count())
        await asyncio.sleep(1.2)  # its instant comes and goes
        assert await stage.do(lambda: results_of(monitor).count()) == seen
        await stage.do(lambda: resume_monitor(monitor=monitor))
        await stage.until(lambda: results_of(monitor).count() > seen)

    run(story)


# Clocks

skew = contextvars.ContextVar("skew", default=timedelta())


class SkewedClock(real.datetime):
    """A machine's clock that is wrong by `skew`."""

    @classmethod
    def now(cls, tz: real.tzinfo | None = None) -> Any:
        return real.datetime.now(tz) + skew.get()


def test_two_engines_whose_clocks_are_30_seconds_apart_keep_one_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("probe.engine.datetime", SkewedClock)
    team = TeamFactory()
    for _ in range(40):
        make_monitor(team, interval=1)
    since = database_now()
    done: Counter[str] = Counter()

    def engine(name: str) -> Observe:
        async def observe(job: Job) -> Observation:
            done[name] += 1
            await asyncio.sleep(0.01)
            return Observation(Status.UP)

        return observe

    async def both() -> None:
        stage, running = Stage(), []
        for name, seconds in (("early", -15), ("late", 15)):
            skew.set(timedelta(seconds=seconds))
            assert SkewedClock.now(UTC) != real.datetime.now(UTC)
            running.append(Running(engine(name), await stage.do(local_id)))
            await stage.until(lambda name=name: done[name] > 0)  # type: ignore[misc]
        enough = Assignment.objects.filter(monitor__team=team)
        await stage.until(
            lambda: all(
                Result.objects.filter(assignment=one, checked_at__gte=since).count() >= 3
                for one in enough
            )
        )
        for one in running:
            await one.end()
        stage.thread.close()

    asyncio.run(both())
    results = list(Result.objects.filter(checked_at__gte=since))
    assert min(done.values()) > 0
    instants = Counter((one.assignment_id, one.due_at, one.attempt) for one in results)
    assert max(instants.values()) == 1
    for one in results:
        assert timedelta(milliseconds=-50) < one.lateness < timedelta(seconds=10)
    assert max(one.checked_at for one in results) <= database_now()


class OtherTime:
    """A machine's monotonic clock that stands at `passed` seconds."""

    passed = 0.0

    @classmethod
    def monotonic(cls) -> float:
        return cls.passed


@pytest.mark.parametrize("passed_here", [-3600.0, 3600.0])
def test_a_clock_that_was_put_neither_misses_pings_nor_leaves_checks_for_later(
    passed_here: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour more by the database's clock than by ours: all slept. An hour less: it was put."""
    monkeypatch.setattr("uptime.local_engine.time", OtherTime)
    monkeypatch.setattr(OtherTime, "passed", 0.0)
    check, heartbeat = make_monitor(interval=60), make_monitor(kind="heartbeat", interval=60)
    now = database_now()
    long_ago = now - timedelta(hours=2)
    Monitor.objects.filter(pk=check.pk).update(status="up", last_change_at=long_ago)
    check.spans.update(status="up", started_at=long_ago)
    off = timedelta(seconds=passed_here)
    thread = DatabaseThread("test")
    source = LocalSource(owner=uuid4(), location_id=local_id(), thread=thread)

    async def lease() -> list[Job]:
        _, jobs = await source.lease(limit=10, ahead=timedelta(seconds=1))
        return jobs

    async def story() -> None:
        assert len(await lease()) == 1

        def put() -> None:
            due = Assignment.objects.all()
            due.filter(monitor=check).update(next_due_at=now + off)
            due.filter(monitor=heartbeat).update(next_due_at=now + off, last_seen_at=now + off)

        await thread.run(put)
        OtherTime.passed = passed_here
        jobs = await lease()
        assert heartbeat.pk not in [job.spec.monitor_id for job in jobs]

    try:
        asyncio.run(story())
    finally:
        thread.close()
    assert check.spans.filter(status="unknown").exists() == (passed_here < 0)
    for one in Assignment.objects.filter(monitor=check):
        assert one.next_due_at is not None
        assert one.next_due_at <= database_now() + timedelta(seconds=60)
