"""Uptime as arithmetic on status spans, and what is promised of it. Pure functions of values.

Every second of a window is in exactly one of six classes. What nobody observed (a monitor that
waits for its first check, or did not exist yet) is unknown: it counts neither for nor against.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from monitors.models import Status

# Of a percentage, so that a second of downtime in a year still shows.
DECIMALS = 6

_MICROSECOND = timedelta(microseconds=1)

_CLASS_OF = {
    Status.UP: "up",
    Status.DEGRADED: "degraded",
    Status.DOWN: "down",
    Status.RECOVERING: "down",
    Status.MAINTENANCE: "maintenance",
    Status.PAUSED: "paused",
    Status.PENDING: "unknown",
    Status.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one status; `ended_at` is None while it lasts."""

    status: Status
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Statistics:
    """How a window was spent; together the six are the window's length."""

    up: timedelta = timedelta()
    degraded: timedelta = timedelta()
    down: timedelta = timedelta()
    maintenance: timedelta = timedelta()
    paused: timedelta = timedelta()
    unknown: timedelta = timedelta()

    @property
    def uptime_percent(self) -> float | None:
        """Up or degraded time of the time that counts; None when no time counts.

        Maintenance, paused and unknown time do not count. Cut, not rounded: 100 means no downtime.
        """
        return _percent(self.up + self.degraded, self.up + self.degraded + self.down)

    @property
    def coverage_percent(self) -> float | None:
        """The share of the window that was observed, in whatever state."""
        observed = self.up + self.degraded + self.down + self.maintenance
        return _percent(observed, observed + self.paused + self.unknown)


def summarize(spans: Iterable[Span], *, since: datetime, until: datetime) -> Statistics:
    """How the window from `since` to before `until` was spent; the spans don't overlap.

    The caller cuts `until` at the present: an open span is taken to last to the window's end.
    """
    spent = dict.fromkeys(Status, timedelta())
    for span in spans:
        start = max(span.started_at, since)
        end = until if span.ended_at is None else min(span.ended_at, until)
        if end > start:
            spent[span.status] += end - start
    return statistics_of(spent, max(until - since, timedelta()))


def statistics_of(spent: Mapping[Status, timedelta], length: timedelta) -> Statistics:
    """The classes of a window of this length, of which so much was spent in each status."""
    found = dict.fromkeys(_CLASS_OF.values(), timedelta())
    for status, time in spent.items():
        found[_CLASS_OF[status]] += time
    found["unknown"] += length - sum(spent.values(), timedelta())
    return Statistics(**found)


def add_statistics(parts: Iterable[Statistics]) -> Statistics:
    """Several windows, or several monitors' window, as one."""
    sums = dict.fromkeys(_CLASS_OF.values(), timedelta())
    for part in parts:
        for name in sums:
            sums[name] += getattr(part, name)
    return Statistics(**sums)


@dataclass(frozen=True, slots=True)
class Incidents:
    """The incidents that began in a window; `repair` is how long the resolved ones lasted."""

    count: int = 0
    resolved: int = 0
    repair: timedelta = timedelta()

    @property
    def mttr(self) -> timedelta | None:
        """Mean time to recovery, of those that are resolved; each counts with all its length."""
        return self.repair / self.resolved if self.resolved else None

    def mtbf(self, spent: Statistics) -> timedelta | None:
        """Mean time between failures: up and degraded time for each incident that began."""
        return (spent.up + spent.degraded) / self.count if self.count else None


@dataclass(frozen=True, slots=True)
class Promise:
    """An uptime that is promised, and what is left of it: a negative `left` means broken.

    The budget is the downtime that the promise allows for in the time that counts (up, degraded and
    down); `is_kept` is None where no time counts.
    """

    per_mille: int
    budget: timedelta
    left: timedelta
    is_kept: bool | None

    @property
    def overdrawn(self) -> timedelta:
        """By how much the downtime exceeds the budget."""
        return max(-self.left, timedelta())


def judge_promise(spent: Statistics, *, per_mille: int) -> Promise:
    counted = spent.up + spent.degraded + spent.down
    # In whole microseconds of a thousandth, so that exactly the target is kept.
    left = counted * (1000 - per_mille) - spent.down * 1000
    return Promise(
        per_mille=per_mille,
        budget=counted * (1000 - per_mille) / 1000,
        left=left / 1000,
        is_kept=left >= timedelta() if counted else None,
    )


@dataclass(frozen=True, slots=True)
class Tiling:
    """A window cut into whole UTC weeks, days, hours, and the rest; together they are the window.

    Each is a list of stretches (from, to before).
    """

    weeks: list[tuple[datetime, datetime]]
    days: list[tuple[datetime, datetime]]
    hours: list[tuple[datetime, datetime]]
    rest: list[tuple[datetime, datetime]]


def tile(
    since: datetime,
    until: datetime,
    *,
    hours_until: datetime | None,
    days_until: datetime | None,
    weeks_until: datetime | None,
) -> Tiling:
    """Cut a window into what is rolled up by week, then by day, by hour, and what is not.

    `hours_until` and the others say how far there are rollups, on whole hours, days, weeks; None:
    not at all.
    """
    found = Tiling([], [], [], _stretches((since, until)))
    begin, end = since, until
    for outer, inner, step, done_until in (
        (found.rest, found.hours, _HOUR, hours_until),
        (found.hours, found.days, _DAY, days_until),
        (found.days, found.weeks, _WEEK, weeks_until),
    ):
        first, last = _up(begin, step), _down(min(end, done_until or begin), step)
        if last <= first:
            break
        outer[:] = _stretches((begin, first), (last, end))
        inner.append((first, last))
        begin, end = first, last
    return found


_HOUR, _DAY, _WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
_EPOCH = datetime(1970, 1, 5, tzinfo=UTC)  # a Monday


def _down(moment: datetime, step: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % step


def _up(moment: datetime, step: timedelta) -> datetime:
    return moment + (_EPOCH - moment) % step


def _stretches(*candidates: tuple[datetime, datetime]) -> list[tuple[datetime, datetime]]:
    return [(since, until) for since, until in candidates if since < until]


def _percent(part: timedelta, whole: timedelta) -> float | None:
    if not whole:
        return None
    # In whole numbers: a float quotient could come out as 100 for less than all.
    scale: int = 10**DECIMALS
    cut: int = (part // _MICROSECOND) * 100 * scale // (whole // _MICROSECOND)
    return cut / scale
