"""Every page there is, found in the table of addresses; nothing is left out by forgetting it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from django.urls import URLPattern, URLResolver, get_resolver, reverse
from playwright.sync_api import Browser

from tests.browser.chromium import Reader
from tests.browser.installation import Installation
from tests.browser.scene import GUARDED, KEEPER, NEWCOMER, OWNER, PASSWORD
from tests.pages.test_queries import PINNED

# For programs, or made by Django; what people see of them is in `MORE`.
FOR_PROGRAMS = ("admin/", "api/v1/", "ping/", "health/", "metrics")
NOBODY = ""
# What stands in addresses, where the scene does not say it.
MADE_UP: dict[str, Any] = {"kind": "incident", "kind_name": "http", "type_name": "webhook"}
# Pages that strangers see; whoever is signed in is sent elsewhere.
OF_STRANGERS = {
    "login",
    "invitation",
    "incident-link",
    "subscribe",
    "subscription",
    "password_reset",
    "password_reset_done",
    "password_reset_confirm",
    "password_reset_complete",
}
# Whose page it is, where it is not the owner's.
WHOSE = {"passkey": KEEPER, "login-code": GUARDED}
# Answers to GET that are no pages: files, moved addresses, parts of a page.
NO_PAGES = {
    "badge",
    "login-passkey",
    "logout",
    "maintenance-monitors",
    "monitor-results-export",
    "monitors-export",
    "on-call-feed",
    "one-click",
    "passkey-challenge",
    "policy-monitors",
    None,
}


@dataclass(frozen=True)
class Spot:
    """A page as somebody sees it; `who` is their e-mail."""

    name: str
    path: str
    who: str


class Readers:
    """The browsers of the people whose pages these are; each signs in once."""

    def __init__(self, browser: Browser, installed: Installation, *, has_axe: bool = False) -> None:
        self._browser = browser
        self._installed = installed
        self._has_axe = has_axe
        self._readers: dict[str, Reader] = {}

    def of(self, who: str) -> Reader:
        if who not in self._readers:
            reader = self._readers[who] = Reader(self._browser, self._installed.url)
            if who == GUARDED:
                reader.sign_in(who, PASSWORD)  # and comes half the way
            elif who:
                reader.remember_session(self._installed.things["sessions"][who])
            if self._has_axe:
                reader.bring_axe()
        return self._readers[who]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers.values():
            reader.close()


def names() -> list[str]:
    """Of all addresses that may be pages, and of `MORE`."""
    return [*(str(one.name) for one in _patterns()), *MORE]


def spot(name: str, things: Mapping[str, Any]) -> Spot:
    """Where that page is. Raises KeyError where the scene does not fill in its address."""
    if name in MORE:
        path, who = MORE[name]
        return Spot(name, path.format(**things), who)
    [pattern] = [one for one in _patterns() if one.name == name]
    known = {**MADE_UP, **things, "period": "weekly", "key": "0" * 64, "name": things["slug"]}
    known |= {"token": things.get(TOKENS.get(name, ""), "none"), "rest": "/"}
    kwargs = {one: known[one] for one in _placeholders(pattern)}
    path = reverse(name, kwargs=kwargs)
    if name == "password_reset_confirm":
        path = reverse(name, args=[things["uidb64"], things["reset"]])
    return Spot(name, path, NOBODY if name in OF_STRANGERS else WHOSE.get(name, OWNER))


TOKENS = {"invitation": "invitation", "incident-link": "act", "subscription": "subscription"}

# The same pages in other states, and pages that no address of their own leads to.
MORE: dict[str, tuple[str, str]] = {
    "home-compact": ("/?density=compact&bars=90d", OWNER),
    "home-wall": ("/?wall=1", OWNER),
    "home-filtered": ("/?q=nothing+like+it", OWNER),
    "home-empty": ("/", NEWCOMER),
    "incidents-empty": ("/incidents/", NEWCOMER),
    "maintenance-empty": ("/maintenance/", NEWCOMER),
    "channels-empty": ("/channels/", NEWCOMER),
    "policies-empty": ("/policies/", NEWCOMER),
    "on-call-empty": ("/on-call/", NEWCOMER),
    "deliveries-empty": ("/deliveries/", NEWCOMER),
    "status-pages-empty": ("/status-pages/", NEWCOMER),
    "monitor-down": ("/monitors/{monitors[Checkout API]}/", OWNER),
    "monitor-heartbeat": ("/monitors/{monitors[Nightly backup]}/", OWNER),
    "monitor-paused": ("/monitors/{monitors[Old blog]}/", OWNER),
    "monitor-pending": ("/monitors/{monitors[Partner feed]}/", OWNER),
    "monitor-new-heartbeat": ("/monitors/new/heartbeat/", OWNER),
    "monitor-new-dns": ("/monitors/new/dns/", OWNER),
    "monitor-edit-heartbeat": ("/monitors/{monitors[Nightly backup]}/edit/", OWNER),
    "incident-over": ("/incidents/{over_id}/", OWNER),
    "channel-new-email": ("/channels/new/email/", OWNER),
    "channel-new-telegram": ("/channels/new/telegram/", OWNER),
    "status-post-new-maintenance": ("/status-pages/{page_id}/posts/new/maintenance/", OWNER),
    "public-history": ("/status/{slug}/history/", NOBODY),
    "public-embed": ("/status/{slug}/embed/", NOBODY),
    "public-door": ("/status/{closed}/", NOBODY),
    "subscription-gone": ("/subscriptions/none/", NOBODY),
    "link-refused": ("/act/none/", NOBODY),
    "invitation-gone": ("/invitations/none/", NOBODY),
    "admin": ("/admin/", OWNER),
    "admin-list": ("/admin/monitors/monitor/", OWNER),
    "api-docs": ("/api/v1/docs/", OWNER),
    "not-found": ("/monitors/01a00000-0000-7000-8000-000000000000/", OWNER),
    "not-found-by-strangers": ("/nowhere/", NOBODY),
}


def _patterns() -> Iterator[URLPattern]:
    """Of those that need a login, the ones that answer GET: their statements are counted."""
    counted = json.loads(PINNED.read_text())
    for path, pattern in _walk(get_resolver().url_patterns):
        if path.startswith(FOR_PROGRAMS) or pattern.name in NO_PAGES:
            continue
        if getattr(pattern.callback, "access", "public") == "public" or pattern.name in counted:
            yield pattern


def _walk(
    nodes: list[URLPattern | URLResolver], prefix: str = ""
) -> Iterator[tuple[str, URLPattern]]:
    for node in nodes:
        path = prefix + str(node.pattern).lstrip("^")
        if isinstance(node, URLResolver):
            yield from _walk(node.url_patterns, path)
        else:
            yield path, node


def _placeholders(pattern: URLPattern) -> list[str]:
    found = list(pattern.pattern.converters or {})
    return found or list(pattern.pattern.regex.groupindex)
