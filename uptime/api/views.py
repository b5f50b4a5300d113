"""What every endpoint shares: access, limits, strict input, one answer for one Idempotency-Key."""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from pydantic_core import to_json
from rest_framework.exceptions import AuthenticationFailed, MethodNotAllowed, NotAuthenticated
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Scope, Team, User
from uptime.api.access import Access, InScope, SessionAuthentication, TokenAuthentication
from uptime.api.body import read_json
from uptime.api.errors import answer_error, not_found
from uptime.api.idempotency import answer_once, fingerprint_of
from uptime.api.shapes import Query, Shape
from uptime.api.throttling import Budget
from uptime.database import is_database_away

Q = TypeVar("Q", bound=Query)
S = TypeVar("S", bound=Shape)

CALLERS = Budget(settings.API_REQUESTS_PER_MINUTE)
STRANGERS = Budget(settings.API_STRANGERS_PER_MINUTE)


class Renderer(JSONRenderer):
    """Shapes and plain values to JSON; times in UTC with `Z`."""

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return b"" if data is None else to_json(data, inf_nan_mode="null")


class OnlyJson(BaseContentNegotiation):
    """The API answers in JSON, whatever a browser or a tool says that it would like."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """An endpoint: denied by default, safe methods for `read`, the others for `write`.

    Handlers are named after methods, take the address's parts by keyword, and return a Response.
    """

    authentication_classes = [TokenAuthentication, SessionAuthentication]
    permission_classes = [IsAuthenticated, InScope]
    content_negotiation_class = OnlyJson
    renderer_classes = [Renderer]
    parser_classes = [JSONParser]  # told to the schema; `read_json` is what reads
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    max_body_bytes: ClassVar[int] = 2 << 20
    needed_scope: ClassVar[Scope | None] = None
    """Where it is neither `read` for safe methods nor `write` for the others."""

    body: Any
    """What was sent, as JSON; set before a handler that writes is called."""

    @property
    def team(self) -> Team:
        access = self.request.auth
        assert isinstance(access, Access)  # the permissions have seen to it
        return access.team

    @property
    def user(self) -> User:
        user = self.request.user
        assert isinstance(user, User)
        return user

    def query(self, shape: type[Q]) -> Q:
        """The query parameters. Raises `Invalid`."""
        return shape.of(self.request._request.GET)

    def read(self, shape: type[S]) -> S:
        """The body. Raises `Invalid`."""
        return shape.read(self.body)

    # The REST framework's own dispatch, but that a write goes through `_write`.
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.args, self.kwargs, self.headers = args, kwargs, self.default_response_headers
        self.request = self.initialize_request(request, *args, **kwargs)
        try:
            self.initial(self.request, *args, **kwargs)
            response = self._perform()
        except Exception as error:  # noqa: BLE001 - what is no fault of the request is raised again
            response = self.handle_exception(error)
        self.response = self.finalize_response(self.request, response, *args, **kwargs)
        return self.response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        try:
            super().initial(request, *args, **kwargs)
        except (AuthenticationFailed, NotAuthenticated):
            STRANGERS.take(request.META.get("REMOTE_ADDR"))
            raise

    def check_throttles(self, request: Request) -> None:
        assert isinstance(request.auth, Access)  # permissions were checked before
        CALLERS.take(request.auth.caller)

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return answer_error

    def _perform(self) -> Response:
        method = self.request.method or ""
        # A method's name is the client's: it must not reach just any attribute.
        is_known = method.lower() in self.http_method_names
        handler = getattr(self, method.lower(), None) if is_known else None
        if handler is None:
            raise MethodNotAllowed(method)
        if method in SAFE_METHODS:
            response: Response = handler(self.request, **self.kwargs)
            return response
        return self._write(method, handler)

    def _write(self, method: str, handler: Callable[..., Response]) -> Response:
        """Call a handler that changes things: all of it happens, or none."""
        django_request = self.request._request
        self.body = read_json(django_request, self.max_body_bytes)

        def perform() -> Response:
            try:
                with transaction.atomic():
                    return handler(self.request, **self.kwargs)
            except Exception as error:
                if is_database_away(error):
                    raise  # not an answer to keep for the key
                return self.handle_exception(error)

        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            return perform()
        fingerprint = fingerprint_of(method, django_request.get_full_path(), self.body)
        return answer_once(team=self.team, key=key, fingerprint=fingerprint, perform=perform)


class NoSuchAddress(ApiView):
    """Whatever else is asked for under the API's prefix."""

    schema = None

    def _perform(self) -> Response:
        raise not_found()
