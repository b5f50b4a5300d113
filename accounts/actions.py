"""Writes about users and teams."""

import secrets

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from accounts.models import Membership, Role, Team, User
from uptime.errors import Invalid

# Without the letters and digits that are mistaken for each other on paper or a poor screen.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@transaction.atomic
def create_first_user(*, email: str, password: str) -> User:
    """Make an administrator with a team of its own. Raises Invalid."""
    try:
        validate_email(email)
    except ValidationError as error:
        raise Invalid({"email": [f"{email!r} is not an e-mail address."]}) from error
    user = User.objects.create_superuser(email=email, password=password)
    team = Team.objects.create(name="Main")
    Membership.objects.create(team=team, user=user, role=Role.OWNER)
    return user


def ensure_first_user(*, email: str, password: str = "") -> tuple[User, str]:
    """The administrator who was there first, made now if there is none.

    Returns it with the password that was generated for it: empty when the caller gave one, or when
    the user was there already.
    """
    administrators = User.objects.filter(is_superuser=True, is_active=True)
    if found := administrators.order_by("created_at").first():
        return found, ""
    generated = "" if password else generate_password()
    return create_first_user(email=email, password=password or generated), generated


def generate_password() -> str:
    """Four groups of five signs: 98 bits, to be read off a screen and typed."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    return "-".join(groups)
