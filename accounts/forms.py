"""The forms of who somebody is and of their teams."""

from datetime import timedelta
from typing import Any, Self

from django import forms
from django.contrib.auth.forms import (
    AuthenticationForm,
    PasswordChangeForm,
    PasswordResetForm,
)
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.actions import NAME_LIMIT
from accounts.audit import ACTIONS
from accounts.models import AuditEntry, Membership, Role, Scope, Team, User
from accounts.passkeys import NAME_LIMIT as PASSKEY_NAME_LIMIT
from accounts.passkeys import REFUSED, Refused, check_passkey, passkey_in, take_challenge
from accounts.throttling import digest_of, forget_tries, take, take_try, too_many
from accounts.tokens import is_within, scope_of
from accounts.two_factor import WRONG, check_code, take_guess
from uptime.wall_clock import zone_names

# In a window of accounts.throttling.
MOST_RESETS = 3
EXPIRIES = {"30": "in 30 days", "90": "in 90 days", "365": "in a year", "": "never"}


def zone_choices() -> list[tuple[str, str]]:
    return [("", "As the browser has it"), *((name, name) for name in zone_names())]


class SignInForm(AuthenticationForm):
    """E-mail and password, tried a limited number of times (see accounts.throttling)."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["username"].label = "E-mail"
        self.fields["username"].widget.attrs["autocomplete"] = "username"
        self.error_messages["invalid_login"] = "E-mail and password don't fit together."

    def clean(self) -> dict[str, Any]:
        email = self.cleaned_data.get("username")
        if not email or not self.cleaned_data.get("password"):
            return self.cleaned_data
        assert self.request is not None
        address = self.request.META.get("REMOTE_ADDR", "")
        if wait := take_try(email=email, address=address, now=timezone.now()):
            text = f"{too_many(wait)[:-1]}, or reset your password."
            raise ValidationError(text, code="throttled")
        cleaned = super().clean()
        forget_tries(email=email, address=address, now=timezone.now())
        return cleaned


class ProofForm(forms.Form):
    """The second step of signing in, and of what is as grave: a code, or a passkey instead.

    See accounts.two_factor and accounts.passkeys. A script fills `passkey` in.
    """

    code = forms.CharField(
        label="Code",
        max_length=40,
        required=False,
        widget=forms.TextInput(
            {"autocomplete": "one-time-code", "autocapitalize": "off", "spellcheck": "false"}
        ),
        help_text="Six digits of your app, or a recovery code.",
    )
    passkey = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, user: User, session: SessionBase) -> None:
        super().__init__(data)
        self.user, self.session = user, session

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        answer = given.get("passkey", "")
        if self.errors:
            return given
        if not answer and not given["code"]:
            self.add_error("code", "Enter a code.")
        elif wait := take_guess(user=self.user, now=timezone.now()):
            self.add_error("code", ValidationError(too_many(wait), code="throttled"))
        elif answer:
            self._check_passkey(answer)
        elif not check_code(user=self.user, code=given["code"]):
            self.add_error("code", WRONG)
        return given

    def _check_passkey(self, answer: str) -> None:
        try:
            challenge = take_challenge(self.session, "ask")
            passkey = passkey_in(answer)
            if passkey is None or passkey.user_id != self.user.pk:
                raise Refused(REFUSED)
            check_passkey(passkey=passkey, answer=answer, challenge=challenge, alone=False)
        except Refused as refused:
            self.add_error(None, str(refused))


class PasskeyNameForm(forms.Form):
    name = forms.CharField(
        label="Name", max_length=PASSKEY_NAME_LIMIT, help_text="Where it is: “Laptop”, “Key ring”."
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="id_passkey_%s")


def check_own_password(user: User, given: str, address: str) -> None:
    """That whoever uses this session knows its password; tried as rarely as at signing in.

    Raises ValidationError.
    """
    now = timezone.now()
    if wait := take_try(email=user.email, address=address, now=now):
        raise ValidationError(too_many(wait), code="throttled")
    if not user.check_password(given):
        raise ValidationError("This is not your password.")
    forget_tries(email=user.email, address=address, now=now)


class PasswordForm(PasswordChangeForm):
    """A new password, for who knows the old one."""

    def __init__(self, user: User, data: Any = None, *, address: str) -> None:
        super().__init__(user, data)
        self.address = address
        # it is one form of several on its page
        self.fields["old_password"].widget.attrs.pop("autofocus", None)

    def clean_old_password(self) -> str:
        given = str(self.cleaned_data["old_password"])
        check_own_password(self.user, given, self.address)
        return given


class ResetForm(PasswordResetForm):
    """Sends the mail; one address is sent a few in a while, whoever asks for them."""

    def save(self, *args: Any, **kwargs: Any) -> None:
        key = digest_of("resets of", self.cleaned_data["email"].strip().lower())
        # one that is not sent looks the same, or it would tell who has an account
        if take(key, most=MOST_RESETS, now=timezone.now()) is None:
            super().save(*args, **kwargs)


class _OwnPasswordForm(forms.Form):
    """Wants the password: a browser that was left open is not enough."""

    user: User
    address: str

    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )

    def clean_password(self) -> str:
        given = str(self.cleaned_data["password"])
        check_own_password(self.user, given, self.address)
        return given


class AppForm(_OwnPasswordForm):
    """Whoever sets up an app can keep everybody else out, the account's owner as well."""

    def __init__(self, data: Any = None, *, user: User, address: str) -> None:
        super().__init__(data, auto_id="id_app_%s")
        self.user, self.address = user, address


class NewPasskeyForm(PasskeyNameForm, _OwnPasswordForm):
    """Whoever adds a passkey can sign in with it for ever."""

    def __init__(self, data: Any = None, *, user: User, address: str) -> None:
        super().__init__(data)
        self.user, self.address = user, address


class LooksForm(forms.ModelForm[User]):
    """How pages look for somebody, in whatever browser."""

    time_zone = forms.ChoiceField(label="Time zone", required=False, choices=zone_choices)

    class Meta:
        model = User
        fields = ("time_zone", "theme")


class NameForm(forms.ModelForm[User]):
    class Meta:
        model = User
        fields = ("name",)
        help_texts = {"name": "How you are called in the timeline of incidents."}


class TokenForm(forms.Form):
    """A new API token: nobody can give it more than their own role allows."""

    name = forms.CharField(label="Name", max_length=200, help_text="What will use it.")
    scope = forms.ChoiceField(label="May")
    expires = forms.ChoiceField(
        label="Expires", choices=list(EXPIRIES.items()), initial="90", required=False
    )

    def __init__(self, data: Any = None, *, membership: Membership) -> None:
        super().__init__(data, auto_id="id_token_%s")
        granted = scope_of(Role(membership.role))
        scopes = [scope for scope in Scope if is_within(scope, granted)]
        chooser = self.fields["scope"]
        assert isinstance(chooser, forms.ChoiceField)
        chooser.choices = [(scope.value, scope.label) for scope in scopes]

    def values(self) -> dict[str, Any]:
        days = self.cleaned_data["expires"]
        return {
            "name": self.cleaned_data["name"],
            "scope": Scope(self.cleaned_data["scope"]),
            "expires_at": timezone.now() + timedelta(days=int(days)) if days else None,
        }


class TeamForm(forms.Form):
    name = forms.CharField(label="Name", max_length=NAME_LIMIT)


class RoleForm(forms.Form):
    role = forms.ChoiceField(label="Role", choices=Role.choices)

    @classmethod
    def of(cls, member: Membership) -> Self:
        """One of many on its page: each has its own id."""
        form = cls(initial={"role": member.role}, auto_id=f"id_{member.pk}_%s")
        form.fields["role"].label = f"Role of {member.user}"
        return form


class InviteForm(forms.Form):
    email = forms.EmailField(label="E-mail", help_text="They get a link that works for 7 days.")
    role = forms.ChoiceField(
        label="Role",
        choices=Role.choices,
        initial=Role.EDITOR,
        help_text="Viewers look, editors change things, owners also choose who is in the team.",
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="id_invite_%s")


class JoinForm(forms.Form):
    """A new account for whoever is invited: the address is the invitation's."""

    name = forms.CharField(label="Your name", max_length=200, required=False)
    password = forms.CharField(
        label="Password",
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
        help_text="At least 8 characters, not all of them digits.",
    )

    def values(self) -> dict[str, str]:
        return dict(self.cleaned_data)


class AuditForm(forms.Form):
    """What of the audit trail is shown. Whatever makes no sense filters nothing."""

    who = forms.EmailField(label="Who (e-mail)", required=False)
    action = forms.ChoiceField(
        label="What", required=False, choices=[("", "Anything"), *ACTIONS.items()]
    )
    name = forms.CharField(label="Name of the object", required=False, max_length=200)
    before = forms.UUIDField(required=False)

    def __init__(self, data: Any = None, *, team: Team) -> None:
        super().__init__(data, auto_id="id_audit_%s")
        self.team = team

    def filtered(self, entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        given = self.cleaned_data
        if given["who"]:
            entries = entries.filter(who__iexact=given["who"])
        if given["action"]:
            entries = entries.filter(action=given["action"])
        if given["name"]:
            entries = entries.filter(object_name__icontains=given["name"])
        edge = AuditEntry.objects.filter(team=self.team, pk=given["before"]).first()
        if edge is not None:
            older = Q(at__lt=edge.at) | Q(at=edge.at, pk__lt=edge.pk)
            entries = entries.filter(older, at__lte=edge.at)
        return entries
