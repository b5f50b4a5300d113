"""How monitors spent each of the last days, and how quick they were: what public pages draw.

A fixed number of queries, whatever the number of monitors. Raw SQL: of 90 days only what was not
plainly up is read, which for most monitors is nothing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from monitors.models import Status
from monitors.statistics import Span, Statistics, statistics_of, summarize
from uptime.database import hot_cursor

DAY = timedelta(days=1)


def first_day(now: datetime, days: int) -> datetime:
    """The start of the first of so many UTC days, the last of which is today."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - (days - 1) * DAY


def daily_time(
    monitor_ids: Sequence[UUID], *, since: datetime, until: datetime
) -> dict[UUID, list[Statistics]]:
    """How each monitor spent each day from `since`, the start of a UTC day; the last is cut."""
    begun: dict[UUID, datetime | None] = {}
    spent: dict[UUID, dict[int, dict[Status, timedelta]]] = {pk: {} for pk in monitor_ids}
    with hot_cursor() as cursor:
        cursor.execute(
            """
            SELECT wanted.id, (SELECT min(s.started_at) FROM monitors_statusspan AS s
                               WHERE s.monitor_id = wanted.id)
            FROM unnest(%s::uuid[]) AS wanted(id)
            """,
            [list(monitor_ids)],
        )
        begun.update(cursor)
        cursor.execute(
            """
            SELECT s.monitor_id, days.number, s.status,
                sum(least(coalesce(s.ended_at, %(until)s), %(until)s,
                          %(since)s::timestamptz + (days.number + 1) * interval '24 hours')
                    - greatest(s.started_at,
                               %(since)s::timestamptz + days.number * interval '24 hours'))
            FROM monitors_statusspan AS s
            CROSS JOIN LATERAL generate_series(
                floor(extract(epoch FROM greatest(s.started_at, %(since)s) - %(since)s)
                      / 86400)::int,
                ceil(extract(epoch FROM least(coalesce(s.ended_at, %(until)s), %(until)s)
                                        - %(since)s) / 86400)::int - 1
            ) AS days(number)
            WHERE s.monitor_id = ANY(%(ids)s) AND s.started_at < %(until)s
              AND (s.ended_at IS NULL OR s.ended_at > %(since)s) AND s.status <> %(up)s
            GROUP BY s.monitor_id, days.number, s.status
            """,
            {"ids": list(monitor_ids), "since": since, "until": until, "up": Status.UP},
        )
        for monitor_id, number, status, time in cursor:
            spent[monitor_id].setdefault(number, {})[Status(status)] = time
    return {
        pk: [
            _day(of_days.get(number, {}), start, min(start + DAY, until), begun[pk])
            for number, start in enumerate(_starts(since, until))
        ]
        for pk, of_days in spent.items()
    }


def _starts(since: datetime, until: datetime) -> list[datetime]:
    return [since + number * DAY for number in range(-((since - until) // DAY))]


def _day(
    spent: dict[Status, timedelta], start: datetime, end: datetime, begun: datetime | None
) -> Statistics:
    """Spans meet: what is left of a day since the first of them is up."""
    known = end - max(start, begun) if begun and begun < end else timedelta()
    up = known - sum(spent.values(), timedelta())
    return statistics_of({**spent, Status.UP: up}, end - start)


def days_of_spans(spans: Sequence[Span], *, since: datetime, until: datetime) -> list[Statistics]:
    """The same of spans in hand, as a pure function."""
    return [
        summarize(spans, since=start, until=min(start + DAY, until))
        for start in _starts(since, until)
    ]


def hourly_latency(
    monitor_ids: Sequence[UUID], *, since: datetime, until: datetime
) -> dict[UUID, list[tuple[datetime, float | None]]]:
    """Each monitor's mean latency in ms for each hour that is rolled up, oldest first.

    All its locations together; None for an hour in which no check was answered.
    """
    found: dict[UUID, list[tuple[datetime, float | None]]] = {}
    with hot_cursor() as cursor:
        cursor.execute(
            """
            SELECT a.monitor_id, h.started_at,
                sum(h.latency_sum_ms) / nullif(sum(
                    (SELECT sum(one) FROM unnest(h.counts) AS counted(one))), 0)
            FROM monitors_assignment AS a
            JOIN monitors_hourrollup AS h ON h.assignment_id = a.id
            WHERE a.monitor_id = ANY(%s) AND h.started_at >= %s AND h.started_at < %s
            GROUP BY a.monitor_id, h.started_at ORDER BY h.started_at
            """,
            [list(monitor_ids), since, until],
        )
        for monitor_id, hour, mean in cursor:
            found.setdefault(monitor_id, []).append((hour, mean))
    return found
