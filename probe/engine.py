"""Many jobs at once, on time: leases from a source, hands batches to a sink, drains on request.

    engine = Engine(source=source, sink=sink, observe=prober.observe)
    await engine.run(stop)        # until `stop` is set and what is under way has ended

The engine asks its source a little ahead for what falls due, and starts each job at its exact
instant. Time is the source's: its clock comes with every lease, so an engine whose own clock is
wrong is still on time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from probe.lanes import LaneLimits, Lanes
from probe.values import Finished, Job, Observation

log = structlog.get_logger(__name__)

HURRIED_DRAIN_S = 10


@dataclass(frozen=True, slots=True)
class Reading:
    """The source's time was `at` somewhere between two instants of this machine's monotonic
    clock."""

    at: datetime
    asked: float
    answered: float

    @property
    def error_s(self) -> float:
        """By how much the middle of the two may be wrong."""
        return (self.answered - self.asked) / 2


class Source(Protocol):
    """Where jobs come from. Errors it raises are the engine's to wait out."""

    async def lease(self, *, limit: int, ahead: timedelta) -> tuple[Reading, list[Job]]:
        """The source's time, read as closely as may be, and up to `limit` jobs that fall due within
        `ahead`."""

    async def release(self, jobs: Sequence[Job]) -> None:
        """Give back jobs that were not started."""


class Sink(Protocol):
    """Where observations go. A batch that raised is handed in again, unchanged."""

    async def store(self, batch: Sequence[Finished]) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once, and how far ahead.

    `in_flight`: checks that run or wait for their instant. `lanes`: how many of one host, team or
    kind run at once; what is due beyond them queues. `held`: all that is leased, queues included.
    `buffered`: observations that wait for a sink which is away. Where one of the last two is
    reached, nothing is leased.
    """

    in_flight: int = 2000
    lanes: LaneLimits = field(default_factory=LaneLimits)
    held: int = 100_000
    buffered: int = 20_000
    batch: int = 500
    batch_age: timedelta = timedelta(milliseconds=250)
    ahead: timedelta = timedelta(seconds=1)
    lease_every: timedelta = timedelta(milliseconds=250)
    drain: timedelta = timedelta(seconds=125)


class Engine:
    """One run of checks; use it once."""

    def __init__(
        self,
        *,
        source: Source,
        sink: Sink,
        observe: Callable[[Job], Awaitable[Observation]],
        limits: Limits | None = None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._observe = observe
        self._limits = limits or Limits()
        self._clock = SourceClock()
        self._waiting: dict[int, tuple[asyncio.TimerHandle, Job]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._lanes = Lanes(self._limits.lanes)
        # What is leased and not stored yet: a lease that lapses meanwhile comes here again.
        self._held: set[tuple[int, datetime]] = set()
        self._outage = Outage()
        self._finished: list[Finished] = []
        self._has_batch = asyncio.Event()
        self._is_over = False

    async def run(self, stop: asyncio.Event, *, hurry: asyncio.Event | None = None) -> None:
        """Check until `stop`; then lease no more and end what is leased, each at its instant.

        In a `hurry` what has not begun is given back at once. What has not ended within
        `limits.drain`, or `HURRIED_DRAIN_S` after `hurry`, is given up; another engine checks it.
        Raises nothing of its source or sink.
        """
        storing = asyncio.create_task(self._store_forever())
        try:
            while not stop.is_set():
                await self._lease(stop)
                await _wait(stop, self._limits.lease_every)
            await self._drain(hurry or asyncio.Event())
        finally:
            self._is_over = True
            self._has_batch.set()
            await storing

    @property
    def in_flight(self) -> int:
        return len(self._waiting) + len(self._running) + self._lanes.queued

    @property
    def filled(self) -> float:
        """The share of the checks that may be under way which are, or only wait for that.

        What waits for room at its host is not among them: no other engine is to ask that host the
        sooner. Another thread may ask.
        """
        return (self.in_flight - self._lanes.queued_by_host) / self._limits.in_flight

    async def _lease(self, stop: asyncio.Event) -> None:
        limits = self._limits
        room = min(
            limits.in_flight - len(self._waiting) - len(self._running),
            limits.held - len(self._held),
        )
        if room <= 0 or len(self._finished) >= limits.buffered:
            return
        try:
            reading, jobs = await self._source.lease(limit=room, ahead=self._limits.ahead)
        except Exception as error:  # noqa: BLE001 - the loop's edge: what is away comes back
            await _wait(stop, self._outage.begins("engine.lease.failed", error))
            return
        self._outage.ends("engine.lease.failed")
        self._clock.learn(reading)
        loop = asyncio.get_running_loop()
        for job in jobs:
            if (job.assignment_id, job.due_at) in self._held:
                continue
            self._held.add((job.assignment_id, job.due_at))
            wait_s = (job.due_at - self._clock.now()).total_seconds()
            handle = loop.call_later(max(wait_s, 0), self._start, job)
            self._waiting[id(job)] = (handle, job)

    def _start(self, job: Job) -> None:
        self._waiting.pop(id(job), None)
        if self._lanes.enter(job):
            self._run(job)

    def _run(self, job: Job) -> None:
        task = asyncio.create_task(self._check(job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _check(self, job: Job) -> None:
        started_at = self._clock.now()
        try:
            observation = await self._observe(job)
        finally:
            for next_job in self._lanes.leave(job):
                self._run(next_job)
        self._finished.append(
            Finished(
                job=job,
                observation=observation,
                started_at=started_at,
                finished_at=self._clock.now(),
            )
        )
        self._has_batch.set()

    async def _store_forever(self) -> None:
        """Hand batches over, by size or age; keep what the sink would not take."""
        while True:
            await self._has_batch.wait()
            if not self._is_over and len(self._finished) < self._limits.batch:
                await asyncio.sleep(self._limits.batch_age.total_seconds())
            self._has_batch.clear()
            left = len(self._finished)  # what comes meanwhile is of the next batch
            while left > 0:
                batch = self._finished[: self._limits.batch]
                if await self._store(batch):
                    left -= len(batch)
                elif self._is_over:
                    log.error("engine.observations.lost", count=len(self._finished))
                    return
            if self._is_over and not self._finished:
                return

    async def _store(self, batch: list[Finished]) -> bool:
        try:
            await self._sink.store(batch)
        except Exception as error:  # noqa: BLE001 - the loop's edge: kept, and tried again
            pause = self._outage.begins("engine.store.failed", error)
            await asyncio.sleep(pause.total_seconds())
            return False
        self._outage.ends("engine.store.failed")
        del self._finished[: len(batch)]
        self._held.difference_update((one.job.assignment_id, one.job.due_at) for one in batch)
        return True

    async def _drain(self, hurry: asyncio.Event) -> None:
        """End what is leased: all of it on time, or in a hurry only what has begun."""
        deadline = time.monotonic() + self._limits.drain.total_seconds()
        is_hurried = False
        while self.in_flight and time.monotonic() < deadline:
            if hurry.is_set() and not is_hurried:
                is_hurried = True
                deadline = min(deadline, time.monotonic() + HURRIED_DRAIN_S)
                await self._give_back(self._take_unstarted())
            await asyncio.sleep(0.05)
        await self._give_back(self._take_unstarted())
        for task in self._running:
            task.cancel()
        if self._running:
            log.info("engine.drain.gave_up", count=len(self._running))
            await asyncio.wait(self._running)

    def _take_unstarted(self) -> list[Job]:
        unstarted = []
        for handle, job in self._waiting.values():
            handle.cancel()
            unstarted.append(job)
        self._waiting.clear()
        unstarted.extend(self._lanes.empty_queues())
        self._held.difference_update((job.assignment_id, job.due_at) for job in unstarted)
        return unstarted

    async def _give_back(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        try:
            await self._source.release(jobs)
        except Exception:
            log.warning("engine.release.failed", count=len(jobs), exc_info=True)


class Outage:
    """Tells of a source or sink that is away once when it goes and once when it is back.

    Between two tries it has the engine wait ever longer, from `FIRST_PAUSE` to `LONGEST_PAUSE`.
    """

    FIRST_PAUSE = timedelta(milliseconds=100)
    LONGEST_PAUSE = timedelta(seconds=3)

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._pauses: dict[str, timedelta] = {}

    def begins(self, event: str, error: Exception) -> timedelta:
        """Call it for each failed try; returns how long to wait before the next."""
        if event not in self._since:
            self._since[event] = time.monotonic()
            log.warning(event, kind=type(error).__name__, error=str(error).partition("\n")[0])
        pause = self._pauses.get(event, self.FIRST_PAUSE)
        self._pauses[event] = min(pause * 2, self.LONGEST_PAUSE)
        return pause

    def ends(self, event: str) -> None:
        self._pauses.pop(event, None)
        if (since := self._since.pop(event, None)) is not None:
            log.info("engine.works_again", after=event, seconds=round(time.monotonic() - since, 1))


class SourceClock:
    """The source's time, carried on by this machine's monotonic clock."""

    def __init__(self) -> None:
        self._at = datetime.now(UTC)
        self._monotonic = time.monotonic()
        self._error_s = float("inf")

    def now(self) -> datetime:
        return self._at + timedelta(seconds=time.monotonic() - self._monotonic)

    def learn(self, reading: Reading) -> None:
        """The tightest wins; its certainty fades by 1 ms a second, so that drift is followed. One
        that contradicts what is known wins as well: a clock was put, or this machine slept."""
        middle = (reading.asked + reading.answered) / 2
        error_s = self._error_s + (reading.answered - self._monotonic) * 0.001
        expected = self._at + timedelta(seconds=middle - self._monotonic)
        is_other = abs((reading.at - expected).total_seconds()) > error_s + reading.error_s
        if reading.error_s <= error_s or is_other:
            self._at, self._monotonic, self._error_s = reading.at, middle, reading.error_s


async def _wait(event: asyncio.Event, at_most: timedelta) -> None:
    try:
        await asyncio.wait_for(event.wait(), at_most.total_seconds())
    except TimeoutError:
        return
