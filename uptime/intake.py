"""The one way in for observations: store, decide, apply, queue, in one transaction.

Whoever has observations - the local engine, an agent's post, a ping - calls this and nothing else.
It commits or it never was.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import structlog
from django.db import Error, connection, transaction
from psycopg import errors as postgres

from alerts.outbox import queue_deliveries
from incidents.transitions import Transition, settle
from monitors.models import Assignment, Monitor, Ping, PingKind
from monitors.partitions import ensure_partitions
from monitors.specs import spec_of
from monitors.storing import Stored, lock_assignment, pull_forward, store_batch, store_ping
from probe.values import Finished, Job, Observation, Reason, Status
from uptime.clock import database_now
from uptime.metrics import record_batch

log = structlog.get_logger(__name__)

# A ping's start is paired with an end that comes within this time, as its rival does.
LONGEST_RUN = timedelta(hours=72)
LARGEST_PING_BODY = 100_000

_TRIES = 4
_T = TypeVar("_T")


def take_in(batch: Sequence[Finished], *, owner: UUID) -> int:
    """Take in what `owner` observed under its leases; returns how many checks counted.

    A batch that comes again changes nothing: its leases are gone. Raises Django's database errors
    when the database is away; deadlocks and missing partitions are mended here.
    """
    started = time.perf_counter()
    stored = _persistently(lambda: _take_in(batch, owner), days=_days_of(batch))
    log.debug(
        "intake.batch.written",
        count=len(stored),
        dropped=len(batch) - len(stored),
        ms=round((time.perf_counter() - started) * 1000, 1),
    )
    return len(stored)


def _take_in(batch: Sequence[Finished], owner: UUID) -> list[Stored]:
    with transaction.atomic():
        stored = store_batch(batch, owner=owner)
        failing = [one for one in stored if one.is_first_failure]
        pull_forward(
            [one.monitor_id for one in failing],
            except_ids=[one.finished.job.assignment_id for one in failing],
        )
        _tell(_settle(stored))
        record_batch([one.finished for one in stored])
    return stored


def _settle(stored: Sequence[Stored]) -> list[Transition]:
    changed = {one.monitor_id: one.finished.started_at for one in stored if one.may_change_monitor}
    return settle(changed) if changed else []


def _tell(transitions: Sequence[Transition]) -> None:
    if not transitions:
        return
    queue_deliveries(transitions)
    for one in transitions:
        log.info(
            "monitor.status.changed",
            monitor=str(one.incident.monitor_id),
            incident=str(one.incident.id),
            kind=one.kind,
            reason=one.incident.reason,
        )


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
    monitor = Monitor.objects.filter(ping_key=ping_key, kind="heartbeat").first()
    if monitor is None:
        return False

    def record() -> None:
        with transaction.atomic():
            at = database_now()
            _store_ping_as_check(monitor, kind, exit_status, at)
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

    _persistently(record, days={datetime.now(UTC).date()})
    return True


def _store_ping_as_check(
    monitor: Monitor, kind: PingKind, exit_status: int | None, at: datetime
) -> None:
    if not monitor.enabled or kind not in (PingKind.SUCCESS, PingKind.FAIL):
        return
    assignment = Assignment.objects.filter(monitor=monitor, is_active=True).order_by("id").first()
    row = lock_assignment(assignment.id) if assignment else None
    if assignment is None or row is None:
        return
    job = Job(assignment.id, spec_of(monitor), due_at=at, last_seen_at=at)
    stored = store_ping(
        Finished(job, _observation(kind, exit_status), started_at=at, finished_at=at),
        assignment_row=row,
    )
    if stored.may_change_monitor:
        _tell(settle({monitor.id: at}))
    record_batch([stored.finished])


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
    for tries_left in reversed(range(_TRIES)):
        try:
            return action()
        except Error as error:
            cause = error.__cause__
            if connection.in_atomic_block or not tries_left:
                raise
            if isinstance(cause, postgres.CheckViolation) and "no partition" in str(cause):
                ensure_partitions(days)
            elif not isinstance(cause, postgres.DeadlockDetected | postgres.SerializationFailure):
                raise
            log.info("intake.again", cause=type(cause).__name__)
    raise AssertionError("unreachable")


def _days_of(batch: Sequence[Finished]) -> set[date]:
    return {one.started_at.astimezone(UTC).date() for one in batch}
