"""Every error of the API has one shape, whoever raised it.

    {"error": {"code": "invalid", "message": "...", "fields": {"interval": ["..."]}}}

`Refused` is what the API itself refuses with; the actions' `Invalid` and `Conflict`, Django's and
the REST framework's own errors are put into the same shape here.
"""

import math
import sys
from typing import Any

from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.template import loader
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from uptime.database import is_database_away
from uptime.errors import Conflict, Invalid

MAX_SENTENCES = 3
UNAVAILABLE = 503
# A database that restarts is back after a few seconds.
AWAY_S = 5


class Refused(Exception):
    """The request can't be served: a status, a stable code, a sentence for the reader."""

    def __init__(
        self, status: int, code: str, message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


FAULT = Refused(500, "internal", "This is a fault of ours. It has been logged.")


def malformed(message: str) -> Refused:
    return Refused(400, "malformed", message)


def not_json() -> Refused:
    return Refused(415, "unsupported_media_type", "Send JSON, with Content-Type: application/json.")


def too_large(limit: int) -> Refused:
    return Refused(413, "too_large", f"The body may have at most {limit} bytes.")


def not_found() -> Refused:
    return Refused(404, "not_found", "There is nothing at this address.")


def rate_limited(wait: float) -> Refused:
    return Refused(
        429, "rate_limited", "Too many requests. Wait as Retry-After says.", retry_after=wait
    )


def unavailable() -> Refused:
    return Refused(
        UNAVAILABLE,
        "unavailable",
        "The database does not answer. Nothing was changed; try again in a moment.",
        retry_after=AWAY_S,
    )


def answer_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """The REST framework's exception handler; None for what is no fault of the request."""
    refused = _refused(error)
    if refused is None:
        return None
    fields = error.fields if isinstance(error, Invalid) else {}
    headers = _headers(refused)
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    return Response(
        _body(refused.code, refused.message, fields), status=refused.status, headers=headers
    )


def _headers(refused: Refused) -> dict[str, str]:
    if refused.retry_after is None:
        return {}
    return {"Retry-After": str(max(1, math.ceil(refused.retry_after)))}


def _refused(error: BaseException | None) -> Refused | None:
    if is_database_away(error):
        return unavailable()
    match error:
        case Refused():
            return error
        case Invalid():
            return Refused(400, "invalid", _summary(error))
        case Conflict():
            return Refused(409, "conflict", str(error))
        case Http404():
            return not_found()
        case PermissionDenied():
            return Refused(403, "forbidden", str(error) or "You may not do this.")
        case exceptions.APIException():
            return Refused(error.status_code, _code(error), _sentence(error))
        case RequestDataTooBig():
            return Refused(413, "too_large", "The body is too large.")
        case SuspiciousOperation() | BadRequest() | MultiPartParserError():
            return malformed("The request can't be understood.")
    return None


def _code(error: exceptions.APIException) -> str:
    return {401: "unauthorized", 403: "forbidden", 404: "not_found"}.get(
        error.status_code, str(error.default_code)
    )


def _sentence(error: exceptions.APIException) -> str:
    return str(error.detail)


def _summary(error: Invalid) -> str:
    """The first few complaints in one line, for who reads only the message."""
    told = [
        f"{name}: {sentence}" if name else sentence
        for name, sentences in error.fields.items()
        for sentence in sentences
    ]
    more = f" (and {len(told) - MAX_SENTENCES} more)" if len(told) > MAX_SENTENCES else ""
    return " ".join(told[:MAX_SENTENCES]) + more


def _body(code: str, message: str, fields: dict[str, list[str]]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "fields": fields}}


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: in the API's shape under its addresses, else a page.

    Called while the error is handled. It is a fault of ours, or the database is away.
    """
    refused = _refused(sys.exc_info()[1]) or FAULT
    if request.path.startswith("/api/"):
        body = _body(refused.code, refused.message, {})
        return JsonResponse(body, status=refused.status, headers=_headers(refused))
    if refused.status == UNAVAILABLE:
        page = loader.render_to_string("503.html")
        return HttpResponse(page, status=refused.status, headers=_headers(refused))
    return defaults.server_error(request)
