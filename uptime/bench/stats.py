"""Statistics: the figures of one monitor and of a whole team, on a year of synthetic history.

On a scratch database: each monitor has a year of day and week rollups, 90 days of hour rollups and
a status span for each incident and each recovery; one has 90 days of results as well, all but the
last day packed. The floor is one row read by its primary key.

A sample of the figures is counted once more by brute force; each discrepancy is printed, and the
exit status is 1.
"""

import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import cycle
from random import Random
from statistics import median
from typing import Any

from django.db import connection

from accounts.models import Team
from incidents.models import Incident
from monitors import chores
from monitors.archiving import check_packed, pack_results
from monitors.figures import Figures, group_figures, monitor_figures
from monitors.histograms import bucket_of, packed
from monitors.models import Assignment, Chore, Monitor, StatusSpan
from monitors.partitions import ensure_partitions
from monitors.rollups import roll_up_weeks, store_days, store_hours, store_weeks
from monitors.storing import copy_results
from uptime.bench.engine import scratch_database, seed
from uptime.bench.multitude import multiply
from uptime.bench.plans import watch_plans
from uptime.bench.recount import recount, recount_results
from uptime.bench.synthetic import synthetic_checks
from uptime.clock import database_now

WINDOWS = (1, 7, 30, 90, 365)
TAGGED = 100
RESULTS_KEPT = 90
_LARGE = {
    "incidents_incident",
    "monitors_dayrollup",
    "monitors_hourrollup",
    "monitors_statusspan",
}

KEYS = {
    "floor_ms": "one row read by its primary key, median",
    **{f"monitor_{days}d_ms": f"figures of one monitor over {days} days" for days in WINDOWS},
    "monitor_365d_p99_ms": "the same over a year, 99th percentile",
    "monitor_365d_cpu_ms": "CPU of it, here",
    **{f"others_{days}d_ms": f"each time of another monitor, over {days} days" for days in WINDOWS},
    **{f"tag_{days}d_ms": f"of {TAGGED} with a tag, over {days} days" for days in WINDOWS},
    **{f"team_{days}d_ms": f"figures of all monitors over {days} days" for days in WINDOWS},
    "load_s": "to make that history",
    "database_gb": "what it takes",
    "whole_scans": "statements for one monitor's figures that read a large table whole",
    "recounted": "figures that were counted once more",
    "discrepancies": "of those, how many were wrong",
}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--monitors", type=int, default=500, help="of the team (500)")
    parser.add_argument("--incidents", type=int, default=365, help="a year, of each monitor (365)")
    parser.add_argument("--rounds", type=int, default=100, help="of each measurement (100)")
    parser.add_argument("--recounted", type=int, default=20, help="monitors, by brute force (20)")


def run(options: Mapping[str, Any]) -> dict[str, float]:
    with scratch_database():
        now, began = database_now(), time.monotonic()
        print("Making a year of history", flush=True)
        seed(options["monitors"], timedelta(seconds=60), "https://www.example.org/")
        assignment = _fill(now, options["incidents"])
        figures: dict[str, float] = {"load_s": time.monotonic() - began}
        print("Counting", flush=True)
        figures |= _of_one(assignment.monitor, now, options["rounds"])
        figures |= _of_others(now, options["rounds"])
        figures |= _of_groups(assignment.monitor.team, now)
        figures |= _recounted(assignment, now, options["recounted"])
        figures["database_gb"] = _database_bytes() / 1e9
    return {name: round(value, 2) for name, value in figures.items()}


def _of_one(monitor: Monitor, now: datetime, rounds: int) -> dict[str, float]:
    figures = {"floor_ms": median(_time_ms(lambda: Monitor.objects.get(pk=monitor.pk), rounds))}
    for days in WINDOWS:
        cpu_s = time.process_time()
        spent = _time_ms(partial(_figures_of, monitor, now, days), rounds)
        cpu_s = time.process_time() - cpu_s
        figures[f"monitor_{days}d_ms"] = median(spent)
    figures["monitor_365d_p99_ms"] = sorted(spent)[round(0.99 * (rounds - 1))]
    figures["monitor_365d_cpu_ms"] = cpu_s / (rounds + 1) * 1000
    with watch_plans() as plans:
        _figures_of(monitor, now, 365)
    for plan in plans:
        print(plan, flush=True)
    figures["whole_scans"] = sum(bool(_LARGE & set(plan.scanned_whole())) for plan in plans)
    return figures


def _of_others(now: datetime, rounds: int) -> dict[str, float]:
    """Each time of another one, as people look at them: little of it is in a cache."""
    others = iter(
        cycle(Monitor.objects.order_by("ping_key", "name", "id")[: rounds * len(WINDOWS)])
    )

    def look_at_another(days: int) -> None:
        _figures_of(next(others), now, days)

    return {
        f"others_{days}d_ms": median(_time_ms(partial(look_at_another, days), rounds))
        for days in WINDOWS
    }


def _of_groups(team: Team, now: datetime) -> dict[str, float]:
    monitors = Monitor.objects.filter(team=team)
    step = max(1, monitors.count() // TAGGED)
    chosen = list(monitors.order_by("id").values_list("pk", flat=True)[::step][:TAGGED])
    monitors.filter(pk__in=chosen).update(tags=["shop"])
    figures = {}
    for name, group, rounds in (("tag", monitors.tagged("shop"), 3), ("team", monitors, 1)):
        for days in WINDOWS:
            since = now - timedelta(days=days)
            spent = _time_ms(partial(group_figures, group, since=since, until=now), rounds)
            figures[f"{name}_{days}d_ms"] = median(spent)
    return figures


def _recounted(assignment: Assignment, now: datetime, count: int) -> dict[str, float]:
    """A sample over all windows, and the one with results over those that it has them for."""
    windows = [timedelta(days=days) for days in WINDOWS]
    kept = timedelta(days=RESULTS_KEPT)
    of_results = [window for window in windows if window <= kept]
    others = list(Monitor.objects.exclude(pk=assignment.monitor_id).order_by("?")[:count])
    wrong = recount(others, windows, now=now, with_hours=kept)
    wrong += recount_results(assignment, of_results, now=now)
    for line in wrong:
        print(line, flush=True)
    recounted = len(others) * len(windows) + len(of_results)
    return {"recounted": recounted, "discrepancies": len(wrong)}


def _figures_of(monitor: Monitor, now: datetime, days: int) -> Figures:
    return monitor_figures(monitor, since=now - timedelta(days=days), until=now)


def _database_bytes() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        (size,) = cursor.fetchone()
    assert isinstance(size, int)
    return size


def _time_ms(action: Callable[[], object], rounds: int) -> list[float]:
    action()  # the first one loads things
    spent = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        spent.append((time.perf_counter() - started) * 1000)
    return spent


def _fill(now: datetime, incidents: int) -> Assignment:
    fill_rollups(now, days=timedelta(days=365), hours=timedelta(days=RESULTS_KEPT))
    _fill_spans(now, incidents)
    assignment = fill_results(now, days=RESULTS_KEPT)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return assignment


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
                    latency_max_ms, up, degraded, down, unknown, histogram)
                SELECT a.id, at, %(checks)s * 190, 121, 290, %(checks)s, 0, 0, 0,
                    %(histogram)s
                FROM generate_series(%(since)s, %(until)s - interval '1 second', '{step}') AS at,
                    monitors_assignment AS a
                """,  # noqa: S608 - literals
                {
                    "checks": checks,
                    "histogram": packed(dict.fromkeys(range(first, first + 12), checks // 12)),
                    "since": chores.day_of(now) - since,
                    "until": until,
                },
            )
    chores.run_chore(chores.WEEKS, roll_up_weeks, budget=timedelta(minutes=10))


def _fill_spans(now: datetime, incidents: int) -> None:
    """So many outages of two minutes, spread over the year, of each monitor at times of its own.

    In the order of time, as they would have been stored: the spans of one monitor lie far apart.
    """
    StatusSpan.objects.all().delete()
    monitor = Monitor.objects.order_by("id")[0]
    outages = """(
        SELECT id AS monitor_id, n, %(since)s
            + (n + 0.1 + (hashtext(id::text) & 1023) / 1280.0) * %(step)s::interval AS began
        FROM monitors_monitor, generate_series(0, %(incidents)s - 1) AS n
    )"""
    year = timedelta(days=365)
    values: dict[str, Any] = {
        "since": now - year,
        "step": year / incidents,
        "incidents": incidents,
        "outage": timedelta(minutes=2),
    }
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH outage AS MATERIALIZED {outages}
            INSERT INTO monitors_statusspan (monitor_id, status, reason, started_at, ended_at)
            SELECT * FROM (
                SELECT monitor_id, 'up', '', coalesce(
                    lag(began) OVER (PARTITION BY monitor_id ORDER BY n) + %(outage)s, %(since)s
                ) AS started_at, began FROM outage
                UNION ALL
                SELECT monitor_id, 'down', 'timeout', began, began + %(outage)s FROM outage
                UNION ALL
                SELECT monitor_id, 'up', '', max(began) + %(outage)s, NULL FROM outage GROUP BY 1
            ) AS span ORDER BY started_at
            """,  # noqa: S608 - literals
            values,
        )
        template = Incident.objects.create(
            team=monitor.team,
            monitor=monitor,
            severity="down",
            status="resolved",
            started_at=now,
            confirmed_at=now,
            resolved_at=now,
        )
        others = cursor.mogrify(f"{outages} AS other", values)
        multiply(
            template,
            others,
            id="gen_random_uuid()",
            monitor_id="other.monitor_id",
            started_at="other.began",
            confirmed_at="other.began",
            resolved_at="other.began + interval '2 minutes'",
        )
        template.delete()


def fill_results(now: datetime, *, days: int) -> Assignment:
    """A result a minute of one assignment, which is returned; all but the last day is packed.

    Its rollups are those of these results.
    """
    assignment = Assignment.objects.order_by("monitor_id")[0]
    since = chores.day_of(now) - timedelta(days=days)
    ensure_partitions((since + timedelta(days=n)).date() for n in range(days + 1))
    chance = Random(1)  # noqa: S311 - the same figures each time
    copy_results(list(synthetic_checks(assignment.pk, since=since, until=now, chance=chance)))
    store_hours([assignment.pk], since=since, until=chores.hour_of(now))
    store_days([assignment.pk], since=since, until=chores.day_of(now))
    store_weeks([assignment.pk], since=chores.week_of(since), until=chores.week_of(now))
    chores.run_chore(chores.PACKING, pack_results, budget=timedelta(minutes=10))
    chores.run_chore(chores.CHECKING, check_packed, budget=timedelta(minutes=10))
    return assignment
