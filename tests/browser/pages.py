"""Every page there is, found in the table of addresses; nothing is left out by forgetting it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.browser.scene import GUARDED, NEWCOMER, OWNER

# Not pages: for programs. The admin's pages are Django's; tests/admin looks at them.
FOR_PROGRAMS = ("admin/", "api/v1/", "ping/", "health/", "metrics")
NOBODY = ""
# What stands in addresses, where the scene does not say it.
MADE_UP: dict[str, Any] = {"kind": "incident", "kind_name": "http", "type_name": "webhook"}
# Pages that strangers see; whoever is signed in is sent elsewhere.
OF_STRANGERS = {
    "login",
    "login-code",
    "invitation",
    "incident-link",
    "subscribe",
    "subscription",
    "password_reset",
    "password_reset_done",
    "password_reset_confirm",
    "password_reset_complete",
}
# Answers to GET that are no pages: files, moved addresses, parts of a page.
NO_PAGES = {"on-call-feed", "badge", "one-click", "maintenance-monitors", "policy-monitors", None}


@dataclass(frozen=True)
class Spot:
    """A page as somebody sees it; `who` is their e-mail."""

    name: str
    path: str
    who: str = OWNER


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
    return Spot(name, path, NOBODY if name in OF_STRANGERS else OWNER)


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
    "monitor-degraded": ("/monitors/{monitors[Search]}/", OWNER),
    "monitor-heartbeat": ("/monitors/{monitors[Nightly backup]}/", OWNER),
    "monitor-maintenance": ("/monitors/{monitors[Payments]}/", OWNER),
    "monitor-paused": ("/monitors/{monitors[Old blog]}/", OWNER),
    "monitor-pending": ("/monitors/{monitors[Partner feed]}/", OWNER),
    "monitor-manual": ("/monitors/{monitors[Warehouse scanner line]}/", OWNER),
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
    "not-found": ("/monitors/01a00000-0000-7000-8000-000000000000/", OWNER),
    "not-found-by-strangers": ("/nowhere/", NOBODY),
}
HALFWAY = GUARDED


def _patterns() -> Iterator[URLPattern]:
    for path, pattern in _walk(get_resolver().url_patterns):
        if not path.startswith(FOR_PROGRAMS) and pattern.name not in NO_PAGES:
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
