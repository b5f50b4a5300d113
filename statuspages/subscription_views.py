"""What a reader does to be told of a page's posts, and to be told no more."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.access import public
from statuspages.models import Component, StatusPage, Subscriber, SubscriberKind, Theme
from statuspages.public_views import is_open_to
from statuspages.rendering import page_css
from statuspages.subscriptions import (
    ask_to_confirm,
    choose_components,
    confirm,
    unsubscribe,
)
from uptime.api.errors import Refused
from uptime.api.throttling import Budget
from uptime.errors import Invalid

# Of one address, in a minute: each may send a message to somebody.
REQUESTS = Budget(6)

# Nobody is signed in here, and what a foreign page could have a browser send, its owner could send
# as well.


@public
@csrf_exempt
@require_http_methods(["GET", "POST"])
def subscribe(request: HttpRequest, name: str) -> HttpResponse:
    """Ask for a link to confirm; the answer is the same for whoever asks."""
    page = StatusPage.objects.named(name).first()
    if page is None:
        raise Http404
    if not is_open_to(request, page):
        return redirect(page.public_path)
    if request.method == "GET":
        return _shown(request, page, "subscribe", {"kind": SubscriberKind.EMAIL})
    kind = SubscriberKind.WEBHOOK if "webhook" in request.POST else SubscriberKind.EMAIL
    given = request.POST.get(kind, "")
    error: str | Promise = ""
    try:
        REQUESTS.take(request.META.get("REMOTE_ADDR"))
        ask_to_confirm(page=page, kind=kind, address=given, components=_chosen(request))
    except Refused:
        error = _("Too many requests. Wait a minute.")
    except Invalid:
        error = _("Enter an e-mail address.")
        if kind == SubscriberKind.WEBHOOK:
            error = _("Enter a full address that begins with https://.")
    if error:
        context = {"error": error, "kind": kind, "given": given, "chosen": set(_chosen(request))}
        return _shown(request, page, "subscribe", context, status=422)
    return _shown(request, page, "subscribe", {"is_done": True, "kind": kind})


@public
@csrf_exempt
@require_http_methods(["GET", "POST"])
def subscription(request: HttpRequest, token: str) -> HttpResponse:
    """Confirm, choose components, unsubscribe.

    Opening the link changes nothing: mail programs open links before their readers do.
    """
    subscriber = _subscriber(token)
    if subscriber is None:
        return _gone(request)
    if request.method == "POST":
        if "unsubscribe" in request.POST:
            return _unsubscribed(request, subscriber)
        confirm(subscriber=subscriber)
        choose_components(subscriber=subscriber, components=_chosen(request))
        subscriber.refresh_from_db()
    context = {
        "subscriber": subscriber,
        "is_saved": request.method == "POST",
        "chosen": set(subscriber.components.values_list("pk", flat=True)),
    }
    return _shown(request, subscriber.page, "subscription", context)


@public
@csrf_exempt
@require_http_methods(["GET", "POST"])
def one_click(request: HttpRequest, token: str) -> HttpResponse:
    """What a mail program's own button sends (RFC 8058); a person who opens it is asked."""
    subscriber = _subscriber(token)
    if subscriber is None:
        return _gone(request)
    if request.method == "POST":
        return _unsubscribed(request, subscriber)
    return redirect("subscription", token)


def _subscriber(token: str) -> Subscriber | None:
    return Subscriber.objects.select_related("page").filter(token=token).first()


def _unsubscribed(request: HttpRequest, subscriber: Subscriber) -> HttpResponse:
    page = subscriber.page
    unsubscribe(subscriber=subscriber)
    return _shown(request, page, "unsubscribed", {})


def _gone(request: HttpRequest) -> HttpResponse:
    response = render(request, "statuspages/subscription_gone.html", {}, status=404)
    response.headers["Cache-Control"] = "no-store"
    return response


def _chosen(request: HttpRequest) -> list[UUID]:
    found = []
    for text in request.POST.getlist("component"):
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def _components(page: StatusPage) -> Iterable[Component]:
    return page.components.order_by("position", "id")


def _shown(
    request: HttpRequest,
    page: StatusPage,
    template: str,
    context: dict[str, Any],
    *,
    status: int = 200,
) -> HttpResponse:
    frame = {
        "page": page,
        "components": _components(page),
        "theme": "" if page.theme == Theme.AUTO else page.theme,
        "has_css": bool(page_css(page)),
        "changed": int(page.changed_at.timestamp()),
        "is_listed": False,
        "base": f"/status/{page.public_name}",
    }
    with translation.override(page.language):
        response = render(
            request, f"statuspages/{template}.html", {**frame, **context}, status=status
        )
    response.headers["Cache-Control"] = "no-store"
    return response
