"""A stranger subscribes to a status page by mail, and hears of the incident that is posted."""

import re
from collections.abc import Callable
from email.message import EmailMessage

from playwright.sync_api import Page, expect

from tests.browser.chromium import PHONE, Reader
from tests.browser.installation import Installation
from tests.browser.scene import OWNER
from tests.operations.product import wait_until

ADDRESS = "curious@elsewhere.example"


def test_a_subscriber_confirms_by_mail_and_hears_of_an_incident(
    installed: Installation, new_reader: Callable[..., Reader]
) -> None:
    page = new_reader(viewport=PHONE).page
    page.goto("/status/lantern/subscribe/")
    page.get_by_role("textbox", name="E-mail").fill(ADDRESS)
    page.get_by_role("button", name="Subscribe").first.click()
    expect(page.get_by_role("status")).to_contain_text("Look into your mailbox")
    link = re.search(r"http://\S+/subscriptions/\S+", _text(_mail(installed, 1)))
    assert link
    page.goto(link[0])
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="You are subscribed")).to_be_visible()

    owner = new_reader()
    owner.remember_session(installed.things["sessions"][OWNER])
    owner.page.goto(f"/status-pages/{installed.things['page_id']}/posts/new/incident/")
    owner.page.locator("[name=title]").fill("Pictures load slowly")
    owner.page.locator("[name=body]").fill("We are **on it**.")
    owner.page.get_by_role("button", name="Publish").click()
    expect(owner.page.get_by_role("heading", level=1)).to_contain_text("Pictures load slowly")
    assert "Pictures load slowly" in _mail(installed, 2)["Subject"]
    wait_until(lambda: _shows(page, "Pictures load slowly"))  # as soon as it is rendered anew


def test_what_a_reader_has_opened_does_not_keep_the_page_from_being_fresh(
    new_reader: Callable[..., Reader],
) -> None:
    page = new_reader().page
    page.goto("/status/lantern/")
    fold = page.locator("details[id] > summary").first
    fold.click()
    is_open = fold.evaluate("fold => fold.parentElement.open")
    page.evaluate("document.getElementById('main').dataset.seen = 'before'")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#main:not([data-seen])")).to_be_visible()
    expect(page.locator("details[id] > summary").first).to_be_focused()
    assert page.locator("details[id]").first.evaluate("fold => fold.open") == is_open


def _shows(page: Page, text: str) -> bool:
    page.goto("/status/lantern/")
    return page.get_by_text(text).first.is_visible()


def _mail(installed: Installation, number: int) -> EmailMessage:
    """The so-and-so-many-th that came to the address, as soon as it has come."""

    def came() -> list[EmailMessage]:
        return [one for one in installed.mail.mails if ADDRESS in str(one["To"])]

    wait_until(lambda: len(came()) >= number)
    return came()[number - 1]


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body
    return str(body.get_content())
