"""How the target of an http check is written: a URL in its normal form, and its parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from probe.kinds.base import clean_host, split_host_port

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what credentials are bound to."""

    scheme: str
    host: str
    port: int

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"

    def may_share_credentials_with(self, other: Origin) -> bool:
        """Whether what was meant for this origin may go to `other`: the same, or its upgrade."""
        if self == other:
            return True
        is_upgrade = (self.scheme, self.port, other.scheme, other.port) == (
            "http",
            80,
            "https",
            443,
        )
        return is_upgrade and self.host == other.host


def parse_url(text: str) -> tuple[str, Origin]:
    """A URL in its normal form (ASCII, without fragment) and its origin.

    Raises ValueError with a sentence for the user.
    """
    text = text.strip()
    if re.search(r"[\x00-\x20\x7f\\]", text):
        raise ValueError("A URL has no spaces, control characters or backslashes")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("This is not a valid URL") from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not text[len(scheme) :].startswith("://"):
        raise ValueError("A URL starts with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("Put the user name and password in the setting `auth`, not in the URL")
    host, port = split_host_port(parts.netloc.removesuffix(":"), _PORTS[scheme])
    host = clean_host(host)
    netloc = f"[{host}]" if ":" in host else host
    if port != _PORTS[scheme]:
        netloc += f":{port}"
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._[]|^")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]|^{}`")
    return urlunsplit((scheme, netloc, path, query, "")), Origin(scheme, host, port)


def as_reference(location: bytes) -> str:
    """What a Location header refers to, read as browsers do: bytes that can't stand in a URL are
    percent-encoded, but for text beyond ASCII in UTF-8, which may be a host's name."""
    try:
        text = location.decode()
    except UnicodeDecodeError:
        text = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in location)
    path = re.split("[?#]", text, maxsplit=1)[0]
    text = path.replace("\\", "/") + text[len(path) :]  # as the URL standard has it
    return re.sub(r"[\x00-\x20\x7f\\]", lambda found: f"%{ord(found[0]):02X}", text)


def without_login(url: str) -> str:
    """A URL that a server leads to, without the user name and password that it may name: what a
    check shows of itself is for its settings to say."""
    return re.sub(r"(?i)^(https?://)[^/?#]*@", r"\1", url)


def clean_target(text: str) -> str:
    """A URL in its normal form. Raises ValueError with a sentence for the user."""
    if text.strip() and "://" not in text:
        text = f"https://{text.strip()}"
    url, _ = parse_url(text)
    if len(url) > 2000:
        raise ValueError("A URL may have 2,000 characters at most")
    return url
