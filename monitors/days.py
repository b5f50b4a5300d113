"""How monitors spent each of the last days, and how quick they were: what public pages draw.

A fixed number of queries, whatever the number of monitors. Raw SQL: of 90 days only what was not
plainly up is read, which for most monitors is nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from monitors.histograms import CHECKS_SQL
from monitors.models import Status
from monitors.statistics import Span, Statistics, statistics_of, summarize
from uptime.database import hot_cursor

DAY = timedelta(days=1)


def first_day(now: datetime, days: int) -> datetime:
    """The start of the first of so many UTC days, the last of which is today."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - (days - 1) * DAY


@dataclass(slots=True)
class Lived:
    """What is known of a monitor's window, cut into steps of one length.

    `begun` is when its history begins. `spent` has, by a step's number, the time of it that was not
    up, by status: since `begun`, spans meet, so the rest was up.
    """

    begun: datetime | None = None
    spent: dict[int, dict[Status, timedelta]] = field(default_factory=dict)


def read_lived(
    monitor_ids: Sequence[UUID], *, since: datetime, until: datetime, step: timedelta
) -> dict[UUID, Lived]:
    """How each monitor lived through the steps of a window, the last of which may be cut short.

    Two queries, whatever the number of monitors.
    """
    lived = {pk: Lived() for pk in monitor_ids}
    with hot_cursor() as cursor:
        cursor.execute(
            """
            SELECT wanted.id, (SELECT min(s.started_at) FROM monitors_statusspan AS s
                               WHERE s.monitor_id = wanted.id)
            FROM unnest(%s::uuid[]) AS wanted(id)
            """,
            [list(monitor_ids)],
        )
        for monitor_id, begun in cursor:
            lived[monitor_id].begun = begun
        cursor.execute(
            """
            SELECT s.monitor_id, steps.number, s.status,
                sum(least(coalesce(s.ended_at, %(until)s), %(until)s,
                          %(since)s::timestamptz + (steps.number + 1) * %(step)s::interval)
                    - greatest(s.started_at,
                               %(since)s::timestamptz + steps.number * %(step)s::interval))
            FROM monitors_statusspan AS s
            CROSS JOIN LATERAL generate_series(
                floor(extract(epoch FROM greatest(s.started_at, %(since)s) - %(since)s)
                      / %(seconds)s)::int,
                ceil(extract(epoch FROM least(coalesce(s.ended_at, %(until)s), %(until)s)
                                        - %(since)s) / %(seconds)s)::int - 1
            ) AS steps(number)
            WHERE s.monitor_id = ANY(%(ids)s) AND s.started_at < %(until)s
              AND (s.ended_at IS NULL OR s.ended_at > %(since)s) AND s.status <> %(up)s
            GROUP BY s.monitor_id, steps.number, s.status
            """,
            {
                "ids": list(monitor_ids),
                "since": since,
                "until": until,
                # in hours: PostgreSQL's day is not always 24 of them
                "step": f"{step.total_seconds() / 3600} hours",
                "seconds": step.total_seconds(),
                "up": Status.UP,
            },
        )
        for monitor_id, number, status, time in cursor:
            lived[monitor_id].spent.setdefault(number, {})[Status(status)] = time
    return lived


def daily_time(
    monitor_ids: Sequence[UUID], *, since: datetime, until: datetime
) -> dict[UUID, list[Statistics]]:
    """How each monitor spent each day from `since`, the start of a UTC day; the last is cut."""
    return {
        pk: [
            time_of(lived.spent.get(number, {}), start, min(start + DAY, until), lived.begun)
            for number, start in enumerate(_starts(since, until))
        ]
        for pk, lived in read_lived(monitor_ids, since=since, until=until, step=DAY).items()
    }


def _starts(since: datetime, until: datetime) -> list[datetime]:
    return [since + number * DAY for number in range(-((since - until) // DAY))]


def time_of(
    spent: Mapping[Status, timedelta], start: datetime, end: datetime, begun: datetime | None
) -> Statistics:
    """Spans meet: what is left of a stretch since the first of them is up."""
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
            f"""
            SELECT a.monitor_id, h.started_at,
                sum(h.latency_sum_ms) / nullif(sum({CHECKS_SQL}), 0)::float8
            FROM monitors_assignment AS a
            JOIN monitors_hourrollup AS h ON h.assignment_id = a.id
            WHERE a.monitor_id = ANY(%s) AND h.started_at >= %s AND h.started_at < %s
            GROUP BY a.monitor_id, h.started_at ORDER BY h.started_at
            """,  # noqa: S608 - a literal of this package
            [list(monitor_ids), since, until],
        )
        for monitor_id, hour, mean in cursor:
            found.setdefault(monitor_id, []).append((hour, mean))
    return found


def mean_latency(
    monitor_ids: Sequence[UUID], *, since: datetime, until: datetime
) -> dict[UUID, float]:
    """Each monitor's mean latency in ms over these UTC days, as far as they are rolled up.

    All its locations together; one of which no check was timed, like a heartbeat, is left out.
    """
    with hot_cursor() as cursor:
        cursor.execute(
            f"""
            SELECT a.monitor_id, sum(d.latency_sum_ms) / sum({CHECKS_SQL})::float8
            FROM monitors_assignment AS a
            JOIN monitors_dayrollup AS d ON d.assignment_id = a.id
            WHERE a.monitor_id = ANY(%s) AND d.started_at >= %s AND d.started_at < %s
            GROUP BY a.monitor_id HAVING sum({CHECKS_SQL}) > 0
            """,  # noqa: S608 - a literal of this package
            [list(monitor_ids), since, until],
        )
        return dict(cursor.fetchall())
