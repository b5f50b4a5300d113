"""A certificate authority for tests, and server certificates with one thing wrong."""

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

Digest = Literal["sha256", "sha1", "md5"]
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key and the chain that a server sends along."""

    certificate: x509.Certificate
    key: Key
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_pem(self) -> str:
        return b"".join(map(_pem, (self.certificate, *self.chain))).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def server_context(self, context: ssl.SSLContext | None = None) -> ssl.SSLContext:
        context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "server.pem"
            path.write_text(self.key_pem + self.certificate_pem)
            context.load_cert_chain(path)
        return context


class Authority:
    """A root of trust that nobody knows but who is given its certificate."""

    def __init__(self, name: str = "Test Root", key: Key | None = None) -> None:
        self._root = issue(name, issuer=None, is_authority=True, key=key)

    @cached_property
    def certificate_pem(self) -> str:
        return self._root.certificate_pem

    def issue(
        self,
        *names: str,
        starts: timedelta | None = None,
        ends: timedelta,
        key: Key | None = None,
        digest: Digest = "sha256",
        sends_root: bool = False,
    ) -> Issued:
        """A certificate for these names and addresses, valid for the given stretch round now."""
        leaf = issue(
            names[0],
            *names,
            issuer=self._root,
            starts=starts,
            ends=ends,
            key=key,
            digest=digest,
        )
        chain = (self._root.certificate,) if sends_root else ()
        return Issued(leaf.certificate, leaf.key, chain)

    def issue_through_intermediate(
        self,
        *names: str,
        sends_chain: bool,
        ends: timedelta = timedelta(days=90),
        digest: Digest = "sha256",
        is_authority: bool = True,
    ) -> Issued:
        middle = issue(
            "Test Intermediate",
            issuer=self._root,
            is_authority=is_authority,
            ends=ends,
            digest=digest,
        )
        leaf = issue(names[0], *names, issuer=middle)
        return Issued(leaf.certificate, leaf.key, (middle.certificate,) if sends_chain else ())


def issue(
    common_name: str,
    *names: str,
    issuer: Issued | None,
    is_authority: bool = False,
    starts: timedelta | None = None,
    ends: timedelta = timedelta(days=90),
    key: Key | None = None,
    digest: Digest = "sha256",
) -> Issued:
    """Make a certificate; self-signed without an issuer."""
    now = datetime.now(UTC)
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer.certificate.subject if issuer else _name(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + (starts if starts is not None else -timedelta(days=30)))
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    signing_key = issuer.key if issuer else key
    certificate = builder.sign(signing_key, hashes.SHA256())
    if digest != "sha256":
        certificate = _signed_weakly(certificate, signing_key, digest)
    return Issued(certificate, key)


_SHA256_WITH_RSA = bytes.fromhex("2a864886f70d01010b")
_WITH_RSA: dict[Digest, tuple[bytes, hashes.HashAlgorithm]] = {
    "sha1": (bytes.fromhex("2a864886f70d010105"), hashes.SHA1()),
    "md5": (bytes.fromhex("2a864886f70d010104"), hashes.MD5()),
}


def _signed_weakly(certificate: x509.Certificate, key: Key, digest: Digest) -> x509.Certificate:
    """The same certificate, signed anew as no library does any more: RSA with an old digest."""
    assert isinstance(key, rsa.RSAPrivateKey)
    name, algorithm = _WITH_RSA[digest]
    signed = certificate.tbs_certificate_bytes.replace(_SHA256_WITH_RSA, name)
    signature = key.sign(signed, padding.PKCS1v15(), algorithm)
    whole = certificate.public_bytes(serialization.Encoding.DER)
    whole = whole.replace(certificate.tbs_certificate_bytes, signed)
    whole = whole.replace(_SHA256_WITH_RSA, name)
    return x509.load_der_x509_certificate(whole[: -len(signature)] + signature)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
