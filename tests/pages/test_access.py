"""Who may open what: every page says so, and other teams' objects do not exist."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts.invitations import invite_member
from accounts.models import Passkey, Role, Team
from alerts.actions import create_channel, create_policy
from alerts.models import Delivery, Override
from alerts.on_call.actions import create_schedule
from incidents.maintenance.actions import create_window
from incidents.models import Incident
from monitors.models import SavedView
from statuspages.actions import add_component, create_page, publish_post, save_template
from statuspages.models import SubscriberKind
from statuspages.subscriptions import ask_to_confirm
from tests.factories import MembershipFactory, TeamFactory, make_monitor
from tests.pages.conftest import signed_in
from uptime import pages_urls
from uptime.clock import database_now

# These declare access in ways of their own, which their own tests walk.
ELSEWHERE = ("admin/", "api/v1/")
ACCESS = {"public", "member", "viewer", "editor", "owner"}


def patterns(
    nodes: list[URLPattern | URLResolver], prefix: str = ""
) -> Iterator[tuple[str, URLPattern]]:
    for node in nodes:
        path = prefix + str(node.pattern)
        if isinstance(node, URLResolver):
            yield from patterns(node.url_patterns, path)
        else:
            yield path, node


PAGES = list(patterns(pages_urls.urlpatterns))


@pytest.mark.parametrize(("path", "pattern"), PAGES, ids=[path or "home" for path, _ in PAGES])
def test_every_page_declares_who_may_open_it(path: str, pattern: URLPattern) -> None:
    assert getattr(pattern.callback, "access", None) in ACCESS


def test_no_view_outside_admin_and_api_is_open_without_saying_so() -> None:
    for path, pattern in patterns(get_resolver().url_patterns):
        if not path.startswith(ELSEWHERE):
            needs_login = getattr(pattern.callback, "login_required", True)
            assert needs_login or hasattr(pattern.callback, "access"), path


@pytest.mark.parametrize(
    ("path", "pattern"),
    [(p, n) for p, n in PAGES if n.callback.access != "public"],
    ids=[p or "home" for p, n in PAGES if n.callback.access != "public"],
)
def test_a_stranger_is_sent_to_the_login(path: str, pattern: URLPattern) -> None:
    answer = Client().get(filled(pattern))
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("login"))


def test_a_fragment_asked_for_after_the_session_ended_reloads_the_page() -> None:
    answer = Client().get(reverse("home"), headers={"HX-Request": "true"})
    assert answer["HX-Refresh"] == "true"


@pytest.mark.parametrize(
    "pattern",
    [n for _, n in PAGES if n.callback.access == "editor"],
    ids=[n.name for _, n in PAGES if n.callback.access == "editor"],
)
def test_a_viewer_may_not_open_what_changes_things(
    pattern: URLPattern, viewer_client: Client
) -> None:
    for method in (viewer_client.get, viewer_client.post):
        answer = method(filled(pattern))
        assert answer.status_code == 403
    assert "your role in this team is viewer" in answer.content.decode().lower()


@pytest.mark.parametrize(
    "pattern",
    [n for _, n in PAGES if n.callback.access == "owner"],
    ids=[n.name for _, n in PAGES if n.callback.access == "owner"],
)
def test_only_an_owner_may_open_what_is_about_who_is_in_the_team(
    pattern: URLPattern, team: Team
) -> None:
    editor = signed_in(MembershipFactory(team=team, role=Role.EDITOR))
    for method in (editor.get, editor.post):
        answer = method(filled(pattern))
        assert answer.status_code == 403
    assert "Only owners" in answer.content.decode()


def test_somebody_in_no_team_is_told_what_to_do(db: None) -> None:
    membership = MembershipFactory()
    client = signed_in(membership)
    membership.delete()
    answer = client.get(reverse("home"))
    assert answer.status_code == 403
    assert "Ask a team" in answer.content.decode()
    assert client.get(reverse("profile")).status_code == 200


def filled(pattern: URLPattern) -> str:
    """An address of a page, with made-up values in its places."""
    values = {
        "kind": "incident",
        "kind_name": "http",
        "type_name": "email",
        "form": "csv",
        "uidb64": "x",
        "token": "y-z",
        "member_id": 1,
    }
    names = pattern.pattern.converters or {}
    kwargs = {name: values.get(name, uuid4()) for name in names}
    return reverse(pattern.name, kwargs=kwargs)


@pytest.fixture
def foreign(db: None) -> dict[str, object]:
    """Ids of things of another team, by the name that addresses give them."""
    return things_of(TeamFactory())


def things_of(other: Team) -> dict[str, object]:
    """One of everything that has a page, made for a team."""
    monitor = make_monitor(other)
    now = database_now()
    tomorrow = now + timedelta(days=1)
    incident = Incident.objects.create(
        team=other, monitor=monitor, severity="down", started_at=now, confirmed_at=now
    )
    channel = create_channel(
        team=other, values={"name": "C", "type": "email", "config": {"to": ["a@example.org"]}}
    )
    policy = create_policy(
        team=other,
        values={"name": "P", "all": True, "steps": [{"channels": [str(channel.pk)]}]},
    )
    delivery = Delivery.objects.create(team=other, channel=channel, event="test", facts={})
    page = create_page(team=other, values={"name": "S", "slug": "s"})
    component = add_component(page=page, values={"name": "C"})
    post = publish_post(page=page, values={"title": "T", "phase": "investigating"})
    subscriber = ask_to_confirm(page=page, kind=SubscriberKind.EMAIL, address="a@example.org")
    template = save_template(
        team=other, values={"name": "N", "title": "T", "phase": "investigating"}
    )
    member = MembershipFactory(team=other)
    schedule = create_schedule(
        team=other,
        values={
            "name": "S",
            "layers": [{"members": [member.user.email], "start": "2026-01-05T09:00"}],
        },
    )
    override = Override.objects.create(
        schedule=schedule, member=member, starts_at=now, ends_at=tomorrow
    )
    invitation, _ = invite_member(team=other, email="a@example.org", role=Role.VIEWER, by=None)
    view = SavedView.objects.create(team=other, user=member.user, name="V")
    window = create_window(
        team=other, values={"name": "W", "all": True, "starts_at": now, "ends_at": tomorrow}
    )
    eldest = other.memberships.order_by("pk")[0].user
    passkey = Passkey.objects.create(user=eldest, name="K", credential_id=b"theirs", public_key=b"")
    return {
        "passkey_id": passkey.pk,
        "view_id": view.pk,
        "window_id": window.pk,
        "member_id": member.pk,
        "invitation_id": invitation.pk,
        "page_id": page.pk,
        "subscriber_id": subscriber.pk,
        "component_id": component.pk,
        "post_id": post.pk,
        "template_id": template.pk,
        "kind": "incident",
        "schedule_id": schedule.pk,
        "override_id": override.pk,
        "key": "0" * 64,
        "monitor_id": monitor.pk,
        "incident_id": incident.pk,
        "channel_id": channel.pk,
        "policy_id": policy.pk,
        "delivery_id": delivery.pk,
        "period": "weekly",
    }


@pytest.mark.parametrize(
    "pattern",
    [n for p, n in PAGES if "_id>" in p and "token" not in p],
    ids=[n.name for p, n in PAGES if "_id>" in p and "token" not in p],
)
def test_what_belongs_to_another_team_does_not_exist(
    pattern: URLPattern, client: Client, foreign: dict[str, object]
) -> None:
    kwargs = {n: {**foreign, "form": "csv"}[n] for n in pattern.pattern.converters}
    address = reverse(pattern.name, kwargs=kwargs)
    statuses = {client.get(address).status_code, client.post(address).status_code}
    assert statuses <= {404, 405}
    assert 404 in statuses


def test_a_member_of_two_teams_switches_between_them(client: Client, team: Team) -> None:
    second = MembershipFactory(user=team.memberships.get().user, role=Role.VIEWER).team
    make_monitor(second, name="Of the second team")
    assert "Of the second team" not in client.get(reverse("home")).content.decode()

    client.post(reverse("team-switch"), {"team": str(second.pk)})

    assert "Of the second team" in client.get(reverse("home")).content.decode()
    assert client.get(reverse("monitor-new")).status_code == 403


def test_nobody_switches_to_a_team_that_they_are_not_in(client: Client, team: Team) -> None:
    stranger = TeamFactory()
    make_monitor(stranger, name="Not yours")
    answer = client.post(reverse("team-switch"), {"team": str(stranger.pk)}, follow=True)
    assert "You are not in that team" in answer.content.decode()
    assert "Not yours" not in answer.content.decode()


def test_every_answer_forbids_inline_script_and_style(client: Client) -> None:
    for answer in (client.get(reverse("home")), client.get("/nowhere/"), Client().get("/login/")):
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
