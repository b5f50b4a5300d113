"""What people may do with pages, and what they are told when they may not."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from accounts.models import Team
from monitors.models import Monitor
from statuspages.actions import (
    add_component,
    add_post_update,
    create_page,
    move_component,
    publish_post,
    renew_link,
    save_template,
    set_logo,
    update_component,
    update_page,
    update_post,
)
from statuspages.dress import LOGO_LIMIT, check_css, logo_type_of
from statuspages.models import Component, Phase, StatusPage
from tests.factories import make_monitor
from uptime.errors import Invalid

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 20


def refusal(action: Any, **arguments: Any) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        action(**arguments)
    return caught.value.fields


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"slug": "Has Spaces"}, "slug"),
        ({"slug": "-a"}, "slug"),
        ({"slug": "k_0123"}, "slug"),
        ({"name": " "}, "name"),
        ({"language": "tlh"}, "language"),
        ({"accent": "red"}, "accent"),
        ({"website": "javascript:alert(1)"}, "website"),
        ({"domain": "http://x.example"}, "domain"),
        ({"domain": "localhost"}, "domain"),
        ({"domain": "uptime.example"}, "domain"),
        ({"visibility": "password"}, "password"),
        ({"custom_css": "@import 'x.css';"}, "custom_css"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_page_with_wrong_values_is_not_made(
    team: Team, values: dict[str, Any], field: str, settings: Settings
) -> None:
    settings.BASE_URL = "https://uptime.example:8443"
    given = {"name": "Acme", "slug": "acme", **values}
    assert list(refusal(create_page, team=team, values=given)) == [field]
    assert not StatusPage.objects.exists()


def test_two_pages_share_neither_address_nor_domain(page: StatusPage, team: Team) -> None:
    update_page(page=page, values={"domain": "Status.Acme.example"})
    assert page.public_url == "http://status.acme.example/"
    assert "slug" in refusal(create_page, team=team, values={"name": "B", "slug": "acme"})
    other = {"name": "B", "slug": "b", "domain": "status.acme.example"}
    assert "domain" in refusal(create_page, team=team, values=other)


def test_a_page_keeps_its_password_until_another_is_given(page: StatusPage) -> None:
    update_page(page=page, values={"visibility": "password", "password": "one"})
    kept = page.password
    assert "one" not in kept
    update_page(page=page, values={"name": "Other"})
    assert page.password == kept


def test_a_renewed_link_leads_there_and_the_old_one_nowhere(page: StatusPage) -> None:
    update_page(page=page, values={"visibility": "link"})
    old = page.public_name
    renew_link(page=page)
    assert not StatusPage.objects.named(old).exists()
    assert StatusPage.objects.named(page.public_name).get() == page
    assert not StatusPage.objects.named("acme").exists()


def test_another_teams_monitor_is_nobodys_component(page: StatusPage) -> None:
    foreign = make_monitor()
    values = {"name": "X", "monitor": foreign.pk}
    assert list(refusal(add_component, page=page, values=values)) == ["monitor"]


def test_nobody_says_that_there_is_no_data(page: StatusPage) -> None:
    assert "status" in refusal(add_component, page=page, values={"name": "X", "status": "unknown"})


def test_components_change_places(page: StatusPage) -> None:
    a, b, c = (add_component(page=page, values={"name": name}) for name in "ABC")
    move_component(component=c, by=-1)
    move_component(component=a, by=-1)
    names = page.components.order_by("position").values_list("name", flat=True)
    assert list(names) == ["A", "C", "B"]
    move_component(component=b, by=1)
    assert list(names.all()) == ["A", "C", "B"]


def test_a_component_that_gets_a_monitor_ends_the_history_of_what_people_set(
    page: StatusPage, monitor: Monitor
) -> None:
    component = add_component(page=page, values={"name": "X", "status": "degraded"})
    update_component(component=component, values={"monitor": monitor.pk})
    assert not component.spans.filter(ended_at=None).exists()
    assert component.status == "operational"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"phase": "scheduled"}, "phases of incident posts"),
        ({"kind": "maintenance", "phase": "scheduled"}, "when the maintenance starts"),
        ({"phase": "investigating", "starts_at": "2026-03-02T00:00:00"}, "timezone"),
        (
            {
                "phase": "resolved",
                "starts_at": "2026-03-02T00:00:00Z",
                "ends_at": "2026-03-01T00:00:00Z",
            },
            "ends before it starts",
        ),
    ],
)
def test_a_post_with_wrong_values_is_not_published(
    page: StatusPage, values: dict[str, Any], why: str
) -> None:
    told = refusal(publish_post, page=page, values={"title": "T", **values})
    assert why in str(told)


def test_a_post_is_about_the_pages_own_components(page: StatusPage, team: Team) -> None:
    other = create_page(team=team, values={"name": "B", "slug": "b"})
    foreign = add_component(page=other, values={"name": "X"})
    affected = [{"component": foreign.pk, "impact": "degraded"}]
    values = {"title": "T", "phase": "investigating", "affected": affected}
    assert list(refusal(publish_post, page=page, values=values)) == ["affected"]
    assert not page.posts.exists()


def test_an_incident_ends_with_an_update_and_another_reopens_it(page: StatusPage) -> None:
    post = publish_post(page=page, values={"title": "T", "phase": "investigating"})
    add_post_update(post=post, values={"phase": "resolved"})
    post.refresh_from_db()
    assert post.ends_at is not None
    add_post_update(post=post, values={"phase": "investigating"})
    post.refresh_from_db()
    assert post.ends_at is None


def test_what_is_said_of_it_afterwards_does_not_make_an_incident_longer(page: StatusPage) -> None:
    post = publish_post(page=page, values={"title": "T", "phase": "investigating"})
    add_post_update(post=post, values={"phase": "resolved"})
    post.refresh_from_db()
    ended_at = post.ends_at
    add_post_update(post=post, values={"phase": "resolved", "body": "What it was."})
    post.refresh_from_db()
    assert post.ends_at == ended_at


def test_a_maintenance_that_takes_longer_goes_on_though_its_time_is_over(
    page: StatusPage, now: datetime
) -> None:
    values = {
        "kind": "maintenance",
        "title": "M",
        "phase": "scheduled",
        "starts_at": now - timedelta(hours=2),
        "ends_at": now - timedelta(hours=1),
    }
    post = publish_post(page=page, values=values)
    assert post.phase_at(now) == Phase.COMPLETED
    add_post_update(post=post, values={"phase": "in_progress", "body": "Longer than planned."})
    post.refresh_from_db()
    assert post.phase_at(now + timedelta(minutes=1)) == Phase.IN_PROGRESS


def test_a_maintenance_needs_its_end_but_may_end_early(
    page: StatusPage, component: Component, now: datetime
) -> None:
    post = publish_post(
        page=page,
        values={
            "kind": "maintenance",
            "title": "M",
            "phase": "in_progress",
            "starts_at": now - timedelta(hours=1),
            "ends_at": now + timedelta(hours=1),
        },
    )
    assert list(refusal(update_post, post=post, values={"ends_at": None})) == ["ends_at"]
    affected = [{"component": component.pk, "impact": "maintenance"}]
    update_post(post=post, values={"title": "Move", "affected": affected})
    assert post.affected.get().component == component
    add_post_update(post=post, values={"phase": "completed"})
    post.refresh_from_db()
    assert post.ends_at is not None
    assert post.ends_at < now + timedelta(minutes=5)


def test_a_template_has_a_phase_of_its_kind(team: Team) -> None:
    values = {"kind": "maintenance", "name": "N", "title": "T", "phase": "identified"}
    assert "phases of maintenance posts" in str(refusal(save_template, team=team, values=values))
    saved = save_template(team=team, values={**values, "phase": "scheduled"})
    assert saved.phase == "scheduled"


# -- dress -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "css",
    [
        "@import url(x.css);",
        "@\\69mport 'x';",
        "a { background: url(https://tracker.example/x) }",
        "a { background: url( '//tracker.example/x' ) }",
        "a { color: red",
        "</style><script>",
        "x" * 50_001,
    ],
)
def test_css_that_would_load_or_break_something_is_refused(css: str) -> None:
    with pytest.raises(ValueError, match=r"\."):
        check_css(css)


def test_ordinary_css_is_taken_as_it_is() -> None:
    css = (
        ":root{--accent:#123456}\n/* // comment */ .top{background:url(data:image/png;base64,AA//)}"
    )
    assert check_css(css) == css


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF1234WEBPVP8 ", "image/webp"),
        (b"<?xml version='1.0'?><svg xmlns='...'/>", "image/svg+xml"),
        (b"<html><svg></svg></html>", ""),
        (b"", ""),
    ],
)
def test_a_logo_is_known_by_what_it_is(image: bytes, kind: str) -> None:
    assert logo_type_of(image) == kind


def test_a_logo_is_set_and_taken_away(page: StatusPage) -> None:
    assert set_logo(page=page, image=PNG).logo_type == "image/png"
    assert set_logo(page=page, image=None).logo_type == ""
    assert "logo" in refusal(set_logo, page=page, image=b"MZ")
    assert "logo" in refusal(set_logo, page=page, image=PNG + b"x" * LOGO_LIMIT)
