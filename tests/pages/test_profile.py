"""A user's own page: name, password, tokens."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import ApiToken, Membership, Role, Scope
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
