"""The course of a monitor's latency over a window, from an hour to a year, at one resolution each.

Short windows are read from single results, long ones from the rollups of hours and days: a page
reads some thousand rows at most, whatever it shows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

from monitors.charts import PHASES
from monitors.histograms import Latencies, unpacked
from monitors.history import Seen, read_seen
from monitors.models import Assignment, Monitor
from monitors.rollups import ANSWERED
from uptime.database import hot_cursor

RANKS = (0.5, 0.95, 0.99)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Zoom:
    """A window's length, how long each of its steps is, and which table it is read from.

    Without a table, it is read from single results.
    """

    name: str
    label: str
    length: timedelta
    step: timedelta
    table: str = ""


ZOOMS = {
    zoom.name: zoom
    for zoom in (
        Zoom("1h", "1 hour", timedelta(hours=1), timedelta(minutes=1)),
        Zoom("24h", "24 hours", timedelta(days=1), timedelta(minutes=15)),
        Zoom("7d", "7 days", timedelta(days=7), timedelta(hours=1), "monitors_hourrollup"),
        Zoom("30d", "30 days", timedelta(days=30), timedelta(hours=6), "monitors_hourrollup"),
        Zoom("90d", "90 days", timedelta(days=90), timedelta(days=1), "monitors_dayrollup"),
        Zoom("1y", "1 year", timedelta(days=365), timedelta(days=2), "monitors_dayrollup"),
    )
}
DEFAULT_ZOOM = "24h"


@dataclass(frozen=True, slots=True)
class Step:
    """What the checks of one step of the window took, in ms: the median, the 95th, the 99th.

    All are None where no check was answered. `phases_ms` are the means of `charts.PHASES`; it is
    empty where single results are not looked at, or were not answered.
    """

    at: datetime
    until: datetime
    checks: int
    percentiles_ms: tuple[float | None, float | None, float | None]
    phases_ms: tuple[float, ...] = ()


def course_of(monitor: Monitor, zoom: Zoom, *, now: datetime) -> list[Step]:
    """The steps from the one that the window begins in to the present one, oldest first."""
    last = now - (now - _EPOCH) % zoom.step
    first = last - (ceil(zoom.length / zoom.step) - 1) * zoom.step
    ids = list(Assignment.objects.filter(monitor=monitor).values_list("id", flat=True))
    phases: dict[int, tuple[float, ...]] = {}
    if zoom.table:
        found = _rolled_up(ids, zoom, since=first, until=now)
    else:
        found = _seen(read_seen(ids, [(first, now)]), zoom, since=first)
        phases = _mean_phases(ids, zoom, since=first, until=now)
    return [
        _step(first + place * zoom.step, zoom, found.get(place, Latencies()), phases.get(place, ()))
        for place in range((last - first) // zoom.step + 1)
    ]


def _step(at: datetime, zoom: Zoom, latencies: Latencies, phases_ms: tuple[float, ...]) -> Step:
    median, high, highest = latencies.percentiles_ms(RANKS)
    return Step(at, at + zoom.step, latencies.count, (median, high, highest), phases_ms)


def _mean_phases(
    assignment_ids: list[int], zoom: Zoom, *, since: datetime, until: datetime
) -> dict[int, tuple[float, ...]]:
    """The means of each step's phases, which add up. Of plain results: those of the last day are.

    Added up by the database: there may be one a second.
    """
    means = ", ".join(f"avg(coalesce({name}_ms, 0))" for name in PHASES)
    with hot_cursor() as cursor:
        cursor.execute(
            f"""
            SELECT floor(extract(epoch FROM checked_at - %s) / %s)::int, {means}
            FROM monitors_result
            WHERE assignment_id = ANY(%s) AND checked_at >= %s AND checked_at < %s
              AND status = ANY(%s)
            GROUP BY 1
            """,  # noqa: S608 - literals of this package
            [since, zoom.step.total_seconds(), assignment_ids, since, until, list(ANSWERED)],
        )
        return {place: tuple(spent) for place, *spent in cursor}


def _seen(results: Iterable[Seen], zoom: Zoom, *, since: datetime) -> dict[int, Latencies]:
    found: dict[int, list[float]] = {}
    for one in results:
        if one.status in ANSWERED and one.latency_ms is not None:
            found.setdefault((one.checked_at - since) // zoom.step, []).append(one.latency_ms)
    return {place: Latencies.of(values) for place, values in found.items()}


def _rolled_up(
    assignment_ids: list[int], zoom: Zoom, *, since: datetime, until: datetime
) -> dict[int, Latencies]:
    with hot_cursor() as cursor:
        cursor.execute(
            f"""
            SELECT floor(extract(epoch FROM started_at - %s) / %s)::int, sum(latency_sum_ms),
                min(latency_min_ms), max(latency_max_ms), sum(histogram)
            FROM {zoom.table}
            WHERE assignment_id = ANY(%s) AND started_at >= %s AND started_at < %s
            GROUP BY 1
            """,  # noqa: S608 - a literal of this module
            [since, zoom.step.total_seconds(), assignment_ids, since, until],
        )
        return {
            place: Latencies(sum_ms, min_ms, max_ms, unpacked(histogram))
            for place, sum_ms, min_ms, max_ms, histogram in cursor
        }
