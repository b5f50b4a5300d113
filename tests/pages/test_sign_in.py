"""Signing in and out, forgotten passwords, and the limit on guesses."""

import re
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts import forms
from accounts.models import Membership
from accounts.throttling import MAX_TRIES, WINDOW
from tests.factories import MembershipFactory

PASSWORD = "correct horse battery"

pytestmark = pytest.mark.django_db


@pytest.fixture
def member() -> Membership:
    return MembershipFactory(user__email="ada@example.org")


def sign_in(client: Client, password: str, email: str = "ada@example.org", **extra: str) -> str:
    answer = client.post(reverse("login"), {"username": email, "password": password}, **extra)
    return "" if answer.status_code == 302 else answer.content.decode()


def test_the_right_password_leads_home_and_sign_out_back(member: Membership) -> None:
    client = Client()
    assert sign_in(client, PASSWORD) == ""
    assert client.get(reverse("home")).status_code == 200
    client.post(reverse("logout"))
    assert client.get(reverse("home")).status_code == 302


def test_the_e_mail_is_taken_in_any_case(member: Membership) -> None:
    assert sign_in(Client(), PASSWORD, "ADA@Example.org") == ""


def test_a_wrong_password_says_so_without_saying_which_is_wrong(member: Membership) -> None:
    known = sign_in(Client(), "wrong")
    unknown = sign_in(Client(), "wrong", "nobody@example.org")
    for page in (known, unknown):
        assert "fit together" in page


def test_after_ten_wrong_passwords_even_the_right_one_waits(member: Membership) -> None:
    client = Client()
    for _ in range(MAX_TRIES):
        assert "fit together" in sign_in(client, "wrong")
    assert "Too many tries" in sign_in(client, PASSWORD)


def test_another_address_and_another_e_mail_are_not_held_up(member: Membership) -> None:
    MembershipFactory(user__email="bob@example.org")
    for _ in range(MAX_TRIES + 1):
        sign_in(Client(), "wrong")
    assert sign_in(Client(), PASSWORD, "bob@example.org") == ""
    assert sign_in(Client(), PASSWORD, REMOTE_ADDR="192.0.2.7") == ""


def test_the_wait_ends_and_refused_tries_do_not_lengthen_it(
    member: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = timezone.now()
    clock = Clock(start)
    monkeypatch.setattr(forms, "timezone", clock)
    for _ in range(MAX_TRIES):
        sign_in(Client(), "wrong")
    clock.at = start + WINDOW - timedelta(seconds=1)
    assert "Too many tries" in sign_in(Client(), PASSWORD)
    clock.at = start + WINDOW
    assert sign_in(Client(), PASSWORD) == ""


def test_a_right_password_starts_the_count_anew(member: Membership) -> None:
    for _ in range(MAX_TRIES - 1):
        sign_in(Client(), "wrong")
    assert sign_in(Client(), PASSWORD) == ""
    for _ in range(MAX_TRIES):
        assert "fit together" in sign_in(Client(), "wrong")


def test_a_forgotten_password_is_set_by_mail(member: Membership, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    client = Client(headers={"Host": "evil.example.com"})
    client.post(reverse("password_reset"), {"email": "ada@example.org"})
    [sent] = mail.outbox
    # the link is of this installation, whatever Host the request named
    assert "evil" not in sent.body
    link = re.search(rf"{re.escape(settings.BASE_URL)}(/password-reset/\S+)", sent.body)
    assert link

    form = client.get(link[1], follow=True)
    new = "another long phrase"
    client.post(
        form.redirect_chain[-1][0], {"new_password1": new, "new_password2": new}, follow=True
    )

    assert sign_in(Client(), new) == ""
    assert "used up" in Client().get(link[1], follow=True).content.decode()


def test_an_unknown_address_gets_the_same_answer_and_no_mail(member: Membership) -> None:
    answer = Client().post(reverse("password_reset"), {"email": "x@example.org"}, follow=True)
    assert "Look into your mail" in answer.content.decode()
    assert mail.outbox == []


class Clock:
    """Stands in for django.utils.timezone."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


def test_a_few_mails_are_sent_whoever_asks_for_them(member: Membership) -> None:
    for _ in range(forms.MOST_RESETS + 2):
        answer = Client().post(reverse("password_reset"), {"email": "Ada@example.org"}, follow=True)
        assert "If there is an account" in answer.content.decode()
    assert len(mail.outbox) == forms.MOST_RESETS


def test_a_password_that_is_set_by_mail_signs_out_everywhere(member: Membership) -> None:
    elsewhere = Client()
    sign_in(elsewhere, PASSWORD)
    Client().post(reverse("password_reset"), {"email": "ada@example.org"})
    link = re.search(r"http://\S+", str(mail.outbox[0].body))
    assert link is not None
    client = Client()
    form = client.get(urlsplit(link[0]).path, follow=True).redirect_chain[-1][0]
    client.post(form, {"new_password1": "another horse", "new_password2": "another horse"})
    assert not member.user.sessions.exists()
    assert elsewhere.get(reverse("home")).status_code == 302
