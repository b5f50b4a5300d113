"""Wall clocks and active hours, also where clocks change."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.hours import ActiveHours, HoursValues, Window
from uptime.wall_clock import instant_of, last_instant_of, wall_time

BERLIN = ZoneInfo("Europe/Berlin")  # forward on 2026-03-29 at 02:00, back on 2026-10-25 at 03:00
WEEKDAYS, EVERY_DAY = frozenset(range(5)), frozenset(range(7))
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]

zones = st.sampled_from(ZONES).map(ZoneInfo)
# Samoa skipped 30 December 2011; the others change their clocks twice a year.
FIRST, LAST = datetime.fromisoformat("2011-01-01"), datetime.fromisoformat("2027-01-01")
walls = st.datetimes(FIRST, LAST).map(lambda wall: wall.replace(second=0))
instants = st.datetimes(FIRST, LAST, timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=0)
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("wall", "first", "last"),
    [
        ("2026-01-15T09:00", "2026-01-15T08:00", "2026-01-15T08:00"),
        ("2026-07-15T09:00", "2026-07-15T07:00", "2026-07-15T07:00"),
        # skipped: the clocks go from 02:00 to 03:00
        ("2026-03-29T02:30", "2026-03-29T01:00", "2026-03-29T01:00"),
        ("2026-03-29T02:00", "2026-03-29T01:00", "2026-03-29T01:00"),
        ("2026-03-29T03:00", "2026-03-29T01:00", "2026-03-29T01:00"),
        # shown twice
        ("2026-10-25T02:30", "2026-10-25T00:30", "2026-10-25T01:30"),
        ("2026-10-25T03:00", "2026-10-25T02:00", "2026-10-25T02:00"),
    ],
)
def test_what_clocks_in_berlin_show(wall: str, first: str, last: str) -> None:
    assert instant_of(datetime.fromisoformat(wall), BERLIN) == utc(first)
    assert last_instant_of(datetime.fromisoformat(wall), BERLIN) == utc(last)


def test_a_day_that_a_zone_skipped_is_the_instant_of_the_change() -> None:
    noon = datetime.fromisoformat("2011-12-30T12:00")
    assert instant_of(noon, ZoneInfo("Pacific/Apia")) == utc("2011-12-30T10:00")


@given(zone=zones, wall=walls, more=st.timedeltas(timedelta(), timedelta(days=2)))
def test_later_wall_times_are_never_earlier_instants(
    zone: ZoneInfo, wall: datetime, more: timedelta
) -> None:
    assert instant_of(wall, zone) <= instant_of(wall + more, zone)
    assert instant_of(wall, zone) <= last_instant_of(wall, zone)


@given(zone=zones, at=instants)
def test_an_instant_is_one_that_its_wall_time_names(zone: ZoneInfo, at: datetime) -> None:
    wall = wall_time(at, zone)
    assert at in (instant_of(wall, zone), last_instant_of(wall, zone))


def hours(*windows: Window, zone: ZoneInfo = BERLIN) -> ActiveHours:
    return ActiveHours(zone, windows)


OFFICE = hours(Window(WEEKDAYS, time(8), time(18)))
NIGHT = hours(Window(frozenset({4}), time(22), time(6)))  # Friday night
ALWAYS = hours(Window(EVERY_DAY, time(0), time(0)))


@pytest.mark.parametrize(
    ("active", "at", "opens"),
    [
        (OFFICE, "2026-01-15T07:00", None),  # Thursday 08:00 in Berlin
        (OFFICE, "2026-01-15T06:59:59", "2026-01-15T07:00"),
        (OFFICE, "2026-01-15T16:59:59", None),
        (OFFICE, "2026-01-15T17:00", "2026-01-16T07:00"),
        (OFFICE, "2026-01-16T17:00", "2026-01-19T07:00"),  # over the weekend
        (OFFICE, "2026-03-27T17:00", "2026-03-30T06:00"),  # and over the change to summer time
        (OFFICE, "2026-10-23T16:00", "2026-10-26T07:00"),  # and back
        (NIGHT, "2026-01-16T21:00", None),
        (NIGHT, "2026-01-17T04:59:59", None),
        (NIGHT, "2026-01-17T05:00", "2026-01-23T21:00"),
        (ALWAYS, "2026-03-29T01:00", None),
        (ALWAYS, "2026-10-25T01:30", None),
    ],
)
def test_when_hours_are_active(active: ActiveHours, at: str, opens: str | None) -> None:
    assert active.contains(utc(at)) is (opens is None)
    assert active.next_opening(utc(at)) == utc(opens or at)


def test_a_window_that_ends_in_the_repeated_hour_is_not_cut_short() -> None:
    small_hours = hours(Window(EVERY_DAY, time(1), time(2, 30)))
    assert small_hours.contains(utc("2026-10-25T01:29"))
    assert not small_hours.contains(utc("2026-10-25T01:30"))


def test_a_window_in_the_hour_that_is_skipped_is_empty_that_day() -> None:
    skipped = hours(Window(EVERY_DAY, time(2, 10), time(2, 50)))
    assert skipped.next_opening(utc("2026-03-29T00:00")) == utc("2026-03-30T00:10")


windows = st.builds(
    Window,
    days=st.frozensets(st.integers(0, 6), min_size=1),
    start=st.times().map(lambda t: t.replace(second=0, microsecond=0)),
    end=st.times().map(lambda t: t.replace(second=0, microsecond=0)),
)
some_hours = st.builds(ActiveHours, zones, st.lists(windows, min_size=1, max_size=3).map(tuple))


@given(active=some_hours, at=instants)
def test_the_next_opening_is_active_and_nothing_before_it_is(
    active: ActiveHours, at: datetime
) -> None:
    opening = active.next_opening(at)
    assert opening >= at
    assert active.contains(opening)
    if opening > at:
        between = at + (opening - at) / 2
        assert not active.contains(between)
        assert not active.contains(opening - timedelta(seconds=1))


@given(active=some_hours, at=instants)
def test_whether_it_is_active_changes_at_edges_only(active: ActiveHours, at: datetime) -> None:
    until = at + timedelta(days=3)
    edges = sorted({at, until, *active.edges(at, until)})
    for start, end in pairwise(edges):
        middle, last = start + (end - start) / 2, end - timedelta(seconds=1)
        assert active.contains(start) is active.contains(middle)
        if last > start:
            assert active.contains(start) is active.contains(last)


def test_hours_are_stored_as_they_are_told() -> None:
    told = {
        "timezone": "Europe/Berlin",
        "windows": [{"days": ["mon", "tue"], "start": "22:00", "end": "06:00"}],
    }
    values = HoursValues.of(told)
    assert values is not None
    assert values.as_json() == told
    assert values.as_hours() == hours(Window(frozenset({0, 1}), time(22), time(6)))
    assert HoursValues.of(None) is None
