"""Invitations: an e-mail address is asked into a team, by a link that works once.

    invite_member() ──> mail_invitation() ──> find_invitation() ──> join_team() or join_as_new()

The link's token is 256 random bits; its hash is all that is kept. Sending again makes a new one,
and ends the old. An invitation is for its address: an account with another one can't accept it.
"""

import hashlib
import secrets
import smtplib
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from accounts.audit import record
from accounts.models import Invitation, Membership, Role, Team, User
from accounts.throttling import digest_of, take
from uptime.errors import Conflict, Invalid

log = structlog.get_logger(__name__)

LASTS = timedelta(days=7)
# Mails in a window of accounts.throttling: of one team, and to one address whoever invites it.
MOST_OF_A_TEAM = 20
MOST_TO_AN_ADDRESS = 3

CONSOLE = "django.core.mail.backends.console.EmailBackend"


@transaction.atomic
def invite_member(*, team: Team, email: str, role: Role, by: User | None) -> tuple[Invitation, str]:
    """Invite the address; returns the token for its link. Raises Invalid and Conflict.

    Whoever was invited already is invited anew: with this role, and by a new link.
    """
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise Invalid({"email": ["This is not an e-mail address."]}) from error
    if Membership.objects.filter(team=team, user__email__iexact=email).exists():
        raise Invalid({"email": ["They are in the team already."]})
    now = timezone.now()
    _take_mail(team, email, now)
    token = secrets.token_urlsafe(32)
    values = {
        "role": role,
        "digest": _digest(token),
        "invited_by": by,
        "expires_at": now + LASTS,
    }
    invitation, _ = Invitation.objects.update_or_create(team=team, email=email, defaults=values)
    record("member.invited", invitation, team=team, name=f"{email}: {role}")
    return invitation, token


def invite_again(*, invitation: Invitation, by: User | None) -> str:
    """A new link, for as long as a new invitation's. Raises Conflict."""
    role = Role(invitation.role)
    _, token = invite_member(team=invitation.team, email=invitation.email, role=role, by=by)
    return token


@transaction.atomic
def revoke_invitation(*, invitation: Invitation) -> None:
    """Its link ends."""
    record("member.uninvited", invitation, team=invitation.team_id, name=invitation.email)
    invitation.delete()


def mail_invitation(invitation: Invitation, token: str) -> bool:
    """Send the link to the address; false where that failed, or only reached our own terminal."""
    context = {"invitation": invitation, "link": link_of(token), "days": LASTS.days}
    try:
        send_mail(
            subject=f"Join {' '.join(invitation.team.name.split())} on Uptime",
            message=render_to_string("accounts/invitation_email.txt", context),
            from_email=None,
            recipient_list=[invitation.email],
        )
    except (smtplib.SMTPException, OSError) as error:
        log.warning("accounts.invitation.not_sent", id=str(invitation.pk), error=str(error))
        return False
    return str(settings.EMAIL_BACKEND) != CONSOLE


def link_of(token: str) -> str:
    """Of this installation, whatever host a request named."""
    return f"{settings.BASE_URL}{reverse('invitation', args=[token])}"


def find_invitation(token: str) -> Invitation | None:
    """The invitation that `token` is for; None once it is used, taken back or expired."""
    return _open().filter(digest=_digest(token)).select_related("team", "invited_by").first()


@transaction.atomic
def join_team(*, token: str, user: User) -> Membership:
    """Use the invitation up for an account that is there. Raises Conflict."""
    invitation = _use_up(token)
    if user.email.lower() != invitation.email:
        raise Conflict(f"This invitation is for {invitation.email}.")
    return _join(invitation, user)


@transaction.atomic
def join_as_new(*, token: str, name: str, password: str) -> Membership:
    """Use the invitation up for a new account of its address. Raises Invalid and Conflict."""
    invitation = _use_up(token)
    if User.objects.filter(email__iexact=invitation.email).exists():
        raise Conflict("There is an account with this address: sign in with it.")
    try:
        validate_password(password, User(email=invitation.email, name=name))
    except ValidationError as error:
        raise Invalid({"password": error.messages}) from error
    user = User.objects.create_user(invitation.email, password, name=name.strip())
    return _join(invitation, user)


def _use_up(token: str) -> Invitation:
    # Locked: of two who follow the link at the same moment, the second finds it used.
    invitation = (
        _open()
        .select_for_update(of=("self",))
        .select_related("team")
        .filter(digest=_digest(token))
        .first()
    )
    if invitation is None:
        raise Conflict("This invitation is used up, expired, or was taken back.")
    return invitation


def _join(invitation: Invitation, user: User) -> Membership:
    membership, _ = Membership.objects.get_or_create(
        team=invitation.team, user=user, defaults={"role": invitation.role}
    )
    record("member.joined", membership, team=membership.team_id, name=user.email, by=user)
    invitation.delete()
    return membership


def _open() -> QuerySet[Invitation]:
    return Invitation.objects.filter(expires_at__gt=timezone.now())


def _take_mail(team: Team, email: str, now: datetime) -> None:
    limits = {
        digest_of("invitations of", team.pk): MOST_OF_A_TEAM,
        digest_of("invitations to", email): MOST_TO_AN_ADDRESS,
    }
    for key, most in limits.items():
        if wait := take(key, most=most, now=now):
            minutes = max(1, round(wait.total_seconds() / 60))
            raise Conflict(f"That is a lot of invitations. Go on in {minutes} min.")


def _digest(token: str) -> str:
    """A plain hash is enough: there is nothing to guess in 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()
