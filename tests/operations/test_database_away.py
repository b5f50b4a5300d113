"""The web while its database is away: quick answers that say so, and none when it is back."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from statuspages.documents import STALE_MARK, Document
from statuspages.places import PublicFiles
from tests.operations.product import database_url, environment, free_port, wait_until
from uptime.bench.line import Line
from uptime.environment import BASE_DIR

pytestmark = pytest.mark.xdist_group("operations")

# The pool waits 2 s for a connection; the rest is for a busy machine.
QUICK_S = 5
TOKEN = "Token upt_of_nobody"
PAGE = b"All was well, " + STALE_MARK + b"."


@dataclass
class Answer:
    status: int
    headers: Message
    body: str
    seconds: float


@dataclass
class Web:
    url: str
    line: Line
    log: Path

    def get(self, path: str, **headers: str) -> Answer:
        began = time.monotonic()
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            body = answer.read().decode()
            return Answer(answer.status, answer.headers, body, time.monotonic() - began)


@pytest.fixture(scope="module")
def web(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Web]:
    """A web that was started before its database was there."""
    home = tmp_path_factory.mktemp("away")
    long_ago = Document(PAGE, "text/html", fresh_until=1.0, stale_note="since long ago")
    PublicFiles(home).pages.put("acme", {"index": long_ago})
    port = free_port()
    socket_dir = connection.settings_dict["OPTIONS"]["host"]
    line = Line(socket_dir, port=free_port())
    with django_db_blocker.unblock():
        name = str(connection.settings_dict["NAME"])
    url = database_url(name, host="127.0.0.1", port=str(line.port))
    variables = {"DATABASE_URL": url, "UPTIME_WEB_WORKERS": "1"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "web"],
            cwd=BASE_DIR,
            env=environment(home, port, **variables),
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    web = Web(f"http://127.0.0.1:{port}", line, home / "log")

    def is_up() -> bool:
        assert process.poll() is None, web.log.read_text()
        try:
            return web.get("/health/live").status == 200
        except OSError:
            return False

    wait_until(is_up)
    yield web
    process.kill()
    process.wait()
    line.cut()


def test_the_api_is_unavailable_and_says_when_to_come_back(web: Web) -> None:
    answer = web.get("/api/v1/monitors/", Authorization=TOKEN)
    assert answer.status == 503
    assert json.loads(answer.body)["error"]["code"] == "unavailable"
    assert answer.headers["Retry-After"] == "5"
    assert answer.seconds < QUICK_S


def test_a_page_is_one_that_says_so(web: Web) -> None:
    answer = web.get("/", Cookie=f"sessionid={'a' * 32}")
    assert answer.status == 503
    assert "The database does not answer" in answer.body
    assert answer.headers["Retry-After"] == "5"
    assert answer.seconds < QUICK_S


def test_a_browser_that_is_signed_in_learns_that_the_web_itself_lives(web: Web) -> None:
    answer = web.get("/health/live", Cookie=f"sessionid={'a' * 32}")
    assert answer.status == 200


def test_a_status_page_is_served_as_it_was_last_and_says_so(web: Web) -> None:
    answer = web.get("/status/acme/")
    assert answer.status == 200
    assert answer.body == "All was well, since long ago."
    again = web.get("/status/acme/", **{"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304


def test_metrics_are_as_quick(web: Web) -> None:
    answer = web.get("/metrics")
    assert answer.status == 503
    assert answer.seconds < QUICK_S


@pytest.mark.django_db
def test_it_is_back_with_its_database_and_as_quick_the_second_time(web: Web) -> None:
    web.line.mend()
    wait_until(lambda: web.get("/api/v1/monitors/", Authorization=TOKEN).status == 401, within_s=10)
    web.line.cut()
    answer = web.get("/api/v1/monitors/", Authorization=TOKEN)
    assert answer.status == 503
    assert answer.seconds < QUICK_S


def test_the_log_says_why_without_tracebacks(web: Web) -> None:
    said = web.log.read_text()
    assert "Connection refused" in said
    assert "Traceback" not in said
