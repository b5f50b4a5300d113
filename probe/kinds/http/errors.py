"""What libcurl's result codes mean: a reason, and a sentence with place, phase and time."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass

import pycurl

from probe.certificates import in_words, tail
from probe.curl import Handle
from probe.kinds.http.exchange import Received
from probe.kinds.http.target import Origin
from probe.net import Deadline, Trouble, describe_errno, own_fault, reason_of_errno
from probe.values import Reason

_RESETS = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}

_E_PROXY = 97  # pycurl names none of these
_E_SSL_CLIENTCERT = 98
_E_TOO_LARGE = 100

_OURS = {
    pycurl.E_OUT_OF_MEMORY,
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_SSL_CIPHER,
    pycurl.E_SSL_ENGINE_NOTFOUND,
    pycurl.E_FAILED_INIT,
    pycurl.E_NOT_BUILT_IN,
    pycurl.E_BAD_FUNCTION_ARGUMENT,
    pycurl.E_UNKNOWN_OPTION,
    pycurl.E_COULDNT_RESOLVE_HOST,  # never asked to: addresses are pinned
    pycurl.E_COULDNT_RESOLVE_PROXY,
}
_PROTOCOL_TEXTS = {
    pycurl.E_UNSUPPORTED_PROTOCOL: "did not answer with HTTP",
    pycurl.E_GOT_NOTHING: "closed the connection without an answer",
    pycurl.E_BAD_CONTENT_ENCODING: "sent a body that can't be decompressed",
    _E_TOO_LARGE: "sent headers that are too large",
}
_TLS_RECORDS = (b"\x15", b"\x16")  # alert and handshake
_SHOWN = 80  # bytes of what is no HTTP
_REFUSED_STREAM = "Connection died, tried"
_ENDED_BY_SERVER = "ERR_DRAINING"  # of ngtcp2
_ENDED_BY_US = "ERR_CLOSING"
_UNCLOSED = "unexpected eof while reading"


@dataclass(slots=True)
class Hop:
    """One request of a chain: where it went, and what is known of it. `proxy` is the place of the
    proxy that it went through, empty where there is none; `is_quic`: by HTTP/3 and nothing else;
    `port` is the one connected to, where that isn't the origin's."""

    url: str
    origin: Origin
    addresses: list[str]
    deadline: Deadline
    received: Received
    proxy: str = ""
    is_quic: bool = False
    port: int = 0

    @property
    def gate(self) -> str:
        """What the connection itself is made to."""
        if self.is_quic:
            return f"{self.place} over UDP (HTTP/3)"
        return f"the proxy {self.proxy}" if self.proxy else self.place

    @property
    def place(self) -> str:
        host, port = self.origin.host, self.port or self.origin.port
        if self.addresses == [host]:
            return f"{host} port {port}"
        return f"{host} ({', '.join(self.addresses)}) port {port}"

    @property
    def seen_at(self) -> str:
        """Who an answer comes from, or fails to, as far as can be seen from here."""
        return f"{self.place}, through the proxy {self.proxy}," if self.proxy else self.place

    @property
    def after(self) -> str:
        return f"after {self.deadline.elapsed_ms:.0f} ms"


def trouble_of(code: int, text: str, handle: Handle, hop: Hop) -> Trouble:
    """The trouble that a result code stands for; those of certificates are in `certificates`."""
    if hop.received.is_too_large:
        limit = hop.received.limit
        return Trouble(
            Reason.BODY_TOO_LARGE,
            f"The body is larger than {limit:,} bytes (max_body_bytes), {hop.after}.",
        )
    if hop.received.interim_status == "101":
        return Trouble(
            Reason.HTTP_PROTOCOL,
            f"{hop.seen_at} switched to another protocol (status 101), which nobody asked for,"
            f" {hop.after}.",
        )
    if hop.received.foreign:
        return Trouble(
            Reason.HTTP_PROTOCOL,
            f"{hop.seen_at} {_no_http(hop.received.foreign, hop)}, {hop.after}.",
        )
    if hop.received.undecodable:
        return Trouble(
            Reason.HTTP_PROTOCOL, f"{hop.seen_at} {hop.received.undecodable}, {hop.after}."
        )
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return _timeout(handle, hop)
    if hop.is_quic and (trouble := _of_quic(code, text, handle, hop)):
        return trouble
    if hop.proxy and (trouble := _between_proxy_and_target(code, handle, hop)):
        return trouble
    if hop.received.has_asked_certificate and not hop.received.header_lines:
        return _unintroduced(handle, text, hop)
    if code == pycurl.E_COULDNT_CONNECT:
        return _not_connected(handle.getinfo(pycurl.OS_ERRNO), hop)
    if code == pycurl.E_TOO_MANY_REDIRECTS:  # libcurl follows none, but counts logins among them
        return Trouble(
            Reason.HTTP_STATUS,
            f"{hop.place} answers each login with a new challenge (status 401), {hop.after}.",
        )
    if code == pycurl.E_SSL_CONNECT_ERROR:
        return _handshake(handle, text, hop)
    if code == pycurl.E_SSL_CERTPROBLEM:  # nothing was shown to anybody yet
        return Trouble(Reason.CHECK_ERROR, f"The client certificate can't be used: {tail(text)}.")
    if code == _E_SSL_CLIENTCERT:
        return Trouble(
            Reason.TLS_HANDSHAKE, f"{hop.place} wants another client certificate: {tail(text)}."
        )
    if code == pycurl.E_RECV_ERROR and "alert" in text and "SSL routines" in text:
        return _handshake(handle, text, hop)  # under TLS 1.3 a refusal comes after the handshake
    if code in (pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR):
        return _broken(handle, text, hop)
    if code == _E_PROXY:
        return Trouble(
            Reason.CONNECT_UNREACHABLE,
            f"The proxy {hop.proxy} did not reach {hop.place}: {tail(text)}, {hop.after}.",
        )
    if code in _OURS:
        return Trouble(Reason.CHECK_ERROR, f"libcurl error {code}: {text}")
    return _protocol(code, handle, text, hop)


def _no_http(said: bytes, hop: Hop) -> str:
    if said[:1] in _TLS_RECORDS and said[1:2] == b"\x03" and not hop.origin.is_tls:
        return "speaks TLS, but is asked without it: its URL should begin with https://"
    text = json.dumps(said[:_SHOWN].decode("utf-8", "backslashreplace"), ensure_ascii=False)
    return f"did not answer with HTTP but {text}{'…' if len(said) > _SHOWN else ''}"


def _phase(handle: Handle, hop: Hop) -> str:
    """What a transfer was at when it ended, to follow "while"."""
    if not handle.getinfo(pycurl.CONNECT_TIME):
        return "connecting"
    if _waits_for_proxy(handle, hop):
        return f"waiting for the proxy {hop.proxy}"
    if hop.origin.is_tls and not handle.getinfo(pycurl.APPCONNECT_TIME):
        return "in the TLS handshake"
    if not handle.getinfo(pycurl.STARTTRANSFER_TIME):
        return "waiting for the first byte"
    if status := hop.received.interim_status:
        return f"waiting for what follows status {status}"
    if not hop.received.has_all_headers:
        return "reading the headers"
    return f"reading the body ({hop.received.size:,} bytes so far)"


def _timeout(handle: Handle, hop: Hop) -> Trouble:
    limit = f"{hop.deadline.timeout_s:g} s"
    if not handle.getinfo(pycurl.CONNECT_TIME):
        # libcurl waits for a free port as for an answer, where it connects over UDP
        if hop.is_quic and (number := own_fault(hop.addresses[0], hop.port or hop.origin.port)):
            return _not_connected(number, hop)
        return Trouble(Reason.CONNECT_TIMEOUT, f"No connection to {hop.gate} within {limit}.")
    phase = _phase(handle, hop)
    return Trouble(Reason.TIMEOUT, f"{hop.seen_at} took longer than {limit}, while {phase}.")


def _not_connected(number: int, hop: Hop) -> Trouble:
    reason = reason_of_errno(number)
    if reason == Reason.CONNECT_REFUSED:
        return Trouble(reason, f"Connection to {hop.gate} was refused {hop.after}.")
    if not number:  # libcurl got no socket, and doesn't say why
        return Trouble(reason, f"No connection to {hop.gate} could be begun: no socket to be had.")
    return Trouble(reason, f"No connection to {hop.gate}: {describe_errno(number)}, {hop.after}.")


def _waits_for_proxy(handle: Handle, hop: Hop) -> bool:
    """Whether the proxy has yet to open the way to a target under TLS."""
    return bool(hop.proxy) and hop.origin.is_tls and not handle.getinfo(pycurl.HTTP_CONNECTCODE)


def _between_proxy_and_target(code: int, handle: Handle, hop: Hop) -> Trouble | None:
    """The trouble where a proxy was reached, but doesn't lead on."""
    status = handle.getinfo(pycurl.HTTP_CONNECTCODE)
    if status >= 300:
        wants = ": it wants a user name and password" if status == 407 else ""
        what = f"refused the way to {hop.place} with status {status}{wants}"
    elif code == pycurl.E_RECV_ERROR and _waits_for_proxy(handle, hop):
        what = f"closed the connection when asked for the way to {hop.place}"
    else:
        return None
    return Trouble(Reason.CONNECT_UNREACHABLE, f"The proxy {hop.proxy} {what}, {hop.after}.")


def is_whole(text: str, handle: Handle) -> bool:
    """Whether a connection of QUIC that the server ended had brought the announced body before."""
    return _ENDED_BY_SERVER in text and handle.getinfo(
        pycurl.CONTENT_LENGTH_DOWNLOAD_T
    ) == handle.getinfo(pycurl.SIZE_DOWNLOAD_T)


def _of_quic(code: int, text: str, handle: Handle, hop: Hop) -> Trouble | None:
    """The trouble where libcurl says of a connection of QUIC no more than that it failed."""
    if not handle.getinfo(pycurl.CONNECT_TIME):
        if handle.getinfo(pycurl.OS_ERRNO) or hop.received.lacks_socket:
            return None
        if code == pycurl.E_SEND_ERROR or hop.received.is_refused:  # ICMP told so
            return _not_connected(errno.ECONNREFUSED, hop)
        return Trouble(
            Reason.TLS_HANDSHAKE,
            f"The handshake of HTTP/3 with {hop.place} failed {hop.after}: the two have no version,"
            " protocol or cipher in common, or one refused what the other sent.",
        )
    if _ENDED_BY_SERVER in text:
        what = "ended the HTTP/3 connection"
    elif _ENDED_BY_US in text:
        what = "broke the protocol of HTTP/3"
    else:
        return None
    return Trouble(
        Reason.HTTP_PROTOCOL, f"{hop.place} {what} while {_phase(handle, hop)}, {hop.after}."
    )


def _handshake(handle: Handle, text: str, hop: Hop) -> Trouble:
    number = handle.getinfo(pycurl.OS_ERRNO)
    detail = describe_errno(number) if number in _RESETS else in_words(tail(text))
    return Trouble(
        Reason.TLS_HANDSHAKE, f"The TLS handshake with {hop.place} failed {hop.after}: {detail}."
    )


def _unintroduced(handle: Handle, text: str, hop: Hop) -> Trouble:
    """A server that asked who we are did not go on; under TLS 1.3 the handshake is over by then,
    and what it says of the reason may be lost in the reset of the connection."""
    number = handle.getinfo(pycurl.OS_ERRNO)
    detail = describe_errno(number) if number in _RESETS else tail(text) or "it closed"
    return Trouble(
        Reason.TLS_HANDSHAKE,
        f"{hop.place} asks for a client certificate and did not go on, {hop.after}: {detail}.",
    )


def _broken(handle: Handle, text: str, hop: Hop) -> Trouble:
    if handle.getinfo(pycurl.OS_ERRNO) in _RESETS:
        phase = _phase(handle, hop)
        return Trouble(
            Reason.CONNECT_RESET, f"{hop.seen_at} reset the connection while {phase}, {hop.after}."
        )
    return _protocol(pycurl.E_RECV_ERROR, handle, text, hop)


def _protocol(code: int, handle: Handle, text: str, hop: Hop) -> Trouble:
    if code == pycurl.E_PARTIAL_FILE:
        announced = handle.getinfo(pycurl.CONTENT_LENGTH_DOWNLOAD_T)
        size = f"{handle.getinfo(pycurl.SIZE_DOWNLOAD_T):,} bytes"
        what = f"closed the connection after {size} of the body" + (
            f", {announced:,} were announced" if announced > 0 else ", before its end"
        )
    elif code == pycurl.E_GOT_NOTHING and (status := hop.received.interim_status):
        what = f"closed the connection after the interim status {status} alone"
    elif _REFUSED_STREAM in text:
        name = "HTTP/3 REQUEST_REJECTED" if hop.is_quic else "HTTP/2 REFUSED_STREAM"
        what = f"refused the request again and again ({name})"
    elif _UNCLOSED in text and not hop.received.header_lines:
        what = _PROTOCOL_TEXTS[pycurl.E_GOT_NOTHING]
    elif _UNCLOSED in text:
        what = "cut off the TLS connection without closing it, so the answer may be incomplete"
    else:
        what = _PROTOCOL_TEXTS.get(code) or f"broke the HTTP protocol: {tail(text)}"
    return Trouble(Reason.HTTP_PROTOCOL, f"{hop.seen_at} {what}, {hop.after}.")
