"""The lease alone, among very many assignments, while what is leased is taken in as well.

On a scratch database, in real time: what falls due is leased four times a second, a second ahead,
and each time once more when nothing is left. How each monitor is checked was read before, as it has
been in a process that works for longer than their interval; what that takes is a figure of its own.
The floor is an update of as many rows by their ids.
"""

import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from datetime import timedelta
from statistics import median
from typing import Any
from uuid import uuid4

from django.db import connection

from monitors.cadence import next_slot
from monitors.leasing import Leased, lease_due, release_leases
from monitors.models import Assignment, Location
from monitors.specs import SpecCache
from probe.values import Finished, Job
from uptime.bench.engine import scratch_database
from uptime.bench.intake import SEEN
from uptime.bench.measure import Meter
from uptime.bench.multitude import make_multitude
from uptime.bench.plans import watch_plans
from uptime.clock import database_now
from uptime.database import hot_cursor
from uptime.intake import take_in

KEYS = {
    "assignments": "how many there were",
    "leased_per_s": "checks leased and taken in per second",
    "lease_p50_ms": "one lease, median",
    "lease_max_ms": "the longest",
    "lease_empty_p50_ms": "one lease where nothing is due, median",
    "lease_cpu_ms_per_check": "CPU of the leasing process, per check",
    "lease_postgres_cpu_ms_per_check": "CPU of PostgreSQL for the lease, per check",
    "intake_cpu_ms_per_check": "CPU of taking the checks in",
    "intake_postgres_cpu_ms_per_check": "likewise of PostgreSQL",
    "read_cpu_ms_per_monitor": "CPU of reading how a monitor is checked, once, both sides",
    "floor_cpu_ms_per_check": "CPU of an update of the same rows by their ids, both sides",
    "whole_scans": "statements that read a large table whole; 0, or they are printed",
}

LEASE_EVERY_S = 0.25
AHEAD = timedelta(seconds=1)
READ_AT_ONCE = 125
_LARGE = {"monitors_assignment", "monitors_monitor", "monitors_statusspan"}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--assignments", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--rate", type=int, default=500, help="checks a second (500)")
    parser.add_argument("--seconds", type=int, default=10, help="to measure for (10)")


def run(options: Mapping[str, Any]) -> dict[str, float]:
    count = options["assignments"]
    with scratch_database() as postgres_pid:
        print(f"Making {count} assignments", flush=True)
        interval = timedelta(seconds=max(1, round(count / options["rate"])))
        make_multitude(count, interval=interval)
        spread_on_grid(interval)
        _execute("VACUUM (FULL, FREEZE, ANALYZE) monitors_assignment")
        _execute("CHECKPOINT")
        bench = _Bench(postgres_pid)
        bench.read_specs()
        whole_scans = bench.explain()
        bench.run(options["seconds"])
        return {"assignments": count, **bench.figures(), "whole_scans": whole_scans}


class _Bench:
    def __init__(self, postgres_pid: int) -> None:
        self._lease, self._intake, self._floor = (Meter(postgres_pid) for _ in range(3))
        self._read, self._monitors = Meter(postgres_pid), 0
        self._specs, self._owner = SpecCache(), uuid4()
        self._location_id = Location.objects.get(slug=Location.LOCAL).pk
        self._full_ms: list[float] = []
        self._empty_ms: list[float] = []
        self._taken, self._wall_s = 0, 0.0

    def explain(self) -> int:
        """Print the plans of a round's statements; how many read a large table whole."""
        time.sleep(1)
        with watch_plans() as plans:
            self._take_in(self._lease_once(AHEAD))
            release_leases(owner=self._owner)
        for plan in plans:
            print(plan, flush=True)
        return sum(bool(_LARGE & set(plan.scanned_whole())) for plan in plans)

    def read_specs(self) -> None:
        rows = list(Assignment.objects.order_by("next_due_at").values_list("monitor", "revision"))
        self._monitors = len(rows)
        with self._read.measuring():
            for begin in range(0, len(rows), READ_AT_ONCE):
                self._specs.get(rows[begin : begin + READ_AT_ONCE])

    def run(self, seconds: float) -> None:
        self._take_in(self._lease_once(AHEAD))  # what fell due during the preparations
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            with self._lease.measuring():
                leased = self._timed(self._full_ms, AHEAD)
            leased += self._timed(self._empty_ms, AHEAD / 2)
            with self._floor.measuring():
                self._touch(leased)
            with self._intake.measuring():
                self._take_in(leased)
            self._taken += len(leased)
            time.sleep(max(0, now + LEASE_EVERY_S - time.monotonic()))
        self._wall_s = time.monotonic() - began

    def figures(self) -> dict[str, float]:
        count = max(1, self._taken)
        floor_s = self._floor.cpu_s + self._floor.postgres_cpu_s
        return {
            "leased_per_s": round(self._taken / self._wall_s, 1),
            "lease_p50_ms": round(median(self._full_ms), 2),
            "lease_max_ms": round(max(self._full_ms), 2),
            "lease_empty_p50_ms": round(median(self._empty_ms), 2),
            "lease_cpu_ms_per_check": round(self._lease.cpu_s / count * 1000, 4),
            "lease_postgres_cpu_ms_per_check": round(self._lease.postgres_cpu_s / count * 1000, 4),
            "intake_cpu_ms_per_check": round(self._intake.cpu_s / count * 1000, 4),
            "intake_postgres_cpu_ms_per_check": round(
                self._intake.postgres_cpu_s / count * 1000, 4
            ),
            "read_cpu_ms_per_monitor": round(
                (self._read.cpu_s + self._read.postgres_cpu_s) / self._monitors * 1000, 4
            ),
            "floor_cpu_ms_per_check": round(floor_s / count * 1000, 4),
        }

    def _timed(self, spent_ms: list[float], ahead: timedelta) -> list[Leased]:
        began = time.perf_counter()
        leased = self._lease_once(ahead)
        spent_ms.append((time.perf_counter() - began) * 1000)
        return leased

    def _lease_once(self, ahead: timedelta) -> list[Leased]:
        _, leased = lease_due(
            owner=self._owner, location_id=self._location_id, limit=100_000, ahead=ahead
        )
        return leased

    def _touch(self, leased: Sequence[Leased]) -> None:
        with hot_cursor() as cursor:
            cursor.execute(
                "UPDATE monitors_assignment SET lease_owner = %s WHERE id = ANY(%s)",
                [self._owner, [one.assignment_id for one in leased]],
            )

    def _take_in(self, leased: Sequence[Leased]) -> None:
        """Each at its instant, which may lie a little ahead: the next slot is an interval later."""
        specs = self._specs.get((one.monitor_id, one.revision) for one in leased)
        batch = [
            Finished(
                Job(one.assignment_id, specs[one.monitor_id], one.due_at),
                SEEN,
                started_at=one.due_at,
                finished_at=one.due_at + timedelta(milliseconds=12),
            )
            for one in leased
        ]
        for begin in range(0, len(batch), 500):
            take_in(batch[begin : begin + 500], owner=self._owner)


def spread_on_grid(interval: timedelta) -> None:
    """Each on its own slot, so that as many a second fall due from the first one on."""
    now = database_now()
    ids = list(Assignment.objects.values_list("id", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE monitors_assignment AS a SET next_due_at = b.next_due_at"
            " FROM unnest(%s::int8[], %s::timestamptz[]) AS b(id, next_due_at) WHERE a.id = b.id",
            [ids, [next_slot(id_, interval, now) for id_ in ids]],
        )


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
