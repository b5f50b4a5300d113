"""Who is on call when: by tables and by properties, also where clocks change."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.hours import ActiveHours, Window
from alerts.on_call.rotation import (
    HORIZON,
    Layer,
    Override,
    Rota,
    Shift,
    next_shifts,
    shifts,
    who_is_on_call,
)
from uptime.wall_clock import wall_time

BERLIN = ZoneInfo("Europe/Berlin")  # forward on 2026-03-29 at 02:00, back on 2026-10-25 at 03:00
DAY, WEEK, HOUR = timedelta(days=1), timedelta(weeks=1), timedelta(hours=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def layer(
    *members: str, start: str = "2026-01-05T09:00", turn: timedelta = WEEK, **values: ActiveHours
) -> Layer[str]:
    return Layer(members, datetime.fromisoformat(start), turn, **values)


def rota(*layers: Layer[str], overrides: tuple[Override[str], ...] = ()) -> Rota[str]:
    return Rota(BERLIN, layers, overrides)


WEEKLY = rota(layer("ann", "ben", "cay"))
DAILY = rota(layer("ann", "ben", turn=DAY))
HALF_DAYS = rota(layer("day", "night", start="2026-01-05T08:00", turn=12 * HOUR))
NIGHTS = ActiveHours(BERLIN, (Window(frozenset(range(7)), time(22), time(6)),))
ABOVE = rota(layer("ann"), layer("nat", start="2026-01-05T00:00", hours=NIGHTS))
INSTEAD = rota(
    layer("ann"),
    overrides=(
        Override("ben", utc("2026-02-01T00:00"), utc("2026-02-03T00:00")),
        Override("cay", utc("2026-02-02T00:00"), utc("2026-02-02T06:00")),
    ),
)


@pytest.mark.parametrize(
    ("who", "at", "expected"),
    [
        (WEEKLY, "2026-01-05T07:59:59", None),  # before the first turn: Monday 09:00 in Berlin
        (WEEKLY, "2026-01-05T08:00", "ann"),
        (WEEKLY, "2026-01-12T07:59:59", "ann"),
        (WEEKLY, "2026-01-12T08:00", "ben"),
        (WEEKLY, "2026-01-19T08:00", "cay"),
        (WEEKLY, "2026-01-26T08:00", "ann"),
        # the 12th week is over on 30 March: at 09:00 there, which now is 07:00 here
        (WEEKLY, "2026-03-30T06:59:59", "cay"),
        (WEEKLY, "2026-03-30T07:00", "ann"),
        (WEEKLY, "2026-10-26T07:59:59", "cay"),
        (WEEKLY, "2026-10-26T08:00", "ann"),
        (DAILY, "2026-03-28T08:00", "ann"),
        (DAILY, "2026-03-29T06:59:59", "ann"),
        (DAILY, "2026-03-29T07:00", "ben"),
        (HALF_DAYS, "2026-03-29T05:59:59", "night"),
        (HALF_DAYS, "2026-03-29T06:00", "day"),
        (HALF_DAYS, "2026-10-25T06:59:59", "night"),
        (HALF_DAYS, "2026-10-25T07:00", "day"),
        (ABOVE, "2026-01-06T20:59", "ann"),
        (ABOVE, "2026-01-06T21:00", "nat"),
        (ABOVE, "2026-01-07T04:59", "nat"),
        (ABOVE, "2026-01-07T05:00", "ann"),
        (INSTEAD, "2026-01-31T23:59", "ann"),
        (INSTEAD, "2026-02-01T00:00", "ben"),
        (INSTEAD, "2026-02-02T00:00", "cay"),
        (INSTEAD, "2026-02-02T06:00", "ben"),
        (INSTEAD, "2026-02-03T00:00", "ann"),
        (rota(), "2026-02-03T00:00", None),
        (rota(layer()), "2026-02-03T00:00", None),
    ],
)
def test_who_is_on_call(who: Rota[str], at: str, expected: str | None) -> None:
    assert who_is_on_call(who, utc(at)) == expected


def test_a_hand_over_in_the_hour_that_is_skipped_is_at_the_change() -> None:
    early = rota(layer("ann", "ben", start="2026-03-28T02:30", turn=DAY))
    assert who_is_on_call(early, utc("2026-03-29T00:59:59")) == "ann"
    assert who_is_on_call(early, utc("2026-03-29T01:00")) == "ben"


def test_a_hand_over_in_the_hour_that_is_repeated_is_at_its_first() -> None:
    early = rota(layer("ann", "ben", start="2026-10-24T02:30", turn=DAY))
    assert who_is_on_call(early, utc("2026-10-25T00:29:59")) == "ann"
    assert who_is_on_call(early, utc("2026-10-25T00:30")) == "ben"
    assert who_is_on_call(early, utc("2026-10-25T01:29:59")) == "ben"


def test_hourly_turns_are_handed_over_through_the_night_of_the_change() -> None:
    hourly = rota(layer("ann", "ben", start="2026-03-29T00:00", turn=HOUR))
    found = shifts(hourly, utc("2026-03-28T23:00"), utc("2026-03-29T03:00"))
    # at 02:00 the clocks show 03:00: ann's turn from 02:00 to 03:00 has no time
    assert [(shift.member, (shift.end - shift.start) / HOUR) for shift in found] == [
        ("ann", 1.0),
        ("ben", 2.0),
        ("ann", 1.0),
    ]


def test_who_is_on_call_next() -> None:
    now, following = next_shifts(WEEKLY, utc("2026-01-07T00:00"), 2)
    assert now == Shift(utc("2026-01-07T00:00"), utc("2026-01-12T08:00"), "ann")
    assert following == Shift(utc("2026-01-12T08:00"), utc("2026-01-19T08:00"), "ben")


def test_nobody_follows_whoever_is_alone() -> None:
    at = utc("2026-01-07T00:00")
    assert next_shifts(rota(layer("ann")), at, 2) == [Shift(at, at + HORIZON, "ann")]


zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
starts = st.datetimes(
    datetime.fromisoformat("2026-01-01"), datetime.fromisoformat("2026-12-31")
).map(lambda wall: wall.replace(second=0, microsecond=0))
turns = st.sampled_from([HOUR, 12 * HOUR, DAY, 36 * HOUR, WEEK])
layers = st.builds(
    Layer,
    members=st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map(tuple),
    start=starts,
    turn=turns,
    hours=st.sampled_from([None, NIGHTS]),
)
moments = starts.map(lambda wall: wall.replace(tzinfo=UTC))
overrides = st.builds(
    lambda member, start, length: Override(member, start, start + length),
    st.sampled_from("xyz"),
    moments,
    st.timedeltas(HOUR, timedelta(days=60)),
)
rotas = st.builds(
    Rota,
    zones.map(ZoneInfo),
    st.lists(layers, max_size=3).map(tuple),
    st.lists(overrides, max_size=3).map(tuple),
)


@given(who=rotas, since=moments, length=st.timedeltas(HOUR, timedelta(days=10)))
@settings(max_examples=60, deadline=None)
def test_shifts_meet_without_a_gap_and_say_who_is_on_call_all_through(
    who: Rota[str], since: datetime, length: timedelta
) -> None:
    found = shifts(who, since, since + length)
    assert (found[0].start, found[-1].end) == (since, since + length)
    for earlier, later in pairwise(found):
        assert earlier.end == later.start
        assert earlier.member != later.member
    for shift in found:
        for share in (0, 0.3, 0.7, 0.999999):
            at = shift.start + share * (shift.end - shift.start)
            assert who_is_on_call(who, at) == shift.member


@given(one=layers, zone=zones.map(ZoneInfo), since=moments)
@settings(max_examples=60, deadline=None)
def test_hand_overs_are_at_the_wall_times_that_the_start_sets(
    one: Layer[str], zone: ZoneInfo, since: datetime
) -> None:
    alone = Layer(one.members, one.start, DAY)
    for edge in alone.edges(since, since + 10 * DAY, zone):
        shown = wall_time(edge, zone)
        is_skipped = wall_time(edge - timedelta(seconds=1), zone) < shown - timedelta(minutes=5)
        assert shown.time() == one.start.time() or is_skipped


@given(one=layers, at=moments)
@settings(max_examples=60, deadline=None)
def test_members_take_turns_in_their_order(one: Layer[str], at: datetime) -> None:
    always = Layer(tuple(range(len(one.members))), one.start, one.turn)
    found = shifts(Rota(BERLIN, (always,)), at, at + 5 * one.turn)
    on_call = [shift.member for shift in found if shift.member is not None]
    for earlier, later in pairwise(on_call):
        step = (later - earlier) % len(one.members)
        assert step == 1 or one.turn == HOUR  # an hour's turn may fall into the skipped hour
