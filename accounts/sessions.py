"""The session engine: Django's own, whose rows also say who is signed in and where.

What a row says of its origin is kept in the session's data, so that it survives whatever makes the
row anew: a sign-in, a changed password.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth import SESSION_KEY, login
from django.contrib.sessions.backends import db
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import BrowserSession, User

_ORIGIN = "origin"
# Often enough to tell which browser is in use, seldom enough that reading does not mean writing.
SEEN_PRECISION = timedelta(minutes=5)


class SessionStore(db.SessionStore):
    seen_at: datetime | None = None

    @classmethod
    def get_model_class(cls) -> type[BrowserSession]:
        return BrowserSession

    def create_model_instance(self, data: dict[str, Any]) -> BrowserSession:
        row = super().create_model_instance(data)
        assert isinstance(row, BrowserSession)
        row.user_id = data.get(SESSION_KEY)
        if origin := data.get(_ORIGIN):
            row.address, row.agent = origin["address"], origin["agent"]
            row.signed_in_at = datetime.fromtimestamp(origin["at"], UTC)
        return row

    def _get_session_from_db(self) -> BrowserSession | None:
        row: BrowserSession | None = super()._get_session_from_db()  # type: ignore[misc]  # the stubs leave it out
        if row is not None:
            self.seen_at = row.seen_at
        return row


def sign_in(request: HttpRequest, user: User) -> None:
    """Begin a session of `user`, and note where; both factors have been asked for."""
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session[_ORIGIN] = {
        "address": request.META.get("REMOTE_ADDR", "")[:45],
        "agent": request.headers.get("User-Agent", "").replace("\0", "")[:300],
        "at": timezone.now().timestamp(),
    }


def note_seen(request: HttpRequest) -> None:
    """The session is in use; written every few minutes at most."""
    session, now = request.session, timezone.now()
    seen_at = getattr(session, "seen_at", None)
    if seen_at is not None and seen_at <= now - SEEN_PRECISION:
        BrowserSession.objects.filter(pk=session.session_key).update(seen_at=now)


def sessions_of(user: User) -> QuerySet[BrowserSession]:
    """Where the user is signed in, last seen first."""
    live = BrowserSession.objects.filter(user=user, expire_date__gt=timezone.now())
    return live.defer("session_data").order_by("-seen_at")


def end_sessions_of(user: User) -> None:
    """Sign the user out everywhere."""
    BrowserSession.objects.filter(user=user).delete()


def end_other_sessions(request: HttpRequest, user: User) -> int:
    """Sign the user out of every other browser; returns how many."""
    others = BrowserSession.objects.filter(user=user).exclude(pk=request.session.session_key)
    count, _ = others.delete()
    return count
