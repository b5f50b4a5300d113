"""What the locations' states mean for the monitor. Pure: states and a quorum give a verdict.

    pending ──▶ up ◀──▶ degraded ◀──▶ down        (a monitor that is checked)
       ▲         ╲          │         ╱
       └── resumed ──── paused ◀────┘

Down: at least `quorum` locations are down. Degraded: at least `quorum` locations are not up, down
ones included. Up: else, once any location has seen the target up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from monitors.models import Status

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LocationState:
    """One location's confirmed state and what its last check said."""

    location: str
    state: Status
    troubled_since: datetime | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A monitor's status, since when the checks say so (None: since the check at hand), and why."""

    status: Status
    since: datetime | None = None
    reason: str = ""
    message: str = ""
    locations: tuple[str, ...] = ()


def decide_verdict(states: Sequence[LocationState], *, quorum: int) -> Verdict:
    """The verdict of a monitor's locations."""
    down = [one for one in states if one.state == Status.DOWN]
    troubled = [one for one in states if one.state in (Status.DOWN, Status.DEGRADED)]
    if down and len(down) >= quorum:
        return _trouble(Status.DOWN, down)
    if troubled and len(troubled) >= quorum:
        return _trouble(Status.DEGRADED, troubled)
    if any(one.state != Status.PENDING for one in states):
        return Verdict(Status.UP)
    return Verdict(Status.PENDING)


def _trouble(status: Status, agreeing: Sequence[LocationState]) -> Verdict:
    """The verdict as the location tells it that saw the trouble first."""
    first = min(agreeing, key=lambda one: one.troubled_since or _NEVER)
    return Verdict(
        status=status,
        since=first.troubled_since,
        reason=first.reason,
        message=first.message,
        locations=tuple(sorted(one.location for one in agreeing)),
    )
