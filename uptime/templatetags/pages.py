"""What templates need to show states, times and figures alike everywhere."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.template import Context
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from uptime.templatetags.icons import ICONS

register = template.Library()

STATE_LABELS = {
    "up": "Up",
    "degraded": "Degraded",
    "down": "Down",
    "recovering": "Recovering",
    "flapping": "Flapping",
    "pending": "Pending",
    "paused": "Paused",
    "maintenance": "Maintenance",
    "unknown": "Unknown",
    "open": "Open",
    "acknowledged": "Acknowledged",
    "resolved": "Resolved",
    "queued": "Queued",
    "sending": "Sending",
    "sent": "Sent",
    "failed": "Failed",
    "dead": "Given up",
    "dropped": "Dropped",
    "success": "Success",
    "start": "Start",
    "fail": "Fail",
    "log": "Log",
}


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An inline SVG: of the text's size and colour, silent unless it is given a label."""
    spoken = format_html('role="img" aria-label="{}"', label) if label else 'aria-hidden="true"'
    return format_html(
        '<svg class="icon" viewBox="0 0 24 24" width="16" height="16" fill="none"'
        ' stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"'
        " {}>{}</svg>",
        mark_safe(spoken),  # noqa: S308 - made by format_html above
        mark_safe(ICONS[name]),  # noqa: S308 - a constant of ours
    )


@register.simple_tag
def state(value: str, text: str = "") -> SafeString:
    """A state as a word with its own sign, so that it never hangs on colour alone."""
    return format_html(
        '<span class="state state-{}">{}<span>{}</span></span>',
        value,
        icon(value if value in ICONS else "unknown"),
        text or STATE_LABELS.get(value, value),
    )


@register.filter
def duration(value: timedelta | float | None) -> str:
    """Two units at most: `45 s`, `3 min 20 s`, `2 h 5 min`, `12 d 4 h`. Numbers are seconds."""
    if value is None:
        return "–"
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if 0 < seconds < 1:
        return f"{seconds:.1f} s"
    whole = max(0, round(seconds))
    for size, unit, smaller, small_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


@register.filter
def ms(value: float | None) -> str:
    """Milliseconds to the eye's precision: `0.4 ms`, `128 ms`, `2.31 s`, `3 min 20 s`."""
    if value is None:
        return "–"
    if value >= 60_000:
        return duration(value / 1000)
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


@register.filter
def percent(value: float) -> str:
    """A share, cut rather than rounded: 100 % means all of it. `99.987 %`, `98.2 %`, `0 %`."""
    places = 3 if value >= 99 else 1
    cut = math.floor(value * 10**places) / 10**places
    return f"{cut:.{places}f}".rstrip("0").rstrip(".") + " %"


@register.filter
def per_mille(value: float) -> str:
    """A share that is kept per mille, per cent."""
    return f"{value / 10:g} %"


@register.filter
def grouped(number: int) -> str:
    """A count that is read at a glance: `20,000`."""
    return f"{number:,}"


@register.filter
def svg(value: float) -> str:
    """A number as SVG writes it, whatever the locale."""
    return f"{value:g}"


@register.filter
def chosen(form: Any, name: str) -> str:
    """What a form of filters understood of a field; empty where that is nothing."""
    return str(form.cleaned_data.get(name, ""))


@register.filter
def words(text: str) -> list[str]:
    return text.split()


@register.filter
def get(mapping: Mapping[str, Any], key: str) -> Any:
    """A value of a mapping whose key is in a variable."""
    return mapping.get(key, "")


@register.simple_tag(takes_context=True)
def day(context: Context, value: datetime) -> SafeString:
    """A date without its time of day, in the reader's zone."""
    zone = _zone(context)
    return _time(value, "day", lambda at: f"{at.astimezone(zone):%d %b %Y}")


@register.simple_tag(takes_context=True)
def until(context: Context, value: datetime) -> str:
    """How long it is until then: `in 12 d 4 h`, or that it is past."""
    left = value - (context.get("now") or timezone.now())
    return f"in {duration(left)}" if left > timedelta() else f"{duration(-left)} ago"


@register.simple_tag(takes_context=True)
def moment(context: Context, value: datetime | None) -> SafeString:
    """A point in time, in the zone that the reader has chosen.

    In UTC where they have not; the script then shows it in their browser's.
    """
    zone = _zone(context)
    return _time(value, "moment", lambda at: f"{at.astimezone(zone):%d %b %Y, %H:%M:%S %Z}")


_BROWSERS = ("Edg", "OPR", "Firefox", "Chrome", "Safari", "curl")
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Macintosh", "Linux")
_CALLED = {"Edg": "Edge", "OPR": "Opera", "Macintosh": "macOS"}


@register.filter
def browser(agent: str) -> str:
    """What a browser says it is, in two words; the first match counts, for they claim many."""
    names = [next((n for n in of if n in agent), "") for of in (_BROWSERS, _SYSTEMS)]
    return " on ".join(_CALLED.get(name, name) for name in names if name) or "A browser"


@register.simple_tag(takes_context=True)
def ago(context: Context, value: datetime | None) -> SafeString:
    """How long a point in time is past (`3 min 20 s ago`); the script keeps it going."""
    now = context.get("now") or timezone.now()
    return _time(value, "ago", lambda at: f"{duration(now - at)} ago")


@register.simple_tag(takes_context=True)
def lasting(context: Context, since: datetime, until: datetime | None = None) -> SafeString:
    """How long something lasted or has lasted until now."""
    now = context.get("now") or timezone.now()
    if until is not None:
        return format_html("<span>{}</span>", duration(until - since))
    return _time(since, "lasting", lambda at: duration(now - at))


@register.simple_tag(takes_context=True)
def query(context: Context, **changes: Any) -> str:
    """The address's query with some keys changed; an empty value takes a key away.

    A change of anything but the page starts again at the first page.
    """
    parameters = context["request"].GET.copy()
    for key, value in {"page": None, **changes}.items():
        parameters.pop(key, None)
        if value not in (None, ""):
            parameters[key] = value
    return f"?{parameters.urlencode()}"


@register.simple_tag(takes_context=True)
def place(context: Context, section: str, label: str, url_name: str) -> SafeString:
    """A link of the main navigation, marked when the page belongs to it."""
    is_here = context.get("section") == section
    return format_html(
        '<a href="{}"{}>{}<span>{}</span></a>',
        reverse(url_name),
        mark_safe(' aria-current="page"' if is_here else ""),  # noqa: S308 - constants
        icon(section),
        label,
    )


def _zone(context: Context) -> tzinfo:
    name = str(context.get("reader_zone") or "")
    return ZoneInfo(name) if name else UTC


def _time(value: datetime | None, kind: str, text: Callable[[datetime], str]) -> SafeString:
    if value is None:
        return mark_safe("–")
    at = value.astimezone(UTC)
    return mark_safe(  # noqa: S308 - digits, words of ours and the names of months
        f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}" title="{at:%Y-%m-%d %H:%M:%S} UTC"'
        f' data-time="{kind}">{text(at)}</time>'
    )
