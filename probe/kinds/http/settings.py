"""The settings of http checks, as API.md names them."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from probe.assertions import TIMING, Source
from probe.kinds.base import (
    AssertedSettings,
    CertificatePem,
    MinTls,
    Resolver,
    clean_host,
    refuse_unfit_pair,
    split_host_port,
)
from probe.kinds.http.target import parse_url

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
HttpVersion = Literal["auto", "1.1", "2", "3"]
IpVersion = Literal["auto", "4", "6", "both"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_SECRET_NAME = re.compile(r"authori[sz]ation|cookie|token|key|secret|password", re.IGNORECASE)
_STATUS_RANGE = re.compile(r"([1-9]\d\d)(?:\s*-\s*([1-9]\d\d))?")


def is_secret_header(name: str) -> bool:
    """Whether a header's value is to be kept like a password, going by its name."""
    return _SECRET_NAME.search(name) is not None


def _clean_status_range(text: str) -> str:
    match = _STATUS_RANGE.fullmatch(text.strip())
    if not match:
        raise ValueError("Give a status such as 200, or a range such as 200-299")
    first, last = match.group(1), match.group(2) or match.group(1)
    if int(first) > int(last):
        raise ValueError(f"The range {first}-{last} runs backwards")
    return first if first == last else f"{first}-{last}"


def _check_headers(headers: dict[str, str | SecretStr]) -> dict[str, str | SecretStr]:
    checked: dict[str, str | SecretStr] = {}
    for name, value in headers.items():
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name[:50]!r} is not a valid header name")
        if len(text) > 8000 or any(char in text for char in "\r\n\0"):
            raise ValueError(f"The value of {name} must be one line of up to 8,000 bytes")
        checked[name] = SecretStr(text) if is_secret_header(name) else text
    return checked


Headers = Annotated[dict[str, str | SecretStr], AfterValidator(_check_headers)]
"""Names and values of one line; values of headers named like a secret become secret."""
StatusRange = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
    AfterValidator(_clean_status_range),
]


class BasicAuth(BaseModel):
    """User name and password (RFC 7617)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["basic"]
    username: str = Field(max_length=500, title="User name", pattern=r"^[^:\x00-\x1f]*$")
    password: SecretStr = Field(max_length=2000, title="Password")


class BearerAuth(BaseModel):
    """A bearer token (RFC 6750)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["bearer"]
    token: SecretStr = Field(max_length=8000, title="Token")

    @field_validator("token")
    @classmethod
    def _check_one_line(cls, token: SecretStr) -> SecretStr:
        if not token.get_secret_value().isprintable():
            raise ValueError("A token is one line of printable characters")
        return token


class DigestAuth(BaseModel):
    """User name and password, of which only a digest is sent (RFC 7616)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["digest"]
    username: str = Field(max_length=500, title="User name", pattern=r"^[^:\x00-\x1f]*$")
    password: SecretStr = Field(max_length=2000, title="Password")

    @field_validator("password")
    @classmethod
    def _check_no_nul(cls, password: SecretStr) -> SecretStr:
        return _without_nul(password)


class OAuth2Auth(BaseModel):
    """A token fetched with the client's own credentials (RFC 6749 section 4.4)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["oauth2"]
    token_url: str = Field(
        max_length=2000, title="Token URL", description="Where the token is asked for."
    )
    client_id: str = Field(min_length=1, max_length=500, title="Client id")
    client_secret: SecretStr = Field(max_length=2000, title="Client secret")
    scope: str = Field(
        default="", max_length=2000, title="Scope", description="Scopes, separated by spaces."
    )
    audience: str = Field(default="", max_length=2000, title="Audience")
    send_in: Literal["header", "body"] = Field(
        default="header",
        title="Credentials in",
        description="How the client shows who it is: as basic authentication, or in the body.",
    )

    @field_validator("token_url")
    @classmethod
    def _check_token_url(cls, url: str) -> str:
        return parse_url(url)[0]


def _without_nul(secret: SecretStr) -> SecretStr:
    if "\0" in secret.get_secret_value():
        raise ValueError("A password has no NUL character")
    return secret


Auth = Annotated[BasicAuth | DigestAuth | BearerAuth | OAuth2Auth, Field(discriminator="type")]


class HttpSettings(AssertedSettings):
    sources: ClassVar[frozenset[Source]] = TIMING | {
        Source.STATUS,
        Source.HEADER,
        Source.BODY,
        Source.JSON,
        Source.HTML,
        Source.XML,
        Source.SIZE,
        Source.CERT_DAYS,
        Source.CERTIFICATE,
        Source.URL,
        Source.REDIRECTS,
        Source.HTTP_VERSION,
        Source.ADDRESS,
    }

    method: Method = Field(
        default="GET",
        title="Method",
        description="The request's method. HEAD is followed by GET, which decides.",
    )
    http_version: HttpVersion = Field(
        default="auto",
        title="HTTP version",
        description="auto: what client and server agree on of HTTP/1.1 and /2, and /3 once the"
        " server has offered it (Alt-Svc); where /3 fails, what TCP gives is what counts. 3: over"
        " UDP, and nothing else. Another one than asked for is down.",
    )
    headers: Headers = Field(
        default_factory=dict,
        title="Headers",
        max_length=50,
        description="Sent with the request. Values of headers named like a secret are write-only.",
    )
    body: str | None = Field(
        default=None,
        max_length=1_000_000,
        title="Body",
        description="Sent with the request, as JSON where it is JSON and no header says otherwise.",
    )
    auth: Auth | None = Field(
        default=None, title="Authentication", description="Sent to the target's host only."
    )
    follow_redirects: bool = Field(
        default=True,
        title="Follow redirects",
        description="Judge the answer at the end of the chain rather than the redirect itself.",
    )
    max_redirects: int = Field(
        default=5, ge=0, le=30, title="Redirects at most", description="A longer chain is down."
    )
    expected_status: tuple[StatusRange, ...] = Field(
        default=("200-299",),
        min_length=1,
        max_length=50,
        title="Expected status",
        description="Status codes and ranges that count as up, such as 200-299 or 401.",
    )
    verify_tls: bool = Field(
        default=True,
        title="Verify certificate",
        description="Check the certificate's chain, names and dates.",
    )
    ca_certificate: CertificatePem | None = Field(
        default=None,
        title="CA certificates (PEM)",
        description="Trusted in addition to the system's.",
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
    cert_expiry_days: int = Field(
        default=14,
        ge=0,
        le=3650,
        title="Certificate days",
        description="Degraded when the certificate has fewer days left. 0: off.",
    )
    min_tls: MinTls = Field(
        default="1.2", title="Lowest TLS version", description="An older one is degraded."
    )
    ip_version: IpVersion = Field(
        default="auto",
        title="IP version",
        description="Connect over IPv4, IPv6 or either; both: each must work.",
    )
    resolver: Resolver | None = Field(
        default=None,
        title="Resolver",
        description="Ask this name server (ip or ip:port) instead of the system's.",
    )
    proxy: str | None = Field(
        default=None,
        max_length=500,
        title="Proxy",
        description="http://host:port, socks5://host:port, or socks5h:// (the proxy resolves).",
    )
    proxy_username: str | None = Field(default=None, max_length=500, title="Proxy user name")
    proxy_password: SecretStr | None = Field(default=None, max_length=500, title="Proxy password")
    max_body_bytes: int = Field(
        default=1_048_576,
        ge=0,
        le=16_777_216,
        title="Body at most (bytes)",
        description="A larger answer, counted after decompression, is down.",
    )
    upside_down: bool = Field(
        default=False,
        title="Upside down",
        description="The target is expected to fail: down when it answers well.",
    )

    @property
    def is_upside_down(self) -> bool:
        return self.upside_down

    @field_validator("proxy_username")
    @classmethod
    def _check_proxy_username(cls, name: str | None) -> str | None:
        if name is not None and re.search(r"[:\x00-\x1f]", name):
            raise ValueError("A user name has no colon or control characters")
        return name

    @field_validator("proxy_password")
    @classmethod
    def _check_proxy_password(cls, password: SecretStr | None) -> SecretStr | None:
        return _without_nul(password) if password is not None else None

    @model_validator(mode="after")
    def _check_http3(self) -> Self:
        if self.http_version == "3" and self.proxy:
            raise ValueError("HTTP/3 does not go through a proxy")
        return self

    @field_validator("proxy")
    @classmethod
    def _check_proxy(cls, url: str | None) -> str | None:
        if not url:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "socks5", "socks5h"):
            raise ValueError("A proxy's URL starts with http://, socks5:// or socks5h://")
        if "@" in parts.netloc:
            raise ValueError("Put the proxy's user name and password in their own settings")
        host, port = split_host_port(parts.netloc, 8080 if parts.scheme == "http" else 1080)
        host = clean_host(host)
        return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    @model_validator(mode="after")
    def _check_client_certificate(self) -> Self:
        refuse_unfit_pair(self.client_certificate, self.client_key)
        return self
