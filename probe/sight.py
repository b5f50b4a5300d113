"""Whether a location still sees the network: what it can't see, it doesn't judge.

    sight = Sight(observe=prober.observe, anchors=make_anchors([]), tell=tell)
    watching = asyncio.create_task(sight.watch())
    engine = Engine(source=source, sink=sink, observe=sight.observe)

A check that got no answer is held back until a *look* that began after it has said whose fault that
is: the anchors are asked, and some hosts that were up before. Where they answer, the check counts;
this takes as long as the quickest of them. Where nearly all are silent, the location is blind:
checks without an answer are `unknown` (`location_blind`), so no failure counts that could be ours,
not even the first. Blind, it looks again every few seconds, and sees as soon as it is answered.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog

from probe.anchors import (
    Anchor,
    host_asked,
    is_ours,
    is_repeatable,
    is_silent,
    lies_outside,
    repeated,
)
from probe.upside_down import is_upside_down
from probe.values import Job, Observation, Reason, Status

log = structlog.get_logger(__name__)

MOST = 0.8
"""The share of hosts that are silent where a location goes blind..."""
STILL = 0.5
"""...and the share above which it stays so."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Who answered since the doubt arose, and who did not: anchors, and different hosts."""

    anchors_answered: int = 0
    anchors_silent: int = 0
    hosts_answered: int = 0
    hosts_silent: int = 0


def decide_blind(was_blind: bool, heard: Heard) -> bool:
    """Whether the location is blind.

    An anchor that answers settles it. Without one, most hosts must be silent; that one host is,
    says nothing without a second witness, host or anchor. Who has nobody to ask is not blind.
    """
    hosts = heard.hosts_answered + heard.hosts_silent
    if heard.anchors_answered:
        return False
    if not hosts:
        return was_blind and heard.anchors_silent > 0
    share = heard.hosts_silent / hosts
    if was_blind:
        return share > STILL
    return share >= MOST and heard.hosts_silent + heard.anchors_silent >= 2


@dataclass(frozen=True, slots=True)
class Pace:
    """`pause`: at least, between two looks in doubt. `again`: between two while blind. `routine`:
    between two without need, which tell what anchors answer at all. `hosts`: asked in a look.
    """

    pause: timedelta = timedelta(milliseconds=500)
    again: timedelta = timedelta(seconds=2)
    routine: timedelta = timedelta(seconds=60)
    hosts: int = 5


@dataclass(frozen=True, slots=True)
class _Last:
    """The last check of a host."""

    began: float
    ended: float
    is_answered: bool


class Sight:
    """One engine's sight. `tell` carries a change out; where it raises, it is called again."""

    def __init__(
        self,
        *,
        observe: Callable[[Job], Awaitable[Observation]],
        anchors: Sequence[Anchor],
        tell: Callable[[bool], Awaitable[None]],
        is_blind: bool = False,
        were_up: Iterable[Job] = (),
        is_witness: Callable[[str], bool] = lies_outside,
        pace: Pace | None = None,
    ) -> None:
        """`is_blind`: as the one before it left it. `were_up`: jobs whose hosts were up of late.
        `is_witness`: whether a host's answer says anything of the network.
        """
        self._observe = observe
        self._anchors = anchors
        self._tell = tell
        self._is_witness = is_witness
        self._pace = pace or Pace()
        self._is_blind = self._told = is_blind
        self._sees_since = float("-inf")
        # In the order of their last check; the oldest are of no use to anybody.
        self._last: dict[str, _Last] = {}
        self._up = {host_asked(job): job for job in were_up if is_repeatable(job)}
        # Hosts whose silence was looked into: they are down while we see, so no need to ask again.
        self._known_silent: set[str] = set()
        self._working_anchors = {anchor.name for anchor in anchors if anchor.is_trusted}
        self._doubts: list[tuple[float, str]] = []
        self._look: asyncio.Task[None] | None = None
        self._look_began = self._look_ended = float("-inf")
        self._has_changed = asyncio.Event()

    @property
    def is_blind(self) -> bool:
        return self._is_blind

    async def observe(self, job: Job) -> Observation:
        """What one check sees; `unknown` where it is the location that can't see."""
        began = time.monotonic()
        seen = await self._observe(job)
        if is_ours(seen):
            return seen
        host = host_asked(job)
        is_without_answer = is_silent(seen)
        if not is_without_answer and seen.reason != Reason.HEARTBEAT_MISSED:
            if not (is_upside_down(job) and seen.status == Status.UP):
                self._note_answer(host, job, began)
                return seen
        elif host and not self._is_witness(host):
            return seen
        if is_without_answer:
            self._note(host, began, is_answered=False)
        if host not in self._known_silent or self._is_blind:
            await self._resolve_doubt(host)
        if self._is_blind or began < self._sees_since:
            return _unseen(seen)
        if host and is_without_answer:
            self._known_silent.add(host)
        return seen

    async def watch(self) -> None:
        """Look again while blind, and now and then for the anchors; tell of changes. Runs until it
        is cancelled."""
        try:
            while True:
                idle_s = time.monotonic() - self._look_ended
                pace = self._pace.again if self._is_blind else self._pace.routine
                if idle_s >= pace.total_seconds():
                    await self._looked()
                await self._tell_change()
                self._has_changed.clear()
                if self._is_blind == self._told:
                    await self._wait_for_change(min(1.0, self._pace.again.total_seconds()))
                else:
                    await asyncio.sleep(1)
        finally:
            if self._look is not None:
                self._look.cancel()
                await asyncio.wait([self._look])

    async def _wait_for_change(self, at_most_s: float) -> None:
        # Not wait_for: it may lose a cancellation that comes together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._has_changed.wait()

    async def _tell_change(self) -> None:
        is_blind = self._is_blind
        if is_blind == self._told:
            return
        try:
            await self._tell(is_blind)
        except Exception as error:  # noqa: BLE001 - the loop's edge: told again in a second
            log.warning("sight.not_told", kind=type(error).__name__)
        else:
            self._told = is_blind

    # -- what is known of hosts --------------------------------------------------------------------

    def _note_answer(self, host: str, job: Job, began: float) -> None:
        if not host or not self._is_witness(host):
            return
        self._note(host, began, is_answered=True)
        self._known_silent.discard(host)
        if is_repeatable(job):
            self._up[host] = job

    def _note(self, host: str, began: float, *, is_answered: bool) -> None:
        self._last.pop(host, None)
        self._last[host] = _Last(began, time.monotonic(), is_answered)

    def _hosts_heard(self, since: float) -> tuple[set[str], set[str]]:
        """The hosts that answered a check begun since, and those that were found silent since."""
        answered, silent = set(), set()
        for host, last in reversed(self._last.items()):
            if last.ended < since:
                break
            if not last.is_answered:
                silent.add(host)
            elif last.began >= since:
                answered.add(host)
        return answered, silent

    # -- looks -------------------------------------------------------------------------------------

    async def _resolve_doubt(self, host: str) -> None:
        """Return once a look that began after now has ended, or the location is blind anyhow."""
        doubt = (time.monotonic(), host)
        self._doubts.append(doubt)
        try:
            while not self._is_blind and self._look_began < doubt[0]:
                await self._looked()
        finally:
            self._doubts.remove(doubt)

    async def _looked(self) -> None:
        """Wait for the end of the look that is under way, else of a new one."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_around())
        await asyncio.shield(self._look)

    async def _look_around(self) -> None:
        rest_s = self._look_ended + self._pace.pause.total_seconds() - time.monotonic()
        if rest_s > 0:
            await asyncio.sleep(rest_s)
        began = time.monotonic()
        since = min([began, *(at for at, _ in self._doubts)])
        is_routine = not self._doubts and not self._is_blind
        asked = await self._ask(
            {} if is_routine else self._hosts_to_ask(),
            # While some may still answer, a look ends only if it is settled whatever they say.
            is_settled=lambda asked: not is_routine and not self._decide(asked, since),
        )
        self._working_anchors |= asked.anchors_answered
        self._look_began, self._look_ended = began, time.monotonic()
        if not is_routine:
            self._turn(self._decide(asked, since))

    async def _ask(
        self, hosts: Mapping[str, Job], is_settled: Callable[["_Asked"], bool]
    ) -> "_Asked":
        """Ask all anchors and these hosts at once, until all have answered or it is settled."""
        asked = _Asked({anchor.name for anchor in self._anchors}, set(hosts))
        pending = {
            asyncio.create_task(
                self._ask_one(anchor.make_job(), anchor.name, asked.anchors_answered)
            )
            for anchor in self._anchors
        } | {
            asyncio.create_task(self._ask_one(repeated(job), host, asked.hosts_answered))
            for host, job in hosts.items()
        }
        try:
            while pending and not is_settled(asked):
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for question in pending:
                question.cancel()
            if pending:
                await asyncio.wait(pending)
        return asked

    async def _ask_one(self, job: Job, name: str, answered: set[str]) -> None:
        seen = await self._observe(job)
        if not is_silent(seen) and not is_ours(seen):
            answered.add(name)

    def _decide(self, asked: "_Asked", since: float) -> bool:
        """The verdict if those that have not answered yet never do."""
        answered, silent = self._hosts_heard(since)
        answered |= asked.hosts_answered
        silent |= asked.hosts - asked.hosts_answered
        silent |= {host for _, host in self._doubts if host}
        silent -= self._known_silent | answered
        anchors_silent = (asked.anchors & self._working_anchors) - asked.anchors_answered
        return decide_blind(
            self._is_blind,
            Heard(
                anchors_answered=len(asked.anchors_answered),
                anchors_silent=len(anchors_silent),
                hosts_answered=len(answered),
                hosts_silent=len(silent),
            ),
        )

    def _turn(self, is_blind: bool) -> None:
        if is_blind == self._is_blind:
            return
        self._is_blind = is_blind
        if not is_blind:
            self._sees_since = time.monotonic()
        log.warning("sight.lost" if is_blind else "sight.regained")
        self._has_changed.set()

    def _hosts_to_ask(self) -> dict[str, Job]:
        """Some of the hosts that were up, but those in doubt."""
        doubtful = {host for _, host in self._doubts}
        known = [host for host in self._up if host not in doubtful | self._known_silent]
        chosen = random.sample(known, min(self._pace.hosts, len(known)))
        return {host: self._up[host] for host in chosen}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who was asked in one look, and who has answered."""

    anchors: set[str]
    hosts: set[str]
    anchors_answered: set[str] = field(default_factory=set)
    hosts_answered: set[str] = field(default_factory=set)


def _unseen(seen: Observation) -> Observation:
    """An observation that says nothing of its target."""
    why = f" ({seen.message})" if seen.message else ""
    return replace(
        seen,
        status=Status.UNKNOWN,
        reason=Reason.LOCATION_BLIND,
        message=f"Not judged: the location has lost its network.{why}",
        latency_ms=None,
    )
