"""Every page: nothing for the browser to complain of, readable for everybody, wide enough."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import DESKTOP, PHONE, Reader, serious_faults
from tests.browser.installation import Installation
from tests.browser.pages import names, spot
from tests.browser.scene import GUARDED, PASSWORD

# The admin's links change their colour slowly, and would be read half-way.
END_TRANSITIONS = """document.getAnimations()
    .filter(one => one instanceof CSSTransition).forEach(one => one.finish())"""

Readers = Callable[[str], Reader]


@pytest.fixture(scope="module")
def reader_of(browser: Browser, installed: Installation) -> Iterator[Readers]:
    """The browser of each of these people, who signs in once."""
    readers: dict[str, Reader] = {}

    def reader_of(who: str) -> Reader:
        if who not in readers:
            reader = readers[who] = Reader(browser, installed.url)
            if who == GUARDED:
                reader.sign_in(who, PASSWORD)  # and comes half the way
            elif who:
                reader.remember_session(installed.things["sessions"][who])
            reader.bring_axe()
        return readers[who]

    yield reader_of
    for reader in readers.values():
        reader.close()


@pytest.mark.parametrize("name", names())
def test_a_page_is_fit_for_everybody(
    name: str, installed: Installation, reader_of: Readers
) -> None:
    where = spot(name, installed.things)
    reader = reader_of(where.who)
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
