"""API tokens: made once, shown once, recognised by their hash."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.audit import record
from accounts.models import ApiToken, Role, Scope, Team, User

# Often enough to see which tokens are alive, seldom enough that reading does not mean writing.
LAST_USED_PRECISION = timedelta(minutes=1)

# From narrow to wide: each includes those before it.
_SCOPES = (Scope.READ, Scope.WRITE, Scope.ADMIN)
_SCOPE_OF_ROLE = {Role.VIEWER: Scope.READ, Role.EDITOR: Scope.WRITE, Role.OWNER: Scope.ADMIN}


@transaction.atomic
def issue_token(
    *,
    user: User,
    team: Team,
    scope: Scope,
    name: str = "",
    expires_at: datetime | None = None,
) -> str:
    """Make a token of `user` for `team` and return it: only its hash is kept."""
    token = ApiToken.generate()
    made = ApiToken.objects.create(
        user=user,
        team=team,
        scope=scope,
        name=name,
        digest=ApiToken.digest_of(token),
        hint=token[: ApiToken._meta.get_field("hint").max_length],
        expires_at=expires_at,
    )
    record("token.created", made, team=team)
    return token


@transaction.atomic
def revoke_token(*, token: ApiToken) -> None:
    """It opens nothing from now on."""
    record("token.revoked", token, team=token.team_id)
    token.delete()


def authenticate_token(text: str) -> ApiToken | None:
    """The token that `text` is, with its user and team; None when it opens nothing (any more).

    A token lives no longer than its user's account and place in the team, whatever its own expiry
    says, and its `scope` comes back no wider than its user's present role. Notes when it was last
    used, to the minute.
    """
    if not text.startswith(ApiToken.PREFIX):
        return None
    now = timezone.now()
    token = (
        ApiToken.objects.usable(now)
        .filter(
            digest=ApiToken.digest_of(text),
            user__is_active=True,
            team__memberships__user=F("user"),
        )
        .annotate(role=F("team__memberships__role"))
        .select_related("user", "team")
        .first()
    )
    if token is None:
        return None
    _note_use(token, now)
    role = Role(token.role)  # type: ignore[attr-defined]  # annotated above
    token.scope = min(Scope(token.scope), scope_of(role), key=_SCOPES.index)
    return token


def scope_of(role: Role) -> Scope:
    """What a member of this role may do, in the terms of a token's scope."""
    return _SCOPE_OF_ROLE[role]


def is_within(scope: Scope, granted: Scope) -> bool:
    """Whether `granted` allows what `scope` asks for."""
    return _SCOPES.index(scope) <= _SCOPES.index(granted)


def _note_use(token: ApiToken, now: datetime) -> None:
    stale = now - LAST_USED_PRECISION
    if token.last_used_at is not None and token.last_used_at > stale:
        return
    # The condition again, in the database: of many requests at once one writes.
    ApiToken.objects.filter(Q(last_used_at=None) | Q(last_used_at__lte=stale), pk=token.pk).update(
        last_used_at=now
    )
