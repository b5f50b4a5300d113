"""What the public is answered when there is no file for it: passwords, and pages just made."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.crypto import constant_time_compare
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import public
from statuspages.documents import Published
from statuspages.models import Badge, StatusPage, Visibility
from statuspages.places import DOCUMENTS
from statuspages.publishing import GATE, public_files, publish_badges, publish_page
from uptime.api.errors import Refused
from uptime.api.throttling import Budget
from uptime.clock import database_now

REMEMBERED_S = 30 * 24 * 3600
# Of one address, for one page, in a minute.
TRIES = Budget(10)
_SALT = "statuspages.gate"
# What people open asks for the password itself; of the rest, the answer is for programs.
_WITH_DOOR = ("index", "history")


@public
@require_safe
def to_the_page(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponsePermanentRedirect(f"/status/{name}/")


@public
@csrf_exempt  # it gives a reader what they know the password of, and changes nothing
@require_http_methods(["GET", "HEAD", "POST"])
def page_document(request: HttpRequest, name: str, rest: str) -> HttpResponse:
    """A document of a page; one that was never published yet is published now."""
    document = DOCUMENTS.get(rest)
    if document is None:
        raise Http404
    gate = _read_gate(name)
    published = public_files().pages.read(name, document)
    if gate is None and published is None:
        page = StatusPage.objects.named(name).first()
        if page is None:
            raise Http404
        publish_page(page, database_now())
        gate = _read_gate(name)
        published = public_files().pages.read(name, document)
    if gate is not None:
        return _gated(request, gate, document)
    if published is None:
        raise Http404
    return _sent(request, published)


@public
@require_safe
def badge(request: HttpRequest, key: str, kind: str) -> HttpResponse:
    """A badge that is not published yet."""
    if not Badge.objects.filter(key=key).exists():
        raise Http404
    publish_badges(database_now())
    published = public_files().badges.read(key, kind)
    if published is None:
        raise Http404
    return _sent(request, published)


def _sent(request: HttpRequest, published: Published) -> HttpResponse:
    answer = published.answer(
        accept_encoding=request.headers.get("Accept-Encoding", ""),
        if_none_match=request.headers.get("If-None-Match", ""),
    )
    response = HttpResponse(answer.body, status=answer.status)
    del response.headers["Content-Type"]
    for name, value in answer.headers:
        response.headers[name.decode()] = value.decode()
    return response


# -- passwords -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gate:
    """What guards a page, from its file: the password is asked for without the database, too."""

    public_name: str
    password: str
    name: str
    language: str
    theme: str

    @property
    def cookie(self) -> str:
        return f"page_{self.public_name}"

    @property
    def key(self) -> str:
        """What a reader who knew the password carries; another password makes it worthless."""
        return signing.Signer(salt=_SALT).signature(f"{self.public_name} {self.password}")


def _read_gate(name: str) -> Gate | None:
    published = public_files().gated.read(name, GATE)
    if published is None:
        return None
    return Gate(public_name=name, **json.loads(published.body))


def _gated(request: HttpRequest, gate: Gate, document: str) -> HttpResponse:
    if _may_pass(request, gate):
        published = public_files().gated.read(gate.public_name, document)
        if published is None:
            raise Http404
        return _sent(request, published)
    given = request.POST.get("password", "")
    if given and not _may_try(request, gate):
        return _door(request, gate, _("Too many tries. Wait a minute."), status=429)
    if given and check_password(given, gate.password):
        return _let_in(request, gate)
    if document not in _WITH_DOOR:
        response = HttpResponse(status=401)
        response.headers["WWW-Authenticate"] = f'Basic realm="{gate.public_name}", charset="UTF-8"'
        return response
    if given:
        return _door(request, gate, _("This is not the password."), status=403)
    return _door(request, gate)


def is_open_to(request: HttpRequest, page: StatusPage) -> bool:
    """Whether this reader may see the page: it is open, or they gave its password."""
    if page.visibility != Visibility.PASSWORD:
        return True
    return _may_pass(request, _gate_of(page))


def _gate_of(page: StatusPage) -> Gate:
    return Gate(page.public_name, page.password, page.name, page.language, page.theme)


def _may_pass(request: HttpRequest, gate: Gate) -> bool:
    if constant_time_compare(request.COOKIES.get(gate.cookie, ""), gate.key):
        return True
    # Programs that read a feed send the password with each request (RFC 7617), under any name.
    scheme, _space, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        _user, _colon, given = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return _may_try(request, gate) and check_password(given, gate.password)


def _may_try(request: HttpRequest, gate: Gate) -> bool:
    try:
        TRIES.take((request.META.get("REMOTE_ADDR"), gate.public_name))
    except Refused:
        return False
    return True


def _let_in(request: HttpRequest, gate: Gate) -> HttpResponse:
    response = redirect(request.path)
    response.set_cookie(
        gate.cookie,
        gate.key,
        max_age=REMEMBERED_S,
        httponly=True,
        secure=settings.IS_HTTPS,
        samesite="Lax",
    )
    return response


def _door(
    request: HttpRequest, gate: Gate, error: str | Promise = "", *, status: int = 200
) -> HttpResponse:
    with translation.override(gate.language):
        context: dict[str, Any] = {
            "gate": gate,
            "theme": "" if gate.theme == "auto" else gate.theme,
            "error": error,
        }
        response = render(request, "statuspages/door.html", context, status=status)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response
