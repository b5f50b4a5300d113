"""Certificates that were not accepted, explained."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.net import Trouble
from probe.values import Reason

if TYPE_CHECKING:
    from cryptography import x509

# OpenSSL's X509_V_ERR_*, as libcurl and Python hand them through
NOT_LOOKED_AT = 1
_NOT_YET_VALID = 9
_EXPIRED = 10
_SELF_SIGNED = 18
_SELF_SIGNED_IN_CHAIN = 19
_NAME_MISMATCH = {62, 64}
_TOO_WEAK = {66, 67, 68}  # the server's key, an authority's key, a signature
# what OpenSSL says of a handshake that failed
_ALERTS = {
    "tlsv1 alert protocol version": "it speaks no version of TLS that is known here",
    "unsupported protocol": "it speaks no version of TLS that is known here",
    "wrong version number": "it does not speak TLS",
    "packet length too long": "it does not speak TLS",
    "record layer failure": "it does not speak TLS",
    "tlsv13 alert certificate required": "it requires a client certificate",
    "tlsv1 alert no application protocol": "it knows none of the protocols offered (ALPN)",
    "no application protocol": "it knows none of the protocols offered (ALPN)",
    "tlsv1 unrecognized name": "it does not know the name asked for (SNI)",
    "unexpected eof while reading": "it closed the connection",
}


def is_about_strength(result: int) -> bool:
    """Whether a chain was refused for nothing but a key or a signature that is too weak."""
    return result in _TOO_WEAK


def trouble_of(
    result: int, text: str, certificate: x509.Certificate | None, host: str, *, called: str = ""
) -> Trouble:
    """Why a chain was not accepted; `certificate` is the server's own, where it could be had, or
    the one that is `called` so."""
    called = called or f"The certificate of {host}"
    if result == _EXPIRED:
        return Trouble(Reason.TLS_EXPIRED, _expired(called, host, certificate))
    if result == _NOT_YET_VALID:
        return Trouble(Reason.TLS_NOT_YET_VALID, _not_yet_valid(called, host, certificate))
    # libcurl compares names by itself, before all else, and over QUIC doesn't say that it was they
    is_other = result in _NAME_MISMATCH or "subject name" in text
    if is_other or (result == NOT_LOOKED_AT and certificate):
        if certificate is not None and not alternative_names(certificate):
            return nameless(certificate, host)
        names = _names(certificate) if certificate else ""
        return Trouble(
            Reason.TLS_HOSTNAME,
            f"The certificate is for {names or 'another name'}, not for {host}.",
        )
    return Trouble(Reason.TLS_UNTRUSTED, _untrusted(host, result, text, certificate))


def nameless(certificate: x509.Certificate | None, host: str) -> Trouble:
    """A certificate that names nothing where names are looked for (RFC 9525 section 6.3)."""
    from cryptography.x509.oid import NameOID

    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME) if certificate else []
    only = f", only the common name {str(found[0].value)!r}, which browsers ignore" if found else ""
    return Trouble(
        Reason.TLS_HOSTNAME,
        f"The certificate of {host} has no subject alternative names{only}.",
    )


def _expired(called: str, host: str, certificate: x509.Certificate | None) -> str:
    now = datetime.now(UTC)
    if certificate is None or certificate.not_valid_after_utc > now:
        return f"A certificate in the chain of {host} has expired."
    ended_at = certificate.not_valid_after_utc
    return f"{called} expired on {ended_at:%Y-%m-%d %H:%M} UTC, {(now - ended_at).days} days ago."


def _not_yet_valid(called: str, host: str, certificate: x509.Certificate | None) -> str:
    if certificate is None or certificate.not_valid_before_utc <= datetime.now(UTC):
        return f"A certificate in the chain of {host} is not valid yet."
    starts_at = certificate.not_valid_before_utc
    return f"{called} is not valid before {starts_at:%Y-%m-%d %H:%M} UTC."


def _untrusted(host: str, result: int, text: str, certificate: x509.Certificate | None) -> str:
    if result == _SELF_SIGNED:
        return f"The certificate of {host} is self-signed."
    issuer = _issuer(certificate) if certificate else "an authority"
    if result == _SELF_SIGNED_IN_CHAIN:
        return f"The certificate of {host} is from {issuer}, whose root is not trusted."
    if result in (2, 20, 21):
        return (
            f"The certificate of {host} is from {issuer}, which is not trusted,"
            " or an intermediate certificate is missing."
        )
    return f"The certificate of {host} is not trusted: {tail(text)}."


def _issuer(certificate: x509.Certificate) -> str:
    from cryptography.x509.oid import NameOID

    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := certificate.issuer.get_attributes_for_oid(oid):
            return repr(str(found[0].value))
    return "an unnamed authority"


def _names(certificate: x509.Certificate) -> str:
    """The names that a certificate is for, the first few."""
    all_names = alternative_names(certificate)
    more = f" and {len(all_names) - 5} more" if len(all_names) > 5 else ""
    return ", ".join(all_names[:5]) + more


def alternative_names(certificate: x509.Certificate) -> list[str]:
    """The names and addresses that a certificate is for."""
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    names = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return [*names, *(str(address) for address in addresses)]


def load(data: bytes) -> x509.Certificate | None:
    """A certificate out of PEM or DER; None where it can't be read."""
    from cryptography import x509  # large: only for those who look into a certificate

    try:
        if data.lstrip().startswith(b"-----"):
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except ValueError:
        return None


def facts_of(data: bytes) -> dict[str, Any]:
    """What a certificate (PEM or DER) says, by the names that assertions use; {} if unreadable.

    Dates are ISO 8601, fingerprint (SHA-256) and serial number are lower-case hexadecimal.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes

    certificate = load(data)
    if certificate is None:
        return {}
    ends_at = certificate.not_valid_after_utc
    facts: dict[str, Any] = {
        "days_left": days_until(ends_at),
        "alternative_names": alternative_names(certificate),
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
        "serial_number": f"{certificate.serial_number:x}",
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": ends_at.isoformat(),
    }
    try:
        key = certificate.public_key()
        facts["key_type"] = type(key).__name__.lstrip("_").removesuffix("PublicKey")
        facts["key_bits"] = getattr(key, "key_size", 256)  # Ed25519 and X25519 have but one size
        algorithm = certificate.signature_hash_algorithm
        facts["signature_hash"] = algorithm.name if algorithm else None
        facts["issuer"] = certificate.issuer.rfc4514_string()
        facts["subject"] = certificate.subject.rfc4514_string()
    except (UnsupportedAlgorithm, ValueError):
        pass  # a key or a name of a kind that is not known: no value to compare
    return facts


def weakness_of(certificate: x509.Certificate) -> str:
    """What of a certificate is too weak by today's standard, in a few words; empty if nothing is.

    RSA and DSA keys under 2048 bits, elliptic curves under 224, signatures with MD5 or SHA-1: what
    NIST SP 800-131A disallows and browsers refuse.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

    try:
        key, algorithm = certificate.public_key(), certificate.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        return ""  # of a kind that is not known here, so hardly an old one
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) and key.key_size < 2048:
        return f"a key of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < 224:
        return f"a key on a curve of {key.key_size} bits"
    if algorithm is not None and algorithm.name in ("md5", "sha1"):
        return f"a signature with {algorithm.name.upper()}"
    return ""


@lru_cache(maxsize=1)
def system_authorities() -> str:
    """The file of the authorities that the system trusts; certifi's where it has none."""
    system = ssl.get_default_verify_paths().cafile
    for path in (system, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"):
        if path and Path(path).is_file():
            return path
    import certifi

    return certifi.where()


def expiry_warning(ends_at: datetime | None, limit_days: int) -> str:
    """That a certificate has fewer days left than it should; empty where it has enough, or none are
    asked for."""
    if ends_at is None or not limit_days or (days := days_until(ends_at)) >= limit_days:
        return ""
    if days < 0:
        gone = _stretch(datetime.now(UTC) - ends_at)
        return f"The certificate expired on {ends_at:%Y-%m-%d %H:%M} UTC, {gone} ago."
    left = _stretch(ends_at - datetime.now(UTC))
    return (
        f"The certificate expires on {ends_at:%Y-%m-%d %H:%M} UTC: {left} left, expected at least"
        f" {limit_days}{'' if 'days' in left else ' days'}."
    )


def _stretch(time: timedelta) -> str:
    """In days, or in hours or minutes where that says more."""
    minutes = max(time.total_seconds() / 60, 0)
    if minutes >= 2880:
        return f"{round(minutes / 1440, 1):g} days"
    return f"{minutes / 60:.0f} hours" if minutes >= 120 else f"{minutes:.0f} minutes"


def days_until(moment: datetime) -> float:
    return round((moment - datetime.now(UTC)).total_seconds() / 86400, 1)


def in_words(failure: str) -> str:
    """OpenSSL's words for what failed in a handshake, in plainer ones where there are any."""
    return _ALERTS.get(failure, failure)


def tail(text: str) -> str:
    """The telling end of libcurl's and OpenSSL's messages, without their codes."""
    last = text.removesuffix(", errno 0").rsplit("::", 1)[-1].rsplit("routines:", 1)[-1]
    return re.sub(r"\s+", " ", last).strip(" .:") or "no detail given"
