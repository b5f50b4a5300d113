"""A batch of observations becomes result rows and assignment states.

A few statements a batch, whatever its size: lock and read the leased rows, update them, COPY the
results, mark those that come late. A check counts only while its lease holds, so a batch that comes
twice changes nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from monitors.cadence import Plan, plan_after_check, plan_confirmation
from monitors.history import Wanted, read_results
from monitors.models import Status
from monitors.rollups import note_late
from monitors.streaks import (
    Streak,
    Thresholds,
    count_decisive,
    decide_streak,
    is_confirming,
    is_recovering,
)
from probe.kinds import KINDS
from probe.kinds.heartbeat import next_deadline
from probe.values import Finished, Spec
from probe.values import Status as Seen
from uptime.database import hot_cursor

_RESULT_COLUMNS = {
    "id": "uuid",
    "assignment_id": "int8",
    "checked_at": "timestamptz",
    "due_at": "timestamptz",
    "cert_expires_at": "timestamptz",
    "latency_ms": "float4",
    "dns_ms": "float4",
    "connect_ms": "float4",
    "tls_ms": "float4",
    "first_byte_ms": "float4",
    "transfer_ms": "float4",
    "http_status": "int2",
    "attempt": "int2",
    "status": "varchar",
    "reason": "varchar",
    "message": "text",
}
_UPDATE_COLUMNS = {
    "id": "int8",
    "next_due_at": "timestamptz",
    "attempt": "int2",
    "state": "text",
    "failures": "int4",
    "passes": "int4",
    "troubles": "int4",
    "recent": "int8",
    "unknowns": "int4",
    "troubled_since": "timestamptz",
    "missed": "int4",
    "last_status": "text",
    "last_reason": "text",
    "last_message": "text",
    "last_checked_at": "timestamptz",
    "last_latency_ms": "float8",
    "cert_expires_at": "timestamptz",
    "last_seen_at": "timestamptz",
    "fingerprint": "text",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """One check that was taken: what its location's streak was before and is now."""

    finished: Finished
    before: Streak
    after: Streak
    is_new_reason: bool

    @property
    def monitor_id(self) -> UUID:
        return self.finished.job.spec.monitor_id

    @property
    def may_change_monitor(self) -> bool:
        """Whether the monitor has to be looked at: a state changed, or why it is in trouble."""
        if self.before.state != self.after.state:
            return True
        if self.after.state == Status.DOWN and self._is_recovering_changed:
            return True
        return self.is_new_reason and not self.keeps_reason and self._is_in_trouble

    @property
    def _is_recovering_changed(self) -> bool:
        thresholds = thresholds_of(self.finished.job.spec)
        return is_recovering(self.before, thresholds) != is_recovering(self.after, thresholds)

    @property
    def keeps_reason(self) -> bool:
        """Whether the location stays in trouble while this check says nothing of why: it passed
        and is not enough to recover, or failed by a fault of ours.
        """
        seen = self.finished.observation.status
        return self._is_in_trouble and seen in (Seen.UP, Seen.UNKNOWN)

    @property
    def _is_in_trouble(self) -> bool:
        return self.after.state in (Status.DOWN, Status.DEGRADED)

    @property
    def is_first_failure(self) -> bool:
        return self.before.failures == 0 and self.after.failures == 1


def store_batch(batch: Sequence[Finished], *, owner: UUID) -> list[Stored]:
    """Store what `owner` observed under its leases; returns what counted.

    Must run inside a transaction; it holds the assignments' locks until that ends.
    """
    now, locked = _lock_leased(batch, owner)
    if now is None:
        return []
    stored = []
    for finished in batch:
        job = finished.job
        if row := locked.pop((job.assignment_id, job.due_at, job.attempt), None):
            stored.append(_judge(finished, row))  # once, should it stand there twice
    _update_assignments(stored)
    copy_results([one.finished for one in stored])
    note_late([one.finished for one in stored], now=now)
    return stored


def store_ping(finished: Finished, *, assignment_row: Sequence[Any]) -> Stored:
    """Store a heartbeat's ping as a passing or failing check; the caller holds the row's lock."""
    stored = _judge(finished, assignment_row)
    _update_assignments([stored])
    copy_results([stored.finished])
    return stored


def lock_assignment(assignment_id: int) -> Sequence[Any] | None:
    """Lock one assignment for `store_ping`; None when it is not active."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_LOCKED} FROM monitors_assignment"  # noqa: S608 - a literal
            " WHERE id = %s AND is_active FOR UPDATE",
            [assignment_id],
        )
        row: Sequence[Any] | None = cursor.fetchone()
    return row


_LOCKED = (
    "id, next_due_at, attempt, last_reason,"
    " state, failures, passes, troubles, recent, unknowns, troubled_since"  # a Streak, in its order
)


_Lease = tuple[int, datetime, int]


def _lock_leased(
    batch: Sequence[Finished], owner: UUID
) -> tuple[datetime | None, dict[_Lease, Sequence[Any]]]:
    """The database's time, and the rows whose lease is still this owner's, by assignment, due
    instant and attempt.
    """
    with hot_cursor() as cursor:
        cursor.execute(
            f"SELECT clock_timestamp(), {_LOCKED} FROM monitors_assignment"  # noqa: S608 - a literal
            " WHERE id = ANY(%s) AND lease_owner = %s ORDER BY id FOR UPDATE",
            [list({finished.job.assignment_id for finished in batch}), owner],
        )
        rows = cursor.fetchall()
    held = {(row[0], row[1], row[2]): row for _, *row in rows}
    return (rows[0][0] if rows else None), held


def _judge(finished: Finished, row: Sequence[Any]) -> Stored:
    before = Streak(Status(row[4]), *row[5:])
    job, seen = finished.job, finished.observation
    after = decide_streak(
        before,
        seen=seen.status,
        at=finished.started_at,
        thresholds=thresholds_of(job.spec),
    )
    if began := _first_decisive(before, after, finished):
        after = replace(after, troubled_since=began)
    return Stored(finished, before, after, is_new_reason=(seen.reason or "") != row[3])


def _first_decisive(before: Streak, after: Streak, finished: Finished) -> datetime | None:
    """When the first of those checks was that made it trouble now, where only the results know.

    They have the earlier ones: this one is not stored yet.
    """
    job = finished.job
    checks, seen = count_decisive(before, after, thresholds_of(job.spec))
    if checks == 0:
        return None
    wanted = Wanted([job.assignment_id], since=before.troubled_since, statuses=seen)
    earlier = read_results(wanted, checks - 1) if checks > 1 and before.troubled_since else []
    return earlier[-1].checked_at if earlier else finished.started_at


def thresholds_of(spec: Spec) -> Thresholds:
    return Thresholds(spec.failure_threshold, spec.recovery_threshold, spec.failure_window)


def _plan(stored: Stored) -> Plan:
    job, spec = stored.finished.job, stored.finished.job.spec
    if (kind := KINDS.get(spec.kind)) and kind.is_passive:
        return _plan_deadline(stored.finished)
    if is_confirming(
        stored.after,
        seen=stored.finished.observation.status,
        thresholds=thresholds_of(spec),
    ):
        return plan_confirmation(
            retry_interval=min(spec.retry_interval, spec.interval),
            attempt=job.attempt,
            started_at=stored.finished.started_at,
            finished_at=stored.finished.finished_at,
        )
    return plan_after_check(
        assignment_id=job.assignment_id,
        interval=spec.interval,
        due_at=job.due_at,
        finished_at=stored.finished.finished_at,
    )


def _plan_deadline(finished: Finished) -> Plan:
    """A heartbeat's next deadline: the one after its last ping, or after the one that it missed.

    Deadlines that passed while nobody looked are counted, not told one by one.
    """
    job, spec = finished.job, finished.job.spec
    if spec.fault:
        return Plan(finished.finished_at + spec.interval, 0, 0)
    is_missed = job.last_seen_at is None or job.last_seen_at < job.due_at
    if job.last_seen_at and (not is_missed or finished.observation.status == Seen.UP):
        return Plan(next_deadline(spec.settings, spec.interval, job.last_seen_at), 0, 0)
    grace = timedelta(seconds=spec.settings.grace)
    due_at = next_deadline(spec.settings, spec.interval, job.due_at - grace)
    missed = 0
    while due_at <= finished.finished_at:
        due_at = next_deadline(spec.settings, spec.interval, due_at - grace)
        missed += 1
    return Plan(due_at, 0, missed)


def _update_assignments(stored: Sequence[Stored]) -> None:
    rows = [_assignment_values(one) for one in stored]
    if not rows:
        return
    arrays = ", ".join(f"%s::{type_}[]" for type_ in _UPDATE_COLUMNS.values())
    names = ", ".join(_UPDATE_COLUMNS)
    with hot_cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE monitors_assignment AS a SET
                next_due_at = b.next_due_at, attempt = b.attempt,
                lease_owner = NULL, lease_expires_at = NULL,
                state = b.state, failures = b.failures, passes = b.passes,
                troubles = b.troubles, recent = b.recent, unknowns = b.unknowns,
                troubled_since = b.troubled_since,
                missed = a.missed + b.missed, last_status = b.last_status,
                last_reason = coalesce(b.last_reason, a.last_reason),
                last_message = coalesce(b.last_message, a.last_message),
                last_checked_at = b.last_checked_at, last_latency_ms = b.last_latency_ms,
                cert_expires_at = b.cert_expires_at, last_seen_at = b.last_seen_at,
                fingerprint = coalesce(nullif(b.fingerprint, ''), a.fingerprint)
            FROM unnest({arrays}) AS b({names})
            WHERE a.id = b.id
            """,  # noqa: S608 - names and types are the literals above
            [list(column) for column in zip(*rows, strict=True)],
        )


def _assignment_values(one: Stored) -> tuple[object, ...]:
    job, seen, after = one.finished.job, one.finished.observation, one.after
    plan = _plan(one)
    reason, message = (None, None) if one.keeps_reason else (seen.reason, storable(seen.message))
    return (
        job.assignment_id,
        plan.due_at,
        plan.attempt,
        after.state.value,
        after.failures,
        after.passes,
        after.troubles,
        after.recent,
        after.unknowns,
        after.troubled_since,
        plan.missed,
        seen.status.value,
        None if one.keeps_reason else (reason or ""),
        message,
        one.finished.started_at,
        seen.latency_ms,
        seen.cert_expires_at,
        job.last_seen_at,
        storable(seen.fingerprint),
    )


def copy_results(finished: Sequence[Finished]) -> None:
    """Append result rows."""
    if not finished:
        return
    names = ", ".join(_RESULT_COLUMNS)
    with (
        hot_cursor() as cursor,
        cursor.copy(f"COPY monitors_result ({names}) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(list(_RESULT_COLUMNS.values()))
        for one in finished:
            copy.write_row(_result_values(one))


def storable(text: str) -> str:
    """`text` as PostgreSQL takes it: what a server sent may hold NUL and halves of characters."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _result_values(finished: Finished) -> tuple[object, ...]:
    job, seen = finished.job, finished.observation
    phases = seen.phases
    return (
        finished.id,
        job.assignment_id,
        finished.started_at,
        job.due_at,
        seen.cert_expires_at,
        seen.latency_ms,
        phases.dns_ms,
        phases.connect_ms,
        phases.tls_ms,
        phases.first_byte_ms,
        phases.transfer_ms,
        seen.http_status,
        job.attempt,
        seen.status.value,
        seen.reason.value if seen.reason else None,
        storable(seen.message) or None,
    )


def look_soon(monitor_ids: Collection[UUID], *, unless_since: datetime) -> None:
    """Have these monitors checked now where that was not done since then, as far as they ask.

    What waits to confirm a failure keeps its time. Rows that somebody holds are skipped: they are
    being checked anyway, and nobody who holds other locks waits for them.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE monitors_assignment SET next_due_at = clock_timestamp()
            WHERE id IN (
                SELECT a.id FROM monitors_assignment AS a
                JOIN monitors_monitor AS m ON m.id = a.monitor_id
                WHERE a.monitor_id = ANY(%s) AND m.kind <> ALL(%s) AND a.is_active
                  AND a.lease_owner IS NULL AND a.next_due_at > clock_timestamp()
                  AND a.attempt = 0
                  AND (a.last_checked_at IS NULL OR a.last_checked_at < %s)
                FOR UPDATE OF a SKIP LOCKED
            )
            """,
            [list(monitor_ids), PASSIVE_KINDS, unless_since],
        )


PASSIVE_KINDS = [kind.name for kind in KINDS.values() if kind.is_passive]


def pull_forward(monitor_ids: Sequence[UUID], *, except_ids: Sequence[int]) -> None:
    """Have the other locations of monitors that just failed look now.

    Rows that somebody holds are skipped: they are being checked anyway.
    """
    if not monitor_ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE monitors_assignment SET next_due_at = clock_timestamp()
            WHERE id IN (
                SELECT id FROM monitors_assignment
                WHERE monitor_id = ANY(%s) AND id <> ALL(%s) AND is_active
                  AND lease_owner IS NULL AND next_due_at > clock_timestamp()
                  AND state NOT IN ('down')
                FOR UPDATE SKIP LOCKED
            )
            """,
            [list(monitor_ids), list(except_ids)],
        )
