"""Rows by the hundred thousand: one that the product made, copied by PostgreSQL in seconds."""

from datetime import timedelta
from typing import Any

from django.db import connection, models

from accounts.models import Team
from monitors.actions import create_monitor
from monitors.models import Assignment, Monitor, StatusSpan
from uptime.clock import database_now


def make_multitude(
    count: int, *, interval: timedelta, target: str = "http://127.0.0.1:9/"
) -> Monitor:
    """So many http monitors of one team that are up, each with its assignment and its open span.

    They fall due evenly over the interval that begins now. Returns the first.
    """
    team = Team.objects.create(name="Multitude")
    values = {"name": "Monitor 0", "kind": "http", "target": target}
    seconds = max(1, round(interval.total_seconds()))
    pace = {"interval": seconds, "retry_interval": min(5, seconds)}
    first = create_monitor(team=team, values={**values, **pace})
    Monitor.objects.filter(pk=first.pk).update(status="up")
    own = Assignment.objects.filter(monitor=first)
    own.update(state="up", last_status="up", passes=1, last_checked_at=database_now())
    multiply(
        first,
        f"generate_series(1, {count - 1}) AS n",
        id=_new_id(),
        ping_key="gen_random_uuid()",
        name="'Monitor ' || n",
    )
    others = f"(SELECT id FROM monitors_monitor WHERE id <> '{first.pk}') AS other"  # noqa: S608 - a UUID
    multiply(StatusSpan.objects.get(monitor=first), others, id=None, monitor_id="other.id")
    multiply(
        own.get(),
        others,
        id=None,
        monitor_id="other.id",
        next_due_at=f"now() + random() * interval '{interval.total_seconds()} seconds'",
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE monitors_monitor, monitors_assignment, monitors_statusspan")
    return first


def _new_id() -> str:
    """What makes a key; one that sorts by time, as the product's, where PostgreSQL has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regproc('uuidv7') IS NOT NULL")
        (is_there,) = cursor.fetchone()
    return "uuidv7()" if is_there else "gen_random_uuid()"


def multiply(row: models.Model, others: str, **columns: str | None) -> None:
    """Copy `row` for each of the rows `others` (SQL), these columns being other expressions.

    None stands for the column's own default.
    """
    table = row._meta.db_table
    taken: dict[str, Any] = {
        field.column: columns.get(field.column, f"one.{field.column}")
        for field in row._meta.concrete_fields
        if field.column and columns.get(field.column, "") is not None
    }
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(taken)}) SELECT {', '.join(taken.values())}"  # noqa: S608 - our own tables
            f" FROM {table} AS one, {others} WHERE one.id = %s",
            [row.pk],
        )
