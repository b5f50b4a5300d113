"""What programs read of a page: JSON, RSS, Atom, and a calendar of its maintenance.

Pure functions of a page's view; they word things in the language that is active.
"""

import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from django.utils.feedgenerator import Atom1Feed, Rss201rev2Feed, SyndicationFeed
from django.utils.translation import gettext as _

from statuspages.markup import render_markdown
from statuspages.models import Phase
from statuspages.reads import ComponentView, PageView, PostView
from statuspages.wording import headline, phase_label, title_of

ENTRIES = 50
# Control characters and two that are none: no XML document may hold them (XML 1.0, 2.2), nor a
# calendar (RFC 5545, 3.1).
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


def page_json(view: PageView) -> bytes:
    page = view.page
    document = {
        "page": {"name": page.name, "url": page.public_url, "language": page.language},
        "as_of": _utc(view.as_of),
        "status": view.status,
        "headline": headline(view),
        "components": [_component_json(one) for one in view.components],
        "incidents": [_post_json(one) for one in view.posts if not one.is_maintenance][:ENTRIES],
        "maintenance": [_post_json(one) for one in view.posts if one.is_maintenance][:ENTRIES],
    }
    return json.dumps(document, ensure_ascii=False).encode()


def _component_json(one: ComponentView) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "name": one.name,
        "description": one.description,
        "section": one.section,
        "status": one.status,
        "uptime_90d_percent": one.uptime_percent,
    }


def _post_json(post: PostView) -> dict[str, Any]:
    return {
        "id": str(post.id),
        "title": title_of(post),
        "phase": post.phase,
        "impact": post.impact,
        "starts_at": _utc(post.starts_at),
        "ends_at": _utc(post.ends_at) if post.ends_at else None,
        "components": list(post.components),
        "updates": [
            {"id": str(one.id), "phase": one.phase, "body": one.body, "at": _utc(one.at)}
            for one in post.updates
        ],
    }


def rss(view: PageView) -> bytes:
    return _written(view, Rss201rev2Feed, "rss")


def atom(view: PageView) -> bytes:
    return _written(view, Atom1Feed, "atom")


def post_url(view: PageView, post: PostView) -> str:
    """Where the post stands in the page's history."""
    return f"{_address(view)}/history/#post-{post.id}"


def _address(view: PageView) -> str:
    return f"{view.page.public_origin}/status/{view.page.public_name}"


def _written(view: PageView, kind: type[SyndicationFeed], suffix: str) -> bytes:
    page = view.page
    feed = kind(
        title=_writable(page.name),
        link=page.public_url,
        description=_writable(page.description) or _("What is up and what is not"),
        language=page.language,
        feed_url=f"{_address(view)}.{suffix}",
    )
    entries = [(post, update) for post in view.posts for update in post.updates]
    entries.sort(key=lambda entry: entry[1].at, reverse=True)
    for post, update in entries[:ENTRIES]:
        feed.add_item(
            title=_writable(f"{title_of(post)}: {phase_label(update.phase)}"),
            link=post_url(view, post),
            description=_writable(render_markdown(update.body)) or phase_label(update.phase),
            pubdate=update.at,
            updateddate=update.at,
            unique_id=f"urn:uuid:{update.id}",
            unique_id_is_permalink=False,
        )
    return feed.writeString("utf-8").encode()


def _writable(text: str) -> str:
    return _UNWRITABLE.sub("", text)


# -- iCalendar, RFC 5545 ---------------------------------------------------------------------------


def calendar(view: PageView) -> bytes:
    """The maintenance of the page's history and to come, as events."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Uptime//Status page//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        f"X-WR-CALNAME:{_escaped(view.page.name)}",
    ]
    for post in view.posts:
        if post.is_maintenance:
            lines += _event(view, post)
    lines.append("END:VCALENDAR")
    return "".join(f"{_folded(line)}\r\n" for line in lines).encode()


def _event(view: PageView, post: PostView) -> list[str]:
    body = next((one.body for one in post.updates if one.body), "")
    told = "\n\n".join(filter(None, [", ".join(post.components), body]))
    return [
        "BEGIN:VEVENT",
        f"UID:{post.id}@{urlsplit(view.page.public_url).hostname}",
        f"DTSTAMP:{_stamp(post.updated_at)}",
        f"LAST-MODIFIED:{_stamp(post.updated_at)}",
        f"DTSTART:{_stamp(post.starts_at)}",
        f"DTEND:{_stamp(post.ends_at or post.starts_at)}",
        f"SUMMARY:{_escaped(f'{view.page.name}: {post.title}')}",
        f"DESCRIPTION:{_escaped(told)}",
        f"URL:{post_url(view, post)}",
        f"STATUS:{'TENTATIVE' if post.phase == Phase.SCHEDULED else 'CONFIRMED'}",
        "TRANSP:TRANSPARENT",
        "END:VEVENT",
    ]


def _escaped(text: str) -> str:
    """Section 3.3.11."""
    text = _writable(text)
    for sign in ("\\", ";", ","):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")


def _folded(line: str) -> str:
    """Section 3.1: no line is longer than 75 octets; what follows begins with a space."""
    parts, part, size = [], "", 0
    for sign in line:
        octets = len(sign.encode())
        if size + octets > 75:
            parts.append(part)
            part, size = " ", 1
        part, size = part + sign, size + octets
    return "\r\n".join([*parts, part])


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
