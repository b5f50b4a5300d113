"""Charts as numbers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.charts import (
    HEIGHT,
    WIDTH,
    Point,
    Stretch,
    latency_chart,
    phase_bars,
    round_up,
    stack_chart,
    status_band,
)
from monitors.models import Status

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def points(*latencies: float | None) -> list[Point]:
    return [
        Point(NOON + timedelta(minutes=place), "up" if ms is not None else "down", ms)
        for place, ms in enumerate(latencies)
    ]


def test_one_check_is_no_chart() -> None:
    assert latency_chart(points(10)) is None


def test_checks_without_latency_are_no_chart() -> None:
    assert latency_chart(points(None, None)) is None


def test_the_line_breaks_where_nothing_was_measured() -> None:
    chart = latency_chart(points(10, 5, None, 10))
    assert chart is not None
    assert chart.line == "M125 0L375 50 M875 0"
    assert [bar.name for bar in chart.bars] == ["up", "up", "down", "up"]


@pytest.mark.parametrize(
    ("value", "end"), [(0, 1), (1, 1), (1.2, 1.5), (31, 50), (235, 300), (1001, 1500)]
)
def test_an_axis_ends_at_a_round_number(value: float, end: float) -> None:
    assert round_up(value) == end


@given(st.floats(0, 120_000))
def test_an_axis_is_never_too_short_and_never_twice_too_long(value: float) -> None:
    assert value <= round_up(value) <= max(1, value * 1.7)


def test_phases_lie_one_after_the_other() -> None:
    bars = phase_bars([10, None, 0, 30, 10], scale_ms=100)
    assert [(bar.name, bar.x, bar.width) for bar in bars] == [
        ("dns", 0, 100),
        ("first_byte", 100, 300),
        ("transfer", 400, 100),
    ]


def test_phases_of_steps_lie_upon_one_another() -> None:
    chart = stack_chart([(0, 25, 0, 50, 0), (), (0, 0, 0, 100, 0)])
    assert chart is not None
    assert {layer.name: layer.path for layer in chart.layers} == {
        "connect": "M0 75h333.33v25h-333.33Z",
        "first_byte": "M0 25h333.33v50h-333.33ZM666.67 0h333.33v100h-333.33Z",
    }


def test_steps_without_phases_are_no_stack() -> None:
    assert stack_chart([(), (0.0, 0.0, 0.0, 0.0, 0.0)]) is None


def test_a_band_is_cut_to_its_window_and_shows_what_is_short() -> None:
    spans = [
        Stretch(Status.UP, NOON - timedelta(days=9), NOON),
        Stretch(Status.DOWN, NOON, NOON + timedelta(seconds=1)),
        Stretch(Status.UP, NOON + timedelta(seconds=1), None),
    ]
    until = NOON + timedelta(hours=12)
    bars = status_band(spans, since=NOON - timedelta(hours=12), until=until)
    assert bars[-1].name == "down"
    assert bars[-1].width >= 2
    assert {bar.x for bar in bars[:2]} == {0, 500.01}
    assert all(0 <= bar.x <= WIDTH and bar.width > 0 for bar in bars)


def test_a_window_before_everything_is_empty() -> None:
    span = Stretch(Status.UP, NOON, None)
    since = NOON - timedelta(days=2)
    assert status_band([span], since=since, until=since + timedelta(days=1)) == []


def test_points_stay_on_the_canvas() -> None:
    chart = latency_chart(points(0, 7, 300))
    assert chart is not None
    assert chart.line.startswith(f"M166.67 {HEIGHT:g}L")
