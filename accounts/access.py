"""Who may open a view. Every view of the product's pages wears exactly one of these decorators.

    @public     anybody, signed in or not
    @member     whoever is signed in, with or without a team: their own profile
    @viewer     members of the chosen team
    @editor     members of the chosen team who may change things
    @owner      owners of the chosen team: who is in it, and what they may

The last three set `request.team` and `request.membership`; every query of such a view starts there.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from uuid import UUID

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django_htmx.middleware import HtmxDetails

from accounts.models import Membership, Team, User
from accounts.two_factor import has_second_factor

TEAM_KEY = "team"

P = ParamSpec("P")
View = TypeVar("View", bound=Callable[..., Any])
Response = HttpResponse | HttpResponseBase


class MemberRequest(HttpRequest):
    """A request of somebody who is signed in."""

    user: User
    htmx: HtmxDetails


class TeamRequest(MemberRequest):
    """A request of a member of a team."""

    team: Team
    membership: Membership


def membership_of(request: HttpRequest) -> Membership | None:
    """The membership that this session acts under: the chosen team's, else the oldest.

    None for somebody who is in no team. Costs one query, once a request.
    """
    if not request.user.is_authenticated:
        return None
    if not hasattr(request, "_membership"):
        mine = list(
            Membership.objects.filter(user=request.user)
            .select_related("team", "user")
            .order_by("created_at", "id")
        )
        chosen = request.session.get(TEAM_KEY)
        found = next((m for m in mine if str(m.team_id) == chosen), mine[0] if mine else None)
        request._membership = found  # type: ignore[attr-defined]
        request._memberships = mine  # type: ignore[attr-defined]
    return cast(Membership | None, request._membership)  # type: ignore[attr-defined]


def memberships_of(request: HttpRequest) -> list[Membership]:
    """All memberships of who is signed in: what the team switcher offers."""
    if membership_of(request) is None:
        return []
    return cast(list[Membership], request._memberships)  # type: ignore[attr-defined]


def choose_team(request: HttpRequest, team_id: UUID) -> bool:
    """Let this session act for another team of its user; false when they are not in it."""
    if not any(membership.team_id == team_id for membership in memberships_of(request)):
        return False
    request.session[TEAM_KEY] = str(team_id)
    return True


def public(view: Callable[..., Response]) -> Callable[..., Response]:
    """Anybody may open it."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        return view(request, *args, **kwargs)

    return _declared(login_not_required(guarded), "public")


def member(
    view: Callable[Concatenate[MemberRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Whoever is signed in may open it; LoginRequiredMiddleware has asked."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        return view(cast(MemberRequest, request), *args, **kwargs)

    return _declared(guarded, "member")


def viewer(
    view: Callable[Concatenate[TeamRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Members of the team may open it."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        return view(_as_team_request(request), *args, **kwargs)

    return _declared(guarded, "viewer")


def editor(
    view: Callable[Concatenate[TeamRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Members of the team who may change things may open it."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        ours = _as_team_request(request)
        if not ours.membership.may_edit:
            raise PermissionDenied("Your role in this team is viewer: you can look, not change.")
        return view(ours, *args, **kwargs)

    return _declared(guarded, "editor")


def owner(
    view: Callable[Concatenate[TeamRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Owners of the team may open it."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        ours = _as_team_request(request)
        if not ours.membership.is_owner:
            raise PermissionDenied("Only owners of this team may do that.")
        return view(ours, *args, **kwargs)

    return _declared(guarded, "owner")


def _as_team_request(request: HttpRequest) -> TeamRequest:
    membership = membership_of(request)
    if membership is None:
        raise PermissionDenied("You are in no team yet. Ask a team's owner to add you.")
    check_second_factor(membership)
    ours = cast(TeamRequest, request)
    ours.membership, ours.team = membership, membership.team
    return ours


def check_second_factor(membership: Membership) -> None:
    """Raises PermissionDenied for a member who lacks what their team asks for."""
    if membership.team.requires_second_factor and not has_second_factor(membership.user):
        raise PermissionDenied(
            f"The team {membership.team} wants two-factor sign-in: set it up in your profile."
        )


def _declared(view: View, access: str) -> View:
    view.access = access  # type: ignore[attr-defined]
    return view
