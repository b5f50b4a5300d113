"""Who may begin, where many want to: limits on how much is under way of one host, kind or team.

A check passes several lanes at once and begins when each has room. Where one is full it queues
there, at the cost of its own kind and nobody else's.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from probe.values import Job

Lane = tuple[str, object]


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """How many checks at once: of one host, of one team, of kinds that are named."""

    per_host: int = 50
    per_team: int = 1000
    per_kind: Mapping[str, int] = field(default_factory=dict)


class Lanes:
    def __init__(self, limits: LaneLimits) -> None:
        self._limits = limits
        self._under_way: Counter[Lane] = Counter()
        self._queues: defaultdict[Lane, deque[Job]] = defaultdict(deque)

    def enter(self, job: Job) -> bool:
        """Whether the job may begin now; if not it is queued, and `leave` gives it back."""
        lanes = self._lanes_of(job)
        for lane, limit in lanes:
            if self._under_way[lane] >= limit:
                self._queues[lane].append(job)
                return False
        for lane, _ in lanes:
            self._under_way[lane] += 1
        return True

    def leave(self, job: Job) -> list[Job]:
        """One that had entered has ended; returns those that may begin in its place."""
        lanes = self._lanes_of(job)
        for lane, _ in lanes:
            self._under_way[lane] -= 1
            if not self._under_way[lane]:
                del self._under_way[lane]
        return [one for lane, limit in lanes for one in self._admitted(lane, limit)]

    def _admitted(self, lane: Lane, limit: int) -> Iterable[Job]:
        """Those of one lane's queue that may begin; some go on to wait in another lane."""
        while (queue := self._queues.get(lane)) and self._under_way[lane] < limit:
            job = queue.popleft()
            if not queue:
                del self._queues[lane]
            if self.enter(job):
                yield job

    @property
    def queued(self) -> int:
        return sum(map(len, tuple(self._queues.values())))

    @property
    def queued_by_host(self) -> int:
        """How many of those wait for room at their host. Another thread may ask."""
        queues = tuple(self._queues.items())
        return sum(len(queue) for (name, _), queue in queues if name == "host")

    def empty_queues(self) -> list[Job]:
        """Take out all that wait."""
        waiting = [job for queue in self._queues.values() for job in queue]
        self._queues.clear()
        return waiting

    def _lanes_of(self, job: Job) -> list[tuple[Lane, int]]:
        spec, limits = job.spec, self._limits
        lanes: list[tuple[Lane, int]] = []
        if spec.host:
            lanes.append((("host", spec.host), limits.per_host))
        if spec.team_id is not None:
            lanes.append((("team", spec.team_id), limits.per_team))
        if limit := limits.per_kind.get(spec.kind):
            lanes.append((("kind", spec.kind), limit))
        return lanes
