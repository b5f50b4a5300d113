"""The engine: on time, within its limits, and nothing dropped."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from probe.engine import Engine, Limits, Reading, SourceClock
from probe.lanes import LaneLimits
from probe.values import Finished, Job, Observation, Spec, Status

QUICK = Limits(
    lease_every=timedelta(milliseconds=10),
    batch_age=timedelta(milliseconds=10),
    drain=timedelta(seconds=2),
)


class Table:
    """A source and a sink in memory. Its clock may differ from this machine's."""

    def __init__(self, skew: timedelta = timedelta()) -> None:
        self.skew = skew
        self.due: list[Job] = []
        self.released: list[Job] = []
        self.stored: list[Finished] = []
        self.refusals = 0
        self.leases_refused = 0
        self.changed = asyncio.Event()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.skew

    def add(self, *offsets_s: float, host: str = "") -> list[Job]:
        jobs = [make_job(self.now() + timedelta(seconds=s), host=host) for s in offsets_s]
        self.due += jobs
        return jobs

    async def lease(self, *, limit: int, ahead: timedelta) -> tuple[Reading, list[Job]]:
        if self.leases_refused:
            self.leases_refused -= 1
            raise ConnectionError("the source is away")
        horizon = self.now() + ahead
        leased = [job for job in self.due if job.due_at <= horizon][:limit]
        self.due = [job for job in self.due if job not in leased]
        at = time.monotonic()
        return Reading(self.now(), at, at), leased

    async def release(self, jobs: Sequence[Job]) -> None:
        self.released += jobs

    async def store(self, batch: Sequence[Finished]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ConnectionError("the sink is away")
        self.stored += batch
        self.changed.set()

    async def until_stored(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.stored) < count:
                self.changed.clear()
                await self.changed.wait()


class GatedTable(Table):
    """Its sink takes a batch only once the gate is open, and counts what each batch held."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.is_storing = asyncio.Event()
        self.batches: list[int] = []

    async def store(self, batch: Sequence[Finished]) -> None:
        self.is_storing.set()
        await self.gate.wait()
        self.batches.append(len(batch))
        await super().store(batch)


def make_job(due_at: datetime, host: str = "") -> Job:
    spec = Spec(
        monitor_id=uuid4(),
        revision=1,
        kind="http",
        target="",
        interval=timedelta(seconds=60),
        timeout=timedelta(seconds=1),
        failure_threshold=2,
        recovery_threshold=1,
        retry_interval=timedelta(seconds=5),
        settings=None,
        host=host,
    )
    return Job(assignment_id=uuid4().int % 10**9, spec=spec, due_at=due_at)


async def pass_at_once(job: Job) -> Observation:
    return Observation(Status.UP)


async def run_engine(
    table: Table,
    until: Callable[[], Awaitable[object]],
    observe: Callable[[Job], Awaitable[Observation]] = pass_at_once,
    limits: Limits = QUICK,
) -> None:
    stop = asyncio.Event()
    engine = Engine(source=table, sink=table, observe=observe, limits=limits)
    running = asyncio.create_task(engine.run(stop))
    await until()
    stop.set()
    await running


@pytest.mark.parametrize("skew_s", [0, 30, -30])
async def test_each_job_starts_at_its_instant_by_the_sources_clock(skew_s: float) -> None:
    table = Table(timedelta(seconds=skew_s))
    table.add(0.05, 0.2, 0.35)
    await run_engine(table, lambda: table.until_stored(3))
    for finished in table.stored:
        lateness = finished.started_at - finished.job.due_at
        assert timedelta(milliseconds=-5) < lateness < timedelta(milliseconds=150)


async def test_an_overdue_job_starts_now() -> None:
    table = Table()
    table.add(-3600)
    await run_engine(table, lambda: table.until_stored(1))


async def test_jobs_that_hang_do_not_delay_the_others() -> None:
    table = Table()
    table.add(*[0.01] * 500, host="hangs")
    table.add(*[0.1] * 500)
    hanging = asyncio.Event()

    async def observe(job: Job) -> Observation:
        if job.spec.host == "hangs":
            await hanging.wait()
        return Observation(Status.UP)

    async def others_are_done() -> None:
        await table.until_stored(500)
        assert not any(one.job.spec.host for one in table.stored)
        hanging.set()
        await table.until_stored(1000)

    await run_engine(table, others_are_done, observe)


async def test_one_host_gets_no_more_than_its_share_at_once() -> None:
    table = Table()
    table.add(*[0.01] * 30, host="one")
    at_once, most = 0, 0

    async def observe(job: Job) -> Observation:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        return Observation(Status.UP)

    limits = replace(QUICK, lanes=LaneLimits(per_host=4))
    await run_engine(table, lambda: table.until_stored(30), observe, limits)
    assert most == 4


async def test_a_host_that_hangs_costs_the_others_nothing_however_many_checks_it_has() -> None:
    table = Table()
    table.add(*[0.01] * 300, host="hangs")
    table.add(*[0.2] * 20, host="")
    hanging = asyncio.Event()

    async def observe(job: Job) -> Observation:
        if job.spec.host == "hangs":
            await hanging.wait()
        return Observation(Status.UP)

    async def others_are_done() -> None:
        await table.until_stored(20)
        assert not any(one.job.spec.host for one in table.stored)
        hanging.set()
        await table.until_stored(320)

    limits = replace(QUICK, lanes=LaneLimits(per_host=5), in_flight=100)
    await run_engine(table, others_are_done, observe, limits)


async def test_a_lease_that_lapsed_while_the_check_waits_is_not_checked_twice() -> None:
    table = Table()
    table.add(0)
    started = 0

    async def observe(job: Job) -> Observation:
        nonlocal started
        started += 1
        if started == 1:
            table.due.append(job)  # as if its lease had lapsed
            await asyncio.sleep(0.1)
        return Observation(Status.UP)

    await run_engine(table, lambda: table.until_stored(1), observe)
    assert (started, len(table.stored)) == (1, 1)


async def test_what_the_sink_refuses_is_kept_and_handed_in_again() -> None:
    table = Table()
    table.refusals = 1
    jobs = table.add(0.01, 0.02, 0.03)
    await run_engine(table, lambda: table.until_stored(3))
    assert {one.job for one in table.stored} == set(jobs)
    assert len(table.stored) == 3


async def test_what_ends_while_a_batch_is_stored_waits_for_a_batch_of_its_own() -> None:
    table = GatedTable()
    jobs = table.add(0, 0, 0)
    ends = {job.assignment_id: asyncio.Event() for job in jobs}
    first, second, third = ends.values()

    async def observe(job: Job) -> Observation:
        await ends[job.assignment_id].wait()
        return Observation(Status.UP)

    async def end_one_after_the_other() -> None:
        first.set()
        await table.is_storing.wait()
        second.set()
        await asyncio.sleep(0.05)
        table.gate.set()
        await asyncio.sleep(0.05)  # shorter than a batch's age
        third.set()
        await table.until_stored(3)

    limits = replace(QUICK, batch_age=timedelta(milliseconds=500))
    await run_engine(table, end_one_after_the_other, observe, limits)
    assert table.batches == [1, 2]


async def test_a_source_that_is_away_is_asked_again() -> None:
    table = Table()
    table.leases_refused = 1
    table.add(0.01)
    await run_engine(table, lambda: table.until_stored(1))


async def stop_at_first_start(table: Table, hurry: asyncio.Event | None = None) -> None:
    stop = asyncio.Event()

    async def observe(job: Job) -> Observation:
        stop.set()
        await asyncio.sleep(0.05)
        return Observation(Status.UP)

    engine = Engine(source=table, sink=table, observe=observe, limits=QUICK)
    await engine.run(stop, hurry=hurry)


async def test_stopping_ends_all_that_is_leased_each_at_its_instant() -> None:
    table = Table()
    now, later = table.add(0, 0.5)
    await stop_at_first_start(table)
    assert [one.job for one in table.stored] == [now, later]
    assert table.stored[1].started_at >= later.due_at - timedelta(milliseconds=5)
    assert table.released == []


async def test_stopping_in_a_hurry_gives_back_what_has_not_begun() -> None:
    table = Table()
    now, later = table.add(0, 0.9)
    hurry = asyncio.Event()
    hurry.set()
    await stop_at_first_start(table, hurry)
    assert [one.job for one in table.stored] == [now]
    assert table.released == [later]


async def test_a_check_that_outlasts_the_drain_is_given_up() -> None:
    table = Table()
    table.add(0)
    has_started = asyncio.Event()

    async def observe(job: Job) -> Observation:
        has_started.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    limits = replace(QUICK, drain=timedelta(milliseconds=50))
    await run_engine(table, has_started.wait, observe, limits)
    assert table.stored == []


def test_the_clock_follows_the_tightest_answer() -> None:
    clock = SourceClock()
    base = time.monotonic()
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    clock.learn(Reading(noon, base, base + 0.002))
    clock.learn(Reading(noon + timedelta(seconds=40), base, base + 50))
    passed = timedelta(seconds=time.monotonic() - base)
    assert abs(clock.now() - noon - passed) < timedelta(seconds=5)


def test_the_clock_follows_one_that_was_put() -> None:
    clock = SourceClock()
    base = time.monotonic()
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    clock.learn(Reading(noon, base, base + 0.002))
    clock.learn(Reading(noon - timedelta(hours=1), base + 1, base + 2))
    assert clock.now() < noon - timedelta(minutes=59)


async def test_checks_of_one_team_that_hang_leave_room_for_the_others() -> None:
    table = Table()
    one, other = uuid4(), uuid4()
    hanging = table.add(*[0.01] * 300)
    table.due = [replace(job, spec=replace(job.spec, team_id=one)) for job in hanging]
    for job in table.add(*[0.2] * 20):
        table.due[table.due.index(job)] = replace(job, spec=replace(job.spec, team_id=other))
    release = asyncio.Event()

    async def observe(job: Job) -> Observation:
        if job.spec.team_id == one:
            await release.wait()
        return Observation(Status.UP)

    async def others_are_done() -> None:
        await table.until_stored(20)
        assert {done.job.spec.team_id for done in table.stored} == {other}
        release.set()
        await table.until_stored(320)

    limits = replace(QUICK, in_flight=100, lanes=LaneLimits(per_team=50))
    await run_engine(table, others_are_done, observe, limits)


@pytest.mark.parametrize(
    ("lanes", "filled"),
    [
        (LaneLimits(per_kind={"http": 5}), 0.3),  # another engine could begin those that wait
        (LaneLimits(per_host=5), 0.05),  # and none is to ask their host the sooner
    ],
)
async def test_how_filled_an_engine_is_with_thirty_that_hang(
    lanes: LaneLimits, filled: float
) -> None:
    table, have_begun, release, stop = Table(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    table.add(*[0.0] * 30, host="hangs")
    under_way = 0

    async def observe(job: Job) -> Observation:
        nonlocal under_way
        under_way += 1
        if under_way == 5:
            have_begun.set()
        await release.wait()
        return Observation(Status.UP)

    limits = replace(QUICK, in_flight=100, lanes=lanes)
    engine = Engine(source=table, sink=table, observe=observe, limits=limits)
    running = asyncio.create_task(engine.run(stop))
    await have_begun.wait()
    assert engine.filled == pytest.approx(filled)
    release.set()
    await table.until_stored(30)
    stop.set()
    await running


async def test_a_kind_with_a_limit_of_its_own_keeps_it() -> None:
    table = Table()
    table.add(*[0.01] * 30)
    at_once, most = 0, 0

    async def observe(job: Job) -> Observation:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        return Observation(Status.UP)

    limits = replace(QUICK, lanes=LaneLimits(per_kind={"http": 3}))
    await run_engine(table, lambda: table.until_stored(30), observe, limits)
    assert most == 3
