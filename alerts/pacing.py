"""How much a channel is sent at once: pure decisions about its rate, and about storms.

A lone message leaves at once. Where more than a handful come together, they are gathered until no
more come, for a while at most, and merged into one digest; further ones into the next. Beyond that,
a token
bucket keeps what a vendor allows: `Rate.burst` messages at once, `Rate.per_minute` in the long run.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

WINDOW = timedelta(seconds=10)
"""Messages within this time count as coming together."""
GATHERING = timedelta(seconds=4)
"""How long a storm is to be over before it is told; twice as long where it is of more than `MANY`.

What comes by the dozen takes a busy machine seconds to take in: it would be told in pieces.
"""
MANY = 20
BETWEEN_DIGESTS = timedelta(seconds=15)
"""How long its messages wait at most, and how far digests of one storm are apart."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a receiver takes: so many a minute, and `burst` of them at once."""

    per_minute: float
    burst: int

    @property
    def per_s(self) -> float:
        return self.per_minute / 60


@dataclass(frozen=True, slots=True)
class Limits:
    """A channel's; `digest_above` is how many single messages it takes within `WINDOW`."""

    rate: Rate | None = None
    digest_above: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """What a channel was sent of late.

    `tokens` are those left in the bucket at `counted_at`, less than none after a large digest;
    `singles` is how many single messages left since `window_since`.
    """

    tokens: float
    counted_at: datetime
    window_since: datetime
    singles: int = 0
    digested_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is due: `fresh` messages, since `first_at` to `last_at`, and such as can't be merged."""

    fresh: int
    others: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent now: so many fresh messages and others, or all fresh ones as a digest.

    Where something is held back, `not_before` is when to look again; `pace` is what then was sent.
    """

    fresh: int
    others: int
    is_digest: bool
    not_before: datetime | None
    pace: Pace


def decide_pace(pace: Pace, limits: Limits, waiting: Waiting, *, room: int, now: datetime) -> Plan:
    """`room` is how many requests may be begun; a digest is one."""
    pace = _at(pace, limits, now)
    budget = max(0, math.floor(min(room, pace.tokens)))
    others = min(waiting.others, budget)
    fresh, is_digest, not_before = 0, False, None
    gathers_until = _gathers_until(pace, limits, waiting)
    if gathers_until is None or (waiting.fresh == 1 and gathers_until <= now):
        fresh = min(waiting.fresh, budget - others)
    elif gathers_until > now:
        not_before = gathers_until
    else:
        is_digest = budget > others
    begun = others + fresh + is_digest
    pace = replace(pace, tokens=pace.tokens - begun, singles=pace.singles + fresh)
    if is_digest:  # and what follows soon belongs to the same storm
        singles = limits.digest_above or 0
        pace = replace(pace, window_since=now, singles=singles, digested_at=now)
    is_left = others < waiting.others or not (is_digest or not_before or fresh == waiting.fresh)
    if is_left and begun < room:
        not_before = _next_token(pace, limits)
    return Plan(fresh, others, is_digest, not_before, pace)


def _at(pace: Pace, limits: Limits, now: datetime) -> Pace:
    """As it is now: the bucket refilled, what is long ago forgotten.

    What lies ahead, since the clock was put back, was just now: nothing waits for it to be reached.
    """
    tokens = math.inf
    if limits.rate:
        passed_s = max(0.0, (now - pace.counted_at).total_seconds())
        tokens = min(limits.rate.burst, pace.tokens + passed_s * limits.rate.per_s)
    if now - pace.window_since > WINDOW:
        pace = replace(pace, window_since=now, singles=0)
    digested_at = pace.digested_at and min(pace.digested_at, now)
    since = min(pace.window_since, now)
    return replace(pace, tokens=tokens, counted_at=now, window_since=since, digested_at=digested_at)


def _gathers_until(pace: Pace, limits: Limits, waiting: Waiting) -> datetime | None:
    """Until when a storm's messages are gathered; None while there is no storm."""
    if limits.digest_above is None or waiting.first_at is None or waiting.last_at is None:
        return None
    if waiting.fresh + pace.singles <= limits.digest_above:
        return None
    pause = GATHERING * 2 if waiting.fresh > MANY else GATHERING
    is_over = min(waiting.last_at + pause, waiting.first_at + BETWEEN_DIGESTS)
    if pace.digested_at is None:
        return is_over
    return max(is_over, pace.digested_at + BETWEEN_DIGESTS)


def _next_token(pace: Pace, limits: Limits) -> datetime | None:
    if limits.rate is None:
        return None
    return pace.counted_at + timedelta(seconds=(1 - pace.tokens) / limits.rate.per_s)
