"""Every page: nothing for the browser to complain of, readable for everybody, wide enough."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import DESKTOP, PHONE, Reader, serious_faults
from tests.browser.installation import Installation
from tests.browser.pages import HALFWAY, NOBODY, names, spot
from tests.browser.scene import PASSWORD

pytestmark = pytest.mark.xdist_group("browser")

Readers = Callable[[str], Reader]


@pytest.fixture(scope="module")
def reader_of(browser: Browser, installed: Installation) -> Iterator[Readers]:
    """The browser of each of these people, who signs in once."""
    readers: dict[str, Reader] = {}

    def reader_of(who: str) -> Reader:
        if who not in readers:
            reader = readers[who] = Reader(browser, installed.url)
            if who != NOBODY:
                reader.sign_in(who, PASSWORD)
        return readers[who]

    yield reader_of
    for reader in readers.values():
        reader.close()


@pytest.mark.parametrize("name", names())
def test_a_page_is_fit_for_everybody(
    name: str, installed: Installation, reader_of: Readers
) -> None:
    where = spot(name, installed.things)
    if name == "login-code":
        where, reader = spot("login-code", installed.things), reader_of(HALFWAY)
    else:
        reader = reader_of(where.who)
    page = reader.page
    if reader.context.request.get(where.path, max_redirects=0).status == 405:
        return  # nothing to be looked at: it does something
    reader.complaints.clear()
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme="light")
    page.goto(where.path)
    assert page.url.endswith(where.path), "it leads elsewhere"
    reader.assert_content()
    assert serious_faults(page) == []
    page.emulate_media(color_scheme="dark")
    assert serious_faults(page, rules=["color-contrast", "link-in-text-block"]) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
