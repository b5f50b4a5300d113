"""What an http check needs that is the same each time: made once per revision of a monitor."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

import pycurl
from pydantic import SecretStr

from probe.assertions import Assertion, AssertionTree, Judge, Source
from probe.certificates import system_authorities
from probe.curl import Option
from probe.kinds.http.decoding import ACCEPTED
from probe.kinds.http.offers import SAFE_METHODS
from probe.kinds.http.settings import (
    BasicAuth,
    BearerAuth,
    DigestAuth,
    HttpSettings,
    OAuth2Auth,
    is_secret_header,
)
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

_HTTP_VERSIONS = {
    "1.1": pycurl.CURL_HTTP_VERSION_1_1,
    "2": pycurl.CURL_HTTP_VERSION_2TLS,
    "3": pycurl.CURL_HTTP_VERSION_3ONLY,
}

HTTP3_ONLY: Option = (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_3ONLY)

_READ_AS_TEXT = {Source.BODY, Source.JSON, Source.HTML, Source.XML}

_SAME_FOR_ALL: tuple[Option, ...] = (
    (pycurl.NOSIGNAL, 1),
    (pycurl.FRESH_CONNECT, 1),
    (pycurl.FORBID_REUSE, 1),
    (pycurl.SSL_SESSIONID_CACHE, 0),  # each check is a full handshake
    (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
    (pycurl.HTTP09_ALLOWED, 1),  # shows what it is that is no HTTP
    (pycurl.VERBOSE, 1),  # for `Received.on_debug`
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

    @property
    def place(self) -> str:
        return f"{self.host} port {self.port}"


@dataclass(slots=True)
class Token:
    """An OAuth2 token, good until `ends_at` of the monotonic clock; empty where there is none."""

    text: str = ""
    ends_at: float = 0.0


@dataclass(frozen=True, slots=True)
class HttpPlan:
    """`options` are those of every hop; `tls_options` come on top where a hop speaks TLS, the
    client's certificate with them only at a trusted origin (`client_options`), where digest
    authentication may answer as well (`login_options`)."""

    url: str
    origin: Origin
    settings: HttpSettings
    headers: Headers
    body: bytes | None
    options: tuple[Option, ...]
    tls_options: tuple[Option, ...]
    client_options: tuple[Option, ...]
    login_options: tuple[Option, ...]
    proxy: Proxy | None
    status_ranges: tuple[tuple[int, int], ...]
    judge: Judge
    needs_body: bool
    token_plan: HttpPlan | None = None
    token: Token = field(default_factory=Token)

    @property
    def takes_offers(self) -> bool:
        """Whether HTTP/3 is spoken where the server offers it."""
        return (
            self.settings.http_version == "auto"
            and self.origin.is_tls
            and self.proxy is None
            and self.settings.method in SAFE_METHODS
        )

    def accepts(self, status: int) -> bool:
        # asked twice a check; `any` takes twice as long
        for first, last in self.status_ranges:  # noqa: SIM110
            if first <= status <= last:
                return True
        return False


def make_plan(spec: Spec) -> HttpPlan:
    settings: HttpSettings = spec.settings
    plan = plan_of(spec.target, settings)
    if isinstance(settings.auth, OAuth2Auth):
        return replace(plan, token_plan=_token_plan(settings, settings.auth))
    return plan


def _token_plan(settings: HttpSettings, auth: OAuth2Auth) -> HttpPlan:
    """How to ask for a token (RFC 6749 section 4.4.2), over the same network as the check."""
    secret = auth.client_secret.get_secret_value()
    form = {"grant_type": "client_credentials", "scope": auth.scope, "audience": auth.audience}
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    if auth.send_in == "body":
        form |= {"client_id": auth.client_id, "client_secret": secret}
    else:  # section 2.3.1: encoded like a form first, then as RFC 7617 says
        line = basic_authorization(quote(auth.client_id, safe=""), quote(secret, safe=""))
        headers["Authorization"] = line.removeprefix("Authorization: ")
    shared = settings.model_copy(
        update={
            "method": "POST",
            "body": urlencode({name: value for name, value in form.items() if value}),
            "headers": {name: SecretStr(value) for name, value in headers.items()},
            "auth": None,
            "assertions": (),
            "assertion_tree": None,
            "follow_redirects": False,
            "http_version": "auto",
            "max_body_bytes": 65_536,
        }
    )
    return replace(plan_of(auth.token_url, shared), needs_body=True)


def plan_of(target: str, settings: HttpSettings) -> HttpPlan:
    url, origin = parse_url(target)
    body = settings.body.encode() if settings.body else None
    judge = _shared_judge(settings.assertions, settings.assertion_tree)
    return HttpPlan(
        url=url,
        origin=origin,
        settings=settings,
        headers=_shared(_headers(settings, body)),
        body=body,
        options=_shared(_options(settings)),
        tls_options=_shared(_tls_options(settings)),
        client_options=_client_options(settings),
        login_options=_login_options(settings),
        proxy=_proxy(settings),
        status_ranges=_shared(tuple(_status_range(text) for text in settings.expected_status)),
        judge=judge,
        needs_body=bool(judge.sources & _READ_AS_TEXT),
    )


@lru_cache(maxsize=1024)
def _shared(part: Part) -> Part:
    """The first part that equals this one: most monitors ask alike, and there are many of them."""
    return part


@lru_cache(maxsize=1024)
def _shared_judge(assertions: tuple[Assertion, ...], tree: AssertionTree | None) -> Judge:
    return Judge(assertions, tree)


def deprecated_tls_options() -> tuple[Option, ...]:
    """For a second try with a server that refuses what is up to date: any version, any strength."""
    return (
        (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_0),
        (pycurl.SSL_CIPHER_LIST, "DEFAULT:@SECLEVEL=0"),
    )


def _status_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _options(settings: HttpSettings) -> tuple[Option, ...]:
    options = list(_SAME_FOR_ALL)
    if settings.follow_redirects:
        options.append((pycurl.COOKIEFILE, ""))  # switches the handle's cookies on
    if settings.http_version != "auto":
        options.append((pycurl.HTTP_VERSION, _HTTP_VERSIONS[settings.http_version]))
    return tuple(options)


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
    if "accept-encoding" not in names:
        common.append(f"Accept-Encoding: {ACCEPTED}")
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
    if isinstance(auth, BasicAuth):
        return [basic_authorization(auth.username, auth.password.get_secret_value())]
    if isinstance(auth, BearerAuth):
        return [f"Authorization: Bearer {auth.token.get_secret_value()}"]
    return []


def basic_authorization(username: str, password: str) -> str:
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return f"Authorization: Basic {pair}"


def _login_options(settings: HttpSettings) -> tuple[Option, ...]:
    auth = settings.auth
    if not isinstance(auth, DigestAuth):
        return ()
    return (
        (pycurl.HTTPAUTH, pycurl.HTTPAUTH_DIGEST),
        (pycurl.USERNAME, auth.username.encode()),
        (pycurl.PASSWORD, auth.password.get_secret_value().encode()),
    )


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
