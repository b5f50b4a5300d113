"""When a maintenance window is: once, or by an RFC 5545 rule. Pure.

A rule recurs by wall clocks: what is planned from 02:00 to 04:00 is so on every day, however long
that is on the days on which the clocks change. A time that the clocks skip is the instant of the
change; what they skip as a whole lasts its length from there on. Of a time that they show twice a
window takes both: it begins at the first and ends at the second.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule as Rule  # noqa: N812 - it is a class
from dateutil.rrule import rrulestr

from uptime.wall_clock import instant_of, last_instant_of, wall_time

LONGEST_RULE = 500
_MOST_A_DAY = 24
_FREQUENCIES = ("HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_PARTS = {
    "FREQ": "|".join(_FREQUENCIES),
    "INTERVAL": r"[1-9]\d{0,2}",
    "COUNT": r"[1-9]\d{0,4}",
    "UNTIL": r"\d{8}(T\d{6}Z?)?",
    "WKST": "MO|TU|WE|TH|FR|SA|SU",
    "BYDAY": r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)",
    "BYMONTH": r"[1-9]|1[0-2]",
    "BYMONTHDAY": r"-?([1-9]|[12]\d|3[01])",
    "BYYEARDAY": r"-?[1-9]\d{0,2}",
    "BYWEEKNO": r"-?[1-9]\d?",
    "BYSETPOS": r"-?[1-9]\d{0,2}",
    "BYHOUR": r"1?\d|2[0-3]",
    "BYMINUTE": r"[1-5]?\d",
}
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Plan:
    """The first stretch, in whole seconds, and the rule by which it recurs; empty: once.

    A first stretch that is not one by the rule is only where the rule begins.
    """

    starts_at: datetime
    ends_at: datetime
    zone: ZoneInfo
    rrule: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Occurrence:
    starts_at: datetime
    ends_at: datetime


def occurrences(plan: Plan, since: datetime, until: datetime) -> Iterator[Occurrence]:
    """The plan's stretches that reach into the time from `since` to before `until`, in order."""
    for found in _from(plan, since):
        if found.starts_at >= until:
            return
        if found.ends_at > since:
            yield found


def next_occurrence(
    plan: Plan, now: datetime, *, after: datetime | None = None
) -> Occurrence | None:
    """The first that is not over, of those that start later than `after`; None: there is none."""
    for found in _from(plan, now):
        if found.ends_at > now and (after is None or found.starts_at > after):
            return found
    return None


def _from(plan: Plan, since: datetime) -> Iterator[Occurrence]:
    """In order, none left out that ends after `since`."""
    first = Occurrence(plan.starts_at.astimezone(UTC), plan.ends_at.astimezone(UTC))
    if not plan.rrule:
        yield first
        return
    length, began = plan.ends_at - plan.starts_at, wall_time(plan.starts_at, plan.zone)
    wall_length = wall_time(plan.ends_at, plan.zone) - began
    if wall_length <= timedelta():  # the first one lies about a change of the clocks
        wall_length = length
    earliest = wall_time(since, plan.zone) - max(length, wall_length) - _DAY
    last: datetime | None = None
    for wall in _rule(plan).xafter(earliest, inc=True):
        found = first if wall == began else _at(wall, wall_length, plan.zone)
        if last is None or found.starts_at > last:
            last = found.starts_at
            yield found


def _at(wall: datetime, wall_length: timedelta, zone: ZoneInfo) -> Occurrence:
    starts_at = instant_of(wall, zone)
    ends_at = last_instant_of(wall + wall_length, zone)
    return Occurrence(starts_at, ends_at if ends_at > starts_at else starts_at + wall_length)


def _rule(plan: Plan) -> Rule:
    parts = _parts_of(plan.rrule)
    if parts.get("UNTIL", "").endswith("Z"):
        last = datetime.strptime(parts["UNTIL"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        parts["UNTIL"] = f"{wall_time(last, plan.zone):%Y%m%dT%H%M%S}"
    elif len(parts.get("UNTIL", "")) == len("20260131"):
        parts["UNTIL"] += "T235959"
    return _parsed(parts, wall_time(plan.starts_at, plan.zone))


def clean_rule(text: str, starts_at: datetime, zone: ZoneInfo) -> str:
    """A rule as it is stored, of a plan that starts then; empty for none.

    Raises ValueError with a sentence for whoever wrote it.
    """
    text = text.strip().upper().removeprefix("RRULE:").rstrip(";")
    if not text:
        return ""
    if len(text) > LONGEST_RULE:
        raise ValueError(f"At most {LONGEST_RULE} characters.")
    parts = _parts_of(text)
    for name, value in parts.items():
        _check_part(name, value)
    if "FREQ" not in parts:
        raise ValueError("Say how often: FREQ=DAILY, WEEKLY, MONTHLY, …")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("Give one of COUNT and UNTIL, not both.")
    _check_density(parts)
    _check_that_it_comes(parts, wall_time(starts_at, zone))
    return ";".join(f"{name}={value}" for name, value in parts.items())


def _parts_of(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        if name in parts:
            raise ValueError(f"{name} stands there twice.")
        parts[name] = value
    return parts


def _check_part(name: str, value: str) -> None:
    pattern = _PARTS.get(name)
    if pattern is None:
        raise ValueError(f"“{name}” is not a part that a rule may have here.")
    values = value.split(",") if name.startswith("BY") else [value]
    if not all(re.fullmatch(pattern, one, re.ASCII) for one in values):
        raise ValueError(f"“{name}={value}” makes no sense.")
    if name == "UNTIL":
        try:
            datetime.strptime(value[:8], "%Y%m%d").replace(tzinfo=UTC)
        except ValueError:
            raise ValueError(f"“{name}={value}” is no date.") from None


def _check_density(parts: dict[str, str]) -> None:
    hours = len(parts["BYHOUR"].split(",")) if "BYHOUR" in parts else None
    a_day = (hours or (_MOST_A_DAY if parts["FREQ"] == "HOURLY" else 1)) * len(
        parts.get("BYMINUTE", "0").split(",")
    )
    if a_day > _MOST_A_DAY:
        raise ValueError(f"At most {_MOST_A_DAY} times a day.")


def _check_that_it_comes(parts: dict[str, str], start: datetime) -> None:
    """Refuse a rule that never applies, such as every 30th of February.

    The library would look for it until the calendar ends. So it is looked for where that is near:
    from a year like the first one, within the usual cycle of 28 years, close to the last.
    """
    endless = {name: value for name, value in parts.items() if name not in ("UNTIL", "COUNT")}
    late = start.replace(year=_LATE_YEAR + (start.year + 8000 - _LATE_YEAR) % _CYCLE)
    try:
        found = _parsed(endless, late).after(late, inc=True)
    except ValueError as error:
        raise ValueError(f"This rule makes no sense: {error}.") from None
    if found is None:
        raise ValueError("There is no day to which this rule applies.")


# Leap days and weekdays are those of 1943: the calendar repeats after 400 years.
_LATE_YEAR, _CYCLE = 9943, 28


def _parsed(parts: dict[str, str], start: datetime) -> Rule:
    rule = rrulestr(";".join(f"{name}={value}" for name, value in parts.items()), dtstart=start)
    assert isinstance(rule, Rule)
    return rule
