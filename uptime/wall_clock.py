"""What wall clocks show, as instants: the one place that knows of daylight-saving time."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

import structlog
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, StringConstraints

log = structlog.get_logger(__name__)

YEARS = range(2000, 2200)
"""Of the times that people plan and tell of. What is at the calendar's edge has no time in every
zone, and PostgreSQL keeps some that Python can't read.
"""


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """When, in UTC, the clocks of `zone` show the naive time `wall`.

    A time that they skip is the instant of the change, one that they show twice is the first: so
    later wall times never are earlier instants.
    """
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    after = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if before <= after and wall_time(after, zone) != wall:
        return _change_between(before, after, zone)
    return after


def last_instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Likewise; of a time that they show twice, the second."""
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return second if wall_time(second, zone) == wall else instant_of(wall, zone)


def wall_time(at: datetime, zone: ZoneInfo) -> datetime:
    """What the clocks of `zone` show at the instant `at`, as a naive time."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first instant, to the second, of the offset that `zone` has at `after`."""
    changed = after.astimezone(zone).utcoffset()
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == changed:
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)


@cache
def zone_names() -> tuple[str, ...]:
    """What somebody may choose from: places, and UTC."""
    places = sorted(name for name in _zones() if "/" in name and not name.startswith("Etc/"))
    return ("UTC", *places)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def is_zone(name: str) -> bool:
    return name in _zones()


def zone_or_none(name: object) -> ZoneInfo | None:
    """The zone of that name, if it is one."""
    return ZoneInfo(name) if isinstance(name, str) and is_zone(name) else None


def zone_or_utc(name: str) -> ZoneInfo:
    """The zone of a stored name. One that is known no more is better some hours off than a fault
    in the middle of whatever asks for it.
    """
    if zone := zone_or_none(name):
        return zone
    log.warning("time_zone.unknown", name=name)
    return ZoneInfo("UTC")


def _known_zone(name: str) -> str:
    if not is_zone(name):
        raise ValueError("This is not the name of a time zone, such as Europe/Berlin.")
    return name


ZoneName = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=64), AfterValidator(_known_zone)
]


def _no_number(value: object) -> object:
    """Pydantic would read `1700000000` as a Unix time; times have one form everywhere."""
    text = str(value).strip().lstrip("+-").replace(".", "", 1)
    if isinstance(value, int | float) or text.isdigit():
        raise ValueError("Give a time such as 2026-01-31T12:00:00Z.")
    return value


def _within_years(moment: datetime) -> datetime:
    if moment.year not in YEARS:
        raise ValueError(f"Give a year from {YEARS[0]} to {YEARS[-1]}.")
    return moment.astimezone(UTC)


AnyInstant = Annotated[AwareDatetime, BeforeValidator(_no_number)]
Instant = Annotated[AnyInstant, AfterValidator(_within_years)]
DAY = timedelta(days=1)
