"""Ends what runs longer than it may, whatever hangs: the last resort behind each kind's own limits.

One look at each beat of the loop's pulse at all that runs: a timer for each check would cost more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

Result = TypeVar("Result")


class Overruns:
    """What runs on a loop, and until when. `look` is to be called now and then."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends: dict[asyncio.Task[Any], float] = {}
        self._ended: set[asyncio.Task[Any]] = set()

    async def bound(self, work: Awaitable[Result], seconds: float) -> Result:
        """What `work` gives. It is cancelled, and TimeoutError raised, where it takes longer than
        that, and somebody looks. A task does one such work at a time."""
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

    def look(self) -> None:
        """End what is over its time."""
        now = self._loop.time()
        for task in [task for task, end in self._ends.items() if end <= now]:
            del self._ends[task]
            self._ended.add(task)
            task.cancel()
