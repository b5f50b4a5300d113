"""The second step of signing in: codes of an app, recovery codes, and who must have them."""

import re
from datetime import datetime, timedelta

import pyotp
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import two_factor, two_factor_views
from accounts.models import Membership, RecoveryCode, Role, SecondFactor, User
from accounts.two_factor import MAX_GUESSES, begin_setup, confirm_setup, secret_of
from tests.factories import MembershipFactory
from tests.pages.conftest import signed_in
from tests.pages.test_sign_in import PASSWORD, Clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time by which codes are judged."""
    clock = Clock(timezone.now())
    monkeypatch.setattr(two_factor, "database_now", clock.now)
    return clock


def code_at(user: User, at: datetime) -> str:
    return pyotp.TOTP(secret_of(SecondFactor.objects.get(user=user))).at(at)


@pytest.fixture
def codes(owner: Membership, clock: Clock) -> list[str]:
    """The owner has two-factor sign-in; these are their recovery codes."""
    return protect(owner.user, clock)


def protect(user: User, clock: Clock) -> list[str]:
    begin_setup(user=user)
    made = confirm_setup(user=user, code=code_at(user, clock.at))
    clock.at += timedelta(minutes=1)
    return made


def give_password(user: User, asked_for: str = "/") -> Client:
    client = Client()
    values = {"username": user.email, "password": PASSWORD, "next": asked_for}
    client.post(reverse("login"), values)
    return client


def give_code(client: Client, code: str) -> str:
    """Where it leads; empty when the code was refused."""
    answer = client.post(reverse("login-code"), {"code": code})
    return str(answer.get("Location", ""))


# -- setting up ------------------------------------------------------------------------------------


def test_it_is_set_up_with_a_picture_or_by_hand_and_shows_recovery_codes_once(
    client: Client, owner: Membership, clock: Clock
) -> None:
    page = client.post(
        reverse("two-factor-begin"), {"password": PASSWORD}, follow=True
    ).content.decode()
    assert "<svg" in page
    assert "style=" not in page
    assert secret_of(SecondFactor.objects.get()) in page

    code = code_at(owner.user, clock.at)
    page = client.post(reverse("two-factor-confirm"), {"code": code}, follow=True).content.decode()

    shown = re.findall(r"\b(?:[a-z2-9]{5}-){2}[a-z2-9]{5}\b", page)
    assert len(shown) == two_factor.RECOVERY_CODES
    again = client.get(reverse("two-factor")).content.decode()
    assert not [code for code in shown if code in again]
    assert secret_of(SecondFactor.objects.get()) not in again


def test_without_the_right_code_it_is_not_on(client: Client, owner: Membership) -> None:
    client.post(reverse("two-factor-begin"), {"password": PASSWORD})
    answer = client.post(reverse("two-factor-confirm"), {"code": "000000x"})
    assert answer.status_code == 422
    assert signed_in_by_password(owner.user)


def test_a_browser_that_was_left_open_sets_up_no_app(client: Client, owner: Membership) -> None:
    for given in ({}, {"password": "wrong"}):
        assert client.post(reverse("two-factor-begin"), given).status_code == 422
    assert not SecondFactor.objects.exists()


def test_the_secret_is_encrypted_and_recovery_codes_are_hashed(codes: list[str]) -> None:
    factor = SecondFactor.objects.get()
    assert secret_of(factor) not in factor.secret
    stored = set(RecoveryCode.objects.values_list("digest", flat=True))
    assert not stored & set(codes)


def signed_in_by_password(user: User) -> bool:
    return give_password(user).get(reverse("home")).status_code == 200


# -- signing in ------------------------------------------------------------------------------------


def test_the_password_alone_opens_nothing(owner: Membership, codes: list[str]) -> None:
    client = give_password(owner.user)
    for address in (reverse("home"), reverse("profile"), "/admin/", "/api/v1/docs/"):
        answer = client.get(address)
        assert answer.status_code == 200 or "/login/" in answer["Location"]
    assert client.get("/api/v1/monitors/").status_code == 401
    assert client.get(reverse("home")).status_code == 302


def test_password_and_code_lead_to_what_was_asked_for(
    owner: Membership, codes: list[str], clock: Clock
) -> None:
    client = give_password(owner.user, asked_for=reverse("incidents"))
    assert give_code(client, code_at(owner.user, clock.at)) == reverse("incidents")
    assert client.get(reverse("incidents")).status_code == 200


def test_the_admin_asks_for_it_too(codes: list[str], owner: Membership, clock: Clock) -> None:
    User.objects.update(is_staff=True, is_superuser=True)
    client = give_password(owner.user, asked_for="/admin/")
    assert client.get("/admin/").status_code == 302
    assert give_code(client, code_at(owner.user, clock.at)) == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_a_code_works_once(owner: Membership, codes: list[str], clock: Clock) -> None:
    code = code_at(owner.user, clock.at)
    assert give_code(give_password(owner.user), code)
    assert not give_code(give_password(owner.user), code)


@pytest.mark.parametrize(("seconds", "is_right"), [(-30, True), (30, True), (-60, False)])
def test_a_phone_may_be_half_a_minute_off(
    owner: Membership, codes: list[str], clock: Clock, seconds: int, is_right: bool
) -> None:
    clock.at += timedelta(minutes=5)
    code = code_at(owner.user, clock.at + timedelta(seconds=seconds))
    assert bool(give_code(give_password(owner.user), code)) is is_right


def test_a_recovery_code_works_once_however_it_is_typed(
    owner: Membership, codes: list[str]
) -> None:
    typed = codes[0].upper().replace("-", " ")
    assert give_code(give_password(owner.user), typed)
    assert not give_code(give_password(owner.user), codes[0])
    assert give_code(give_password(owner.user), codes[1])


def test_guesses_are_limited_from_whatever_address(
    owner: Membership, codes: list[str], clock: Clock
) -> None:
    for _ in range(MAX_GUESSES):
        assert not give_code(give_password(owner.user), "000000x")
    client = give_password(owner.user)
    right = {"code": code_at(owner.user, clock.at)}
    answer = client.post(reverse("login-code"), right, REMOTE_ADDR="192.0.2.7")
    assert "Too many tries" in answer.content.decode()


def test_the_second_step_waits_ten_minutes_and_no_longer(
    owner: Membership, codes: list[str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = give_password(owner.user)
    monkeypatch.setattr(
        two_factor_views, "timezone", Clock(timezone.now() + two_factor_views.HALFWAY_FOR * 1.01)
    )
    assert give_code(client, code_at(owner.user, clock.at)) == reverse("login")
    assert client.get(reverse("home")).status_code == 302


def test_a_new_password_ends_what_was_half_way(
    owner: Membership, codes: list[str], clock: Clock
) -> None:
    client = give_password(owner.user)
    owner.user.set_password("another long phrase")
    owner.user.save()
    assert give_code(client, code_at(owner.user, clock.at)) == reverse("login")


def test_nobody_reaches_the_second_step_without_the_first(codes: list[str]) -> None:
    assert give_code(Client(), codes[0]) == reverse("login")


# -- ending ----------------------------------------------------------------------------------------


def test_it_is_turned_off_with_a_code_and_not_without(
    client: Client, owner: Membership, codes: list[str]
) -> None:
    assert client.post(reverse("two-factor-end"), {"code": "1"}).status_code == 422
    client.post(reverse("two-factor-end"), {"code": codes[0]})
    assert signed_in_by_password(owner.user)


def test_new_recovery_codes_end_the_old(
    client: Client, owner: Membership, codes: list[str]
) -> None:
    client.post(reverse("two-factor-codes"), {"code": codes[0]})
    assert not give_code(give_password(owner.user), codes[1])


# -- teams that require it -------------------------------------------------------------------------


def test_a_team_that_requires_it_is_closed_to_members_without(
    client: Client, owner: Membership, codes: list[str], clock: Clock
) -> None:
    other = MembershipFactory(team=owner.team, role=Role.EDITOR)
    theirs = signed_in(other)
    client.post(reverse("team-two-factor"), {"required": "on"})
    page = theirs.get(reverse("home"))
    assert page.status_code == 403
    assert "two-factor" in page.content.decode()
    assert theirs.get("/api/v1/monitors/").status_code == 403
    assert theirs.get(reverse("two-factor")).status_code == 200

    protect(other.user, clock)

    assert theirs.get(reverse("home")).status_code == 200
    assert theirs.get("/api/v1/monitors/").status_code == 200


def test_nobody_requires_of_others_what_they_lack(client: Client, owner: Membership) -> None:
    client.post(reverse("team-two-factor"), {"required": "on"})
    owner.team.refresh_from_db()
    assert not owner.team.requires_second_factor
