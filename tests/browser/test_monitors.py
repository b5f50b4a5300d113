"""A monitor is made, tried, changed, copied, and paused together with another."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.chromium import Reader
from tests.browser.installation import Installation
from tests.browser.scene import KEEPER
from tests.servers.webhook import Receiver, Reply


def test_a_monitor_is_tried_created_edited_cloned_and_paused_with_others(
    installed: Installation, new_reader: Callable[..., Reader]
) -> None:
    reader = new_reader()
    reader.remember_session(installed.things["sessions"][KEEPER])
    page = reader.page
    with Receiver() as site:
        site.default = Reply(200, body=b"all is well")
        page.goto("/monitors/new/http/")
        page.get_by_label("Name", exact=True).fill("Front page")
        page.get_by_label("URL", exact=True).fill("localhost:nowhere")
        page.get_by_role("button", name="Try it").click()
        expect(page.get_by_text("Nothing was tried yet")).to_be_visible()
        page.get_by_label("URL", exact=True).fill(site.url)
        page.get_by_role("button", name="Add", exact=True).first.click()
        rule = page.locator(".rule").first
        rule.get_by_label("Source").select_option("body")
        rule.get_by_label("Comparison").select_option("contains")
        rule.get_by_label("Value").fill("all is well")
        page.get_by_role("button", name="Try it").click()
        trial = page.get_by_role("region", name="What the check saw")
        expect(trial).to_contain_text("It passes")
        expect(trial).to_contain_text("holds")
        page.get_by_role("button", name="Start watching").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Front page")
        expect(page.locator("#live .verdict-title")).to_contain_text("Up")

        page.get_by_role("link", name="Edit").click()
        page.get_by_label("Name", exact=True).fill("The front page")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("The front page")

        page.get_by_role("link", name="Clone").click()
        expect(page.get_by_label("Name", exact=True)).to_have_value("The front page (copy)")
        expect(page.locator(".rule").first.get_by_label("Value")).to_have_value("all is well")
        page.get_by_role("button", name="Start watching").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("The front page (copy)")

        page.get_by_role("link", name="Monitors", exact=True).first.click()
        page.get_by_label("All of this page").check()
        page.get_by_label("With the ticked ones").select_option("pause")
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("2 monitors")
        page.get_by_role("button", name="Pause").click()
        expect(page.locator(".counts")).to_contain_text("Paused 2")
