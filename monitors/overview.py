"""What a row of the list shows besides the monitor: its bar, its uptime, its latency's course.

A fixed number of queries for the monitors of one page, however many others there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from monitors.charts import Bar, cell_bars, spark_line
from monitors.days import DAY, Lived, first_day, hourly_latency, read_lived, time_of
from monitors.models import Monitor, Status
from monitors.reads import MonitorRow, monitor_rows

HALF_HOUR = timedelta(minutes=30)
SPARK_HOURS = 24

# What a cell of a bar is called that had some of each: the worst that was in it; without trouble,
# what most of it was: a moment of waiting for the first check hides no day of being up.
_TROUBLE = {
    Status.DOWN: "down",
    Status.RECOVERING: "down",
    Status.DEGRADED: "degraded",
    Status.MAINTENANCE: "maintenance",
}
_QUIET = {
    Status.UNKNOWN: "unknown",
    Status.PAUSED: "paused",
    Status.PENDING: "unknown",
}


@dataclass(frozen=True, slots=True)
class Window:
    """What the bars show: so many cells, the last of which is under way."""

    label: str
    since: datetime
    until: datetime
    cell: timedelta

    @property
    def cells(self) -> int:
        return ceil((self.until - self.since) / self.cell)


def window_of(name: str, now: datetime) -> Window:
    """`90d` is so many UTC days, today being the last; anything else the last 24 hours."""
    if name == "90d":
        return Window("90 days", first_day(now, 90), now, DAY)
    begun = now - (now - first_day(now, 1)) % HALF_HOUR
    return Window("24 hours", begun - 47 * HALF_HOUR, now, HALF_HOUR)


@dataclass(frozen=True, slots=True)
class OverviewRow:
    """`bars` are on a canvas as wide as the window has cells; `spark` is an SVG path."""

    row: MonitorRow
    bars: list[Bar]
    uptime_percent: float | None
    spark: str

    @property
    def monitor(self) -> Monitor:
        return self.row.monitor


def overview_rows(monitors: Sequence[Monitor], window: Window) -> list[OverviewRow]:
    """The rows of these monitors, in their order. Four queries."""
    ids = [monitor.pk for monitor in monitors]
    until = window.until
    lived = read_lived(ids, since=window.since, until=until, step=window.cell)
    hours = hourly_latency(ids, since=until - timedelta(hours=SPARK_HOURS + 1), until=until)
    return [
        OverviewRow(
            row,
            bars_of(lived[row.monitor.pk], window),
            uptime_of(lived[row.monitor.pk], window),
            spark_line([mean for _, mean in hours.get(row.monitor.pk, ())]),
        )
        for row in monitor_rows(monitors)
    ]


def bars_of(lived: Lived, window: Window) -> list[Bar]:
    """The window's cells, neighbours of one colour being one bar; what was not yet is left out."""
    begun = lived.begun
    first = 0 if begun is None else max((begun - window.since) // window.cell, 0)
    names = [""] * window.cells
    if begun is not None:
        for number in range(first, window.cells):
            start = window.since + number * window.cell
            known = min(start + window.cell, window.until) - max(start, begun)
            names[number] = _name_of(lived.spent.get(number, {}), known)
    return cell_bars(names, since=window.since, cell=window.cell)


def uptime_of(lived: Lived, window: Window) -> float | None:
    total: dict[Status, timedelta] = {}
    for spent in lived.spent.values():
        for status, time in spent.items():
            total[status] = total.get(status, timedelta()) + time
    return time_of(total, window.since, window.until, lived.begun).uptime_percent


def _name_of(spent: Mapping[Status, timedelta], known: timedelta) -> str:
    """Of a cell of which so much is known; what no status but up took was up."""
    if trouble := next((name for status, name in _TROUBLE.items() if spent.get(status)), ""):
        return trouble
    longest = max(_QUIET, key=lambda status: spent.get(status, timedelta()))
    up = known - sum(spent.values(), timedelta())
    return "up" if up >= spent.get(longest, timedelta()) else _QUIET[longest]
