"""Read models of statistics: how a window was spent, what the checks saw, what was promised.

Times come from status spans and are exact. Counts and latencies come from the rollups and, where
those don't reach (the hours at the window's edges, and what was checked just now), from single
results, plain or packed. Each function is a fixed number of queries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, DurationField, F, QuerySet, Sum

from monitors.chores import DAYS, HOURS
from monitors.history import read_seen
from monitors.models import Assignment, Chore, Monitor, Status
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
    ids = list(Assignment.objects.filter(monitor=monitor).values_list("id", flat=True))
    parts = _tile(since, until)
    checks = read_rollups(ids, days=parts.days, hours=parts.hours)
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
    ids = Assignment.objects.filter(monitor__in=monitors.order_by().values("pk"))
    parts = _tile(since, until)
    return GroupFigures(
        spent=add_statistics(spent.values()),
        incidents=incidents_within(list(targets), since=since, until=until),
        checks=read_rollups(
            list(ids.values_list("id", flat=True)), days=parts.days, hours=parts.hours
        ),
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
            SELECT m.id, s.status,
                sum(least(coalesce(s.ended_at, %(until)s), %(until)s)
                    - greatest(s.started_at, %(since)s))
            FROM unnest(%(ids)s::uuid[]) AS m (id), LATERAL (
                -- Spans meet, so of those that began before the window only the last reaches it.
                (SELECT * FROM monitors_statusspan
                    WHERE monitor_id = m.id AND started_at <= %(since)s
                    ORDER BY started_at DESC LIMIT 1)
                UNION ALL
                SELECT * FROM monitors_statusspan
                    WHERE monitor_id = m.id AND started_at > %(since)s AND started_at < %(until)s
            ) AS s
            WHERE (s.ended_at IS NULL OR s.ended_at > %(since)s) AND s.started_at < %(until)s
            GROUP BY m.id, s.status
            """,
            {"ids": list(monitor_ids), "since": since, "until": until},
        )
        found: dict[UUID, dict[Status, timedelta]] = {}
        for monitor_id, status, spent in cursor:
            found.setdefault(monitor_id, {})[Status(status)] = spent
    return {pk: statistics_of(spent, until - since) for pk, spent in found.items()}


def incidents_within(monitor_ids: Sequence[UUID], *, since: datetime, until: datetime) -> Incidents:
    """The incidents that began in the window, by their reverse name: they live a storey higher."""
    began = Monitor.objects.filter(
        pk__in=monitor_ids, incidents__started_at__gte=since, incidents__started_at__lt=until
    )
    found = began.aggregate(
        count=Count("incidents"),
        resolved=Count("incidents__resolved_at"),
        repair=Sum(
            F("incidents__resolved_at") - F("incidents__started_at"), output_field=DurationField()
        ),
    )
    return Incidents(found["count"], found["resolved"], found["repair"] or timedelta())


def _tile(since: datetime, until: datetime) -> Tiling:
    done = dict(Chore.objects.filter(pk__in=(HOURS, DAYS)).values_list("pk", "done_until"))
    return tile(since, until, hours_until=done.get(HOURS), days_until=done.get(DAYS))
