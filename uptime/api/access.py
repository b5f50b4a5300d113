"""Who asks, for which team, and what they may do: by token, or by a browser's session."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts.access import check_second_factor, membership_of
from accounts.models import Role, Scope, Team, User
from accounts.passes import Pass
from accounts.tokens import authenticate_token, is_within, scope_of
from uptime.api.errors import not_json

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may do; `caller` names who spends a rate limit's budget."""

    team: Team
    scope: Scope
    caller: str
    opened_with: Pass
    token_name: str = ""
    """Empty for a browser's session."""


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Token <token>`."""

    keyword = "Token"

    def authenticate(self, request: Request) -> tuple[User, Access] | None:
        header = request.headers.get("Authorization")
        if header is None:
            return None
        keyword, _, text = header.partition(" ")
        if keyword.lower() != self.keyword.lower():
            raise AuthenticationFailed("Authenticate with: Authorization: Token <token>")
        token = authenticate_token(text.strip())
        if token is None:
            raise AuthenticationFailed("This token is not valid, or has expired.")
        return token.user, Access(
            token.team,
            Scope(token.scope),
            caller=f"token {token.pk}",
            opened_with=Pass(token.team_id, token.user_id, token_id=token.pk),
            token_name=str(token),
        )

    def authenticate_header(self, request: Request) -> str:
        return self.keyword


class SessionAuthentication(BaseAuthentication):
    """A browser that is signed in, acting for its chosen team; writes need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, Access] | None:
        django_request = request._request
        user = django_request.user
        if not isinstance(user, User) or not user.is_active:
            return None
        _enforce_csrf(django_request)
        membership = membership_of(django_request)
        if membership is None:
            raise PermissionDenied("You are in no team yet. Ask a team's owner to add you.")
        check_second_factor(membership)
        scope = scope_of(Role(membership.role))
        key = django_request.session.session_key or ""
        opened_with = Pass(membership.team_id, user.pk, session_key=key)
        return user, Access(
            membership.team, scope, caller=f"user {user.pk}", opened_with=opened_with
        )


class _CsrfCheck(CsrfViewMiddleware):
    """Django's own check, which answers with the reason instead of a page."""

    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def _enforce_csrf(request: HttpRequest) -> None:
    def unreachable(request: HttpRequest) -> Any:
        raise AssertionError("the check answers before any view")

    if _has_form(request):
        raise not_json()  # before the check looks for its token there and uses up the body
    check = _CsrfCheck(unreachable)
    check.process_request(request)
    # The API's views are exempt from the middleware, so that tokens work; `view` here is not.
    reason = check.process_view(request, unreachable, (), {})
    if reason:
        raise PermissionDenied(f"{reason} Send the header X-CSRFToken.")


def _has_form(request: HttpRequest) -> bool:
    is_empty = request.META.get("CONTENT_LENGTH") in (None, "", "0")
    return request.content_type in _FORMS and not is_empty


class InScope(BasePermission):
    """The caller's scope covers the method: `read` for safe ones, `write` for the others."""

    message = "This needs the scope `write`."

    def has_permission(self, request: Request, view: Any) -> bool:
        needed = Scope.READ if request.method in SAFE_METHODS else Scope.WRITE
        needed = getattr(view, "needed_scope", None) or needed
        self.message = f"This needs the scope `{needed.value}`."
        return isinstance(request.auth, Access) and is_within(needed, request.auth.scope)
