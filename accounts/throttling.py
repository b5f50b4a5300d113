"""How often a password may be tried.

One address may try one e-mail ten times in a quarter of an hour. The pair is what is counted: the
address alone would lock out an office behind one router, the e-mail alone would let anybody lock
out its owner. The count is a row in the database, so it holds for all web processes and over
restarts. A guesser with many addresses is not stopped by it; the password rules are there for that
one. Behind a proxy that does not pass the caller's address on, all callers share the proxy's.
"""

import hashlib
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from accounts.models import SignInTries

MAX_TRIES = 10
WINDOW = timedelta(minutes=15)


def take_try(*, email: str, address: str, now: datetime) -> timedelta | None:
    """Count one try; None when it may go on, else how long to wait.

    It is counted before the password is looked at, under the row's lock, so that guesses sent at
    the same time are all counted. Tries that are refused do not lengthen the wait.
    """
    with transaction.atomic():
        row, _ = SignInTries.objects.select_for_update().get_or_create(
            pair=_pair(email, address), defaults={"since": now}
        )
        if row.since <= now - WINDOW:
            row.since, row.count = now, 0
        if row.count >= MAX_TRIES:
            return row.since + WINDOW - now
        row.count += 1
        row.save(update_fields=["since", "count"])
    return None


def forget_tries(*, email: str, address: str, now: datetime) -> None:
    """The password was right: start again from nothing. Sweeps out what has lapsed, too."""
    lapsed = Q(since__lte=now - WINDOW)
    SignInTries.objects.filter(Q(pair=_pair(email, address)) | lapsed).delete()


def _pair(email: str, address: str) -> str:
    """A digest: an address that somebody mistyped, or their password in its field, is not kept."""
    return hashlib.sha256(f"{address} {email.strip().lower()}".encode()).hexdigest()
