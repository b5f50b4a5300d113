"""The forms of who somebody is: signing in, their name, their tokens."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import Membership, Role, Scope, User
from accounts.throttling import forget_tries, take_try
from accounts.tokens import is_within, scope_of

EXPIRIES = {"30": "in 30 days", "90": "in 90 days", "365": "in a year", "": "never"}


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
            minutes = max(1, round(wait.total_seconds() / 60))
            raise ValidationError(
                f"Too many tries. Wait {minutes} min, or reset your password.", code="throttled"
            )
        cleaned = super().clean()
        forget_tries(email=email, address=address, now=timezone.now())
        return cleaned


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
