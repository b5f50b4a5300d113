"""Status spans: a monitor's history as stretches that meet without gap or overlap.

A monitor's open span never starts after its `last_change_at`. Raw SQL, because changes come in
hundreds at once when a network fails: three statements, whatever their number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from monitors.groups import doubt_groups_of
from monitors.models import Status
from uptime.changes import Topic, tell_changed


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A monitor's new status since `at`; None: the same status with another reason.

    `at` must not lie before the monitor's `last_change_at`: history that was told stays.
    """

    monitor_id: UUID
    status: Status
    reason: str
    message: str
    at: datetime | None


def store_statuses(changes: Sequence[StatusChange]) -> None:
    """Write monitors' statuses and turn their spans; the caller holds the monitors' locks.

    Groups that they are in are looked at soon.
    """
    if not changes:
        return
    columns: list[Any] = [
        [one.monitor_id for one in changes],
        [one.status.value for one in changes],
        [one.reason for one in changes],
        [one.message for one in changes],
        [one.at for one in changes],
    ]
    rows = "unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE monitors_monitor AS m
            SET status = b.status, reason = b.reason, message = b.message,
                last_change_at = coalesce(b.at, m.last_change_at)
            FROM {rows} AS b(id, status, reason, message, at) WHERE m.id = b.id
            """,  # noqa: S608 - `rows` is the literal above
            columns,
        )
        # A stretch of no length is no stretch: it goes, and the one before it may go on.
        cursor.execute(
            f"""
            WITH turned AS (
                SELECT * FROM {rows} AS b(monitor_id, status, reason, message, at)
                WHERE b.at IS NOT NULL
            ), ended AS (
                UPDATE monitors_statusspan AS s SET ended_at = t.at FROM turned AS t
                WHERE s.monitor_id = t.monitor_id AND s.ended_at IS NULL AND s.started_at < t.at
            ), emptied AS (
                DELETE FROM monitors_statusspan AS s USING turned AS t
                WHERE s.monitor_id = t.monitor_id AND s.ended_at IS NULL AND s.started_at >= t.at
            )
            SELECT count(*) FROM turned
            """,  # noqa: S608 - likewise
            columns,
        )
        cursor.execute(
            f"""
            WITH turned AS (
                SELECT * FROM {rows} AS b(monitor_id, status, reason, message, at)
                WHERE b.at IS NOT NULL
            ), continued AS (
                UPDATE monitors_statusspan AS s SET ended_at = NULL FROM turned AS t
                WHERE s.monitor_id = t.monitor_id AND s.ended_at = t.at AND s.status = t.status
                RETURNING s.monitor_id
            )
            INSERT INTO monitors_statusspan (monitor_id, status, reason, started_at)
            SELECT monitor_id, status, reason, at FROM turned
            WHERE monitor_id NOT IN (SELECT monitor_id FROM continued)
            """,  # noqa: S608 - likewise
            columns,
        )
    doubt_groups_of({one.monitor_id: one.at for one in changes if one.at is not None})
    tell_changed(Topic.MONITORS, [one.monitor_id for one in changes])


@dataclass(frozen=True, slots=True)
class Gap:
    """That nobody knows how a monitor was from `since` to `until`, which is now.

    `since` must lie after the monitor's `last_change_at`.
    """

    monitor_id: UUID
    since: datetime
    until: datetime


def store_gaps(gaps: Sequence[Gap]) -> None:
    """Cut what nobody knows out of monitors' present stretches; the caller holds their locks.

    Each is again what it was, from the gap's end on.
    """
    if not gaps:
        return
    columns: list[Any] = [
        [one.monitor_id for one in gaps],
        [one.since for one in gaps],
        [one.until for one in gaps],
    ]
    rows = "unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS b(monitor_id, since, until)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE monitors_monitor AS m SET last_change_at = b.until
            FROM {rows} WHERE m.id = b.monitor_id
            """,  # noqa: S608 - `rows` is the literal above
            columns,
        )
        cursor.execute(
            f"""
            WITH ended AS (
                UPDATE monitors_statusspan AS s SET ended_at = b.since FROM {rows}
                WHERE s.monitor_id = b.monitor_id AND s.ended_at IS NULL
                RETURNING b.monitor_id, s.status, s.reason, b.since, b.until
            )
            INSERT INTO monitors_statusspan (monitor_id, status, reason, started_at, ended_at)
            SELECT monitor_id, %s, '', since, until FROM ended
            UNION ALL
            SELECT monitor_id, status, reason, until, NULL FROM ended
            """,  # noqa: S608 - likewise
            [*columns, Status.UNKNOWN.value],
        )
    tell_changed(Topic.MONITORS, [one.monitor_id for one in gaps])
