"""Heartbeats: a job of the user's pings us; silence past the deadline is what fails.

Nothing is sent. The check is a look at when the last ping came.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator

from probe.kinds.base import Kind, KindSettings
from probe.values import Job, Observation, Reason, Status

if TYPE_CHECKING:
    from probe.net import Net


class HeartbeatSettings(KindSettings):
    schedule: str | None = Field(
        default=None,
        max_length=100,
        title="Schedule",
        description="When pings are expected, as a cron expression such as `0 3 * * *`."
        " Empty: once per interval.",
    )
    timezone: str = Field(
        default="UTC",
        max_length=64,
        title="Time zone",
        description="The time zone of the schedule, such as Europe/Berlin.",
    )
    grace: float = Field(
        default=60,
        ge=0,
        le=31 * 86400,
        title="Grace (s)",
        description="How many seconds after the expected time a ping may still come.",
    )

    @field_validator("schedule")
    @classmethod
    def _check_schedule(cls, text: str | None) -> str | None:
        text = (text or "").strip()
        if not text:
            return None
        try:
            next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            raise ValueError(f"This is not a valid cron expression: {error}") from None
        except StopIteration:
            raise ValueError("This cron expression never comes true") from None
        return text

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # unknown, a path, a directory of the database
            raise ValueError("This is not the name of a time zone, such as Europe/Berlin") from None
        return name


def next_expected(
    settings: HeartbeatSettings, interval: timedelta, last_seen_at: datetime
) -> datetime:
    """When the ping after the one at `last_seen_at` is expected, without grace, in UTC.

    A schedule is a matter of wall clocks: a run in the hour that the clocks skip is expected right
    after the gap, one in the hour that they repeat is expected once.
    """
    if settings.schedule is None:
        return last_seen_at.astimezone(UTC) + interval
    local = last_seen_at.astimezone(ZoneInfo(settings.timezone))
    return next(CronSim(settings.schedule, local)).astimezone(UTC)


def next_deadline(
    settings: HeartbeatSettings, interval: timedelta, last_seen_at: datetime
) -> datetime:
    """Until when the ping after the one at `last_seen_at` may come, grace included, in UTC."""
    expected = next_expected(settings, interval, last_seen_at)
    return expected + timedelta(seconds=settings.grace)


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


async def observe(job: Job, net: Net) -> Observation:
    """Up while the deadline lies ahead of the instant that the check was due."""
    settings: HeartbeatSettings = job.spec.settings
    if job.last_seen_at is None:
        return Observation(
            Status.DOWN,
            Reason.HEARTBEAT_MISSED,
            "No success or failure was ever reported: the first was expected by"
            f" {_utc(job.due_at)}.",
        )
    expected = next_expected(settings, job.spec.interval, job.last_seen_at)
    if expected + timedelta(seconds=settings.grace) > job.due_at:
        return Observation(Status.UP)
    return Observation(
        Status.DOWN,
        Reason.HEARTBEAT_MISSED,
        f"No success or failure reported since {_utc(job.last_seen_at)}: expected one by"
        f" {_utc(expected)}, grace {settings.grace:g} s.",
    )


def clean_target(text: str) -> str:
    if text.strip():
        raise ValueError("A heartbeat has no target: it is pinged by its URL")
    return ""


KIND = Kind(
    name="heartbeat",
    label="Heartbeat",
    settings=HeartbeatSettings,
    observe=observe,
    clean_target=clean_target,
    has_target=False,
    is_passive=True,
    default_failure_threshold=1,
    summary="A job of yours calls a URL when it is done; silence past the deadline is an incident.",
    sections={"": ("schedule", "timezone", "grace")},
)
