"""What programs read of a page."""

import json
from datetime import datetime, timedelta
from xml.etree import ElementTree

import pytest

from monitors.models import Monitor, Status
from statuspages import feeds
from statuspages.actions import add_post_update, publish_post, update_page
from statuspages.badges import BadgeText, badge_svg
from statuspages.models import Component, StatusPage
from statuspages.reads import PageView, page_view
from tests.statuspages.conftest import lived

ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def view(page: StatusPage, component: Component, monitor: Monitor, now: datetime) -> PageView:
    """A page with an incident that is over and a maintenance to come."""
    lived(monitor, (Status.UP, now - timedelta(days=100)))
    post = publish_post(
        page=page,
        values={
            "title": "Slow & <odd>",
            "phase": "investigating",
            "body": "We *look*.",
            "affected": [{"component": component.pk, "impact": "degraded"}],
        },
    )
    add_post_update(post=post, values={"phase": "resolved"})
    publish_post(
        page=page,
        values={
            "kind": "maintenance",
            "title": "Move; of the servers, "
            "with a name that is so long that it does not fit into a line of a calendar",
            "phase": "scheduled",
            "body": "Line one\nLine two — with a dash",
            "starts_at": now + timedelta(days=1),
            "ends_at": now + timedelta(days=1, hours=2),
        },
    )
    return page_view(page, now + timedelta(seconds=5))


def test_json_says_what_the_page_says(view: PageView) -> None:
    told = json.loads(feeds.page_json(view))
    assert told["status"] == "operational"
    assert told["headline"] == "All systems operational"
    (component,) = told["components"]
    assert (component["name"], component["status"]) == ("Shop", "operational")
    assert component["uptime_90d_percent"] == 100
    (incident,) = told["incidents"]
    assert [one["phase"] for one in incident["updates"]] == ["resolved", "investigating"]
    assert incident["components"] == ["Shop"]
    assert told["maintenance"][0]["phase"] == "scheduled"
    assert told["as_of"].endswith("Z")


def test_rss_has_an_item_for_each_update_newest_first(view: PageView) -> None:
    channel = ElementTree.fromstring(feeds.rss(view)).find("channel")
    assert channel is not None
    titles = [item.findtext("title") for item in channel.iter("item")]
    assert sorted(titles[1:]) == ["Slow & <odd>: Investigating", "Slow & <odd>: Resolved"]
    items = {item.findtext("title"): item for item in channel.iter("item")}
    told = items["Slow & <odd>: Investigating"]
    assert told.findtext("description") == "<p>We <em>look</em>.</p>\n"
    assert "/status/acme/history/#post-" in str(told.findtext("link"))
    assert len({item.findtext("guid") for item in channel.iter("item")}) == 3


def test_atom_has_the_same(view: PageView) -> None:
    feed = ElementTree.fromstring(feeds.atom(view))
    assert len(feed.findall(f"{ATOM}entry")) == 3
    assert feed.findtext(f"{ATOM}title") == "Acme"


def unfolded(calendar: bytes) -> list[str]:
    return calendar.decode().replace("\r\n ", "").split("\r\n")


def test_the_calendar_has_the_maintenance_and_keeps_to_its_rules(view: PageView) -> None:
    calendar = feeds.calendar(view)
    for line in calendar.split(b"\r\n"):
        assert len(line) <= 75
        line.decode()  # no sign is torn apart
    lines = unfolded(calendar)
    assert lines.count("BEGIN:VEVENT") == 1
    assert "SUMMARY:Acme: Move\\; of the servers\\, " in "".join(lines)
    assert "DESCRIPTION:Line one\\nLine two — with a dash" in lines
    start = next(line for line in lines if line.startswith("DTSTART:"))
    assert start == f"DTSTART:{view.coming[0].starts_at:%Y%m%dT%H%M%SZ}"


def test_what_no_document_may_hold_is_left_out(page: StatusPage, now: datetime) -> None:
    update_page(page=page, values={"name": "A\x01cme", "description": "\x0bWe\ufffe"})
    values = {"title": "Slow\x1b", "phase": "investigating", "body": "Loo\x02k"}
    publish_post(page=page, values=values)
    times = {"starts_at": now + timedelta(days=1), "ends_at": now + timedelta(days=2)}
    move = {"kind": "maintenance", "title": "Mo\x08ve", "phase": "scheduled"}
    publish_post(page=page, values={**move, **times})
    view = page_view(page, now + timedelta(seconds=5))

    for written in (feeds.rss(view), feeds.atom(view)):
        assert "Slow: Investigating" in "".join(ElementTree.fromstring(written).itertext())
    assert b"SUMMARY:Acme: Move\r\n" in feeds.calendar(view)


def test_a_badge_says_its_text_and_escapes_it() -> None:
    svg = badge_svg(BadgeText("status", "<down>", "major_outage"))
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == "status: <down>"
    assert float(str(root.get("width"))) > 60
