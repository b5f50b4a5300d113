"""The marks and numbers of a monitor's charts: hundreds, for which a template takes ten times.

Only titles are escaped, once each: what stands beside them are numbers and names of ours.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django import template
from django.template import Context
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from monitors.charts import Bar
from uptime.templatetags.pages import duration, moment, ms, percent, svg

if TYPE_CHECKING:
    from monitors.views import DayCell, Slot

register = template.Library()


@register.simple_tag
def draw_band(bars: Iterable[Bar]) -> SafeString:
    """The states of a day, each with what it was and from when to when."""
    return _together(
        f'<rect class="fill-{bar.name}" x="{svg(bar.x)}" width="{svg(bar.width)}" height="28">'
        f"<title>{escape(_stretch(bar))}</title></rect>"
        for bar in bars
    )


@register.simple_tag
def draw_checks(bars: Iterable[Bar]) -> SafeString:
    """What lies over single checks: each one's instant, status and latency."""
    return _together(
        _over_chart(bar, _check(bar), "" if bar.name == "up" else f" is-{bar.name}") for bar in bars
    )


@register.simple_tag
def draw_latencies(slots: Iterable["Slot"]) -> SafeString:
    """What lies over the course of latency: each step's percentiles, and what it is marked with."""
    return _over_steps(slots, _percentiles)


@register.simple_tag
def draw_phases(slots: Iterable["Slot"]) -> SafeString:
    """What lies over the stack of phases: each step's means, and what it is marked with."""
    return _over_steps(slots, _phases)


@register.simple_tag
def draw_calendar(cells: Iterable["DayCell"]) -> SafeString:
    """The days of a year, a column a week."""
    return _together(
        f'<rect class="fill-{cell.name}" x="{cell.column * 12}" y="{cell.line * 12}" width="10"'
        f' height="10" rx="2"><title>{escape(_day(cell))}</title></rect>'
        for cell in cells
    )


@register.simple_tag(takes_context=True)
def draw_numbers(context: Context, slots: Sequence["Slot"], phases: Sequence[object]) -> SafeString:
    """The rows of a table that says what the charts draw, the last step first."""
    return _together(
        f"<tr><td>{moment(context, slot.step.at)}</td>{_cells(slot, len(phases))}</tr>"
        for slot in reversed(slots)
        if slot.step.checks or slot.marks
    )


def _cells(slot: "Slot", phases: int) -> str:
    spent: list[float | None] = [spent_ms for _, spent_ms in slot.phases] or [None] * phases
    numbers = [*map(ms, (*slot.step.percentiles_ms, *spent)), str(slot.step.checks)]
    marks = escape(", ".join(slot.marks))
    return "".join(f'<td class="number">{one}</td>' for one in numbers) + f"<td>{marks}</td>"


def _over_steps(slots: Iterable["Slot"], told: Callable[["Slot"], str]) -> SafeString:
    return _together(
        _over_chart(
            slot.bar, ", ".join([f"{slot.step.at:%d %b %H:%M} UTC{told(slot)}", *slot.marks])
        )
        for slot in slots
    )


def _over_chart(bar: Bar, title: str, more: str = "") -> str:
    return (
        f'<rect class="chart-hit{more}" x="{svg(bar.x)}" width="{svg(bar.width)}" height="100">'
        f"<title>{escape(title)}</title></rect>"
    )


def _together(marks: Iterable[str]) -> SafeString:
    return mark_safe("".join(marks))  # noqa: S308 - each has escaped what is not ours


def _percentiles(slot: "Slot") -> str:
    step = slot.step
    if not step.checks:
        return ": no check was answered"
    median, most, nearly_all = map(ms, step.percentiles_ms)
    checks = "1 check" if step.checks == 1 else f"{step.checks} checks"
    return f": median {median}, 95 % within {most}, 99 % within {nearly_all}, {checks}"


def _phases(slot: "Slot") -> str:
    if not slot.phases:
        return ": no check was answered"
    return ": " + ", ".join(f"{label} {ms(spent_ms)}" for label, spent_ms in slot.phases)


def _check(bar: Bar) -> str:
    latency = "" if bar.value is None else f", {ms(bar.value)}"
    return f"{_to_the_second(bar.at)} UTC: {bar.name}{latency}"


def _stretch(bar: Bar) -> str:
    times = f" {bar.times} times," if bar.times > 1 else ""
    until = f" to {_to_the_second(bar.until)}" if bar.until else ""
    return f"{bar.name.capitalize()}{times} from {_to_the_second(bar.at)}{until} UTC"


def _day(cell: "DayCell") -> str:
    if cell.uptime_percent is None:
        return f"{cell.day:%a %d %b %Y}: not observed"
    down = f", down {duration(cell.down)}" if cell.down else ""
    return f"{cell.day:%a %d %b %Y}: {percent(cell.uptime_percent)}{down}"


def _to_the_second(at: datetime | None) -> str:
    return f"{at:%d %b %H:%M:%S}" if at else ""
