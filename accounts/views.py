"""The pages of who somebody is: signing in and out, profile, tokens."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth import views as auth
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import tokens as api_tokens
from accounts.access import (
    MemberRequest,
    TeamRequest,
    member,
    membership_of,
    public,
    viewer,
)
from accounts.forms import CodeForm, LooksForm, NameForm, SignInForm, TokenForm
from accounts.models import ApiToken, SecondFactor, User
from accounts.sessions import end_other_sessions, sessions_of, sign_in
from accounts.two_factor import (
    begin_setup,
    confirm_setup,
    has_second_factor,
    picture_of,
    renew_codes,
    secret_of,
    turn_off,
)
from uptime.errors import Conflict, Invalid
from uptime.pages import render_page, show_once, take_shown_once

SESSIONS_SHOWN = 20
# Between the password and the code.
HALFWAY_FOR = timedelta(minutes=10)
_HALFWAY = "halfway"
_CODES = "Recovery codes"


class _SignInView(auth.LoginView):
    """E-mail and password; who has a second factor is asked for it on a page of its own."""

    template_name = "accounts/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponseRedirect:
        user = form.get_user()
        assert isinstance(user, User)
        target = self.get_success_url()
        if has_second_factor(user):
            self.request.session[_HALFWAY] = {
                "user": str(user.pk),
                # of the password: a new one ends this as well
                "hash": user.get_session_auth_hash(),
                "at": timezone.now().timestamp(),
                "next": target,
            }
            return redirect("login-code")
        sign_in(self.request, user)
        return redirect(target)


login = public(_SignInView.as_view())
logout = public(auth.LogoutView.as_view())
password_reset = public(
    auth.PasswordResetView.as_view(
        template_name="accounts/password_reset.html",
        email_template_name="accounts/password_reset_email.txt",
        subject_template_name="accounts/password_reset_subject.txt",
        # not the request's Host, which whoever asks can set: the link would go to their server
        extra_email_context={"base_url": settings.BASE_URL},
    )
)
password_reset_done = public(
    auth.PasswordResetDoneView.as_view(template_name="accounts/password_reset_done.html")
)
password_reset_confirm = public(
    auth.PasswordResetConfirmView.as_view(
        template_name="accounts/password_reset_confirm.html",
        success_url=reverse_lazy("password_reset_complete"),
    )
)
password_reset_complete = public(
    auth.PasswordResetCompleteView.as_view(template_name="accounts/password_reset_complete.html")
)


@public
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "POST"])
def login_code(request: HttpRequest) -> HttpResponse:
    """The second step of signing in, for whoever has just given the right password."""
    user = _halfway(request)
    if user is None:
        request.session.pop(_HALFWAY, None)
        return redirect("login")
    form = CodeForm(request.POST or None, user=user)
    if form.is_valid():
        target = request.session.pop(_HALFWAY)["next"]
        sign_in(request, user)
        return redirect(target)
    return render(request, "accounts/login_code.html", {"form": form})


def _halfway(request: HttpRequest) -> User | None:
    """Whose password was right in this session, a moment ago."""
    found = request.session.get(_HALFWAY)
    if found is None or timezone.now().timestamp() - found["at"] > HALFWAY_FOR.total_seconds():
        return None
    user = User.objects.filter(pk=found["user"], is_active=True).first()
    is_same = user is not None and constant_time_compare(
        found["hash"], user.get_session_auth_hash()
    )
    return user if is_same else None


@member
@require_GET
def profile(request: MemberRequest) -> HttpResponse:
    return _profile(request)


@member
@require_POST
def rename(request: MemberRequest) -> HttpResponse:
    form = NameForm(request.POST, instance=request.user)
    if not form.is_valid():
        return _profile(request, name_form=form)
    form.save()
    messages.success(request, "Saved.")
    return redirect("profile")


@member
@require_POST
def change_looks(request: MemberRequest) -> HttpResponse:
    """Time zone and theme. The theme is this browser's at once, and that of the next one."""
    form = LooksForm(request.POST, instance=request.user)
    if not form.is_valid():
        return _profile(request, looks_form=form)
    form.save()
    messages.success(request, "Saved.")
    answer = redirect("profile")
    if theme := form.cleaned_data["theme"]:
        answer.set_cookie("theme", theme, max_age=31536000, samesite="Lax")
    else:
        answer.delete_cookie("theme", samesite="Lax")
    return answer


@member
@require_POST
def end_sessions(request: MemberRequest) -> HttpResponse:
    count = end_other_sessions(request, request.user)
    messages.success(request, f"Signed out elsewhere: {count}.")
    return redirect("profile")


@member
@require_POST
def change_password(request: MemberRequest) -> HttpResponse:
    """A new password; all other sessions of the user end."""
    form = _password_form(request, request.POST)
    if not form.is_valid():
        return _profile(request, password_form=form)
    update_session_auth_hash(request, form.save())
    end_other_sessions(request, request.user)
    messages.success(request, "Your password is changed; you are signed out everywhere else.")
    return redirect("profile")


@viewer
@require_POST
def create_token(request: TeamRequest) -> HttpResponse:
    form = TokenForm(request.POST, membership=request.membership)
    if not form.is_valid():
        return _profile(request, token_form=form)
    token = api_tokens.issue_token(user=request.user, team=request.team, **form.values())
    show_once(request, {form.cleaned_data["name"]: token})
    return redirect("profile")


@member
@require_POST
def revoke_token(request: MemberRequest, token_id: UUID) -> HttpResponse:
    token = get_object_or_404(ApiToken, pk=token_id, user=request.user)
    api_tokens.revoke_token(token=token)
    messages.success(request, f"The token “{token}” is revoked.")
    return redirect("profile")


# -- two-factor sign-in ----------------------------------------------------------------------------


@member
@never_cache
@require_GET
def two_factor(request: MemberRequest) -> HttpResponse:
    return _two_factor(request)


@member
@require_POST
def begin_two_factor(request: MemberRequest) -> HttpResponse:
    try:
        begin_setup(user=request.user)
    except Conflict as conflict:
        messages.error(request, str(conflict))
    return redirect("two-factor")


@member
@sensitive_post_parameters("code")
@require_POST
def confirm_two_factor(request: MemberRequest) -> HttpResponse:
    try:
        codes = confirm_setup(user=request.user, code=request.POST.get("code", ""))
    except Invalid as invalid:
        return _two_factor(request, error=" ".join(invalid.fields["code"]))
    show_once(request, {_CODES: "\n".join(codes)})
    messages.success(request, "Two-factor sign-in is on.")
    return redirect("two-factor")


@member
@sensitive_post_parameters("code")
@require_POST
def renew_recovery_codes(request: MemberRequest) -> HttpResponse:
    form = CodeForm(request.POST, user=request.user)
    if not form.is_valid():
        return _two_factor(request, form=form)
    show_once(request, {_CODES: "\n".join(renew_codes(user=request.user))})
    return redirect("two-factor")


@member
@sensitive_post_parameters("code")
@require_POST
def end_two_factor(request: MemberRequest) -> HttpResponse:
    """Wants a code: a browser that was left open is not enough."""
    form = CodeForm(request.POST, user=request.user)
    if not form.is_valid():
        return _two_factor(request, form=form)
    turn_off(user=request.user)
    messages.success(request, "Two-factor sign-in is off: your password is enough now.")
    return redirect("two-factor")


def _two_factor(
    request: MemberRequest, *, form: CodeForm | None = None, error: str = ""
) -> HttpResponse:
    factor = SecondFactor.objects.filter(user=request.user).select_related("user").first()
    is_pending = factor is not None and factor.confirmed_at is None
    context = {
        "section": "profile",
        "factor": factor,
        "is_on": factor is not None and not is_pending,
        "codes_left": factor.codes.count() if factor else 0,
        "picture": mark_safe(picture_of(factor)) if factor and is_pending else "",  # noqa: S308 - made of our own secret
        "secret": secret_of(factor) if factor and is_pending else "",
        "form": form or CodeForm(user=request.user),
        "error": error,
        "secrets": take_shown_once(request),
    }
    is_refused = bool(error or (form and form.errors))
    return render_page(
        request, "accounts/two_factor.html", context, status=422 if is_refused else 200
    )


# -- what they share -------------------------------------------------------------------------------


def _password_form(request: MemberRequest, data: Any = None) -> PasswordChangeForm:
    form = PasswordChangeForm(request.user, data)
    # it is one form of several on its page
    form.fields["old_password"].widget.attrs.pop("autofocus", None)
    return form


def _profile(
    request: MemberRequest,
    *,
    name_form: NameForm | None = None,
    password_form: PasswordChangeForm | None = None,
    token_form: TokenForm | None = None,
    looks_form: LooksForm | None = None,
) -> HttpResponse:
    membership = membership_of(request)
    if token_form is None and membership is not None:
        token_form = TokenForm(membership=membership)
    tokens = ApiToken.objects.filter(user=request.user).select_related("team")
    context = {
        "section": "profile",
        "now": timezone.now(),
        "name_form": name_form or NameForm(instance=request.user),
        "password_form": password_form or _password_form(request),
        "token_form": token_form,
        "looks_form": looks_form or LooksForm(instance=request.user),
        "has_second_factor": has_second_factor(request.user),
        "sessions": sessions_of(request.user)[:SESSIONS_SHOWN],
        "session_key": request.session.session_key,
        "tokens": tokens.order_by("-created_at"),
        "secrets": take_shown_once(request),
    }
    is_refused = any(
        form is not None and form.errors for form in (name_form, password_form, looks_form)
    )
    is_refused = is_refused or bool(token_form and token_form.errors)
    return render_page(request, "accounts/profile.html", context, status=422 if is_refused else 200)
