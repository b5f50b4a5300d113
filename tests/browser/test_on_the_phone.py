"""Who is called at night looks at a phone."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.chromium import PHONE, Reader
from tests.browser.installation import Installation
from tests.browser.scene import OWNER


def test_an_incident_is_acknowledged_from_a_window_of_a_phone(
    installed: Installation, new_reader: Callable[..., Reader]
) -> None:
    reader = new_reader(viewport=PHONE, is_mobile=True, has_touch=True)
    reader.remember_session(installed.things["sessions"][OWNER])
    page = reader.page
    page.goto("/")
    page.get_by_role("link", name="Search", exact=True).tap()
    page.get_by_role("link", name="Open incident").tap()
    page.get_by_role("button", name="Acknowledge").tap()
    expect(page.get_by_role("region", name="State")).to_contain_text("acknowledged by Mara")
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)


def test_what_is_done_to_ticked_monitors_is_not_behind_the_menu(
    installed: Installation, new_reader: Callable[..., Reader]
) -> None:
    reader = new_reader(viewport=PHONE, is_mobile=True, has_touch=True)
    reader.remember_session(installed.things["sessions"][OWNER])
    page = reader.page
    page.goto("/")
    page.locator(".tick[name=monitor]").first.check()
    button = page.get_by_role("button", name="Go on")
    on_top = """button => {
        const { left, top, width, height } = button.getBoundingClientRect();
        return button.contains(document.elementFromPoint(left + width / 2, top + height / 2));
    }"""
    assert button.evaluate(on_top)
