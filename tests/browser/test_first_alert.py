"""From the first start to the first alert, as somebody new goes along."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import Reader
from tests.browser.installation import Installation
from tests.servers.webhook import Receiver, Reply


@pytest.fixture
def site() -> Iterator[Receiver]:
    """What is watched."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """What is told."""
    with Receiver() as receiver:
        yield receiver


def test_the_first_login_leads_to_the_first_alert(
    installed: Installation, new_reader: Callable[..., Reader], site: Receiver, hook: Receiver
) -> None:
    reader = new_reader()
    page = reader.page
    reader.sign_in("admin@localhost", installed.password)
    page.get_by_role("link", name="Create the first monitor").click()
    page.get_by_role("link", name="HTTP(S)").click()
    page.get_by_label("Name", exact=True).fill("My site")
    page.get_by_label("URL", exact=True).fill(site.url)
    page.get_by_role("button", name="Start watching").click()
    expect(page.locator("#live").get_by_text("Up", exact=True).first).to_be_visible()

    page.get_by_role("link", name="Alerts").click()
    page.get_by_role("link", name="Add the first channel").click()
    page.get_by_role("link", name="Webhook").click()
    page.get_by_label("Address", exact=True).fill(hook.url)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Send a test").click()
    hook.wait_for(1, 60)
    page.get_by_role("link", name="Channels").first.click()
    page.get_by_role("link", name="Create a policy").click()
    page.get_by_label("Name", exact=True).fill("Everything")
    page.get_by_label("Webhook").check()
    page.get_by_role("button", name="Save").click()

    site.default = Reply(503)
    page.get_by_role("link", name="Monitors", exact=True).click()
    page.get_by_role("link", name="My site").click()
    page.get_by_role("button", name="Check now").click()
    [alert] = hook.wait_for(2, 60)[1:]
    assert alert.json()["event"] == "down"
    expect(page.get_by_text("503").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()
