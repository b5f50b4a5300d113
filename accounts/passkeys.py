"""Passkeys (W3C Web Authentication): a key pair of a device, bound to this installation's address.

    begin_adding() ──> browser ──> add_passkey()         with the password, beforehand
    begin_asking() ──> browser ──> check_passkey()       alone, or after the password

What the browser is asked to sign is a challenge that its session keeps, for one answer. The library
that reads answers takes half a second and 7 MB to load: only who uses passkeys pays for it.
"""

import json
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from secrets import token_bytes
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.utils import timezone

from accounts.audit import record_for_user
from accounts.models import Passkey, User
from accounts.two_factor import forget_idle_codes, has_second_factor, renew_codes
from uptime.errors import Conflict, Invalid

log = structlog.get_logger(__name__)

NAME_LIMIT = 100
MOST_PER_USER = 20
ANSWERED_WITHIN = timedelta(minutes=5)
_TIMEOUT_MS = round(ANSWERED_WITHIN.total_seconds() * 1000)
_CHALLENGE = "challenge"
_TRANSPORTS = ("usb", "nfc", "ble", "internal", "cable", "hybrid", "smart-card")
# What reading something raises that is not what it should be.
_MALFORMED = (ValueError, TypeError, KeyError, AttributeError)

REFUSED = "This passkey was not accepted. Try again, or sign in another way."
COPIED = (
    "This passkey counts backwards, so there may be a copy of it. It was not accepted: sign in"
    " another way, and remove it."
)


class Refused(Exception):
    """The browser's answer proves nothing; the text is for its user."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Whom passkeys are for: browsers offer them at this address and nowhere else."""

    id: str
    origin: str
    netloc: str
    is_safe: bool


def relying_party() -> RelyingParty:
    base = urlsplit(settings.BASE_URL)
    name = base.hostname or ""
    is_here = name == "localhost" or name.endswith(".localhost")
    is_safe = base.scheme == "https" or is_here
    return RelyingParty(name, f"{base.scheme}://{base.netloc}", base.netloc, is_safe)


def why_none(ours: RelyingParty, host: str) -> str:
    """Why a page that was asked for at `host` can't offer passkeys; empty where it can."""
    if _is_address(ours.id):
        return (
            f"Browsers keep passkeys for names, and {ours.id} is an address: set UPTIME_BASE_URL"
            " to a name."
        )
    if not ours.is_safe:
        return "Browsers offer passkeys over HTTPS only: set UPTIME_BASE_URL to an https address."
    if host != ours.netloc:
        return f"Passkeys belong to {ours.origin}: open this page there."
    return ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


# -- challenges ------------------------------------------------------------------------------------


def _new_challenge(session: SessionBase, purpose: str) -> bytes:
    challenge = token_bytes(32)
    at = timezone.now().timestamp()
    session[_CHALLENGE] = {"purpose": purpose, "value": challenge.hex(), "at": at}
    return challenge


def take_challenge(session: SessionBase, purpose: str) -> bytes:
    """What the browser had to sign, gone from the session at once. Raises Refused."""
    kept = session.pop(_CHALLENGE, None)
    session.save()  # whatever becomes of the request: there is one answer to a challenge
    age_s = timezone.now().timestamp() - kept["at"] if kept else 0
    if kept is None or kept["purpose"] != purpose or age_s > ANSWERED_WITHIN.total_seconds():
        raise Refused("That took too long. Try again.")
    return bytes.fromhex(kept["value"])


# -- adding ----------------------------------------------------------------------------------------


def begin_adding(*, user: User, session: SessionBase) -> dict[str, Any]:
    """What the browser needs to make a passkey. Whoever asks has given the password."""
    from webauthn import generate_registration_options
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    options = generate_registration_options(
        rp_id=relying_party().id,
        rp_name="Uptime",
        user_id=user.pk.bytes,
        user_name=user.email,
        user_display_name=str(user),
        challenge=_new_challenge(session, "add"),
        timeout=_TIMEOUT_MS,
        exclude_credentials=_descriptors(user),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
    )
    return options_to_json_dict(options)


@transaction.atomic
def add_passkey(*, user: User, name: str, answer: str, challenge: bytes) -> list[str]:
    """Keep the passkey that the browser made.

    Returns recovery codes if this is the user's first second factor. Raises Invalid, or Conflict
    for a passkey that somebody has already.
    """
    from webauthn import verify_registration_response
    from webauthn.helpers.exceptions import WebAuthnException

    name = _clean_name(name)
    ours = relying_party()
    try:
        made = verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=ours.id,
            expected_origin=ours.origin,
        )
    except (WebAuthnException, *_MALFORMED) as error:
        log.info("passkey.not_added", user=str(user.pk), error=str(error))
        raise Invalid({"passkey": [REFUSED]}) from None
    User.objects.select_for_update().get(pk=user.pk)
    had_one = has_second_factor(user)
    if user.passkeys.count() >= MOST_PER_USER:
        raise Conflict(f"You have {MOST_PER_USER} passkeys: remove one first.")
    passkey, is_new = Passkey.objects.get_or_create(
        credential_id=made.credential_id,
        defaults={
            "user": user,
            "name": name,
            "public_key": made.credential_public_key,
            "sign_count": made.sign_count,
            "transports": _transports_of(answer),
        },
    )
    if not is_new:
        raise Conflict("This passkey is in use already.")
    record_for_user("passkey.added", passkey, user=user)
    return [] if had_one else renew_codes(user=user)


@transaction.atomic
def rename_passkey(*, passkey: Passkey, name: str) -> None:
    """Raises Invalid."""
    passkey.name = _clean_name(name)
    passkey.save(update_fields=["name"])


@transaction.atomic
def remove_passkey(*, passkey: Passkey) -> None:
    """With the last second factor, its recovery codes go as well."""
    record_for_user("passkey.removed", passkey, user=passkey.user)
    passkey.delete()
    forget_idle_codes(passkey.user)


def _clean_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > NAME_LIMIT or "\0" in name:
        raise Invalid({"name": [f"Give a name of at most {NAME_LIMIT} characters."]})
    return name


def _transports_of(answer: str) -> list[str]:
    """What the browser says of the way to the device; only said back to it, so never judged."""
    found = json.loads(answer)["response"].get("transports")
    names = found if isinstance(found, list) else []
    return [name for name in names if name in _TRANSPORTS]


# -- asking ----------------------------------------------------------------------------------------


def begin_asking(*, user: User | None, session: SessionBase) -> dict[str, Any]:
    """What the browser needs to sign with a passkey: of `user`'s, else with any that it knows.

    Where the passkey is all that is asked for, the device has to verify who holds it.
    """
    from webauthn import generate_authentication_options
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import UserVerificationRequirement as Wanted

    options = generate_authentication_options(
        rp_id=relying_party().id,
        challenge=_new_challenge(session, "ask"),
        timeout=_TIMEOUT_MS,
        allow_credentials=_descriptors(user) if user else None,
        user_verification=Wanted.DISCOURAGED if user else Wanted.REQUIRED,
    )
    return options_to_json_dict(options)


@transaction.atomic
def check_passkey(*, answer: str, challenge: bytes, passkey: Passkey, alone: bool) -> None:
    """Whether the passkey has signed the challenge; `alone`, without a password before it.

    Raises Refused.
    """
    from webauthn import verify_authentication_response
    from webauthn.helpers.exceptions import WebAuthnException

    ours = relying_party()
    row = Passkey.objects.select_for_update().get(pk=passkey.pk)
    try:
        shown = verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=ours.id,
            expected_origin=ours.origin,
            credential_public_key=bytes(row.public_key),
            credential_current_sign_count=0,  # judged below, by then the signature is right
            require_user_verification=alone,
        )
    except (WebAuthnException, *_MALFORMED) as error:
        log.info("passkey.refused", passkey=str(row.pk), error=str(error))
        raise Refused(REFUSED) from None
    if is_copied(before=row.sign_count, now=shown.new_sign_count):
        log.warning("passkey.copied", passkey=str(row.pk), user=str(row.user_id))
        raise Refused(COPIED)
    row.sign_count, row.last_used_at = shown.new_sign_count, timezone.now()
    row.save(update_fields=["sign_count", "last_used_at"])


def is_copied(*, before: int, now: int) -> bool:
    """Whether a count did not go up that has to (W3C Web Authentication, 6.1.1)."""
    return (before > 0 or now > 0) and now <= before


def passkey_in(answer: str) -> Passkey | None:
    """Which passkey the browser says it signed with: not proven yet."""
    try:
        given = json.loads(answer)
        raw = base64url_to_bytes(given["id"])
        handle = given["response"].get("userHandle")
        owner = UUID(bytes=base64url_to_bytes(handle)) if handle else None
    except _MALFORMED:
        return None
    found = Passkey.objects.filter(credential_id=raw, user__is_active=True)
    if owner is not None:
        found = found.filter(user=owner)
    return found.select_related("user").first()


def base64url_to_bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _descriptors(user: User) -> list[Any]:
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

    return [
        PublicKeyCredentialDescriptor(
            id=bytes(one.credential_id),
            transports=[AuthenticatorTransport(name) for name in one.transports],
        )
        for one in user.passkeys.order_by("created_at")
    ]
