"""A user's own page: name, password, tokens, looks, sessions."""

import re
from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiToken, BrowserSession, Membership, Role, Scope
from accounts.sessions import SEEN_PRECISION
from accounts.throttling import MAX_TRIES
from accounts.tokens import authenticate_token
from tests.factories import MembershipFactory
from tests.pages.conftest import signed_in

pytestmark = pytest.mark.django_db


def test_the_name_is_changed(client: Client, owner: Membership) -> None:
    client.post(reverse("profile-name"), {"name": "Ada"})
    owner.user.refresh_from_db()
    assert owner.user.name == "Ada"


def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(owner: Membership) -> None:
    here, elsewhere = signed_in(owner), signed_in(owner)
    new = "another long phrase"
    data = {
        "old_password": "correct horse battery",
        "new_password1": new,
        "new_password2": new,
    }
    assert here.post(reverse("profile-password"), data).status_code == 302
    assert here.get(reverse("profile")).status_code == 200
    assert elsewhere.get(reverse("profile")).status_code == 302


def test_a_wrong_old_password_changes_nothing(client: Client, owner: Membership) -> None:
    data = {"old_password": "wrong", "new_password1": "x" * 12, "new_password2": "x" * 12}
    assert client.post(reverse("profile-password"), data).status_code == 422
    owner.user.refresh_from_db()
    assert owner.user.check_password("correct horse battery")


def test_the_old_password_is_not_guessed_without_end(client: Client, owner: Membership) -> None:
    new = "another long phrase"
    fields = {"old_password": "wrong", "new_password1": new, "new_password2": new}
    for _ in range(MAX_TRIES):
        client.post(reverse("profile-password"), fields)
    fields["old_password"] = "correct horse battery"
    answer = client.post(reverse("profile-password"), fields)
    assert "Too many tries" in answer.content.decode()


def test_a_token_is_shown_once_and_works(client: Client, owner: Membership) -> None:
    data = {"name": "Terraform", "scope": "write", "expires": "30"}
    shown = client.post(reverse("token-new"), data, follow=True).content.decode()
    [text] = re.findall(r"upt_[\w-]{40,}", shown)
    token = authenticate_token(text)
    assert token is not None
    assert (token.user, token.team, token.scope) == (owner.user, owner.team, Scope.WRITE)
    assert token.expires_at is not None
    assert text not in client.get(reverse("profile")).content.decode()


def test_a_viewer_can_make_tokens_that_read_and_no_others() -> None:
    viewer = MembershipFactory(role=Role.VIEWER)
    client = signed_in(viewer)
    answer = client.post(reverse("token-new"), {"name": "T", "scope": "write"})
    assert answer.status_code == 422
    client.post(reverse("token-new"), {"name": "T", "scope": "read"})
    assert ApiToken.objects.get().scope == Scope.READ


def test_a_token_is_revoked_by_its_owner_only(client: Client, owner: Membership) -> None:
    client.post(reverse("token-new"), {"name": "T", "scope": "read"})
    token = ApiToken.objects.get()
    address = reverse("token-revoke", args=[token.pk])
    assert signed_in(MembershipFactory(team=owner.team)).post(address).status_code == 404
    client.post(address)
    assert not ApiToken.objects.exists()


def test_the_theme_that_was_chosen_is_served(client: Client) -> None:
    client.cookies["theme"] = "dark"
    assert '<html lang="en" data-theme="dark">' in client.get("/").content.decode()
    client.cookies["theme"] = '"><script>'
    assert '<html lang="en">' in client.get("/").content.decode()


# -- times and colours -----------------------------------------------------------------------------


def test_times_are_in_the_chosen_zone_with_utc_beside(client: Client, owner: Membership) -> None:
    ApiToken.objects.create(
        user=owner.user,
        team=owner.team,
        name="T",
        digest="d",
        expires_at=datetime(2100, 1, 1, 20, tzinfo=UTC),
    )
    assert "01 Jan 2100" in client.get(reverse("profile")).content.decode()

    client.post(reverse("profile-looks"), {"time_zone": "Asia/Tokyo", "theme": ""})

    page = client.get(reverse("profile")).content.decode()
    assert 'data-zone="Asia/Tokyo"' in page
    assert 'title="2100-01-01 20:00:00 UTC" data-time="day">02 Jan 2100<' in page


def test_a_zone_that_does_not_exist_is_refused(client: Client) -> None:
    answer = client.post(reverse("profile-looks"), {"time_zone": "Mars/Olympus", "theme": ""})
    assert answer.status_code == 422


def test_the_theme_of_the_profile_goes_with_its_user(client: Client, owner: Membership) -> None:
    client.post(reverse("profile-looks"), {"time_zone": "", "theme": "dark"})
    for browser in (client, signed_in(owner)):
        assert 'data-theme="dark"' in browser.get("/").content.decode()
    client.post(reverse("profile-looks"), {"time_zone": "", "theme": ""})
    assert "data-theme=" not in client.get("/").content.decode().split("<head>")[0]


# -- sessions --------------------------------------------------------------------------------------


def enter(owner: Membership, agent: str, address: str = "192.0.2.7") -> Client:
    client = Client(headers={"User-Agent": agent}, REMOTE_ADDR=address)
    client.post(
        reverse("login"), {"username": owner.user.email, "password": "correct horse battery"}
    )
    return client


def test_the_profile_tells_where_somebody_is_signed_in(owner: Membership) -> None:
    enter(MembershipFactory(), "curl/8")
    enter(owner, "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
    phone = "Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36"
    page = enter(owner, phone, "198.51.100.4").get(reverse("profile")).content.decode()
    assert "Firefox on Linux" in page
    assert "192.0.2.7" in page
    assert re.search(r"Chrome on Android\s+<b>this browser</b>", page)
    assert "curl" not in page


def test_signing_out_elsewhere_leaves_this_browser_signed_in(owner: Membership) -> None:
    stranger = enter(MembershipFactory(), "Firefox")
    here, elsewhere = enter(owner, "Firefox"), enter(owner, "Chrome")
    here.post(reverse("sessions-end"))
    assert here.get(reverse("home")).status_code == 200
    assert stranger.get(reverse("home")).status_code == 200
    assert elsewhere.get(reverse("home")).status_code == 302


def test_a_session_in_use_says_so_every_few_minutes(owner: Membership) -> None:
    client = enter(owner, "Firefox")
    long_ago = timezone.now() - SEEN_PRECISION
    BrowserSession.objects.update(seen_at=long_ago)
    client.get(reverse("home"))
    seen = BrowserSession.objects.get().seen_at
    assert seen > long_ago
    client.get(reverse("home"))
    assert BrowserSession.objects.get().seen_at == seen


def test_a_new_password_keeps_what_is_known_of_the_session(owner: Membership) -> None:
    client = enter(owner, "Firefox")
    new = "another long phrase"
    values = {
        "old_password": "correct horse battery",
        "new_password1": new,
        "new_password2": new,
    }
    client.post(reverse("profile-password"), values)
    session = BrowserSession.objects.get()
    assert (session.user, session.agent, session.address) == (owner.user, "Firefox", "192.0.2.7")
