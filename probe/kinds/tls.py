"""tls: a handshake, and all that can be wrong with what the server shows in it.

The handshake is pyOpenSSL's, with a callback that lets it go on whatever is wrong with the chain:
so one connection shows the chain and everything that is wrong with it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from probe import certificates
from probe.assertions import Judge, Source
from probe.kinds.base import (
    CertificatePem,
    Kind,
    clean_host,
    join_host_port,
    refuse_unfit_pair,
    split_host_port,
)
from probe.kinds.session import (
    NETWORK_SECTION,
    TLS_SECTION,
    Session,
    SessionPlan,
    StreamSettings,
    observe_session,
)
from probe.net import Net, Trouble, is_address
from probe.starttls import ByteStream, StartTls, ask_for_tls
from probe.values import Job, Observation, Reason, Spec, Status

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from OpenSSL import SSL

MAX_HANDSHAKE_BYTES = 1_048_576
"""How much a server may send before the handshake is done; OpenSSL has limits of its own."""

_WAIT_FOR_REFUSAL_S = 1.0
"""How long a TLS 1.3 server that asked for a client certificate may take to complain."""

_UNTRUSTED = {2, 18, 19, 20, 21}  # X509_V_ERR_*: no way to a trusted root
_DATES = {9, 10}
_FLAWS = {
    7: "a signature in its chain is wrong",
    22: "its chain is too long",
    23: "it was revoked",
    24: "a certificate in its chain is not an authority's",
    25: "its chain is longer than an authority in it allows",
    26: "it is not meant for servers",
    28: "an authority in its chain is not meant for servers",
    34: "it has a critical extension that is not known here",
    47: "an authority in its chain may not vouch for this name",
    79: "an authority in its chain is not a valid one",
}
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class TlsSettings(StreamSettings):
    sources: ClassVar[frozenset[Source]] = StreamSettings.sources

    server_name: str | None = Field(
        default=None,
        max_length=253,
        title="Server name",
        description="Asked for (SNI) and looked for in the certificate. Empty: the target's host.",
    )
    starttls: StartTls = Field(
        default="none",
        title="STARTTLS",
        description="Begin in the clear and go over to TLS as this protocol does.",
    )
    alpn: tuple[str, ...] = Field(
        default=(),
        max_length=10,
        title="Protocols (ALPN)",
        description="Offered in the handshake, such as h2; the server must choose one.",
    )
    client_certificate: CertificatePem | None = Field(
        default=None, title="Client certificate (PEM)", description="With its chain, if any."
    )
    client_key: SecretStr | None = Field(
        default=None,
        max_length=50_000,
        title="Client key (PEM)",
        description="The client certificate's private key, without a passphrase.",
    )

    @field_validator("server_name")
    @classmethod
    def _check_server_name(cls, name: str | None) -> str | None:
        return clean_host(name) if name and name.strip() else None

    @field_validator("alpn")
    @classmethod
    def _check_alpn(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if any(not (name.isascii() and 1 <= len(name) <= 255) for name in names):
            raise ValueError("A protocol's name has 1 to 255 ASCII characters, such as h2")
        return names

    @model_validator(mode="after")
    def _check_client_certificate(self) -> Self:
        refuse_unfit_pair(self.client_certificate, self.client_key)
        if self.client_key is not None:
            _load_key(self.client_key.get_secret_value())
        return self


@dataclass(frozen=True, slots=True)
class TlsPlan(SessionPlan):
    name: str
    tls: TlsSettings

    @property
    def context(self) -> SSL.Context:
        key = self.tls.client_key
        return client_context(
            self.tls.ca_certificate,
            self.tls.client_certificate,
            key.get_secret_value() if key is not None else None,
        )


def make_plan(spec: Spec) -> TlsPlan:
    settings: TlsSettings = spec.settings
    host, port = split_host_port(spec.target)
    judge = Judge(settings.assertions, settings.assertion_tree)
    name = (settings.server_name or host).removesuffix(".")  # RFC 6066 section 3
    return TlsPlan(host, port, None, settings, judge, name, settings)


@lru_cache(maxsize=16)
def client_context(
    authorities: str | None, certificates_pem: str | None = None, key_pem: str | None = None
) -> SSL.Context:
    """Trusts the system's authorities and these, and shows these certificates where a server asks.

    Old versions and weak ciphers are spoken, so that the check can say that they are what is wrong.
    Kept, because loading takes milliseconds and megabytes. A connection's app data is its Witness.
    """
    from OpenSSL import SSL, crypto

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_VERSION)
    context.set_cipher_list(b"ALL:!aNULL:!eNULL:@SECLEVEL=0")
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.load_verify_locations(certificates.system_authorities())
    store = context.get_cert_store()
    for pem in _PEM.findall(authorities or ""):
        if store is not None:
            store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, pem.encode()))
    if certificates_pem is not None and key_pem is not None:
        _show(context, certificates_pem, key_pem)
    context.set_verify(SSL.VERIFY_PEER, _on_certificate)
    context.set_info_callback(_on_state)
    return context


def _show(context: SSL.Context, certificates_pem: str, key_pem: str) -> None:
    """Let a client show its certificate, the first of these, and the chain that follows it."""
    from cryptography import x509

    own, *chain = x509.load_pem_x509_certificates(certificates_pem.encode())
    context.use_certificate(own)
    context.use_privatekey(_load_key(key_pem))
    for certificate in chain:
        context.add_extra_chain_cert(certificate)


def _load_key(
    pem: str,
) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
    """A client's private key. Raises ValueError where it is of a sort that clients don't show."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem.encode(), None)
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        return key
    raise ValueError("A client key is one of RSA, an elliptic curve or Ed25519")


class Witness:
    """What OpenSSL tells of one handshake while it goes on. It doesn't know the connection: the two
    would keep each other, and with them OpenSSL's buffers, until the garbage collector comes by."""

    __slots__ = ("asks_for_certificate", "errors")

    def __init__(self) -> None:
        self.errors: list[ChainError] = []
        self.asks_for_certificate = False


def _on_certificate(
    connection: SSL.Connection, certificate: Any, code: int, depth: int, _is_good: int
) -> bool:
    if code:
        try:
            readable = certificate.to_cryptography()
        except ValueError:
            readable = None
        text = _FLAWS.get(code, f"error {code} of OpenSSL's X509_V_ERR")
        witness: Witness = connection.get_app_data()
        witness.errors.append(ChainError(code, text, depth, readable))
    return True


def _on_state(connection: SSL.Connection, _where: int, _result: int) -> None:
    if b"certificate request" in connection.get_state_string():
        witness: Witness = connection.get_app_data()
        witness.asks_for_certificate = True


@dataclass(frozen=True, slots=True)
class ChainError:
    """What OpenSSL found wrong: its code and words, and how far from the server's certificate."""

    code: int
    text: str
    depth: int
    certificate: x509.Certificate | None


class Handshake:
    """One handshake over a stream in the clear, and what it showed.

    `chain` is what the server sent, its own certificate first. The errors that `seen` has are in
    the order that OpenSSL looks: the way to a root, then dates.
    """

    def __init__(self, stream: ByteStream, plan: TlsPlan) -> None:
        from OpenSSL import SSL

        self.seen = Witness()
        self._stream = stream
        self._plan = plan
        self._received = 0
        self._connection = SSL.Connection(plan.context, None)
        self._connection.set_app_data(self.seen)
        if plan.tls.alpn:
            self._connection.set_alpn_protos([name.encode() for name in plan.tls.alpn])
        if not is_address(plan.name):
            self._connection.set_tlsext_host_name(plan.name.encode("ascii"))
        self._connection.set_connect_state()

    @property
    def version(self) -> str:
        """As 1.2 or 1.3."""
        name = self._connection.get_protocol_version_name()
        return name.removeprefix("TLSv") if "." in name else "1.0"

    @property
    def cipher(self) -> str:
        return self._connection.get_cipher_name() or ""

    @property
    def alpn(self) -> str:
        return self._connection.get_alpn_proto_negotiated().decode("ascii", "backslashreplace")

    @property
    def path(self) -> list[x509.Certificate]:
        """The way to a trusted root, as far as there is one, the server's own certificate first."""
        return self._connection.get_verified_chain(as_cryptography=True) or []

    @property
    def chain(self) -> list[x509.Certificate]:
        """Raises ValueError where one of them can't be read."""
        return self._connection.get_peer_cert_chain(as_cryptography=True) or []

    async def make(self) -> None:
        """Raises Trouble where it fails, OSError where the connection breaks."""
        await self._run(self._connection.do_handshake)

    async def await_refusal(self) -> None:
        """Hear what a server says after the handshake: under TLS 1.3 it refuses only then. Anything
        else, such as its session tickets, means that it is content. Raises Trouble."""
        from OpenSSL import SSL

        data = await self._stream.receive()
        if not data:
            raise self._failed("unexpected eof while reading")
        self._connection.bio_write(data)
        try:
            self._connection.recv(1)
        except (SSL.WantReadError, SSL.ZeroReturnError):
            return
        except SSL.Error as error:
            raise self._failed(_words_of(error)) from None

    async def _run(self, step: Callable[[], object]) -> None:
        from OpenSSL import SSL

        while True:
            try:
                step()
            except SSL.WantReadError:
                await self._flush()
                data = await self._stream.receive()
                if not data:
                    raise self._failed("unexpected eof while reading") from None
                self._received += len(data)
                if self._received > MAX_HANDSHAKE_BYTES:
                    raise self._failed("it sends without end") from None
                self._connection.bio_write(data)
            except SSL.ZeroReturnError:  # the end, announced by an alert
                raise self._failed("unexpected eof while reading") from None
            except SSL.Error as error:
                raise self._failed(_words_of(error)) from None
            else:
                await self._flush()
                return

    async def _flush(self) -> None:
        from OpenSSL import SSL

        while True:
            try:
                data = self._connection.bio_read(65_536)
            except SSL.WantReadError:
                return
            await self._stream.send(data)

    def _failed(self, words: str) -> Trouble:
        how = certificates.in_words(words)
        if self.seen.asks_for_certificate and ("handshake failure" in words or "alert" in words):
            how = "it requires a client certificate"
            if self._plan.tls.client_certificate is not None:
                how = f"it does not accept the client certificate ({words})"
        return Trouble(
            Reason.TLS_HANDSHAKE,
            f"The TLS handshake with {self._plan.host} port {self._plan.port} failed: {how}.",
        )


def _words_of(error: SSL.Error) -> str:
    """The telling words of OpenSSL's error."""
    queue = error.args[0] if error.args else []
    if isinstance(queue, Sequence) and queue and isinstance(queue[0], tuple):
        return str(queue[0][-1]) or "no detail given"
    return "unexpected eof while reading" if "EOF" in str(error) else str(error)


class Inspection:
    """One check: talks, then grades what was seen of the chain."""

    def __init__(self, plan: TlsPlan) -> None:
        self._plan = plan
        self._handshake: Handshake | None = None
        self._chain: list[x509.Certificate] = []

    async def talk(self, session: Session) -> None:
        settings = self._plan.tls
        session.doing = "asking for TLS"
        await ask_for_tls(settings.starttls, session.lines)
        session.doing = "in the TLS handshake"
        started_at = time.monotonic()
        handshake = Handshake(session.stream, self._plan)
        await handshake.make()
        session.note("tls_ms", started_at)
        self._handshake = handshake
        self._keep(session, handshake)
        await self._let_refuse(session, handshake)
        if settings.alpn and not handshake.alpn:
            raise Trouble(
                Reason.TLS_HANDSHAKE,
                f"{session.place} agreed to none of the protocols offered (ALPN:"
                f" {', '.join(settings.alpn)}).",
            )
        if settings.verify_tls:
            self._verify(handshake)

    def _keep(self, session: Session, handshake: Handshake) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding

        try:
            self._chain = handshake.chain
        except ValueError as error:
            raise Trouble(
                Reason.TLS_HANDSHAKE, f"A certificate of {session.place} can't be read: {error}."
            ) from None
        if not self._chain:
            raise Trouble(Reason.TLS_HANDSHAKE, f"{session.place} showed no certificate.")
        session.facts[Source.TLS_VERSION] = handshake.version
        session.certificate = self._chain[0].public_bytes(Encoding.DER)
        session.cert_expires_at = self._chain[0].not_valid_after_utc

    async def _let_refuse(self, session: Session, handshake: Handshake) -> None:
        if not handshake.seen.asks_for_certificate or handshake.version != "1.3":
            return
        try:
            async with asyncio.timeout(min(_WAIT_FOR_REFUSAL_S, session.deadline.remaining_s / 2)):
                await handshake.await_refusal()
        except TimeoutError:
            return  # it can do without

    def _verify(self, handshake: Handshake) -> None:
        """Raise Trouble for what is wrong with the chain, the most telling first, none left out."""
        found = [*self._way_troubles(handshake), *self._name_troubles()]
        for error in handshake.seen.errors:
            if error.code in _DATES:
                found.append(
                    certificates.trouble_of(
                        error.code,
                        error.text,
                        error.certificate,
                        self._plan.host,
                        called=self._called(error.certificate) if error.certificate else "",
                    )
                )
        if found:
            first, *others = dict.fromkeys(trouble.message for trouble in found)
            besides = f" Besides: {' '.join(others)}" if others else ""
            raise Trouble(found[0].reason, first + besides)

    def _way_troubles(self, handshake: Handshake) -> list[Trouble]:
        """What is wrong with the way from the server's certificate to a trusted root."""
        errors = {error.code: error for error in handshake.seen.errors}
        others = [each for code, each in errors.items() if code not in _UNTRUSTED | _DATES]
        if errors.keys() - _DATES and _is_signed_by_none(self._chain):
            return [
                Trouble(
                    Reason.TLS_UNTRUSTED,
                    f"The certificate of {self._plan.host} is from {_issuer(self._chain[0])}, whose"
                    " own certificate is not that of an authority.",
                )
            ]
        if not errors.keys() & _UNTRUSTED:
            return [
                certificates.trouble_of(each.code, each.text, each.certificate, self._plan.host)
                for each in others
            ]
        return [Trouble(Reason.TLS_UNTRUSTED, self._untrusted(errors.keys()))]

    def _untrusted(self, codes: Iterable[int]) -> str:
        host, leaf, last = self._plan.host, self._chain[0], self._chain[-1]
        if 18 in codes:
            return f"The certificate of {host} is self-signed."
        issuer = _issuer(leaf)
        if 19 in codes:
            root = _issuer(last)
            return f"The certificate of {host} is from {issuer}, whose root {root} is not trusted."
        missing = _issuer(last)
        if len(self._chain) > 1:
            return (
                f"The certificate of {host} is from {issuer}, but its chain ends at {missing},"
                " which is neither sent nor trusted: an intermediate certificate is missing, or the"
                " authority is unknown."
            )
        if self._plan.settings.ca_certificate or _says_where_issuer_is(leaf):
            return (
                f"The certificate of {host} is from {missing}, whose intermediate certificate the"
                " server does not send."
            )
        return (
            f"The certificate of {host} is from {missing}, an unknown authority, and the server"
            " sends no intermediate certificate."
        )

    def _name_troubles(self) -> list[Trouble]:
        names = certificates.alternative_names(self._chain[0])
        if is_for(self._plan.name, names):
            return []
        return [certificates.trouble_of(62, "", self._chain[0], self._plan.name)]

    def grade(self, seen: Observation) -> Observation:
        """The session's observation, with the chain's weaknesses and what else was seen."""
        if self._handshake is None or not self._chain:
            return seen
        seen = replace(seen, details={**(seen.details or {}), **self._details(self._handshake)})
        if seen.status != Status.UP:
            return seen
        own, *others = self._used()
        for certificate in (own, *others):
            is_root = certificate.issuer == certificate.subject and certificate is not own
            weakness = "" if is_root else certificates.weakness_of(certificate)
            if weakness:
                message = f"{self._called(certificate)} has {weakness}: too weak."
                return _degraded(seen, Reason.TLS_DEPRECATED, message)
        for certificate in others:
            warning = certificates.expiry_warning(
                certificate.not_valid_after_utc, self._plan.settings.cert_expiry_days
            )
            if warning and certificate.not_valid_after_utc < own.not_valid_after_utc:
                message = f"{self._called(certificate)}: {warning}"
                return _degraded(seen, Reason.CERT_EXPIRING, message)
        return seen

    def _used(self) -> list[x509.Certificate]:
        """What the server sent that its trust rests on: another authority's signature may come with
        it, for old clients."""
        if not self._plan.settings.verify_tls or self._handshake is None:
            return self._chain
        path = self._handshake.path
        return [each for each in self._chain if each in path]

    def _called(self, certificate: x509.Certificate) -> str:
        if certificate == self._chain[0]:
            return f"The certificate of {self._plan.host}"
        level = "root" if certificate.issuer == certificate.subject else "intermediate"
        return f"The {level} certificate {_subject(certificate)}"

    def _details(self, handshake: Handshake) -> dict[str, Any]:
        return {
            "tls_version": handshake.version,
            "cipher": handshake.cipher,
            "alpn": handshake.alpn,
            "chain": [
                {
                    "subject": _subject(certificate),
                    "issuer": _issuer(certificate),
                    "not_after": certificate.not_valid_after_utc.isoformat(),
                }
                for certificate in self._chain
            ],
        }


def _degraded(seen: Observation, reason: Reason, message: str) -> Observation:
    return replace(seen, status=Status.DEGRADED, reason=reason, message=message)


def _subject(certificate: x509.Certificate) -> str:
    return _title(certificate.subject)


def _issuer(certificate: x509.Certificate) -> str:
    return _title(certificate.issuer)


def _title(name: x509.Name) -> str:
    """What people call the holder of a name."""
    from cryptography.x509.oid import NameOID

    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := name.get_attributes_for_oid(oid):
            return repr(str(found[0].value))
    return "an unnamed authority"


def _is_signed_by_none(chain: Sequence[x509.Certificate]) -> bool:
    """Whether a certificate that the server sent vouches for its own, and may not."""
    from cryptography import x509

    own, *others = chain
    for each in others:
        if each.subject == own.issuer and each.issuer != each.subject:
            try:
                basics = each.extensions.get_extension_for_class(x509.BasicConstraints)
            except (x509.ExtensionNotFound, ValueError):
                return each.version == x509.Version.v3
            return not basics.value.ca
    return False


def _says_where_issuer_is(certificate: x509.Certificate) -> bool:
    """Whether a certificate tells where its issuer's is to be had, as those of public CAs do."""
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID

    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return any(
        each.access_method == AuthorityInformationAccessOID.CA_ISSUERS for each in access.value
    )


def is_for(host: str, names: Sequence[str]) -> bool:
    """Whether a certificate's names cover a host (RFC 9525 section 6).

    A wildcard stands for one whole label, the leftmost.
    """
    if is_address(host):
        wanted = ipaddress.ip_address(host)
        return any(is_address(name) and ipaddress.ip_address(name) == wanted for name in names)
    host = host.lower().removesuffix(".")
    parent = host.partition(".")[2]
    for name in names:
        pattern = name.lower().removesuffix(".")
        if pattern == host:
            return True
        if pattern.startswith("*.") and "." in parent and pattern[2:] == parent:
            return True
    return False


async def observe(job: Job, net: Net) -> Observation:
    plan = net.plans.get(job.spec, make_plan)
    inspection = Inspection(plan)
    return inspection.grade(await observe_session(job, net, plan, inspection.talk))


def clean_target(text: str) -> str:
    host, port = split_host_port(text, default_port=443)
    return join_host_port(clean_host(host), port)


KIND = Kind(
    "tls",
    "TLS certificate",
    TlsSettings,
    observe,
    clean_target,
    summary="Make a TLS handshake; judge chain, names, dates, version, keys and signatures.",
    target_label="Host and port",
    target_example="mail.example.org:993",
    sections={
        "": ("server_name", "starttls", "cert_expiry_days", "min_tls"),
        "Trust": tuple(name for name in TLS_SECTION if name in ("verify_tls", "ca_certificate")),
        "Client certificate": ("client_certificate", "client_key"),
        "Network": NETWORK_SECTION,
        "Advanced": ("alpn",),
    },
)
