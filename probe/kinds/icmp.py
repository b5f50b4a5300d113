"""icmp: echo requests to a host; how many come back, and how fast."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import Field

from probe.assertions import TIMING, Evidence, Judge, Source
from probe.icmp import Answer
from probe.kinds.base import AssertedSettings, IpVersion, Kind, Resolver, clean_host
from probe.net import Deadline, Net, Trouble, describe_errno, is_address, reason_of_errno
from probe.values import NO_PHASES, Job, Observation, Phases, Reason, Spec, Status

GAP_S = 0.2
"""Between packets, where the timeout leaves room: a burst would measure its own queue."""


class IcmpSettings(AssertedSettings):
    sources: ClassVar = TIMING | {Source.PACKET_LOSS, Source.ROUND_TRIP, Source.ADDRESS}

    packets: int = Field(
        default=3, ge=1, le=100, title="Packets", description="How many echo requests to send."
    )
    max_loss_percent: float = Field(
        default=50,
        ge=0,
        le=100,
        title="Loss at most (%)",
        description="More lost packets than this are down. When all are lost it is down anyway.",
    )
    payload_bytes: int = Field(
        default=56, ge=0, le=9000, title="Payload (bytes)", description="Carried by each packet."
    )
    ip_version: IpVersion = Field(
        default="auto", title="IP version", description="Ping over IPv4, IPv6 or either."
    )
    resolver: Resolver | None = Field(
        default=None,
        title="Resolver",
        description="Ask this name server (ip or ip:port) instead of the system's.",
    )


@dataclass(slots=True)
class Tally:
    """What became of the packets of one check; times in ms, None where no packet came back."""

    sent: int
    lost: int
    min_ms: float | None = None
    avg_ms: float | None = None
    max_ms: float | None = None
    jitter_ms: float | None = None

    @property
    def loss_percent(self) -> float:
        return round(100 * self.lost / self.sent, 1)

    def __str__(self) -> str:
        if self.avg_ms is None:
            return "no answer"
        return (
            f"min/avg/max/jitter {self.min_ms:.1f}/{self.avg_ms:.1f}/{self.max_ms:.1f}"
            f"/{self.jitter_ms:.1f} ms"
        )


def tally(sent: int, rtts_ms: list[float]) -> Tally:
    """Sum up round trips in the order that they were sent.

    Jitter is the mean difference between neighbours, as in RFC 3550 without its smoothing.
    """
    if not rtts_ms:
        return Tally(sent, sent)
    steps = [abs(after - before) for before, after in pairwise(rtts_ms)]
    return Tally(
        sent,
        sent - len(rtts_ms),
        min(rtts_ms),
        round(sum(rtts_ms) / len(rtts_ms), 3),
        max(rtts_ms),
        round(sum(steps) / len(steps), 3) if steps else 0.0,
    )


class Round:
    """The packets of one check, under way until all are accounted for or time is up."""

    def __init__(self, net: Net, address: str, settings: IcmpSettings) -> None:
        self.address = address
        self.answers: list[Answer | None] = [None] * settings.packets
        self._net = net
        self._packets = settings.packets
        self._payload = _payload(settings.payload_bytes)
        self._keys: list[int] = []
        self._open = settings.packets
        self._loop = asyncio.get_running_loop()
        self._is_over: asyncio.Future[None] = self._loop.create_future()
        self._later: Callable[[Callable[[], None]], object]

    async def run(self, deadline: Deadline) -> None:
        """Raises Trouble where the process may not send ICMP, OSError where sending fails."""
        room_s = deadline.remaining_s / 2 / self._packets
        self._later = (
            self._net.pings.pacer(GAP_S).call
            if room_s >= GAP_S
            else partial(self._loop.call_later, room_s)
        )
        timer = self._loop.call_later(max(deadline.remaining_s, 0), self._end)
        try:
            self._send()
            await self._is_over
        finally:
            timer.cancel()
            self._packets = 0  # nothing more is sent
            if self._open:
                for key in self._keys:
                    self._net.pings.forget(self.address, key)

    def _send(self) -> None:
        number = len(self._keys)
        self._keys.append(
            self._net.pings.send(self.address, self._payload, partial(self._take, number))
        )
        if number + 1 < self._packets:
            self._later(self._send_next)

    def _send_next(self) -> None:
        if self._is_over.done() or not self._packets:
            return
        try:
            self._send()
        except (OSError, Trouble) as error:
            self._is_over.set_exception(error)

    def _take(self, number: int, answer: Answer) -> None:
        self.answers[number] = answer
        self._open -= 1
        if not self._open:
            self._end()

    def _end(self) -> None:
        if not self._is_over.done():
            self._is_over.set_result(None)


@lru_cache(maxsize=64)
def _payload(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def _make_judge(spec: Spec) -> Judge:
    return Judge(spec.settings.assertions, spec.settings.assertion_tree)


async def observe(job: Job, net: Net) -> Observation:
    settings: IcmpSettings = job.spec.settings
    judge = net.plans.get(job.spec, _make_judge)
    deadline = Deadline(job.spec.timeout.total_seconds())
    host = job.spec.target
    phases = NO_PHASES
    try:
        addresses = await net.addresses(
            host,
            allow_private=job.spec.allow_private,
            deadline=deadline,
            ip_version=settings.ip_version,
            server=settings.resolver,
        )
        if not is_address(host):
            phases = Phases(dns_ms=round(deadline.elapsed_ms, 3))
        seen = await _ping_first(net, addresses, settings, deadline)
    except Trouble as trouble:
        return trouble.observed(deadline.elapsed_ms, phases)
    place = host if host == seen.address else f"{host} ({seen.address})"
    return _judged(place, seen, settings, deadline, phases, judge)


async def _ping_first(
    net: Net, addresses: list[str], settings: IcmpSettings, deadline: Deadline
) -> Round:
    """Ping the first address that this machine has a way to. Raises Trouble where it has none."""
    for address in addresses:
        seen = Round(net, address, settings)
        try:
            await seen.run(deadline)
        except OSError as error:
            number, failed = error.errno or 0, address
        else:
            return seen
    raise Trouble(
        reason_of_errno(number), f"No packet can be sent to {failed}: {describe_errno(number)}."
    )


def _judged(
    place: str,
    seen: Round,
    settings: IcmpSettings,
    deadline: Deadline,
    phases: Phases,
    judge: Judge,
) -> Observation:
    """The verdict on a round; its latency is the mean round trip, where there is one."""
    answers = [answer for answer in seen.answers if answer is not None]
    result = tally(settings.packets, [one.rtt_ms for one in answers if not one.trouble])
    latency_ms = result.avg_ms if result.avg_ms is not None else round(deadline.elapsed_ms, 3)
    verdict = _verdict(place, result, answers, settings, deadline)
    observation = Observation(*verdict, latency_ms, phases, details=_details(seen.address, result))
    return (
        judge.grade(observation, _evidence(observation, result, seen.address))
        if judge
        else (observation)
    )


def _evidence(observation: Observation, result: Tally, address: str) -> Evidence:
    round_trip = {
        "min": result.min_ms,
        "average": result.avg_ms,
        "max": result.max_ms,
        "jitter": result.jitter_ms,
    }
    return Evidence(
        latency_ms=observation.latency_ms,
        phases=observation.phases,
        facts={
            Source.PACKET_LOSS: result.loss_percent,
            Source.ROUND_TRIP: {name: ms for name, ms in round_trip.items() if ms is not None},
            Source.ADDRESS: address,
        },
    )


def _details(address: str, result: Tally) -> dict[str, Any]:
    return {
        "address": address,
        "sent": result.sent,
        "lost": result.lost,
        "loss_percent": result.loss_percent,
        "min_ms": result.min_ms,
        "avg_ms": result.avg_ms,
        "max_ms": result.max_ms,
        "jitter_ms": result.jitter_ms,
    }


def _verdict(
    place: str,
    result: Tally,
    answers: list[Answer],
    settings: IcmpSettings,
    deadline: Deadline,
) -> tuple[Status, Reason | None, str]:
    if result.lost < result.sent and result.loss_percent <= settings.max_loss_percent:
        return Status.UP, None, ""
    troubles = [answer for answer in answers if answer.trouble]
    if troubles and len(troubles) == result.lost == result.sent:
        said = f"{troubles[0].address} answered: {troubles[0].trouble}"
        return Status.DOWN, Reason.CONNECT_UNREACHABLE, f"{place} can't be reached: {said}."
    said = f"; {troubles[0].address} answered: {troubles[0].trouble}" if troubles else ""
    if result.lost == result.sent:
        count = "1 packet" if result.sent == 1 else f"{result.sent} packets"
        message = f"No answer from {place} to {count} within {deadline.timeout_s:g} s{said}."
        return Status.DOWN, Reason.PACKET_LOSS, message
    return (
        Status.DOWN,
        Reason.PACKET_LOSS,
        f"{result.lost} of {result.sent} packets to {place} were lost ({result.loss_percent:g} %,"
        f" at most {settings.max_loss_percent:g} % expected), {result}{said}.",
    )


KIND = Kind(
    "icmp",
    "Ping (ICMP)",
    IcmpSettings,
    observe,
    clean_host,
    summary="Send echo requests to a host; judge how many come back, and how fast.",
    target_label="Host",
    target_example="router.example.org",
    sections={"": ("packets", "max_loss_percent")},
)
