"""The one way in for observations: store, decide, apply, queue, in one transaction.

Whoever has observations - the local engine, an agent's post, a ping - calls this and nothing else.
It commits or it never was.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import structlog
from django.db import transaction
from psycopg import errors as postgres

from incidents.evidence import keep_evidence
from incidents.transitions import Transition, settle
from monitors.details import keep_details
from monitors.models import Assignment, Monitor, Ping, PingKind
from monitors.partitions import ensure_partitions
from monitors.specs import spec_of
from monitors.storing import Stored, lock_assignment, pull_forward, store_batch, store_ping
from probe.values import Finished, Job, Observation, Reason, Status
from uptime.changes import Topic, tell_changed
from uptime.clock import database_now
from uptime.database import again_on_conflict, may_pass
from uptime.metrics import record_batch
from uptime.operations import tell

log = structlog.get_logger(__name__)

# So many monitors change together at most. Each takes milliseconds, and nobody hears of any of them
# before all are in: a storm that is heard of in long pieces is not told as one.
CHANGES_AT_ONCE = 100
# A ping's start is paired with an end that comes within this time, as its rival does.
LONGEST_RUN = timedelta(hours=72)
LARGEST_PING_BODY = 100_000

_T = TypeVar("_T")


class _Storm(Exception):
    """Too many monitors would change in one transaction."""


def take_in(batch: Sequence[Finished], *, owner: UUID) -> int:
    """Take in what `owner` observed under its leases; returns how many checks counted.

    A batch that comes again changes nothing: its leases are gone. Raises what `may_pass` when the
    database is away; deadlocks and missing partitions are mended here. A check that can't be taken
    in is parked as a check error and keeps none of the others. A storm is taken in part by part.
    """
    started = time.perf_counter()
    try:
        stored = _persistently(lambda: _take_in(batch, owner), days=_days_of(batch))
    except _Storm:
        size = CHANGES_AT_ONCE
        parts = [batch[at : at + size] for at in range(0, len(batch), size)]
        return sum(take_in(part, owner=owner) for part in parts)
    except Exception as error:  # the loop's edge: one poisoned check must not hold up all others
        if may_pass(error):
            raise
        log.exception("intake.batch.refused", count=len(batch))
        return _take_in_apart(batch, owner)
    log.debug(
        "intake.batch.written",
        count=len(stored),
        dropped=len(batch) - len(stored),
        ms=round((time.perf_counter() - started) * 1000, 1),
    )
    return len(stored)


def _take_in_apart(batch: Sequence[Finished], owner: UUID) -> int:
    """Halve a batch that was refused until the check at fault stands alone, and park that one."""
    if len(batch) > 1:
        middle = len(batch) // 2
        return take_in(batch[:middle], owner=owner) + take_in(batch[middle:], owner=owner)
    (only,) = batch
    if only.observation.reason == Reason.CHECK_ERROR:
        return 0  # nothing of the target is left in it: its lease lapses, and it is checked again
    fault = Observation(Status.UNKNOWN, Reason.CHECK_ERROR, "What was seen could not be stored.")
    return take_in([replace(only, observation=fault)], owner=owner)


def _take_in(batch: Sequence[Finished], owner: UUID) -> list[Stored]:
    with transaction.atomic():
        stored = store_batch(batch, owner=owner)
        if sum(one.may_change_monitor for one in stored) > CHANGES_AT_ONCE:
            raise _Storm
        keep_evidence(stored)
        keep_details(stored)
        failing = [one for one in stored if one.is_first_failure]
        pull_forward(
            [one.monitor_id for one in failing],
            except_ids=[one.finished.job.assignment_id for one in failing],
        )
        tell(_settle(stored))
        tell_changed(Topic.CHECKS, [one.finished.job.assignment_id for one in stored])
        record_batch([one.finished for one in stored])
    return stored


def _settle(stored: Sequence[Stored]) -> list[Transition]:
    changed: dict[UUID, datetime] = {}
    for one in stored:
        if one.may_change_monitor:  # from several locations, in whatever order
            at = one.finished.started_at
            changed[one.monitor_id] = max(at, changed.get(one.monitor_id, at))
    return settle(changed) if changed else []


def record_ping(
    *,
    ping_key: UUID,
    kind: PingKind,
    method: str,
    exit_status: int | None = None,
    rid: UUID | None = None,
    body: bytes = b"",
    remote_address: str | None = None,
    user_agent: str = "",
) -> bool:
    """Take in one call of a heartbeat's ping URL; False when there is no such heartbeat.

    Success and failure are checks of the monitor, at the instant of the ping; a start or a log
    entry is kept and changes no state. A paused heartbeat keeps its pings and stays paused.
    """
    found = Assignment.objects.filter(
        monitor__ping_key=ping_key, monitor__kind="heartbeat", is_active=True
    )
    assignment_id = found.values_list("id", flat=True).order_by("id").first()
    if assignment_id is None:
        return False

    def record() -> bool:
        with transaction.atomic():
            # Everything that a pause, an edit or a removal may change is read under this lock.
            row = lock_assignment(assignment_id)
            monitor = Monitor.objects.filter(ping_key=ping_key).first()
            if row is None or monitor is None:
                return False
            at = database_now()
            if monitor.enabled and kind in (PingKind.SUCCESS, PingKind.FAIL):
                _judge_ping(monitor, row, _observation(kind, exit_status), at)
            Ping.objects.create(
                monitor=monitor,
                kind=kind,
                at=at,
                method=method,
                exit_status=exit_status,
                rid=rid,
                duration_ms=_duration_ms(monitor, kind, rid, at),
                remote_address=remote_address,
                user_agent=user_agent[:200],
                body=body[:LARGEST_PING_BODY],
            )
            return True

    return _persistently(record, days={datetime.now(UTC).date()})


def _judge_ping(
    monitor: Monitor, row: Sequence[Any], observation: Observation, at: datetime
) -> None:
    """A ping that says how it went is a check at the instant of the ping."""
    job = Job(row[0], spec_of(monitor), due_at=at, last_seen_at=at)
    finished = Finished(job, observation, started_at=at, finished_at=at)
    stored = store_ping(finished, assignment_row=row)
    keep_evidence([stored])
    if stored.may_change_monitor:
        tell(settle({monitor.id: at}))
    tell_changed(Topic.CHECKS, [row[0]])
    record_batch([finished])


def _observation(kind: PingKind, exit_status: int | None) -> Observation:
    if kind == PingKind.SUCCESS:
        return Observation(Status.UP)
    how = f"with exit status {exit_status}" if exit_status is not None else "by its own word"
    return Observation(Status.DOWN, Reason.HEARTBEAT_FAILED, f"The job reported a failure {how}.")


def _duration_ms(monitor: Monitor, kind: PingKind, rid: UUID | None, at: datetime) -> float | None:
    """From the start that this ping ends: the one of its rid, else the last one still open."""
    if kind not in (PingKind.SUCCESS, PingKind.FAIL):
        return None
    recent = Ping.objects.filter(monitor=monitor, at__gte=at - LONGEST_RUN, rid=rid)
    last = recent.exclude(kind=PingKind.LOG).order_by("-at").first()
    if last is None or last.kind != PingKind.START:
        return None
    return (at - last.at) / timedelta(milliseconds=1)


def _persistently(action: Callable[[], _T], *, days: set[date]) -> _T:
    """Do it again where PostgreSQL asks for that: deadlock, serialisation, partition missing."""

    def mend(cause: BaseException) -> bool:
        is_missing = isinstance(cause, postgres.CheckViolation) and "no partition" in str(cause)
        if is_missing:
            ensure_partitions(days)
        return is_missing

    return again_on_conflict(action, mend=mend)


def _days_of(batch: Sequence[Finished]) -> set[date]:
    return {one.started_at.astimezone(UTC).date() for one in batch}
