"""What do the checks of one location mean? Pure: a streak and an observation give a streak.

    pending ──first pass──────────────▶ up ◀────────── passes ≥ recovery_threshold ──┐
       │                                │ troubles ≥ failure_threshold               │
       │                                ▼                                            │
       └──────────────────────────▶ degraded ── failures ≥ failure_threshold ──▶  down

One bad answer between good ones changes nothing. A check that is `unknown` (a fault of ours) is
not looked at, but after `UNKNOWN_AFTER` of them in a row nobody knows what the target does: the
state is unknown until a check sees it again. Trouble that was confirmed before needs no new
confirmation then, and its recovery as many passes as ever.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from monitors.models import Status
from probe.values import Status as Seen

WINDOW = 60
"""How many checks a streak remembers one by one."""

UNKNOWN_AFTER = 3
"""Faults of ours in a row."""

_TROUBLE = (Status.DOWN, Status.DEGRADED)
_TROUBLED = (Seen.DOWN, Seen.DEGRADED)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What it takes. With a `window`, failing checks count among so many last ones, for trouble
    that comes and goes; without, in a row.
    """

    failures: int = 2
    recoveries: int = 1
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Streak:
    """One location's confirmed `state` and the runs that lead to the next one.

    `failures`: checks in a row that were down. `passes`: checks in a row that were better than the
    state, or up. `troubles`: checks in a row that were not up. `recent`: the last `WINDOW` checks,
    the latest in the lowest bit, set where it was down. `unknowns`: checks in a row that said
    nothing. `troubled_since`: when the present trouble began, the first of its checks.
    """

    state: Status = Status.PENDING
    failures: int = 0
    passes: int = 0
    troubles: int = 0
    recent: int = 0
    unknowns: int = 0
    troubled_since: datetime | None = None

    def failures_among(self, window: int) -> int:
        return (self.recent & ((1 << window) - 1)).bit_count()


def decide_streak(before: Streak, *, seen: Seen, at: datetime, thresholds: Thresholds) -> Streak:
    """The streak after a check at `at` that saw `seen`."""
    if seen == Seen.UNKNOWN:
        unknowns = before.unknowns + 1
        state = Status.UNKNOWN if unknowns >= UNKNOWN_AFTER else before.state
        return replace(before, state=state, unknowns=unknowns)
    is_down = seen == Seen.DOWN
    counts_as_pass = seen == Seen.UP or (seen == Seen.DEGRADED and before.state == Status.DOWN)
    after = Streak(
        state=before.state,
        failures=before.failures + 1 if is_down else 0,
        passes=before.passes + 1 if counts_as_pass else 0,
        troubles=0 if seen == Seen.UP else before.troubles + 1,
        recent=(before.recent << 1 | is_down) & ((1 << WINDOW) - 1),
        troubled_since=before.troubled_since,
    )
    state = _state(after, seen, thresholds)
    is_troubled = (
        after.troubles
        or _failing(after, thresholds)
        or state in _TROUBLE
        or (state == Status.UNKNOWN and before.troubled_since)
    )
    troubled_since = (before.troubled_since or at) if is_troubled else None
    if (state, troubled_since) == (after.state, after.troubled_since):
        return after
    return replace(after, state=state, troubled_since=troubled_since)


def count_decisive(
    before: Streak, after: Streak, thresholds: Thresholds
) -> tuple[int, tuple[Seen, ...]]:
    """How many of the last checks of which kinds made `after` trouble just now, if the streak does
    not know when the first of them was; else none.

    It does where there was none before. Trouble that comes and goes may have done so for weeks
    before it was enough, and what was degraded, or unknown, is down by later checks.
    """
    is_known = before.state in (Status.UP, Status.PENDING) and not thresholds.window
    if is_known or after.state not in _TROUBLE or before.state in (after.state, Status.DOWN):
        return 0, ()
    if after.state == Status.DOWN:
        return _failing(after, thresholds), (Seen.DOWN,)
    return after.troubles, _TROUBLED


def _failing(run: Streak, thresholds: Thresholds) -> int:
    """How many failing checks speak for down."""
    return run.failures_among(thresholds.window) if thresholds.window else run.failures


def _state(run: Streak, seen: Seen, thresholds: Thresholds) -> Status:
    if _failing(run, thresholds) >= thresholds.failures:
        return Status.DOWN
    is_recovered = run.passes >= thresholds.recoveries
    if run.state == Status.DOWN:
        if not is_recovered:
            return Status.DOWN
        return Status.UP if seen == Seen.UP else Status.DEGRADED
    if seen == Seen.UP:
        was_troubled = run.state == Status.UNKNOWN and run.troubled_since is not None
        must_recover = was_troubled or run.state == Status.DEGRADED
        return Status.UP if is_recovered or not must_recover else run.state
    if run.troubles >= thresholds.failures:
        return Status.DEGRADED
    return run.state


def is_recovering(streak: Streak, thresholds: Thresholds) -> bool:
    """Whether it is down and its last check passed, so that it may soon be up again.

    Of trouble that comes and goes a passing check says nothing.
    """
    return streak.state == Status.DOWN and streak.passes > 0 and not thresholds.window


def is_confirming(streak: Streak, *, seen: Seen, thresholds: Thresholds) -> bool:
    """Whether the next check is to come soon, because this one saw trouble that isn't confirmed.

    A fault of ours in between is tried again. Trouble that comes and goes is not confirmed: a share
    of the checks means those of the grid.
    """
    if thresholds.window:
        return False
    if seen == Seen.UNKNOWN:
        is_confirmed = streak.state in _TROUBLE or streak.troubles >= thresholds.failures
        return streak.troubles > 0 and not is_confirmed and streak.unknowns < UNKNOWN_AFTER
    if seen == Seen.DOWN:
        return streak.state != Status.DOWN and streak.failures < thresholds.failures
    if seen == Seen.DEGRADED:
        return (
            streak.state not in (Status.DOWN, Status.DEGRADED)
            and streak.troubles < thresholds.failures
        )
    return False
