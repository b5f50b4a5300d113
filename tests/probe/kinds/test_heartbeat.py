"""When a ping is expected, across time zones and the days on which clocks change."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from probe.kinds.heartbeat import HeartbeatSettings, next_deadline
from probe.values import Reason, Status
from tests.probe.conftest import Check

MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("settings", "last_seen", "deadline"),
    [
        ({"grace": 0}, "2026-11-22 10:00", "2026-11-22 10:01"),
        ({"grace": 90}, "2026-11-22 10:00", "2026-11-22 10:02:30"),
        ({"schedule": "0 3 * * *", "grace": 60}, "2026-11-22 03:00:05", "2026-11-23 03:01"),
        # one second before the hour counts for the hour before
        ({"schedule": "0 * * * *", "grace": 0}, "2026-11-22 09:59:59", "2026-11-22 10:00"),
        # Berlin is one hour ahead in winter, two in summer
        (
            {"schedule": "0 3 * * *", "timezone": "Europe/Berlin", "grace": 0},
            "2026-01-10 12:00",
            "2026-01-11 02:00",
        ),
        (
            {"schedule": "0 3 * * *", "timezone": "Europe/Berlin", "grace": 0},
            "2026-07-10 12:00",
            "2026-07-11 01:00",
        ),
        # 29 March 2026: clocks go from 02:00 to 03:00, so 02:30 comes right after the gap
        (
            {"schedule": "30 2 * * *", "timezone": "Europe/Berlin", "grace": 0},
            "2026-03-28 12:00",
            "2026-03-29 01:00",
        ),
        (
            {"schedule": "30 2 * * *", "timezone": "Europe/Berlin", "grace": 0},
            "2026-03-29 01:00",
            "2026-03-30 00:30",
        ),
        # 25 October 2026: 02:30 comes twice, and is expected once
        (
            {"schedule": "30 2 * * *", "timezone": "Europe/Berlin", "grace": 0},
            "2026-10-24 12:00",
            "2026-10-25 00:30",
        ),
        (
            {"schedule": "30 2 * * *", "timezone": "Europe/Berlin", "grace": 0},
            "2026-10-25 00:30",
            "2026-10-26 01:30",
        ),
        # what runs every half hour runs in both of the repeated hours
        (
            {"schedule": "*/30 * * * *", "timezone": "Europe/Berlin", "grace": 0},
            "2026-10-25 00:30",
            "2026-10-25 01:00",
        ),
    ],
)
def test_the_deadline_follows_the_wall_clock(
    settings: dict[str, object], last_seen: str, deadline: str
) -> None:
    found = next_deadline(HeartbeatSettings(**settings), MINUTE, utc(last_seen))
    assert found == utc(deadline)
    assert found.tzinfo == UTC


@given(
    st.integers(1_577_836_800, 2_051_222_400),  # 2020 to 2034
    st.sampled_from(["* * * * *", "*/7 2,3 * * *", "30 1-3 * * 0", "0 0 1 * *", "15 2 L * *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
)
def test_the_deadline_always_lies_ahead(at: int, schedule: str, timezone: str) -> None:
    settings = HeartbeatSettings(schedule=schedule, timezone=timezone, grace=0)
    last_seen_at = datetime.fromtimestamp(at, UTC)
    deadline = next_deadline(settings, MINUTE, last_seen_at)
    assert last_seen_at < deadline <= last_seen_at + timedelta(days=63)


async def test_a_ping_in_time_is_up(check: Check) -> None:
    seen = await check(
        "heartbeat", last_seen_at=utc("2026-11-22 10:00"), due_at=utc("2026-11-22 10:01:59")
    )
    assert (seen.status, seen.reason, seen.message) == (Status.UP, None, "")


async def test_silence_past_the_deadline_is_missed(check: Check) -> None:
    seen = await check(
        "heartbeat", last_seen_at=utc("2026-11-22 10:00"), due_at=utc("2026-11-22 10:02")
    )
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.HEARTBEAT_MISSED)
    assert seen.message == (
        "No success or failure reported since 2026-11-22 10:00:00 UTC: expected one by"
        " 2026-11-22 10:01:00 UTC, grace 60 s."
    )


async def test_a_heartbeat_that_never_beat_is_missed(check: Check) -> None:
    seen = await check("heartbeat", due_at=utc("2026-11-22 10:02"))
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.HEARTBEAT_MISSED)
    assert seen.message == (
        "No success or failure was ever reported: the first was expected by"
        " 2026-11-22 10:02:00 UTC."
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"schedule": "every day"},
        {"schedule": "61 * * * *"},
        {"schedule": "0 0 31 2 *"},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../../etc/passwd"},
        {"timezone": "Europe"},
        {"grace": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HeartbeatSettings(**bad)
