"""The one door through which channels speak HTTP.

It stands on httpcore, the engine of httpx, because only there can the address that was judged be
the one that is connected to, and one deadline hold for resolving, connecting, TLS and every read.
Redirects are not followed: the answer is the receiver's, and a Location may lead anywhere.
"""

import json
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import httpcore
import httpx

from alerts.errors import DeliveryError
from alerts.exchanges import Exchange
from probe.net import is_forbidden

DEADLINE = timedelta(seconds=15)
ANSWER_LIMIT = 64 * 1024
USER_AGENT = "uptime-alerts/1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said; `body` ends at `ANSWER_LIMIT`, `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def retry_after(self, now: datetime) -> timedelta | None:
        """How long the receiver asks to be left alone (RFC 9110, 10.2.3): seconds or a date."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return timedelta(seconds=min(int(value), 10**6))
        try:
            until = parsedate_to_datetime(value)
        except ValueError:
            return None
        return max(until.replace(tzinfo=until.tzinfo or UTC) - now, timedelta())


@dataclass(frozen=True, slots=True)
class Door:
    """Sends requests for one team; `reaches_private` opens the networks closed to others.

    `exchanges` are what it sent and was answered so far. A channel that doesn't speak HTTP adds its
    own.
    """

    reaches_private: bool = False
    deadline: timedelta = DEADLINE
    exchanges: list[Exchange] = field(default_factory=list, compare=False)

    def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str],
        is_operators: bool = False,
    ) -> Answer:
        """POST `body` to `url`; see `request`."""
        return self.request("POST", url, body=body, headers=headers, is_operators=is_operators)

    def get(self, url: str, *, headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
        """GET `url`; see `request`."""
        return self.request("GET", url, body=b"", headers=headers)

    def send_json(
        self,
        url: str,
        values: object,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        method: str = "POST",
    ) -> Answer:
        """Send `values` as JSON; see `request`."""
        return self.request(
            method,
            url,
            body=json.dumps(values, ensure_ascii=False).encode(),
            headers={"Content-Type": "application/json; charset=utf-8", **headers},
        )

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str],
        is_operators: bool = False,
    ) -> Answer:
        """Send `body` to `url` and return the answer, whatever its status.

        `is_operators` marks an address from this installation's own settings: no network is closed
        to it. Raises DeliveryError when no answer came; its text names the host alone, since paths
        and headers hold keys.
        """
        try:
            answer = self._exchange(method, url, body, headers, is_operators=is_operators)
        except DeliveryError as error:
            self._note(method, url, headers, body, None, str(error))
            raise
        self._note(method, url, headers, body, answer.status, answer.body.decode(errors="replace"))
        return answer

    def _note(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        status: int | None,
        answer: str,
    ) -> None:
        sent = body.decode(errors="replace")
        self.exchanges.append(Exchange(method, url, headers, sent, status, answer))

    def _exchange(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        is_operators: bool,
    ) -> Answer:
        address = httpx.URL(url)
        backend = _Backend(
            ends_at=time.monotonic() + self.deadline.total_seconds(),
            is_guarded=not (self.reaches_private or is_operators),
        )
        sent = httpx.Headers({"User-Agent": USER_AGENT})
        sent.update(headers)
        try:
            with (
                httpcore.ConnectionPool(load_authorities(), network_backend=backend) as pool,
                pool.stream(method, _core_url(address), headers=sent.raw, content=body) as response,
            ):
                return _answer(response)
        except _ForbiddenError as error:
            raise DeliveryError(f"{address.host}: {error}", is_permanent=True) from error
        except httpcore.TimeoutException as error:
            seconds = self.deadline.total_seconds()
            raise DeliveryError(f"{address.host}: no answer within {seconds:g} s") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise DeliveryError(f"{address.host}: {_sentence(error)}") from error


def _core_url(address: httpx.URL) -> httpcore.URL:
    return httpcore.URL(
        scheme=address.raw_scheme,
        host=address.raw_host,
        port=address.port,
        target=address.raw_path,
    )


@lru_cache(maxsize=1)
def load_authorities() -> ssl.SSLContext:
    """The certificate authorities that are trusted: read once, in tens of milliseconds."""
    return httpx.create_ssl_context()


def _answer(response: httpcore.Response) -> Answer:
    body = b""
    # Its status is the answer: what breaks in the body after it makes nothing unsaid.
    with suppress(httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        for chunk in response.iter_stream():
            body += chunk
            if len(body) >= ANSWER_LIMIT:
                break
    return Answer(
        status=response.status,
        headers={
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in response.headers
        },
        body=body[:ANSWER_LIMIT],
    )


def _sentence(error: Exception) -> str:
    cause = error.args[0] if error.args else None  # httpcore hands the system's own error on
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(error) or "the connection broke"


class _ForbiddenError(Exception):
    """The name leads into a network that is closed to this team's messages."""


@dataclass(frozen=True, slots=True)
class _Backend(httpcore.NetworkBackend):
    """Resolves, judges and connects; hands out streams that know when the whole exchange ends."""

    ends_at: float
    is_guarded: bool

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in self._allowed(_resolve(host, port)):
            try:
                stream = httpcore.SyncBackend().connect_tcp(
                    address, port, _left(self.ends_at), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = failure or error
            else:
                return _Stream(stream, self.ends_at)
        raise failure or httpcore.ConnectError("the name has no address")

    def _allowed(self, addresses: list[str]) -> list[str]:
        if not self.is_guarded:
            return addresses
        allowed = [address for address in addresses if not is_forbidden(address)]
        if addresses and not allowed:
            raise _ForbiddenError("is in a network that is closed to alerts of this team")
        return allowed


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(error) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _left(ends_at: float, timeout: float | None = None) -> float:
    """The seconds left until `ends_at`, or `timeout` where that is sooner; raises when none are."""
    left = ends_at - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left if timeout is None else min(left, timeout)


class _Stream(httpcore.NetworkStream):
    """A stream on which nothing waits beyond one common deadline.

    A timeout for each read would let a receiver that drips a byte at a time hold a sender forever.
    """

    def __init__(self, stream: httpcore.NetworkStream, ends_at: float) -> None:
        self._stream = stream
        self._ends_at = ends_at

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._ends_at, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._ends_at, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(self._ends_at, timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._ends_at)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
