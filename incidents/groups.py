"""What a group is, by its rule over its members. Pure: a rule and a tally give a verdict.

    members that are paused or under maintenance do not count; with no others, it is
    maintenance (any of them is under it) or paused
    down:     so many of the rest are down, recovering ones included
    degraded: so many are down or degraded; or one is, where the group says so
    up:       else, if any is up
    unknown:  else; pending, while some of them are

So many is one (any), all, or a share. A member that knows nothing (pending, unknown) has no vote.
As with a monitor's locations, trouble needs its share of all members to begin, and the share of
those that have a vote to go on: nobody's silence ends an incident.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from incidents.machine import TROUBLE, Verdict
from monitors.groups import Member, Tally
from monitors.models import Monitor, Status
from probe.kinds.group import GroupSettings
from probe.values import Reason

NAMED = 5
"""So many of the members in trouble are named."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How many of its members make a group what they are."""

    share: float
    degraded_by_any: bool = False

    @classmethod
    def of(cls, group: Monitor) -> Self:
        settings = GroupSettings.model_validate(group.settings)
        shares = {"any": 0.0, "all": 1.0, "percent": settings.percent / 100}
        return cls(shares[settings.rule], settings.degraded_by_any)

    def needed(self, members: int) -> int:
        """How many of so many it takes, at least one. A share of 0 is any of them."""
        return max(1, math.ceil(round(self.share * members, 6)))


def decide_group(rule: Rule, members: Tally, *, before: Status) -> Verdict:
    """The verdict on a group that was `before`.

    It dates from when the last of those began that the rule needs.
    """
    watched = sum(members.counts.values()) - members.count(Status.PAUSED, Status.MAINTENANCE)
    if not watched:
        if members.count(Status.MAINTENANCE):
            return _verdict(Status.MAINTENANCE, "Its members are under maintenance.")
        return _verdict(Status.PAUSED, "No member of it is watched.")
    silent = members.count(Status.PENDING, Status.UNKNOWN)
    needed = rule.needed(watched - silent if before in TROUBLE else watched)
    down = [one for one in members.troubled if one.status != Status.DEGRADED]
    if len(down) >= needed:
        return _trouble(Status.DOWN, down, needed, watched)
    needed = 1 if rule.degraded_by_any else needed
    if len(members.troubled) >= needed:
        return _trouble(Status.DEGRADED, members.troubled, needed, watched)
    if members.count(Status.UP):
        return Verdict(Status.UP)
    if members.count(Status.PENDING):
        return Verdict(Status.PENDING)
    return _verdict(Status.UNKNOWN, "Nobody knows how its members are.")


def _verdict(status: Status, message: str, since: datetime | None = None) -> Verdict:
    return Verdict(status, since, Reason.MEMBERS.value, message)


def _trouble(status: Status, agreeing: Sequence[Member], needed: int, watched: int) -> Verdict:
    since = sorted(one.since for one in agreeing)[needed - 1]
    named = ", ".join(one.name for one in agreeing[:NAMED])
    more = f" and {len(agreeing) - NAMED} more" if len(agreeing) > NAMED else ""
    how = "down" if status == Status.DOWN else "down or degraded"
    whose = "member" if watched == 1 else "members"
    verb = "is" if len(agreeing) == 1 else "are"
    message = f"{len(agreeing)} of {watched} {whose} {verb} {how}: {named}{more}."
    return _verdict(status, message, since)
