"""The check engine on this installation's own database: where it leases and where it stores.

Database work runs in two threads of its own, one for leases and one for results, so that neither
makes a check late.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, connections

from monitors.details import asking
from monitors.leasing import (
    Leased,
    give_pings_time,
    lease_due,
    note_unobserved,
    pull_back,
    release_leases,
    spread_overdue,
)
from monitors.specs import SpecCache
from probe.engine import Reading
from probe.values import Finished, Job
from uptime.clock import database_now
from uptime.database import again_on_conflict
from uptime.intake import take_in
from uptime.process import name_thread

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

# An engine that begins, or that could not lease for this long, looks for what an outage left. So
# does one to which the database's clock tells of so much more time, or less, than its own: machines
# slept, or the clock was put.
UNLEASED_FOR = timedelta(seconds=10)

# Kept from shift to shift: a worker's process works one after the other, and a shift ends before a
# monitor with a long interval came up twice.
_specs = SpecCache()


class DatabaseThread:
    """One thread with one database connection; what raises in it raises at the caller's.

    `name` is what the operating system shows of the thread, too.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name, name_thread, (name,))

    async def run(self, action: Callable[[], _T]) -> _T:
        def work() -> _T:
            try:
                return action()
            except (DatabaseError, InterfaceError):
                connections.close_all()  # it may be broken: the next action has a new one
                raise

        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        self._pool.submit(connections.close_all).result()
        self._pool.shutdown()


class LocalSource:
    """Leases the assignments of one location for `owner`."""

    def __init__(self, *, owner: UUID, location_id: int, thread: DatabaseThread) -> None:
        self._owner = owner
        self._location_id = location_id
        self._thread = thread
        self._leased_at = float("-inf")
        self._told: datetime | None = None

    async def lease(self, *, limit: int, ahead: timedelta) -> tuple[Reading, list[Job]]:
        return await self._thread.run(lambda: self._lease(limit, ahead))

    async def release(self, jobs: Sequence[Job]) -> None:
        ids = [job.assignment_id for job in jobs]
        await self._thread.run(lambda: release_leases(owner=self._owner, assignment_ids=ids))

    def _lease(self, limit: int, ahead: timedelta) -> tuple[Reading, list[Job]]:
        readings = []
        if time.monotonic() - self._leased_at > UNLEASED_FOR.total_seconds():
            self._catch_up()
            # The first jobs go by it, and a lease of many says less exactly what time it is.
            readings = [_read_clock(database_now) for _ in range(3)]
        reading, leased = self._lease_due(limit, ahead)
        put = self._clock_put(reading.at)
        if abs(put) > UNLEASED_FOR:
            log.warning("engine.clock.put", seconds=round(put.total_seconds(), 1))
            release_leases(owner=self._owner, assignment_ids=[one.assignment_id for one in leased])
            self._catch_up(is_put_back=put < timedelta())
            readings.clear()
            reading, leased = self._lease_due(limit, ahead)
        self._leased_at, self._told = time.monotonic(), reading.at
        specs = _specs.get((one.monitor_id, one.revision) for one in leased)
        jobs = [
            Job(
                one.assignment_id,
                specs[one.monitor_id],
                one.due_at,
                one.attempt,
                one.last_seen_at,
                one.fingerprint,
                asking.asks(one.assignment_id, specs[one.monitor_id], self._leased_at),
            )
            for one in leased
            if one.monitor_id in specs
        ]
        return min([*readings, reading], key=lambda one: one.error_s), jobs

    def _lease_due(self, limit: int, ahead: timedelta) -> tuple[Reading, list[Leased]]:
        leased: list[Leased] = []

        def lease() -> datetime:
            now, leased[:] = lease_due(
                owner=self._owner, location_id=self._location_id, limit=limit, ahead=ahead
            )
            return now

        return again_on_conflict(lambda: _read_clock(lease)), leased

    def _clock_put(self, now: datetime) -> timedelta:
        """How much more has passed by the database's clock than by ours since the last lease."""
        if self._told is None:
            return timedelta()
        return now - self._told - timedelta(seconds=time.monotonic() - self._leased_at)

    def _catch_up(self, *, is_put_back: bool = False) -> None:
        if is_put_back:
            again_on_conflict(lambda: pull_back(location_id=self._location_id))
        again_on_conflict(lambda: note_unobserved(location_id=self._location_id))
        again_on_conflict(lambda: spread_overdue(location_id=self._location_id))
        again_on_conflict(lambda: give_pings_time(location_id=self._location_id))


def _read_clock(ask: Callable[[], datetime]) -> Reading:
    asked = time.monotonic()
    at = ask()
    return Reading(at, asked, time.monotonic())


class LocalSink:
    """Takes batches in for `owner`."""

    def __init__(self, *, owner: UUID, thread: DatabaseThread) -> None:
        self._owner = owner
        self._thread = thread

    async def store(self, batch: Sequence[Finished]) -> None:
        await self._thread.run(lambda: take_in(batch, owner=self._owner))
