"""How late our own loop is, so that a clock of ours that stood still is not held against a target.

A machine that starves or is suspended answers to nothing; what times out meanwhile may have been
answered all along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_BEAT_S = 0.05


class Pulse:
    """A beat on the running loop; what a beat is late by is time that the loop did not serve.
    `on_beat` is called with each."""

    def __init__(self, on_beat: Callable[[], None]) -> None:
        self._on_beat = on_beat
        self._loop = asyncio.get_running_loop()
        self._lost_s = 0.0
        self._next_at = self._loop.time() + _BEAT_S
        self._timer = self._loop.call_at(self._next_at, self._beat)

    @property
    def lost_s(self) -> float:
        """Seconds lost since the first beat, one that is overdue now included. Two of these, at a
        check's begin and end, tell how much of its time was lost."""
        return self._lost_s + max(self._loop.time() - self._next_at, 0.0)

    def stop(self) -> None:
        self._timer.cancel()

    def _beat(self) -> None:
        self._lost_s = self.lost_s
        self._next_at = self._loop.time() + _BEAT_S
        self._timer = self._loop.call_at(self._next_at, self._beat)
        self._on_beat()
