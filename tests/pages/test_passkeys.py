"""Passkeys: adding, naming and removing them, and what they open."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts.models import AuditEntry, Membership, Passkey, RecoveryCode
from accounts.passkeys import (
    COPIED,
    MOST_PER_USER,
    Refused,
    add_passkey,
    check_passkey,
    is_copied,
    passkey_in,
)
from accounts.two_factor import MAX_GUESSES, RECOVERY_CODES, has_second_factor
from tests.authenticator import Authenticator, encoded
from tests.factories import MembershipFactory
from tests.pages.conftest import signed_in
from tests.pages.test_sign_in import PASSWORD
from uptime.errors import Invalid

ADDRESS = "https://uptime.example.org"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def address(settings: Settings) -> None:
    settings.BASE_URL = ADDRESS


class Browser(Client):
    """A browser at the installation's address."""

    def __init__(self) -> None:
        super().__init__(headers={"host": "uptime.example.org"})


@pytest.fixture
def client(owner: Membership) -> Browser:
    browser = Browser()
    browser.force_login(owner.user)
    return browser


@pytest.fixture
def device() -> Authenticator:
    return Authenticator(ADDRESS)


@pytest.fixture
def passkey(client: Browser, device: Authenticator) -> Passkey:
    """The owner's; it is all that they have besides their password."""
    add(client, device)
    return Passkey.objects.get()


def asked_to_make(client: Client, password: str = PASSWORD) -> Any:
    """What the page's script is told to do."""
    answer = client.post(reverse("passkey-begin"), {"name": "Laptop", "password": password})
    return answer.json()


def add(client: Client, device: Authenticator, name: str = "Laptop") -> str:
    """The page that follows."""
    made = device.make(asked_to_make(client))
    return send(client, made, name)


def send(client: Client, answer: str, name: str = "Laptop") -> str:
    values = {"name": name, "passkey": answer}
    page: str = client.post(reverse("passkey-new"), values, follow=True).content.decode()
    return page


def codes_in(page: str) -> list[str]:
    return re.findall(r"\b(?:[a-z2-9]{5}-){2}[a-z2-9]{5}\b", page)


def asked_to_sign(client: Client) -> Any:
    return client.post(reverse("passkey-challenge")).json()


def halfway(membership: Membership) -> Browser:
    """A browser in which the password was given."""
    browser = Browser()
    values = {"username": membership.user.email, "password": PASSWORD, "next": "/incidents/"}
    browser.post(reverse("login"), values)
    return browser


def show(client: Client, answer: str) -> str:
    """Where the second step leads; empty when the passkey was refused."""
    return str(client.post(reverse("login-code"), {"passkey": answer}).get("Location", ""))


def show_alone(client: Client, answer: str) -> str:
    """Where a passkey without a password leads."""
    values = {"passkey": answer, "next": "/incidents/"}
    return str(client.post(reverse("login-passkey"), values)["Location"])


REFUSED_ALONE = f"{reverse('login')}?next=%2Fincidents%2F"


# -- adding ----------------------------------------------------------------------------------------


def test_a_first_passkey_turns_two_factor_sign_in_on_and_brings_recovery_codes(
    client: Browser, device: Authenticator, owner: Membership
) -> None:
    page = add(client, device)
    assert has_second_factor(owner.user)
    assert len(codes_in(page)) == RECOVERY_CODES

    assert not re.findall(
        r"\b(?:[a-z2-9]{5}-){2}[a-z2-9]{5}\b", add(client, Authenticator(ADDRESS))
    )
    assert RecoveryCode.objects.count() == RECOVERY_CODES


def test_a_wrong_password_adds_nothing(client: Browser) -> None:
    answer = client.post(reverse("passkey-begin"), {"name": "Laptop", "password": "wrong"})
    assert answer.status_code == 422
    assert "not your password" in answer.json()["error"]
    assert "took too long" in send(client, "{}")


def test_the_device_is_told_which_passkeys_it_has_already(
    client: Browser, passkey: Passkey, device: Authenticator
) -> None:
    known = asked_to_make(client)["excludeCredentials"]
    assert [one["id"] for one in known] == [encoded(device.credential_id)]
    assert "in use already" in send(client, device.make(asked_to_make(client)))


@pytest.mark.parametrize(
    "wrong", [{"origin": "https://evil.example.org"}, {"origin": ADDRESS, "rp_id": "example.org"}]
)
def test_a_passkey_of_another_site_is_not_taken(client: Browser, wrong: dict[str, str]) -> None:
    assert "not accepted" in add(client, Authenticator(**wrong))
    assert not Passkey.objects.exists()


def test_an_answer_is_taken_once_and_only_with_its_challenge(
    client: Browser, device: Authenticator
) -> None:
    earlier = device.make(asked_to_make(client))
    asked_to_make(client)
    assert "not accepted" in send(client, earlier)
    assert "took too long" in send(client, earlier)
    assert not Passkey.objects.exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"id": 1}', "x" * 1000, '{"id":"é"}'])
def test_nonsense_is_refused(
    client: Browser, passkey: Passkey, owner: Membership, text: str
) -> None:
    asked_to_make(client)
    assert "not accepted" in send(client, text)
    stranger = Browser()
    asked_to_sign(stranger)
    assert show_alone(stranger, text) == REFUSED_ALONE


def test_whatever_is_changed_in_an_answer_it_is_refused(
    client: Browser, passkey: Passkey, owner: Membership
) -> None:
    challenge = b"c" * 32
    asked = {
        "rp": {"id": "uptime.example.org"},
        "user": {"id": ""},
        "challenge": encoded(challenge),
    }
    made = Authenticator(ADDRESS).make(asked)
    for changed in spoiled(made):
        with pytest.raises(Invalid):
            add_passkey(user=owner.user, name="x", answer=changed, challenge=challenge)
    signed = Authenticator(ADDRESS, rp_id="uptime.example.org").sign(asked)
    for changed in spoiled(signed):
        with pytest.raises(Refused):
            check_passkey(passkey=passkey, answer=changed, challenge=challenge, alone=True)
        passkey_in(changed)  # raises nothing


def spoiled(answer: str) -> Iterator[str]:
    """The answer with one value after the other being nonsense; those that are judged."""
    whole = json.loads(answer)
    for values in (whole, whole["response"]):
        for key in set(values) - {"transports", "userHandle"}:
            for nonsense in (None, 5, "", "é", "!", "AAAA", [], {}, [[]]):
                kept, values[key] = values[key], nonsense
                yield json.dumps(whole)
                values[key] = kept


def test_there_is_a_limit(client: Browser, owner: Membership) -> None:
    for number in range(MOST_PER_USER):
        Passkey.objects.create(user=owner.user, name="x", credential_id=bytes([number]))
    assert "remove one first" in add(client, Authenticator(ADDRESS))


# -- signing in ------------------------------------------------------------------------------------


def test_after_the_password_the_passkey_is_the_second_step(
    owner: Membership, passkey: Passkey, device: Authenticator
) -> None:
    browser = halfway(owner)
    assert browser.get(reverse("home")).status_code == 302
    assert show(browser, device.sign(asked_to_sign(browser))) == "/incidents/"
    assert browser.get(reverse("home")).status_code == 200
    passkey.refresh_from_db()
    assert passkey.sign_count == 1
    assert passkey.last_used_at is not None


def test_a_passkey_alone_signs_in_without_the_password(
    owner: Membership, passkey: Passkey, device: Authenticator
) -> None:
    browser = Browser()
    asked = asked_to_sign(browser)
    assert asked["userVerification"] == "required"
    assert show_alone(browser, device.sign(asked)) == "/incidents/"
    assert browser.get(reverse("profile")).context["user"] == owner.user


def test_alone_it_has_to_verify_who_holds_it(
    owner: Membership, passkey: Passkey, device: Authenticator
) -> None:
    device.verifies = False
    stranger, browser = Browser(), halfway(owner)
    assert show_alone(stranger, device.sign(asked_to_sign(stranger))) == REFUSED_ALONE
    assert show(browser, device.sign(asked_to_sign(browser))) == "/incidents/"


def test_it_leads_to_no_other_site(passkey: Passkey, device: Authenticator) -> None:
    browser = Browser()
    values = {"passkey": device.sign(asked_to_sign(browser)), "next": "https://evil.example.org/"}
    assert browser.post(reverse("login-passkey"), values)["Location"] == reverse("home")


def test_an_answer_does_not_work_twice(passkey: Passkey, device: Authenticator) -> None:
    browser = Browser()
    answer = device.sign(asked_to_sign(browser))
    assert show_alone(browser, answer) == "/incidents/"
    browser.post(reverse("logout"))
    assert show_alone(browser, answer) == REFUSED_ALONE
    asked_to_sign(browser)
    assert show_alone(browser, answer) == REFUSED_ALONE


def test_somebody_elses_passkey_is_no_second_step(passkey: Passkey, device: Authenticator) -> None:
    other = MembershipFactory()
    client = Browser()
    client.force_login(other.user)
    add(client, Authenticator(ADDRESS))
    browser = halfway(other)
    assert show(browser, device.sign(asked_to_sign(browser))) == ""


def test_another_key_under_the_same_name_is_refused(
    passkey: Passkey, device: Authenticator
) -> None:
    forged = Authenticator(ADDRESS, rp_id="uptime.example.org", credential_id=device.credential_id)
    browser = Browser()
    assert show_alone(browser, forged.sign(asked_to_sign(browser))) == REFUSED_ALONE


def test_a_passkey_that_counts_backwards_is_refused_as_a_copy(
    owner: Membership, passkey: Passkey, device: Authenticator
) -> None:
    browser = halfway(owner)
    device.count = 41
    show(browser, device.sign(asked_to_sign(browser)))
    device.count = 7
    copied = halfway(owner)
    answer = copied.post(reverse("login-code"), {"passkey": device.sign(asked_to_sign(copied))})
    assert COPIED in answer.content.decode()
    passkey.refresh_from_db()
    assert passkey.sign_count == 42


@pytest.mark.parametrize(
    ("before", "now", "is_one"),
    [(0, 0, False), (0, 1, False), (5, 6, False), (5, 5, True), (5, 0, True)],
)
def test_a_count_that_does_not_go_up_is_a_copys(before: int, now: int, is_one: bool) -> None:
    assert is_copied(before=before, now=now) == is_one


def test_a_passkey_that_never_counts_goes_on_working(
    owner: Membership, passkey: Passkey, device: Authenticator
) -> None:
    device.counts = False
    for _ in range(2):
        browser = halfway(owner)
        assert show(browser, device.sign(asked_to_sign(browser))) == "/incidents/"


def test_tries_are_limited_as_those_of_codes(
    owner: Membership, passkey: Passkey, device: Authenticator
) -> None:
    browser = halfway(owner)
    for _ in range(MAX_GUESSES):
        show(browser, "{}")
    answer = browser.post(reverse("login-code"), {"passkey": device.sign(asked_to_sign(browser))})
    assert "Too many tries" in answer.content.decode()
    stranger = Browser()
    assert show_alone(stranger, device.sign(asked_to_sign(stranger))) == REFUSED_ALONE


def test_who_may_not_sign_in_any_more_may_not_by_passkey(
    owner: Membership, passkey: Passkey, device: Authenticator
) -> None:
    owner.user.is_active = False
    owner.user.save()
    browser = Browser()
    assert show_alone(browser, device.sign(asked_to_sign(browser))) == REFUSED_ALONE


def test_a_recovery_code_stands_in_for_a_lost_passkey(
    client: Browser, device: Authenticator, owner: Membership
) -> None:
    code = codes_in(add(client, device))[0]
    answer = halfway(owner).post(reverse("login-code"), {"code": code})
    assert answer["Location"] == "/incidents/"
    assert AuditEntry.objects.filter(action="recovery_code.used", who=owner.user.email).exists()


def test_a_passkey_is_what_a_team_asks_for(
    client: Browser, device: Authenticator, owner: Membership
) -> None:
    owner.team.requires_second_factor = True
    owner.team.save()
    assert client.get(reverse("home")).status_code == 403
    add(client, device)
    assert client.get(reverse("home")).status_code == 200


# -- keeping ---------------------------------------------------------------------------------------


def test_it_is_renamed(client: Browser, passkey: Passkey) -> None:
    client.post(reverse("passkey-rename", args=[passkey.pk]), {"name": "Key ring"})
    assert "Key ring" in client.get(reverse("two-factor")).content.decode()


def test_a_browser_that_was_left_open_is_not_enough_to_remove_it(
    client: Browser, passkey: Passkey, device: Authenticator, owner: Membership
) -> None:
    address = reverse("passkey-remove", args=[passkey.pk])
    assert client.post(address, {"code": "123456"}).status_code == 422
    assert Passkey.objects.exists()

    client.post(address, {"passkey": device.sign(asked_to_sign(client))})
    assert not Passkey.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert not has_second_factor(owner.user)


def test_nobody_touches_somebody_elses(passkey: Passkey) -> None:
    stranger = signed_in(MembershipFactory())
    for name in ("passkey", "passkey-rename", "passkey-remove"):
        address = reverse(name, args=[passkey.pk])
        answer = stranger.get(address) if name == "passkey" else stranger.post(address)
        assert answer.status_code == 404


def test_adding_and_removing_are_in_the_trail_of_each_team(
    client: Browser, passkey: Passkey, device: Authenticator, owner: Membership
) -> None:
    other = MembershipFactory(user=owner.user)
    address = reverse("passkey-remove", args=[passkey.pk])
    client.post(address, {"passkey": device.sign(asked_to_sign(client))})
    trail = set(AuditEntry.objects.values_list("team", "action", "object_name"))
    assert (owner.team_id, "passkey.added", "Laptop") in trail
    assert (other.team_id, "passkey.removed", "Laptop") in trail


# -- where there are none --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "host", "reason"),
    [
        ("https://uptime.example.org", "uptime.example.org", ""),
        ("https://uptime.example.org:8443", "uptime.example.org:8443", ""),
        ("http://localhost:8000", "localhost:8000", ""),
        ("http://localhost:8000", "127.0.0.1:8000", "open this page there"),
        ("https://uptime.example.org", "status.example.org", "open this page there"),
        ("http://uptime.example.org", "uptime.example.org", "HTTPS only"),
        ("https://192.0.2.1", "192.0.2.1", "is an address"),
        ("https://[2001:db8::1]", "[2001:db8::1]", "is an address"),
    ],
)
def test_where_browsers_offer_none_the_page_says_why(
    client: Browser, settings: Settings, base: str, host: str, reason: str
) -> None:
    settings.BASE_URL = base
    page = client.get(reverse("two-factor"), headers={"host": host}).content.decode()
    answer = client.post(reverse("passkey-challenge"), headers={"host": host})
    assert answer.status_code == (409 if reason else 200)
    assert ('data-passkey="make"' in page) == (not reason)
    if reason:
        assert reason in page
        assert reason in answer.json()["error"]


def test_the_script_is_told_in_json_what_a_browser_understands(client: Browser) -> None:
    asked = asked_to_make(client)
    assert asked["rp"] == {"name": "Uptime", "id": "uptime.example.org"}
    assert json.loads(json.dumps(asked)) == asked
