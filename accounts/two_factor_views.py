"""The second step of signing in, signing in by passkey alone, and where both are set up."""

from datetime import timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import MemberRequest, member, public
from accounts.forms import AppForm, NewPasskeyForm, PasskeyNameForm, ProofForm
from accounts.models import Passkey, SecondFactor, User
from accounts.passkeys import (
    REFUSED,
    Refused,
    add_passkey,
    begin_adding,
    begin_asking,
    check_passkey,
    passkey_in,
    relying_party,
    remove_passkey,
    rename_passkey,
    take_challenge,
    why_none,
)
from accounts.sessions import sign_in
from accounts.throttling import too_many
from accounts.two_factor import (
    begin_setup,
    confirm_setup,
    picture_of,
    renew_codes,
    secret_of,
    take_guess,
    turn_off,
)
from uptime.errors import Conflict, Invalid
from uptime.pages import render_page, show_once, take_shown_once

# Between the password and the code.
HALFWAY_FOR = timedelta(minutes=10)
_HALFWAY = "halfway"
_CODES = "Recovery codes"


# -- signing in ------------------------------------------------------------------------------------


def go_halfway(request: HttpRequest, user: User, target: str) -> None:
    """The password was right; the second step is still to come, and leads to `target`."""
    request.session[_HALFWAY] = {
        "user": str(user.pk),
        # of the password: a new one ends this as well
        "hash": user.get_session_auth_hash(),
        "at": timezone.now().timestamp(),
        "next": target,
    }


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
    form = ProofForm(request.POST or None, user=user, session=request.session)
    if form.is_valid():
        target = request.session.pop(_HALFWAY)["next"]
        sign_in(request, user)
        return redirect(target)
    context = {"form": form, "offers_passkey": user.passkeys.exists(), "why_none": _why(request)}
    return render(request, "accounts/login_code.html", context)


@public
@never_cache
@require_POST
def passkey_challenge(request: HttpRequest) -> HttpResponse:
    """What the browser is to sign: for who is signed in or halfway there, else for anybody."""
    if why := _why(request):
        return JsonResponse({"error": why}, status=409)
    user = request.user if isinstance(request.user, User) else _halfway(request)
    return JsonResponse(begin_asking(user=user, session=request.session))


@public
@never_cache
@require_POST
def login_passkey(request: HttpRequest) -> HttpResponse:
    """Signs in by a passkey alone, whose device has verified who holds it."""
    target = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure()):
        target = reverse("home")
    try:
        passkey = _shown_alone(request)
    except Refused as refused:
        messages.error(request, str(refused))
        return redirect(f"{reverse('login')}?{urlencode({'next': target})}")
    sign_in(request, passkey.user)
    return redirect(target)


def _shown_alone(request: HttpRequest) -> Passkey:
    """The passkey that has just signed this session's challenge. Raises Refused."""
    answer = request.POST.get("passkey", "")
    challenge = take_challenge(request.session, "ask")
    passkey = passkey_in(answer)
    if passkey is None:
        raise Refused(REFUSED)
    if wait := take_guess(user=passkey.user, now=timezone.now()):
        raise Refused(too_many(wait))
    check_passkey(passkey=passkey, answer=answer, challenge=challenge, alone=True)
    return passkey


def _why(request: HttpRequest) -> str:
    return why_none(relying_party(), request.get_host())


# -- setting up ------------------------------------------------------------------------------------


@member
@never_cache
@require_GET
def two_factor(request: MemberRequest) -> HttpResponse:
    return _two_factor(request)


@member
@sensitive_post_parameters("password")
@require_POST
def begin_two_factor(request: MemberRequest) -> HttpResponse:
    """Make the secret that an app takes; wants the password."""
    form = AppForm(request.POST, user=request.user, address=request.META["REMOTE_ADDR"])
    if not form.is_valid():
        return _two_factor(request, app_form=form)
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
    _show_codes(request, codes)
    messages.success(request, "Your app's codes are asked for after your password now.")
    return redirect("two-factor")


@member
@sensitive_post_parameters("code")
@require_POST
def renew_recovery_codes(request: MemberRequest) -> HttpResponse:
    form = _proof(request)
    if not form.is_valid():
        return _two_factor(request, form=form)
    _show_codes(request, renew_codes(user=request.user))
    return redirect("two-factor")


@member
@sensitive_post_parameters("code")
@require_POST
def end_two_factor(request: MemberRequest) -> HttpResponse:
    """Wants a code or a passkey: a browser that was left open is not enough."""
    form = _proof(request)
    if not form.is_valid():
        return _two_factor(request, form=form)
    turn_off(user=request.user)
    messages.success(request, "Your app's codes are no longer asked for.")
    return redirect("two-factor")


@member
@never_cache
@sensitive_post_parameters("password")
@require_POST
def begin_passkey(request: MemberRequest) -> HttpResponse:
    """What the browser needs to make a passkey; wants the password."""
    if why := _why(request):
        return JsonResponse({"error": why}, status=409)
    form = NewPasskeyForm(request.POST, user=request.user, address=request.META["REMOTE_ADDR"])
    if not form.is_valid():
        texts = [str(text) for of_field in form.errors.values() for text in of_field]
        return JsonResponse({"error": " ".join(texts)}, status=422)
    return JsonResponse(begin_adding(user=request.user, session=request.session))


@member
@sensitive_post_parameters("password")
@require_POST
def new_passkey(request: MemberRequest) -> HttpResponse:
    name = request.POST.get("name", "")
    try:
        codes = add_passkey(
            user=request.user,
            name=name,
            answer=request.POST.get("passkey", ""),
            challenge=take_challenge(request.session, "add"),
        )
    except (Refused, Conflict) as error:
        messages.error(request, str(error))
    except Invalid as invalid:
        messages.error(request, " ".join(text for of in invalid.fields.values() for text in of))
    else:
        _show_codes(request, codes)
        messages.success(request, f"The passkey “{name.strip()}” signs you in from now on.")
    return redirect("two-factor")


@member
@never_cache
@require_GET
def passkey_page(request: MemberRequest, passkey_id: UUID) -> HttpResponse:
    return _passkey(request, _own_passkey(request, passkey_id))


@member
@require_POST
def rename_own_passkey(request: MemberRequest, passkey_id: UUID) -> HttpResponse:
    passkey = _own_passkey(request, passkey_id)
    form = PasskeyNameForm(request.POST)
    if not form.is_valid():
        return _passkey(request, passkey, name_form=form)
    rename_passkey(passkey=passkey, name=form.cleaned_data["name"])
    messages.success(request, "Saved.")
    return redirect("two-factor")


@member
@sensitive_post_parameters("code")
@require_POST
def remove_own_passkey(request: MemberRequest, passkey_id: UUID) -> HttpResponse:
    """Wants a code or a passkey, as what ends two-factor sign-in does."""
    passkey = _own_passkey(request, passkey_id)
    form = _proof(request)
    if not form.is_valid():
        return _passkey(request, passkey, form=form)
    remove_passkey(passkey=passkey)
    messages.success(request, f"The passkey “{passkey}” signs nobody in any more.")
    return redirect("two-factor")


def _own_passkey(request: MemberRequest, passkey_id: UUID) -> Passkey:
    return get_object_or_404(request.user.passkeys, pk=passkey_id)


def _proof(request: MemberRequest) -> ProofForm:
    return ProofForm(request.POST, user=request.user, session=request.session)


def _show_codes(request: MemberRequest, codes: list[str]) -> None:
    if codes:
        show_once(request, {_CODES: "\n".join(codes)})


def _passkey(
    request: MemberRequest,
    passkey: Passkey,
    *,
    form: ProofForm | None = None,
    name_form: PasskeyNameForm | None = None,
) -> HttpResponse:
    context = {
        "section": "profile",
        "passkey": passkey,
        "name_form": name_form or PasskeyNameForm({"name": passkey.name}),
        "form": form or ProofForm(user=request.user, session=request.session),
        "offers_passkey": True,
        "why_none": _why(request),
    }
    is_refused = any(one is not None and one.errors for one in (form, name_form))
    return render_page(request, "accounts/passkey.html", context, status=422 if is_refused else 200)


def _two_factor(
    request: MemberRequest,
    *,
    form: ProofForm | None = None,
    app_form: AppForm | None = None,
    error: str = "",
) -> HttpResponse:
    user = request.user
    factor = SecondFactor.objects.filter(user=user).select_related("user").first()
    is_pending = factor is not None and factor.confirmed_at is None
    passkeys = list(user.passkeys.order_by("created_at"))
    has_app = factor is not None and not is_pending
    context = {
        "section": "profile",
        "now": timezone.now(),
        "factor": factor,
        "has_app": has_app,
        "is_on": has_app or bool(passkeys),
        "codes_left": user.recovery_codes.count(),
        "picture": mark_safe(picture_of(factor)) if factor and is_pending else "",  # noqa: S308 - made of our own secret
        "secret": secret_of(factor) if factor and is_pending else "",
        "form": form or ProofForm(user=user, session=request.session),
        "error": error,
        "passkeys": passkeys,
        "offers_passkey": bool(passkeys),
        "new_form": NewPasskeyForm(user=user, address=""),
        "app_form": app_form or AppForm(user=user, address=""),
        "why_none": _why(request),
        "secrets": take_shown_once(request),
    }
    is_refused = bool(error or (form and form.errors) or (app_form and app_form.errors))
    return render_page(
        request, "accounts/two_factor.html", context, status=422 if is_refused else 200
    )
