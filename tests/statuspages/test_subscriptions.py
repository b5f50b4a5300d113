"""Subscribers: nobody is told before they confirmed, everybody concerned is told, at least once."""

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from alerts.channels.webhook import signature
from alerts.door import Door
from statuspages import subscription_views
from statuspages.actions import (
    add_component,
    add_post_update,
    delete_component,
    publish_post,
    update_page,
)
from statuspages.courier import Courier
from statuspages.models import Component, Mailing, StatusPage, Subscriber, SubscriberKind
from statuspages.subscriptions import (
    ASK_AGAIN_AFTER,
    MAILINGS_KEPT,
    UNCONFIRMED_KEPT,
    ask_to_confirm,
    forget_old,
    lease_mailings,
    settle_mailing,
)
from tests.servers.smtp import MailServer
from tests.servers.webhook import Receiver, Reply
from uptime.api.throttling import Budget
from uptime.clock import database_now

ADDRESS = "/status/acme/subscribe/"
INCIDENT = {"title": "Slow search", "phase": "investigating", "body": "We *look*."}


@pytest.fixture(autouse=True)
def _fresh_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription_views, "REQUESTS", Budget(6))


@pytest.fixture
def mail_server(settings: Settings) -> Iterator[MailServer]:
    settings.BASE_URL = "https://uptime.example"
    with MailServer() as server:
        for name, value in server.settings.items():
            setattr(settings, name, value)
        yield server


@pytest.fixture
def courier() -> Courier:
    return Courier(uuid4(), Door(reaches_private=True))


def subscribed(
    page: StatusPage, address: str = "ann@example.org", *components: Component
) -> Subscriber:
    """Somebody who confirmed; what was queued for that counts as sent."""
    kind = SubscriberKind.WEBHOOK if "://" in address else SubscriberKind.EMAIL
    chosen = [one.pk for one in components]
    subscriber = ask_to_confirm(page=page, kind=kind, address=address, components=chosen)
    Subscriber.objects.filter(pk=subscriber.pk).update(confirmed_at=database_now())
    subscriber.mailings.all().delete()
    return subscriber


def test_from_asking_over_confirming_to_one_click(
    page: StatusPage, courier: Courier, mail_server: MailServer
) -> None:
    answer = Client().post(ADDRESS, {"email": "Ann@Example.org"})
    assert "Look into your mailbox" in answer.content.decode()
    publish_post(page=page, values=INCIDENT)
    assert courier.step() == 1

    (asked,) = mail_server.mails
    link = re.search(r"https://uptime.example(/subscriptions/\S+)", asked.get_content())
    assert link is not None
    assert asked["Subject"] == "Confirm your subscription to Acme"
    assert "Confirm" in Client().get(link[1]).content.decode()
    assert Subscriber.objects.get().confirmed_at is None  # to look is not to confirm
    assert "You are subscribed" in Client().post(link[1], {"confirm": ""}).content.decode()

    publish_post(page=page, values=INCIDENT)
    courier.step()
    told = mail_server.mails[1]
    assert told["Subject"] == "[Acme] Slow search: Investigating"
    assert told["To"] == "ann@example.org"
    html = told.get_body(("html",))
    assert html is not None
    assert "<em>look</em>" in html.get_content()
    assert told["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    one_click = told["List-Unsubscribe"].strip(" <>").removeprefix("https://uptime.example")

    answer = Client().post(one_click, {"List-Unsubscribe": "One-Click"})

    assert answer.status_code == 200
    assert not Subscriber.objects.exists()
    publish_post(page=page, values=INCIDENT)
    assert courier.step() == 0
    assert Client().get(link[1]).status_code == 404


def test_the_links_are_of_the_pages_own_domain(
    page: StatusPage, courier: Courier, mail_server: MailServer, settings: Settings
) -> None:
    settings.IS_HTTPS = True
    update_page(page=page, values={"domain": "status.acme.example"})
    subscribed(page)
    publish_post(page=page, values=INCIDENT)
    courier.step()
    (told,) = mail_server.mails
    assert "https://status.acme.example/subscriptions/" in told["List-Unsubscribe"]
    assert "https://uptime.example/" not in told.as_string()


def test_whoever_asks_learns_nothing_of_others_and_nobody_is_flooded(page: StatusPage) -> None:
    subscribed(page)
    for _ in range(3):
        answer = Client().post(ADDRESS, {"email": "ann@example.org"})
        assert "Look into your mailbox" in answer.content.decode()
        Client().post(ADDRESS, {"email": "ben@example.org"})
    assert Mailing.objects.count() == 1
    assert Client().post(ADDRESS, {"email": "eve@example.org"}).status_code == 422  # too many

    Subscriber.objects.update(asked_at=database_now() - ASK_AGAIN_AFTER)
    ask_to_confirm(page=page, kind=SubscriberKind.EMAIL, address="ben@example.org")
    assert Mailing.objects.count() == 2


@pytest.mark.parametrize(
    ("given", "why"),
    [({"email": "ann"}, "Enter an e-mail address."), ({"webhook": "x"}, "Enter a full address")],
)
def test_what_is_no_address_is_refused(page: StatusPage, given: dict[str, str], why: str) -> None:
    answer = Client().post(ADDRESS, given)
    assert answer.status_code == 422
    assert why in answer.content.decode()


def test_they_are_told_of_the_components_that_they_chose(
    page: StatusPage, courier: Courier, mail_server: MailServer
) -> None:
    shop, search = (add_component(page=page, values={"name": name}) for name in ("Shop", "Search"))
    subscribed(page, "all@example.org")
    subscribed(page, "shop@example.org", shop)
    subscribed(page, "both@example.org", shop, search)
    affected = [{"component": search.pk, "impact": "degraded"}]

    publish_post(page=page, values={**INCIDENT, "affected": affected})
    courier.step()

    assert sorted(mail["To"] for mail in mail_server.mails) == [
        "all@example.org",
        "both@example.org",
    ]


def test_who_chose_a_component_that_is_gone_is_not_told_of_all_others(
    page: StatusPage, component: Component
) -> None:
    gone = add_component(page=page, values={"name": "Old shop"})
    subscribed(page, "ann@example.org", gone)
    delete_component(component=gone)
    affected = [{"component": component.pk, "impact": "degraded"}]
    publish_post(page=page, values={**INCIDENT, "affected": affected})
    assert not Mailing.objects.exists()


def test_choices_are_changed_by_the_link(page: StatusPage) -> None:
    shop, _ = (add_component(page=page, values={"name": name}) for name in ("Shop", "Search"))
    subscriber = subscribed(page)
    address = f"/subscriptions/{subscriber.token}/"
    Client().post(address, {"confirm": "", "component": [str(shop.pk), "junk", str(uuid4())]})
    assert list(subscriber.components.all()) == [shop]
    assert "checked" in Client().get(address).content.decode()


def test_an_update_can_be_kept_from_them(page: StatusPage) -> None:
    subscribed(page)
    post = publish_post(page=page, values={**INCIDENT, "notify": False})
    assert not Mailing.objects.exists()
    add_post_update(post=post, values={"phase": "resolved"})
    assert Mailing.objects.count() == 1


def test_the_message_speaks_the_pages_language(
    page: StatusPage, courier: Courier, mail_server: MailServer
) -> None:
    update_page(page=page, values={"language": "de"})
    subscribed(page)
    publish_post(page=page, values=INCIDENT)
    courier.step()
    assert mail_server.mails[0]["Subject"] == "[Acme] Slow search: Wird untersucht"


def test_a_webhook_confirms_first_and_gets_signed_documents(
    page: StatusPage, courier: Courier
) -> None:
    with Receiver() as receiver:
        Client().post(ADDRESS, {"webhook": receiver.url})
        courier.step()
        asked = receiver.requests[0].json()
        assert asked["event"] == "subscription.confirm"
        Client().post(asked["confirm_url"].removeprefix("http://localhost:8000"), {"confirm": ""})

        publish_post(page=page, values=INCIDENT)
        courier.step()

    request = receiver.requests[1]
    told = request.json()
    assert (told["event"], told["post"]["title"]) == ("post.update", "Slow search")
    sent_at = int(request.headers["X-Uptime-Signature"].split(",")[0].removeprefix("t="))
    secret = Subscriber.objects.get().secret
    assert request.headers["X-Uptime-Signature"] == signature(secret, request.body, sent_at)


def test_a_strangers_webhook_reaches_no_private_network(page: StatusPage) -> None:
    with Receiver() as receiver:
        subscribed(page, receiver.url)
        publish_post(page=page, values=INCIDENT)
        Courier(uuid4()).step()
        assert receiver.requests == []
    mailing = Mailing.objects.get()
    assert mailing.next_attempt_at is None
    assert "closed" in mailing.last_error


def test_what_is_not_taken_is_sent_again_under_the_same_id(
    page: StatusPage, courier: Courier
) -> None:
    with Receiver() as receiver:
        subscribed(page, receiver.url)
        publish_post(page=page, values=INCIDENT)
        receiver.will(Reply(503))
        courier.step()
        mailing = Mailing.objects.get()
        assert mailing.sent_at is None
        assert mailing.next_attempt_at is not None
        assert mailing.next_attempt_at > database_now()
        assert courier.step() == 0

        Mailing.objects.update(next_attempt_at=database_now())
        courier.step()

    first, second = (one.headers["X-Uptime-Event-Id"] for one in receiver.requests)
    assert first == second
    assert Mailing.objects.get().sent_at is not None


def test_a_receiver_that_is_gone_is_unsubscribed(page: StatusPage, courier: Courier) -> None:
    with Receiver() as receiver:
        subscribed(page, receiver.url)
        publish_post(page=page, values=INCIDENT)
        receiver.will(Reply(410))
        courier.step()
    assert not Subscriber.objects.exists()


def test_an_address_that_is_refused_for_good_is_not_tried_again(
    page: StatusPage, courier: Courier, mail_server: MailServer
) -> None:
    mail_server.refusals["ann@example.org"] = "550 no such user"
    subscribed(page)
    subscribed(page, "ben@example.org")
    publish_post(page=page, values=INCIDENT)
    courier.step()
    refused = Mailing.objects.get(subscriber__address="ann@example.org")
    assert (refused.next_attempt_at, refused.sent_at) == (None, None)
    assert "550" in refused.last_error
    assert [mail["To"] for mail in mail_server.mails] == ["ben@example.org"]


def test_a_message_whose_sender_died_is_sent_by_another(page: StatusPage) -> None:
    subscribed(page)
    publish_post(page=page, values=INCIDENT)
    now = database_now()
    (lost,) = lease_mailings(owner=uuid4(), now=now, limit=8)
    assert lease_mailings(owner=uuid4(), now=now, limit=8) == []
    (taken,) = lease_mailings(owner=uuid4(), now=now + timedelta(minutes=2), limit=8)
    assert not settle_mailing(lost, error="late")
    assert settle_mailing(taken)
    assert Mailing.objects.get().last_error == ""


@pytest.mark.django_db(transaction=True)
def test_two_couriers_never_take_the_same_message(page: StatusPage) -> None:
    for number in range(6):
        subscribed(page, f"reader{number}@example.org")
    publish_post(page=page, values=INCIDENT)
    now, taken, start = database_now(), [], threading.Barrier(2)

    def take() -> None:
        start.wait(10)
        for _ in range(3):
            taken.extend(lease_mailings(owner=uuid4(), now=now, limit=2))
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len({one.mailing.pk for one in taken}) == 6


def test_who_never_confirmed_and_what_was_sent_long_ago_is_forgotten(page: StatusPage) -> None:
    ask_to_confirm(page=page, kind=SubscriberKind.EMAIL, address="never@example.org")
    subscribed(page)
    publish_post(page=page, values=INCIDENT)
    now = database_now()
    Mailing.objects.update(next_attempt_at=None, sent_at=now)
    forget_old(now)
    assert (Subscriber.objects.count(), Mailing.objects.count()) == (2, 2)
    forget_old(now + UNCONFIRMED_KEPT + timedelta(minutes=1))
    assert [one.address for one in Subscriber.objects.all()] == ["ann@example.org"]
    forget_old(now + MAILINGS_KEPT + timedelta(minutes=1))
    assert not Mailing.objects.exists()


def test_a_page_with_a_password_takes_subscribers_who_know_it(page: StatusPage) -> None:
    update_page(page=page, values={"visibility": "password", "password": "open sesame"})
    client = Client()
    assert client.get(ADDRESS)["Location"] == "/status/acme/"
    client.post("/status/acme/", {"password": "open sesame"})
    assert client.get(ADDRESS).status_code == 200
