"""What a stream was opened with, and whether that still opens it.

A stream lasts for hours. Whoever is let out meanwhile (a member removed, a token revoked or past
its time, a session ended, an account disabled) must not go on reading.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from accounts.models import ApiToken, BrowserSession, Membership


@dataclass(frozen=True, slots=True)
class Pass:
    """Somebody's way into a team: by a token, else by a browser's session."""

    team_id: UUID
    user_id: UUID
    token_id: UUID | None = None
    session_key: str = ""


def good_passes(passes: Collection[Pass]) -> set[Pass]:
    """Those that still open their team. Three queries at most, whatever their number."""
    now = timezone.now()
    places = Membership.objects.filter(
        user__in={one.user_id for one in passes}, user__is_active=True
    )
    members = set(places.values_list("user_id", "team_id"))
    token_ids = {one.token_id for one in passes if one.token_id}
    tokens = ApiToken.objects.usable(now).filter(pk__in=token_ids) if token_ids else ()
    usable = {token.pk for token in tokens}
    keys = {one.session_key for one in passes if one.session_key}
    sessions = BrowserSession.objects.filter(pk__in=keys, expire_date__gt=now) if keys else None
    live = set(sessions.values_list("pk", "user_id")) if sessions is not None else set()
    return {
        one
        for one in passes
        if (one.user_id, one.team_id) in members
        and (one.token_id in usable if one.token_id else (one.session_key, one.user_id) in live)
    }
