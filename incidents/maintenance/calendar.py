"""Maintenance by the month: which windows are on on which of its days. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from incidents.maintenance.reads import Planned, planned
from incidents.models import MaintenanceWindow
from uptime.wall_clock import instant_of, wall_time

# Of more on a day, how many is all that is said.
LISTED_A_DAY = 5

_DAY = timedelta(days=1)
_FIRST, _LAST = date(2000, 1, 1), date(2199, 12, 1)


@dataclass(frozen=True, slots=True)
class Entry:
    """An occurrence as a day shows it, by the reader's clocks."""

    window: MaintenanceWindow
    starts: str
    """Empty where it began on an earlier day."""
    ends: str
    """Empty where it goes on on the next day."""


@dataclass(slots=True)
class Day:
    date: date
    is_of_month: bool
    is_today: bool
    is_past: bool
    entries: list[Entry] = field(default_factory=list)
    more: int = 0


@dataclass(frozen=True, slots=True)
class Month:
    first: date
    weeks: list[list[Day]]
    """From Monday to Sunday, whole."""

    @property
    def before(self) -> date | None:
        before = (self.first - _DAY).replace(day=1)
        return before if before >= _FIRST else None

    @property
    def after(self) -> date | None:
        after = _next(self.first)
        return after if after <= _LAST else None


def read_month(text: str, now: datetime, zone: ZoneInfo) -> date:
    """The first day of the month that `text` names, such as 2026-12; else of the present one."""
    match = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", text, re.ASCII)
    if match:
        first = date(max(int(match[1]), 1), int(match[2]), 1)
        if _FIRST <= first <= _LAST:
            return first
    return wall_time(now, zone).date().replace(day=1)


def stretch_of(first: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Since when and until when the month is shown: whole weeks, by the clocks of the zone."""
    begin = first - first.weekday() * _DAY
    last = _next(first) - _DAY
    return _midnight(begin, zone), _midnight(last + (7 - last.weekday()) * _DAY, zone)


def month_of(
    windows: Iterable[MaintenanceWindow], first: date, now: datetime, zone: ZoneInfo
) -> Month:
    since, until = stretch_of(first, zone)
    today = wall_time(now, zone).date()
    begin, end = wall_time(since, zone).date(), wall_time(until, zone).date()
    days = {
        one: Day(one, one.month == first.month, one == today, one < today)
        for one in (begin + n * _DAY for n in range((end - begin).days))
    }
    for one in planned(windows, since, until):
        _place(one, days, zone)
    in_order = list(days.values())
    return Month(first, [in_order[n : n + 7] for n in range(0, len(in_order), 7)])


def _place(one: Planned, days: dict[date, Day], zone: ZoneInfo) -> None:
    """Show it on each of the days that it is on."""
    starts, ends = (
        wall_time(at, zone) for at in (one.occurrence.starts_at, one.occurrence.ends_at)
    )
    # What ends at midnight is not on on the day that begins then; the last instant counts.
    final = max((ends - timedelta(microseconds=1)).date(), starts.date())
    at = max(starts.date(), min(days))
    while at <= min(final, max(days)):
        day = days[at]
        if len(day.entries) < LISTED_A_DAY:
            day.entries.append(
                Entry(
                    one.window,
                    f"{starts:%H:%M}" if at == starts.date() else "",
                    _end(ends, at) if at == final else "",
                )
            )
        else:
            day.more += 1
        at += _DAY


def _end(ends: datetime, day: date) -> str:
    return f"{ends:%H:%M}" if ends.date() == day else "24:00"


def _next(first: date) -> date:
    return (first + 31 * _DAY).replace(day=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return instant_of(datetime.combine(day, datetime.min.time()), zone).astimezone(UTC)
