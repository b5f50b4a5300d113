"""Uptime is arithmetic on spans: whatever they are, every second is counted once."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.models import Status
from monitors.statistics import Span, Statistics, summarize

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
