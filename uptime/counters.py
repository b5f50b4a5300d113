"""Counters that are right over any number of processes and restarts: rows, added to in SQL.

An increment is part of the caller's transaction: what was rolled back was never counted. Whoever
reads sums the shards. Raw SQL, because an upsert that adds can't be said in the ORM.
"""

from collections.abc import Mapping
from typing import NewType

from django.db import connection
from django.db.models import Sum

from uptime.models import Counter

Name = NewType("Name", str)

CHECKS = Name("checks")  # labels: kind, status
LATENESS = Name("lateness")  # upper bound of the bucket, in seconds
LATENESS_SUM = Name("lateness_sum")
DURATION = Name("duration")  # kind, upper bound of the bucket, in seconds
DURATION_SUM = Name("duration_sum")  # kind
DELIVERIES = Name("deliveries")  # channel type, outcome

Labels = tuple[str, ...]
Increments = Mapping[tuple[Name, Labels], float]
Totals = Mapping[Name, Mapping[Labels, float]]

# A backend's process id tells concurrent transactions apart, also behind a pooler, and survives
# forks and threads; its rest bounds the number of rows. Two that collide wait for one another.
_SHARDS = 64


def add(increments: Increments) -> None:
    """Add to the counters, in one statement.

    Call it once in a transaction, as its last statement: two writers that share a shard then wait
    for no more than the other's commit, and, as the rows are taken in one order, never in a circle.
    """
    rows = sorted(
        (name, ",".join(labels), float(value)) for (name, labels), value in increments.items()
    )
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO uptime_counter AS counter (shard, name, labels, value)
            SELECT pg_backend_pid() %% %s, added.*
            FROM unnest(%s::text[], %s::text[], %s::float8[]) AS added
            ON CONFLICT (shard, name, labels)
            DO UPDATE SET value = counter.value + excluded.value
            """,
            [_SHARDS, *(list(column) for column in zip(*rows, strict=True))],
        )


def count_deliveries(attempts: Mapping[tuple[str, str], int]) -> None:
    """Count attempts to deliver (see `add`) by channel type and outcome: sent, failed or dead."""
    add({(DELIVERIES, labels): number for labels, number in attempts.items()})


def totals() -> Totals:
    """All counters, by name and label values; one query over a few thousand rows at most."""
    found: dict[Name, dict[Labels, float]] = {}
    rows = Counter.objects.values_list("name", "labels").annotate(total=Sum("value"))
    for name, labels, total in rows:
        found.setdefault(Name(name), {})[tuple(labels.split(",")) if labels else ()] = total
    return found
