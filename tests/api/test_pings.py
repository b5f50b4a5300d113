"""Ping URLs: forgiving to scripts, cheap, and open to whoever knows them."""

from uuid import uuid4

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from monitors.models import Monitor, Ping
from tests.factories import make_monitor

pytestmark = pytest.mark.django_db


@pytest.fixture
def heartbeat() -> Monitor:
    return make_monitor(kind="heartbeat")


@pytest.fixture
def anyone() -> Client:
    return Client(enforce_csrf_checks=True)


@pytest.mark.parametrize("method", ["get", "head", "post"])
@pytest.mark.parametrize(
    ("suffix", "kind", "exit_status"),
    [
        ("", "success", None),
        ("/", "success", None),
        ("/start", "start", None),
        ("/fail", "fail", None),
        ("/log", "log", None),
        ("/0", "success", 0),
        ("/1", "fail", 1),
        ("/255", "fail", 255),
    ],
)
def test_every_form_is_recorded(
    anyone: Client, heartbeat: Monitor, method: str, suffix: str, kind: str, exit_status: int | None
) -> None:
    answer = getattr(anyone, method)(f"/ping/{heartbeat.ping_key}{suffix}")

    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/plain"
    assert answer.content == (b"" if method == "head" else b"OK")
    assert "no-store" in answer["Cache-Control"]
    ping = Ping.objects.get()
    assert (ping.kind, ping.exit_status, ping.method) == (kind, exit_status, method.upper())
    assert ping.remote_address == "127.0.0.1"


def test_the_body_is_kept_and_cut_at_100_kb(anyone: Client, heartbeat: Monitor) -> None:
    for body in (b"done\0\xff", b"x" * 300_000):
        answer = anyone.post(
            f"/ping/{heartbeat.ping_key}/log", body, content_type="application/octet-stream"
        )
        assert answer.status_code == 200

    kept = [bytes(ping.body) for ping in Ping.objects.order_by("id")]
    assert kept == [b"done\0\xff", b"x" * 100_000]


@pytest.mark.parametrize("content_type", ["multipart/form-data", "application/json", "nonsense"])
def test_the_type_of_the_body_does_not_matter(
    anyone: Client, heartbeat: Monitor, content_type: str
) -> None:
    url = f"/ping/{heartbeat.ping_key}"

    assert anyone.post(url, b"{", content_type=content_type).status_code == 200
    assert bytes(Ping.objects.get().body) == b"{"


def test_rid_pairs_a_start_with_its_end(anyone: Client, heartbeat: Monitor) -> None:
    rid = uuid4()
    anyone.get(f"/ping/{heartbeat.ping_key}/start?rid={rid}")
    anyone.get(f"/ping/{heartbeat.ping_key}?rid={rid}")

    start, end = Ping.objects.order_by("id")
    assert (start.rid, end.rid) == (rid, rid)
    assert end.duration_ms is not None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ping/5d1ee2f6-8b71-4f9b-b8e2-0d1f8a6f9c11", 404),
        ("/ping/nonsense", 404),
        ("/ping/{key}/256", 400),
        ("/ping/{key}/" + "9" * 5000, 404),
        ("/ping/{key}/-1", 404),
        ("/ping/{key}/nonsense", 404),
        ("/ping/{key}?rid=1", 400),
        ("/ping/{key}?rid=", 400),
        ("/ping/{key}?rid=%00", 400),
    ],
)
def test_what_is_no_ping_is_not_recorded(
    anyone: Client, heartbeat: Monitor, path: str, status: int
) -> None:
    answer = anyone.get(path.format(key=heartbeat.ping_key))

    assert answer.status_code == status
    assert not Ping.objects.exists()


def test_another_method_is_refused(anyone: Client, heartbeat: Monitor) -> None:
    assert anyone.put(f"/ping/{heartbeat.ping_key}").status_code == 405


def test_a_strange_client_is_no_trouble(anyone: Client, heartbeat: Monitor) -> None:
    answer = anyone.get(
        f"/ping/{heartbeat.ping_key}",
        headers={"User-Agent": "curl/8\0é" + "x" * 1000},
        REMOTE_ADDR="",
    )

    assert answer.status_code == 200
    ping = Ping.objects.get()
    assert ping.remote_address is None
    assert ping.user_agent.startswith("curl/8é")


def test_a_ping_costs_few_queries(
    anyone: Client, heartbeat: Monitor, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    anyone.get(f"/ping/{heartbeat.ping_key}")

    with django_assert_max_num_queries(14):
        anyone.get(f"/ping/{heartbeat.ping_key}")
