"""Shifts of the check engine under a load that rises beyond what one can do, and falls again.

On a scratch database, with a real `manage.py worker checks`: first one check a second, then so many
that one shift is strained, then one a second again. Each second is printed: the shifts that work,
and what they report: how busy over the last seconds and the last minute, how late. With
`--answer-after` the targets take their time, and it is the checks under way that are too many;
without, it is the CPU.
"""

import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from monitors.cadence import next_slot
from monitors.models import Assignment, Shift
from uptime.bench.engine import scratch_database, seed, worker
from uptime.bench.target import loopback_target, slow_target
from uptime.clock import database_now

KEYS = {
    "asked_per_s": "checks a second that fell due under the load",
    "shifts_at_first": "how many worked before",
    "shifts_at_most": "how many worked at once",
    "second_after_s": "from the beginning of the load until the second shift worked",
    "one_p99_ms": "lateness of checks while one shift bore the load, 99th percentile",
    "end_p99_ms": "the same of the load's last ten seconds, as far as answers could come within it",
    "end_checks_per_s": "checks that began in those seconds",
    "one_again_after_s": "from the end of the load until one shift worked alone",
}

_TIMEOUT_MS = 60_000
_END = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Moment:
    """The end of one second: the database's time, seconds since the beginning, working shifts."""

    at: datetime
    after_s: float
    shifts: int


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--rate", type=int, default=2500, help="checks a second of the load (2500)")
    parser.add_argument("--answer-after", type=float, default=0, help="of the targets, in s (0)")
    parser.add_argument("--calm", type=int, default=20, help="seconds before the load (20)")
    parser.add_argument("--load", type=int, default=60, help="seconds of it (60)")
    parser.add_argument("--after", type=int, default=240, help="seconds after it, at most (240)")


def run(options: Mapping[str, Any]) -> dict[str, float]:
    interval = timedelta(seconds=max(10, round(options["answer_after"] * 1.5)))
    monitors = options["rate"] * round(interval.total_seconds())
    with ExitStack() as stack:
        stack.enter_context(scratch_database())
        slowness = options["answer_after"]
        target = stack.enter_context(slow_target(slowness) if slowness else loopback_target())
        print(f"Making {monitors} monitors of {target}", flush=True)
        seed(monitors, interval, target)
        _spread_over_hosts(target)
        _check_each(timedelta(seconds=monitors))
        stack.enter_context(worker("checks"))
        _wait_for_a_shift()
        calm = list(_watch(options["calm"], "calm"))
        _check_each(interval)
        load = list(_watch(options["load"], "load"))
        _check_each(timedelta(seconds=monitors))
        after = list(_watch(options["after"], "after", until_shifts=1))
        second = next((one for one in load if one.shifts > 1), None)
        _, one_p99_ms = _begun(calm[-1].at, (second or load[-1]).at)
        # What is under way when the load ends is not stored.
        end = load[-1].at - timedelta(seconds=slowness + 1)
        count, end_p99_ms = _begun(end - _END, end)
    return {
        "asked_per_s": options["rate"],
        "shifts_at_first": calm[-1].shifts,
        "shifts_at_most": max(one.shifts for one in load),
        "second_after_s": _seconds_to(second),
        "one_p99_ms": round(one_p99_ms, 1),
        "end_p99_ms": round(end_p99_ms, 1),
        "end_checks_per_s": round(count / _END.total_seconds(), 1),
        "one_again_after_s": _seconds_to(next((one for one in after if one.shifts == 1), None)),
    }


def _begun(since: datetime, until: datetime) -> tuple[int, float]:
    """How many checks began within that time, and the 99th percentile of how late, in ms."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), coalesce(percentile_cont(0.99) WITHIN GROUP"
            " (ORDER BY extract(epoch FROM checked_at - due_at)::float8 * 1000), 0)"
            " FROM monitors_result WHERE checked_at > %s AND checked_at <= %s",
            [since, until],
        )
        count, p99_ms = cursor.fetchone()
    return count, p99_ms


def _spread_over_hosts(target: str) -> None:
    """A host for every 25 monitors: no limit of a host's is to hold them up."""
    address = "127.0.' || n / 25 / 250 || '.' || n / 25 % 250 + 1 || '"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE monitors_monitor AS m SET timeout_ms = {_TIMEOUT_MS},"  # noqa: S608 - literals
            f" target = '{target.replace('127.0.0.1', address)}'"
            " FROM (SELECT id, row_number() OVER () AS n FROM monitors_monitor) AS one"
            " WHERE one.id = m.id"
        )


def _seconds_to(moment: Moment | None) -> float:
    """-1: never."""
    return round(moment.after_s, 1) if moment else -1


def _check_each(interval: timedelta) -> None:
    """Have each monitor checked once an interval from now on, evenly spread."""
    seconds, now = round(interval.total_seconds()), database_now()
    ids = list(Assignment.objects.values_list("id", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE monitors_monitor SET interval_s = %s, revision = revision + 1", [seconds]
        )
        cursor.execute(
            "UPDATE monitors_assignment AS a SET revision = a.revision + 1, attempt = 0,"
            " lease_owner = NULL, lease_expires_at = NULL, next_due_at = b.next_due_at"
            " FROM unnest(%s::int8[], %s::timestamptz[]) AS b(id, next_due_at) WHERE a.id = b.id",
            [ids, [next_slot(id_, interval, now) for id_ in ids]],
        )


def _wait_for_a_shift() -> None:
    while not Shift.objects.filter(duty="checks").exists():
        time.sleep(0.2)


def _watch(seconds: float, phase: str, *, until_shifts: int = 0) -> Iterator[Moment]:
    """Each second, for so many or until so many shifts work."""
    began = time.monotonic()
    while (after_s := time.monotonic() - began) < seconds:
        time.sleep(1)
        shifts = list(Shift.objects.filter(duty="checks").order_by("started_at"))
        working = [one for one in shifts if not one.is_draining]
        loads = ", ".join(
            f"{one.busy:.2f} {one.busy_lately:.2f} {one.lateness.total_seconds():.3f} s"
            for one in working
        )
        print(
            f"{phase} {after_s:5.1f} s: {len(working)} of {len(shifts)} shifts work: {loads}",
            flush=True,
        )
        yield Moment(database_now(), after_s, len(working))
        if len(working) == until_shifts:
            return
