"""When the next check is."""

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitors.cadence import (
    CATCH_UP,
    GRAIN,
    next_slot,
    phase,
    plan_after_check,
    plan_after_outage,
    plan_confirmation,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
INTERVALS = st.integers(1, 86_400).map(lambda s: timedelta(seconds=s))
IDS = st.integers(1, 2**40)
INSTANTS = st.integers(0, 20 * 365 * 86_400_000_000).map(
    lambda us: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)


@given(IDS, INTERVALS, INSTANTS)
def test_the_next_slot_lies_within_one_interval_and_on_the_grid(
    id_: int, interval: timedelta, after: datetime
) -> None:
    slot = next_slot(id_, interval, after)
    assert after < slot <= after + interval
    assert next_slot(id_, interval, slot) == slot + interval


@given(IDS, INTERVALS, INSTANTS, st.floats(0, 1e5))
def test_a_late_check_does_not_shift_the_grid_and_counts_what_it_skipped(
    id_: int, interval: timedelta, at: datetime, took_s: float
) -> None:
    due_at = next_slot(id_, interval, at)
    finished_at = due_at + timedelta(seconds=took_s)
    plan = plan_after_check(
        assignment_id=id_, interval=interval, due_at=due_at, finished_at=finished_at
    )
    assert plan.due_at > finished_at
    assert plan.due_at == due_at + (plan.missed + 1) * interval
    assert plan.attempt == 0


def test_phases_fill_the_interval_evenly() -> None:
    interval = timedelta(seconds=20)
    seconds = sorted(phase(id_, interval).total_seconds() for id_ in range(1, 2001))
    gaps = [b - a for a, b in itertools.pairwise(seconds)]
    assert max(gaps) < 3 * 20 / 2000


def test_checks_begin_together_on_grains_of_10_ms_each_of_which_has_its_share() -> None:
    interval = timedelta(seconds=20)
    at_once = Counter(phase(id_, interval) for id_ in range(1, 20_001))
    assert all(instant % GRAIN == timedelta() for instant in at_once)
    assert len(at_once) == interval // GRAIN
    assert max(at_once.values()) < 2 * 20_000 / len(at_once)


def test_a_check_on_time_is_followed_by_the_next_slot_with_nothing_missed() -> None:
    due_at = next_slot(7, timedelta(seconds=60), NOON)
    plan = plan_after_check(
        assignment_id=7,
        interval=timedelta(seconds=60),
        due_at=due_at,
        finished_at=due_at + timedelta(seconds=2),
    )
    assert (plan.due_at, plan.missed) == (due_at + timedelta(seconds=60), 0)


def test_a_check_off_the_grid_is_followed_by_the_grid() -> None:
    interval = timedelta(seconds=60)
    slot = next_slot(7, interval, NOON)
    plan = plan_after_check(
        assignment_id=7,
        interval=interval,
        due_at=slot + timedelta(seconds=6),
        finished_at=slot + timedelta(seconds=7),
    )
    assert (plan.due_at, plan.missed) == (slot + interval, 0)


def test_a_confirmation_comes_a_retry_interval_after_the_start_of_the_failing_check() -> None:
    def planned(took_s: float) -> datetime:
        finished_at = NOON + timedelta(seconds=took_s)
        plan = plan_confirmation(
            retry_interval=timedelta(seconds=5),
            attempt=0,
            started_at=NOON,
            finished_at=finished_at,
        )
        assert plan.attempt == 1
        return plan.due_at

    assert planned(0.2) == NOON + timedelta(seconds=5)
    assert planned(30) == NOON + timedelta(seconds=30)


@given(IDS, INTERVALS, INSTANTS, st.floats(0, 1e6))
def test_after_an_outage_there_is_one_check_within_the_interval_and_the_rest_is_missed(
    id_: int, interval: timedelta, at: datetime, outage_s: float
) -> None:
    due_at = next_slot(id_, interval, at)
    now = due_at + timedelta(seconds=outage_s)
    plan = plan_after_outage(assignment_id=id_, interval=interval, due_at=due_at, now=now)
    assert now <= plan.due_at <= now + interval
    passed = (plan.due_at - due_at - timedelta(microseconds=1)) // interval + 1
    assert plan.missed == passed
    if interval <= CATCH_UP:
        assert plan.due_at == next_slot(id_, interval, now)
    else:
        assert plan.due_at <= now + CATCH_UP


def test_daily_checks_that_an_outage_held_up_are_made_within_minutes_and_evenly() -> None:
    day = timedelta(days=1)
    plans = [
        plan_after_outage(assignment_id=id_, interval=day, due_at=NOON - day, now=NOON)
        for id_ in range(1, 3001)
    ]
    seconds = Counter((plan.due_at - NOON) // timedelta(seconds=1) for plan in plans)
    assert len(seconds) == 300
    assert max(seconds.values()) <= 2 * 3000 / 300
