"""How many shifts of the check engine the load calls for. Pure, and a meter of one shift's load.

One process does as much as one core lets it, and so many checks at once. A shift is strained when
its checks begin late while it can hardly do more; where all are, one more is wanted. One is spare
when the others would have room for its work. Between the two lies enough that what was added is not
spare at once.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from probe.engine import Sink
from probe.values import Finished

BUSY = 0.75
LATE = timedelta(milliseconds=100)
# The others' share once one has gone.
ROOMY = 0.5

# Over how long work is averaged: short to notice strain, long to be sure of leisure.
SOON, LONG = timedelta(seconds=5), timedelta(seconds=60)
_RECENT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Load:
    """`busy`: the share of a core, or of the checks that may be under way, that a shift used over
    the last seconds; `busy_lately`: over the last minute. `lateness`: the 99th percentile of late.
    """

    busy: float = 1.0
    busy_lately: float = 1.0
    lateness: timedelta = timedelta()

    @property
    def is_strained(self) -> bool:
        return self.lateness >= LATE and self.busy >= BUSY


def wanted_shifts(loads: Sequence[Load]) -> int:
    """How many shifts there should be, given what those that work report: one more or less."""
    working = len(loads)
    if all(load.is_strained for load in loads):
        return working + 1
    others = working - 1
    if others and sum(load.busy_lately for load in loads) / others < ROOMY:
        return others
    return working


def blended(before: float, sample: float, elapsed: timedelta, over: timedelta) -> float:
    """An average over about the last `over`, moved on by a sample of the last `elapsed`."""
    return sample + (before - sample) * math.exp(-elapsed / over)


@dataclass(slots=True)
class Meter:
    """Measures this process while it works a shift. `measure` is called now and then.

    `filled` tells the share of the checks that may be under way which are.
    """

    filled: Callable[[], float] = lambda: 0.0
    _load: Load = Load(busy=0.0)
    _wall: float = field(default_factory=time.monotonic)
    _cpu: float = field(default_factory=time.process_time)
    _late: deque[tuple[float, timedelta]] = field(default_factory=lambda: deque(maxlen=1000))

    def note(self, batch: Sequence[Finished]) -> None:
        """Take in how late the checks of a batch began."""
        late = sorted(one.started_at - one.job.due_at for one in batch)
        self._late.append((time.monotonic(), late[len(late) * 99 // 100]))

    def measure(self) -> Load:
        wall, cpu = time.monotonic(), time.process_time()
        elapsed = timedelta(seconds=max(wall - self._wall, 1e-6))
        worked = (cpu - self._cpu) / elapsed.total_seconds()
        busy = min(max(worked, self.filled()), 1.0)
        self._wall, self._cpu = wall, cpu
        since = wall - _RECENT.total_seconds()
        self._load = Load(
            busy=blended(self._load.busy, busy, elapsed, SOON),
            busy_lately=blended(self._load.busy_lately, busy, elapsed, LONG),
            lateness=max(
                (late for at, late in tuple(self._late) if at > since), default=timedelta()
            ),
        )
        return self._load


class MeteredSink:
    """A sink whose batches a meter sees."""

    def __init__(self, sink: Sink, meter: Meter) -> None:
        self._sink = sink
        self._meter = meter

    async def store(self, batch: Sequence[Finished]) -> None:
        self._meter.note(batch)
        await self._sink.store(batch)
