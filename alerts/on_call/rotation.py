"""Who is on call when. Pure: a rota and an instant give a person.

    overrides        whoever was put in for a stretch of time; of several the one made last
       ▲
    layers           from the last to the first: the first that has somebody then
       ▲
    turns            within a layer: by wall clocks, from its start, one member after the other

Hand-overs are wall times in the rota's zone: weekly on Mondays at 09:00 stays so through
daylight-saving time, and a turn is an hour shorter or longer then.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, pairwise
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

from alerts.hours import ActiveHours
from uptime.wall_clock import instant_of, wall_time

# Who is on call next is looked for no further ahead than this.
HORIZON = timedelta(days=400)
_FIRST_LOOK = timedelta(days=8)

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Layer(Generic[M]):
    """Members who take turns of equal length from `start`, a wall time; within `hours` only.

    None among them is a turn that nobody takes.
    """

    members: tuple[M | None, ...]
    start: datetime
    turn: timedelta
    hours: ActiveHours | None = None

    def member_at(self, at: datetime, zone: ZoneInfo) -> M | None:
        turn = self._turn_at(at, zone)
        if turn < 0 or not self.members or (self.hours and not self.hours.contains(at)):
            return None
        return self.members[turn % len(self.members)]

    def edges(self, since: datetime, until: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """The instants in between at which somebody else may take over, in no order."""
        for turn in count(max(0, self._turn_at(since, zone) + 1)):
            begins = self._begin(turn, zone)
            if begins >= until:
                break
            if begins > since:
                yield begins
        if self.hours:
            yield from self.hours.edges(since, until)

    def _begin(self, turn: int, zone: ZoneInfo) -> datetime:
        return instant_of(self.start + turn * self.turn, zone)

    def _turn_at(self, at: datetime, zone: ZoneInfo) -> int:
        """The number of the turn that `at` lies in; below 0 before the first."""
        turn = (wall_time(at, zone) - self.start) // self.turn
        # In the hours that the clocks repeat or skip, the wall time is a turn or more off.
        while self._begin(turn, zone) > at:
            turn -= 1
        while self._begin(turn + 1, zone) <= at:
            turn += 1
        return turn


@dataclass(frozen=True, slots=True)
class Override(Generic[M]):
    """Somebody in everybody's place from `start` to `end`."""

    member: M
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Rota(Generic[M]):
    """A schedule as a value: later layers stand above earlier ones, later overrides likewise."""

    zone: ZoneInfo
    layers: tuple[Layer[M], ...]
    overrides: tuple[Override[M], ...] = ()


@dataclass(frozen=True, slots=True)
class Shift(Generic[M]):
    """A stretch of time with one person on call; None: nobody."""

    start: datetime
    end: datetime
    member: M | None


def who_is_on_call(rota: Rota[M], at: datetime) -> M | None:
    for override in reversed(rota.overrides):
        if override.start <= at < override.end:
            return override.member
    for layer in reversed(rota.layers):
        if (member := layer.member_at(at, rota.zone)) is not None:
            return member
    return None


def shifts(rota: Rota[M], since: datetime, until: datetime) -> list[Shift[M]]:
    """Who is on call from `since` to `until`: without a gap, no two in a row the same."""
    edges = {since, until}
    for layer in rota.layers:
        edges.update(layer.edges(since, until, rota.zone))
    for override in rota.overrides:
        edges.update(edge for edge in (override.start, override.end) if since < edge < until)
    found: list[Shift[M]] = []
    for start, end in pairwise(sorted(edges)):
        member = who_is_on_call(rota, start)
        if found and found[-1].member == member:
            start = found.pop().start
        found.append(Shift(start, end, member))
    return found


def next_shifts(rota: Rota[M], at: datetime, how_many: int) -> list[Shift[M]]:
    """The shift that `at` lies in, from then on, and those that follow, as far as `HORIZON`.

    The last of fewer than `how_many` ends at the horizon: nobody takes over until then.
    """
    ahead = _FIRST_LOOK
    while True:
        found = shifts(rota, at, at + ahead)
        # the last one found is cut off by where the look ends
        if len(found) > how_many or ahead >= HORIZON:
            return found[:how_many]
        ahead = min(ahead * 3, HORIZON)
