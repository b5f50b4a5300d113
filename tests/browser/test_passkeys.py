"""A passkey of a device that the browser plays: made, and then all that is needed to sign in."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.chromium import Reader
from tests.browser.scene import PASSWORD

DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def test_a_passkey_that_was_added_signs_in_by_itself(new_reader: Callable[..., Reader]) -> None:
    reader = new_reader()
    page = reader.page
    device = reader.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    device.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})
    reader.sign_in("jonas@lantern.example", PASSWORD)
    page.goto("/profile/two-factor/")
    adding = page.locator("form", has=page.get_by_role("button", name="Add a passkey"))
    adding.locator("[name=name]").fill("Laptop")
    adding.locator("[name=password]").fill(PASSWORD)
    adding.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("link", name="Change Laptop")).to_be_visible()
    reader.assert_content()
    reader.context.clear_cookies()
    page.goto("/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("heading", level=1, name="Monitors")).to_be_visible()
