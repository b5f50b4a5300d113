"""What do the checks of one location mean? Pure: a streak and an observation give a streak.

    pending ──first pass──────────────▶ up ◀────────── passes ≥ recovery_threshold ──┐
       │                                │ troubles ≥ failure_threshold               │
       │                                ▼                                            │
       └──────────────────────────▶ degraded ── failures ≥ failure_threshold ──▶  down

One bad answer between good ones changes nothing; `unknown` (a fault of ours) is not looked at.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from monitors.models import Status
from probe.values import Status as Seen


@dataclass(frozen=True, slots=True)
class Streak:
    """One location's confirmed `state` and the runs that lead to the next one.

    `failures`: checks in a row that were down. `troubles`: checks in a row that were not up.
    `passes`: checks in a row that were better than the state, or up. `troubled_since`: when the
    first of the `troubles` was.
    """

    state: Status = Status.PENDING
    failures: int = 0
    passes: int = 0
    troubles: int = 0
    troubled_since: datetime | None = None


def decide_streak(
    before: Streak,
    *,
    seen: Seen,
    at: datetime,
    failure_threshold: int,
    recovery_threshold: int,
) -> Streak:
    """The streak after a check at `at` that saw `seen`."""
    if seen == Seen.UNKNOWN:
        return before
    if seen == Seen.UP:
        after = replace(before, failures=0, passes=before.passes + 1, troubles=0)
    elif seen == Seen.DEGRADED:
        passes = before.passes + 1 if before.state == Status.DOWN else 0
        after = replace(before, failures=0, passes=passes, troubles=before.troubles + 1)
    else:
        after = replace(
            before, failures=before.failures + 1, passes=0, troubles=before.troubles + 1
        )
    return replace(
        after,
        state=_state(after, seen, failure_threshold, recovery_threshold),
        troubled_since=(before.troubled_since or at) if after.troubles else None,
    )


def _state(run: Streak, seen: Seen, failure_threshold: int, recovery_threshold: int) -> Status:
    if run.failures >= failure_threshold:
        return Status.DOWN
    is_recovered = run.passes >= recovery_threshold
    if run.state == Status.DOWN:
        if not is_recovered:
            return Status.DOWN
        return Status.UP if seen == Seen.UP else Status.DEGRADED
    if seen == Seen.UP:
        return Status.UP if is_recovered or run.state != Status.DEGRADED else Status.DEGRADED
    if run.troubles >= failure_threshold:
        return Status.DEGRADED
    return run.state


def is_confirming(streak: Streak, *, seen: Seen, failure_threshold: int) -> bool:
    """Whether the next check is to come soon, because this one saw trouble that isn't confirmed."""
    if seen == Seen.DOWN:
        return streak.state != Status.DOWN and streak.failures < failure_threshold
    if seen == Seen.DEGRADED:
        return (
            streak.state not in (Status.DOWN, Status.DEGRADED)
            and streak.troubles < failure_threshold
        )
    return False
