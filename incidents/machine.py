"""What the locations' states mean for the monitor. Pure: states and a quorum give a verdict.

                 a check passed                 quorum troubled              quorum down
       pending ─────────────────▶ up ◀──────────────────────▶ degraded ◀──────────────▶ down
          ▲  │                     ▲                             ▲                     │  ▲
          │  └────── quorum down or degraded ────────────────────┴──▶     a check      │  │ fails
       resumed                     └────── enough of them ────── recovering ◀─ passed ─┘  │ again
          │                                                          └────────────────────┘
       paused ◀── by hand, from any                unknown ◀── from any, while no location can tell
       maintenance ◀── from any, while a window lasts; then up, or pending until a check
                       proves that the trouble seen inside goes on

Down: at least `quorum` locations are down. Recovering: they are, but their last checks passed, not
enough of them yet. Degraded: at least `quorum` locations are not up, down ones included. Up: else,
once any location has seen the target up. Unknown: no location knows; it is no proof of recovery, so
an open incident stays as it is.

A location that knows nothing (pending, unknown) has no vote. Trouble needs the whole quorum to
begin, and the quorum of those that have a vote to go on: nobody's silence ends an incident.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from monitors.models import Status

TROUBLE = (Status.DOWN, Status.RECOVERING, Status.DEGRADED)
"""While a monitor is in one of these, it has an open incident."""

SUSPENDED = (Status.MAINTENANCE, Status.PENDING)
"""While a monitor is in one of these, nobody is told of the incident that it has."""

# What locations see first within so long of each other is one trouble. The first to fail has the
# others look at once, and no look takes longer.
_TOGETHER = timedelta(minutes=2)
_NEVER = datetime.max.replace(tzinfo=UTC)
_NO_VOTE = (Status.PENDING, Status.UNKNOWN)


@dataclass(frozen=True, slots=True)
class LocationState:
    """One location's confirmed state and what its last check said.

    `is_recovering`: it is down, and its last check passed. `is_proven`: that it is in trouble was
    seen since the monitor's status is what it is.
    """

    location: str
    state: Status
    troubled_since: datetime | None
    reason: str
    message: str
    is_recovering: bool = False
    is_proven: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """A monitor's status, since when the checks say so (None: since the check at hand), and why."""

    status: Status
    since: datetime | None = None
    reason: str = ""
    message: str = ""
    locations: tuple[str, ...] = ()


def decide_verdict(
    states: Sequence[LocationState],
    *,
    quorum: int,
    before: Status,
    changed_at: datetime | None = None,
) -> Verdict:
    """The verdict of a monitor's locations, in whatever order, on one that was `before`.

    It dates from the first troubled check of the trouble that the quorum agrees on: what one
    location saw alone, long before, was none of the monitor's. And from after `changed_at`: since
    then the monitor was `before`, and that history stays.
    """
    voters = [one for one in states if one.state not in _NO_VOTE]
    needed = max(min(quorum, len(voters)), 1) if before in TROUBLE else quorum
    down = [one for one in voters if one.state == Status.DOWN]
    troubled = [one for one in voters if one.state in (Status.DOWN, Status.DEGRADED)]
    if down and len(down) >= needed:
        return _trouble(_down_or_recovering(down, needed, before), down, needed, changed_at)
    if troubled and len(troubled) >= needed:
        return _trouble(Status.DEGRADED, troubled, needed, changed_at)
    if voters:
        return Verdict(Status.UP)
    is_blind = bool(states) and all(one.state == Status.UNKNOWN for one in states)
    return Verdict(Status.UNKNOWN if is_blind else Status.PENDING)


def _down_or_recovering(down: Sequence[LocationState], needed: int, before: Status) -> Status:
    firm = [one for one in down if not one.is_recovering]
    was_down = before in (Status.DOWN, Status.RECOVERING)
    return Status.RECOVERING if was_down and len(firm) < needed else Status.DOWN


def _trouble(
    status: Status,
    agreeing: Sequence[LocationState],
    needed: int,
    changed_at: datetime | None,
) -> Verdict:
    """The verdict as the location tells it that saw the trouble first."""
    in_order = sorted(agreeing, key=lambda one: (one.troubled_since or _NEVER, one.location))
    first, decisive = in_order[0], in_order[needed - 1].troubled_since
    began = [
        one.troubled_since
        for one in in_order
        if one.troubled_since and decisive and one.troubled_since >= decisive - _TOGETHER
    ]
    return Verdict(
        status=status,
        since=min((at for at in began if changed_at is None or at > changed_at), default=None),
        reason=first.reason,
        message=first.message,
        locations=tuple(sorted(one.location for one in agreeing)),
    )


@dataclass(frozen=True, slots=True)
class FlapLimit:
    """More than `changes` changes of status within `window` are flapping; 0 changes: never."""

    changes: int
    window: timedelta

    def count(self, changed_at: Iterable[datetime], now: datetime) -> int:
        """How many of these changes fall into the window that ends `now`."""
        return sum(1 for at in changed_at if now - self.window < at <= now)

    def is_exceeded_by(self, changes: int) -> bool:
        return 0 < self.changes < changes
