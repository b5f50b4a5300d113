"""From the target's URL to the answer that counts: each hop resolved, guarded, pinned, asked."""

from __future__ import annotations

import re
import time
from datetime import datetime
from itertools import pairwise
from urllib.parse import urljoin

import pycurl

from probe import certificates
from probe.curl import Handle, Option, text_info
from probe.kinds.base import join_host_port
from probe.kinds.http.errors import Hop, is_whole, trouble_of
from probe.kinds.http.exchange import (
    Answer,
    Received,
    Timeline,
    certificate_expiry,
    certificate_pem,
    charset_of,
    spoken_version,
)
from probe.kinds.http.offers import Offer
from probe.kinds.http.plan import HTTP3_ONLY, HttpPlan, deprecated_tls_options
from probe.kinds.http.target import Origin, as_reference, parse_url, without_login
from probe.net import Deadline, Net, Trouble, guard, is_address
from probe.values import Reason

_MAY_SAY_WHEN = {429, 503}  # RFC 6585 section 4, RFC 9110 section 15.6.4
_NOT_TLS = re.compile(r"wrong version number|packet length too long|http request", re.IGNORECASE)


class Chain:
    """The hops of one check. Use it once: `answer` raises Trouble, and what was seen until then
    (`timeline`, `status`, `cert_expires_at`, `trail`, of the last hop `addresses` and `received`)
    stays readable.

    `credentials` are headers that go to the user's own origin only, besides those of the plan. With
    `headers_only` no body is waited for. With an `offer` the first hop is asked over HTTP/3, to
    which it must connect within a part of the time; `is_quic` tells whether the last hop was.
    `first_head` is what the first hop's answer said.
    """

    def __init__(
        self,
        plan: HttpPlan,
        net: Net,
        deadline: Deadline,
        *,
        allow_private: bool,
        ip_version: str,
        method: str,
        credentials: tuple[bytes, ...] = (),
        headers_only: bool = False,
        wants_details: bool = False,
        offer: Offer | None = None,
    ) -> None:
        self._plan = plan
        self._net = net
        self._deadline = deadline
        self._allow_private = allow_private
        self._ip_version = ip_version
        self._method = method
        self._credentials = credentials
        self._headers_only = headers_only
        self._wants_details = wants_details
        self._offer = offer
        self._tls_trouble = ""
        self.is_quic = False
        self.first_head: list[bytes] = []
        self.trail: list[str] = []
        self.addresses: list[str] = []
        self.received: Received | None = None
        self.timeline = Timeline()
        self.status: int | None = None
        self.cert_expires_at: datetime | None = None

    async def answer(self) -> Answer:
        """The answer at the end of the redirects. Raises Trouble."""
        handle = self._net.transfers.take_handle()
        try:
            return await self._follow(handle)
        finally:
            self._net.transfers.give_back(handle)

    async def _follow(self, handle: Handle) -> Answer:
        plan = self._plan
        url, origin, body = plan.url, plan.origin, plan.body
        method = self._method
        is_trusted = True
        seen: set[object] = set()
        while True:
            self.trail.append(url)
            hop = await self._ask(handle, url, origin, method, body, is_trusted=is_trusted)
            self.first_head = self.first_head or hop.received.header_lines
            location = hop.received.location
            if not location:
                return self._finish(handle, hop)
            # the same request with the same cookies again will be answered the same again
            request = (method, url, *handle.getinfo_raw(pycurl.INFO_COOKIELIST))
            if request in seen:
                raise Trouble(
                    Reason.REDIRECT_LOOP, f"The redirects go round: {self.shown_trail()}."
                )
            seen.add(request)
            if len(self.trail) > plan.settings.max_redirects:
                raise Trouble(
                    Reason.REDIRECT_LIMIT,
                    f"More than {plan.settings.max_redirects} redirects: {self.shown_trail()}.",
                )
            url, next_origin = self._parse_location(location, hop)
            method, body = _next_request(self.status, method, body)
            # what left the user's origin once stays a stranger, even if it comes back
            is_trusted = is_trusted and origin.may_share_credentials_with(next_origin)
            origin = next_origin
            handle.reset()  # the cookies outlive it, and are the only thing that should

    def _parse_location(self, location: bytes, hop: Hop) -> tuple[str, Origin]:
        reference = as_reference(location)
        try:
            return parse_url(without_login(urljoin(hop.url, reference)))
        except ValueError as error:
            raise Trouble(
                Reason.HTTP_PROTOCOL, f"{hop.url} redirects to {reference[:200]!r}: {error}."
            ) from None

    def shown_trail(self) -> str:
        shown = " → ".join(url[:100] for url in self.trail[:8])
        return shown if len(self.trail) <= 8 else f"{shown} → …"

    @property
    def is_downgraded(self) -> bool:
        """Whether a redirect led from https to http."""
        schemes = [url.partition(":")[0] for url in self.trail]
        return ("https", "http") in pairwise(schemes)

    def _finish(self, handle: Handle, hop: Hop) -> Answer:
        assert self.status is not None  # a transfer that ended well had an answer
        if what := hop.received.framing_trouble:
            raise Trouble(Reason.HTTP_PROTOCOL, f"{hop.place} {what}, {hop.after}.")
        answer = Answer(
            status=self.status,
            received=hop.received,
            cert_expires_at=self.cert_expires_at,
            tls_trouble=self._tls_trouble,
            hops=self.trail,
            http_version=spoken_version(handle),
        )
        if self.status in _MAY_SAY_WHEN:
            answer.retry_after_s = handle.getinfo(pycurl.RETRY_AFTER)
        if self._wants_details or not self._plan.accepts(self.status):
            answer.certificate = certificate_pem(handle)
        if self._plan.judge:
            answer.charset = charset_of(text_info(handle, pycurl.CONTENT_TYPE))
            answer.address = text_info(handle, pycurl.PRIMARY_IP)
            answer.certificate = certificate_pem(handle)
        return answer

    # One hop

    async def _ask(
        self,
        handle: Handle,
        url: str,
        origin: Origin,
        method: str,
        body: bytes | None,
        *,
        is_trusted: bool,
    ) -> Hop:
        plan = self._plan
        offer = self._offer if len(self.trail) == 1 else None
        port = offer.port if offer else origin.port
        addresses, pins = await self._pin(handle, origin, port)
        received = Received(
            plan.settings.max_body_bytes,
            keeps_body=plan.needs_body,
            follows_redirects=plan.settings.follow_redirects,
            headers_only=self._headers_only,
            awaits_challenge=is_trusted and bool(plan.login_options),
        )
        proxy = plan.proxy.place if plan.proxy else ""
        self.is_quic = offer is not None or plan.settings.http_version == "3"
        hop = Hop(url, origin, addresses, self._deadline, received, proxy, self.is_quic, port)
        self.addresses, self.received = addresses, received
        headers = plan.headers.choose(is_trusted=is_trusted, has_body=body is not None)
        if is_trusted:
            headers += self._credentials
        options: list[Option] = [
            *plan.options,
            *pins,
            *_method_options(method, body),
            (pycurl.URL, url),
            (pycurl.HTTPHEADER, headers),
            (pycurl.WRITEFUNCTION, received.on_body),
            (pycurl.HEADERFUNCTION, received.on_header),
            (pycurl.DEBUGFUNCTION, received.on_debug),
        ]
        if is_trusted:
            options += plan.login_options
        if plan.settings.http_version in _NEEDS_CARE and not origin.is_tls:
            options += _in_the_clear(plan.settings.http_version, hop)
        if offer is not None:
            patience_s = self._deadline.remaining_s * _PATIENCE
            options += [HTTP3_ONLY, (pycurl.CONNECTTIMEOUT_MS, max(int(patience_s * 1000), 1))]
        if origin.is_tls:
            options += plan.tls_options
            if is_trusted:
                options += plan.client_options
        code, text = await self._perform(handle, options)
        if code == pycurl.E_SSL_CONNECT_ERROR and not _NOT_TLS.search(text):
            failed = trouble_of(code, text, handle, hop)
            code, text = await self._retry_outdated(handle, options, failed, hop)
        elif code == pycurl.E_PEER_FAILED_VERIFICATION and certificates.is_about_strength(
            handle.getinfo(pycurl.SSL_VERIFYRESULT)
        ):
            code, text = await self._retry_weak(handle, options, origin.host)
        self.timeline.add(handle)
        self.status = handle.getinfo(pycurl.RESPONSE_CODE) or self.status
        if code == pycurl.E_PEER_FAILED_VERIFICATION:
            raise await self._explain_certificate(handle, options, text, hop)
        is_enough = code == pycurl.E_WRITE_ERROR and received.is_left and received.has_all_headers
        if code and not is_enough and not is_whole(text, handle):
            raise trouble_of(code, text, handle, hop)
        if not received.has_all_headers:  # libcurl takes the end for the end of an empty body
            raise Trouble(
                Reason.HTTP_PROTOCOL,
                f"{hop.place} closed the connection in the middle of the headers, {hop.after}.",
            )
        self._check_version(handle, hop)
        if origin.is_tls:
            self.cert_expires_at, has_names = certificate_expiry(handle)
            if plan.settings.verify_tls and not has_names:
                pem = certificate_pem(handle) or b""
                raise certificates.nameless(certificates.load(pem), origin.host)
        return hop

    def _check_version(self, handle: Handle, hop: Hop) -> None:
        wanted = self._plan.settings.http_version
        if wanted == "auto":
            return
        spoken = spoken_version(handle)
        if spoken != wanted and not (wanted == "1.1" and spoken == "1.0"):
            raise Trouble(
                Reason.HTTP_PROTOCOL, f"{hop.place} speaks HTTP/{spoken}, expected HTTP/{wanted}."
            )

    async def _perform(self, handle: Handle, options: list[Option]) -> tuple[int, str]:
        remaining_ms = max(int(self._deadline.remaining_s * 1000), 1)  # 0 would mean no limit
        handle.setopt(pycurl.TIMEOUT_MS, remaining_ms)
        return await self._net.transfers.perform(handle, options)

    async def _retry_outdated(
        self, handle: Handle, options: list[Option], failed: Trouble, hop: Hop
    ) -> tuple[int, str]:
        """Ask again with TLS of any age. Raises what failed first where that fails as well, and
        where it fails no longer, so that it was not for age.

        A server that finds no version in common may say so, or just hang up.
        """
        retried = await self._perform(handle, [*options, *deprecated_tls_options()])
        if retried[0] == pycurl.E_PEER_FAILED_VERIFICATION:
            return retried
        version, wanted = hop.received.tls_version, self._plan.settings.min_tls
        if retried[0] == pycurl.E_SSL_CONNECT_ERROR or not version:
            self.timeline.add(handle)
            raise failed
        if version < wanted:
            self._tls_trouble = f"{hop.place} speaks TLS {version} at most, expected {wanted}."
            return retried
        if version < "1.2":  # asked for, but spoken by OpenSSL only where nothing is too weak
            return retried
        code, _ = await self._look_at_certificate(options)
        if code in (pycurl.E_OK, pycurl.E_PEER_FAILED_VERIFICATION):
            self.timeline.add(handle)
            raise failed
        self._tls_trouble = (
            f"The server refuses TLS {wanted} with sound ciphers and keys,"
            " and takes only what is out of date."
        )
        return retried

    async def _retry_weak(
        self, handle: Handle, options: list[Option], host: str
    ) -> tuple[int, str]:
        """Ask again, content with weak keys and signatures: what else is wrong then shows."""
        retried = await self._perform(handle, [*options, *deprecated_tls_options()])
        if not retried[0]:
            pem = certificate_pem(handle)
            certificate = certificates.load(pem) if pem else None
            weakness = certificates.weakness_of(certificate) if certificate else ""
            self._tls_trouble = (
                f"The certificate of {host} has {weakness}: too weak."
                if weakness
                else f"A certificate in the chain of {host} is too weak."
            )
        return retried

    async def _explain_certificate(
        self, handle: Handle, options: list[Option], text: str, hop: Hop
    ) -> Trouble:
        """libcurl shows no certificate that it refuses, so it is fetched again, unverified."""
        result = handle.getinfo(pycurl.SSL_VERIFYRESULT)
        unverified = [(pycurl.SSL_VERIFYPEER, 0), (pycurl.SSL_VERIFYHOST, 0)]
        _, pem = await self._look_at_certificate([*options, *unverified])
        certificate = certificates.load(pem) if pem else None
        if certificate is not None:
            self.cert_expires_at = certificate.not_valid_after_utc
        elif (
            hop.is_quic and result == certificates.NOT_LOOKED_AT
        ):  # libcurl says this of any failure of TLS
            return trouble_of(pycurl.E_RECV_ERROR, text, handle, hop)
        return certificates.trouble_of(result, text, certificate, hop.origin.host)

    async def _look_at_certificate(self, options: list[Option]) -> tuple[int, bytes | None]:
        """Connect once more and ask nothing: libcurl's result, and what the server shows."""
        viewer = pycurl.Curl()
        try:
            code, _ = await self._perform(viewer, [*options, (pycurl.CONNECT_ONLY, 1)])
            return code, certificate_pem(viewer)
        finally:
            viewer.close()

    async def _pin(
        self, handle: Handle, origin: Origin, port: int
    ) -> tuple[list[str], list[Option]]:
        """A hop's addresses, judged, and the options that hold the transfer to them."""
        proxy = self._plan.proxy
        if proxy is None:
            addresses = await self._addresses(origin.host)
            return addresses, [(pycurl.PROXY, ""), *_pin_options(handle, origin, addresses, port)]
        through = await self._addresses(proxy.host)
        addresses, pins = [origin.host], []
        if proxy.scheme == "socks5":
            addresses = await self._addresses(origin.host)
            pins = _pin_options(handle, origin, addresses[:1], port)
        elif is_address(origin.host):
            guard(origin.host, addresses, allow_private=self._allow_private)
        place = join_host_port(through[0], proxy.port)
        held: list[Option] = []
        if len(through) > 1:
            place, held = _held_name(f"p{id(handle):x}", through, proxy.port)
        return addresses, [
            (pycurl.PROXY, f"{proxy.scheme}://{place}"),
            (pycurl.NOPROXY, ""),
            (_SUPPRESS_CONNECT_HEADERS, 1),  # what the proxy says is no answer of the target's
            *proxy.options,
            *held,
            *pins,
        ]

    async def _addresses(self, host: str) -> list[str]:
        started_at = time.monotonic()
        try:
            return await self._net.addresses(
                host,
                allow_private=self._allow_private,
                deadline=self._deadline,
                ip_version=self._ip_version,
                server=self._plan.settings.resolver,
            )
        finally:
            if not is_address(host):
                self.timeline.add_dns(time.monotonic() - started_at)


def _pin_options(handle: Handle, origin: Origin, addresses: list[str], port: int) -> list[Option]:
    """Hold a transfer to addresses: one by naming it, several by a name that only we know.

    The name belongs to the handle, so two checks of one host that were resolved differently can't
    meet in libcurl's cache, and the cache stays as small as the number of handles.
    """
    if addresses == [origin.host] and port == origin.port:
        return []
    if len(addresses) == 1:
        return [(pycurl.CONNECT_TO, [f"::{join_host_port(addresses[0], port)}"])]
    place, held = _held_name(f"h{id(handle):x}", addresses, port)
    return [*held, (pycurl.CONNECT_TO, [f"::{place}"])]


def _held_name(label: str, addresses: list[str], port: int) -> tuple[str, list[Option]]:
    """A name of ours with a port, and what makes libcurl take it for these addresses."""
    place = f"{label}.invalid:{port}"
    return place, [(pycurl.RESOLVE, [f"-{place}", f"{place}:{','.join(addresses)}"])]


_SUPPRESS_CONNECT_HEADERS = 265  # pycurl has no name for it

_NEEDS_CARE = {"2", "3"}
_PATIENCE = 0.25
"""The share of the time within which an offered HTTP/3 must have connected."""


def _in_the_clear(http_version: str, hop: Hop) -> list[Option]:
    """How to speak a newer HTTP without TLS, where nothing can be negotiated."""
    if http_version == "3":
        raise Trouble(Reason.HTTP_PROTOCOL, f"{hop.url[:200]} can't be asked over HTTP/3.")
    return [(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)]


def _method_options(method: str, body: bytes | None) -> list[Option]:
    if method == "GET" and body is None:
        return []
    if method == "HEAD" and body is None:
        return [(pycurl.NOBODY, 1)]
    options: list[Option] = []
    if body is not None:
        options += [(pycurl.POST, 1), (pycurl.POSTFIELDS, body)]
    return [*options, (pycurl.CUSTOMREQUEST, method)]


def _next_request(status: int | None, method: str, body: bytes | None) -> tuple[str, bytes | None]:
    """Method and body after a redirect (RFC 9110 section 15.4)."""
    if status == 303 and method != "HEAD":
        return "GET", None
    if status in (301, 302) and method == "POST":
        return "GET", None
    return method, body
