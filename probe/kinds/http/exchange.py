"""One request and its answer, on one libcurl handle."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import pycurl

from probe.curl import Handle
from probe.kinds.http.decoding import Decoder, DecodingError, codings_of
from probe.values import Phases

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


KEPT = 4096  # of the body, in case that the check fails
_EXCESS = re.compile(rb"Excess found .*?excess = (\d+)")
_STRAY_LINE_END = 2
_LINE_ENDS = (b"\r\n", b"\n")
_TELLING = {
    b"Exce",
    b"TLSv",
    b"SSLv",
    b"SSL ",
    b"fail",
    b"QUIC",
}  # beginnings of `Received.on_debug`'s
_REDIRECTS = (b"301", b"302", b"303", b"307", b"308")
_KNOWN_VERSIONS = (b"HTTP/1.", b"HTTP/2 ", b"HTTP/3 ")
_WITHOUT_BODY = (b"204", b"304")  # what follows these regardless does no harm


class Received:
    """What comes in of one answer: the body up to a limit, decompressed, kept only where it is
    needed, but for the pieces that it begins with; lines of headers and trailers, which libcurl
    limits to 300 KB."""

    __slots__ = (
        "_awaits_challenge",
        "_decoder",
        "_follows_redirects",
        "_has_body",
        "_headers_only",
        "_status",
        "_status_line",
        "beginning",
        "body",
        "excess",
        "foreign",
        "has_asked_certificate",
        "header_lines",
        "is_refused",
        "is_too_large",
        "lacks_socket",
        "limit",
        "size",
        "tls_version",
        "undecodable",
    )

    def __init__(
        self,
        limit: int,
        *,
        keeps_body: bool,
        follows_redirects: bool,
        headers_only: bool,
        awaits_challenge: bool = False,
    ) -> None:
        self.limit = limit
        self._awaits_challenge = awaits_challenge
        self._headers_only = headers_only
        self._follows_redirects = follows_redirects
        self.size = 0
        self.body: bytearray | None = bytearray() if keeps_body else None
        self.beginning: list[bytes] = []
        self.header_lines: list[bytes] = []
        self.is_too_large = False
        self.undecodable = ""
        self.foreign = b""  # what came that is no HTTP
        self.excess = 0
        self.has_asked_certificate = False
        self.tls_version = ""
        self.lacks_socket = False
        self.is_refused = False
        self._has_body = False
        self._decoder: Decoder | None = None
        self._status_line = self._status = b""

    def on_header(self, line: bytes) -> int | None:
        """Take a line of the headers. Where those end that no body is wanted of, or the connection
        has become one of another protocol, any number that isn't the line's length ends the
        transfer."""
        self.header_lines.append(line)
        if line[:5] == b"HTTP/":
            self._status_line, self._status = line, line.partition(b" ")[2][:3]
        elif line in _LINE_ENDS:
            if self._awaits_challenge and self._status == b"401":
                self._awaits_challenge = False  # libcurl answers it
            elif self.is_left or self._status == b"101":
                return -1
        return None

    @property
    def is_left(self) -> bool:
        """Whether the body is not waited for: that of a redirect, as in browsers, or any."""
        return bool(self.location) or (self._headers_only and not self.interim_status)

    @property
    def location(self) -> bytes:
        """Where an answer with a status of a redirect leads; empty where it leads nowhere."""
        found = b""
        if self._follows_redirects and self._status in _REDIRECTS:
            for line in reversed(self.header_lines):
                if line.startswith(b"HTTP/"):
                    break
                if line[:9].lower() == b"location:":
                    found = line[9:].strip()
        return found

    def on_body(self, chunk: bytes) -> int | None:
        """Take a piece of the body; any number that isn't its length ends the transfer."""
        try:
            if not self._has_body:
                if not self._status_line:  # libcurl takes it for an answer of HTTP/0.9
                    self.foreign = chunk
                    return -1
                self._has_body = True
                if codings := codings_of(self._coding):
                    self._decoder = Decoder(codings)
            if self._decoder is not None:
                chunk = self._decoder.decode(chunk, self.limit - self.size)
        except DecodingError:
            self.undecodable = f"sent a body that can't be decompressed ({self._coding[:50]})"
            return -1
        if self.size < KEPT:
            self.beginning.append(chunk)
        self.size += len(chunk)
        if self.size > self.limit:
            self.is_too_large = True
            return -1
        if self.body is not None:
            self.body += chunk
        return None

    def on_debug(self, kind: int, text: bytes) -> None:
        """libcurl's own words, the only place where it tells of bytes that it threw away, of a
        certificate that was asked of us, of the version of TLS, and why HTTP/3 was not begun."""
        # not pycurl.INFOTYPE_TEXT, which is 0: this is called a dozen times a check
        if kind or text[:4] not in _TELLING:
            return
        if text.startswith(b"Excess"):
            found = _EXCESS.match(text)
            self.excess = int(found.group(1)) if found else 1
        elif b"Request CERT" in text:
            self.has_asked_certificate = True
        elif text.startswith(b"SSL connection using TLSv"):
            version = text[25:].split(maxsplit=1)[0].decode("latin-1")
            self.tls_version = "1.0" if version == "1" else version
        elif text.startswith(b"failed to open socket"):
            self.lacks_socket = True
        elif text.startswith(b"QUIC: connection") and b" refused" in text:
            self.is_refused = True

    @property
    def framing_trouble(self) -> str:
        """What is wrong with an answer that libcurl takes for complete, to follow the place."""
        line = self._status_line
        if not line.startswith(_KNOWN_VERSIONS) or (
            line.startswith(b"HTTP/1.") and line[12:13].strip()
        ):
            return f"sent a status line that is none ({line[:50].decode('latin-1').strip()!r})"
        if self._decoder is not None and not self._decoder.is_complete:
            return f"sent a body whose compression ({self._coding[:50]}) is cut short"
        if self.excess > _STRAY_LINE_END and line[9:12] not in _WITHOUT_BODY:
            return f"sent {self.excess:,} bytes more than the body's announced length"
        return ""

    @property
    def has_all_headers(self) -> bool:
        """Whether the empty line came that ends the headers of the answer, an interim one aside."""
        if self._has_body:
            return True
        is_ended = False
        for line in reversed(self.header_lines):
            if line in _LINE_ENDS:
                is_ended = True
            elif line.startswith(b"HTTP/"):
                return is_ended and not self.interim_status
        return is_ended

    @property
    def interim_status(self) -> str:
        """The status of the last answer so far, where it is one that another is to follow."""
        status = self._status.decode("latin-1")
        return status if status.startswith("1") else ""

    @property
    def _coding(self) -> str:
        return self.headers.get("content-encoding", "") if self._names_coding() else ""

    def _names_coding(self) -> bool:
        """Whether it is worth a closer look; mostly it isn't."""
        # `any` takes twice as long
        for line in self.header_lines:  # noqa: SIM110
            if line[:17].lower() == b"content-encoding:":
                return True
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


def certificate_expiry(handle: Handle) -> tuple[datetime | None, bool]:
    """When the server's own certificate expires, from what libcurl kept of the handshake, and
    whether it has alternative names. libcurl is content with a common name."""
    ends_at, has_names = None, False
    for name, value in _own_certificate(handle):
        if name == b"Expire date":
            ends_at = parse_certificate_time(value.decode("ascii", "replace"))
        elif name == b"X509v3 Subject Alternative Name":
            has_names = True
    return ends_at, has_names


def certificate_pem(handle: Handle) -> bytes | None:
    """The server's own certificate."""
    return next((value for name, value in _own_certificate(handle) if name == b"Cert"), None)


def _own_certificate(handle: Handle) -> list[tuple[bytes, bytes]]:
    chain: list[list[tuple[bytes, bytes]]] = handle.getinfo_raw(pycurl.INFO_CERTINFO)
    return chain[0] if chain else []


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
