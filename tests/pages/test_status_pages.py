"""The team's side of status pages."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Team
from statuspages import views
from statuspages.actions import add_component, create_page, publish_post, save_template
from statuspages.domains import DomainCheck
from statuspages.models import Badge, Post, PostTemplate, StatusPage
from statuspages.publishing import public_files
from tests.factories import make_monitor

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 20
PAGE = {"name": "Acme", "slug": "acme", "visibility": "public", "language": "en", "theme": "auto"}


@pytest.fixture(autouse=True)
def _own_files(settings: Any, tmp_path: Path) -> Any:
    settings.DATA_DIR = tmp_path
    public_files.cache_clear()
    yield
    public_files.cache_clear()


@pytest.fixture
def page(team: Team) -> StatusPage:
    return create_page(team=team, values={"name": "Acme", "slug": "acme"})


def shown(client: Client, name: str, *args: Any) -> str:
    answer = client.get(reverse(name, args=args))
    assert answer.status_code == 200
    return answer.content.decode()


def test_from_nothing_to_a_page_with_a_component_that_the_public_sees(
    client: Client, team: Team
) -> None:
    assert "Create the first status page" in shown(client, "status-pages")
    logo = SimpleUploadedFile("logo.png", PNG)
    client.post(reverse("status-page-new"), {**PAGE, "show_uptime": "on", "logo": logo})
    page = StatusPage.objects.get()
    assert bytes(page.logo or b"") == PNG
    assert "Nothing is on the page yet" in shown(client, "status-page", page.pk)

    monitor = make_monitor(team, name="internal-7")
    fields = {"name": "Shop", "monitor": str(monitor.pk), "status": "operational"}
    client.post(reverse("component-new", args=[page.pk]), fields)

    assert "internal-7" in shown(client, "status-page", page.pk)
    public = Client().get("/status/acme/").content.decode()
    assert "Shop" in public
    assert "internal-7" not in public
    assert Client().get("/status/acme/logo").content == PNG


def test_among_many_monitors_one_is_chosen_by_name(
    client: Client, team: Team, page: StatusPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statuspages.forms.MONITORS_OFFERED", 1)
    for name in ("internal-7", "internal-8"):
        make_monitor(team, name=name)
    address = reverse("component-new", args=[page.pk])
    assert "internal-8" not in shown(client, "component-new", page.pk)
    fields = {"name": "Shop", "status": "operational"}
    refused = client.post(address, {**fields, "monitor": "internal-9"})
    assert "There is no monitor internal-9." in refused.content.decode()
    client.post(address, {**fields, "monitor": " internal-8 "})
    component = page.components.get()
    assert component.monitor is not None
    assert component.monitor.name == "internal-8"
    assert 'value="internal-8"' in shown(client, "component", component.pk)
    client.post(reverse("component", args=[component.pk]), {**fields, "monitor": ""})
    assert page.components.get().monitor is None


def test_what_is_wrong_is_told_at_its_field_and_nothing_is_saved(client: Client) -> None:
    answer = client.post(reverse("status-page-new"), {**PAGE, "slug": "No spaces", "accent": "red"})
    assert answer.status_code == 422
    shown = answer.content.decode()
    assert shown.count('class="error"') == 2
    assert "Small letters, digits and single hyphens" in shown
    assert not StatusPage.objects.exists()


def test_a_page_without_an_address_has_one_of_its_name(client: Client) -> None:
    client.post(reverse("status-page-new"), {**PAGE, "name": "Größe & Co_2", "slug": " "})
    assert StatusPage.objects.get().slug == "groe-co-2"


def test_a_file_that_is_no_image_is_refused_as_a_logo(client: Client, page: StatusPage) -> None:
    logo = SimpleUploadedFile("logo.png", b"MZ")
    answer = client.post(reverse("status-page-edit", args=[page.pk]), {**PAGE, "logo": logo})
    assert "This is no PNG" in answer.content.decode()


def test_nor_is_a_page_made_with_it(client: Client) -> None:
    logo = SimpleUploadedFile("logo.png", b"MZ")
    answer = client.post(reverse("status-page-new"), {**PAGE, "logo": logo})
    assert answer.status_code == 422
    assert "This is no PNG" in answer.content.decode()
    assert not StatusPage.objects.exists()


def test_a_maintenance_whose_time_is_over_is_no_open_post(client: Client, page: StatusPage) -> None:
    times = {"starts_at": timezone.now() - timedelta(days=2), "ends_at": timezone.now()}
    move = {"kind": "maintenance", "title": "Move", "phase": "scheduled"}
    publish_post(page=page, values={**move, **times})
    assert "open post" not in shown(client, "status-pages")
    publish_post(page=page, values={"title": "Slow", "phase": "investigating"})
    assert "1 open post" in shown(client, "status-pages")


def test_an_incident_is_told_with_a_template_and_followed_up(
    client: Client, page: StatusPage, team: Team
) -> None:
    component = add_component(page=page, values={"name": "Shop"})
    client.post(
        reverse("post-template-new", args=["incident"]),
        {"name": "Slow", "title": "It is slow", "phase": "identified", "body": "We know."},
    )
    template = PostTemplate.objects.get()
    form = client.get(
        reverse("status-post-new", args=[page.pk, "incident"]), {"template": template.pk}
    ).content.decode()
    assert 'value="It is slow"' in form
    assert "We know." in form

    client.post(
        reverse("status-post-new", args=[page.pk, "incident"]),
        {
            "title": "It is slow",
            "phase": "identified",
            "body": "We *know*.",
            f"impact-{component.pk}": "degraded",
        },
    )
    post = Post.objects.get()
    client.post(
        reverse("status-post-update", args=[post.pk]), {"phase": "resolved", "body": "Over."}
    )

    told = shown(client, "status-post", post.pk)
    assert "<em>know</em>" in told
    assert "Over." in told
    post.refresh_from_db()
    assert post.phase == "resolved"
    assert post.affected.get().impact == "degraded"


def test_a_maintenance_is_entered_by_the_readers_clocks(client: Client, page: StatusPage) -> None:
    fields = {
        "title": "Move",
        "phase": "scheduled",
        "starts_at": "2030-01-01T22:00",
        "ends_at": "2030-01-02T01:00",
    }
    address = reverse("status-post-new", args=[page.pk, "maintenance"])
    client.post(address, fields)
    post = Post.objects.get()
    assert f"{post.starts_at:%Y-%m-%d %H:%M %Z}" == "2030-01-01 22:00 UTC"

    client.cookies["zone"] = "Europe/Berlin"
    assert 'name="zone" value="Europe/Berlin"' in client.get(address).content.decode()
    edited = shown(client, "status-post-edit", post.pk)
    assert 'value="2030-01-01T23:00"' in edited
    assert "By the clocks of Europe/Berlin." in edited
    edit = reverse("status-post-edit", args=[post.pk])
    client.post(edit, {**fields, "title": "Later", "starts_at": "2030-01-01T23:30"})
    post.refresh_from_db()
    assert f"{post.starts_at:%H:%M}" == "22:30"
    # the page may have been opened before the browser moved
    client.post(edit, {**fields, "starts_at": "2030-01-02T00:30", "zone": "Asia/Tokyo"})
    post.refresh_from_db()
    assert f"{post.starts_at:%d %H:%M}" == "01 15:30"
    assert client.get(reverse("status-post-new", args=[page.pk, "party"])).status_code == 404


def test_another_title_leaves_a_posts_times_as_they_are(client: Client, page: StatusPage) -> None:
    post = publish_post(page=page, values={"title": "Slow", "phase": "resolved"})
    address = reverse("status-post-edit", args=[post.pk])
    form = shown(client, "status-post-edit", post.pk)
    times = re.findall(r'name="(starts_at|ends_at)" value="([^"]+)"', form)
    assert len(times) == 2
    client.post(address, {**dict(times), "title": "Was slow"})
    changed = Post.objects.get()
    assert changed.title == "Was slow"
    assert (changed.starts_at, changed.ends_at) == (post.starts_at, post.ends_at)


def test_what_is_there_is_changed_moved_and_deleted(client: Client, page: StatusPage) -> None:
    first, second = (add_component(page=page, values={"name": name}) for name in "AB")
    client.post(reverse("component-move", args=[second.pk]), {"up": ""})
    assert list(page.components.order_by("position")) == [second, first]
    client.post(reverse("component", args=[first.pk]), {"name": "Z", "status": "degraded"})
    first.refresh_from_db()
    assert (first.name, first.status) == ("Z", "degraded")
    post = publish_post(page=page, values={"title": "T", "phase": "investigating"})
    template = save_template(
        team=page.team, values={"name": "N", "title": "T", "phase": "resolved"}
    )
    for name, thing in (
        ("component-delete", first),
        ("status-post-delete", post),
        ("post-template-delete", template),
        ("status-page-delete", page),
    ):
        assert "Delete" in shown(client, name, thing.pk)
        assert client.post(reverse(name, args=[thing.pk])).status_code == 302
        assert not type(thing).objects.filter(pk=thing.pk).exists()


def test_a_domain_that_leads_elsewhere_is_told_with_the_record_to_set(
    client: Client, page: StatusPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    StatusPage.objects.update(domain="status.acme.example")
    check = DomainCheck("status.acme.example", "uptime.example", leads_here=False, found="")
    monkeypatch.setattr(views, "examine_domain", lambda domain: check)
    told = shown(client, "status-page-edit", page.pk)
    assert "status.acme.example. CNAME uptime.example." in told


def test_a_monitor_has_badges_when_somebody_says_so(client: Client, team: Team) -> None:
    monitor = make_monitor(team)
    assert "has none" in shown(client, "monitor-badges", monitor.pk)
    client.post(reverse("monitor-badges-switch", args=[monitor.pk]), {"show": ""})
    assert f"/badge/{Badge.objects.get().key}/uptime.svg" in shown(
        client, "monitor-badges", monitor.pk
    )
    client.post(reverse("monitor-badges-switch", args=[monitor.pk]), {"hide": ""})
    assert not Badge.objects.exists()


def test_feeds_and_badges_are_there_to_be_copied(client: Client, page: StatusPage) -> None:
    told = shown(client, "status-page-embeds", page.pk)
    assert "http://localhost:8000/status/acme.rss" in told
    assert "/static/js/status-widget.js" in told
