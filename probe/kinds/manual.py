"""manual: a status that people set, for what no check can see.

The status is a setting. Whoever changes it, on the page or through the API, changes the monitor,
and the check that follows at once carries the new status to incidents, alerts and status pages the
way that every other check's does.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from probe.kinds.base import Kind, KindSettings
from probe.net import Net
from probe.values import Job, Observation, Reason, Status


class ManualSettings(KindSettings):
    status: Literal["up", "degraded", "down"] = Field(
        default="up", title="Status", description="What the monitor is until somebody changes it."
    )
    note: str = Field(
        default="",
        max_length=500,
        title="Note",
        description="Why it is so: the message of incidents and alerts.",
    )


async def observe(job: Job, net: Net) -> Observation:
    settings: ManualSettings = job.spec.settings
    status = Status(settings.status)
    if status == Status.UP:
        return Observation(status)
    return Observation(status, Reason.MANUAL, settings.note.strip() or f"Set to {status} by hand.")


def clean_target(text: str) -> str:
    if text.strip():
        raise ValueError("A manual monitor has no target: people set its status")
    return ""


KIND = Kind(
    "manual",
    "Manual",
    ManualSettings,
    observe,
    clean_target,
    has_target=False,
    default_failure_threshold=1,
    summary="People set the status: for services that no check can reach.",
    sections={"": ("status", "note")},
)
