"""The marks of a monitor's charts: they are hundreds, and a template's loop costs ten times."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from monitors.charts import Bar
from uptime.templatetags.pages import duration, ms, percent, svg

if TYPE_CHECKING:
    from monitors.views import DayCell, Slot

register = template.Library()

_DAY = '<rect class="fill-{}" x="{}" y="{}" width="10" height="10" rx="2"><title>{}</title></rect>'
_OVER_CHART = '<rect class="chart-hit{}" x="{}" width="{}" height="100"><title>{}</title></rect>'


@register.simple_tag
def draw_band(bars: Iterable[Bar]) -> SafeString:
    """The states of a day, each with what it was and from when to when."""
    return format_html_join(
        "",
        '<rect class="fill-{}" x="{}" width="{}" height="28"><title>{}</title></rect>',
        ((bar.name, svg(bar.x), svg(bar.width), _stretch(bar)) for bar in bars),
    )


@register.simple_tag
def draw_checks(bars: Iterable[Bar]) -> SafeString:
    """What lies over single checks: each one's instant, status and latency."""
    return format_html_join(
        "",
        _OVER_CHART,
        (
            ("" if bar.name == "up" else f" is-{bar.name}", svg(bar.x), svg(bar.width), _check(bar))
            for bar in bars
        ),
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
    return format_html_join(
        "",
        _DAY,
        ((cell.name, cell.column * 12, cell.line * 12, _day(cell)) for cell in cells),
    )


def _over_steps(slots: Iterable["Slot"], told: Callable[["Slot"], str]) -> SafeString:
    marks = (
        (slot, ", ".join([f"{slot.step.at:%d %b %H:%M} UTC{told(slot)}", *slot.marks]))
        for slot in slots
    )
    return format_html_join(
        "",
        _OVER_CHART,
        (("", svg(slot.bar.x), svg(slot.bar.width), title) for slot, title in marks),
    )


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
