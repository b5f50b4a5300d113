"""Pages are rendered when something on them changed, and served from files."""

import gzip
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Membership
from incidents.maintenance.actions import create_window, update_window
from incidents.models import Incident
from monitors.models import Monitor, Status
from statuspages import publishing
from statuspages.actions import (
    create_page,
    delete_page,
    hide_badges,
    publish_post,
    show_badges,
    update_page,
)
from statuspages.documents import Document
from statuspages.models import Component, StatusPage
from statuspages.places import PublicFiles
from statuspages.publishing import Publisher
from statuspages.reads import STATUS_OF
from tests.factories import make_monitor
from tests.statuspages.conftest import lived
from uptime.asgi_types import Message
from uptime.public_files import serve_published


class Web:
    """The ASGI application's public part; what it does not answer is noted in `passed_on`."""

    def __init__(self, files: PublicFiles) -> None:
        self.passed_on: list[Message] = []
        self._app = serve_published(self._django, files, base_url="https://uptime.example")

    async def _django(self, scope: Any, receive: Any, send: Any) -> None:
        self.passed_on.append(scope)
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def get(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b""}

        raw = [(k.lower().replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": raw}
        await self._app(scope, receive, send)
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], told, sent[1]["body"]


@pytest.fixture
def web(files: PublicFiles) -> Web:
    return Web(files)


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


def index(files: PublicFiles, name: str = "acme") -> str:
    published = files.pages.read(name, "index")
    return published.body.decode() if published else ""


def test_a_change_of_anything_on_a_page_has_it_rendered_anew(
    page: StatusPage,
    component: Component,
    monitor: Monitor,
    publisher: Publisher,
    files: PublicFiles,
    now: datetime,
) -> None:
    assert publisher.step(now) == 1
    assert "All systems operational" not in index(files)
    assert publisher.step(now) == 0

    lived(monitor, (Status.UP, now))
    assert publisher.step(now) == 1
    assert "All systems operational" in index(files)

    publish_post(page=page, values={"title": "Slow search", "phase": "investigating"})
    assert publisher.step(now) == 1
    assert "Slow search" in index(files)


def test_maintenance_that_pages_may_show_has_them_rendered_anew(
    page: StatusPage, component: Component, publisher: Publisher, files: PublicFiles, now: datetime
) -> None:
    publisher.step(now)
    times = {"starts_at": now + timedelta(hours=1), "ends_at": now + timedelta(hours=2)}
    values = {"name": "Move", "all": True, "public": True, **times}
    window = create_window(team=page.team, values=values)
    assert publisher.step(now) == 1
    assert "Move" in index(files)
    update_window(window=window, values={"public": False})
    assert publisher.step(now) == 1
    assert "Move" not in index(files)


def test_what_other_teams_do_renders_nothing(
    page: StatusPage, publisher: Publisher, now: datetime
) -> None:
    publisher.step(now)
    lived(make_monitor(), (Status.DOWN, now))
    assert publisher.step(now) == 0


def test_about_once_a_minute_all_is_rendered_for_the_time_that_it_says(
    page: StatusPage, publisher: Publisher, now: datetime
) -> None:
    start = now.replace(second=20)
    publisher.step(start)
    assert publisher.step(start + timedelta(seconds=39)) == 0
    assert publisher.step(start + timedelta(seconds=41)) == 1


def test_a_page_that_is_gone_or_has_another_name_is_not_served_under_the_old_one(
    page: StatusPage, publisher: Publisher, files: PublicFiles, now: datetime
) -> None:
    publisher.step(now)
    update_page(page=page, values={"slug": "acme-cloud"})
    publisher.step(now)
    assert list(files.pages.groups()) == ["acme-cloud"]
    delete_page(page=page)
    publisher.step(now)
    assert list(files.pages.groups()) == []


def test_a_page_that_only_its_link_leads_to_has_no_other_address(
    page: StatusPage, publisher: Publisher, files: PublicFiles, now: datetime
) -> None:
    update_page(page=page, values={"visibility": "link"})
    publisher.step(now)
    assert list(files.pages.groups()) == [page.access_key]
    assert 'name="robots" content="noindex' in index(files, page.access_key)
    assert Client().get("/status/acme/").status_code == 404


def test_a_page_that_gets_a_password_is_open_no_more(
    page: StatusPage, publisher: Publisher, files: PublicFiles, now: datetime
) -> None:
    publisher.step(now)
    update_page(page=page, values={"visibility": "password", "password": "open sesame"})
    publisher.step(now)
    assert list(files.pages.groups()) == []
    assert list(files.gated.groups()) == ["acme"]


def test_one_page_that_cannot_be_rendered_keeps_no_other(
    page: StatusPage,
    publisher: Publisher,
    files: PublicFiles,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create_page(team=page.team, values={"name": "Broken", "slug": "broken"})
    real = publishing.page_view

    def view(one: StatusPage, at: datetime) -> Any:
        if one.slug == "broken":
            raise ZeroDivisionError
        return real(one, at)

    monkeypatch.setattr(publishing, "page_view", view)
    publisher.step(now)
    assert list(files.pages.groups()) == ["acme"]


async def test_it_is_sent_before_django_sees_the_request(files: PublicFiles, web: Web) -> None:
    files.pages.put(
        "acme",
        {"index": Document(b"x" * 500, "text/html"), "json": Document(b"{}", "application/json")},
    )
    status, headers, body = await web.get("/status/acme/", accept_encoding="gzip")
    assert (status, gzip.decompress(body)) == (200, b"x" * 500)
    status, _, body = await web.get(
        "/status/acme/", accept_encoding="gzip", if_none_match=headers["etag"]
    )
    assert (status, body) == (304, b"")
    status, headers, body = await web.get("/status/acme/", method="HEAD")
    assert (status, headers["content-length"], body) == (200, "500", b"")
    assert (await web.get("/status/acme.json"))[2] == b"{}"
    assert web.passed_on == []
    for path in ("/status/other/", "/status/acme", "/status/acme/nothing", "/", "/status/../acme/"):
        assert (await web.get(path))[0] == 404
    assert len(web.passed_on) == 5


async def test_a_domain_of_its_own_shows_the_page_and_nothing_else(
    files: PublicFiles, web: Web
) -> None:
    files.pages.put("acme", {"index": Document(b"acme", "text/html")})
    files.pages.put("other", {"index": Document(b"other", "text/html")})
    files.put_hosts({"status.acme.example": "acme"})

    assert (await web.get("/", host="status.acme.example"))[2] == b"acme"
    assert (await web.get("/", host="STATUS.acme.example:8443"))[2] == b"acme"
    assert (await web.get("/", host="status.acme.example."))[2] == b"acme"
    for path in ("/login/", "/status/other/", "/api/v1/monitors/", "/admin/"):
        assert (await web.get(path, host="status.acme.example"))[0] == 404
    assert web.passed_on == []

    await web.get("/static/css/status.css", host="status.acme.example")
    (passed,) = web.passed_on
    assert (b"host", b"uptime.example") in passed["headers"]
    await web.get("/status/acme", host="status.acme.example")  # which leads to the page
    assert len(web.passed_on) == 2


async def test_no_page_takes_the_products_own_name(files: PublicFiles, web: Web) -> None:
    files.put_hosts({"uptime.example": "acme"})
    await web.get("/login/", host="uptime.example")
    assert [one["path"] for one in web.passed_on] == ["/login/"]


def test_nothing_of_the_monitor_itself_is_in_any_document(
    page: StatusPage,
    component: Component,
    monitor: Monitor,
    publisher: Publisher,
    files: PublicFiles,
    now: datetime,
) -> None:
    lived(monitor, (Status.DOWN, now))
    Monitor.objects.update(message="http://secret.internal:8080/ refused", reason="connect_refused")
    Incident.objects.create(
        team=page.team,
        monitor=monitor,
        severity="down",
        reason="connect_refused",
        message="secret.internal refused",
        started_at=now,
        confirmed_at=now,
    )
    show_badges(monitor=monitor)
    publisher.step(now)
    everything = [path.read_bytes() for path in files.root.rglob("*") if path.is_file()]
    assert len(everything) >= 11
    for content in everything:
        for secret in (b"secret.internal", b"internal-db-7", b"refused", str(monitor.pk).encode()):
            assert secret not in content


def test_a_page_made_just_now_is_there_at_once(page: StatusPage, files: PublicFiles) -> None:
    client = Client()
    answer = client.get("/status/acme/", headers={"Accept-Encoding": "br"})
    assert (answer.status_code, answer["Content-Encoding"]) == (200, "br")
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert client.get("/status/acme")["Location"] == "/status/acme/"
    assert json.loads(client.get("/status/acme.json").content)["page"]["name"] == "Acme"
    assert client.get("/status/nobody/").status_code == 404
    assert client.get("/status/acme/nothing/").status_code == 404


def test_the_embedded_page_may_be_framed_and_no_other(page: StatusPage) -> None:
    client = Client()
    assert "frame-ancestors *" in client.get("/status/acme/embed/")["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in client.get("/status/acme/")["Content-Security-Policy"]


def test_badges_that_cannot_be_drawn_keep_no_page(
    page: StatusPage,
    monitor: Monitor,
    publisher: Publisher,
    files: PublicFiles,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(STATUS_OF, Status.UNKNOWN)
    lived(monitor, (Status.UNKNOWN, now))
    show_badges(monitor=monitor)
    assert publisher.step(now) == 1
    assert index(files)
    publish_post(page=page, values={"title": "Slow search", "phase": "investigating"})
    assert publisher.step(now) == 1
    assert "Slow search" in index(files)


@pytest.mark.parametrize("status", list(Status))
def test_a_monitor_in_any_state_has_badges(monitor: Monitor, now: datetime, status: Status) -> None:
    lived(monitor, (status, now))
    badge = show_badges(monitor=monitor)
    shown = Client().get(f"/badge/{badge.key}/status.svg").content.decode()
    assert f"status: {status.label.lower()}" in shown


def test_badges_are_shown_to_whoever_has_the_key_until_they_are_hidden(
    monitor: Monitor, publisher: Publisher, files: PublicFiles, now: datetime
) -> None:
    lived(monitor, (Status.UP, now - timedelta(days=40)), (Status.DOWN, now - timedelta(hours=7.2)))
    badge = show_badges(monitor=monitor)
    client = Client()
    texts = {
        kind: client.get(f"/badge/{badge.key}/{kind}.svg").content.decode()
        for kind in ("status", "uptime", "latency")
    }
    assert "status: down" in texts["status"]
    assert "uptime 30 d: 98.9 %" in texts["uptime"]
    assert "no data" in texts["latency"]
    assert client.get(f"/badge/{badge.key}/target.svg").status_code == 404

    hide_badges(monitor=monitor)
    publisher.step(now)

    assert client.get(f"/badge/{badge.key}/status.svg").status_code == 404


@pytest.mark.parametrize(("public", "rendered"), [("on", 1), ("", 0)])
def test_a_public_comment_on_an_incident_is_on_the_page(
    owner: Membership,
    page: StatusPage,
    component: Component,
    monitor: Monitor,
    publisher: Publisher,
    files: PublicFiles,
    now: datetime,
    public: str,
    rendered: int,
) -> None:
    incident = Incident.objects.create(
        team=page.team, monitor=monitor, severity="down", started_at=now, confirmed_at=now
    )
    publisher.step(now)
    client = Client()
    client.force_login(owner.user)
    comment = {"message": "We are **on** it.", "public": public}
    client.post(reverse("incident-comment", args=[incident.pk]), comment)

    assert publisher.step(now) == rendered

    assert ("We are <strong>on</strong> it." in index(files)) == bool(rendered)
    assert ("Outage: Shop" in index(files)) == bool(rendered)
