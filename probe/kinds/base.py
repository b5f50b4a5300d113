"""What a kind of check is: its settings, how its target is written, its one verb."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
)

from probe.assertions import Assertion, AssertionTree, Source, refuse_foreign_sources

if TYPE_CHECKING:
    from probe.net import Net
    from probe.values import Job, Observation


class KindSettings(BaseModel):
    """The settings that every kind takes; each kind adds its own.

    Field titles and descriptions are what forms and the API's schema show.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    latency_degraded_ms: float | None = Field(
        default=None,
        gt=0,
        le=120_000,
        title="Slow from (ms)",
        description="A check that passes but takes longer than this is degraded. Empty: no limit.",
    )

    @property
    def is_upside_down(self) -> bool:
        """Whether the target is expected to fail."""
        return False

    @property
    def shortest_interval(self) -> timedelta:
        """How often a check with these settings may be made: out of manners, where it asks
        somebody else's server."""
        return timedelta(seconds=1)


class AssertedSettings(KindSettings):
    """The settings of a kind whose answers can be judged by assertions (see `probe.assertions`).

    `sources` are what the kind has to look at.
    """

    sources: ClassVar[frozenset[Source]] = frozenset()

    assertions: tuple[Assertion, ...] = Field(
        default=(), max_length=50, title="Assertions", description="All of them must hold."
    )
    assertion_tree: AssertionTree | None = Field(
        default=None,
        title="Assertion tree (JSON)",
        description='Conditions joined by `all`, `any` and `none`, as in {"any": [{"source":'
        ' "latency", "comparison": "less_than", "value": 200}, {"none": [...]}]}.',
    )

    @field_validator("assertions")
    @classmethod
    def _check_sources(cls, assertions: tuple[Assertion, ...]) -> tuple[Assertion, ...]:
        refuse_foreign_sources(assertions, cls.sources)
        return assertions

    @field_validator("assertion_tree")
    @classmethod
    def _check_tree_sources(cls, tree: AssertionTree | None) -> AssertionTree | None:
        refuse_foreign_sources([*tree.conditions()] if tree else [], cls.sources)
        return tree


@dataclass(frozen=True)
class Kind:
    """One kind of check.

    `clean_target` returns the target in its normal form, or raises ValueError with a sentence for
    the user. `observe` returns what was seen; trouble with the target never raises. A kind that
    `is_passive` only judges what has come in and touches no network; one that `is_derived` is not
    even that: its status follows from other monitors', and no location checks it. An engine makes
    no more than `at_once` checks of the kind at a time, where that is a number.

    The defaults are those of a monitor whose maker says nothing else.

    The rest is for people: `summary` says in a sentence what the kind is good for, `sections` puts
    the settings of a form under titles, those under "" first and open; unnamed ones come last.
    """

    name: str
    label: str
    settings: type[KindSettings]
    observe: Callable[[Job, Net], Awaitable[Observation]]
    clean_target: Callable[[str], str]
    has_target: bool = True
    is_passive: bool = False
    is_derived: bool = False
    at_once: int | None = None
    default_interval: timedelta = timedelta(seconds=60)
    default_retry_interval: timedelta = timedelta(seconds=5)
    default_timeout: timedelta = timedelta(seconds=10)
    default_failure_threshold: int = 2
    summary: str = ""
    target_label: str = "Target"
    target_example: str = ""
    sections: Mapping[str, Sequence[str]] = field(default_factory=dict)


IpVersion = Literal["auto", "4", "6"]
MinTls = Literal["1.0", "1.1", "1.2", "1.3"]


def _check_pem(pem: str) -> str:
    from cryptography import x509  # large: not for monitors without certificates of their own

    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise ValueError("This is not a certificate in PEM form") from None
    return pem


CertificatePem = Annotated[str, StringConstraints(max_length=200_000), AfterValidator(_check_pem)]
"""One certificate or several."""


def refuse_unfit_pair(certificate: str | None, key: SecretStr | None) -> None:
    """Raise ValueError unless a client's certificate and its private key are a pair, or both are
    missing."""
    if (certificate is None) != (key is None):
        raise ValueError("A client certificate and its key go together")
    if certificate is None or key is None:
        return
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key.get_secret_value().encode(), None)
    except (ValueError, TypeError):
        raise ValueError("The client key is not a PEM key without a passphrase") from None
    if private.public_key() != x509.load_pem_x509_certificate(certificate.encode()).public_key():
        raise ValueError("The client key doesn't belong to the client certificate")


def clean_resolver(text: str) -> str:
    """`ip[:port]`, with brackets round an IPv6 address that has a port, in its normal form."""
    address, port = split_host_port(text, default_port=53)
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise ValueError("Give an IP address, as in 9.9.9.9 or 127.0.0.1:5353") from None
    if port == 53:
        return str(parsed)
    return f"[{parsed}]:{port}" if parsed.version == 6 else f"{parsed}:{port}"


Resolver = Annotated[str, AfterValidator(clean_resolver)]

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)


def clean_host(text: str) -> str:
    """A host name (to ASCII, lower case) or an IP address, in its normal form.

    Raises ValueError with a sentence for the user.
    """
    host = text.strip().removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        name = host if host.isascii() else _to_ascii(host)
    except UnicodeError:
        raise ValueError(f"{host!r} is not a valid host name") from None
    name = name.lower()
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{host!r} is not a valid host name" if host else "The host is missing")
    if labels[-1].isdigit():
        raise ValueError(f"{host!r} is not a valid IP address")
    return name


def _to_ascii(host: str) -> str:
    """A name beyond ASCII as browsers ask for it (UTS 46, nontransitional). Raises UnicodeError."""
    import idna  # large tables: only for such names

    mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
    labels = mapped.split(".")
    return ".".join(
        each if each.isascii() else f"xn--{each.encode('punycode').decode()}" for each in labels
    )


def split_host_port(text: str, default_port: int | None = None) -> tuple[str, int]:
    """`host:port`, `[v6]:port`, or with a default port `host`, in two. The host isn't judged."""
    text = text.strip()
    host, port_text = text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        if rest and not rest.startswith(":"):
            raise ValueError(f"{text!r} is not a host and a port")
        port_text = rest[1:]
    elif text.count(":") == 1:
        host, _, port_text = text.partition(":")
    if not port_text:
        if default_port is None:
            raise ValueError("Give a host and a port, as in example.org:5432")
        return host, default_port
    if not (port_text.isascii() and port_text.isdigit() and 1 <= int(port_text) <= 65535):
        raise ValueError(f"The port must be a number from 1 to 65535, not {port_text[:20]!r}")
    return host, int(port_text)


def clean_host_port(text: str) -> str:
    """`host:port` in its normal form. Raises ValueError with a sentence for the user."""
    host, port = split_host_port(text)
    return join_host_port(clean_host(host), port)


def join_host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
