"""Ping URLs: what a heartbeat's job calls when it starts, ends, fails or has something to say.

Whoever knows the address may call it. It is made to be called by shell scripts at midnight: every
method that a client could use, an answer of two letters, and a body that is too long is cut rather
than refused.
"""

import ipaddress
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseNotFound
from django.http.request import UnreadablePostError
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.access import public
from monitors.models import PingKind
from uptime.intake import LARGEST_PING_BODY, record_ping

MAX_USER_AGENT = 200


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@public
def ping(
    request: HttpRequest,
    key: UUID,
    kind: PingKind = PingKind.SUCCESS,
    exit_status: int | None = None,
) -> HttpResponse:
    """Record one ping. An exit status decides between success and failure: 0 is success."""
    if exit_status is not None:
        if exit_status > 255:
            return _refuse("An exit status is a number from 0 to 255.")
        kind = PingKind.SUCCESS if exit_status == 0 else PingKind.FAIL
    try:
        rid = UUID(request.GET["rid"]) if "rid" in request.GET else None
    except ValueError:
        return _refuse("rid must be a UUID.")
    is_known = record_ping(
        ping_key=key,
        kind=kind,
        method=request.method or "",
        exit_status=exit_status,
        rid=rid,
        body=_body(request),
        remote_address=_remote_address(request),
        user_agent=_user_agent(request),
    )
    if not is_known:
        return HttpResponseNotFound("not found", content_type="text/plain")
    # Clients of the established service read this to know how much is worth sending.
    return HttpResponse(
        "OK", content_type="text/plain", headers={"Ping-Body-Limit": str(LARGEST_PING_BODY)}
    )


def _refuse(sentence: str) -> HttpResponse:
    return HttpResponseBadRequest(sentence, content_type="text/plain")


def _body(request: HttpRequest) -> bytes:
    if request.method != "POST":
        return b""
    try:
        return bytes(request.read(LARGEST_PING_BODY))
    except UnreadablePostError:
        return b""  # the client hung up half way: that it called counts for more than what it said


def _user_agent(request: HttpRequest) -> str:
    return request.headers.get("User-Agent", "").replace("\0", "")[:MAX_USER_AGENT]


def _remote_address(request: HttpRequest) -> str | None:
    """Who called; None behind a Unix socket, which has no address."""
    address = request.META.get("REMOTE_ADDR", "")
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return None
