"""What the checks of one location mean."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.models import Status
from monitors.streaks import Streak, decide_streak, is_confirming
from probe.values import Status as Seen

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LETTERS = {"u": Seen.UP, "g": Seen.DEGRADED, "d": Seen.DOWN, "?": Seen.UNKNOWN}


def run(checks: str, *, failures: int = 2, recoveries: int = 1) -> list[Streak]:
    """The streaks after each check; one letter a check, one second apart."""
    streak, history = Streak(), []
    for second, letter in enumerate(checks):
        streak = decide_streak(
            streak,
            seen=LETTERS[letter],
            at=NOON + timedelta(seconds=second),
            failure_threshold=failures,
            recovery_threshold=recoveries,
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
        ("udd????", 2, 1, "down"),
        ("ud?d", 2, 1, "down"),
        ("u????", 2, 1, "up"),
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


@given(st.text("ugd", max_size=20), st.text("?", max_size=5), st.integers(0, 20))
def test_faults_of_ours_leave_no_trace(checks: str, faults: str, place: int) -> None:
    disturbed = checks[:place] + faults + checks[place:]
    states = [one.state for one in run(checks)][-1:]
    assert [one.state for one in run(disturbed)][-1:] == (states or [Status.PENDING][: len(faults)])


@pytest.mark.parametrize(
    ("checks", "expected"),
    [("ud", True), ("udd", False), ("ug", True), ("ugg", False), ("u", False), ("uddd", False)],
)
def test_unconfirmed_trouble_is_checked_again_soon(checks: str, expected: bool) -> None:
    seen = LETTERS[checks[-1]]
    assert is_confirming(run(checks)[-1], seen=seen, failure_threshold=2) is expected
