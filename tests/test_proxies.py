"""Whose word counts about where a request comes from."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, Client, RequestFactory

from uptime.api.throttling import Budget
from uptime.environment import trusted_proxies
from uptime.proxies import decide_client, trust_proxies

LOOPBACK = [ip_network("127.0.0.1/32"), ip_network("::1/128")]
OURS = [*LOOPBACK, ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        pytest.param("127.0.0.1", "", "127.0.0.1", id="a proxy that says nothing"),
        pytest.param("127.0.0.1", "192.0.2.7", "192.0.2.7", id="one proxy"),
        pytest.param("10.0.0.1", "192.0.2.7, 10.9.9.9", "192.0.2.7", id="two proxies"),
        pytest.param("10.0.0.1", "203.0.113.1, 192.0.2.7", "192.0.2.7", id="a client that lies"),
        pytest.param("192.0.2.7", "203.0.113.1", "192.0.2.7", id="a stranger"),
        pytest.param("10.0.0.1", "10.0.0.2,10.0.0.3", "10.0.0.2", id="a client of our own network"),
        pytest.param("10.0.0.1", "192.0.2.7, unknown", "10.0.0.1", id="a word that is no address"),
        pytest.param("::1", "2001:db8::1, 2001:db8::2", "2001:db8::1", id="IPv6"),
        pytest.param("::1", "::ffff:192.0.2.7", "192.0.2.7", id="IPv4 in IPv6's clothes"),
    ],
)
def test_the_client_is_the_nearest_that_is_no_proxy_of_ours(
    peer: str, forwarded_for: str, client: str
) -> None:
    assert str(decide_client(ip_address(peer), forwarded_for, OURS)) == client


def seen(request: HttpRequest) -> HttpResponse:
    """Answers with what the views behind the middleware see."""
    return HttpResponse(f"{request.META.get('REMOTE_ADDR')} {request.scheme}")


@pytest.fixture
def see(settings: Any) -> Callable[..., str]:
    def see(peer: str, trusted: Any = LOOPBACK) -> str:
        settings.TRUSTED_PROXIES = trusted
        request = RequestFactory().get(
            "/",
            REMOTE_ADDR=peer,
            headers={"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"},
        )
        return str(trust_proxies(seen)(request).content.decode())

    return see


def test_a_trusted_proxy_tells_address_and_scheme(see: Callable[..., str]) -> None:
    assert see("127.0.0.1") == "192.0.2.7 https"
    assert see("::ffff:127.0.0.1") == "192.0.2.7 https"


def test_a_stranger_s_word_does_not_count(see: Callable[..., str]) -> None:
    assert see("198.51.100.4") == "198.51.100.4 http"
    assert see("10.0.0.4") == "10.0.0.4 http"


def test_nobody_is_trusted_where_the_list_is_empty(see: Callable[..., str]) -> None:
    assert see("127.0.0.1", trusted=[]) == "127.0.0.1 http"


def test_a_peer_without_an_address_is_a_stranger(see: Callable[..., str]) -> None:
    assert see("") == " http"


async def test_it_is_so_for_requests_that_are_answered_asynchronously(settings: Any) -> None:
    settings.TRUSTED_PROXIES = LOOPBACK

    async def seen_later(request: HttpRequest) -> HttpResponse:
        return seen(request)

    request = AsyncRequestFactory().get("/", headers={"X-Forwarded-For": "192.0.2.7"})
    answer = await trust_proxies(seen_later)(request)
    assert answer.content == b"192.0.2.7 http"


def test_the_variable_is_a_list_of_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPTIME_TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    assert trusted_proxies() == [ip_network("10.0.0.0/8"), ip_network("::1/128")]
    monkeypatch.setenv("UPTIME_TRUSTED_PROXIES", "")
    assert trusted_proxies() == []
    monkeypatch.delenv("UPTIME_TRUSTED_PROXIES")
    assert trusted_proxies() == LOOPBACK


def test_a_variable_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPTIME_TRUSTED_PROXIES", "10.0.0.1/8")
    with pytest.raises(ImproperlyConfigured, match=r"such as 10\.0\.0\.0/8: 10\.0\.0\.1/8"):
        trusted_proxies()


@pytest.mark.django_db
def test_strangers_behind_one_proxy_are_limited_each_by_itself(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uptime.api.views.STRANGERS", Budget(1))

    def ask(address: str) -> int:
        return client.get("/api/v1/monitors/", headers={"X-Forwarded-For": address}).status_code

    assert [ask("192.0.2.7"), ask("192.0.2.7"), ask("192.0.2.8")] == [401, 429, 401]
