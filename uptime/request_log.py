"""A request's id in every line that it causes, and one line for the request itself.

An id that comes in as `X-Request-ID` (from the proxy in front) is kept, else one is made; the
answer carries it back, so that a user's report can be matched with the log.
"""

import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

log = structlog.get_logger(__name__)

HEADER = "X-Request-ID"
# Others' ids go into our lines: only what can't break one.
ACCEPTABLE = re.compile(r"[\w.:-]{1,64}", re.ASCII)
# Asked for every few seconds by machines, or by the dozen for a page: told at debug level only.
QUIET = ("/static/", "/health/", "/metrics")

Responder = Callable[[HttpRequest], HttpResponseBase]
AsyncResponder = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def log_requests(get_response: Responder | AsyncResponder) -> Responder | AsyncResponder:
    """Django middleware; it stands at the top, so that its time is the whole request's."""
    if iscoroutinefunction(get_response):
        respond_later = cast("AsyncResponder", get_response)

        async def respond_async(request: HttpRequest) -> HttpResponseBase:
            started = time.perf_counter()
            request_id = request_id_of(request)
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                response = await respond_later(request)
                return _told(request, response, request_id, started)

        return respond_async

    respond_now = cast("Responder", get_response)

    def respond(request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        request_id = request_id_of(request)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = respond_now(request)
            return _told(request, response, request_id, started)

    return respond


def request_id_of(request: HttpRequest) -> str:
    """The id that the request brought, if it is harmless, else a new one."""
    given = request.headers.get(HEADER, "")
    return given if ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex


def _told(
    request: HttpRequest, response: HttpResponseBase, request_id: str, started: float
) -> HttpResponseBase:
    response.headers[HEADER] = request_id
    tell: Callable[..., Any] = log.debug if request.path.startswith(QUIET) else log.info
    tell(
        "web.request",
        method=request.method,
        path=request.path,  # without the query, where clients put tokens; logs.scrub does the rest
        status=response.status_code,
        ms=round((time.perf_counter() - started) * 1000, 1),
    )
    return response
