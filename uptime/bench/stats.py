"""Statistics: the figures of one monitor and of a whole team, on a year of synthetic history.

On a scratch database: each monitor has a year of day rollups, 90 days of hour rollups and a status
span for each incident and each recovery; one has 90 days of results as well, all but the last day
packed. The floor is one row read by its primary key.
"""

import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from random import Random
from statistics import median
from typing import Any

from django.db import connection

from incidents.models import Incident
from monitors import chores
from monitors.archiving import check_packed, pack_results
from monitors.figures import group_figures, monitor_figures
from monitors.histograms import bucket_of
from monitors.models import Assignment, Chore, Monitor, StatusSpan
from monitors.partitions import ensure_partitions
from monitors.storing import copy_results
from uptime.bench.engine import scratch_database, seed
from uptime.bench.synthetic import synthetic_checks
from uptime.clock import database_now

WINDOWS = (1, 7, 30, 90, 365)
RESULTS_KEPT = 90

KEYS = {
    "floor_ms": "one row read by its primary key, median",
    **{f"monitor_{days}d_ms": f"figures of one monitor over {days} days" for days in WINDOWS},
    "monitor_365d_p99_ms": "the same over a year, 99th percentile",
    **{f"team_{days}d_ms": f"figures of all monitors over {days} days" for days in WINDOWS},
}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--monitors", type=int, default=500, help="of the team (500)")
    parser.add_argument("--incidents", type=int, default=365, help="a year, of each monitor (365)")
    parser.add_argument("--rounds", type=int, default=100, help="of each measurement (100)")


def run(options: Mapping[str, Any]) -> dict[str, float]:
    with scratch_database():
        now = database_now()
        print("Making a year of history", flush=True)
        seed(options["monitors"], timedelta(seconds=60), "https://www.example.org/")
        _fill(now, options["incidents"])
        monitor = Monitor.objects.order_by("id")[0]
        team = Monitor.objects.filter(team=monitor.team)
        rounds = options["rounds"]
        figures = {"floor_ms": median(_time_ms(lambda: Monitor.objects.get(pk=monitor.pk), rounds))}
        for days in WINDOWS:
            since = now - timedelta(days=days)
            spent = _time_ms(partial(monitor_figures, monitor, since=since, until=now), rounds)
            figures[f"monitor_{days}d_ms"] = median(spent)
        figures["monitor_365d_p99_ms"] = sorted(spent)[round(0.99 * (rounds - 1))]
        for days in WINDOWS:
            since = now - timedelta(days=days)
            spent = _time_ms(partial(group_figures, team, since=since, until=now), 3)
            figures[f"team_{days}d_ms"] = median(spent)
    return {name: round(ms, 2) for name, ms in figures.items()}


def _time_ms(action: Callable[[], object], rounds: int) -> list[float]:
    action()  # the first one loads things
    spent = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        spent.append((time.perf_counter() - started) * 1000)
    return spent


def _fill(now: datetime, incidents: int) -> None:
    fill_rollups(now, days=timedelta(days=365), hours=timedelta(days=RESULTS_KEPT))
    _fill_spans(now, incidents)
    fill_results(now, days=RESULTS_KEPT)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def fill_rollups(now: datetime, *, days: timedelta, hours: timedelta) -> None:
    """Of all monitors, so far back: histograms of a dozen neighbouring buckets around 190 ms."""
    done = {chores.HOURS: chores.hour_of(now), chores.DAYS: chores.day_of(now)}
    Chore.objects.bulk_create(Chore(name=name, done_until=at) for name, at in done.items())
    first = bucket_of(120.0)
    for table, step, checks, since, until in (
        ("monitors_dayrollup", "1 day", 1440, days, done[chores.DAYS]),
        ("monitors_hourrollup", "1 hour", 60, hours, done[chores.HOURS]),
    ):
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                INSERT INTO {table} (assignment_id, started_at, latency_sum_ms, latency_min_ms,
                    latency_max_ms, up, degraded, down, unknown, buckets, counts)
                SELECT a.id, at, %(checks)s * 190, 121, 290, %(checks)s, 0, 0, 0,
                    ARRAY(SELECT generate_series(%(first)s, %(first)s + 11))::smallint[],
                    array_fill(%(checks)s / 12, ARRAY[12])
                FROM generate_series(%(since)s, %(until)s - interval '1 second', '{step}') AS at,
                    monitors_assignment AS a
                """,  # noqa: S608 - literals
                {
                    "checks": checks,
                    "first": first,
                    "since": chores.day_of(now) - since,
                    "until": until,
                },
            )


def _fill_spans(now: datetime, incidents: int) -> None:
    """Two minutes down, evenly spread over the year, the same for each monitor."""
    StatusSpan.objects.all().delete()
    year, outage = timedelta(days=365), timedelta(minutes=2)
    starts = [now - year + n * year / incidents for n in range(1, incidents)]
    spans, told = [], []
    for monitor in Monitor.objects.all():
        recovered_at = now - year
        for at in starts:
            times = {"started_at": recovered_at, "ended_at": at}
            spans.append(StatusSpan(monitor=monitor, status="up", **times))
            recovered_at = at + outage
            times = {"started_at": at, "ended_at": recovered_at}
            spans.append(StatusSpan(monitor=monitor, status="down", reason="timeout", **times))
            told.append(
                Incident(
                    team_id=monitor.team_id,
                    monitor=monitor,
                    severity="down",
                    status="resolved",
                    started_at=at,
                    confirmed_at=at,
                    resolved_at=recovered_at,
                )
            )
        spans.append(StatusSpan(monitor=monitor, status="up", started_at=recovered_at))
    StatusSpan.objects.bulk_create(spans, batch_size=5000)
    Incident.objects.bulk_create(told, batch_size=5000)


def fill_results(now: datetime, *, days: int) -> Assignment:
    """A result a minute of one assignment, which is returned; all but the last day is packed."""
    assignment = Assignment.objects.order_by("monitor_id")[0]
    since = chores.day_of(now) - timedelta(days=days)
    ensure_partitions((since + timedelta(days=n)).date() for n in range(days + 1))
    chance = Random(1)  # noqa: S311 - the same figures each time
    copy_results(list(synthetic_checks(assignment.pk, since=since, until=now, chance=chance)))
    chores.run_chore(chores.PACKING, pack_results, budget=timedelta(minutes=10))
    chores.run_chore(chores.CHECKING, check_packed, budget=timedelta(minutes=10))
    return assignment
