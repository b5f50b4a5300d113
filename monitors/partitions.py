"""Day partitions of the results: made ahead, dropped whole by retention, healed when one lacks.

Raw SQL lives here, in `leasing`, `storing`, `spans`, `rollups`, `archiving`, `history`, `figures`
and `chores` (a lock), and nowhere else in the app.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import structlog
from django.db import OperationalError, transaction
from django.db import connection as default_connection
from psycopg.errors import LockNotAvailable

log = structlog.get_logger(__name__)

DAYS_AHEAD = 3
# Values of PostgreSQL's `lock_timeout`. Who waits to drop a partition holds up all who come later,
# readers and the intake alike; who waits to make one holds up nobody but himself.
_PATIENCE_TO_MAKE = "2s"
_PATIENCE_TO_DROP = "50ms"
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
    wanted = set(days)
    if wanted <= set(existing_partitions(connection)):
        return []
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_PATIENCE_TO_MAKE])
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_KEY])
        # Another process may have made some while this one waited.
        missing = sorted(wanted - set(existing_partitions(connection)))
        for day in missing:
            _make_partition(cursor, day)
    log.info("results.partitions.made", days=[day.isoformat() for day in missing])
    return missing


def _make_partition(cursor: Any, day: date) -> None:
    """Make it beside the table and attach it.

    `CREATE TABLE ... PARTITION OF` would lock the whole table against its readers: it would wait
    for the longest of them, and everybody else, the intake first, behind it. To attach shuts out
    neither readers nor writers.
    """
    name, after = partition_name(day), day + timedelta(days=1)
    cursor.execute(f"CREATE TABLE {name} (LIKE monitors_result INCLUDING ALL)")
    cursor.execute(
        f"ALTER TABLE monitors_result ATTACH PARTITION {name}"
        f" FOR VALUES FROM ('{day}T00:00:00Z') TO ('{after}T00:00:00Z')"
    )


def drop_partition(day: date, *, connection: Any = default_connection) -> None:
    """Drop one day's partition, in the caller's transaction.

    Raises OperationalError (of psycopg's LockNotAvailable) where others use the results for longer
    than 50 ms: so long, and no longer, everybody else waits behind it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_PATIENCE_TO_DROP])
        cursor.execute(f"DROP TABLE IF EXISTS {partition_name(day)}")


def drop_partitions(*, before: date, connection: Any = default_connection) -> list[date]:
    """Drop the partitions of the days before `before`; returns those that were dropped.

    The others are being read, and stay until the next time.
    """
    dropped = []
    for day in (day for day in existing_partitions(connection) if day < before):
        try:
            with transaction.atomic(using=connection.alias):
                drop_partition(day, connection=connection)
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            log.warning("results.partition.in_use", day=day.isoformat())
        else:
            dropped.append(day)
    if dropped:
        log.info("results.partitions.dropped", days=[day.isoformat() for day in dropped])
    return dropped
