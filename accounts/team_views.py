"""The pages of a team: who is in it, who is invited, and how somebody joins."""

from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import (
    MemberRequest,
    TeamRequest,
    choose_team,
    member,
    owner,
    public,
    viewer,
)
from accounts.actions import (
    change_role,
    create_team,
    remove_member,
    rename_team,
    require_second_factor,
)
from accounts.audit import ACTIONS, KEPT
from accounts.forms import AuditForm, InviteForm, JoinForm, RoleForm, TeamForm
from accounts.invitations import (
    find_invitation,
    invite_again,
    invite_member,
    join_as_new,
    join_team,
    link_of,
    mail_invitation,
    revoke_invitation,
)
from accounts.models import AuditEntry, Invitation, Membership, Role, User
from accounts.sessions import sign_in
from accounts.throttling import digest_of, take
from accounts.two_factor import has_second_factor
from uptime.errors import Conflict, Invalid
from uptime.pages import PAGE_SIZE, paged, render_page, show_once, take_shown_once

SECTION = "profile"
# In a window of accounts.throttling: nobody needs more, and each is a row for good.
MOST_NEW_TEAMS = 10


# -- the team --------------------------------------------------------------------------------------


@viewer
@require_GET
def team_page(request: TeamRequest) -> HttpResponse:
    return _team_page(request)


@owner
@require_POST
def rename(request: TeamRequest) -> HttpResponse:
    form = TeamForm(request.POST)
    if not form.is_valid():
        return _team_page(request, name_form=form)
    rename_team(team=request.team, name=form.cleaned_data["name"])
    messages.success(request, "Saved.")
    return redirect("team")


@owner
@require_POST
def two_factor(request: TeamRequest) -> HttpResponse:
    """Whether members need two-factor sign-in; only who has it may ask it of others."""
    is_required = "required" in request.POST
    if is_required and not has_second_factor(request.user):
        messages.error(request, "Set up two-factor sign-in for yourself first, in your profile.")
    else:
        require_second_factor(team=request.team, is_required=is_required)
        messages.success(request, "Saved.")
    return redirect("team")


@member
@require_http_methods(["GET", "POST"])
def new_team(request: MemberRequest) -> HttpResponse:
    form = TeamForm(request.POST or None)
    if form.is_valid():
        key = digest_of("teams of", request.user.pk)
        if take(key, most=MOST_NEW_TEAMS, now=timezone.now()):
            form.add_error(None, "That is a lot of teams. Go on in a quarter of an hour.")
        else:
            made = create_team(name=form.cleaned_data["name"], owner=request.user)
            _act_for(request, made)
            messages.success(request, f"The team “{made.team}” is there. You act for it now.")
            return redirect("team")
    status = 422 if form.errors else 200
    context = {"section": SECTION, "form": form}
    return render_page(request, "accounts/team_new.html", context, status=status)


@member
@require_POST
def switch_team(request: MemberRequest) -> HttpResponse:
    try:
        team_id = UUID(request.POST.get("team", ""))
    except ValueError:
        team_id = None
    if team_id is None or not choose_team(request, team_id):
        messages.error(request, "You are not in that team.")
    return redirect("home")


@viewer
@require_http_methods(["GET", "POST"])
def leave(request: TeamRequest) -> HttpResponse:
    if request.method == "POST":
        return _end_membership(request, request.membership, told=f"You have left {request.team}.")
    context = {
        "title": f"Leave {request.team}?",
        "text": "Your API tokens for this team, your turns on call and how you are reached there"
        " go with you. To come back you need an invitation.",
    }
    return _confirm(request, context, button="Leave the team")


@owner
@require_GET
def audit_trail(request: TeamRequest) -> HttpResponse:
    """Who did what. Pages go back by time: a count of all would read all."""
    form = AuditForm(request.GET, team=request.team)
    entries = AuditEntry.objects.filter(team=request.team)
    if form.is_valid():
        entries = form.filtered(entries)
    rows = list(entries.order_by("-at", "-id")[: PAGE_SIZE + 1])
    context = {
        "section": SECTION,
        "form": form,
        "entries": [(one, ACTIONS.get(one.action, one.action)) for one in rows[:PAGE_SIZE]],
        "before": rows[PAGE_SIZE - 1].pk if len(rows) > PAGE_SIZE else None,
        "kept_days": KEPT.days,
    }
    return render_page(request, "accounts/audit.html", context)


# -- members ---------------------------------------------------------------------------------------


@owner
@require_POST
def set_role(request: TeamRequest, member_id: int) -> HttpResponse:
    one = get_object_or_404(_members(request), pk=member_id)
    form = RoleForm(request.POST)
    if not form.is_valid():
        messages.error(request, "There is no such role.")
        return redirect("team")
    try:
        change_role(member=one, role=Role(form.cleaned_data["role"]))
    except Conflict as conflict:
        messages.error(request, str(conflict))
    else:
        messages.success(request, f"{one.user} is {one.get_role_display().lower()} now.")
    return redirect("team")


@owner
@require_http_methods(["GET", "POST"])
def remove(request: TeamRequest, member_id: int) -> HttpResponse:
    one = get_object_or_404(_members(request), pk=member_id)
    if request.method == "POST":
        told = f"{one.user} is no longer in {request.team}."
        return _end_membership(request, one, told=told)
    context = {
        "title": f"Remove {one.user}?",
        "text": f"{one.user.email} can't see or change anything of {request.team} any more. Their"
        " API tokens for it, their turns on call and how they are reached go with them.",
    }
    return _confirm(request, context, button="Remove")


# -- invitations -----------------------------------------------------------------------------------


@owner
@require_POST
def invite(request: TeamRequest) -> HttpResponse:
    form = InviteForm(request.POST)
    if form.is_valid():
        try:
            made, token = invite_member(
                team=request.team,
                email=form.cleaned_data["email"],
                role=Role(form.cleaned_data["role"]),
                by=request.user,
            )
        except Invalid as invalid:
            form.add_error("email", invalid.fields["email"])
        except Conflict as conflict:
            form.add_error(None, str(conflict))
        else:
            return _mailed(request, made, token)
    return _team_page(request, invite_form=form)


@owner
@require_POST
def resend(request: TeamRequest, invitation_id: UUID) -> HttpResponse:
    found = get_object_or_404(Invitation, pk=invitation_id, team=request.team)
    try:
        token = invite_again(invitation=found, by=request.user)
    except (Conflict, Invalid) as error:
        messages.error(request, str(error))
        return redirect("team")
    return _mailed(request, found, token)


@owner
@require_POST
def revoke(request: TeamRequest, invitation_id: UUID) -> HttpResponse:
    found = get_object_or_404(Invitation, pk=invitation_id, team=request.team)
    revoke_invitation(invitation=found)
    messages.success(request, f"The invitation of {found.email} is taken back.")
    return redirect("team")


@public
@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """What an invitation's link opens: join with the account that is there, or with a new one."""
    found = find_invitation(token)
    if found is None:
        return _join_page(request, status=404)
    user = request.user if isinstance(request.user, User) else None
    has_account = User.objects.filter(email__iexact=found.email).exists()
    form = None if user or has_account else JoinForm(request.POST or None)
    context = {
        "invitation": found,
        "form": form,
        "is_for_me": user is not None and user.email.lower() == found.email,
        "login": f"{reverse('login')}?next={request.path}",
    }
    if request.method == "POST" and (context["is_for_me"] or (form and form.is_valid())):
        try:
            return _joined(request, token, user, form)
        except Conflict as conflict:
            messages.error(request, str(conflict))
            return redirect(request.path)
        except Invalid as invalid:
            assert form is not None
            form.add_error("password", invalid.fields["password"])
    return _join_page(request, status=422 if form and form.errors else 200, **context)


def _joined(
    request: HttpRequest, token: str, user: User | None, form: JoinForm | None
) -> HttpResponse:
    if user is not None:
        made = join_team(token=token, user=user)
    else:
        assert form is not None
        made = join_as_new(token=token, **form.values())
        sign_in(request, made.user)
    _act_for(request, made)
    messages.success(request, f"Welcome to {made.team}.")
    return redirect("home")


def _join_page(request: HttpRequest, *, status: int, **context: object) -> HttpResponse:
    return render_page(request, "accounts/invitation.html", context, status=status)


def _mailed(request: TeamRequest, made: Invitation, token: str) -> HttpResponse:
    """Send it; where no mail leaves this installation, show the link to be passed on."""
    if mail_invitation(made, token):
        messages.success(request, f"An invitation is on its way to {made.email}.")
    else:
        show_once(request, {made.email: link_of(token)})
    return redirect("team")


# -- what they share -------------------------------------------------------------------------------


def _members(request: TeamRequest) -> QuerySet[Membership]:
    rows = Membership.objects.filter(team=request.team).select_related("user", "team")
    return rows.order_by("user__email")


def _end_membership(request: TeamRequest, one: Membership, *, told: str) -> HttpResponse:
    is_me = one.user_id == request.user.pk
    try:
        remove_member(member=one)
    except Conflict as conflict:
        messages.error(request, str(conflict))
        return redirect("team")
    messages.success(request, told)
    return redirect("profile" if is_me else "team")


def _act_for(request: HttpRequest, made: Membership) -> None:
    """The membership is new: what this request knew of them is out of date."""
    vars(request).pop("_membership", None)
    choose_team(request, made.team_id)


def _confirm(request: TeamRequest, context: dict[str, str], *, button: str) -> HttpResponse:
    whole = {"section": SECTION, "back": reverse("team"), "button": button, **context}
    return render_page(request, "parts/confirm_delete.html", whole)


def _team_page(
    request: TeamRequest,
    *,
    name_form: TeamForm | None = None,
    invite_form: InviteForm | None = None,
) -> HttpResponse:
    members = paged(request, _members(request))
    context = {
        "section": SECTION,
        "now": timezone.now(),
        "members": [(one, RoleForm.of(one)) for one in members],
        "page": members,
        "invitations": Invitation.objects.filter(team=request.team).order_by("email"),
        "name_form": name_form or TeamForm(initial={"name": request.team.name}),
        "invite_form": invite_form or InviteForm(),
        "links": take_shown_once(request),
    }
    is_refused = any(form is not None and form.errors for form in (name_form, invite_form))
    return render_page(request, "accounts/team.html", context, status=422 if is_refused else 200)
