"""What was committed shows itself on a page that is open."""

from collections.abc import Callable

from playwright.sync_api import Request, Response, expect

from tests.browser.chromium import Reader
from tests.browser.installation import Installation
from tests.browser.scene import OWNER

WATCHED = "Certificate"
LISTEN = """void (window.told = new Promise((done) =>
    stream.addEventListener("monitor.status", () => done(true))))"""


def test_a_change_shows_within_a_second_by_the_clock_of_the_page(
    installed: Installation, new_reader: Callable[..., Reader]
) -> None:
    """Without being told, the page would look in fifteen seconds."""
    here, elsewhere = new_reader(), new_reader()
    for reader in (here, elsewhere):
        reader.remember_session(installed.things["sessions"][OWNER])
    page = here.page
    page.clock.install()
    with page.expect_request(_is_look), page.expect_response(_is_stream):
        page.goto("/?q=" + WATCHED)
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))
    page.evaluate(LISTEN)

    elsewhere.page.goto(f"/monitors/{installed.things['monitors'][WATCHED]}/")
    elsewhere.page.get_by_role("button", name="Pause").click()
    page.evaluate("window.told")
    with page.expect_request(_is_look):
        page.clock.run_for(1000)
    page.clock.resume()
    expect(page.locator(".cell-state")).to_have_text("Paused")
    elsewhere.page.get_by_role("button", name="Resume").click()


def _is_look(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"


def _is_stream(response: Response) -> bool:
    return "/api/v1/events/" in response.url
