"""The hot table over many rounds of checks: whether it, or its index, grows with time.

On a scratch database, in pressed time: what is due is leased by the product's own statement, batch
by batch, and put a whole interval ahead by one that changes what a passing check changes, for so
many rounds of all. Autovacuum looks as much more often as time is pressed against `--rate`. Each
round is printed; the last one's figures are the last line.
"""

import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from datetime import timedelta
from statistics import median
from typing import Any
from uuid import uuid4

from django.db import connection, transaction

from monitors.leasing import lease_due
from monitors.models import Location
from uptime.bench.engine import scratch_database
from uptime.bench.lease import spread_on_grid
from uptime.bench.measure import tree_cpu_s
from uptime.bench.multitude import make_multitude
from uptime.database import hot_cursor

KEYS = {
    "round": "of all assignments",
    "hot_percent": "updates that touched no index; at best 50, as one of two must",
    "dead_percent": "dead rows for each that lives, at the end",
    "vacuums": "of the table, by then",
    "table_mb": "its size",
    "index_mb": "the size of the index that the lease reads",
    "lease_p50_ms": "one lease, median",
    "lease_p99_ms": "99th percentile",
    "postgres_cpu_ms_per_check": "CPU of PostgreSQL, vacuum and all",
}

_NAP_S = 60  # PostgreSQL's own autovacuum_naptime
_PRESSED_AT_FIRST = 10


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--assignments", type=int, default=1_000_000, help="how many (1000000)")
    parser.add_argument("--rounds", type=int, default=5, help="of checks of all of them (5)")
    parser.add_argument("--batch", type=int, default=500, help="leased at once (500)")
    parser.add_argument("--rate", type=int, default=1000, help="checks a second meant (1000)")
    parser.add_argument("--fillfactor", type=int, help="of the table; else the product's")
    parser.add_argument("--vacuum-share", type=float, help="of dead rows; else the product's")


def run(options: Mapping[str, Any]) -> dict[str, float]:
    count = options["assignments"]
    interval = timedelta(seconds=max(1, round(count / options["rate"])))
    with scratch_database() as postgres_pid:
        _configure(options)
        print(f"Making {count} assignments", flush=True)
        make_multitude(count, interval=interval)
        spread_on_grid(interval)
        _execute("VACUUM (FULL, FREEZE, ANALYZE) monitors_assignment")
        _execute("CHECKPOINT")
        pressed, figures = float(_PRESSED_AT_FIRST), _sizes()
        print(figures, flush=True)
        for number in range(1, options["rounds"] + 1):
            _nap(_NAP_S / pressed)
            began, cpu_s, before = time.monotonic(), tree_cpu_s(postgres_pid), _updates()
            leases_ms = sorted(_round(count, options["batch"], interval))
            pressed = interval.total_seconds() / (time.monotonic() - began)
            updates, hot = (now - then for now, then in zip(_updates(), before, strict=True))
            figures = {
                "round": number,
                "hot_percent": round(hot / updates * 100, 1),
                **_sizes(),
                "lease_p50_ms": round(median(leases_ms), 2),
                "lease_p99_ms": round(leases_ms[len(leases_ms) * 99 // 100], 2),
                "postgres_cpu_ms_per_check": round(
                    (tree_cpu_s(postgres_pid) - cpu_s) / count * 1000, 4
                ),
            }
            print(figures, flush=True)
    return figures


def _configure(options: Mapping[str, Any]) -> None:
    """Settings of the table under trial."""
    for name, value in (
        ("fillfactor", options["fillfactor"]),
        ("autovacuum_vacuum_scale_factor", options["vacuum_share"]),
    ):
        if value is not None:
            _execute(f"ALTER TABLE monitors_assignment SET ({name} = {value})")


def _nap(seconds: float) -> None:
    _execute(f"ALTER SYSTEM SET autovacuum_naptime = '{max(1, round(seconds))}s'")
    _execute("SELECT pg_reload_conf()")


def _round(count: int, batch: int, interval: timedelta) -> Iterator[float]:
    """Check each once; how long each lease took."""
    owner, location = uuid4(), Location.objects.get(slug=Location.LOCAL).pk
    left = count
    while left > 0:
        began = time.perf_counter()
        _, leased = lease_due(
            owner=owner, location_id=location, limit=min(batch, left), ahead=timedelta(days=100)
        )
        yield (time.perf_counter() - began) * 1000
        assert leased
        left -= len(leased)
        ids = [one.assignment_id for one in leased]
        with transaction.atomic(), hot_cursor() as cursor:
            cursor.execute(
                "SELECT id FROM monitors_assignment WHERE id = ANY(%s) AND lease_owner = %s"
                " ORDER BY id FOR UPDATE",
                [ids, owner],
            )
            cursor.execute(
                "UPDATE monitors_assignment SET next_due_at = next_due_at + %s,"
                " lease_owner = NULL, lease_expires_at = NULL, passes = passes + 1,"
                " last_checked_at = clock_timestamp(), last_latency_ms = random()"
                " WHERE id = ANY(%s)",
                [interval, ids],
            )


def _sizes() -> dict[str, float]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT n_dead_tup::float8 / greatest(n_live_tup, 1) * 100, autovacuum_count,
                pg_relation_size('monitors_assignment') / 1e6::float8,
                pg_relation_size('assignment_due') / 1e6::float8
            FROM pg_stat_user_tables WHERE relname = 'monitors_assignment'
            """
        )
        dead, vacuums, table, index = cursor.fetchone()
    return {
        "dead_percent": round(dead, 1),
        "vacuums": vacuums,
        "table_mb": round(table, 1),
        "index_mb": round(index, 1),
    }


def _updates() -> tuple[int, int]:
    """Of assignments so far: all, and those that touched no index."""
    time.sleep(1.1)  # statistics are told once a second
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
            " WHERE relname = 'monitors_assignment'"
        )
        updates, hot = cursor.fetchone()
    return updates, hot


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
