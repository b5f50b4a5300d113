"""Pages with a password: who knows it comes in, everybody else learns the page's name."""

import base64

import pytest
from django.test import Client

from statuspages import public_views
from statuspages.actions import update_page
from statuspages.models import StatusPage
from statuspages.publishing import publish_page
from uptime.api.throttling import Budget
from uptime.clock import database_now

ADDRESS = "/status/acme/"


@pytest.fixture(autouse=True)
def _fresh_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_views, "TRIES", Budget(10))


@pytest.fixture
def gated(page: StatusPage) -> StatusPage:
    return update_page(page=page, values={"visibility": "password", "password": "open sesame"})


def test_a_stranger_sees_a_door(gated: StatusPage) -> None:
    answer = Client().get(ADDRESS)
    assert answer.status_code == 200
    assert 'type="password"' in answer.content.decode()
    assert "components" not in answer.content.decode()
    assert answer["Cache-Control"] == "no-store"
    for rest in (".json", ".rss", ".ics", "/badge.svg", "/embed/"):
        assert Client().get(f"/status/acme{rest}").status_code == 401


def test_a_link_to_its_history_leads_to_the_same_door(gated: StatusPage) -> None:
    client = Client()
    history = f"{ADDRESS}history/"
    assert 'type="password"' in client.get(history).content.decode()
    answer = client.post(history, {"password": "open sesame"})
    assert answer.headers["Location"] == history
    assert "History" in client.get(history).content.decode()


def test_the_password_opens_it_and_is_remembered(gated: StatusPage) -> None:
    client = Client()
    assert client.post(ADDRESS, {"password": "open sesame"}).status_code == 302
    assert "Past incidents" in client.get(ADDRESS).content.decode()
    assert client.get("/status/acme.json").status_code == 200
    assert client.get(ADDRESS)["Cache-Control"].startswith("private")


def test_another_password_does_not(gated: StatusPage) -> None:
    client = Client()
    answer = client.post(ADDRESS, {"password": "open barley"})
    assert answer.status_code == 403
    assert "This is not the password." in answer.content.decode()
    assert 'type="password"' in client.get(ADDRESS).content.decode()


def test_after_a_new_password_the_old_one_opens_nothing_even_if_remembered(
    gated: StatusPage,
) -> None:
    client = Client()
    client.post(ADDRESS, {"password": "open sesame"})
    publish_page(update_page(page=gated, values={"password": "open barley"}), database_now())
    assert 'type="password"' in client.get(ADDRESS).content.decode()


def test_tries_are_few(gated: StatusPage) -> None:
    client = Client()
    statuses = [client.post(ADDRESS, {"password": "x"}).status_code for _ in range(11)]
    assert statuses == [403] * 10 + [429]
    assert client.post(ADDRESS, {"password": "open sesame"}).status_code == 429


def test_a_feed_reader_sends_it_with_each_request(gated: StatusPage) -> None:
    def basic(password: str) -> dict[str, str]:
        return {"Authorization": f"Basic {base64.b64encode(f'me:{password}'.encode()).decode()}"}

    assert Client().get("/status/acme.rss", headers=basic("open sesame")).status_code == 200
    assert Client().get("/status/acme.rss", headers=basic("x")).status_code == 401
    assert Client().get("/status/acme.rss", headers={"Authorization": "Basic ~"}).status_code == 401


def test_no_database_is_asked_once_it_is_published(gated: StatusPage) -> None:
    client = Client()
    client.get(ADDRESS)
    StatusPage.objects.all().delete()
    assert client.post(ADDRESS, {"password": "open sesame"}).status_code == 302
    assert "Past incidents" in client.get(ADDRESS).content.decode()
