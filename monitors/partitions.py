"""Day partitions of the results: made ahead, dropped whole by retention, healed when one lacks.

Raw SQL lives here, in `leasing`, `storing`, `spans`, `rollups`, `archiving`, `history`, `figures`
and `chores` (a lock), and nowhere else in the app.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import structlog
from django.db import connection as default_connection
from django.db import transaction

log = structlog.get_logger(__name__)

DAYS_AHEAD = 3
_NAME = re.compile(r"^monitors_result_(\d{4})(\d{2})(\d{2})$")
# Two processes that make the same partition at once wait for each other here.
_LOCK_KEY = 0x7570_7061_7274


def partition_name(day: date) -> str:
    return f"monitors_result_{day:%Y%m%d}"


def partition_day(name: str) -> date | None:
    """The day that a partition of this name holds, or None if it is not one of ours."""
    found = _NAME.match(name)
    return date(*map(int, found.groups())) if found else None


def existing_partitions(connection: Any = default_connection) -> list[date]:
    """The days that have a partition, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'monitors_result'::regclass"
        )
        days = [partition_day(name) for (name,) in cursor.fetchall()]
    return sorted(day for day in days if day)


def ensure_partitions(
    days: Iterable[date] | None = None, *, connection: Any = default_connection
) -> list[date]:
    """Make the partitions of `days` (default: yesterday to `DAYS_AHEAD`) that lack.

    Returns the days that were made. A day is a UTC day.
    """
    if days is None:
        today = datetime.now(UTC).date()
        days = [today + timedelta(days=offset) for offset in range(-1, DAYS_AHEAD + 1)]
    missing = sorted(set(days) - set(existing_partitions(connection)))
    if not missing:
        return []
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_KEY])
        for day in missing:
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {partition_name(day)}"
                f" PARTITION OF monitors_result"
                f" FOR VALUES FROM ('{day}T00:00:00Z') TO ('{day + timedelta(days=1)}T00:00:00Z')"
            )
    log.info("results.partitions.made", days=[day.isoformat() for day in missing])
    return missing


def drop_partition(day: date, *, patience: str, connection: Any = default_connection) -> None:
    """Drop one day's partition, in the caller's transaction.

    Raises OperationalError (of psycopg's LockNotAvailable) where others use the results for longer
    than `patience`, which is PostgreSQL's `lock_timeout`.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [patience])
        cursor.execute(f"DROP TABLE IF EXISTS {partition_name(day)}")


def drop_partitions(*, before: date, connection: Any = default_connection) -> list[date]:
    """Drop the partitions of the days before `before`; returns them."""
    old = [day for day in existing_partitions(connection) if day < before]
    for day in old:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {partition_name(day)}")
    if old:
        log.info("results.partitions.dropped", days=[day.isoformat() for day in old])
    return old
