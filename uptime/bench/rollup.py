"""Rollups and packing: a day of synthetic results is rolled up, packed, checked and dropped.

On a scratch database. The floor of the rollups is one scan of the same rows that counts them by
assignment and hour; the floor of packing is to fetch the same rows once, as numbers.
"""

import time
from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any

from django.db import connection

from monitors import chores
from monitors.archiving import check_packed, pack_results, plain_checks
from monitors.models import Assignment, Chore
from monitors.partitions import ensure_partitions, existing_partitions
from monitors.rollups import roll_up_days, roll_up_hours
from monitors.storing import copy_results
from uptime.bench.engine import scratch_database, seed
from uptime.bench.measure import Meter
from uptime.bench.synthetic import synthetic_checks
from uptime.clock import database_now

KEYS = {
    "results": "how many there were",
    "rollup_cpu_ms_per_1000": "CPU of hour and day rollups, here, per 1,000 results",
    "rollup_postgres_cpu_ms_per_1000": "likewise of PostgreSQL",
    "rollup_floor_cpu_ms_per_1000": "CPU of a scan that counts the same rows, both sides",
    "pack_cpu_ms_per_1000": "CPU of packing, here, per 1,000 results",
    "pack_postgres_cpu_ms_per_1000": "likewise of PostgreSQL",
    "check_cpu_ms_per_1000": "CPU of checking by unpacking, here, per 1,000 results",
    "check_postgres_cpu_ms_per_1000": "likewise of PostgreSQL",
    "pack_floor_cpu_ms_per_1000": "CPU of fetching the same rows, both sides",
    "step_max_ms": "the longest step, which is one transaction",
    "plain_mb_per_million": "table and indexes of plain results",
    "packed_mb_per_million": "table, index and TOAST of the same results packed",
    "hour_rollup_bytes": "a row, with its place in the index",
    "day_rollup_bytes": "likewise",
}

# Long enough ago to be packed.
_DAY_AGO = timedelta(days=3)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--monitors", type=int, default=200, help="each with 1,440 results (200)")


class _Steps:
    """Runs a chore to its end and keeps the time of the longest step."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    def run(self, name: str, step: chores.Step) -> None:
        def timed(chore: Chore, now: datetime) -> bool:
            started = time.perf_counter()
            has_more = step(chore, now)
            self.longest_s = max(self.longest_s, time.perf_counter() - started)
            return has_more

        chores.run_chore(name, timed, budget=timedelta(hours=1))
        chore = Chore.objects.get(pk=name)
        if chore.failing_since:
            raise SystemExit(f"{name}: {chore.error}")


def run(options: Mapping[str, Any]) -> dict[str, float]:
    with scratch_database() as postgres_pid:
        day = chores.day_of(database_now()) - _DAY_AGO
        count = _fill(options["monitors"], day)
        meters = {
            name: Meter(postgres_pid)
            for name in ("rollup", "rollup_floor", "pack", "check", "pack_floor")
        }
        steps = _Steps()
        plain_bytes = _size(f"monitors_result_{day:%Y%m%d}")
        with meters["rollup_floor"].measuring():
            _count_rows()
        with meters["rollup"].measuring():
            steps.run(chores.HOURS, roll_up_hours)
            steps.run(chores.DAYS, roll_up_days)
        with meters["pack_floor"].measuring():
            for id_ in Assignment.objects.values_list("id", flat=True):
                plain_checks(id_, day)
        with meters["pack"].measuring():
            steps.run(chores.PACKING, pack_results)
        with meters["check"].measuring():
            steps.run(chores.CHECKING, check_packed)
        if day.date() in existing_partitions():
            raise SystemExit("The day was not dropped.")
        figures: dict[str, float] = {"results": count}
        for name, meter in meters.items():
            here, there = meter.cpu_s / count * 1e6, meter.postgres_cpu_s / count * 1e6
            if name.endswith("_floor"):
                figures[f"{name}_cpu_ms_per_1000"] = round(here + there, 3)
            else:
                figures[f"{name}_cpu_ms_per_1000"] = round(here, 3)
                figures[f"{name}_postgres_cpu_ms_per_1000"] = round(there, 3)
        return figures | {
            "step_max_ms": round(steps.longest_s * 1000, 1),
            "plain_mb_per_million": round(plain_bytes / count, 1),
            "packed_mb_per_million": round(_size("monitors_packedresults") / count, 1),
            "hour_rollup_bytes": _row_bytes("monitors_hourrollup"),
            "day_rollup_bytes": _row_bytes("monitors_dayrollup"),
        }


def _fill(monitors: int, day: datetime) -> int:
    """A day of results of so many monitors, in the order of time as the intake writes them."""
    seed(monitors, timedelta(seconds=60), "https://www.example.org/")
    ensure_partitions([day.date()])
    print(f"Storing {monitors * 1440} results", flush=True)
    chance = Random(1)  # noqa: S311 - the same figures each time
    histories = [
        synthetic_checks(id_, since=day, until=day + chores.DAY, chance=chance)
        for id_ in Assignment.objects.values_list("id", flat=True)
    ]
    count = 0
    for minute in zip(*histories, strict=True):
        copy_results(minute)
        count += len(minute)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE monitors_result")
    return count


def _count_rows() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT assignment_id, date_trunc('hour', checked_at, 'UTC'), count(*)"
            " FROM monitors_result GROUP BY 1, 2"
        )


def _size(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s)", [table])
        (size,) = cursor.fetchone()
    assert isinstance(size, int)
    return size


def _row_bytes(table: str) -> float:
    """What a row takes once there are many: a small table's last pages are mostly empty."""
    line_pointer, index_entry = 4, 28
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT avg(pg_column_size(one.*))::float8 FROM {table} AS one")  # noqa: S608
        (size,) = cursor.fetchone()
    return round(float(size) + line_pointer + index_entry, 1)
