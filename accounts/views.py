"""The pages of who somebody is: signing in and out, profile, tokens."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth import views as auth
from django.contrib.auth.forms import PasswordChangeForm
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse_lazy
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts.access import (
    MemberRequest,
    TeamRequest,
    member,
    membership_of,
    public,
    viewer,
)
from accounts.forms import NameForm, SignInForm, TokenForm
from accounts.models import ApiToken
from accounts.tokens import issue_token
from uptime.pages import render_page, show_once, take_shown_once

login = public(
    auth.LoginView.as_view(
        template_name="accounts/login.html",
        authentication_form=SignInForm,
        redirect_authenticated_user=True,
    )
)
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
def change_password(request: MemberRequest) -> HttpResponse:
    """A new password; all other sessions of the user end."""
    form = _password_form(request, request.POST)
    if not form.is_valid():
        return _profile(request, password_form=form)
    update_session_auth_hash(request, form.save())
    messages.success(request, "Your password is changed; you are signed out everywhere else.")
    return redirect("profile")


@viewer
@require_POST
def create_token(request: TeamRequest) -> HttpResponse:
    form = TokenForm(request.POST, membership=request.membership)
    if not form.is_valid():
        return _profile(request, token_form=form)
    token = issue_token(user=request.user, team=request.team, **form.values())
    show_once(request, {form.cleaned_data["name"]: token})
    return redirect("profile")


@member
@require_POST
def revoke_token(request: MemberRequest, token_id: UUID) -> HttpResponse:
    token = get_object_or_404(ApiToken, pk=token_id, user=request.user)
    token.delete()
    messages.success(request, f"The token “{token}” is revoked.")
    return redirect("profile")


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
        "tokens": tokens.order_by("-created_at"),
        "secrets": take_shown_once(request),
    }
    is_refused = any(form is not None and form.errors for form in (name_form, password_form))
    is_refused = is_refused or bool(token_form and token_form.errors)
    return render_page(request, "accounts/profile.html", context, status=422 if is_refused else 200)
