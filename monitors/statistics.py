"""Uptime as arithmetic on status spans. Pure functions of values.

Every second of a window is in exactly one of six classes. What nobody observed (a monitor that
waits for its first check, or did not exist yet) is unknown: it counts neither for nor against.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitors.models import Status

# Of a percentage, so that a second of downtime in a year still shows.
DECIMALS = 6

_MICROSECOND = timedelta(microseconds=1)

_CLASS_OF = {
    Status.UP: "up",
    Status.DEGRADED: "degraded",
    Status.DOWN: "down",
    Status.MAINTENANCE: "maintenance",
    Status.PAUSED: "paused",
    Status.PENDING: "unknown",
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
    spent = dict.fromkeys(_CLASS_OF.values(), timedelta())
    for span in spans:
        start = max(span.started_at, since)
        end = until if span.ended_at is None else min(span.ended_at, until)
        if end > start:
            spent[_CLASS_OF[span.status]] += end - start
    spent["unknown"] += max(until - since, timedelta()) - sum(spent.values(), timedelta())
    return Statistics(**spent)


def _percent(part: timedelta, whole: timedelta) -> float | None:
    if not whole:
        return None
    # In whole numbers: a float quotient could come out as 100 for less than all.
    scale: int = 10**DECIMALS
    cut: int = (part // _MICROSECOND) * 100 * scale // (whole // _MICROSECOND)
    return cut / scale
