"""The whole product as its user sees it: a server breaks, and a webhook arrives in time."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.operations.product import PATIENCE_S, Product, run_command, wait_until
from tests.servers.webhook import Receiver

pytestmark = pytest.mark.xdist_group("operations")


class Site:
    """A web server that can be switched off and on, on one port."""

    def __init__(self) -> None:
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self.switch_on()

    def switch_on(self) -> None:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Answer)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def switch_off(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        self._server = None


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    running = Product(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.kill_all()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture
def api(product: Product) -> Iterator[httpx.Client]:
    made = run_command("token", "admin@localhost", env=product.env)
    assert made.returncode == 0, made.stderr
    with httpx.Client(
        base_url=f"{product.url}/api/v1",
        headers={"Authorization": f"Token {made.stdout.strip()}"},
        timeout=30,
    ) as client:
        yield client


def post(api: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(path, json=body)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def test_a_server_that_breaks_is_told_of_and_its_recovery_too(
    api: httpx.Client, receiver: Receiver
) -> None:
    site = Site()
    channel = post(
        api, "/channels/", {"name": "Hook", "type": "webhook", "config": {"url": receiver.url}}
    )
    post(
        api,
        "/policies/",
        {
            "name": "All",
            "all": True,
            "on": ["down", "recovered"],
            "steps": [{"delay_seconds": 0, "channels": [channel["id"]]}],
        },
    )
    monitor = post(
        api,
        "/monitors/",
        {
            "name": "Shop",
            "kind": "http",
            "target": f"http://127.0.0.1:{site.port}/",
            "interval": 5,
            "retry_interval": 1,
            "failure_threshold": 2,
        },
    )

    def status() -> str:
        return str(api.get(f"/monitors/{monitor['id']}/").json()["status"])

    wait_until(lambda: status() == "up")
    site.switch_off()
    down = receiver.wait_for(1, PATIENCE_S)[0].json()
    assert (down["event"], down["monitor"]["name"]) == ("down", "Shop")
    assert down["reason"] == "connect_refused"
    assert status() == "down"
    site.switch_on()
    recovered = receiver.wait_for(2, PATIENCE_S)[1].json()
    assert recovered["event"] == "recovered"
    assert recovered["incident"]["id"] == down["incident"]["id"]
    assert status() == "up"
    assert len(receiver.requests) == 2
    site.switch_off()
