"""When a window is: by wall clocks, over the days on which these change."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.maintenance.recurrence import (
    Occurrence,
    Plan,
    clean_rule,
    next_occurrence,
    occurrences,
)
from uptime.wall_clock import wall_time

BERLIN = ZoneInfo("Europe/Berlin")  # forward on 2026-03-29 at 02:00, back on 2026-10-25 at 03:00
APIA = ZoneInfo("Pacific/Apia")
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plan(start: str, end: str, rule: str = "", zone: ZoneInfo = BERLIN) -> Plan:
    """From one wall time to another."""
    first, last = (datetime.fromisoformat(one).replace(tzinfo=zone) for one in (start, end))
    return Plan(first, last, zone, rule)


def shown(of: Plan, since: str, until: str) -> list[str]:
    """The occurrences, by UTC."""
    return [
        f"{one.starts_at:%m-%dT%H:%M}/{one.ends_at:%m-%dT%H:%M}"
        for one in occurrences(of, utc(since), utc(until))
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("", ["01-05T01:00/01-05T03:00"]),
        ("FREQ=DAILY;COUNT=2", ["01-05T01:00/01-05T03:00", "01-06T01:00/01-06T03:00"]),
        ("FREQ=DAILY;UNTIL=20260105T010000Z", ["01-05T01:00/01-05T03:00"]),
        ("FREQ=DAILY;UNTIL=20260105", ["01-05T01:00/01-05T03:00"]),
        (
            "FREQ=WEEKLY;BYDAY=MO,TH;COUNT=3",
            ["01-05T01:00/01-05T03:00", "01-08T01:00/01-08T03:00", "01-12T01:00/01-12T03:00"],
        ),
        ("FREQ=MONTHLY;BYDAY=-1FR;COUNT=1", ["01-30T01:00/01-30T03:00"]),
        (
            "FREQ=MONTHLY;BYMONTHDAY=31;COUNT=2",
            ["01-31T01:00/01-31T03:00", "03-31T00:00/03-31T02:00"],
        ),
    ],
)
def test_a_window_is_once_or_by_its_rule(rule: str, expected: list[str]) -> None:
    of = plan("2026-01-05T02:00", "2026-01-05T04:00", rule)
    assert shown(of, "2026-01-01T00:00", "2026-06-01T00:00") == expected


@pytest.mark.parametrize(
    ("start", "end", "day", "expected"),
    [
        # around the hour that is skipped
        ("01:00", "05:00", "2026-03-29", "03-29T00:00/03-29T03:00"),
        ("02:30", "04:30", "2026-03-29", "03-29T01:00/03-29T02:30"),
        ("01:30", "02:30", "2026-03-29", "03-29T00:30/03-29T01:00"),
        # inside it: its whole length, from the change on
        ("02:00", "03:00", "2026-03-29", "03-29T01:00/03-29T02:00"),
        ("02:10", "02:20", "2026-03-29", "03-29T01:00/03-29T01:10"),
        # around the hour that comes twice: both
        ("01:00", "05:00", "2026-10-25", "10-24T23:00/10-25T04:00"),
        ("02:15", "02:45", "2026-10-25", "10-25T00:15/10-25T01:45"),
        ("02:00", "03:00", "2026-10-25", "10-25T00:00/10-25T02:00"),
    ],
)
def test_wall_times_recur_when_the_clocks_change(
    start: str, end: str, day: str, expected: str
) -> None:
    of = plan(f"2026-01-05T{start}", f"2026-01-05T{end}", "FREQ=DAILY")
    since = utc(f"{day}T00:00") - 3 * HOUR
    found = list(occurrences(of, since, since + DAY))
    assert [
        f"{one.starts_at:%m-%dT%H:%M}/{one.ends_at:%m-%dT%H:%M}"
        for one in found
        if wall_time(one.starts_at, BERLIN).date().isoformat() == day
    ] == [expected]


def test_a_day_that_a_zone_skipped_begins_with_the_change() -> None:
    """Samoa had no 30th of December 2011."""
    of = plan("2011-12-28T09:00", "2011-12-28T10:00", "FREQ=DAILY;COUNT=4", APIA)
    assert shown(of, "2011-12-01T00:00", "2012-01-01T00:00") == [
        "12-28T19:00/12-28T20:00",
        "12-29T19:00/12-29T20:00",
        "12-30T10:00/12-30T11:00",
        "12-30T19:00/12-30T20:00",
    ]


def test_a_single_window_keeps_its_instants_when_the_clocks_change() -> None:
    start = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    of = Plan(start, start.replace(minute=15, fold=1), BERLIN)
    assert shown(of, "2026-10-01T00:00", "2026-11-01T00:00") == ["10-25T00:30/10-25T01:15"]


def test_what_reaches_into_a_stretch_of_time_is_found() -> None:
    of = plan("2026-01-05T22:00", "2026-01-07T06:00", "FREQ=WEEKLY", ZoneInfo("UTC"))
    assert shown(of, "2026-01-14T05:59", "2026-01-19T22:00") == ["01-12T22:00/01-14T06:00"]
    assert shown(of, "2026-01-14T06:00", "2026-01-19T22:00") == []
    assert shown(of, "2026-01-14T06:00", "2026-01-19T22:01") == ["01-19T22:00/01-21T06:00"]


def test_the_next_one_is_at_hand_or_to_come_and_not_the_one_that_was_cut_short() -> None:
    of = plan("2026-01-05T02:00", "2026-01-05T04:00", "FREQ=DAILY;COUNT=2", ZoneInfo("UTC"))
    first = Occurrence(utc("2026-01-05T02:00"), utc("2026-01-05T04:00"))
    second = Occurrence(utc("2026-01-06T02:00"), utc("2026-01-06T04:00"))
    assert next_occurrence(of, utc("2026-01-01T00:00")) == first
    assert next_occurrence(of, utc("2026-01-05T03:00")) == first
    assert next_occurrence(of, utc("2026-01-05T03:00"), after=first.starts_at) == second
    assert next_occurrence(of, utc("2026-01-05T04:00")) == second
    assert next_occurrence(of, utc("2026-01-06T04:00")) is None


START = datetime(2026, 1, 6, 3, 0, tzinfo=UTC)  # a Tuesday


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", ""),
        ("rrule:freq=daily;", "FREQ=DAILY"),
        ("FREQ=MONTHLY;BYDAY=1MO,-1FR", "FREQ=MONTHLY;BYDAY=1MO,-1FR"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"),
        ("FREQ=HOURLY;INTERVAL=6", "FREQ=HOURLY;INTERVAL=6"),
        ("FREQ=DAILY;UNTIL=20270101T000000Z", "FREQ=DAILY;UNTIL=20270101T000000Z"),
    ],
)
def test_a_rule_is_stored_as_it_is_meant(text: str, stored: str) -> None:
    assert clean_rule(text, START, BERLIN) == stored


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("BYDAY=MO", "how often"),
        ("FREQ=SECONDLY", "makes no sense"),
        ("FREQ=DAILY;INTERVAL=0", "makes no sense"),
        ("FREQ=DAILY;INTERVAL=-1", "makes no sense"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20270101", "not both"),
        ("FREQ=DAILY;FREQ=DAILY", "twice"),
        ("FREQ=DAILY;BYSECOND=1", "not a part"),
        ("FREQ=WEEKLY;BYDAY=XX", "makes no sense"),
        ("FREQ=DAILY;UNTIL=20261340", "no date"),
        ("FREQ=DAILY;BYMONTH=13", "makes no sense"),
        ("FREQ=HOURLY;BYMINUTE=0,30", "times a day"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "no day"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "no day"),  # it starts on a Tuesday
        ("FREQ=HOURLY;INTERVAL=24;BYHOUR=5", "makes no sense"),
        ("FREQ=DAILY\nEXDATE:20260101T000000", "makes no sense"),
        ("FREQ=DAILY;" + "BYMONTH=1," * 60, "500 characters"),
    ],
)
def test_a_rule_that_makes_no_sense_or_never_comes_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        clean_rule(text, START, BERLIN)


zones = st.sampled_from(
    [ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")]
)
rules = st.sampled_from(
    ["", "FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SA,SU", "FREQ=HOURLY;INTERVAL=5", "FREQ=DAILY;COUNT=300"]
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    start = draw(st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31)))  # noqa: DTZ001 - naive for the strategy
    length = draw(st.timedeltas(timedelta(minutes=1), timedelta(hours=30)))
    first = start.replace(microsecond=0, tzinfo=UTC)
    return Plan(first, first + length, draw(zones), draw(rules))


@given(plans(), st.timedeltas(timedelta(), timedelta(days=700)), st.integers(1, 12))
def test_windows_come_in_order_at_their_wall_time(of: Plan, later: timedelta, days: int) -> None:
    since = of.starts_at + later
    found = list(occurrences(of, since, since + days * DAY))
    for one in found:
        assert one.starts_at < one.ends_at
        assert one.ends_at > since
        assert one.starts_at < since + days * DAY
        # up to two hours that the clocks show twice
        assert one.ends_at - one.starts_at <= of.ends_at - of.starts_at + 2 * HOUR
    for before, after in itertools.pairwise(found):
        assert before.starts_at < after.starts_at
    if of.rrule == "FREQ=DAILY":
        start = wall_time(of.starts_at, of.zone).time()
        skips = [one for one in found if wall_time(one.starts_at, of.zone).time() != start]
        assert len(skips) <= 1


@given(plans(), st.timedeltas(timedelta(), timedelta(days=400)), st.integers(0, 10))
def test_a_stretch_of_time_has_what_its_parts_have(of: Plan, later: timedelta, days: int) -> None:
    since = of.starts_at + later - DAY
    middle, until = since + days * DAY, since + 10 * DAY
    parts = {*occurrences(of, since, middle), *occurrences(of, middle, until)}
    assert sorted(parts) == list(occurrences(of, since, until))


@given(plans(), st.timedeltas(-DAY, timedelta(days=400)))
def test_the_next_one_is_the_first_of_those_to_come(of: Plan, later: timedelta) -> None:
    now = of.starts_at + later
    expected = next(iter(occurrences(of, now, now + 400 * DAY)), None)
    assert next_occurrence(of, now) == expected
