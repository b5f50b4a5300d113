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
      told, unless a parent is down that nobody is told of: then it waits on

Which of them fails first is chance: a parent's verdict may come seconds after its children's. So
trouble of a child always waits, its parents are checked at once, and only a check of each parent
that began later, passed and left nothing unconfirmed proves them fine. A group is checked by its
members, and fine when each of them is.

A parent that is down under maintenance has no incident, or one that says nothing of the present. So
its places are asked: what depends on planned work is kept quiet with it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from incidents.groups import Rule
from incidents.machine import SUSPENDED
from incidents.models import Incident, Severity
from monitors.groups import GROUP, leaves_of
from monitors.models import Assignment, Monitor, Status
from probe.kinds import KINDS

# For what happens around a check: the lease, the batch, the next look.
LEEWAY = timedelta(seconds=5)
LONGEST_WAIT = timedelta(seconds=180)

HURRIED = 100
"""A group of more is not checked at once for the sake of what depends on it."""

DOWN = (Status.DOWN, Status.RECOVERING, Status.UNKNOWN)
"""What a monitor with an open incident of severity down may be while that goes on."""


class Hold(Enum):
    """What becomes of trouble that is held."""

    WAIT = auto()
    WAIT_ON = auto()
    UNDER = auto()
    TELL = auto()


@dataclass(frozen=True, slots=True)
class Parent:
    """A monitor that others depend on; `incident` is its open one if it is down.

    `is_quietly_down`: it is, and under maintenance, or about to be proven so after that.
    """

    id: UUID
    name: str
    incident: Incident | None
    is_fine: bool
    is_quietly_down: bool = False


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
    if any(parent.is_quietly_down for parent in parents):
        return Hold.WAIT_ON if is_overdue else Hold.WAIT
    if is_overdue or (is_failing and all(parent.is_fine for parent in parents)):
        return Hold.TELL
    return Hold.WAIT


def patience_with(monitors: Iterable[Monitor]) -> timedelta:
    """How long the verdict on the slowest of these may take, if it is checked at once."""
    waits = [
        one.failure_threshold * one.timeout + (one.failure_threshold - 1) * one.retry_interval
        for one in monitors
        if not (KINDS[one.kind].is_passive or KINDS[one.kind].is_derived)
    ]
    return min(max(waits, default=timedelta()) + LEEWAY, LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why trouble is not told at once: what may be the cause, and how long that takes to know."""

    suspects: tuple[UUID, ...]
    patience: timedelta


def doubts_about(children: Collection[UUID]) -> dict[UUID, Doubt]:
    """The doubts about those of these monitors that depend on others."""
    parents: dict[UUID, list[Monitor]] = {}
    for link in _links_of(children):
        parents.setdefault(link.from_monitor_id, []).append(link.to_monitor)
    checked = _Checked.of([one for ones in parents.values() for one in ones])
    return {
        child: Doubt(tuple(checked.soon(ones)), patience_with(checked.monitors(ones)))
        for child, ones in parents.items()
    }


@dataclass(frozen=True, slots=True)
class _Checked:
    """What some monitors' status comes of: they themselves, or the members of those that are
    groups.
    """

    _leaves: Mapping[UUID, Sequence[UUID]]
    _monitors: Mapping[UUID, Monitor]

    @classmethod
    def of(cls, monitors: Collection[Monitor]) -> "_Checked":
        """In no query where there is no group, else in two."""
        known = {one.pk: one for one in monitors}
        leaves = leaves_of([one.pk for one in known.values() if one.kind == GROUP])
        inside = {leaf for ones in leaves.values() for leaf in ones} - known.keys()
        if inside:
            known |= Monitor.objects.in_bulk(list(inside))
        return cls(leaves, known)

    @property
    def ids(self) -> Collection[UUID]:
        return self._monitors.keys()

    def monitors(self, ones: Iterable[Monitor]) -> list[Monitor]:
        ids = dict.fromkeys(pk for one in ones for pk in self.under(one))
        return [self._monitors[pk] for pk in ids if pk in self._monitors]

    def under(self, one: Monitor) -> Sequence[UUID]:
        return self._leaves[one.pk] if one.kind == GROUP else [one.pk]

    def soon(self, ones: Iterable[Monitor]) -> list[UUID]:
        """Which of them to check at once, to know."""
        return [pk for one in ones if len(self.under(one)) <= HURRIED for pk in self.under(one)]


@dataclass(frozen=True, slots=True)
class Family:
    """What some monitors depend on, as it is now."""

    _parents: Mapping[UUID, Sequence[Monitor]]
    _incidents: Mapping[UUID, Incident]
    _children: Mapping[UUID, Monitor]
    _checked: _Checked
    _assignments: Mapping[UUID, Sequence[Assignment]] = field(repr=False)

    @classmethod
    def of(cls, children: Collection[Monitor]) -> "Family":
        """In three queries; two more where there are groups among them."""
        by_id = {child.pk: child for child in children}
        parents: dict[UUID, list[Monitor]] = {child: [] for child in by_id}
        for link in _links_of(by_id.keys()):
            parents[link.from_monitor_id].append(link.to_monitor)
        above = {parent.pk: parent for ones in parents.values() for parent in ones}
        checked = _Checked.of([*by_id.values(), *above.values()])
        incidents = Incident.objects.unresolved().filter(
            monitor__in=above, severity=Severity.DOWN, monitor__status__in=DOWN
        )
        assignments: dict[UUID, list[Assignment]] = {}
        for one in Assignment.objects.filter(monitor__in=checked.ids, is_active=True):
            assignments.setdefault(one.monitor_id, []).append(one)
        known = {one.monitor_id: one for one in incidents}
        return cls(parents, known, by_id, checked, assignments)

    def parents_of(self, child: UUID, *, since: datetime) -> list[Parent]:
        return [
            Parent(
                one.pk,
                one.name,
                self._incidents.get(one.pk),
                self._is_fine(one, since),
                one.status in SUSPENDED and self._is_down(one),
            )
            for one in self._parents[child]
        ]

    def is_failing(self, child: UUID, *, since: datetime) -> bool:
        return any(
            one.state in (Status.DOWN, Status.DEGRADED)
            and not one.passes
            and _is_checked(one, since)
            for pk in self._checked.under(self._children[child])
            for one in self._assignments.get(pk, ())
        )

    def patience_with(self, child: Monitor) -> timedelta:
        ones = [self._children[child.pk], *self._parents[child.pk]]
        return patience_with(self._checked.monitors(ones))

    def checked_soon(self, child: UUID) -> list[UUID]:
        """What to check at once, to know whether the child's trouble is its own."""
        return self._checked.soon([self._children[child], *self._parents[child]])

    def _is_fine(self, parent: Monitor, since: datetime) -> bool:
        """Whether every place has looked since then and found nothing that may become trouble.

        A place that says down, outvoted by the others, has nothing more to say; but under
        maintenance nobody votes.
        """
        asked = [one for one in self._checked.monitors([parent]) if not KINDS[one.kind].is_passive]
        return all(
            _is_checked(place, since)
            and not place.unknowns
            and (
                place.failures == 0 or (place.state == Status.DOWN and one.status not in SUSPENDED)
            )
            for one in asked
            for place in self._assignments.get(one.pk, ())
        )

    def _is_down(self, parent: Monitor) -> bool:
        """Whether its places say so, or of a group those of as many members as it takes."""
        leaves = self._checked.monitors([parent])
        down = [
            one
            for one in leaves
            if sum(place.state == Status.DOWN for place in self._assignments.get(one.pk, ()))
            >= one.quorum
        ]
        if parent.kind != GROUP:
            return bool(down)
        return len(down) >= Rule.of(parent).needed(len(leaves))


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
