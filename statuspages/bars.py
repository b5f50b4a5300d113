"""The bars of a component's days as SVG paths: one path a colour, a stroke a day."""

from collections.abc import Sequence
from dataclasses import dataclass

from statuspages.reads import DayView

PITCH = 4
HEIGHT = 34
_INSET = 3


@dataclass(frozen=True, slots=True)
class Bars:
    """`paths` are (status, path); `width` and `height` are those of their canvas."""

    paths: Sequence[tuple[str, str]]
    width: int
    height: int = HEIGHT


def bars_of(days: Sequence[DayView]) -> Bars:
    strokes: dict[str, list[str]] = {}
    for place, day in enumerate(days):
        x = place * PITCH + PITCH // 2
        strokes.setdefault(day.status.value, []).append(f"M{x} {_INSET}v{HEIGHT - 2 * _INSET}")
    return Bars([(status, "".join(path)) for status, path in strokes.items()], len(days) * PITCH)
