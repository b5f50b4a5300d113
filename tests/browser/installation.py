"""A product that runs, with a first user and with the team of `scene.py`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.operations.product import Product, wait_until
from tests.servers.smtp import MailServer
from tests.servers.webhook import Receiver
from uptime.environment import BASE_DIR

_BUILD = """
import sys
import django
django.setup()
from tests.browser import scene
scene.main()
"""


@dataclass(frozen=True)
class Installation:
    product: Product
    mail: MailServer
    """Where all its e-mails go."""
    hooks: Receiver
    """Where the webhooks of the scene go."""
    things: dict[str, Any]
    """What `scene.build` told."""

    @property
    def url(self) -> str:
        """As people open it: the address that links in messages begin with."""
        return f"http://localhost:{self.product.port}"

    @property
    def password(self) -> str:
        """Of the first user, as the first start told it."""
        [line] = [line for line in self.product.said.splitlines() if "Password  " in line]
        return line.split()[1]


@contextmanager
def installation(home: Path) -> Iterator[Installation]:
    """Start it in the empty directory `home`, as `make run` does; ends with the context."""
    with MailServer() as mail, Receiver() as hooks:
        product = Product(home)
        product.env["EMAIL_URL"] = f"smtp://127.0.0.1:{mail.port}"
        product.env["UPTIME_WEB_WORKERS"] = "1"
        try:
            with ThreadPoolExecutor(1) as beside:
                started = beside.submit(product.start)
                wait_until(lambda: _is_prepared(product) or started.done())
                things = _build(product, hooks.url)  # while its processes start
                started.result()
            yield Installation(product, mail, hooks, things)
        finally:
            product.kill_all()


def _is_prepared(product: Product) -> bool:
    return product.output.exists() and "Starting the web" in product.said


def _build(product: Product, receiver: str) -> dict[str, Any]:
    made = subprocess.run(
        [sys.executable, "-c", _BUILD, receiver],
        cwd=BASE_DIR,
        env={**product.env, "DJANGO_SETTINGS_MODULE": "uptime.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    things: dict[str, Any] = json.loads(made.stdout)
    return things
