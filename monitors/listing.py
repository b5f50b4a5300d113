"""The team's monitors as a list: filtered, ordered, and turned page by page.

A page is found along an index from the row that it begins after, so the last page costs what the
first does, and rows that come and go meanwhile shift nothing.
"""

import base64
import binascii
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

from django.db.models import Count, Exists, Func, IntegerField, OuterRef, Q, Value

from accounts.models import Team
from monitors.models import Assignment, Monitor, MonitorQuerySet, Status
from uptime.validation import is_storable

PAGE_SIZE = 50
# What a text may ask of a reader that is no mistake in its form.
_BEYOND = (OverflowError, RecursionError)

# In the order of their weight: what is wrong now comes first.
BY_WEIGHT = (
    Status.DOWN,
    Status.RECOVERING,
    Status.DEGRADED,
    Status.UNKNOWN,
    Status.PENDING,
    Status.UP,
    Status.MAINTENANCE,
    Status.PAUSED,
)
WRONG = (Status.DOWN, Status.RECOVERING, Status.DEGRADED)

ORDERS = {"state": "Worst first", "name": "Name", "changed": "Changed last"}


@dataclass(frozen=True, slots=True)
class Wish:
    """Which of a team's monitors are asked for; an empty text filters nothing."""

    q: str = ""
    status: str = ""
    kind: str = ""
    tag: str = ""
    location: str = ""

    @property
    def is_narrow(self) -> bool:
        return bool(self.q or self.kind or self.tag or self.location)

    def of(self, team: Team) -> MonitorQuerySet:
        """The monitors, in no order."""
        found = Monitor.objects.visible_to(team)
        if self.q:
            found = found.filter(Q(name__icontains=self.q) | Q(target__icontains=self.q))
        if self.status:
            found = found.filter(status=self.status)
        if self.kind:
            found = found.filter(kind=self.kind)
        if self.tag:
            found = found.tagged(self.tag)
        if self.location:
            there = Assignment.objects.filter(
                monitor=OuterRef("pk"), is_active=True, location__slug=self.location
            )
            found = found.filter(Exists(there))
        return found


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a page begins: past a row, given by what orders it; `number` rows lie before it.

    `is_backward` asks for the rows before that row instead, of which there are `number`.
    """

    number: int
    status: Status
    name: str
    changed_at: datetime
    id: str
    is_backward: bool = False

    @classmethod
    def of(cls, monitor: Monitor, number: int, *, is_backward: bool = False) -> Self:
        return cls(
            number,
            Status(monitor.status),
            monitor.name,
            monitor.last_change_at,
            str(monitor.pk),
            is_backward,
        )

    def write(self) -> str:
        parts = [self.number, self.status.value, self.name, self.changed_at.isoformat(), self.id]
        text = json.dumps([*parts, int(self.is_backward)], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None for a text that `write` did not make: the list begins at its beginning then."""
        padded = text + "=" * (-len(text) % 4)
        try:
            found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            number, status, name, changed_at, id_, backward = found
            at = datetime.fromisoformat(changed_at).astimezone(UTC)
            if not is_storable(name):
                return None
            return cls(int(number), Status(status), name, at, str(UUID(id_)), bool(backward))
        except (binascii.Error, ValueError, TypeError, AttributeError, *_BEYOND):
            return None


@dataclass(frozen=True, slots=True)
class Turned:
    """One page; `before` and `after` lead to its neighbours and are empty where there is none."""

    monitors: list[Monitor] = field(default_factory=list)
    first_number: int = 1
    before: str = ""
    after: str = ""

    @property
    def last_number(self) -> int:
        return self.first_number + len(self.monitors) - 1


def turn_to(
    monitors: MonitorQuerySet, *, order: str, place: str = "", size: int = PAGE_SIZE
) -> Turned:
    """The page of `monitors` that begins at `place`, an edge as a page gave it. One query."""
    edge = Edge.read(place) if place else None
    is_backward = edge is not None and edge.is_backward
    found = _ordered(monitors, order, edge, is_backward=is_backward, limit=size + 1)
    has_more = len(found) > size
    found = found[:size]
    if is_backward:
        found.reverse()
    if edge is None:
        start = 0
    else:
        start = max(edge.number - len(found), 0) if is_backward else max(edge.number, 0)
    if not found:
        return Turned()
    has_before = has_more if is_backward else edge is not None
    has_after = True if is_backward else has_more
    return Turned(
        found,
        start + 1,
        Edge.of(found[0], start, is_backward=True).write() if has_before else "",
        Edge.of(found[-1], start + len(found)).write() if has_after else "",
    )


def _ordered(
    monitors: MonitorQuerySet, order: str, edge: Edge | None, *, is_backward: bool, limit: int
) -> list[Monitor]:
    if order == "name":
        past = _past_name(edge, is_backward=is_backward)
        return list(monitors.filter(past).order_by(*_keys("name", is_backward))[:limit])
    if order == "changed":
        past = _past_change(edge, is_backward=is_backward)
        keys = ("last_change_at", "id") if is_backward else ("-last_change_at", "-id")
        return list(monitors.filter(past).order_by(*keys)[:limit])
    return _worst_first(monitors, edge, is_backward=is_backward, limit=limit)


def _worst_first(
    monitors: MonitorQuerySet, edge: Edge | None, *, is_backward: bool, limit: int
) -> list[Monitor]:
    """One part for each status, so that each is read in its index's order, and no further."""
    ranks = list(enumerate(BY_WEIGHT))
    parts = []
    for rank, status in ranks:
        part = monitors.filter(status=status)
        if edge is not None:
            at = BY_WEIGHT.index(edge.status)
            if (rank > at) if is_backward else (rank < at):
                continue
            if rank == at:
                part = part.filter(_past_name(edge, is_backward=is_backward))
        ranked = part.annotate(rank=Value(rank, IntegerField()))
        parts.append(ranked.order_by(*_keys("name", is_backward))[:limit])
    keys = _keys("rank", is_backward)[:1] + _keys("name", is_backward)
    first, *others = parts
    if not others:
        return list(first)
    return list(first.union(*others, all=True).order_by(*keys)[:limit])


def _keys(name: str, is_backward: bool) -> tuple[str, ...]:
    return (f"-{name}", "-id") if is_backward else (name, "id")


def _past_name(edge: Edge | None, *, is_backward: bool) -> Q:
    if edge is None:
        return Q()
    # the first is implied by the rest, but an index understands it
    inclusive, beyond = ("lte", "lt") if is_backward else ("gte", "gt")
    return Q(**{f"name__{inclusive}": edge.name}) & (
        Q(**{f"name__{beyond}": edge.name}) | Q(**{f"id__{beyond}": edge.id})
    )


def _past_change(edge: Edge | None, *, is_backward: bool) -> Q:
    if edge is None:
        return Q()
    inclusive, beyond = ("gte", "gt") if is_backward else ("lte", "lt")
    return Q(**{f"last_change_at__{inclusive}": edge.changed_at}) & (
        Q(**{f"last_change_at__{beyond}": edge.changed_at}) | Q(**{f"id__{beyond}": edge.id})
    )


def count_by_status(team: Team) -> dict[Status, int]:
    """How many of the team's monitors are in each status: one walk along an index."""
    rows = Monitor.objects.visible_to(team).values_list("status").annotate(n=Count("*"))
    found = dict(rows.order_by().values_list("status", "n"))
    return {status: found.get(status, 0) for status in BY_WEIGHT}


def tags_of(team: Team) -> list[str]:
    """All tags that the team's monitors have, as people sort them."""
    tags = Monitor.objects.visible_to(team).annotate(tag=Func("tags", function="unnest"))
    return sorted(tags.order_by().values_list("tag", flat=True).distinct(), key=str.casefold)
