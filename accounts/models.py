"""Who may: users (their e-mail is their login), teams, memberships with roles, API tokens."""

import hashlib
import secrets
from datetime import datetime
from typing import ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from uptime.ids import uuid7

THEMES = [("", "As the system has it"), ("light", "Light"), ("dark", "Dark")]


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)

    def create_user(self, email: str, password: str | None = None, **fields: object) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField("e-mail", unique=True)
    name = models.CharField(max_length=200, blank=True)
    is_staff = models.BooleanField("may use the admin", default=False)
    is_active = models.BooleanField("may sign in", default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    time_zone = models.CharField(
        max_length=64, blank=True, help_text="Empty: as their browser has it."
    )
    theme = models.CharField(max_length=5, blank=True, choices=THEMES)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_any_case")]

    def __str__(self) -> str:
        return self.name or self.email


class TeamQuerySet(models.QuerySet["Team"]):
    def of_user(self, user: User) -> Self:
        return self.filter(memberships__user=user)


class Team(models.Model):
    """The owner of everything that the outside can name; every query starts from one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    retention_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        # Less would cut into what is not packed yet: see `monitors.retention`.
        validators=[MinValueValidator(7), MaxValueValidator(3650)],
        help_text="How long its single results, hourly figures and pings are kept. Empty: as long"
        " as the installation says (UPTIME_RETENTION_DAYS).",
    )
    requires_second_factor = models.BooleanField("members need two-factor sign-in", default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TeamQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    OWNER = "owner", "Owner"
    EDITOR = "editor", "Editor"
    VIEWER = "viewer", "Viewer"


class Membership(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.EDITOR)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="one_membership")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team} ({self.role})"

    @property
    def may_edit(self) -> bool:
        return self.role in (Role.OWNER, Role.EDITOR)

    @property
    def is_owner(self) -> bool:
        return self.role == Role.OWNER


class Invitation(models.Model):
    """An e-mail address that may join a team; whoever holds its link's token may, once.

    Only the token's hash is stored. What was accepted or taken back is deleted.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField("e-mail")
    role = models.CharField(max_length=10, choices=Role, default=Role.EDITOR)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "email"], name="one_invitation")]

    def __str__(self) -> str:
        return f"{self.email} to {self.team}"


class Scope(models.TextChoices):
    READ = "read", "Read"
    WRITE = "write", "Read and write"
    ADMIN = "admin", "Everything"


class TokenQuerySet(models.QuerySet["ApiToken"]):
    def usable(self, now: datetime) -> Self:
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=now))


class ApiToken(models.Model):
    """A program's key to one team. Only its hash is stored: the token itself is shown once."""

    PREFIX: ClassVar[str] = "upt_"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="tokens")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=200, blank=True)
    scope = models.CharField(max_length=10, choices=Scope, default=Scope.WRITE)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(
        max_length=12, editable=False, help_text="The token's first characters."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = TokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"

    def __str__(self) -> str:
        return self.name or f"{self.hint}…"

    @staticmethod
    def digest_of(token: str) -> str:
        """A plain hash is enough: the token is 256 random bits, there is nothing to guess."""
        return hashlib.sha256(token.encode()).hexdigest()

    @classmethod
    def generate(cls) -> str:
        return cls.PREFIX + secrets.token_urlsafe(32)


class IdempotentRequest(models.Model):
    """The first answer to a write that carried an `Idempotency-Key`, given again for 24 hours."""

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey(Team, on_delete=models.CASCADE)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="Hash of method, path and body.")
    status = models.PositiveSmallIntegerField(null=True, help_text="Empty while the first runs.")
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="one_idempotency_key")]

    def __str__(self) -> str:
        return self.key


class AuditEntry(models.Model):
    """Who did what, to which object, when and from where. Rows are added, never changed.

    What is named is kept as text, too: it outlives the user, the token and the object.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="audit_entries")
    at = models.DateTimeField(default=timezone.now)
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    who = models.CharField(max_length=254, help_text="E-mail.")
    token = models.CharField(max_length=200, blank=True, help_text="Of the API, if it was one.")
    action = models.CharField(max_length=64)
    object_id = models.CharField(max_length=36)
    object_name = models.CharField(max_length=200)
    changed = models.JSONField(default=list, help_text="Names of fields; never their values.")
    address = models.CharField(max_length=45, blank=True)

    class Meta:
        verbose_name_plural = "audit trail"
        # The page and the API read a team's newest; the chore deletes the oldest of all.
        indexes = [
            models.Index(fields=["team", "-at", "-id"], name="audit_by_team"),
            models.Index(fields=["at"], name="audit_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.who}: {self.action} {self.object_name}"


class SignInTries(models.Model):
    """How often one address tried passwords for one e-mail since its window began.

    Other things that are limited in the same way are counted here, too (accounts.throttling).
    """

    pair = models.CharField(max_length=64, primary_key=True, help_text="A hash of both.")
    since = models.DateTimeField()
    count = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name_plural = "sign-in tries"

    def __str__(self) -> str:
        return f"{self.count} since {self.since:%Y-%m-%d %H:%M:%S}"


class SecondFactor(models.Model):
    """The app that shows a user's codes (TOTP, RFC 6238). It counts once it is confirmed.

    The secret is encrypted (uptime.secrets). A step that was used is not taken again: whoever looks
    over a shoulder sees a code that is spent.
    """

    user = models.OneToOneField(
        User, on_delete=models.CASCADE, primary_key=True, related_name="second_factor"
    )
    secret = models.TextField(editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    confirmed_at = models.DateTimeField(null=True, editable=False)
    last_step = models.BigIntegerField(default=0, editable=False)

    def __str__(self) -> str:
        return f"of {self.user}"


class Passkey(models.Model):
    """A key pair of somebody's device (WebAuthn), of which we have the public half.

    It signs its user in, alone or after their password. `sign_count` is what the device said last:
    one that counts and falls back was copied; many say 0 for ever.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="passkeys")
    name = models.CharField(max_length=100)
    credential_id = models.BinaryField(max_length=1023, unique=True)
    public_key = models.BinaryField(help_text="COSE, RFC 9052.")
    sign_count = models.BigIntegerField(default=0)
    transports = models.JSONField(default=list, help_text="How the browser reaches the device.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return self.name


class RecoveryCode(models.Model):
    """Stands in for a code or a passkey when that is lost, once; deleted when it is used."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="one_code")]

    def __str__(self) -> str:
        return f"of {self.user}"


class BrowserSession(AbstractBaseSession):
    """A browser's session; who is signed in there, and since when, is beside its data."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="sessions")
    address = models.CharField(max_length=45, blank=True)
    agent = models.CharField(max_length=300, blank=True, help_text="What the browser says it is.")
    signed_in_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(default=timezone.now)

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        from accounts.sessions import SessionStore  # it needs this model

        return SessionStore
