"""Two-factor sign-in: after the password, a code from an app (TOTP, RFC 6238), or a recovery code.

    begin_setup() ──> confirm_setup() ──> check_code() at each sign-in ──> turn_off()

Codes are guessed at a limited pace (see `take_guess`): per user, for whoever guesses knows the
password already.
"""

import hashlib
import hmac
from datetime import datetime, timedelta

import pyotp
import segno
from django.db import transaction
from django.utils import timezone

from accounts.actions import generate_words
from accounts.models import RecoveryCode, SecondFactor, User
from accounts.throttling import digest_of, take
from uptime.clock import database_now
from uptime.errors import Conflict, Invalid
from uptime.secrets import decrypt, encrypt

STEP_S = 30
# A phone's clock may be wrong by so many steps; RFC 6238, 5.2 recommends one.
DRIFT = 1
RECOVERY_CODES = 10
MAX_GUESSES = 10  # in a window of accounts.throttling

WRONG = "This code is not right, or was used already."


def has_second_factor(user: User) -> bool:
    return SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).exists()


def begin_setup(*, user: User) -> None:
    """Make a secret for an app to take; another one if that was not confirmed. Raises Conflict."""
    if has_second_factor(user):
        raise Conflict("Two-factor sign-in is on already.")
    secret = encrypt({"totp": pyotp.random_base32()})
    SecondFactor.objects.update_or_create(
        user=user, defaults={"secret": secret, "created_at": timezone.now(), "last_step": 0}
    )


@transaction.atomic
def confirm_setup(*, user: User, code: str) -> list[str]:
    """The app shows the right code: from now on it is asked for. Returns the recovery codes.

    Raises Invalid.
    """
    factor = SecondFactor.objects.select_for_update().filter(user=user).first()
    if factor is None or factor.confirmed_at is not None:
        raise Invalid({"code": ["Begin anew: this setup has ended."]})
    if not _take_step(factor, code):
        raise Invalid({"code": [WRONG]})
    factor.confirmed_at = timezone.now()
    factor.save(update_fields=["confirmed_at"])
    return _renew_codes(factor)


@transaction.atomic
def check_code(*, user: User, code: str) -> bool:
    """Whether the code is right, the app's or a recovery code. Either is used up by it."""
    factor = (
        SecondFactor.objects.select_for_update()
        .filter(user=user, confirmed_at__isnull=False)
        .first()
    )
    if factor is None:
        return False
    if _take_step(factor, code):
        return True
    used, _ = factor.codes.filter(digest=_digest(code)).delete()
    return used > 0


@transaction.atomic
def renew_codes(*, user: User) -> list[str]:
    """New recovery codes; those before end."""
    return _renew_codes(SecondFactor.objects.select_for_update().get(user=user))


def turn_off(*, user: User) -> None:
    SecondFactor.objects.filter(user=user).delete()


def take_guess(*, user: User, now: datetime) -> timedelta | None:
    """Count one guess of a code; None when it may go on, else how long to wait."""
    return take(digest_of("codes of", user.pk), most=MAX_GUESSES, now=now)


def secret_of(factor: SecondFactor) -> str:
    """What is typed into an app that can't take a picture."""
    return str(decrypt(factor.secret)["totp"])


def picture_of(factor: SecondFactor) -> str:
    """The secret as a QR code: an SVG without any style, as the pages' policy wants it.

    It is dark on light whatever the theme: many scanners read nothing else.
    """
    address = pyotp.TOTP(secret_of(factor)).provisioning_uri(
        name=factor.user.email, issuer_name="Uptime"
    )
    return segno.make(address, error="m").svg_inline(
        border=4, dark="#000", light="#fff", omitsize=True, svgclass="qr", lineclass=None
    )


def _take_step(factor: SecondFactor, code: str) -> bool:
    code = "".join(code.split())
    totp = pyotp.TOTP(secret_of(factor))
    present = int(database_now().timestamp()) // STEP_S
    for step in range(present - DRIFT, present + DRIFT + 1):
        is_right = hmac.compare_digest(totp.at(step * STEP_S).encode(), code.encode())
        if is_right and step > factor.last_step:
            factor.last_step = step
            factor.save(update_fields=["last_step"])
            return True
    return False


def _renew_codes(factor: SecondFactor) -> list[str]:
    codes = [generate_words(3) for _ in range(RECOVERY_CODES)]
    factor.codes.all().delete()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(factor=factor, digest=_digest(code)) for code in codes
    )
    return codes


def _digest(code: str) -> str:
    """A plain hash is enough: a code is 74 random bits. Case, spaces and dashes don't count."""
    plain = "".join(sign for sign in code.lower() if sign.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()
