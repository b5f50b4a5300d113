"""Many monitors from a pasted text, one a line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accounts.models import Team
from monitors.drafts import accept
from monitors.models import Monitor
from uptime.errors import Invalid

MOST_LINES = 1000

_COLUMNS = re.compile(r"\s*\t\s*|\s+\|\s+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.I)


@dataclass(frozen=True, slots=True)
class Pasted:
    """A line that names something to be watched; `number` counts all lines, from 1."""

    number: int
    target: str
    name: str


def read_lines(text: str) -> list[Pasted]:
    """What is to be watched; empty lines and those that begin with # say nothing."""
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [Pasted(number, *_split(line)) for number, line in lines if line and line[0] != "#"]


def _split(line: str) -> tuple[str, str]:
    """A line's target and name.

    A name stands after the target, behind a space, or before it, with ` | ` or a tab between. What
    has a scheme is the target, wherever it stands.
    """
    columns = [part for part in _COLUMNS.split(line) if part]
    if len(columns) > 1:
        first, *middle, last = columns
        if _SCHEME.match(first) and not _SCHEME.match(last):
            return first, " ".join([*middle, last])
        return last, " ".join([first, *middle])
    first, *rest = line.split()
    if rest and _SCHEME.match(rest[-1]) and not _SCHEME.match(first):
        return rest[-1], " ".join([first, *rest[:-1]])
    return first, " ".join(rest)


def name_of(target: str) -> str:
    """What a monitor is called that was given no name: its target, as short as it may be."""
    return (_SCHEME.sub("", target).rstrip("/") or target)[:200]


@dataclass(slots=True)
class Line:
    """A pasted line as it would be saved.

    `errors` are by field. `twin` is what watches the same already: a monitor, or a line before.
    """

    number: int
    values: dict[str, Any]
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    twin: Monitor | int | None = None


def look_through(pasted: Sequence[Pasted], *, team: Team, common: Mapping[str, Any]) -> list[Line]:
    """Each line with what is wrong with it. Nothing is stored."""
    lines = [_line(one, team, common) for one in pasted]
    targets = {line.values["target"] for line in lines if not line.errors}
    alike = Monitor.objects.visible_to(team).filter(kind=common["kind"], target__in=targets)
    known: dict[str, Monitor | int] = {one.target: one for one in alike.order_by("-id")}
    for line in lines:
        if not line.errors:
            line.twin = known.get(line.values["target"])
            known.setdefault(line.values["target"], line.number)
    return lines


def _line(pasted: Pasted, team: Team, common: Mapping[str, Any]) -> Line:
    values = {**common, "target": pasted.target, "name": pasted.name or name_of(pasted.target)}
    try:
        clean = accept(values, team=team).columns["target"]
    except Invalid as invalid:
        return Line(pasted.number, values, invalid.fields)
    return Line(pasted.number, {**values, "target": clean})
