"""From a page's view to the documents that are published: pure, but for reading templates."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from statuspages import feeds
from statuspages.badges import BadgeText, badge_svg
from statuspages.documents import Document
from statuspages.models import StatusPage, Theme, Visibility
from statuspages.reads import PageView
from statuspages.wording import headline, moment_words

# What a browser may do with a page: no inline script or style, nothing from elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'"
)
_LOGO_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_FOR_ALL = {"Access-Control-Allow-Origin": "*"}
HTML = "text/html; charset=utf-8"
# With more lines than these, sections that are well begin folded.
_FEW = 16


def render_documents(view: PageView, *, fresh_for: timedelta) -> dict[str, Document]:
    """All documents of a page, by name; they count as fresh for so long from `view.as_of`."""
    make = _Maker(view, fresh_for)
    with translation.override(view.page.language):
        documents = {
            "index": make.page("statuspages/page.html"),
            "history": make.page("statuspages/history.html"),
            "embed": make.page("statuspages/embed.html", frame_ancestors="*"),
            "json": make.plain(feeds.page_json(view), "application/json"),
            "rss": make.plain(feeds.rss(view), "application/rss+xml; charset=utf-8"),
            "atom": make.plain(feeds.atom(view), "application/atom+xml; charset=utf-8"),
            "ics": make.plain(feeds.calendar(view), "text/calendar; charset=utf-8"),
            "badge": make.badge(BadgeText(_("status"), headline(view), view.status)),
        }
    if css := page_css(view.page):
        documents["page.css"] = make.plain(css, "text/css; charset=utf-8")
    if view.page.logo:
        documents["logo"] = make.logo()
    return documents


def page_css(page: StatusPage) -> bytes:
    """The page's own stylesheet: its colour, then what its team wrote."""
    colour = f":root {{ --accent: {page.accent}; }}\n" if page.accent else ""
    return (colour + page.custom_css).encode()


def badge_document(text: BadgeText, *, fresh_until: float) -> Document:
    return Document(
        badge_svg(text),
        "image/svg+xml; charset=utf-8",
        {**_common(is_listed=True, seconds=30), **_FOR_ALL},
        fresh_until=fresh_until,
    )


def _common(
    *, is_listed: bool, seconds: int, visibility: str = Visibility.PUBLIC
) -> dict[str, str]:
    who = "private" if visibility == Visibility.PASSWORD else "public"
    headers = {
        # However many ask, a cache in between asks us once in a while; while we are away it serves
        # what it has.
        "Cache-Control": f"{who}, max-age={seconds}, stale-if-error=86400",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    }
    return headers if is_listed else {**headers, "X-Robots-Tag": "noindex, nofollow"}


class _Maker:
    def __init__(self, view: PageView, fresh_for: timedelta) -> None:
        self._view = view
        page = view.page
        self._fresh_until = (view.as_of + fresh_for).timestamp()
        self._is_listed = page.visibility == Visibility.PUBLIC
        self._context: Mapping[str, Any] = {
            "view": view,
            "page": page,
            "headline": headline,
            "fresh_for_s": int(fresh_for.total_seconds()),
            "theme": "" if page.theme == Theme.AUTO else page.theme,
            "has_css": bool(page_css(page)),
            "changed": int(page.changed_at.timestamp()),
            "is_listed": self._is_listed,
            "is_few": len(view.components) <= _FEW,
            "base": f"/status/{page.public_name}",
        }

    def _headers(self, seconds: int = 10) -> dict[str, str]:
        visibility = self._view.page.visibility
        return _common(is_listed=self._is_listed, seconds=seconds, visibility=visibility)

    def page(self, template: str, *, frame_ancestors: str = "'none'") -> Document:
        context = {**self._context, "headline": headline(self._view)}
        policy = f"{_POLICY}; frame-ancestors {frame_ancestors}"
        return Document(
            render_to_string(template, context).encode(),
            HTML,
            {**self._headers(), "Content-Security-Policy": policy},
            fresh_until=self._fresh_until,
            stale_note=render_to_string(
                "statuspages/stale.html", {"as_of": moment_words(self._view.as_of)}
            ),
        )

    def plain(self, body: bytes, content_type: str) -> Document:
        headers = {**self._headers(), **(_FOR_ALL if self._is_listed else {})}
        return Document(body, content_type, headers, fresh_until=self._fresh_until)

    def badge(self, text: BadgeText) -> Document:
        headers = {**self._headers(30), **_FOR_ALL}
        return Document(badge_svg(text), "image/svg+xml; charset=utf-8", headers)

    def logo(self) -> Document:
        page = self._view.page
        headers = {**self._headers(300), "Content-Security-Policy": _LOGO_POLICY}
        return Document(bytes(page.logo or b""), page.logo_type, headers)
