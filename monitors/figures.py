"""Read models of statistics: how a window was spent, what the checks saw, what was promised.

Times come from status spans and are exact. Counts and latencies come from the rollups and, where
those don't reach (the hours at the window's edges, and what was checked just now), from single
results, plain or packed. Each function is a fixed number of queries, written in SQL: half of the
time that the figures of one monitor take would be spent on composing them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from monitors.chores import DAYS, HOURS, WEEKS
from monitors.history import read_seen
from monitors.models import Monitor, Status
from monitors.rollups import Counts, read_rollups
from monitors.statistics import (
    Incidents,
    Promise,
    Statistics,
    Tiling,
    add_statistics,
    judge_promise,
    statistics_of,
    tile,
)
from uptime.database import hot_cursor


@dataclass(frozen=True, slots=True)
class Figures:
    """All there is to say of a window, of one monitor or of several together."""

    spent: Statistics
    incidents: Incidents
    checks: Counts


@dataclass(frozen=True, slots=True)
class GroupFigures(Figures):
    """`promises` are those of the members that have a target, by monitor."""

    monitors: int
    promises: dict[UUID, Promise] = field(default_factory=dict)


def monitor_figures(monitor: Monitor, *, since: datetime, until: datetime) -> Figures:
    ids, parts = _find_checks([monitor.pk], since, until)
    checks = read_rollups(ids, weeks=parts.weeks, days=parts.days, hours=parts.hours)
    checks.add(Counts.of(read_seen(ids, parts.rest)))
    spent = time_spent([monitor.pk], since=since, until=until)
    return Figures(
        spent=spent.get(monitor.pk) or statistics_of({}, until - since),
        incidents=incidents_within([monitor.pk], since=since, until=until),
        checks=checks,
    )


def group_figures(monitors: QuerySet[Monitor], *, since: datetime, until: datetime) -> GroupFigures:
    """The monitors together. Checks and latencies are those of whole hours that are rolled up."""
    targets = dict(monitors.order_by().values_list("pk", "sla_target"))
    of_each = time_spent(list(targets), since=since, until=until)
    unseen = statistics_of({}, until - since)
    spent = {pk: of_each.get(pk, unseen) for pk in targets}
    ids, parts = _find_checks(list(targets), since, until)
    return GroupFigures(
        spent=add_statistics(spent.values()),
        incidents=incidents_within(list(targets), since=since, until=until),
        checks=read_rollups(ids, weeks=parts.weeks, days=parts.days, hours=parts.hours),
        monitors=len(targets),
        promises={
            pk: judge_promise(spent[pk], per_mille=target)
            for pk, target in targets.items()
            if target is not None
        },
    )


def time_spent(
    monitor_ids: Sequence[UUID], *, since: datetime, until: datetime
) -> dict[UUID, Statistics]:
    """How each monitor spent the window; one without any span in it is left out.

    The same sum as `monitors.statistics.summarize`, done by the database: a monitor that flaps has
    thousands of spans a year.
    """
    with hot_cursor() as cursor:
        cursor.execute(
            """
            SELECT m.id, spent.* FROM unnest(%(ids)s::uuid[]) AS m (id), LATERAL (
                SELECT status, sum(ended_at - started_at) FROM (
                    -- Spans meet: of those that began before the window only the last reaches it.
                    (SELECT status, %(since)s::timestamptz AS started_at,
                            least(ended_at, %(until)s) AS ended_at
                        FROM monitors_statusspan
                        WHERE monitor_id = m.id AND started_at <= %(since)s
                            AND (ended_at IS NULL OR ended_at > %(since)s)
                        ORDER BY monitors_statusspan.started_at DESC LIMIT 1)
                    UNION ALL
                    SELECT status, started_at, least(ended_at, %(until)s)
                    FROM monitors_statusspan
                    WHERE monitor_id = m.id AND started_at > %(since)s AND started_at < %(until)s
                ) AS span GROUP BY status
            ) AS spent
            """,
            {"ids": list(monitor_ids), "since": since, "until": until},
        )
        found: dict[UUID, dict[Status, timedelta]] = {}
        for monitor_id, status, spent in cursor:
            found.setdefault(monitor_id, {})[Status(status)] = spent
    return {pk: statistics_of(spent, until - since) for pk, spent in found.items()}


def incidents_within(monitor_ids: Sequence[UUID], *, since: datetime, until: datetime) -> Incidents:
    """The incidents that began in the window, by their table: they live a storey higher."""
    with hot_cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*), count(resolved_at), sum(resolved_at - started_at)
            FROM incidents_incident
            WHERE monitor_id = ANY(%s) AND started_at >= %s AND started_at < %s
            """,
            [list(monitor_ids), since, until],
        )
        row = cursor.fetchone()
    assert row is not None
    count, resolved, repair = row
    return Incidents(count, resolved, repair or timedelta())


def _find_checks(
    monitor_ids: Sequence[UUID], since: datetime, until: datetime
) -> tuple[list[int], Tiling]:
    """The monitors' assignments, and what of the window is rolled up."""
    with hot_cursor() as cursor:
        cursor.execute(
            """
            SELECT ARRAY(SELECT id FROM monitors_assignment WHERE monitor_id = ANY(%s)),
                (SELECT done_until FROM monitors_chore WHERE name = %s),
                (SELECT done_until FROM monitors_chore WHERE name = %s),
                (SELECT done_until FROM monitors_chore WHERE name = %s)
            """,
            [list(monitor_ids), HOURS, DAYS, WEEKS],
        )
        row = cursor.fetchone()
    assert row is not None
    ids, hours, days, weeks = row
    return ids, tile(since, until, hours_until=hours, days_until=days, weeks_until=weeks)
