"""Badges: a label and a value as a small SVG, as wide as its text."""

from dataclasses import dataclass

from django.utils.html import escape

COLORS = {
    "operational": "#19764a",
    "maintenance": "#6547a8",
    "degraded": "#92530a",
    "partial_outage": "#b3470f",
    "major_outage": "#b8291f",
    "unknown": "#5a6067",
}
_HEIGHT = 20
_PADDING = 6
# Verdana at 11 px, to the half pixel: whatever font the reader has is fitted to it by textLength.
_WIDE, _NARROW = set("mwMW%@ЖШЩМФЮ"), set("iljtfI.,:;|!'1[]()")


@dataclass(frozen=True, slots=True)
class BadgeText:
    label: str
    value: str
    status: str


def text_width(text: str) -> float:
    """How wide the text is, about, in px."""
    return sum(10.5 if c in _WIDE else 4.0 if c in _NARROW else 7.0 for c in text)


def badge_svg(text: BadgeText) -> bytes:
    label_width = text_width(text.label) + 2 * _PADDING
    value_width = text_width(text.value) + 2 * _PADDING
    width = label_width + value_width
    color = COLORS[text.status]
    title = escape(f"{text.label}: {text.value}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{_HEIGHT}"'
        f' viewBox="0 0 {width:g} {_HEIGHT}" role="img" aria-label="{title}"><title>{title}</title>'
        f'<clipPath id="r"><rect width="{width:g}" height="{_HEIGHT}" rx="4"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{label_width:g}" height="{_HEIGHT}" fill="#3d4348"/>'
        f'<rect x="{label_width:g}" width="{value_width:g}" height="{_HEIGHT}" fill="{color}"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{_text(text.label, _PADDING)}{_text(text.value, label_width + _PADDING)}</g></svg>"
    ).encode()


def _text(text: str, x: float) -> str:
    return f'<text x="{x:g}" y="14" textLength="{text_width(text):g}">{escape(text)}</text>'
