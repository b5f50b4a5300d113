"""Every page: nothing for the browser to complain of, readable for everybody, wide enough."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import DESKTOP, PHONE, serious_faults
from tests.browser.installation import Installation
from tests.browser.pages import Readers, names, spot

# The admin's links change their colour slowly, and would be read half-way.
END_TRANSITIONS = """document.getAnimations()
    .filter(one => one instanceof CSSTransition).forEach(one => one.finish())"""


@pytest.fixture(scope="module")
def readers(browser: Browser, installed: Installation) -> Iterator[Readers]:
    with Readers(browser, installed, has_axe=True) as readers:
        yield readers


@pytest.mark.parametrize("name", names())
def test_a_page_is_fit_for_everybody(name: str, installed: Installation, readers: Readers) -> None:
    where = spot(name, installed.things)
    reader = readers.of(where.who)
    page = reader.page
    reader.complaints.clear()
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme="light")
    page.goto(where.path)
    assert page.url.endswith(where.path), "it leads elsewhere"
    reader.assert_content()
    assert serious_faults(page) == []
    page.emulate_media(color_scheme="dark")
    page.evaluate(END_TRANSITIONS)
    assert serious_faults(page, rules=["color-contrast", "link-in-text-block"]) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
