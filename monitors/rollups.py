"""Rollups: what an assignment's checks add up to, by the hour, the day and the week.

An hour is rolled up once, `GRACE` after its end, a few hundred assignments at a time; a day from
its 24 hours; a week from its seven days, so that a year is read from a sixth of the rows. What is
stored later than that (an agent was cut off, the database was away) leaves a mark in its own
transaction, and the hours, days and weeks that are marked are counted afresh. Every statement here
replaces what it finds, so doing one again changes nothing.

Raw SQL: a day of 20,000 monitors is 29 million results, which must not pass through Python.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Min

from monitors.chores import (
    CHECKING,
    DAY,
    DAYS,
    HOUR,
    HOURS,
    WEEK,
    WEEKS,
    day_of,
    done_until,
    hour_of,
    next_assignments,
    start_over,
    week_of,
)
from monitors.histograms import BUCKET_SQL, PACKED_SQL, Latencies, unpacked
from monitors.history import Seen, read_seen
from monitors.models import Chore, DayRollup, HourRollup, LateResult, PackedResults, Ping
from monitors.partitions import existing_partitions
from monitors.retention import by_oldest_kept, oldest_kept
from probe.values import Finished, Status
from uptime.database import hot_cursor

# A result older than LATE_AFTER is marked when it is stored. Between that and GRACE lies more than
# any transaction takes, so a result is seen by its hour's rollup, or marked, or both.
LATE_AFTER = timedelta(minutes=2)
GRACE = timedelta(minutes=10)

# Assignments in a step: some 30,000 results at an interval of a minute.
HOURS_AT_ONCE = 500
DAYS_AT_ONCE = 1000
MARKS_AT_ONCE = 200
FORGOTTEN_AT_ONCE = 1000


def note_late(finished: Sequence[Finished], *, now: datetime) -> None:
    """Mark the hours of results that come late; in the transaction that stores them."""
    late = {
        (one.job.assignment_id, hour_of(one.started_at))
        for one in finished
        if now - one.started_at > LATE_AFTER
    }
    LateResult.objects.bulk_create(LateResult(assignment_id=id_, hour=hour) for id_, hour in late)


def roll_up_hours(chore: Chore, now: datetime) -> bool:
    """The chore `HOURS`: the next assignments of the hour that is next."""
    hour = chore.done_until or _first_hour(now)
    chore.done_until = hour
    if hour + HOUR + GRACE > now:
        return False
    if ids := next_assignments(chore, HOURS_AT_ONCE):
        store_hours(ids, since=hour, until=hour + HOUR)
    if not chore.position:
        chore.done_until = hour + HOUR
    return True


def roll_up_days(chore: Chore, now: datetime) -> bool:
    """The chore `DAYS`: the next assignments of the day that is next and has all its hours."""
    hours_done = done_until(HOURS)
    if hours_done is None:
        return False
    day = chore.done_until or day_of(_first_hour(now))
    chore.done_until = day
    if day + DAY > hours_done:
        return False
    if ids := next_assignments(chore, DAYS_AT_ONCE):
        store_days(ids, since=day, until=day + DAY)
    if not chore.position:
        chore.done_until = day + DAY
    return True


def roll_up_weeks(chore: Chore, now: datetime) -> bool:
    """The chore `WEEKS`: the next assignments of the week that is next and has all its days."""
    days_done = done_until(DAYS)
    if days_done is None:
        return False
    week = chore.done_until or _first_week(days_done)
    chore.done_until = week
    if week + WEEK > days_done:
        return False
    if ids := next_assignments(chore, DAYS_AT_ONCE):
        store_weeks(ids, since=week, until=week + WEEK)
    if not chore.position:
        chore.done_until = week + WEEK
    return True


def fold_in_late(chore: Chore, now: datetime) -> bool:
    """The chore `LATE`: count marked hours afresh, and their days, where they were counted."""
    marks = list(LateResult.objects.order_by("id")[:MARKS_AT_ONCE])
    hours_done = done_until(HOURS)
    if not marks or hours_done is None:
        return False
    days_done, weeks_done = done_until(DAYS), done_until(WEEKS)
    kept = oldest_kept([one.assignment_id for one in marks], now)
    wanted = [one for one in marks if kept.get(one.assignment_id, now) <= one.hour]
    # the hour at the watermark may be under way: some of its assignments are counted
    for id_, hour in {(one.assignment_id, one.hour) for one in wanted}:
        if hour <= hours_done:
            store_hours_of(read_seen([id_], [(hour, hour + HOUR)]))
    for id_, day in {(one.assignment_id, day_of(one.hour)) for one in wanted}:
        if days_done is not None and day <= days_done:
            store_days([id_], since=day, until=day + DAY)
    for id_, week in {(one.assignment_id, week_of(one.hour)) for one in wanted}:
        if weeks_done is not None and week <= weeks_done:
            store_weeks([id_], since=week, until=week + WEEK)
    start_over(CHECKING, {day_of(one.hour) for one in marks})
    LateResult.objects.filter(pk__in=[one.pk for one in marks]).delete()
    return True


def forget_old(chore: Chore, now: datetime) -> bool:
    """The chore `RETENTION`, once a day: drop old packed results, hour rollups and pings, each
    team's in its own time.

    Those of days and weeks stay as long as their monitor: a year of 20,000 is a few gigabytes.
    """
    default_limit = day_of(now) - timedelta(days=settings.RETENTION_DAYS)
    if chore.done_until is not None and chore.done_until >= default_limit:
        return False
    ids = next_assignments(chore, FORGOTTEN_AT_ONCE)
    for limit, alike in by_oldest_kept(ids, now).items():
        PackedResults.objects.filter(assignment_id__in=alike, first_at__lt=limit).delete()
        HourRollup.objects.filter(assignment_id__in=alike, started_at__lt=limit).delete()
        Ping.objects.filter(monitor__assignments__in=alike, at__lt=limit).delete()
    if not chore.position:
        chore.done_until = default_limit
    return True


def _first_hour(now: datetime) -> datetime:
    """Where a new installation, or one that comes from before rollups, begins."""
    days = existing_partitions()
    first = datetime.combine(days[0], datetime.min.time(), UTC) if days else now
    return min(first, hour_of(now))


def _first_week(days_done: datetime) -> datetime:
    """The first that has a day, in a history that may be years old."""
    first = DayRollup.objects.aggregate(first=Min("started_at"))["first"]
    return week_of(first or days_done)


_COLUMNS = (
    "assignment_id",
    "started_at",
    "latency_sum_ms",
    "latency_min_ms",
    "latency_max_ms",
    "up",
    "degraded",
    "down",
    "unknown",
    "histogram",
)
# What several rollups add up to, in the order of the columns.
_SUMS = (
    "sum(latency_sum_ms), min(latency_min_ms), max(latency_max_ms),"
    " sum(up), sum(degraded), sum(down), sum(unknown), sum(histogram)"
)
_IS_TIMED = "(status IN ('up', 'degraded') AND latency_ms IS NOT NULL)"
_REPLACE = "ON CONFLICT (assignment_id, started_at) DO UPDATE SET " + ", ".join(
    f"{column} = excluded.{column}" for column in _COLUMNS[2:]
)


def store_hours(assignment_ids: Sequence[int], *, since: datetime, until: datetime) -> None:
    """Write these assignments' hour rollups of the hours from `since` to before `until`.

    From plain results: these hours are not packed yet.
    """
    source = (
        "monitors_result WHERE assignment_id = ANY(%s) AND checked_at >= %s AND checked_at < %s"
    )
    _execute(_hours_from(source), [list(assignment_ids), since, until])


def store_hours_of(results: Sequence[Seen]) -> None:
    """Write the hour rollups of these results: all that there are of their hours."""
    names = ", ".join(Seen._fields)
    source = f"unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::real[]) AS r ({names})"
    if results:
        _execute(_hours_from(source), [list(column) for column in zip(*results, strict=True)])


def _hours_from(source: str) -> str:
    return f"""
        WITH counted AS (
            SELECT assignment_id, date_trunc('hour', checked_at, 'UTC') AS started_at,
                CASE WHEN {_IS_TIMED} THEN {BUCKET_SQL} END AS bucket,
                coalesce(sum(latency_ms::float8) FILTER (WHERE {_IS_TIMED}), 0) AS latency_sum_ms,
                min(latency_ms) FILTER (WHERE {_IS_TIMED}) AS latency_min_ms,
                max(latency_ms) FILTER (WHERE {_IS_TIMED}) AS latency_max_ms,
                count(*) AS checks,
                count(*) FILTER (WHERE status = 'up') AS up,
                count(*) FILTER (WHERE status = 'degraded') AS degraded,
                count(*) FILTER (WHERE status = 'down') AS down,
                count(*) FILTER (WHERE status = 'unknown') AS unknown
            FROM {source}
            GROUP BY 1, 2, 3
        )
        INSERT INTO monitors_hourrollup ({", ".join(_COLUMNS)})
        SELECT assignment_id, started_at,
            sum(latency_sum_ms), min(latency_min_ms), max(latency_max_ms),
            sum(up), sum(degraded), sum(down), sum(unknown),
            coalesce(sum({PACKED_SQL}) FILTER (WHERE bucket IS NOT NULL), 0)
        FROM counted GROUP BY assignment_id, started_at
        {_REPLACE}
        """  # noqa: S608 - what is put in are literals of these modules


def store_days(assignment_ids: Sequence[int], *, since: datetime, until: datetime) -> None:
    """Write these assignments' day rollups of the days from `since` to before `until`."""
    _store_sums("day", "monitors_hourrollup", assignment_ids, since, until)


def store_weeks(assignment_ids: Sequence[int], *, since: datetime, until: datetime) -> None:
    """Write these assignments' week rollups of the weeks from `since` to before `until`."""
    _store_sums("week", "monitors_dayrollup", assignment_ids, since, until)


def _store_sums(
    step: str, source: str, assignment_ids: Sequence[int], since: datetime, until: datetime
) -> None:
    _execute(
        f"""
        INSERT INTO monitors_{step}rollup ({", ".join(_COLUMNS)})
        SELECT assignment_id, date_trunc('{step}', started_at, 'UTC'), {_SUMS}
        FROM {source}
        WHERE assignment_id = ANY(%s) AND started_at >= %s AND started_at < %s
        GROUP BY 1, 2
        {_REPLACE}
        """,  # noqa: S608 - likewise
        [list(assignment_ids), since, until],
    )


@dataclass(slots=True)
class Counts:
    """How many checks saw what, and the latency of those that were answered."""

    up: int = 0
    degraded: int = 0
    down: int = 0
    unknown: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    def add(self, other: "Counts") -> None:
        self.up += other.up
        self.degraded += other.degraded
        self.down += other.down
        self.unknown += other.unknown
        self.latencies.add(other.latencies)

    @classmethod
    def of(cls, results: Iterable[Seen]) -> "Counts":
        seen = list(results)
        counted = Counter(one.status for one in seen)
        answered = (
            one.latency_ms for one in seen if one.status in ANSWERED and one.latency_ms is not None
        )
        return cls(
            **{status.value: counted[status.value] for status in Status},
            latencies=Latencies.of(answered),
        )


def read_rollups(
    assignment_ids: Sequence[int],
    *,
    weeks: Sequence[tuple[datetime, datetime]] = (),
    days: Sequence[tuple[datetime, datetime]] = (),
    hours: Sequence[tuple[datetime, datetime]] = (),
) -> Counts:
    """What these assignments' rollups of these stretches of time add up to: one query."""
    tables = [("monitors_weekrollup", one) for one in weeks]
    tables += [("monitors_dayrollup", one) for one in days]
    tables += [("monitors_hourrollup", one) for one in hours]
    if not tables:
        return Counts()
    parts = " UNION ALL ".join(
        f"SELECT {', '.join(_COLUMNS)} FROM {table}"  # noqa: S608 - literals
        " WHERE assignment_id = ANY(%s) AND started_at >= %s AND started_at < %s"
        for table, _ in tables
    )
    with hot_cursor() as cursor:
        cursor.execute(
            f"SELECT {_SUMS} FROM ({parts}) AS part",  # noqa: S608 - likewise
            [value for _, one in tables for value in (list(assignment_ids), *one)],
        )
        row = cursor.fetchone()
    assert row is not None
    sum_ms, min_ms, max_ms, up, degraded, down, unknown, histogram = row
    if histogram is None:
        return Counts()
    latencies = Latencies(sum_ms, min_ms, max_ms, unpacked(histogram))
    return Counts(up, degraded, down, unknown, latencies)


ANSWERED = (Status.UP.value, Status.DEGRADED.value)


def _execute(statement: str, parameters: list[Any]) -> None:
    with hot_cursor() as cursor:
        cursor.execute(statement, parameters)
