"""Stored results for tests, written as the intake writes them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from monitors.chores import run_chore
from monitors.models import Assignment
from monitors.partitions import ensure_partitions
from monitors.storing import copy_results
from probe.values import Finished, Job, Observation, Phases, Reason, Spec, Status
from uptime.schedules import CHORES

MINUTE = timedelta(minutes=1)


def finished_check(
    assignment: Assignment,
    at: datetime,
    status: str = "up",
    latency_ms: float | None = 12.5,
    *,
    late: timedelta = timedelta(milliseconds=1),
    **seen: Any,
) -> Finished:
    """A check that began at `at`, `late` after it was due."""
    spec = Spec(
        monitor_id=uuid4(),
        revision=1,
        kind="http",
        target="http://127.0.0.1:9/",
        interval=MINUTE,
        timeout=timedelta(seconds=10),
        failure_threshold=2,
        recovery_threshold=1,
        retry_interval=timedelta(seconds=5),
        settings=None,
    )
    if status == "down":
        seen.setdefault("reason", Reason.CONNECT_REFUSED)
        seen.setdefault("message", "Nobody listens there.")
    if latency_ms is not None:
        seen.setdefault("phases", Phases(connect_ms=latency_ms / 4, first_byte_ms=latency_ms / 2))
    observation = Observation(Status(status), latency_ms=latency_ms, **seen)
    job = Job(assignment.pk, spec, due_at=at - late)
    return Finished(job, observation, started_at=at, finished_at=at + timedelta(seconds=1))


def store_checks(*checks: Finished) -> None:
    ensure_partitions({check.started_at.date() for check in checks})
    copy_results(checks)


def keep_history(now: datetime, *, only: str | None = None) -> None:
    """Do the chores to their end as if it were `now`."""
    for name, step in CHORES.items():
        if only in (None, name):
            run_chore(name, lambda chore, _, step=step: step(chore, now), budget=10 * MINUTE)
