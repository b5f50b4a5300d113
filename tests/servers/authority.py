"""A certificate authority for tests, and server certificates with one thing wrong."""

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key and the chain that a server sends along."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
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

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "server.pem"
            path.write_text(self.key_pem + self.certificate_pem)
            context.load_cert_chain(path)
        return context


class Authority:
    """A root of trust that nobody knows but who is given its certificate."""

    def __init__(self, name: str = "Test Root") -> None:
        self._root = issue(name, issuer=None, is_authority=True)

    @cached_property
    def certificate_pem(self) -> str:
        return self._root.certificate_pem

    def issue(self, *names: str, starts: timedelta | None = None, ends: timedelta) -> Issued:
        """A certificate for these names and addresses, valid for the given stretch round now."""
        return issue(names[0], *names, issuer=self._root, starts=starts, ends=ends)

    def issue_through_intermediate(self, *names: str, sends_chain: bool) -> Issued:
        middle = issue("Test Intermediate", issuer=self._root, is_authority=True)
        leaf = issue(names[0], *names, issuer=middle)
        return Issued(leaf.certificate, leaf.key, (middle.certificate,) if sends_chain else ())


def issue(
    common_name: str,
    *names: str,
    issuer: Issued | None,
    is_authority: bool = False,
    starts: timedelta | None = None,
    ends: timedelta = timedelta(days=90),
) -> Issued:
    """Make a certificate; self-signed without an issuer."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
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
    return Issued(builder.sign(signing_key, hashes.SHA256()), key)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
