"""How the product's pages are rendered: one template for the page and for its fragment."""

from collections.abc import Mapping
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from accounts.access import membership_of, memberships_of
from uptime.secrets import decrypt, encrypt
from uptime.wall_clock import zone_or_none

PAGE_SIZE = 50
_SHOWN_ONCE = "shown_once"

M = TypeVar("M", bound=Model)


def render_page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    whole: str = "layouts/page.html",
) -> HttpResponse:
    """Render `template` whole, or only its block `live` when htmx asks to refresh it.

    The template extends `layout`: for a whole page, that is `whole`. A browser that goes back in
    its history gets the whole page.
    """
    htmx = getattr(request, "htmx", None)
    is_fragment = bool(htmx) and not getattr(htmx, "history_restore_request", False)
    layout = "layouts/fragment.html" if is_fragment else whole
    response = render(request, template, {**context, "layout": layout}, status=status)
    patch_vary_headers(response, ["HX-Request"])
    # what a team sees is never kept by a shared cache, and asked for anew on a way back
    response.headers.setdefault("Cache-Control", "private, no-cache")
    return response


def page_context(request: HttpRequest) -> dict[str, Any]:
    """What every page's frame needs; queries run only if the template looks."""
    return {
        "membership": SimpleLazyObject(lambda: membership_of(request)),
        "memberships": SimpleLazyObject(lambda: memberships_of(request)),
        "theme": SimpleLazyObject(lambda: _theme(request)),
        "chosen_zone": SimpleLazyObject(lambda: _chosen(request, "time_zone")),
        "reader_zone": SimpleLazyObject(lambda: zone_of(request).key),
    }


def zone_of(request: HttpRequest) -> ZoneInfo:
    """By whose clocks this reader reads and enters times.

    Their profile's zone, else their browser's, of which its script last told by a cookie.
    """
    name = _chosen(request, "time_zone") or request.COOKIES.get("zone")
    return zone_or_none(name) or ZoneInfo("UTC")


def _theme(request: HttpRequest) -> str:
    """What this browser has chosen, else what its user has."""
    chosen = request.COOKIES.get("theme")
    return chosen if chosen in ("light", "dark") else _chosen(request, "theme")


def _chosen(request: HttpRequest, name: str) -> str:
    """What the user has chosen in their profile; empty for strangers."""
    return str(getattr(getattr(request, "user", None), name, ""))


def sought(request: HttpRequest) -> str:
    """What is searched for, without NUL characters: nothing stored has one."""
    return request.GET.get("q", "").replace("\0", "")


def paged(request: HttpRequest, rows: QuerySet[M]) -> Page[M]:
    """The page of `rows` that `?page=` asks for; a number out of range is the nearest page."""
    return Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))


def show_once(request: HttpRequest, values: Mapping[str, str]) -> None:
    """Keep secrets for the next page that this session opens, encrypted; see `take_shown_once`."""
    if values:
        request.session[_SHOWN_ONCE] = encrypt(dict(values))


def take_shown_once(request: HttpRequest) -> dict[str, str]:
    """The secrets that `show_once` kept, for the last time. A refresh of a part takes none."""
    if getattr(request, "htmx", None) or _SHOWN_ONCE not in request.session:
        return {}
    return decrypt(request.session.pop(_SHOWN_ONCE))
