"""group: a monitor whose status follows from those of others, by a rule.

Nothing is checked: `incidents.groups` decides, whenever the status of a member is another.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from probe.kinds.base import Kind, KindSettings
from probe.net import Net
from probe.values import Job, Observation, Reason, Status

Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class GroupSettings(KindSettings):
    latency_degraded_ms: ClassVar[None] = None  # type: ignore[misc] # nothing here takes time

    rule: Literal["any", "all", "percent"] = Field(
        default="any",
        title="Down when",
        description="How many of its members are down: any, all, or a share of them. It is degraded"
        " by the same rule, where down and degraded ones count.",
    )
    percent: float = Field(
        default=50,
        gt=0,
        le=100,
        title="Share (%)",
        description="With the rule percent: at least so many of its members.",
    )
    degraded_by_any: bool = Field(
        default=False,
        title="Degraded as soon as any member is down or degraded",
        description="For members that stand in for each other: one less is no outage, but worth"
        " knowing.",
    )
    tags: tuple[Tag, ...] = Field(
        default=(),
        max_length=50,
        title="Monitors with any of these tags",
        description="Are members, too: present ones and those to come. Separated by commas. Groups"
        " are members by name only.",
    )


async def observe(job: Job, net: Net) -> Observation:
    """Nothing: a group has no place that it is checked from."""
    return Observation(Status.UNKNOWN, Reason.CHECK_ERROR, "A group can't be checked.")


def clean_target(text: str) -> str:
    if text.strip():
        raise ValueError("A group has no target: it has members")
    return ""


KIND = Kind(
    "group",
    "Group",
    GroupSettings,
    observe,
    clean_target,
    has_target=False,
    is_derived=True,
    summary="Several monitors as one: down when any, all or a share of them is.",
    sections={"": ("rule", "percent", "degraded_by_any", "tags")},
)
