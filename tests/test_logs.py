"""No secret reaches a log: planted everywhere, found nowhere."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path

from uptime import logs
from uptime.request_log import log_requests, request_id_of

SECRET = "hunter2-correct-horse"


@pytest.fixture(params=["json", "terminal"])
def written(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """What the product's own handler writes, in both of its forms."""
    yield from _capture(is_json=request.param == "json")


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The JSON lines so far, as objects."""
    for text in _capture(is_json=True):
        yield lambda text=text: [json.loads(line) for line in text().splitlines()]


def _capture(*, is_json: bool) -> Iterator[Callable[[], str]]:
    root = logging.getLogger()
    handlers, level, defaults = root.handlers[:], root.level, structlog.get_config()
    structlog.reset_defaults()
    logs.logging_config(is_json=is_json, level="DEBUG", secrets=["a configured secret/+="])
    stream = io.StringIO()
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    yield stream.getvalue
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**defaults)


TEXTS = [
    f"could not connect to postgres://uptime:{SECRET}@db.example:5432/uptime",
    f"redis://:{SECRET}@cache/0 is away",
    f"postgres://uptime:p@ss{SECRET}@db/uptime",
    f"connection to host=db user=uptime password={SECRET} dbname=uptime failed",
    f"connection to host=db password='{SECRET} and more' failed",
    f"POST https://api.telegram.org/bot1234567:{SECRET}/sendMessage failed",
    f"GET http://127.0.0.1:81/bot1234567%3A{SECRET}/getMe failed",
    f"GET /invitations/{SECRET}/ 200",
    f"Authorization: Bearer {SECRET}",
    f"authorization = Basic {SECRET}=",
    f"headers={{'Authorization': 'Token {SECRET}', 'Accept': '*/*'}}",
    f"[(b'authorization', b'Token {SECRET}'), (b'accept', b'*/*')]",
    f'Proxy-Authorization: Digest username="u", response="{SECRET}"',
    f"Cookie: sessionid={SECRET}; csrftoken={SECRET}",
    f"X-Agent-Token: {SECRET}",
    f"sent with Bearer {SECRET} and got 401",
    f"GET /hook?token={SECRET}&x=1",
    f'{{"password": "{SECRET}", "name": "x"}}',
    f'{{"password": "a\\"{SECRET}", "name": "x"}}',
    f"Settings(password='{SECRET}', name='x')",
    f"UPTIME_SECRET_KEY={SECRET}",
    f"api_key: {SECRET}",
    f"the token upt_{SECRET} is unknown",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
    f"Not Found: /ping/{SECRET}/start",
    f"Not Found: /password-reset/MQ/{SECRET}/",
    f"/act/acknowledge.{SECRET}/?done",
    f"Gone: https://uptime.example.com/subscriptions/{SECRET}/unsubscribe/",
    f"Not Found: /on-call/2f9/{SECRET}.ics",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_scrubbed_of_what_looks_like_a_secret(text: str) -> None:
    scrubbed = logs.scrub(text)
    assert SECRET not in scrubbed
    assert logs.MASK in scrubbed


def test_a_private_key_that_was_cut_short_is_masked_to_the_end() -> None:
    assert logs.scrub(f"-----BEGIN PRIVATE KEY-----\n{SECRET}") == (
        "-----BEGIN PRIVATE KEY-----********"
    )


@pytest.mark.parametrize(
    "text",
    [
        "engine.batch.written",
        "https://example.com/a?b=c",
        'password authentication failed for user "uptime"',
        "CSRF token missing.",
        "GET /robots.txt",
        "GET /password-reset/sent/",
        "2026-01-02T03:04:05.678901Z",
        "http status 503 from https://example.com:8443/health",
        "the key 'interval' is unknown",
    ],
)
def test_a_harmless_text_stays_as_it_is(text: str) -> None:
    assert logs.scrub(text) == text


def test_the_installations_own_secrets_are_masked_wherever_they_stand() -> None:
    logs.know_secrets(["correct horse battery", "", None, "postgres"])
    try:
        text = "said correct horse battery, and correct%20horse%20battery, to postgres"
        assert logs.scrub(text) == "said ********, and ********, to postgres"
    finally:
        logs.know_secrets([])


@pytest.mark.parametrize("text", TEXTS)
def test_nothing_planted_in_an_exception_is_written(written: Callable[[], str], text: str) -> None:
    log = structlog.get_logger("test.logs")
    try:
        try:
            raise ValueError(text)
        except ValueError as error:
            raise ConnectionError("no way") from error
    except ConnectionError:
        log.exception("test.failed", detail=text)
        logging.getLogger("test.library").exception("it said %s", text)
    assert "test.failed" in written()
    assert "it said" in written()
    assert written().count("ConnectionError: no way") == 2
    assert SECRET not in written()


def test_nothing_planted_in_a_field_is_written(written: Callable[[], str]) -> None:
    structlog.get_logger("test.logs").info(
        "test.fields",
        password=SECRET,
        api_token=SECRET,
        Authorization=SECRET,
        ping_key=SECRET,
        headers={"X-Api-Key": SECRET, "Cookie": SECRET, "nested": [{"client_secret": SECRET}]},
        error=ValueError(f"password={SECRET}"),
        url=f"https://u:{SECRET}@example.com/",
        count=500,
    )
    assert SECRET not in written()
    assert "500" in written()


def test_a_configured_secret_is_masked_in_a_traceback(written: Callable[[], str]) -> None:
    try:
        raise RuntimeError(
            "unreadable: a configured secret/+=, or a%20configured%20secret%2F%2B%3D"
        )
    except RuntimeError:
        structlog.get_logger("test.logs").exception("test.failed")
    assert "unreadable: ********, or ********" in written()


def test_a_line_is_one_json_object_with_its_fields(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    structlog.get_logger("test.logs").warning("engine.batch.written", count=500, ms=1.5)
    logging.getLogger("library").warning("two\nlines")
    ours, theirs = lines()
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "event": "engine.batch.written",
        "count": 500,
        "ms": 1.5,
        "level": "warning",
        "logger": "test.logs",
    }
    assert theirs["event"] == "two\nlines"
    assert theirs["logger"] == "library"


# -- requests ------------------------------------------------------------------------------------


def page(request: HttpRequest, **_: object) -> HttpResponse:
    structlog.get_logger("test.page").info("page.seen")
    return HttpResponse("page")


async def async_page(request: HttpRequest) -> HttpResponse:
    structlog.get_logger("test.page").info("page.seen")
    return HttpResponse("page")


def broken_page(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(f"password={SECRET}")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse(status=404)


handler404 = not_found
urlpatterns = [
    path("page/", page),
    path("async/", async_page),
    path("broken/", broken_page),
    path("ping/<str:key>", page),
    path("static/x.css", page),
]

only_ours = override_settings(
    ROOT_URLCONF="tests.test_logs", MIDDLEWARE=["uptime.request_log.log_requests"]
)


@only_ours
def test_a_request_is_told_once_and_its_id_is_in_every_line(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    response = Client().get("/page/?token=" + SECRET, headers={"X-Request-ID": "from-the-proxy"})
    seen, told = lines()
    assert seen["request_id"] == told["request_id"] == "from-the-proxy"
    assert response["X-Request-ID"] == "from-the-proxy"
    assert told["event"] == "web.request"
    assert (told["method"], told["path"], told["status"]) == ("GET", "/page/", 200)
    assert told["ms"] >= 0
    assert "request_id" not in structlog.contextvars.get_contextvars()


@only_ours
async def test_an_async_request_is_told_likewise(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    response = await AsyncClient().get("/async/")
    seen, told = [line for line in lines() if line["logger"].startswith(("test", "uptime"))]
    assert seen["request_id"] == told["request_id"] == response["X-Request-ID"]


@only_ours
def test_a_ping_key_is_cut_from_the_access_log(lines: Callable[[], list[dict[str, Any]]]) -> None:
    Client().get(f"/ping/{SECRET}")
    Client().get(f"/ping/{SECRET}/unknown/address")
    assert [line["path"] for line in lines() if line["event"] == "web.request"] == [
        "/ping/********",
        "/ping/********/unknown/address",
    ]
    assert SECRET not in json.dumps(lines())


@only_ours
def test_a_broken_page_is_told_with_its_traceback_and_without_its_secret(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    assert Client(raise_request_exception=False).get("/broken/").status_code == 500
    error, told = lines()
    assert "RuntimeError" in error["exception"]
    assert error["request_id"] == told["request_id"]
    assert told["status"] == 500
    assert SECRET not in json.dumps([error, told])


@only_ours
def test_what_machines_and_pages_ask_for_all_the_time_is_told_at_debug_level_only(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    Client().get("/static/x.css")
    assert lines()[-1]["level"] == "debug"


@pytest.mark.parametrize("given", ["", "two\nlines", "x" * 65, 'a"b', "naïve"])
def test_an_id_that_could_break_a_line_is_replaced(given: str) -> None:
    request = RequestFactory().get("/", headers={"X-Request-ID": given})
    assert len(request_id_of(request)) == 32


def test_the_middleware_is_sync_over_a_sync_view_and_async_over_an_async_one() -> None:
    request = RequestFactory().get("/page/")
    response = log_requests(page)(request)
    assert response["X-Request-ID"]
