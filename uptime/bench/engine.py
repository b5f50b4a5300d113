"""The whole pipeline at work: lease, probe, intake, on a scratch database.

Starts a PostgreSQL, a target and a real `manage.py worker checks` of its own, spreads the monitors'
due instants evenly, and measures for the given time once every monitor had its first check. It all
happens within one shift: one that relieves it in another process would learn the monitors anew.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection

from accounts.models import Team
from monitors.cadence import next_slot
from monitors.models import Assignment, Location, Monitor
from uptime.bench.floor import floor_cpu_ms, paced_floor_cpu_ms
from uptime.bench.measure import EngineThreads, tree_cpu_s, tree_memory_mb
from uptime.bench.target import loopback_target
from uptime.clock import database_now
from uptime.embedded import DATABASE, ROLE, Embedded
from uptime.environment import BASE_DIR

KEYS = {
    "checks_per_s_asked": "monitors divided by interval",
    "checks_per_s": "checks stored and decided per second",
    "lateness_p50_ms": "median of start minus due instant",
    "lateness_p99_ms": "99th percentile of the same",
    "lateness_max_ms": "the largest of the same",
    "missed": "due instants within the measured time that have no result",
    "failed": "checks that were not up",
    "cpu_ms_per_check": "CPU of the worker with all its processes, per check",
    "lease_cpu_ms_per_check": "the part of it in the threads that lease",
    "probe_cpu_ms_per_check": "the part in the event loops: timers, network, judging",
    "intake_cpu_ms_per_check": "the part in the threads that store and decide",
    "postgres_cpu_ms_per_check": "CPU of PostgreSQL with all its processes, per check",
    "floor_cpu_ms_per_check": "CPU of bare connections, requests and reads, one upon the other",
    "paced_floor_cpu_ms_per_check": "the same, spread over time as the checks are",
    "rss_mb": "memory of the worker with all its processes, shared pages counted once",
}

# How long the worker may take to begin, beyond the monitors' interval.
_FIRST_CHECKS_S = 30


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--monitors", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--interval", type=int, default=20, help="of each, in seconds (20)")
    parser.add_argument("--seconds", type=int, default=60, help="to measure for (60)")
    parser.add_argument("--target", help="a URL to check instead of a loopback target")


def run(options: Mapping[str, Any]) -> dict[str, float]:
    monitors, interval = options["monitors"], timedelta(seconds=options["interval"])
    with ExitStack() as stack:
        postgres_pid = stack.enter_context(scratch_database())
        target = options["target"] or stack.enter_context(loopback_target())
        print(f"Making {monitors} monitors of {target}", flush=True)
        seed(monitors, interval, target)
        shift_s = options["interval"] + options["seconds"] + _FIRST_CHECKS_S + 30
        checks = stack.enter_context(worker("checks", UPTIME_SHIFT_SECONDS=str(shift_s)))
        _wait_for_first_checks(interval, monitors)
        print(f"Measuring for {options['seconds']} s", flush=True)
        window = _measure(checks.pid, postgres_pid, options["seconds"])
        memory_mb = tree_memory_mb(checks.pid)
        figures = _figures(window, interval)
        per_s = monitors / interval.total_seconds()
        floor_ms = floor_cpu_ms(target, 2000)
        paced_floor_ms = paced_floor_cpu_ms(target, per_s=per_s, seconds=5)
    return {
        "checks_per_s_asked": round(per_s, 1),
        **figures,
        "floor_cpu_ms_per_check": round(floor_ms, 4),
        "paced_floor_cpu_ms_per_check": round(paced_floor_ms, 4),
        "rss_mb": round(memory_mb, 1),
    }


@contextmanager
def scratch_database() -> Iterator[int]:
    """An empty, migrated database of this run's own; yields the server's process id.

    Settings are the product's: commits wait for the disk.
    """
    home = Path(tempfile.mkdtemp(prefix="uptime-bench-"))
    server = Embedded(data=home / "postgres", socket=home / "run")
    server.prepare()
    process = server.start()
    try:
        server.wait_until_ready(process)
        connection.close()
        connection.settings_dict.update(NAME=DATABASE, USER=ROLE, HOST=str(server.socket))
        os.environ["DATABASE_URL"] = f"postgres://{ROLE}@/{DATABASE}?host={server.socket}"
        call_command("migrate", verbosity=0)
        yield process.pid
    finally:
        connection.close()
        process.send_signal(signal.SIGINT)
        process.wait()
        shutil.rmtree(home, ignore_errors=True)


def seed(count: int, interval: timedelta, target: str) -> None:
    """Monitors that are up for the first time on the grid's next instants, evenly spread."""
    team = Team.objects.create(name="Bench")
    location = Location.objects.get(slug=Location.LOCAL)
    monitors = Monitor.objects.bulk_create(
        [
            Monitor(
                team=team,
                name=f"Monitor {number}",
                kind="http",
                target=target,
                interval_s=interval.total_seconds(),
                retry_interval_s=min(5, interval.total_seconds()),
            )
            for number in range(count)
        ],
        batch_size=1000,
    )
    made = Assignment.objects.bulk_create(
        [Assignment(monitor=monitor, location=location) for monitor in monitors], batch_size=1000
    )
    soon = database_now() + timedelta(seconds=4)
    for assignment in made:
        assignment.next_due_at = next_slot(assignment.id, interval, soon)
    Assignment.objects.bulk_update(made, ["next_due_at"], batch_size=1000)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE monitors_assignment, monitors_monitor")


@contextmanager
def worker(queue: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A real worker of that queue, on the scratch database."""
    process = subprocess.Popen(  # noqa: S603 - this interpreter, on this program
        [sys.executable, "manage.py", "worker", queue],
        cwd=BASE_DIR,
        env={**os.environ, "UPTIME_LOG_LEVEL": "WARNING", **environment},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait_for_first_checks(interval: timedelta, count: int) -> None:
    deadline = time.monotonic() + interval.total_seconds() + _FIRST_CHECKS_S
    while Assignment.objects.filter(last_checked_at=None).exists():
        if time.monotonic() > deadline:
            left = Assignment.objects.filter(last_checked_at=None).count()
            raise SystemExit(f"{left} of {count} monitors were not checked within their interval")
        time.sleep(0.5)


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured between two instants of the database's clock."""

    since: datetime
    until: datetime
    worker_cpu_s: float
    postgres_cpu_s: float
    threads: EngineThreads


def _measure(worker_pid: int, postgres_pid: int, seconds: int) -> Window:
    since = database_now()
    worker_cpu, postgres_cpu = tree_cpu_s(worker_pid), tree_cpu_s(postgres_pid)
    threads = EngineThreads(worker_pid)
    threads.look(is_first=True)
    connection.close()
    for _ in range(seconds):
        time.sleep(1)
        threads.look()
    worker_cpu = tree_cpu_s(worker_pid) - worker_cpu
    postgres_cpu = tree_cpu_s(postgres_pid) - postgres_cpu
    until = database_now()
    time.sleep(2)  # what fell due by `until` is stored by now, or it counts as missed
    return Window(since, until, worker_cpu, postgres_cpu, threads)


def _figures(window: Window, interval: timedelta) -> dict[str, float]:
    seconds = (window.until - window.since).total_seconds()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*), count(*) FILTER (WHERE status <> 'up'),
                percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (
                    ORDER BY extract(epoch FROM checked_at - due_at) * 1000)
            FROM monitors_result WHERE due_at > %s AND due_at <= %s AND attempt = 0
            """,
            [window.since, window.until],
        )
        done, failed, (p50, p99, most) = cursor.fetchone()
    expected = sum(
        (next_slot(id_, interval, window.until) - next_slot(id_, interval, window.since))
        // interval
        for id_ in Assignment.objects.values_list("id", flat=True)
    )
    return {
        "checks_per_s": round(done / seconds, 1),
        "lateness_p50_ms": round(p50, 2),
        "lateness_p99_ms": round(p99, 2),
        "lateness_max_ms": round(most, 2),
        "missed": expected - done,
        "failed": failed,
        "cpu_ms_per_check": round(window.worker_cpu_s / done * 1000, 4),
        "lease_cpu_ms_per_check": round(window.threads.spent_s("lease") / done * 1000, 4),
        "probe_cpu_ms_per_check": round(window.threads.spent_s("probe") / done * 1000, 4),
        "intake_cpu_ms_per_check": round(window.threads.spent_s("store") / done * 1000, 4),
        "postgres_cpu_ms_per_check": round(window.postgres_cpu_s / done * 1000, 4),
    }
