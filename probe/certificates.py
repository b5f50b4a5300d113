"""Certificates that were not accepted, explained."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from probe.net import Trouble
from probe.values import Reason

# OpenSSL's X509_V_ERR_*, as libcurl and Python hand them through
_NOT_YET_VALID = 9
_EXPIRED = 10
_SELF_SIGNED = 18
_SELF_SIGNED_IN_CHAIN = 19
_NAME_MISMATCH = {62, 64}


def trouble_of(result: int, text: str, certificate: x509.Certificate | None, host: str) -> Trouble:
    """Why a chain was not accepted; `certificate` is the server's own, where it could be had."""
    if result == _EXPIRED:
        return Trouble(Reason.TLS_EXPIRED, _expired(host, certificate))
    if result == _NOT_YET_VALID:
        return Trouble(Reason.TLS_NOT_YET_VALID, _not_yet_valid(host, certificate))
    if result in _NAME_MISMATCH or "subject name" in text:  # libcurl compares names by itself
        names = _names(certificate) if certificate else ""
        return Trouble(
            Reason.TLS_HOSTNAME,
            f"The certificate is for {names or 'another name'}, not for {host}.",
        )
    return Trouble(Reason.TLS_UNTRUSTED, _untrusted(host, result, text, certificate))


def _expired(host: str, certificate: x509.Certificate | None) -> str:
    now = datetime.now(UTC)
    if certificate is None or certificate.not_valid_after_utc > now:
        return f"A certificate in the chain of {host} has expired."
    ended_at = certificate.not_valid_after_utc
    return (
        f"The certificate of {host} expired on {ended_at:%Y-%m-%d %H:%M} UTC,"
        f" {(now - ended_at).days} days ago."
    )


def _not_yet_valid(host: str, certificate: x509.Certificate | None) -> str:
    if certificate is None or certificate.not_valid_before_utc <= datetime.now(UTC):
        return f"A certificate in the chain of {host} is not valid yet."
    starts_at = certificate.not_valid_before_utc
    return f"The certificate of {host} is not valid before {starts_at:%Y-%m-%d %H:%M} UTC."


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
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := certificate.issuer.get_attributes_for_oid(oid):
            return repr(str(found[0].value))
    return "an unnamed authority"


def _names(certificate: x509.Certificate) -> str:
    """The names that a certificate is for, the first few."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ""
    names = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    all_names = [*names, *(str(address) for address in addresses)]
    more = f" and {len(all_names) - 5} more" if len(all_names) > 5 else ""
    return ", ".join(all_names[:5]) + more


def tail(text: str) -> str:
    """The telling end of libcurl's and OpenSSL's messages, without their codes."""
    last = text.removesuffix(", errno 0").rsplit("::", 1)[-1].rsplit("routines:", 1)[-1]
    return re.sub(r"\s+", " ", last).strip(" .:") or "no detail given"
