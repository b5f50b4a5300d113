"""What an http check needs that is the same each time: made once per revision of a monitor."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pycurl
from pydantic import SecretStr

from probe.assertions import Check, Severity, Source, compile_assertion
from probe.curl import Option
from probe.kinds.http.settings import BasicAuth, HttpSettings, is_secret_header
from probe.kinds.http.target import Origin, parse_url
from probe.values import Spec

Part = TypeVar("Part", bound=Hashable)

USER_AGENT = "uptime/0.1 (+monitor)"

_TLS_VERSIONS = {
    "1.0": pycurl.SSLVERSION_TLSv1_0,
    "1.1": pycurl.SSLVERSION_TLSv1_1,
    "1.2": pycurl.SSLVERSION_TLSv1_2,
    "1.3": pycurl.SSLVERSION_TLSv1_3,
}

_SAME_FOR_ALL: tuple[Option, ...] = (
    (pycurl.NOSIGNAL, 1),
    (pycurl.FRESH_CONNECT, 1),
    (pycurl.FORBID_REUSE, 1),
    (pycurl.SSL_SESSIONID_CACHE, 0),  # each check is a full handshake
    (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
    (pycurl.ACCEPT_ENCODING, ""),  # all that libcurl can decode
)


@dataclass(frozen=True, slots=True)
class Headers:
    """The request's headers: for the origin that the user named, and for any other."""

    own: tuple[bytes, ...]
    foreign: tuple[bytes, ...]
    own_without_body: tuple[bytes, ...]
    foreign_without_body: tuple[bytes, ...]

    def choose(self, *, is_trusted: bool, has_body: bool) -> tuple[bytes, ...]:
        if has_body:
            return self.own if is_trusted else self.foreign
        return self.own_without_body if is_trusted else self.foreign_without_body


@dataclass(frozen=True, slots=True)
class Proxy:
    scheme: str
    host: str
    port: int
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class HttpPlan:
    """`options` are those of every hop; `tls_options` come on top where a hop speaks TLS, the
    client's certificate with them only at a trusted origin (`client_options`)."""

    url: str
    origin: Origin
    settings: HttpSettings
    headers: Headers
    body: bytes | None
    options: tuple[Option, ...]
    tls_options: tuple[Option, ...]
    client_options: tuple[Option, ...]
    proxy: Proxy | None
    status_ranges: tuple[tuple[int, int], ...]
    must_hold: tuple[Check, ...]
    should_hold: tuple[Check, ...]
    needs_body: bool
    needs_headers: bool


def make_plan(spec: Spec) -> HttpPlan:
    settings: HttpSettings = spec.settings
    url, origin = parse_url(spec.target)
    body = settings.body.encode() if settings.body else None
    sources = {assertion.source for assertion in settings.assertions}
    return HttpPlan(
        url=url,
        origin=origin,
        settings=settings,
        headers=_shared(_headers(settings, body)),
        body=body,
        options=_options(settings),
        tls_options=_shared(_tls_options(settings)),
        client_options=_client_options(settings),
        proxy=_proxy(settings),
        status_ranges=_shared(tuple(_status_range(text) for text in settings.expected_status)),
        must_hold=_checks(settings, Severity.DOWN),
        should_hold=_checks(settings, Severity.DEGRADED),
        needs_body=bool(sources & {Source.BODY, Source.JSON}),
        needs_headers=Source.HEADER in sources,
    )


@lru_cache(maxsize=1024)
def _shared(part: Part) -> Part:
    """The first part that equals this one: most monitors ask alike, and there are many of them."""
    return part


def deprecated_tls_options() -> tuple[Option, ...]:
    """For a second try with a server that refuses what is up to date: any version, any strength."""
    return (
        (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_0),
        (pycurl.SSL_CIPHER_LIST, "DEFAULT:@SECLEVEL=0"),
    )


def _checks(settings: HttpSettings, severity: Severity) -> tuple[Check, ...]:
    return tuple(
        compile_assertion(assertion)
        for assertion in settings.assertions
        if assertion.severity == severity
    )


def _status_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _options(settings: HttpSettings) -> tuple[Option, ...]:
    if settings.follow_redirects:
        return (*_SAME_FOR_ALL, (pycurl.COOKIEFILE, ""))  # switches the handle's cookies on
    return _SAME_FOR_ALL


def _headers(settings: HttpSettings, body: bytes | None) -> Headers:
    given = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in settings.headers.items()
    }
    names = {name.lower() for name in given}
    common = [f"{name}: {value}" if value else f"{name};" for name, value in given.items()]
    if "user-agent" not in names:
        common.append(f"User-Agent: {USER_AGENT}")
    if body is not None and "content-type" not in names:
        common.append(f"Content-Type: {_content_type(body)}")
    common.append("Expect:")  # no waiting for 100 Continue
    auth = [] if "authorization" in names else _authorization(settings)
    foreign = [line for line in common if not _is_bound_to_origin(line)]
    own = [*common, *auth]
    return Headers(
        own=_encoded(own),
        foreign=_encoded(foreign),
        own_without_body=_encoded(_without_body(own)),
        foreign_without_body=_encoded(_without_body(foreign)),
    )


def _encoded(lines: list[str]) -> tuple[bytes, ...]:
    return tuple(line.encode() for line in lines)


def _name(line: str) -> str:
    return line.partition(":")[0].rstrip(";").lower()


def _is_bound_to_origin(line: str) -> bool:
    return _name(line) == "host" or is_secret_header(_name(line))


def _without_body(lines: list[str]) -> list[str]:
    return [line for line in lines if not _name(line).startswith("content-")]


def _content_type(body: bytes) -> str:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return "text/plain; charset=utf-8"
    return "application/json"


def _authorization(settings: HttpSettings) -> list[str]:
    auth = settings.auth
    if auth is None:
        return []
    if isinstance(auth, BasicAuth):
        pair = f"{auth.username}:{auth.password.get_secret_value()}".encode()
        return [f"Authorization: Basic {base64.b64encode(pair).decode()}"]
    return [f"Authorization: Bearer {auth.token.get_secret_value()}"]


def _tls_options(settings: HttpSettings) -> tuple[Option, ...]:
    options: list[Option] = [
        (pycurl.OPT_CERTINFO, 1),
        (pycurl.SSLVERSION, _TLS_VERSIONS[settings.min_tls]),
    ]
    if not settings.verify_tls:
        options += [(pycurl.SSL_VERIFYPEER, 0), (pycurl.SSL_VERIFYHOST, 0)]
    elif settings.ca_certificate is None:
        options.append((pycurl.CAINFO, system_authorities()))
    else:
        options += _trusting(settings.ca_certificate)
    return tuple(options)


def _trusting(pem: str) -> list[Option]:
    """Options that add authorities to the system's.

    A directory of hashed names is looked into only for the authority that is wanted; the one file
    is parsed whole for each check, because libcurl doesn't cache a store that was given as a blob.
    """
    directory = ssl.get_default_verify_paths().capath
    if directory and any(Path(directory).glob("*.0")):
        return [(pycurl.CAINFO_BLOB, pem.encode()), (pycurl.CAPATH, directory)]
    system = Path(system_authorities()).read_bytes()
    return [(pycurl.CAINFO_BLOB, pem.encode() + b"\n" + system)]


@lru_cache(maxsize=1)
def system_authorities() -> str:
    """The file of the authorities that the system trusts; certifi's where it has none."""
    system = ssl.get_default_verify_paths().cafile
    for path in (system, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"):
        if path and Path(path).is_file():
            return path
    import certifi

    return certifi.where()


def _client_options(settings: HttpSettings) -> tuple[Option, ...]:
    if settings.client_certificate is None or settings.client_key is None:
        return ()
    return (
        (pycurl.SSLCERT_BLOB, settings.client_certificate.encode()),
        (pycurl.SSLKEY_BLOB, settings.client_key.get_secret_value().encode()),
    )


def _proxy(settings: HttpSettings) -> Proxy | None:
    if settings.proxy is None:
        return None
    parts = urlsplit(settings.proxy)
    assert parts.hostname is not None  # the schema lets nothing else in
    assert parts.port is not None
    options: list[Option] = []
    if settings.proxy_username is not None:
        options.append((pycurl.PROXYUSERNAME, settings.proxy_username.encode()))
    if settings.proxy_password is not None:
        options.append((pycurl.PROXYPASSWORD, settings.proxy_password.get_secret_value().encode()))
    return Proxy(parts.scheme, parts.hostname, parts.port, tuple(options))
