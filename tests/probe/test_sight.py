"""A location that lost its network judges nobody; one that sees misses nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.anchors import Anchor, host_asked, lies_outside, make_anchors
from probe.kinds import KINDS
from probe.sight import Heard, Pace, Sight, decide_blind
from probe.values import Job, Observation, Reason, Spec, Status

QUICK = Pace(
    pause=timedelta(milliseconds=1),
    again=timedelta(milliseconds=10),
    routine=timedelta(seconds=60),
)
SILENT = Observation(Status.DOWN, Reason.CONNECT_TIMEOUT, "No answer.")
REFUSED = Observation(Status.DOWN, Reason.CONNECT_REFUSED, "Refused.")


@pytest.mark.parametrize(
    ("was_blind", "heard", "is_blind"),
    [
        (False, Heard(), False),
        (False, Heard(hosts_silent=1), False),  # the target alone: no second witness
        (False, Heard(hosts_silent=2), True),
        (False, Heard(hosts_silent=1, anchors_silent=1), True),
        (False, Heard(anchors_silent=3), False),  # no check failed
        (False, Heard(hosts_silent=400, anchors_answered=1), False),
        (False, Heard(hosts_silent=3, hosts_answered=1), False),
        (False, Heard(hosts_silent=4, hosts_answered=1), True),  # one lies in our own network
        (False, Heard(hosts_silent=1, hosts_answered=5), False),
        (True, Heard(), False),  # nobody is left to ask
        (True, Heard(anchors_silent=1), True),
        (True, Heard(hosts_silent=1), True),
        (True, Heard(hosts_silent=3, hosts_answered=2), True),
        (True, Heard(hosts_silent=2, hosts_answered=2), False),
        (True, Heard(hosts_silent=9, anchors_silent=1, anchors_answered=1), False),
    ],
)
def test_who_is_blind(was_blind: bool, heard: Heard, is_blind: bool) -> None:
    assert decide_blind(was_blind, heard) is is_blind


counts = st.integers(0, 50)
anything = st.builds(Heard, counts, counts, counts, counts)


@given(st.booleans(), anything)
def test_an_anchor_that_answers_is_sight(was_blind: bool, heard: Heard) -> None:
    assert not decide_blind(was_blind, replace(heard, anchors_answered=1))


@given(anything)
def test_it_takes_more_to_go_blind_than_to_stay_so(heard: Heard) -> None:
    assert decide_blind(True, heard) or not decide_blind(False, heard)


@given(st.booleans(), anything)
def test_an_answer_more_never_blinds_and_a_silent_host_more_never_opens_eyes(
    was_blind: bool, heard: Heard
) -> None:
    now = decide_blind(was_blind, heard)
    answered = replace(heard, hosts_answered=heard.hosts_answered + 1)
    silent = replace(heard, hosts_silent=heard.hosts_silent + 1)
    assert now or not decide_blind(was_blind, answered) or not heard.hosts_silent
    assert not now or decide_blind(was_blind, silent)


@given(anything)
def test_one_silent_host_alone_is_its_own_trouble(heard: Heard) -> None:
    alone = replace(heard, hosts_silent=1, anchors_silent=0)
    assert not decide_blind(False, alone)


class World:
    """Hosts that are up or silent, as a prober sees them."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.is_cut = False
        self.asked: list[str] = []
        self.lame: set[str] = set()
        self.slow: asyncio.Event | None = None

    async def observe(self, job: Job) -> Observation:
        host = host_asked(job)
        self.asked.append(host)
        if self.slow is not None and job.spec.target == "slow":
            await self.slow.wait()
        if job.spec.kind == "heartbeat":
            return Observation(Status.DOWN, Reason.HEARTBEAT_MISSED, "No ping.")
        await asyncio.sleep(0)
        if host in self.lame:
            return Observation(Status.UNKNOWN, Reason.CHECK_ERROR, "No IPv6 here.")
        if (self.is_cut and lies_outside(host)) or host in self.silent:
            if getattr(job.spec.settings, "upside_down", False):
                return Observation(Status.UP)
            return SILENT
        return REFUSED if host.startswith("refusing") else Observation(Status.UP)


def a_job(host: str, *, kind: str = "http", target: str = "", **settings: Any) -> Job:
    spec = Spec(
        monitor_id=uuid4(),
        revision=1,
        kind=kind,
        target=target or f"http://{host}/",
        interval=timedelta(seconds=5),
        timeout=timedelta(seconds=1),
        failure_threshold=1,
        recovery_threshold=1,
        retry_interval=timedelta(seconds=1),
        settings=KINDS[kind].settings(**settings),
        host=host,
    )
    return Job(1, spec, datetime.now(UTC))


HOSTS = [f"198.51.100.{number}" for number in range(1, 9)]


class Scene:
    """A sight over a world, and what it told."""

    def __init__(self, *anchors: Anchor, is_blind: bool = False, **options: Any) -> None:
        self.world = World()
        self.told: list[bool] = []
        self.refusals = 0
        self.has_told = asyncio.Event()
        self.sight = Sight(
            observe=self.world.observe,
            anchors=anchors,
            tell=self.tell,
            is_blind=is_blind,
            pace=QUICK,
            **options,
        )

    async def tell(self, is_blind: bool) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ConnectionError("the database is away")
        self.told.append(is_blind)
        self.has_told.set()

    async def check(self, *hosts: str) -> list[Observation]:
        return [await self.sight.observe(a_job(host)) for host in hosts]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - it watches what tells nobody
                await asyncio.sleep(0.005)

    async def watching(self, story: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(self.sight.watch())
        try:
            await story()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def statuses(seen: list[Observation]) -> set[Status]:
    return {one.status for one in seen}


async def test_not_even_the_first_failure_after_the_network_is_gone_is_judged() -> None:
    scene = Scene()
    await scene.check(*HOSTS)
    scene.world.is_cut = True
    [first] = await scene.check(HOSTS[0])
    assert (first.status, first.reason) == (Status.UNKNOWN, Reason.LOCATION_BLIND)
    assert first.message == "Not judged: the location has lost its network. (No answer.)"
    assert statuses(await scene.check(*HOSTS)) == {Status.UNKNOWN}


async def test_one_host_with_hundreds_of_monitors_that_dies_is_down() -> None:
    scene = Scene()
    await scene.check(*HOSTS)
    scene.world.silent = {HOSTS[0]}
    jobs = [a_job(HOSTS[0]) for _ in range(300)]
    seen = await asyncio.gather(*(scene.sight.observe(job) for job in jobs))
    assert statuses(seen) == {Status.DOWN}
    assert not scene.sight.is_blind


async def test_a_host_that_stays_down_is_not_looked_into_again() -> None:
    scene = Scene()
    await scene.check(*HOSTS)
    scene.world.silent = {HOSTS[0]}
    await scene.check(HOSTS[0])
    scene.world.asked.clear()
    assert statuses(await scene.check(HOSTS[0], HOSTS[0])) == {Status.DOWN}
    assert scene.world.asked == [HOSTS[0]] * 2


async def test_the_only_host_of_all_is_down_and_not_the_network() -> None:
    scene = Scene()
    await scene.check(HOSTS[0])
    scene.world.is_cut = True
    assert statuses(await scene.check(HOSTS[0])) == {Status.DOWN}


async def test_an_anchor_that_answers_keeps_the_sight_though_every_host_is_silent() -> None:
    [anchor] = make_anchors(["refusing.example:53"])
    scene = Scene(replace(anchor, make_job=lambda: a_job("refusing.example")))
    await scene.check(*HOSTS)
    scene.world.silent = set(HOSTS)
    assert statuses(await scene.check(*HOSTS)) == {Status.DOWN}


async def test_a_refusal_is_an_answer() -> None:
    scene = Scene()
    await scene.check("refusing.example", *HOSTS)
    scene.world.is_cut = True
    await scene.check(*HOSTS)
    scene.world.is_cut = False
    assert statuses(await scene.check("refusing.example")) == {Status.DOWN}


async def test_what_goes_wrong_here_is_no_answer() -> None:
    anchor = Anchor("anchor.example", lambda: a_job("anchor.example", target="slow"))
    scene = Scene(anchor)
    scene.world.slow = asyncio.Event()
    await scene.check(*HOSTS)
    scene.world.is_cut = True
    scene.world.lame = set(HOSTS[2:])
    doubted = asyncio.gather(*(scene.sight.observe(a_job(host)) for host in HOSTS[:2]))
    await scene.until(lambda: "anchor.example" in scene.world.asked)
    assert statuses(await scene.check(*HOSTS[2:])) == {Status.UNKNOWN}
    scene.world.slow.set()
    assert statuses(await doubted) == {Status.UNKNOWN}


async def test_it_sees_again_by_itself_and_tells_each_change_once() -> None:
    scene = Scene(were_up=[a_job(host) for host in HOSTS])

    async def story() -> None:
        scene.world.is_cut = True
        await scene.check(*HOSTS)
        await scene.until(lambda: scene.told == [True])
        scene.world.is_cut = False
        await scene.until(lambda: scene.told == [True, False])
        assert statuses(await scene.check(*HOSTS)) == {Status.UP}

    await scene.watching(story)
    assert scene.told == [True, False]


async def test_what_could_not_be_told_is_told_again() -> None:
    scene = Scene(were_up=[a_job(host) for host in HOSTS])
    scene.refusals = 1

    async def story() -> None:
        scene.world.is_cut = True
        await scene.check(HOSTS[0])
        await scene.until(lambda: scene.told == [True])

    await scene.watching(story)


async def test_a_sight_that_begins_blind_stays_so_until_it_is_answered() -> None:
    scene = Scene(is_blind=True, were_up=[a_job(host) for host in HOSTS])

    async def story() -> None:
        scene.world.is_cut = True
        assert statuses(await scene.check(*HOSTS)) == {Status.UNKNOWN}
        scene.world.is_cut = False
        await scene.until(lambda: scene.told == [False])

    await scene.watching(story)


async def test_a_check_that_began_blind_is_not_judged_after_it() -> None:
    scene = Scene(is_blind=True, were_up=[a_job(host) for host in HOSTS])
    scene.world.slow = asyncio.Event()
    scene.world.silent = {"198.51.100.99"}

    async def story() -> None:
        late = asyncio.create_task(scene.sight.observe(a_job("198.51.100.99", target="slow")))
        await scene.until(lambda: scene.told == [False])
        scene.world.slow.set()  # type: ignore[union-attr]
        assert (await late).status == Status.UNKNOWN

    await scene.watching(story)


async def test_a_ping_that_could_not_come_in_is_not_missed() -> None:
    scene = Scene()
    heartbeat = a_job("", kind="heartbeat")
    await scene.check(*HOSTS)
    assert (await scene.sight.observe(heartbeat)).status == Status.DOWN
    scene.world.is_cut = True
    assert (await scene.sight.observe(heartbeat)).status == Status.UNKNOWN


async def test_an_upside_down_monitor_does_not_pass_for_want_of_a_network() -> None:
    scene = Scene()
    upside_down = a_job("198.51.100.50", upside_down=True)
    await scene.check(*HOSTS)
    scene.world.silent = {"198.51.100.50"}
    assert (await scene.sight.observe(upside_down)).status == Status.UP
    scene.world.is_cut = True
    assert (await scene.sight.observe(upside_down)).status == Status.UNKNOWN


async def test_this_machine_is_no_witness_and_is_judged_all_the_same() -> None:
    scene = Scene()
    await scene.check("127.0.0.1", "localhost", *HOSTS)
    scene.world.is_cut = True
    assert statuses(await scene.check(*HOSTS)) == {Status.UNKNOWN}
    assert statuses(await scene.check("127.0.0.1")) == {Status.UP}
    scene.world.silent = {"localhost"}
    assert statuses(await scene.check("localhost")) == {Status.DOWN}


async def test_a_resolver_that_never_answered_is_no_witness() -> None:
    [resolver] = make_anchors([])
    scene = Scene(replace(resolver, make_job=lambda: a_job("192.0.2.53")))
    scene.world.silent = {"192.0.2.53"}

    async def story() -> None:
        await scene.until(lambda: "192.0.2.53" in scene.world.asked)
        scene.world.silent.add(HOSTS[0])
        assert statuses(await scene.check(HOSTS[0])) == {Status.DOWN}

    await scene.watching(story)


async def test_a_resolver_that_did_answer_is_one() -> None:
    [resolver] = make_anchors([])
    scene = Scene(replace(resolver, make_job=lambda: a_job("192.0.2.53")))

    async def story() -> None:
        await scene.until(lambda: "192.0.2.53" in scene.world.asked)
        await asyncio.sleep(0.01)
        scene.world.is_cut = True
        assert statuses(await scene.check(HOSTS[0])) == {Status.UNKNOWN}

    await scene.watching(story)


@pytest.mark.parametrize("text", ["", "example.org", "http://example.org/", "a b:1", "x:0"])
def test_an_anchor_is_a_port_or_the_resolver(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        make_anchors([text])


def test_each_look_asks_the_resolver_for_another_name() -> None:
    for chosen in (["Resolver"], []):
        [anchor] = make_anchors(chosen)
        first, second = anchor.make_job().spec, anchor.make_job().spec
        assert first.target != second.target
        assert first.revision != second.revision


@pytest.mark.parametrize(
    ("host", "is_outside"),
    [
        ("127.0.0.1", False),
        ("127.9.9.9:5353", False),
        ("::1", False),
        ("[::1]:53", False),
        ("localhost", False),
        ("app.localhost", False),
        ("", False),
        ("10.0.0.1", True),
        ("2001:db8::1", True),
        ("[2001:db8::1]:53", True),
        ("example.org", True),
    ],
)
def test_what_lies_outside_this_machine(host: str, is_outside: bool) -> None:
    assert lies_outside(host) is is_outside


def test_who_answers_a_dns_check_is_its_resolver() -> None:
    assert host_asked(a_job("example.org", kind="dns", resolver="9.9.9.9")) == "9.9.9.9"
    assert host_asked(a_job("example.org", kind="dns")) == "example.org"
