"""Statistics counted once more, the slow and obvious way: every span and rollup one by one."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from incidents.models import Incident
from monitors.chores import day_of, hour_of
from monitors.figures import Figures, monitor_figures
from monitors.history import read_seen
from monitors.models import Assignment, DayRollup, HourRollup, Monitor, Status, StatusSpan
from monitors.rollups import Counts
from monitors.statistics import Span, summarize

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


def recount(
    monitors: Iterable[Monitor],
    windows: Iterable[timedelta],
    *,
    now: datetime,
    with_hours: timedelta,
) -> list[str]:
    """What the figures of these monitors over these windows, which end now, have wrong.

    `with_hours`: how far back there are hour rollups; a longer window begins with its first day.
    """
    windows = list(windows)
    return [
        f"{monitor.name}, {window.days} days: {fault}"
        for monitor in monitors
        for window in windows
        for fault in _recount(monitor, now - window, now, by_hours=window <= with_hours)
    ]


def recount_results(
    assignment: Assignment, windows: Iterable[timedelta], *, now: datetime
) -> list[str]:
    """The same of one whose results are all there: its checks are counted from them."""
    found = []
    for window in windows:
        told = monitor_figures(assignment.monitor, since=now - window, until=now).checks
        counted = Counts.of(read_seen([assignment.pk], [(now - window, now)]))
        if _essence(told) != _essence(counted):
            found.append(f"results of {window.days} days: {told} instead of {counted}")
    return found


def _recount(monitor: Monitor, since: datetime, until: datetime, *, by_hours: bool) -> list[str]:
    told = monitor_figures(monitor, since=since, until=until)
    spans = [
        Span(Status(one.status), one.started_at, one.ended_at)
        for one in StatusSpan.objects.filter(monitor=monitor)
    ]
    faults = []
    if told.spent != summarize(spans, since=since, until=until):
        faults.append(f"time {told.spent}")
    began = [
        one for one in Incident.objects.filter(monitor=monitor) if since <= one.started_at < until
    ]
    repair = sum(
        (one.resolved_at - one.started_at for one in began if one.resolved_at), timedelta()
    )
    if (told.incidents.count, told.incidents.repair) != (len(began), repair):
        faults.append(f"incidents {told.incidents}")
    return faults + _recount_checks(monitor, told, since, until, by_hours=by_hours)


def _recount_checks(
    monitor: Monitor, told: Figures, since: datetime, until: datetime, *, by_hours: bool
) -> list[str]:
    """By hours alone, or where those do not reach by days and the hours of the last one."""
    of_monitor = {"assignment__monitor": monitor.pk}
    hours_since = hour_of(since + _HOUR) if by_hours else day_of(until)
    rows: list[DayRollup | HourRollup] = list(
        HourRollup.objects.filter(
            **of_monitor, started_at__gte=hours_since, started_at__lt=hour_of(until)
        )
    )
    if not by_hours:
        rows += DayRollup.objects.filter(
            **of_monitor, started_at__gte=day_of(since + _DAY), started_at__lt=day_of(until)
        )
    counts = (sum(one.up for one in rows), sum(one.down for one in rows))
    buckets: Counter[int] = Counter()
    for one in rows:
        buckets.update(one.histogram)
    if (told.checks.up, told.checks.down, told.checks.latencies.buckets) == (*counts, buckets):
        return []
    return [f"checks {told.checks} instead of {counts}"]


def _essence(counts: Counts) -> tuple[object, ...]:
    """Least and most to the microsecond: rollups keep what lies below it, packed results do not."""
    latencies = counts.latencies
    ends = [ms and round(ms, 3) for ms in (latencies.min_ms, latencies.max_ms)]
    return (counts.up, counts.degraded, counts.down, counts.unknown, *ends, latencies.buckets)
