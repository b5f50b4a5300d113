"""Ends what runs longer than it may, whatever hangs: the last resort behind each kind's own limits.

One look now and then at all that runs: a timer for each check would cost more than looking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

Result = TypeVar("Result")

_LOOK_S = 0.05


class Overruns:
    """Belongs to the loop it was made in."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends: dict[asyncio.Task[Any], float] = {}
        self._ended: set[asyncio.Task[Any]] = set()
        self._timer = self._loop.call_later(_LOOK_S, self._look)

    async def bound(self, work: Awaitable[Result], seconds: float) -> Result:
        """What `work` gives. It is cancelled, and TimeoutError raised, where it takes longer than
        that, give or take a look. A task does one such work at a time."""
        task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        self._ends[task] = self._loop.time() + seconds
        try:
            return await work
        except asyncio.CancelledError:
            # unless somebody else wants it cancelled as well
            if task in self._ended and task.uncancel() <= cancelled_before:
                raise TimeoutError from None
            raise
        finally:
            self._ends.pop(task, None)
            self._ended.discard(task)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        for task in [task for task, end in self._ends.items() if end <= now]:
            del self._ends[task]
            self._ended.add(task)
            task.cancel()
        self._timer = self._loop.call_later(_LOOK_S, self._look)
