"""`manage.py web` alone, as a container or a unit runs it, on the database of the test run."""

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import Scope
from accounts.tokens import issue_token
from monitors.models import Monitor
from tests.factories import MembershipFactory, make_monitor
from tests.operations.product import (
    database_url,
    environment,
    free_port,
    run_command,
    wait_until,
)
from uptime.environment import BASE_DIR
from uptime.operations import pause_monitor

# All of one kind, or the last of them, which ends the process, would not be run last.
pytestmark = [pytest.mark.xdist_group("operations"), pytest.mark.django_db(transaction=True)]

NAME = "web-under-test"


@dataclass
class Web:
    port: int
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> int:
        try:
            url = f"http://127.0.0.1:{self.port}{path}"
            with urllib.request.urlopen(url, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0


@pytest.fixture(scope="module")
def web(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Web]:
    port = free_port()
    with django_db_blocker.unblock():
        url = database_url(str(connection.settings_dict["NAME"]), application_name=NAME)
    env = environment(tmp_path_factory.mktemp("web"), port, DATABASE_URL=url)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "web"],
        cwd=BASE_DIR,
        env=env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    web = Web(port, process)
    wait_until(lambda: web.get("/health/live") == 200 or process.poll() is not None)
    yield web
    process.kill()
    process.wait()


def test_it_serves_pages_and_static_files(web: Web) -> None:
    assert web.get("/login/") == 200
    assert web.get("/static/admin/css/base.css") == 200
    assert web.get("/static/no-such-file.css") == 404


def test_requests_leave_no_connections_behind(web: Web) -> None:
    for _ in range(40):
        assert web.get("/login/") == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [NAME])
        (count,) = cursor.fetchone()
    assert count <= 4


def test_a_client_that_goes_away_does_no_harm(web: Web) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", web.port)) as client:
            client.sendall(b"GET /login/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert web.get("/login/") == 200


def open_stream(web: Web, token: str) -> socket.socket:
    """A stream of live events whose beginning has come."""
    client = socket.create_connection(("127.0.0.1", web.port), timeout=20)
    client.sendall(
        f"GET /api/v1/events/ HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Token {token}\r\n\r\n".encode()
    )
    assert read_until(client, b"retry:").startswith(b"HTTP/1.1 200")
    return client


def read_until(client: socket.socket, wanted: bytes) -> bytes:
    """What comes until `wanted` is in it."""
    read = b""
    while wanted not in read:
        more = client.recv(4096)
        assert more, read
        read += more
    return read


def test_more_streams_than_database_connections_leave_room_for_requests(web: Web) -> None:
    member = MembershipFactory()
    token = issue_token(user=member.user, team=member.team, scope=Scope.READ)
    streams = [open_stream(web, token) for _ in range(15)]
    assert web.get("/login/") == 200
    make_monitor(member.team)
    pause_monitor(monitor=Monitor.objects.get())
    for stream in streams:
        read_until(stream, b"paused")
        stream.close()


def test_a_body_beyond_the_limit_is_refused(web: Web) -> None:
    with socket.create_connection(("127.0.0.1", web.port)) as client:
        client.sendall(
            b"POST /login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000001\r\n\r\n"
        )
        assert client.recv(12) == b"HTTP/1.1 413"


def test_a_port_in_use_is_one_line(web: Web, tmp_path_factory: pytest.TempPathFactory) -> None:
    done = run_command("web", env=environment(tmp_path_factory.mktemp("other"), web.port))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Error: port {web.port} on 127.0.0.1 is in use: stop the program that listens there,"
        " or set UPTIME_PORT to another"
    ]


def test_sigterm_ends_it_though_clients_stay_connected(web: Web) -> None:
    member = MembershipFactory()
    token = issue_token(user=member.user, team=member.team, scope=Scope.READ)
    with (
        open_stream(web, token) as stream,
        socket.create_connection(("127.0.0.1", web.port)) as client,
    ):
        client.sendall(b"GET /login/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        web.process.send_signal(signal.SIGTERM)
        assert web.process.wait(15) == 0
        while stream.recv(4096):
            pass  # it was ended, not cut
