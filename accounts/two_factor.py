"""Two-factor sign-in: after the password, a code from an app (TOTP, RFC 6238), or a recovery code.

    begin_setup() ──> confirm_setup() ──> check_code() at each sign-in ──> turn_off()

A passkey (accounts.passkeys) is a second factor as well; recovery codes stand in for either.
Codes are guessed at a limited pace (see `take_guess`): per user, for whoever guesses knows the
password already.
"""

import hashlib
import hmac
from datetime import datetime, timedelta

import pyotp
import segno
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.actions import generate_words
from accounts.audit import record_for_user
from accounts.models import Passkey, RecoveryCode, SecondFactor, User
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
    """An app or a passkey."""
    has_passkey = Exists(Passkey.objects.filter(user=OuterRef("pk")))
    mine = User.objects.filter(pk=user.pk)
    return mine.filter(Q(second_factor__confirmed_at__isnull=False) | has_passkey).exists()


def begin_setup(*, user: User) -> None:
    """Make a secret for an app to take; another one if that was not confirmed. Raises Conflict."""
    if SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).exists():
        raise Conflict("An app shows your codes already.")
    secret = encrypt({"totp": pyotp.random_base32()})
    SecondFactor.objects.update_or_create(
        user=user, defaults={"secret": secret, "created_at": timezone.now(), "last_step": 0}
    )


@transaction.atomic
def confirm_setup(*, user: User, code: str) -> list[str]:
    """The app shows the right code: from now on it is asked for.

    Returns recovery codes if this is the user's first second factor. Raises Invalid.
    """
    had_one = has_second_factor(user)
    factor = SecondFactor.objects.select_for_update().filter(user=user).first()
    if factor is None or factor.confirmed_at is not None:
        raise Invalid({"code": ["Begin anew: this setup has ended."]})
    if not _take_step(factor, code):
        raise Invalid({"code": [WRONG]})
    factor.confirmed_at = timezone.now()
    factor.save(update_fields=["confirmed_at"])
    record_for_user("two_factor.on", factor, user=user, name=user.email)
    return [] if had_one else renew_codes(user=user)


@transaction.atomic
def check_code(*, user: User, code: str) -> bool:
    """Whether the code is right, the app's or a recovery code. Either is used up by it."""
    factor = (
        SecondFactor.objects.select_for_update()
        .filter(user=user, confirmed_at__isnull=False)
        .first()
    )
    if factor is not None and _take_step(factor, code):
        return True
    used, _ = RecoveryCode.objects.filter(user=user, digest=_digest(code)).delete()
    if used:
        record_for_user("recovery_code.used", user, user=user)
    return used > 0


@transaction.atomic
def turn_off(*, user: User) -> None:
    """The app's codes are asked for no more; passkeys stay."""
    factor = SecondFactor.objects.filter(user=user).first()
    if factor is not None:
        record_for_user("two_factor.off", factor, user=user, name=user.email)
        factor.delete()
    forget_idle_codes(user)


# -- recovery codes --------------------------------------------------------------------------------


@transaction.atomic
def renew_codes(*, user: User) -> list[str]:
    """New recovery codes; those before end."""
    User.objects.select_for_update().get(pk=user.pk)
    codes = [generate_words(3) for _ in range(RECOVERY_CODES)]
    user.recovery_codes.all().delete()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(user=user, digest=_digest(code)) for code in codes
    )
    return codes


def forget_idle_codes(user: User) -> None:
    """Without a second factor there is nothing for recovery codes to stand in for."""
    if not has_second_factor(user):
        user.recovery_codes.all().delete()


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


def _digest(code: str) -> str:
    """A plain hash is enough: a code is 74 random bits. Case, spaces and dashes don't count."""
    plain = "".join(sign for sign in code.lower() if sign.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()
