"""Writes about users and teams."""

import secrets

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from accounts.audit import record
from accounts.models import ApiToken, Membership, Role, Team, User
from uptime.errors import Conflict, Invalid

# Without the letters and digits that are mistaken for each other on paper or a poor screen.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"

NAME_LIMIT = 200
LAST_OWNER = "A team needs an owner: make somebody else one first."


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
    return generate_words(4)


def generate_words(count: int) -> str:
    """Groups of five signs, each of 24 bits."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(count))
    return "-".join(groups)


# -- teams -----------------------------------------------------------------------------------------


@transaction.atomic
def create_team(*, name: str, owner: User) -> Membership:
    """A team of its own, whose one member is `owner`. Raises Invalid."""
    team = Team.objects.create(name=_team_name(name))
    record("team.created", team, team=team)
    return Membership.objects.create(team=team, user=owner, role=Role.OWNER)


@transaction.atomic
def rename_team(*, team: Team, name: str) -> None:
    """Raises Invalid."""
    team.name = _team_name(name)
    team.save(update_fields=["name"])
    record("team.changed", team, team=team, changed=["name"])


@transaction.atomic
def require_second_factor(*, team: Team, is_required: bool) -> None:
    """Members without two-factor sign-in see nothing of the team until they have it."""
    team.requires_second_factor = is_required
    team.save(update_fields=["requires_second_factor"])
    record("team.changed", team, team=team, changed=["requires_second_factor"])


@transaction.atomic
def change_role(*, member: Membership, role: Role) -> None:
    """Raises Conflict for a team's last owner. The member's tokens shrink with the role."""
    if role != Role.OWNER:
        _keep_an_owner(member)
    member.role = role
    member.save(update_fields=["role"])
    name = f"{member.user.email}: {role}"
    record("member.changed", member, team=member.team_id, changed=["role"], name=name)


@transaction.atomic
def remove_member(*, member: Membership) -> None:
    """End the membership, with its API tokens, turns and contacts. Raises Conflict for the last
    owner. The user's account stays."""
    _keep_an_owner(member)
    ApiToken.objects.filter(team=member.team_id, user=member.user_id).delete()
    record("member.removed", member, team=member.team_id, name=member.user.email)
    member.delete()


def _keep_an_owner(member: Membership) -> None:
    # Two owners who leave at the same moment: the second waits here, and is then the last.
    Team.objects.select_for_update().get(pk=member.team_id)
    member.refresh_from_db(fields=["role"])
    others = Membership.objects.filter(
        team=member.team_id, role=Role.OWNER, user__is_active=True
    ).exclude(pk=member.pk)
    if member.is_owner and not others.exists():
        raise Conflict(LAST_OWNER)


def _team_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > NAME_LIMIT or "\0" in name:
        raise Invalid({"name": [f"Give a name of at most {NAME_LIMIT} characters."]})
    return name
