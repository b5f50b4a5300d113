"""What every page answers with, and how a page that refreshes itself learns of a sign-out."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from django_htmx.http import HttpResponseClientRefresh

from accounts.audit import request_served
from accounts.sessions import note_seen

# No inline script, no inline style: a value that slips into a page unescaped stays text.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)

GetResponse = Callable[[HttpRequest], Any]


@sync_and_async_middleware
def content_security_policy(
    get_response: GetResponse,
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Send the policy with every answer; a view that needs another one sets the header itself."""

    def stamp(response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response

    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            return stamp(await get_response(request))

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        return stamp(get_response(request))

    return answer


@sync_and_async_middleware
def remember_request(
    get_response: GetResponse,
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Let the audit trail know whose request is being served."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            mark = request_served.set(request)
            try:
                response: HttpResponseBase = await get_response(request)
                return response
            finally:
                request_served.reset(mark)

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        mark = request_served.set(request)
        try:
            response: HttpResponseBase = get_response(request)
            return response
        finally:
            request_served.reset(mark)

    return answer


class SignInMiddleware(LoginRequiredMiddleware):
    """Every view wants a signed-in user unless it says otherwise.

    A fragment that is asked for after the session ended would be answered with the login page,
    which htmx would put into the middle of the old one: such a request reloads the page instead.
    """

    def process_view(
        self,
        request: HttpRequest,
        view_func: Callable[..., HttpResponseBase],
        view_args: Any,
        view_kwargs: Any,
    ) -> HttpResponseBase | None:
        # Django asks who it is first, and so the database, even for what is open to everybody.
        if not getattr(view_func, "login_required", True):
            return None
        refusal = super().process_view(request, view_func, view_args, view_kwargs)
        if refusal is None:
            note_seen(request)
        return refusal

    def handle_no_permission(  # type: ignore[override] # the stubs know of redirects only
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponse:
        if request.headers.get("HX-Request") == "true":
            return HttpResponseClientRefresh()
        return super().handle_no_permission(request, view_func)
