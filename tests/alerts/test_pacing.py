"""How many messages leave at once, and when they are merged: decisions without a database."""

import math
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.pacing import (
    BETWEEN_DIGESTS,
    GATHERING,
    MANY,
    WINDOW,
    Limits,
    Pace,
    Plan,
    Rate,
    Waiting,
    decide_pace,
)
from tests.alerts.scenes import NOON

SECOND = timedelta(seconds=1)
FIVE = Limits(digest_above=5)
ONE_A_SECOND = Limits(rate=Rate(60, 3))
FRESH = Pace(math.inf, NOON, NOON)


def plan(
    limits: Limits,
    fresh: int,
    *,
    others: int = 0,
    pace: Pace = FRESH,
    now: datetime = NOON,
    first_at: datetime = NOON,
    last_at: datetime | None = None,
    room: int = 16,
) -> Plan:
    times = (first_at, last_at or first_at) if fresh else (None, None)
    waiting = Waiting(fresh, others, *times)
    return decide_pace(pace, limits, waiting, room=room, now=now)


def test_a_few_messages_leave_at_once() -> None:
    decided = plan(FIVE, 5)
    assert (decided.fresh, decided.is_digest, decided.not_before) == (5, False, None)


def test_more_are_gathered_for_a_moment_and_merged() -> None:
    gathering = plan(FIVE, 6)
    assert (gathering.fresh, gathering.is_digest) == (0, False)
    assert gathering.not_before == NOON + GATHERING
    merged = plan(FIVE, MANY, pace=gathering.pace, now=NOON + GATHERING)
    assert (merged.fresh, merged.is_digest) == (0, True)


def test_of_dozens_more_are_waited_for() -> None:
    gathering = plan(FIVE, MANY + 1, now=NOON + GATHERING)
    assert gathering.not_before == NOON + 2 * GATHERING
    assert plan(FIVE, MANY + 1, pace=gathering.pace, now=NOON + 2 * GATHERING).is_digest


def test_a_storm_is_told_when_it_is_over() -> None:
    later = NOON + 9 * SECOND
    raging = plan(FIVE, MANY, now=later, last_at=later - SECOND)
    assert (raging.fresh, raging.is_digest) == (0, False)
    assert raging.not_before == later - SECOND + GATHERING
    assert plan(FIVE, MANY, now=later - SECOND + GATHERING, last_at=later - SECOND).is_digest


def test_a_storm_without_end_is_told_all_the_same() -> None:
    before = NOON + BETWEEN_DIGESTS - SECOND
    assert plan(FIVE, 200, now=before, last_at=before).not_before == NOON + BETWEEN_DIGESTS
    assert plan(FIVE, 200, now=before + SECOND, last_at=before + SECOND).is_digest


def test_a_trickle_that_becomes_a_storm_is_merged_beyond_the_first() -> None:
    first = plan(FIVE, 3)
    second = plan(FIVE, 3, pace=first.pace, now=NOON + SECOND, first_at=NOON + SECOND)
    assert first.fresh == 3
    assert second.fresh == 0
    assert second.not_before == NOON + SECOND + GATHERING


def test_what_follows_a_digest_waits_for_the_next() -> None:
    digest = plan(FIVE, 6, now=NOON + GATHERING)
    later = digest.pace.window_since + 3 * SECOND
    after = plan(FIVE, 1, pace=digest.pace, now=later, first_at=later)
    assert after.fresh == 0
    assert after.not_before == digest.pace.window_since + BETWEEN_DIGESTS


def test_a_lone_message_after_the_storm_leaves_at_once() -> None:
    digest = plan(FIVE, 6, now=NOON + GATHERING)
    later = digest.pace.window_since + WINDOW + SECOND
    assert plan(FIVE, 1, pace=digest.pace, now=later, first_at=later).fresh == 1


def test_a_clock_that_is_put_back_holds_nothing_up_for_long() -> None:
    digest = plan(FIVE, 6, now=NOON + GATHERING)
    before = NOON - timedelta(hours=1)
    held = plan(FIVE, 1, pace=digest.pace, now=before, first_at=before)
    assert held.not_before == before + BETWEEN_DIGESTS
    later = before + WINDOW + SECOND
    assert plan(FIVE, 1, pace=held.pace, now=later, first_at=later).fresh == 1


def test_a_storms_last_single_message_is_no_digest() -> None:
    first = plan(FIVE, 5)
    later = NOON + SECOND + GATHERING
    last = plan(FIVE, 1, pace=first.pace, now=later, first_at=NOON + SECOND)
    assert (last.fresh, last.is_digest) == (1, False)


def test_what_was_tried_before_is_never_merged() -> None:
    decided = plan(FIVE, 0, others=40)
    assert (decided.others, decided.is_digest) == (16, False)


def test_a_channel_that_merges_nothing_sends_all() -> None:
    assert plan(Limits(), 40).fresh == 16


def test_no_more_leave_than_there_is_room_for() -> None:
    decided = plan(FIVE, 5, room=2)
    assert (decided.fresh, decided.not_before) == (2, None)


def test_a_bucket_that_is_empty_says_when_there_is_a_token() -> None:
    full = Pace(3, NOON, NOON)
    decided = plan(ONE_A_SECOND, 5, pace=full)
    assert decided.fresh == 3
    assert decided.not_before == NOON + SECOND
    assert plan(ONE_A_SECOND, 2, pace=decided.pace, now=NOON + SECOND / 2).fresh == 0
    assert plan(ONE_A_SECOND, 2, pace=decided.pace, now=NOON + SECOND).fresh == 1


def test_a_bucket_never_holds_more_than_the_burst() -> None:
    assert plan(ONE_A_SECOND, 9, pace=Pace(0, NOON, NOON), now=NOON + 60 * SECOND).fresh == 3


def test_a_digest_takes_a_token_and_waits_for_one() -> None:
    limits = Limits(Rate(60, 1), digest_above=5)
    empty = Pace(0, NOON + GATHERING, NOON)
    waiting = plan(limits, 9, pace=empty, now=NOON + GATHERING)
    assert not waiting.is_digest
    assert waiting.not_before == NOON + GATHERING + SECOND
    merged = plan(limits, 9, pace=waiting.pace, now=NOON + GATHERING + SECOND)
    assert merged.is_digest
    assert merged.pace.tokens == pytest.approx(0)


@given(
    arrivals=st.lists(st.integers(0, 30), min_size=1, max_size=60),
    per_minute=st.integers(1, 600),
    burst=st.integers(1, 20),
    digest_above=st.none() | st.integers(1, 10),
)
def test_whatever_comes_the_rate_holds_and_nothing_waits_for_ever(
    arrivals: list[int], per_minute: int, burst: int, digest_above: int | None
) -> None:
    """Some messages come each second; requests are counted over the whole time."""
    limits = Limits(Rate(per_minute, burst), digest_above)
    pace, now, fresh, requests = Pace(burst, NOON, NOON), NOON, 0, 0
    first_at = last_at = NOON
    for came in [*arrivals, *[0] * 20]:
        first_at = first_at if fresh else now
        last_at = now if came else last_at
        fresh += came
        decided = plan(
            limits, fresh, pace=pace, now=now, first_at=first_at, last_at=last_at, room=64
        )
        pace = decided.pace
        requests += decided.fresh + decided.is_digest
        fresh = 0 if decided.is_digest else fresh - decided.fresh
        assert decided.fresh or decided.is_digest or not fresh or decided.not_before
        now += SECOND
    seconds = len(arrivals) + 20
    assert requests <= burst + per_minute / 60 * seconds + 1e-6
