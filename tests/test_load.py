"""How many shifts: one more where all are strained, one less where the others have room."""

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.values import Finished, Job, Observation, Spec, Status
from uptime.load import BUSY, LATE, LONG, SOON, Load, Meter, blended, wanted_shifts

STRAINED = Load(busy=0.95, busy_lately=0.95, lateness=LATE)
BUSY_ON_TIME = Load(busy=0.95, busy_lately=0.95)
LATE_AND_IDLE = Load(busy=0.2, busy_lately=0.8, lateness=timedelta(seconds=5))
IDLE = Load(busy=0.1, busy_lately=0.1)
NEW = Load()


@pytest.mark.parametrize(
    ("loads", "wanted"),
    [
        ([], 1),
        ([IDLE], 1),
        ([STRAINED], 2),
        ([BUSY_ON_TIME], 1),
        ([LATE_AND_IDLE], 1),  # what holds it up is not its own work
        ([STRAINED, NEW], 2),  # the new one has to show first what it does
        ([STRAINED, STRAINED], 3),
        ([STRAINED, IDLE], 2),
        ([BUSY_ON_TIME, IDLE], 2),
        ([IDLE, IDLE], 1),
        ([IDLE, IDLE, IDLE], 2),  # one at a time
    ],
)
def test_how_many_shifts_are_wanted(loads: list[Load], wanted: int) -> None:
    assert wanted_shifts(loads) == wanted


@given(st.integers(1, 16), st.floats(BUSY, 1.0))
def test_what_was_added_is_not_spare_once_the_work_is_shared(count: int, busy: float) -> None:
    assert wanted_shifts([Load(busy, busy, LATE)] * count) == count + 1
    shared = busy * count / (count + 1)
    assert wanted_shifts([Load(shared, shared)] * (count + 1)) == count + 1


@given(st.integers(2, 16), st.floats(0, 1))
def test_what_was_spare_is_not_missed_once_it_is_gone(count: int, busy: float) -> None:
    if wanted_shifts([Load(busy, busy, LATE)] * count) < count:
        shared = busy * count / (count - 1)
        assert wanted_shifts([Load(shared, shared, LATE)] * (count - 1)) <= count - 1


def test_an_average_moves_on_with_time() -> None:
    assert blended(1.0, 0.0, timedelta(), SOON) == 1.0
    assert blended(1.0, 0.0, SOON, SOON) == pytest.approx(0.368, abs=0.001)
    assert blended(1.0, 0.0, SOON, LONG) == pytest.approx(0.92, abs=0.001)
    assert blended(0.3, 0.3, LONG, SOON) == pytest.approx(0.3)


def finished(late: timedelta) -> Finished:
    due_at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    a_second = timedelta(seconds=1)
    spec = Spec(uuid4(), 1, "http", "", a_second, a_second, 2, 1, a_second, settings=None)
    started_at = due_at + late
    return Finished(Job(1, spec, due_at), Observation(Status.UP), started_at, started_at)


def test_a_meter_tells_how_late_and_how_full() -> None:
    meter = Meter(filled=lambda: 1.0)
    meter.note([finished(timedelta(milliseconds=n)) for n in range(200)])
    load = meter.measure()
    assert load.lateness == timedelta(milliseconds=198)
    assert load.busy > 0


def test_a_meter_sees_work_and_rest() -> None:
    meter = Meter()
    began = time.process_time()
    while time.process_time() - began < 0.05:
        pass
    worked = meter.measure().busy
    assert worked > 0
    time.sleep(0.05)
    assert meter.measure().busy < worked
