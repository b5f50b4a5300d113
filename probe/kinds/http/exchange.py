"""One request and its answer, on one libcurl handle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pycurl

from probe.curl import Handle
from probe.values import Phases

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Received:
    """What comes in of one answer: the body up to a limit, kept only where it is needed; lines of
    headers and trailers, which libcurl limits to 300 KB."""

    __slots__ = ("body", "header_lines", "is_too_large", "limit", "size")

    def __init__(self, limit: int, *, keeps_body: bool) -> None:
        self.limit = limit
        self.size = 0
        self.body: bytearray | None = bytearray() if keeps_body else None
        self.header_lines: list[bytes] = []
        self.is_too_large = False

    def on_body(self, chunk: bytes) -> int | None:
        """Take a piece of the decoded body; any number that isn't its length ends the transfer."""
        self.size += len(chunk)
        if self.size > self.limit:
            self.is_too_large = True
            return -1
        if self.body is not None:
            self.body += chunk
        return None

    @property
    def has_all_headers(self) -> bool:
        """Whether the empty line came that ends the headers of the answer."""
        if self.size:
            return True
        for line in reversed(self.header_lines):
            if line in (b"\r\n", b"\n"):
                return True
            if line.startswith(b"HTTP/"):
                break
        return False

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers, and trailers, by lower-case name."""
        found: dict[str, list[str]] = {}
        for line in self.header_lines:
            if line.startswith(b"HTTP/"):  # what came before was an interim answer
                found.clear()
            name, colon, value = line.decode("latin-1").partition(":")
            if colon:
                found.setdefault(name.strip().lower(), []).append(value.strip())
        return {name: ", ".join(values) for name, values in found.items()}


@dataclass(slots=True)
class Timeline:
    """Seconds spent in each phase, summed over the hops of a chain of redirects."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None
    transfer: float | None = None

    def add_dns(self, seconds: float) -> None:
        self.dns = (self.dns or 0.0) + seconds

    def add(self, handle: Handle) -> None:
        """Add the phases of a transfer that has ended, however it ended."""
        looked_up = handle.getinfo(pycurl.NAMELOOKUP_TIME)
        connected = handle.getinfo(pycurl.CONNECT_TIME)
        secured = handle.getinfo(pycurl.APPCONNECT_TIME)
        asked = handle.getinfo(pycurl.PRETRANSFER_TIME)
        answered = handle.getinfo(pycurl.STARTTRANSFER_TIME)
        if not connected:
            return
        self.connect = (self.connect or 0.0) + connected - looked_up
        if secured:
            self.tls = (self.tls or 0.0) + secured - connected
        if answered and handle.getinfo(pycurl.RESPONSE_CODE):  # libcurl counts some failures, too
            self.first_byte = (self.first_byte or 0.0) + answered - asked
            total = handle.getinfo(pycurl.TOTAL_TIME)
            self.transfer = (self.transfer or 0.0) + total - answered

    def phases(self) -> Phases:
        return Phases(
            _ms(self.dns),
            _ms(self.connect),
            _ms(self.tls),
            _ms(self.first_byte),
            _ms(self.transfer),
        )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else max(round(seconds * 1000, 3), 0.0)


@dataclass(slots=True)
class Answer:
    """The answer at the end of a chain of redirects."""

    status: int
    received: Received
    cert_expires_at: datetime | None
    tls_trouble: str
    hops: list[str]
    http_version: str
    charset: str = ""
    address: str = ""
    certificate: bytes | None = None
    retry_after_s: int = 0


_HTTP_VERSIONS = {
    pycurl.CURL_HTTP_VERSION_1_0: "1.0",
    pycurl.CURL_HTTP_VERSION_1_1: "1.1",
    pycurl.CURL_HTTP_VERSION_2_0: "2",
    pycurl.CURL_HTTP_VERSION_3: "3",
}


def spoken_version(handle: Handle) -> str:
    """The version of HTTP that the answer came in."""
    return _HTTP_VERSIONS.get(handle.getinfo(pycurl.INFO_HTTP_VERSION), "")


def certificate_expiry(handle: Handle) -> datetime | None:
    """When the server's own certificate expires, from what libcurl kept of the handshake."""
    value = _certificate_info(handle, b"Expire date")
    return parse_certificate_time(value.decode("ascii", "replace")) if value else None


def certificate_pem(handle: Handle) -> bytes | None:
    """The server's own certificate."""
    return _certificate_info(handle, b"Cert")


def _certificate_info(handle: Handle, wanted: bytes) -> bytes | None:
    chain: list[list[tuple[bytes, bytes]]] = handle.getinfo_raw(pycurl.INFO_CERTINFO)
    return next((value for name, value in (chain[0] if chain else ()) if name == wanted), None)


def parse_certificate_time(text: str) -> datetime | None:
    """OpenSSL's `Nov  2 13:58:00 2026 GMT`. The months are English in every locale."""
    try:
        name, day, clock, year, _ = text.split()
        month = _MONTHS.index(name) + 1
        hour, minute, second = map(int, clock.split(":"))
        return datetime(int(year), month, int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def charset_of(content_type: str) -> str:
    """The charset that a Content-Type names; empty where it names none."""
    _, found, rest = content_type.lower().partition("charset=")
    return rest.split(";")[0].strip().strip("\"'") if found else ""
