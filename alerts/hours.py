"""Active hours: when a week has somebody listening. Pure.

    contains(at)        whether the instant lies in them
    next_opening(at)    `at` itself if it does, else when they begin next

Windows are told by wall clocks, on the days that they begin on; one whose end is not after its
start ends on the next day (22:00 to 06:00, or 00:00 to 00:00 for a whole day). Of an end that the
clocks show twice the later one counts, so that no window is cut short.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from uptime.wall_clock import DAY, ZoneName, instant_of, last_instant_of, wall_time

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
# Two weeks: in one of them a window may lie in an hour, or on a day, that the clocks skip.
_LOOK_AHEAD = 17


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` on each of `days` (Monday is 0) to `end`, that day or the next."""

    days: frozenset[int]
    start: time
    end: time


@dataclass(frozen=True, slots=True)
class ActiveHours:
    """A week's windows in one time zone; they may overlap. There is at least one."""

    zone: ZoneInfo
    windows: tuple[Window, ...]

    def contains(self, at: datetime) -> bool:
        return any(start <= at < end for start, end in self._stretches(at, days=3))

    def next_opening(self, at: datetime) -> datetime:
        return _next_opening(self, at)

    def edges(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """The instants in between at which a window begins or ends, in no order."""
        days = (until - since) // DAY + 3
        for stretch in self._stretches(since, days=days):
            yield from (edge for edge in stretch if since < edge < until)

    def _stretches(
        self, around: datetime, days: int = _LOOK_AHEAD
    ) -> Iterator[tuple[datetime, datetime]]:
        """The windows that begin in the `days` days from the one before `around`, in its zone."""
        today = wall_time(around, self.zone).date()
        for offset in range(-1, days - 1):
            day = today + timedelta(days=offset)
            for window in self.windows:
                if day.weekday() in window.days:
                    start, end = self._stretch(day, window)
                    if start < end:
                        yield start, end

    def _stretch(self, day: date, window: Window) -> tuple[datetime, datetime]:
        last_day = day if window.end > window.start else day + DAY
        return (
            instant_of(datetime.combine(day, window.start), self.zone),
            last_instant_of(datetime.combine(last_day, window.end), self.zone),
        )


@lru_cache(maxsize=1024)  # a storm asks for one instant again and again
def _next_opening(hours: ActiveHours, at: datetime) -> datetime:
    if hours.contains(at):
        return at
    return min(start for start, _ in hours._stretches(at) if start > at)


# -- as the API tells them and the database keeps them ---------------------------------------------


def _clock(text: str) -> str:
    if not re.fullmatch(_CLOCK, text, re.ASCII):
        raise ValueError("Give a time of day such as 08:30.")
    return text


_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"
ClockTime = Annotated[
    str, Field(json_schema_extra={"pattern": f"^{_CLOCK}$"}), AfterValidator(_clock)
]


class WindowValues(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    days: list[Day] = Field(min_length=1, max_length=7)
    """Those that it begins on."""
    start: ClockTime
    """A time of day, such as `08:30`."""
    end: ClockTime
    """Likewise; one that is not after `start` is of the next day."""


class HoursValues(BaseModel):
    """A week's windows, such as Monday to Friday from 08:00 until 18:00."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    timezone: ZoneName
    """Such as `Europe/Berlin`."""
    windows: list[WindowValues] = Field(min_length=1, max_length=50)

    @classmethod
    def of(cls, stored: Any) -> Self | None:
        """As the database keeps them; None where there are none."""
        return cls.model_validate(stored) if stored else None

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def as_hours(self) -> ActiveHours:
        return ActiveHours(
            ZoneInfo(self.timezone), tuple(_as_window(window) for window in self.windows)
        )


def _as_window(values: WindowValues) -> Window:
    return Window(
        frozenset(DAYS.index(day) for day in values.days),
        time.fromisoformat(values.start),
        time.fromisoformat(values.end),
    )
