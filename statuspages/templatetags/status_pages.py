"""What the public pages show alike: states, times, Markdown, in the language that is active."""

from datetime import UTC, date, datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from statuspages import wording
from statuspages.bars import Bars, bars_of
from statuspages.markup import render_markdown
from statuspages.models import ComponentStatus, Post
from statuspages.reads import ComponentView, DayView

register = template.Library()

# Signs that tell states apart without colour; their drawings are the product's own.
SIGNS = {
    ComponentStatus.OPERATIONAL: "up",
    ComponentStatus.UNKNOWN: "unknown",
    ComponentStatus.MAINTENANCE: "maintenance",
    ComponentStatus.DEGRADED: "degraded",
    ComponentStatus.PARTIAL: "open",
    ComponentStatus.MAJOR: "down",
}


@register.filter
def sign(status: str) -> str:
    """The name of a status's icon."""
    return SIGNS[ComponentStatus(status)]


@register.filter
def label(value: ComponentStatus) -> str:
    return str(value.label)


@register.filter
def markdown(text: str) -> SafeString:
    return mark_safe(render_markdown(text))  # noqa: S308 - sanitised there


@register.filter
def bars(component: ComponentView) -> Bars:
    return bars_of(component.days)


@register.filter
def eventful(component: ComponentView) -> list[tuple[int, DayView]]:
    """The days with trouble, the latest first, each with its place among the bars."""
    return [(place, day) for place, day in enumerate(component.days) if day.is_eventful][::-1]


@register.filter
def unknown_days(component: ComponentView) -> str:
    """The places of the days of which nothing is known."""
    return " ".join(
        str(place)
        for place, day in enumerate(component.days)
        if day.status == ComponentStatus.UNKNOWN
    )


@register.simple_tag
def when(value: datetime) -> SafeString:
    """A point in time: in UTC from the server, in the reader's zone once the script has run."""
    return format_html(
        '<time datetime="{}" data-time>{}</time>',
        f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        wording.moment_words(value),
    )


@register.simple_tag
def day(value: date) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', value.isoformat(), wording.day_date(value))


@register.simple_tag
def when_words(post: Post) -> str:
    """From when to when, without markup: for mails."""
    end = f" – {wording.moment_words(post.ends_at)}" if post.ends_at else ""
    return f"{wording.moment_words(post.starts_at)}{end}"


register.filter("title_of", wording.title_of)
register.filter("day_words", wording.day_words)
register.filter("bars_words", wording.bars_words)
register.filter("uptime_words", wording.uptime_words)
register.filter("milliseconds", wording.milliseconds)
register.filter("names_words", wording.names_words)
