"""Chromium without a window, and readers who note what their browser complains of."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 375, "height": 740}
AXE = Path(__file__).with_name("axe")
# What .ci/run sets: a browser that is missing there is a failure.
REQUIRED = "BROWSER_TESTS"

# Runs in every page: what its policy forbids does not only go to the console.
_WITNESS = """
window.forbidden = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.forbidden.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""


def lack(what: str) -> None:
    """Skip for want of something, or fail where it has to be there."""
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def find_chromium() -> str | None:
    """The one that never has a window takes a third less of the processor."""
    found = map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser"))
    return next(filter(None, found), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        lack("Chromium is missing; on Debian: apt-get install chromium-headless-shell npm")
    # Each launch has a user data directory of its own, which goes with it.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@cache
def axe_source() -> str:
    """The script of axe-core: the version of the lock file, whose hash npm compares."""
    script = AXE / "node_modules" / "axe-core" / "axe.min.js"
    if shutil.which("npm") is None:
        lack("npm is missing, which brings axe-core; on Debian: apt-get install npm")
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    made = subprocess.run(command, cwd=AXE, capture_output=True, text=True, check=False)
    if made.returncode:
        lack(f"axe-core can't be had from npm's registry:\n{made.stderr}")
    return script.read_text()


class Reader:
    """Somebody with a browser of their own; `complaints` is what the browser found fault with."""

    def __init__(self, browser: Browser, url: str, **wanted: Any) -> None:
        self.complaints: list[str] = []
        self._url = url
        self.context: BrowserContext = browser.new_context(
            base_url=url,
            locale="en-GB",
            timezone_id="Europe/Berlin",
            reduced_motion="reduce",
            **{"viewport": DESKTOP, **wanted},
        )
        self.context.set_default_timeout(30_000)
        self.context.add_init_script(_WITNESS)
        self.context.on("console", self._hear)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.page: Page = self.context.new_page()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        address = message.location["url"]
        is_answer = message.text.startswith("Failed to load resource: the server responded")
        if is_answer and message.page is not None and address == message.page.url:
            return  # the page itself is an error page, which is what was asked for
        self.complaints.append(f"{message.text} ({address})")

    def bring_axe(self) -> None:
        """Into every page from now on; no page's policy forbids what the browser itself brings."""
        self.context.add_init_script(axe_source())

    def remember_session(self, key: str) -> None:
        """Be signed in."""
        self.context.add_cookies([{"name": "sessionid", "value": key, "url": self._url}])

    def sign_in(self, email: str, password: str) -> None:
        self.page.goto("/login/")
        self.page.get_by_label("E-mail").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in", exact=True).click()

    def assert_content(self) -> None:
        """Nothing was complained of; to be asked while the page is still there."""
        self.complaints += self.page.evaluate("window.forbidden")
        assert self.complaints == [], self.complaints

    def close(self) -> None:
        self.context.close()


def serious_faults(page: Page, *, rules: list[str] | None = None) -> list[str]:
    """What axe-core finds of serious or critical impact, with the elements; all rules or these.

    Its script has to be in the page, see `Reader.bring_axe`.
    """
    options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False, "iframes": False}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{one['id']}: {one['help']}\n    {node['html']}\n    {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
