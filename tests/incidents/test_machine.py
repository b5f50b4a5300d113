"""What the locations' states mean for the monitor."""

from datetime import UTC, datetime, timedelta

import pytest

from incidents.machine import LocationState, decide_verdict
from monitors.models import Status

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LETTERS = {"p": Status.PENDING, "u": Status.UP, "g": Status.DEGRADED, "d": Status.DOWN}


def states(letters: str) -> list[LocationState]:
    return [
        LocationState(
            location=f"place{number}",
            state=LETTERS[letter],
            troubled_since=NOON + timedelta(seconds=number) if letter in "gd" else None,
            reason=f"reason{number}" if letter in "gd" else "",
            message="",
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
    ],
)
def test_a_quorum_decides(letters: str, quorum: int, status: str) -> None:
    assert decide_verdict(states(letters), quorum=quorum).status == status


def test_trouble_is_told_as_the_first_location_saw_it() -> None:
    verdict = decide_verdict(states("udud"), quorum=2)
    assert verdict.since == NOON + timedelta(seconds=1)
    assert verdict.reason == "reason1"
    assert verdict.locations == ("place1", "place3")
