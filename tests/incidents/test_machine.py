"""What the locations' states mean for the monitor."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.machine import TROUBLE, FlapLimit, LocationState, decide_verdict
from monitors.models import Status

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LETTERS = {
    "p": Status.PENDING,
    "u": Status.UP,
    "g": Status.DEGRADED,
    "d": Status.DOWN,
    "r": Status.DOWN,  # recovering
    "?": Status.UNKNOWN,
}
TROUBLED = "gdr"


def states(letters: str) -> list[LocationState]:
    return [
        LocationState(
            location=f"place{number}",
            state=LETTERS[letter],
            troubled_since=NOON + timedelta(seconds=number) if letter in TROUBLED else None,
            reason=f"reason{number}" if letter in TROUBLED else "",
            message="",
            is_recovering=letter == "r",
        )
        for number, letter in enumerate(letters)
    ]


@pytest.mark.parametrize(
    ("letters", "quorum", "status"),
    [
        ("", 1, "pending"),
        ("p", 1, "pending"),
        ("u", 1, "up"),
        ("pu", 1, "up"),
        ("d", 1, "down"),
        ("ud", 1, "down"),
        ("ud", 2, "up"),
        ("udd", 2, "down"),
        ("ugd", 2, "degraded"),
        ("ugg", 1, "degraded"),
        ("ugg", 3, "up"),
        ("ddd", 3, "down"),
        ("pd", 2, "up"),
        ("?", 1, "unknown"),
        ("??", 1, "unknown"),
        ("?p", 1, "pending"),
        ("?u", 1, "up"),
        ("?d", 1, "down"),
        ("?d", 2, "up"),
        ("r", 1, "down"),
    ],
)
def test_a_quorum_decides(letters: str, quorum: int, status: str) -> None:
    assert decide_verdict(states(letters), quorum=quorum, before=Status.UP).status == status


@pytest.mark.parametrize(
    ("letters", "quorum", "status"),
    [
        ("d", 1, "down"),
        ("r", 1, "recovering"),
        ("dr", 1, "down"),
        ("dr", 2, "recovering"),
        ("drr", 2, "recovering"),
        ("ddr", 2, "down"),
        ("gr", 2, "degraded"),
        ("g", 1, "degraded"),
        ("u", 1, "up"),
        ("d?", 2, "down"),
        ("r?", 2, "recovering"),
        ("dp", 2, "down"),
        ("du", 2, "up"),
        ("u?", 2, "up"),
        ("??", 2, "unknown"),
        ("p", 1, "pending"),
    ],
)
def test_trouble_goes_on_while_those_who_can_tell_agree(
    letters: str, quorum: int, status: str
) -> None:
    assert decide_verdict(states(letters), quorum=quorum, before=Status.DOWN).status == status


def test_trouble_is_told_as_the_first_location_saw_it() -> None:
    verdict = decide_verdict(states("udud"), quorum=2, before=Status.UP)
    assert verdict.since == NOON + timedelta(seconds=1)
    assert verdict.reason == "reason1"
    assert verdict.locations == ("place1", "place3")


def test_what_one_location_saw_alone_long_before_is_none_of_the_monitors_trouble() -> None:
    days_ago = NOON - timedelta(days=5)
    lone, *others = states("ddd")
    seen = [replace(lone, troubled_since=days_ago), *others]
    verdict = decide_verdict(seen, quorum=2, before=Status.UP)
    assert verdict.since == NOON + timedelta(seconds=1)
    assert decide_verdict(seen, quorum=1, before=Status.UP).since == days_ago


@given(st.text("pugdr?", max_size=5).flatmap(lambda text: st.permutations(list(text))), st.data())
def test_the_order_of_locations_means_nothing(letters: list[str], data: st.DataObject) -> None:
    ordered = states("".join(letters))
    shuffled = data.draw(st.permutations(ordered))
    quorum = data.draw(st.integers(1, 5))
    before = data.draw(st.sampled_from(list(Status)))
    assert decide_verdict(ordered, quorum=quorum, before=before) == decide_verdict(
        shuffled, quorum=quorum, before=before
    )


@given(st.text("pugdr?", max_size=5), st.integers(1, 5), st.sampled_from(list(Status)))
def test_silence_neither_begins_nor_ends_trouble(letters: str, quorum: int, before: Status) -> None:
    """Locations that fall silent, one after the other, never turn a verdict into its opposite."""
    verdict = decide_verdict(states(letters), quorum=quorum, before=before).status
    for place, letter in enumerate(letters):
        if letter in "u":
            continue  # a voice for up that is missing may well let the others prevail
        quieter = letters[:place] + "?" + letters[place + 1 :]
        after = decide_verdict(states(quieter), quorum=quorum, before=verdict).status
        if verdict in TROUBLE and any(one in TROUBLED for one in quieter):
            assert after != Status.UP or "u" in quieter
        if verdict == Status.UP:
            assert after not in TROUBLE


def test_history_that_was_told_stays() -> None:
    seen = states("ddd")
    verdict = decide_verdict(
        seen, quorum=1, before=Status.DEGRADED, changed_at=NOON + timedelta(seconds=1)
    )
    assert (verdict.since, verdict.reason) == (NOON + timedelta(seconds=2), "reason0")
    verdict = decide_verdict(
        seen, quorum=1, before=Status.DEGRADED, changed_at=NOON + timedelta(seconds=2)
    )
    assert verdict.since is None


def test_flapping_is_more_changes_than_allowed_within_the_window() -> None:
    limit = FlapLimit(changes=3, window=timedelta(minutes=10))
    changed_at = [NOON + timedelta(minutes=minute) for minute in (0, 1, 5, 9, 10)]
    assert limit.count(changed_at, NOON + timedelta(minutes=9)) == 4
    assert limit.count(changed_at, NOON + timedelta(minutes=10)) == 4
    assert limit.is_exceeded_by(4)
    assert not limit.is_exceeded_by(3)
    assert not FlapLimit(changes=0, window=timedelta(minutes=10)).is_exceeded_by(1000)
