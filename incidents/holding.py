"""Is this trouble one's own, or that of what one depends on? Pure, and what it is decided from.

    trouble of a monitor that depends on others
        │
        ▼                 a parent is down
      waits ───────────────────────────────────▶ held under the parent's incident
        │  ◀──────────────────────────────────────  │
        │            the parent is down no more     │ the checks pass again
        │ all parents are proven fine and it        ▼
        │ still fails, or the time is up          never told
        ▼
      told

Which of them fails first is chance: a parent's verdict may come seconds after its children's. So
trouble of a child always waits, its parents are checked at once, and only a check of each parent
that began later, passed and left nothing unconfirmed proves them fine.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from incidents.models import Incident, Severity
from monitors.models import Assignment, Monitor, Status
from probe.kinds import KINDS

# For what happens around a check: the lease, the batch, the next look.
LEEWAY = timedelta(seconds=5)
LONGEST_WAIT = timedelta(seconds=180)

DOWN = (Status.DOWN, Status.RECOVERING, Status.UNKNOWN)
"""What a monitor with an open incident of severity down may be while that goes on."""


class Hold(Enum):
    """What becomes of trouble that is held."""

    WAIT = auto()
    UNDER = auto()
    TELL = auto()


@dataclass(frozen=True, slots=True)
class Parent:
    """A monitor that others depend on; `incident` is its open one if it is down."""

    id: UUID
    name: str
    incident: Incident | None
    is_fine: bool


def decide_hold(
    parents: Collection[Parent], *, was_under: bool, is_failing: bool, is_overdue: bool
) -> Hold:
    """What becomes of it. `is_failing`: a check of its own failed since it is held.

    What was held under a parent's incident waits anew when that is over: most children recover
    with their parent.
    """
    if any(parent.incident is not None for parent in parents):
        return Hold.UNDER
    if was_under:
        return Hold.WAIT
    if is_overdue or (is_failing and all(parent.is_fine for parent in parents)):
        return Hold.TELL
    return Hold.WAIT


def patience_with(monitors: Iterable[Monitor]) -> timedelta:
    """How long the verdict on the slowest of these may take, if it is checked at once."""
    waits = [
        one.failure_threshold * one.timeout + (one.failure_threshold - 1) * one.retry_interval
        for one in monitors
        if not KINDS[one.kind].is_passive
    ]
    return min(max(waits, default=timedelta()) + LEEWAY, LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why trouble is not told at once: what may be the cause, and how long that takes to know."""

    suspects: tuple[UUID, ...]
    patience: timedelta


def doubts_about(children: Collection[UUID]) -> dict[UUID, Doubt]:
    """The doubts about those of these monitors that depend on others."""
    found: dict[UUID, list[Monitor]] = {}
    for link in _links_of(children):
        found.setdefault(link.from_monitor_id, []).append(link.to_monitor)
    return {
        child: Doubt(tuple(one.pk for one in parents), patience_with(parents))
        for child, parents in found.items()
    }


@dataclass(frozen=True, slots=True)
class Family:
    """What some monitors depend on, as it is now."""

    _parents: Mapping[UUID, Sequence[Monitor]]
    _incidents: Mapping[UUID, Incident]
    _assignments: Mapping[UUID, Sequence[Assignment]] = field(repr=False)

    @classmethod
    def of(cls, children: Collection[UUID]) -> "Family":
        """In three queries."""
        parents: dict[UUID, list[Monitor]] = {child: [] for child in children}
        for link in _links_of(children):
            parents[link.from_monitor_id].append(link.to_monitor)
        above = {parent.pk for ones in parents.values() for parent in ones}
        incidents = Incident.objects.unresolved().filter(
            monitor__in=above, severity=Severity.DOWN, monitor__status__in=DOWN
        )
        assignments: dict[UUID, list[Assignment]] = {}
        for one in Assignment.objects.filter(monitor__in={*children, *above}, is_active=True):
            assignments.setdefault(one.monitor_id, []).append(one)
        return cls(parents, {one.monitor_id: one for one in incidents}, assignments)

    def parents_of(self, child: UUID, *, since: datetime) -> list[Parent]:
        return [
            Parent(one.pk, one.name, self._incidents.get(one.pk), self._is_fine(one, since))
            for one in self._parents[child]
        ]

    def is_failing(self, child: UUID, *, since: datetime) -> bool:
        return any(
            one.state in (Status.DOWN, Status.DEGRADED)
            and not one.passes
            and _is_checked(one, since)
            for one in self._assignments.get(child, ())
        )

    def patience_with(self, child: Monitor) -> timedelta:
        return patience_with([child, *self._parents[child.pk]])

    def _is_fine(self, parent: Monitor, since: datetime) -> bool:
        """Whether every place has looked since then and found nothing that may become trouble.

        A place that says down, outvoted by the others, has nothing more to say.
        """
        return KINDS[parent.kind].is_passive or all(
            _is_checked(one, since)
            and not one.unknowns
            and (one.failures == 0 or one.state == Status.DOWN)
            for one in self._assignments.get(parent.pk, ())
        )


def _is_checked(assignment: Assignment, since: datetime) -> bool:
    return assignment.last_checked_at is not None and assignment.last_checked_at >= since


def _links_of(children: Collection[UUID]) -> Iterable["Monitor.depends_on.through"]:  # type: ignore[name-defined]
    """From these monitors to what they depend on, as far as that is watched."""
    return (
        Monitor.depends_on.through.objects.filter(
            from_monitor__in=children, to_monitor__enabled=True
        )
        .select_related("to_monitor")
        .order_by("from_monitor", "to_monitor")
    )
