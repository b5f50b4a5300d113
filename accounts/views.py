"""The pages of who somebody is: signing in and out, profile, tokens."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth import views as auth
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse_lazy
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts import tokens as api_tokens
from accounts.access import (
    MemberRequest,
    TeamRequest,
    member,
    membership_of,
    public,
    viewer,
)
from accounts.forms import (
    LooksForm,
    NameForm,
    PasswordForm,
    ResetForm,
    SignInForm,
    TokenForm,
)
from accounts.models import ApiToken, User
from accounts.passkeys import relying_party, why_none
from accounts.sessions import end_other_sessions, end_sessions_of, sessions_of, sign_in
from accounts.two_factor import has_second_factor
from accounts.two_factor_views import go_halfway
from uptime.pages import render_page, show_once, take_shown_once

SESSIONS_SHOWN = 20


class _SignInView(auth.LoginView):
    """E-mail and password; who has a second factor is asked for it on a page of its own."""

    template_name = "accounts/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        offers_passkey = not why_none(relying_party(), self.request.get_host())
        return super().get_context_data(offers_passkey=offers_passkey, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponseRedirect:
        user = form.get_user()
        assert isinstance(user, User)
        target = self.get_success_url()
        if has_second_factor(user):
            go_halfway(self.request, user, target)
            return redirect("login-code")
        sign_in(self.request, user)
        return redirect(target)


login = public(_SignInView.as_view())
logout = public(auth.LogoutView.as_view())
password_reset = public(
    auth.PasswordResetView.as_view(
        form_class=ResetForm,
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


class _ResetConfirmView(auth.PasswordResetConfirmView):
    """A new password for who has the link from the mail; whoever is signed in is so no more."""

    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        end_sessions_of(form.user)
        return answer


password_reset_confirm = public(
    _ResetConfirmView.as_view(
        template_name="accounts/password_reset_confirm.html",
        success_url=reverse_lazy("password_reset_complete"),
    )
)
password_reset_complete = public(
    auth.PasswordResetCompleteView.as_view(template_name="accounts/password_reset_complete.html")
)


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


# -- what they share -------------------------------------------------------------------------------


def _password_form(request: MemberRequest, data: Any = None) -> PasswordForm:
    return PasswordForm(request.user, data, address=request.META.get("REMOTE_ADDR", ""))


def _profile(
    request: MemberRequest,
    *,
    name_form: NameForm | None = None,
    password_form: PasswordForm | None = None,
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
