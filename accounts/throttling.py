"""How often something may be tried: passwords, above all.

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
    """Count one try of a password; None when it may go on, else how long to wait."""
    return take(_pair(email, address), most=MAX_TRIES, now=now)


def take(key: str, *, most: int, now: datetime) -> timedelta | None:
    """Count one try of what `key` (a digest) stands for; None, or how long to wait.

    It is counted before the thing is done, under the row's lock, so that tries sent at the same
    time are all counted. Tries that are refused do not lengthen the wait.
    """
    with transaction.atomic():
        row, _ = SignInTries.objects.select_for_update().get_or_create(
            pair=key, defaults={"since": now}
        )
        if row.since <= now - WINDOW:
            row.since, row.count = now, 0
        if row.count >= most:
            return row.since + WINDOW - now
        row.count += 1
        row.save(update_fields=["since", "count"])
    return None


def too_many(wait: timedelta) -> str:
    """What is said to who has to wait."""
    return f"Too many tries. Wait {max(1, round(wait.total_seconds() / 60))} min."


def digest_of(*parts: object) -> str:
    """A key for `take`: what it is made of can't be read from it."""
    return hashlib.sha256(" ".join(str(part) for part in parts).encode()).hexdigest()


def forget_tries(*, email: str, address: str, now: datetime) -> None:
    """The password was right: start again from nothing. Sweeps out what has lapsed, too."""
    lapsed = Q(since__lte=now - WINDOW)
    SignInTries.objects.filter(Q(pair=_pair(email, address)) | lapsed).delete()


def _pair(email: str, address: str) -> str:
    """A digest: an address that somebody mistyped, or their password in its field, is not kept."""
    return digest_of(address, email.strip().lower())
