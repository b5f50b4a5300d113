"""The http check: ask, then judge."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from probe.assertions import Evidence, Source
from probe.certificates import days_until, expiry_warning
from probe.kinds.http.chain import Chain
from probe.kinds.http.exchange import Answer
from probe.kinds.http.exhibits import exhibits_of
from probe.kinds.http.offers import Offer, fingerprint_of, read_offer, recall
from probe.kinds.http.plan import HttpPlan, make_plan
from probe.kinds.http.tokens import forget_token, take_token
from probe.net import Deadline, Net, Trouble, is_address
from probe.values import Job, Observation, Reason, Status

_UNKNOWN = {Reason.CHECK_ERROR}
_TOLD_WITH_TRAIL = {Reason.REDIRECT_LOOP, Reason.REDIRECT_LIMIT}
_MAY_BE_FOR_HEAD_ONLY = {
    Reason.HTTP_STATUS,
    Reason.HTTP_PROTOCOL,
    Reason.TIMEOUT,
    Reason.CONNECT_RESET,
    Reason.REDIRECT_LOOP,
    Reason.REDIRECT_LIMIT,
    Reason.ASSERTION_FAILED,
}
_SAYS_THAT_GET_FAILS = _MAY_BE_FOR_HEAD_ONLY - {Reason.ASSERTION_FAILED}
_NO_GET = {HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}
_BADNESS = (Status.UP, Status.DEGRADED, Status.UNKNOWN, Status.DOWN)

Verdict = tuple[Status, Reason | None, str]


async def observe(job: Job, net: Net) -> Observation:
    plan = net.plans.get(job.spec, make_plan)
    deadline = Deadline(job.spec.timeout.total_seconds())
    offer = recall(job.last_fingerprint) if plan.takes_offers else None
    attempt = Attempt(plan, net, deadline, job.spec.allow_private, job.wants_details, offer)
    if plan.settings.ip_version != "both":
        return await attempt.observe(plan.settings.ip_version)
    if plan.proxy or is_address(plan.origin.host):
        return await attempt.observe("auto")  # there is but one way
    over_4, over_6 = await asyncio.gather(attempt.observe("4"), attempt.observe("6"))
    joined = join_families(over_4, over_6)
    return replace(joined, fingerprint=over_4.fingerprint or over_6.fingerprint)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One check's means; `observe` is the check over one family of addresses."""

    plan: HttpPlan
    net: Net
    deadline: Deadline
    allow_private: bool
    wants_details: bool
    offer: Offer | None

    async def observe(self, ip_version: str) -> Observation:
        method = self.plan.settings.method
        if method != "HEAD":
            return await self._ask(ip_version, method)
        return await self._observe_head(ip_version)

    async def _observe_head(self, ip_version: str) -> Observation:
        """Many servers know no HEAD, answer it wrongly or never; what people see is what GET gives.

        GET is asked where HEAD fails, and beside it where HEAD has taken half of the time. Where
        HEAD passes, GET is asked for its headers: if those are bad or don't come, that counts.
        """
        head = asyncio.create_task(self._ask(ip_version, "HEAD"))
        get: asyncio.Task[Observation] | None = None
        try:
            await asyncio.wait([head], timeout=self.deadline.remaining_s / 2)
            if not head.done():
                get = asyncio.create_task(self._ask(ip_version, "GET"))
                await asyncio.wait([head, get], return_when=asyncio.FIRST_COMPLETED)
                if get.done() and get.result().status == Status.UP:
                    return get.result()
            seen = await head
            if seen.status == Status.DOWN and seen.reason in _MAY_BE_FOR_HEAD_ONLY:
                return await (get or self._ask(ip_version, "GET"))
            if seen.status not in (Status.UP, Status.DEGRADED):
                return seen
            if get is not None:
                return _overruled(seen, await get, has_had_time=False)
            told = await self._ask(ip_version, "GET", headers_only=True)
            return _overruled(seen, told, has_had_time=True)
        finally:
            for task in filter(None, (head, get)):
                task.cancel()

    async def _ask(
        self, ip_version: str, method: str, *, headers_only: bool = False
    ) -> Observation:
        is_used_before = bool(self.plan.token.text)
        try:
            credentials = await self._credentials()
            request = Request(method, ip_version, headers_only, credentials)
            seen = await self._ask_newest(request)
            if credentials and seen.http_status == 401:
                forget_token(self.plan)
                if is_used_before:  # it may have been withdrawn before its time
                    credentials = await self._credentials()
                    seen = await self._ask_newest(replace(request, credentials=credentials))
        except Trouble as trouble:
            return _troubled(trouble, self.deadline.elapsed_ms)
        return seen

    async def _credentials(self) -> tuple[bytes, ...]:
        if self.plan.token_plan is None:
            return ()
        token = await take_token(
            self.plan,
            self.plan.token_plan,
            self.net,
            self.deadline,
            allow_private=self.allow_private,
        )
        return (f"Authorization: Bearer {token}".encode(),)

    async def _ask_newest(self, request: Request) -> Observation:
        """Over HTTP/3 where that was offered; where it fails, over TCP, which is what counts then.

        HTTP/3 has a quarter of the time to connect and half to answer: from then on TCP is asked
        beside it.
        """
        # fetching a token is no part of it
        begun_ms = self.deadline.elapsed_ms if request.credentials else 0.0
        offer = self.offer
        if offer is None or not offer.is_open(datetime.now(UTC)):
            asked = await self._ask_over(None, begun_ms, request)
            return self._with_offer(asked, offer)
        over_udp = asyncio.create_task(self._ask_over(offer, begun_ms, request))
        over_tcp: asyncio.Task[Asked] | None = None
        try:
            await asyncio.wait([over_udp], timeout=self.deadline.remaining_s / 2)
            if not over_udp.done() or over_udp.result().is_void:
                over_tcp = asyncio.create_task(
                    self._ask_over(None, self.deadline.elapsed_ms, request)
                )
                await _until_one_is_good(over_udp, over_tcp)
            if over_udp.done() and not over_udp.result().is_void:
                proven = offer.made(datetime.now(UTC)) if offer.failures else offer
                return self._with_offer(over_udp.result(), proven)
            assert over_tcp is not None
            by_udp = over_udp.result().seen.reason if over_udp.done() else None
            failed = offer.failed(by_udp or Reason.TIMEOUT, datetime.now(UTC))
            return self._with_offer(over_tcp.result(), failed)
        finally:
            for task in filter(None, (over_udp, over_tcp)):
                task.cancel()

    def _with_offer(self, asked: Asked, offer: Offer | None) -> Observation:
        """What was seen, with what the next check is to know of HTTP/3. `offer` is what is known of
        it by now, but for what the answer says."""
        seen = asked.seen
        if not self.plan.takes_offers:
            return seen
        if asked.head:
            offer = self._after_answer(asked, offer)
        elif offer and not asked.is_quic:
            offer = Offer(offer.port)  # TCP is asked until it answers: HTTP/3 alone is not up
        if offer and seen.details:
            seen = replace(seen, details={**seen.details, "http3": offer.told})
        known = fingerprint_of(self.offer, offer)
        return replace(seen, fingerprint=known) if known else seen

    def _after_answer(self, asked: Asked, offer: Offer | None) -> Offer | None:
        """What is known of HTTP/3 once an answer came. `offer`: what was known before it."""
        now = datetime.now(UTC)
        said = read_offer(asked.head, self.plan.origin.host)
        if said is None:
            return offer if asked.is_quic else None
        if asked.is_quic:  # which tells nothing of TCP
            return replace(offer, port=said.port) if offer else None
        if offer is None or said.port != offer.port:
            return said.made(now)
        is_over = not offer.failures and not offer.is_open(now)
        return said.made(now) if is_over else offer

    async def _ask_over(self, offer: Offer | None, begun_ms: float, request: Request) -> Asked:
        plan, deadline = self.plan, self.deadline
        chain = Chain(
            plan,
            self.net,
            deadline,
            allow_private=self.allow_private,
            ip_version=request.ip_version,
            method=request.method,
            credentials=request.credentials,
            headers_only=request.headers_only,
            wants_details=self.wants_details,
            offer=offer,
        )
        answer: Answer | None = None
        try:
            answer = await chain.answer()
        except Trouble as trouble:
            latency_ms = deadline.elapsed_ms - begun_ms
            verdict: Verdict = (status_of(trouble.reason), trouble.reason, trouble.message)
        else:
            latency_ms = deadline.elapsed_ms - begun_ms
            verdict = judge(plan, answer, latency_ms)
        seen = Observation(
            *verdict,
            round(latency_ms, 3),
            chain.timeline.phases(),
            chain.status,
            chain.cert_expires_at,
        )
        if answer is not None and plan.judge:
            seen = plan.judge.grade(seen, _evidence(answer, seen))
        if len(chain.trail) > 1:
            seen = _with_trail(seen, chain)
        is_over_offer = offer is not None and chain.is_quic  # rather than after a redirect
        if is_over_offer and seen.message:
            seen = replace(seen, message=f"{seen.message.removesuffix('.')} (over HTTP/3).")
        if (seen.status == Status.UP) == plan.settings.upside_down or self.wants_details:
            sent = (*plan.headers.own, *request.credentials)
            shown = exhibits_of(chain, answer, sent=sent, method=request.method)
            seen = replace(seen, details={**(seen.details or {}), **shown})
        is_void = is_over_offer and (
            seen.http_status == HTTPStatus.MISDIRECTED_REQUEST  # not to be asked there, RFC 7838
            or (answer is None and seen.reason in _OF_THE_NETWORK)
        )
        return Asked(seen, chain.first_head, offer is not None, is_void)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    ip_version: str
    headers_only: bool
    credentials: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request saw, and the head of the first answer that came. `is_quic`: the first hop
    was asked over HTTP/3, as offered; `is_void`: that failed, which says little of the target."""

    seen: Observation
    head: list[bytes]
    is_quic: bool
    is_void: bool


_OF_THE_NETWORK = {
    Reason.CONNECT_REFUSED,
    Reason.CONNECT_RESET,
    Reason.CONNECT_TIMEOUT,
    Reason.CONNECT_UNREACHABLE,
    Reason.TLS_EXPIRED,
    Reason.TLS_HANDSHAKE,
    Reason.TLS_HOSTNAME,
    Reason.TLS_NOT_YET_VALID,
    Reason.TLS_UNTRUSTED,
    Reason.TIMEOUT,
    Reason.HTTP_PROTOCOL,
    Reason.CHECK_ERROR,
}


async def _until_one_is_good(over_udp: asyncio.Task[Asked], over_tcp: asyncio.Task[Asked]) -> None:
    """Until HTTP/3 has answered after all, or TCP has; until both have ended where neither does."""
    await asyncio.wait([over_udp, over_tcp], return_when=asyncio.FIRST_COMPLETED)
    if over_udp.done() and over_udp.result().is_void:
        await over_tcp
    elif over_tcp.done() and not over_tcp.result().head:
        await over_udp


def _overruled(by_head: Observation, by_get: Observation, *, has_had_time: bool) -> Observation:
    """What HEAD saw, unless GET fails. That its body is too large, or it is not allowed, may be why
    HEAD was chosen; that it isn't answered tells only where it had half of the time for that."""
    if by_get.status != Status.DOWN or by_get.reason not in _SAYS_THAT_GET_FAILS:
        return by_head
    if by_get.http_status in _NO_GET:
        return by_head
    if by_get.reason == Reason.TIMEOUT and not has_had_time:
        return by_head
    return replace(by_get, message=f"HEAD passes, but not GET: {by_get.message}")


def _troubled(trouble: Trouble, latency_ms: float) -> Observation:
    status = status_of(trouble.reason)
    return Observation(status, trouble.reason, trouble.message, round(latency_ms, 3))


def _with_trail(seen: Observation, chain: Chain) -> Observation:
    """An observation that also says which redirects were followed."""
    details: dict[str, Any] = {"redirects": chain.trail, "is_downgraded": chain.is_downgraded}
    message = seen.message
    if message and seen.reason not in _TOLD_WITH_TRAIL:
        down = ", down from https to http" if chain.is_downgraded else ""
        message = f"{message.removesuffix('.')} (redirected {chain.shown_trail()}{down})."
    return replace(seen, message=message, details=details)


def join_families(over_4: Observation, over_6: Observation) -> Observation:
    """The worse of what was seen over IPv4 and over IPv6, saying which of them it was."""
    by_badness = sorted((over_4, over_6), key=lambda seen: _BADNESS.index(seen.status))
    better, worse = by_badness
    if worse.status == Status.UP:
        return max(over_4, over_6, key=lambda seen: seen.latency_ms or 0)
    if better.status == Status.UP:
        bad, good = ("IPv4", "IPv6") if worse is over_4 else ("IPv6", "IPv4")
        return replace(worse, message=f"Over {bad} only, {good} works: {worse.message}")
    return replace(worse, message=f"Over IPv4: {over_4.message} Over IPv6: {over_6.message}")


def status_of(reason: Reason) -> Status:
    return Status.UNKNOWN if reason in _UNKNOWN else Status.DOWN


def judge(plan: HttpPlan, answer: Answer, latency_ms: float) -> Verdict:
    """What a complete answer amounts to, before the assertions."""
    if not plan.accepts(answer.status):
        return Status.DOWN, Reason.HTTP_STATUS, _status_message(plan, answer, latency_ms)
    if answer.tls_trouble:
        return Status.DEGRADED, Reason.TLS_DEPRECATED, answer.tls_trouble
    if message := expiry_warning(answer.cert_expires_at, plan.settings.cert_expiry_days):
        return Status.DEGRADED, Reason.CERT_EXPIRING, message
    return Status.UP, None, ""


def _status_message(plan: HttpPlan, answer: Answer, latency_ms: float) -> str:
    try:
        phrase = f" ({HTTPStatus(answer.status).phrase})"
    except ValueError:  # a code of the server's own
        phrase = ""
    redirects = len(answer.hops) - 1
    at = f" at {answer.hops[-1][:200]}" if redirects else ""
    expected = ", ".join(plan.settings.expected_status)
    return (
        f"Status {answer.status}{phrase}{at} after {latency_ms:.0f} ms, expected {expected}"
        f"{_when_to_return(answer)}{_leads_nowhere(plan, answer)}{_is_the_proxys(plan, answer)}."
    )


def _is_the_proxys(plan: HttpPlan, answer: Answer) -> str:
    if answer.status != HTTPStatus.PROXY_AUTHENTICATION_REQUIRED or plan.proxy is None:
        return ""
    return f": the proxy {plan.proxy.place} wants a user name and password"


def _leads_nowhere(plan: HttpPlan, answer: Answer) -> str:
    if answer.status not in (301, 302, 303, 307, 308) or not plan.settings.follow_redirects:
        return ""
    return ": it redirects, but its Location header is missing or empty"


def _when_to_return(answer: Answer) -> str:
    if not answer.retry_after_s:
        return ""
    what = "it is asked too often" if answer.status == 429 else "it is out of service for now"
    return f": the server says that {what}, and to come back in {answer.retry_after_s} s"


def _evidence(answer: Answer, seen: Observation) -> Evidence:
    received = answer.received
    return Evidence(
        headers=received.headers,
        body=bytes(received.body or b""),
        charset=answer.charset,
        latency_ms=seen.latency_ms,
        phases=seen.phases,
        certificate=answer.certificate,
        facts={
            Source.STATUS: answer.status,
            Source.SIZE: received.size,
            Source.CERT_DAYS: days_until(answer.cert_expires_at)
            if answer.cert_expires_at
            else None,
            Source.URL: answer.hops[-1],
            Source.REDIRECTS: len(answer.hops) - 1,
            Source.HTTP_VERSION: answer.http_version,
            Source.ADDRESS: answer.address,
        },
    )
