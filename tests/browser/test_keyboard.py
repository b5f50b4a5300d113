"""All of it without a mouse: every stop can be seen, and leads on."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import Reader
from tests.browser.installation import Installation
from tests.browser.scene import OWNER

MOST_STOPS = 90
# What has the focus is within what is shown and has a ring, or this is its markup.
UNSEEN = """() => {
    const one = document.activeElement, box = one.getBoundingClientRect();
    const isShown = box.width > 0 && box.bottom > 0 && box.top < innerHeight;
    return isShown && getComputedStyle(one).outlineStyle !== "none" ? "" : one.outerHTML;
}"""


def test_a_tour_with_the_keyboard_alone(
    installed: Installation, new_reader: Callable[..., Reader]
) -> None:
    reader = new_reader()
    reader.remember_session(installed.things["sessions"][OWNER])
    page = reader.page
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()

    _follow(page, page.get_by_role("link", name="New monitor"))
    _follow(page, page.get_by_role("link", name="TCP port"))
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("Postern")
    _go_to(page, page.get_by_label("Host and port"))
    page.keyboard.type("127.0.0.1:9")
    _go_to(page, page.get_by_text("When it counts as down"))
    page.keyboard.press("Enter")
    _follow(page, page.get_by_label("Down after"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Postern")

    page.goto("/?q=Postern")
    _go_to(page, page.get_by_label("Postern"))
    page.keyboard.press("Space")
    _go_to(page, page.get_by_label("With the ticked ones"))
    page.keyboard.type("Delete")
    _follow(page, page.get_by_role("button", name="Go on"))
    expect(page.get_by_role("link", name="Leave them")).to_be_focused()
    _follow(page, page.get_by_role("button", name="Delete"), key="Shift+Tab")
    expect(page.locator("#notes")).to_contain_text("1 monitor")

    page.goto(f"/monitors/{installed.things['monitor_id']}/")
    chart = page.get_by_role("slider", name="Latency over 24 hours")
    _go_to(page, chart)
    newest = chart.get_attribute("aria-valuetext")
    page.keyboard.press("ArrowLeft")
    expect(chart).not_to_have_attribute("aria-valuetext", newest or "")


def _follow(page: Page, wanted: Locator, *, key: str = "Tab") -> None:
    """Go there, press Enter, and arrive where that leads."""
    _go_to(page, wanted, key=key)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def _go_to(page: Page, wanted: Locator, *, key: str = "Tab") -> None:
    """Press the key until it has the focus; each stop on the way can be seen."""
    for _ in range(MOST_STOPS):
        page.keyboard.press(key)
        assert page.evaluate(UNSEEN) == ""
        if wanted.evaluate("one => one === document.activeElement"):
            return
    raise AssertionError(f"{MOST_STOPS} stops do not lead to {wanted}")
