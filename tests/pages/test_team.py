"""Who is in a team: roles, removal, invitations by e-mail."""

import re
from datetime import timedelta
from threading import Thread

import pytest
from django.core import mail
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts.actions import LAST_OWNER, remove_member
from accounts.invitations import MOST_OF_A_TEAM, MOST_TO_AN_ADDRESS
from accounts.models import ApiToken, Invitation, Membership, Role, Scope, Team, User
from accounts.tokens import issue_token
from tests.factories import MembershipFactory, UserFactory
from tests.locks import wait_for_a_waiter
from tests.pages.conftest import signed_in
from uptime.errors import Conflict

NEW = {"name": "Grace", "password": "another long phrase"}

pytestmark = pytest.mark.django_db


def roles(team: Team) -> dict[str, str]:
    return dict(team.memberships.values_list("user__email", "role"))


def invite(client: Client, email: str = "grace@example.org", role: str = "editor") -> str:
    """The path of the link that the mail brought."""
    answer = client.post(reverse("invitation-new"), {"email": email, "role": role})
    assert answer.status_code == 302, answer.content.decode()
    return link_in(mail.outbox[-1].body)


def link_in(text: str) -> str:
    found = re.search(r"/invitations/[\w-]{40,}/", text)
    assert found
    return found[0]


# -- members ---------------------------------------------------------------------------------------


def test_the_page_shows_members_to_all_and_changes_to_owners(
    client: Client, viewer_client: Client, owner: Membership
) -> None:
    for browser in (client, viewer_client):
        assert owner.user.email in browser.get(reverse("team")).content.decode()
    assert reverse("invitation-new") in client.get(reverse("team")).content.decode()
    assert reverse("invitation-new") not in viewer_client.get(reverse("team")).content.decode()


def test_a_role_is_changed_and_counts_at_once(client: Client, team: Team) -> None:
    other = MembershipFactory(team=team, role=Role.VIEWER)
    theirs = signed_in(other)
    assert theirs.get(reverse("monitor-new")).status_code == 403
    client.post(reverse("member-role", args=[other.pk]), {"role": "editor"})
    assert theirs.get(reverse("monitor-new")).status_code == 200


def test_a_role_that_does_not_exist_changes_nothing(client: Client, owner: Membership) -> None:
    client.post(reverse("member-role", args=[owner.pk]), {"role": "king"})
    assert roles(owner.team) == {owner.user.email: "owner"}


@pytest.mark.parametrize("way", ["role", "remove", "leave"])
def test_the_last_owner_stays(client: Client, owner: Membership, way: str) -> None:
    MembershipFactory(team=owner.team, role=Role.EDITOR)
    MembershipFactory(team=owner.team, user__is_active=False)
    addresses = {
        "role": reverse("member-role", args=[owner.pk]),
        "remove": reverse("member-remove", args=[owner.pk]),
        "leave": reverse("team-leave"),
    }
    answer = client.post(addresses[way], {"role": "viewer"}, follow=True)
    assert LAST_OWNER in answer.content.decode()
    owner.refresh_from_db()
    assert owner.role == Role.OWNER


def test_an_owner_leaves_once_there_is_another(client: Client, owner: Membership) -> None:
    other = MembershipFactory(team=owner.team)
    assert client.get(reverse("team-leave")).status_code == 200
    client.post(reverse("team-leave"))
    assert roles(owner.team) == {other.user.email: "owner"}
    assert client.get(reverse("team")).status_code == 403


def test_who_is_removed_sees_nothing_any_more_and_their_tokens_end(
    client: Client, team: Team
) -> None:
    other = MembershipFactory(team=team, role=Role.EDITOR)
    issue_token(user=other.user, team=team, scope=Scope.WRITE)
    theirs = signed_in(other)
    page = reverse("member-remove", args=[other.pk])
    assert other.user.email in client.get(page).content.decode()
    client.post(page)
    assert theirs.get(reverse("home")).status_code == 403
    assert not ApiToken.objects.exists()
    assert User.objects.filter(pk=other.user_id).exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_owners_who_leave_at_the_same_moment_one_stays() -> None:
    first = MembershipFactory()
    second = MembershipFactory(team=first.team)
    refused: list[Conflict] = []

    def leave() -> None:
        try:
            remove_member(member=second)
        except Conflict as conflict:
            refused.append(conflict)
        finally:
            connection.close()

    other = Thread(target=leave)
    with transaction.atomic():
        remove_member(member=first)
        other.start()
        wait_for_a_waiter()
    other.join()
    assert len(refused) == 1
    assert list(roles(second.team)) == [second.user.email]


def test_the_team_is_renamed(client: Client, team: Team) -> None:
    client.post(reverse("team-name"), {"name": " Platform "})
    team.refresh_from_db()
    assert team.name == "Platform"
    assert client.post(reverse("team-name"), {"name": " "}).status_code == 422


def test_somebody_in_no_team_makes_one_and_owns_it() -> None:
    user = UserFactory()
    client = Client()
    client.force_login(user)
    answer = client.post(reverse("team-new"), {"name": "Mine"}, follow=True)
    assert "You act for it now" in answer.content.decode()
    assert roles(Team.objects.get(name="Mine")) == {user.email: "owner"}


# -- invitations -----------------------------------------------------------------------------------


def test_an_invitation_brings_somebody_new_into_the_team(
    client: Client, team: Team, settings: Settings
) -> None:
    path = invite(client, "Grace@Example.org")
    assert mail.outbox[0].to == ["grace@example.org"]
    assert settings.BASE_URL + path in mail.outbox[0].body
    guest = Client()
    assert team.name in guest.get(path).content.decode()

    answer = guest.post(path, NEW, follow=True)

    assert f"Welcome to {team.name}" in answer.content.decode()
    assert roles(team)["grace@example.org"] == "editor"
    assert User.objects.get(email="grace@example.org").check_password(NEW["password"])


def test_an_invitation_works_once(client: Client) -> None:
    path = invite(client)
    Client().post(path, NEW)
    again = Client().get(path)
    assert again.status_code == 404
    assert "has ended" in again.content.decode()
    assert Client().post(path, NEW).status_code == 404


def test_a_weak_password_is_refused_and_uses_nothing_up(client: Client) -> None:
    path = invite(client)
    answer = Client().post(path, {**NEW, "password": "12345678"})
    assert answer.status_code == 422
    assert not User.objects.filter(email="grace@example.org").exists()
    assert Client().post(path, NEW).status_code == 302


def test_an_account_that_is_there_signs_in_and_joins(client: Client, team: Team) -> None:
    grace = UserFactory(email="grace@example.org")
    path = invite(client, role="viewer")
    theirs = Client()
    page = theirs.get(path).content.decode()
    assert f"/login/?next={path}" in page
    # no second account for the address, nor a new password for the one that is there
    theirs.post(path, NEW)
    grace.refresh_from_db()
    assert not grace.check_password(NEW["password"])
    assert "grace@example.org" not in roles(team)

    theirs.force_login(grace)
    theirs.post(path)
    assert roles(team)["grace@example.org"] == "viewer"
    assert theirs.get(reverse("team")).context["request"].team == team


def test_an_account_of_another_address_cant_accept_it(client: Client, team: Team) -> None:
    path = invite(client)
    stranger = signed_in(MembershipFactory(user__email="eve@example.org"))
    assert "signed in as eve@example.org" in stranger.get(path).content.decode()
    stranger.post(path)
    assert "eve@example.org" not in roles(team)
    assert Invitation.objects.exists()


def test_the_link_ends_after_its_days(client: Client) -> None:
    path = invite(client)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert Client().post(path, NEW).status_code == 404
    assert "expired" in client.get(reverse("team")).content.decode()


def test_sent_again_the_new_link_works_and_the_old_one_does_not(client: Client) -> None:
    old = invite(client)
    client.post(reverse("invitation-resend", args=[Invitation.objects.get().pk]))
    new = link_in(mail.outbox[-1].body)
    assert len(mail.outbox) == 2
    assert Client().get(old).status_code == 404
    assert Client().post(new, NEW).status_code == 302


def test_taken_back_it_ends(client: Client) -> None:
    path = invite(client)
    client.post(reverse("invitation-revoke", args=[Invitation.objects.get().pk]))
    assert Client().get(path).status_code == 404


def test_a_member_is_not_invited_again(client: Client, owner: Membership) -> None:
    values = {"email": owner.user.email.upper(), "role": "viewer"}
    answer = client.post(reverse("invitation-new"), values)
    assert answer.status_code == 422
    assert "in the team already" in answer.content.decode()


def test_only_the_hash_of_a_token_is_stored(client: Client) -> None:
    token = invite(client).split("/")[2]
    assert token not in str(Invitation.objects.values().get())


def test_one_address_is_not_flooded_with_mail(client: Client) -> None:
    for _ in range(MOST_TO_AN_ADDRESS):
        invite(client)
    elsewhere = signed_in(MembershipFactory())
    values = {"email": "grace@example.org", "role": "viewer"}
    answer = elsewhere.post(reverse("invitation-new"), values)
    assert "a lot of invitations" in answer.content.decode()
    assert len(mail.outbox) == MOST_TO_AN_ADDRESS


def test_one_team_sends_a_limited_number_of_mails(client: Client) -> None:
    for number in range(MOST_OF_A_TEAM):
        invite(client, f"g{number}@example.org")
    values = {"email": "grace@example.org", "role": "viewer"}
    assert client.post(reverse("invitation-new"), values).status_code == 422
    assert len(mail.outbox) == MOST_OF_A_TEAM


@pytest.mark.parametrize("how", ["no mail server", "mail to the terminal"])
def test_where_no_mail_leaves_the_link_is_shown_once(
    client: Client, settings: Settings, how: str
) -> None:
    if how == "no mail server":
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    else:
        settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    values = {"email": "grace@example.org", "role": "viewer"}
    page = client.post(reverse("invitation-new"), values, follow=True).content.decode()
    assert Client().get(link_in(page)).status_code == 200
    assert "/invitations/" not in client.get(reverse("team")).content.decode().replace(
        "/team/invitations/", ""
    )
