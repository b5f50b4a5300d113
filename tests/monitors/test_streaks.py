"""What the checks of one location mean."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.models import Status
from monitors.streaks import WINDOW, Streak, Thresholds, decide_streak, is_confirming
from probe.values import Status as Seen

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LETTERS = {"u": Seen.UP, "g": Seen.DEGRADED, "d": Seen.DOWN, "?": Seen.UNKNOWN}


def run(
    checks: str, *, failures: int = 2, recoveries: int = 1, window: int | None = None
) -> list[Streak]:
    """The streaks after each check; one letter a check, one second apart."""
    streak, history = Streak(), []
    for second, letter in enumerate(checks):
        streak = decide_streak(
            streak,
            seen=LETTERS[letter],
            at=NOON + timedelta(seconds=second),
            thresholds=Thresholds(failures, recoveries, window),
        )
        history.append(streak)
    return history


@pytest.mark.parametrize(
    ("checks", "failures", "recoveries", "states"),
    [
        ("u", 2, 1, "up"),
        ("d", 2, 1, "pending"),
        ("dd", 2, 1, "down"),
        ("d", 1, 1, "down"),
        ("ud", 2, 1, "up"),
        ("udu", 2, 1, "up"),
        ("ududud", 2, 1, "up"),
        ("udd", 2, 1, "down"),
        ("uddu", 2, 1, "up"),
        ("uddu", 2, 2, "down"),
        ("udduu", 2, 2, "up"),
        ("uddudu", 2, 2, "down"),
        ("ug", 2, 1, "up"),
        ("ugg", 2, 1, "degraded"),
        ("ugd", 2, 1, "degraded"),
        ("ugdd", 2, 1, "down"),
        ("ugdgd", 2, 1, "degraded"),
        ("uddg", 2, 1, "degraded"),
        ("uggu", 2, 1, "up"),
        ("uggu", 2, 2, "degraded"),
        ("udd??", 2, 1, "down"),
        ("udd????", 2, 1, "unknown"),
        ("udd????d", 2, 1, "down"),
        ("udd????u", 2, 1, "up"),
        ("udd????u", 2, 2, "unknown"),
        ("udd????uu", 2, 2, "up"),
        ("udd????ud", 2, 2, "unknown"),
        ("udd????udd", 2, 2, "down"),
        ("ud?d", 2, 1, "down"),
        ("u??", 2, 1, "up"),
        ("u???", 2, 1, "unknown"),
        ("u???d", 2, 1, "unknown"),
        ("u???dd", 2, 1, "down"),
        ("u??????u", 2, 2, "up"),
        ("u??u??", 2, 1, "up"),
        ("?", 1, 1, "pending"),
    ],
)
def test_a_run_of_checks_gives_a_state(
    checks: str, failures: int, recoveries: int, states: str
) -> None:
    assert run(checks, failures=failures, recoveries=recoveries)[-1].state == states


def test_trouble_dates_from_its_first_check() -> None:
    assert run("uudd")[-1].troubled_since == NOON + timedelta(seconds=2)
    assert run("ugdd")[-1].troubled_since == NOON + timedelta(seconds=1)
    assert run("uddu")[-1].troubled_since is None


@given(st.text("ugd?", max_size=30), st.integers(1, 4), st.integers(1, 4))
def test_down_needs_its_threshold_in_a_row_and_nothing_else_does(
    checks: str, failures: int, recoveries: int
) -> None:
    seen = [letter for letter in checks if letter != "?"]
    for place, streak in enumerate(run("".join(seen), failures=failures, recoveries=recoveries)):
        tail = seen[max(0, place + 1 - failures) : place + 1]
        if len(tail) == failures and set(tail) == {"d"}:
            assert streak.state == Status.DOWN
        last_state = run("".join(seen[:place]), failures=failures, recoveries=recoveries)
        was_down = bool(last_state) and last_state[-1].state == Status.DOWN
        if streak.state == Status.DOWN and not was_down:
            assert tail == ["d"] * failures


@given(st.text("ugd", max_size=20), st.text("?", max_size=2), st.integers(0, 20))
def test_a_few_faults_of_ours_leave_no_trace(checks: str, faults: str, place: int) -> None:
    disturbed = checks[:place] + faults + checks[place:]
    states = [one.state for one in run(checks)][-1:]
    assert [one.state for one in run(disturbed)][-1:] == (states or [Status.PENDING][: len(faults)])


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        *[("ud", True), ("udd", False), ("ug", True), ("ugg", False), ("u", False)],
        *[("uddd", False), ("ud?", True), ("ud??", True), ("ud???", False), ("u?", False)],
        *[("udd?", False), ("ug?", True), ("udu?", False)],
    ],
)
def test_unconfirmed_trouble_is_checked_again_soon(checks: str, expected: bool) -> None:
    seen = LETTERS[checks[-1]]
    assert is_confirming(run(checks)[-1], seen=seen, thresholds=Thresholds()) is expected


@pytest.mark.parametrize(
    ("checks", "failures", "window", "state"),
    [
        ("uduuduu", 3, 10, "up"),
        ("ududud", 3, 10, "down"),
        ("ududu" + "d", 3, 5, "down"),
        ("ud" + "u" * 9 + "dd", 3, 5, "up"),
        ("ddd", 3, 10, "down"),
        ("dddu", 3, 10, "down"),
        ("ddduuuuuuuu", 3, 10, "up"),
    ],
)
def test_trouble_that_comes_and_goes_is_counted_in_a_window(
    checks: str, failures: int, window: int, state: str
) -> None:
    assert run(checks, failures=failures, window=window)[-1].state == state


def test_trouble_in_a_window_dates_from_its_first_check_and_is_not_hurried() -> None:
    streak = run("ududud", failures=3, window=10)[-1]
    assert streak.troubled_since == NOON + timedelta(seconds=1)
    one = run("ud", failures=3, window=10)[-1]
    assert not is_confirming(one, seen=Seen.DOWN, thresholds=Thresholds(3, 1, 10))


@given(st.text("ugd", max_size=90), st.integers(1, 5), st.integers(2, WINDOW))
def test_a_window_counts_what_brute_force_counts(checks: str, failures: int, window: int) -> None:
    for place, streak in enumerate(run(checks, failures=failures, window=window)):
        failing = checks[max(0, place + 1 - window) : place + 1].count("d")
        if failing >= failures:
            assert streak.state == Status.DOWN
        assert streak.failures_among(window) == failing
