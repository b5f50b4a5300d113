"""How often the API may be asked: a budget for each caller, kept in the process's memory.

Each web process counts for itself. That is enough against a client that runs wild, costs no query,
and keeps the processes free of shared state.
"""

import threading
import time
from collections.abc import Callable, Hashable

from uptime.api.errors import rate_limited


def admit(ready_at: float, now: float, *, gap: float, burst: int) -> tuple[float, float]:
    """Decide on one request by the generic cell rate algorithm (ITU-T I.371, annex A).

    `ready_at` is when the caller's budget is whole again, `gap` the seconds that one request costs,
    `burst` how many fit into the whole. Returns the new `ready_at` and how long to wait: 0 when it
    may pass; a request that may not costs nothing.
    """
    whole_at = max(ready_at, now) + gap
    wait = whole_at - now - gap * burst
    return (whole_at, 0.0) if wait <= 0 else (ready_at, wait)


class Budget:
    """`per_minute` requests for each caller, all of which may come at once."""

    MAX_CALLERS = 10_000

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._ready_at: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def take(self, caller: Hashable) -> None:
        """Count one request of `caller`. Raises `Refused` (429) when the budget is spent."""
        now = self._clock()
        with self._lock:
            ready_at, wait = admit(
                self._ready_at.get(caller, now),
                now,
                gap=60 / self.per_minute,
                burst=self.per_minute,
            )
            self._ready_at[caller] = ready_at
            if len(self._ready_at) > self.MAX_CALLERS:
                self._forget_the_rested(now)
        if wait:
            raise rate_limited(wait)

    def _forget_the_rested(self, now: float) -> None:
        """Drop who has a whole budget again; if nobody has, everybody starts anew."""
        self._ready_at = {who: at for who, at in self._ready_at.items() if at > now}
        if len(self._ready_at) > self.MAX_CALLERS:
            self._ready_at.clear()
