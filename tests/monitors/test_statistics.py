"""Uptime is arithmetic on spans: whatever they are, every second is counted once."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.models import Status
from monitors.statistics import (
    Incidents,
    Span,
    Statistics,
    add_statistics,
    judge_promise,
    summarize,
    tile,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CLASSES = ("up", "degraded", "down", "maintenance", "paused", "unknown")

durations = st.timedeltas(timedelta(0), timedelta(days=400))


@st.composite
def histories(draw: st.DrawFn) -> list[Span]:
    """Spans that meet without gap, the last one open or not."""
    at = NOON + draw(st.timedeltas(timedelta(days=-400), timedelta(days=400)))
    spans = []
    for status in draw(st.lists(st.sampled_from(Status), max_size=12)):
        end = at + draw(durations)
        spans.append(Span(status, at, end))
        at = end
    if spans and draw(st.booleans()):
        spans[-1] = Span(spans[-1].status, spans[-1].started_at, None)
    return spans


@given(histories(), durations)
def test_the_classes_add_up_to_the_window(spans: list[Span], length: timedelta) -> None:
    found = summarize(spans, since=NOON, until=NOON + length)

    parts = [getattr(found, name) for name in CLASSES]
    assert sum(parts, timedelta()) == length
    assert min(parts) >= timedelta()


@given(histories(), durations, durations)
def test_two_windows_that_meet_are_one(
    spans: list[Span], first: timedelta, second: timedelta
) -> None:
    middle, end = NOON + first, NOON + first + second
    whole = summarize(spans, since=NOON, until=end)
    halves = [
        summarize(spans, since=NOON, until=middle),
        summarize(spans, since=middle, until=end),
    ]

    # An open span is taken to last to each window's end, as the caller promises it does.
    for name in CLASSES:
        assert getattr(whole, name) == sum((getattr(h, name) for h in halves), timedelta())


@given(histories(), durations, st.randoms())
def test_the_order_of_spans_does_not_matter(spans: list[Span], length: timedelta, chance) -> None:
    shuffled = spans[:]
    chance.shuffle(shuffled)

    assert summarize(shuffled, since=NOON, until=NOON + length) == summarize(
        spans, since=NOON, until=NOON + length
    )


@given(durations, durations, durations)
def test_100_percent_means_no_downtime(up: timedelta, degraded: timedelta, down: timedelta) -> None:
    percent = Statistics(up=up, degraded=degraded, down=down).uptime_percent

    if not up + degraded + down:
        assert percent is None
    else:
        assert percent is not None
        assert 0 <= percent <= 100
        assert (percent == 100) == (not down)


@pytest.mark.parametrize(
    ("statistics", "uptime", "coverage"),
    [
        (Statistics(up=HOUR), 100.0, 100.0),
        (Statistics(up=999 * HOUR, down=HOUR), 99.9, 100.0),
        (Statistics(up=HOUR, degraded=HOUR), 100.0, 100.0),
        (Statistics(down=HOUR), 0.0, 100.0),
        (Statistics(up=HOUR, maintenance=HOUR), 100.0, 100.0),
        (Statistics(up=HOUR, paused=HOUR), 100.0, 50.0),
        (Statistics(up=HOUR, unknown=3 * HOUR), 100.0, 25.0),
        (Statistics(unknown=HOUR), None, 0.0),
        (Statistics(paused=HOUR), None, 0.0),
        (Statistics(), None, None),
        # a second in a year still shows
        (Statistics(up=timedelta(days=365), down=timedelta(seconds=1)), 99.999996, 100.0),
    ],
)
def test_percentages(statistics: Statistics, uptime: float | None, coverage: float | None) -> None:
    assert statistics.uptime_percent == uptime
    assert statistics.coverage_percent == coverage


def test_a_window_outside_of_history_is_unknown() -> None:
    span = Span(Status.UP, NOON, NOON + HOUR)

    before = summarize([span], since=NOON - HOUR, until=NOON)
    after = summarize([span], since=NOON + HOUR, until=NOON + 2 * HOUR)

    assert before == after == Statistics(unknown=HOUR)


@st.composite
def short_histories(draw: st.DrawFn) -> list[Span]:
    """Spans of whole seconds around noon, few enough to be counted one second at a time."""
    seconds = st.integers(0, 40)
    at = NOON + timedelta(seconds=draw(st.integers(-60, 60)))
    spans = []
    for status in draw(st.lists(st.sampled_from(Status), max_size=8)):
        end = at + timedelta(seconds=draw(seconds))
        spans.append(Span(status, at, end))
        at = end
    return spans


@given(short_histories(), st.integers(0, 200))
def test_it_is_what_counting_second_by_second_finds(spans: list[Span], length: int) -> None:
    counted = dict.fromkeys(CLASSES, 0)
    for second in range(length):
        now = NOON + timedelta(seconds=second)
        here = [s.status for s in spans if s.ended_at and s.started_at <= now < s.ended_at]
        name = here[0].value if here else "unknown"
        counted[{"pending": "unknown", "recovering": "down"}.get(name, name)] += 1

    found = summarize(spans, since=NOON, until=NOON + timedelta(seconds=length))

    assert {name: getattr(found, name) / timedelta(seconds=1) for name in CLASSES} == counted


@given(durations, durations, durations, st.integers(0, 1000))
def test_a_promise_is_kept_just_while_budget_is_left(
    up: timedelta, degraded: timedelta, down: timedelta, per_mille: int
) -> None:
    spent = Statistics(up=up, degraded=degraded, down=down, paused=HOUR)
    promise = judge_promise(spent, per_mille=per_mille)

    if counted := up + degraded + down:
        assert promise.is_kept == (1000 * (up + degraded) >= per_mille * counted)
    else:
        assert promise.is_kept is None
    assert promise.budget - promise.left - down in (
        timedelta(microseconds=n)
        for n in (-1, 0, 1)  # each is rounded for itself
    )


def test_three_nines_of_a_thousand_hours_allow_for_one() -> None:
    spent = Statistics(up=999 * HOUR, down=HOUR)

    promise = judge_promise(spent, per_mille=999)

    assert (promise.budget, promise.left, promise.is_kept) == (HOUR, timedelta(), True)
    assert judge_promise(Statistics(up=HOUR, down=HOUR), per_mille=999).left < timedelta()


def test_recovery_and_failure_times_are_means() -> None:
    incidents = Incidents(count=3, resolved=2, repair=HOUR)

    assert incidents.mttr == HOUR / 2
    assert incidents.mtbf(Statistics(up=5 * HOUR, degraded=HOUR, down=HOUR)) == 2 * HOUR
    assert (Incidents().mttr, Incidents().mtbf(Statistics(up=HOUR))) == (None, None)


def test_sums_of_several() -> None:
    assert add_statistics([Statistics(up=HOUR), Statistics(up=HOUR, down=HOUR)]) == Statistics(
        up=2 * HOUR, down=HOUR
    )


moments = durations.map(lambda d: datetime(2026, 1, 1, tzinfo=UTC) + d % timedelta(days=40))


@given(
    moments,
    moments,
    st.none() | st.integers(0, 1000),
    st.none() | st.integers(0, 40),
    st.none() | st.integers(0, 6),
)
def test_tiles_are_the_window_and_no_wider_than_the_rollups(
    one: datetime, other: datetime, hours: int | None, days: int | None, weeks: int | None
) -> None:
    since, until = min(one, other), max(one, other)
    start = datetime(2025, 12, 29, tzinfo=UTC)  # a Monday
    hours_until = None if hours is None else start + hours * HOUR
    days_until = None if days is None else start + 24 * days * HOUR
    weeks_until = None if weeks is None else start + 7 * 24 * weeks * HOUR

    found = tile(
        since, until, hours_until=hours_until, days_until=days_until, weeks_until=weeks_until
    )

    rolled_up = found.weeks + found.days + found.hours
    parts = sorted(rolled_up + found.rest)
    assert [begin for begin, _ in parts] == [since, *(end for _, end in parts)][: len(parts)]
    assert not parts or parts[-1][1] == until
    assert all(end <= hours_until for _, end in rolled_up if hours_until)
    assert all(end <= days_until for _, end in found.weeks + found.days if days_until)
    assert all(end <= weeks_until for _, end in found.weeks if weeks_until)
    day, week = 24 * HOUR, 7 * 24 * HOUR
    for stretches, step in ((found.weeks, week), (found.days, day), (found.hours, HOUR)):
        for begin, end in stretches:
            assert (begin - start) % step == (end - start) % step == timedelta()
    if hours_until is not None and hours_until >= until:
        assert sum((end - begin for begin, end in found.rest), timedelta()) < 2 * HOUR
