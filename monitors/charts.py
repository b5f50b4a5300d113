"""Charts as numbers: from results and spans to coordinates that a template writes as SVG.

Pure functions of values. All shapes live on a canvas of `WIDTH` by `HEIGHT` units that the page
stretches; the words beside them are HTML.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from monitors.models import Status

WIDTH = 1000.0
HEIGHT = 100.0

# The band's resolution. Stretches of one status that begin in the same cell are drawn as one.
BAND_CELLS = 250

PHASES = ("dns", "connect", "tls", "first_byte", "transfer")
PHASE_LABELS = {
    "dns": "DNS",
    "connect": "Connect",
    "tls": "TLS",
    "first_byte": "First byte",
    "transfer": "Transfer",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One check as the latency chart sees it."""

    at: datetime
    status: str
    latency_ms: float | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a band shows as one: `times` spans of a status, from the first to the end of the last.

    `ended_at` is None while that lasts.
    """

    status: Status
    started_at: datetime
    ended_at: datetime | None
    times: int = 1


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of a band: `name` chooses its colour."""

    x: float
    width: float
    name: str
    value: float | None = None
    at: datetime | None = None
    until: datetime | None = None
    times: int = 1


@dataclass(frozen=True, slots=True)
class LatencyChart:
    """`line` and `area` are SVG paths; `bars` are one a check, for colour and pointer."""

    line: str
    area: str
    bars: Sequence[Bar]
    top_ms: float
    since: datetime
    until: datetime


def latency_chart(points: Sequence[Point]) -> LatencyChart | None:
    """The latency of checks, oldest first; None where there is nothing to draw.

    The line breaks where a check has no latency: nothing is drawn that was not measured. Checks
    stand side by side, so that a burst of confirming checks stays legible.
    """
    measured = [point.latency_ms for point in points if point.latency_ms is not None]
    if len(points) < 2 or not measured:
        return None
    top_ms = round_up(max(measured))
    step = WIDTH / len(points)
    strokes = list(_strokes(points, step, top_ms))
    return LatencyChart(
        line=" ".join(_path(stroke) for stroke in strokes),
        area=" ".join(_path(stroke) + _to_ground(stroke) for stroke in strokes),
        bars=[
            Bar(_units(place * step), _units(step), point.status, point.latency_ms, point.at)
            for place, point in enumerate(points)
        ],
        top_ms=top_ms,
        since=points[0].at,
        until=points[-1].at,
    )


@dataclass(frozen=True, slots=True)
class CourseChart:
    """`lines` are SVG paths, one a percentile; `slots` lie over them, one a step of the window."""

    lines: Sequence[str]
    slots: Sequence[Bar]
    top_ms: float


def course_chart(values: Sequence[Sequence[float | None]]) -> CourseChart | None:
    """Values side by side, each step with one for each line; None where there is nothing to draw.

    A line breaks where a step has no value; a step alone between two such is drawn as a dash.
    """
    measured = [value for of_step in values for value in of_step if value is not None]
    if not measured:
        return None
    top_ms = round_up(max(measured))
    step = WIDTH / len(values)
    lines = []
    for line in zip(*values, strict=True):
        path, is_broken = [], True
        for place, value in enumerate(line):
            if value is None:
                is_broken = True
                continue
            x, y = (place + 0.5) * step, HEIGHT * (1 - value / top_ms)
            path.append(f"{'M' if is_broken else 'L'}{_units(x):g} {_units(y):g}")
            if is_broken:
                path.append("h0.1")
            is_broken = False
        lines.append("".join(path))
    slots = [
        Bar(_units(place * step), _units(step), "up", of_step[0])
        for place, of_step in enumerate(values)
    ]
    return CourseChart(lines, slots, top_ms)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one phase adds to a stack: an SVG path over all steps."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class StackChart:
    """`layers` lie upon one another, the first at the ground."""

    layers: Sequence[Layer]
    top_ms: float


def stack_chart(values: Sequence[Sequence[float]]) -> StackChart | None:
    """Phases of steps side by side, one upon the other; None where there is nothing to draw.

    A step without values is left open; a phase that takes no time anywhere has no layer.
    """
    top = max((sum(of_step) for of_step in values), default=0)
    if top <= 0:
        return None
    top_ms = round_up(top)
    step = WIDTH / len(values)
    paths: dict[str, list[str]] = {name: [] for name in PHASES}
    for place, of_step in enumerate(values):
        y = HEIGHT
        for name, spent_ms in zip(PHASES, of_step, strict=False):
            if spent_ms <= 0:
                continue
            height = HEIGHT * spent_ms / top_ms
            y -= height
            x, width = _units(place * step), _units(step)
            paths[name].append(f"M{x:g} {_units(y):g}h{width:g}v{_units(height):g}h-{width:g}Z")
    layers = [Layer(name, "".join(path)) for name, path in paths.items() if path]
    return StackChart(layers, top_ms)


def round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7.5, 10, 15 …: the end of an axis. At least 1."""
    step = 1.0
    while True:
        for factor in (1, 1.5, 2, 3, 5, 7.5):
            if value <= step * factor:
                return step * factor
        step *= 10


def status_band(stretches: Sequence[Stretch], *, since: datetime, until: datetime) -> list[Bar]:
    """A window as a band of its states; a stretch too short to be seen is given a visible width."""
    whole = (until - since).total_seconds()
    bars = []
    for one in stretches:
        start, end = max(one.started_at, since), min(one.ended_at or until, until)
        if end <= start:
            continue
        x = WIDTH * (start - since).total_seconds() / whole
        width = max(WIDTH * (end - start).total_seconds() / whole, 2.0)
        bars.append(
            Bar(
                x=_units(x),
                width=_units(width),
                name=one.status.value,
                at=one.started_at,
                until=one.ended_at,
                times=one.times,
            )
        )
    # the short and bad ones last, so that they lie on top
    return sorted(bars, key=lambda bar: (bar.name in ("down", "degraded"), -bar.width))


def cell_bars(names: Sequence[str], *, since: datetime, cell: timedelta) -> list[Bar]:
    """Cells of one length as bars, one unit a cell; neighbours of one name are one bar.

    A cell without a name is left out.
    """
    bars, place = [], 0
    for name, run in groupby(names):
        length = sum(1 for _ in run)
        if name:
            start = since + place * cell
            bars.append(Bar(place, length, name, at=start, until=start + length * cell))
        place += length
    return bars


def spark_line(values: Sequence[float | None], *, width: float = 100, height: float = 20) -> str:
    """Values side by side as an SVG path, from zero to the highest; empty where there is no line.

    It breaks where a value is missing.
    """
    top = max((value for value in values if value is not None), default=0)
    if top <= 0 or len(values) < 2:
        return ""
    step = width / (len(values) - 1)
    path, is_broken = [], True
    for place, value in enumerate(values):
        if value is None:
            is_broken = True
            continue
        # a unit stays free above and below, for the stroke
        y = 1 + (height - 2) * (1 - value / top)
        path.append(f"{'M' if is_broken else 'L'}{_units(place * step):g} {_units(y):g}")
        is_broken = False
    return "".join(path)


def phase_bars(phases: Sequence[float | None], *, scale_ms: float) -> list[Bar]:
    """The phases of one check, one after the other, `scale_ms` being the whole width."""
    bars, x = [], 0.0
    for name, spent_ms in zip(PHASES, phases, strict=True):
        if not spent_ms or scale_ms <= 0:
            continue
        width = WIDTH * spent_ms / scale_ms
        bars.append(Bar(_units(x), _units(width), name, spent_ms))
        x += width
    return bars


def _strokes(
    points: Sequence[Point], step: float, top_ms: float
) -> Sequence[list[tuple[float, float]]]:
    strokes: list[list[tuple[float, float]]] = [[]]
    for place, point in enumerate(points):
        if point.latency_ms is None:
            strokes.append([])
            continue
        y = HEIGHT * (1 - point.latency_ms / top_ms)
        strokes[-1].append(((place + 0.5) * step, y))
    return [stroke for stroke in strokes if stroke]


def _path(stroke: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_units(x):g} {_units(y):g}" for x, y in stroke)


def _to_ground(stroke: Sequence[tuple[float, float]]) -> str:
    return f"L{_units(stroke[-1][0]):g} {HEIGHT:g}L{_units(stroke[0][0]):g} {HEIGHT:g}Z"


def _units(value: float) -> float:
    return round(value, 2)
