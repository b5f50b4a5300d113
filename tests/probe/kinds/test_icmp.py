"""The icmp check: what comes back, what does not, and who says why."""

import asyncio
import re
from collections.abc import Iterator

import pytest

from probe.kinds.icmp import tally
from probe.prober import Prober
from probe.values import Reason, Status
from tests.probe.conftest import Check, make_job
from tests.servers import dns
from tests.servers.dns import serve_names
from tests.servers.network import Internet, Route, without_raw_sockets

NEAR = ["127.0.0.1", "::1", "localhost"]


@pytest.fixture(params=["raw", "unprivileged"])
def sockets(request: pytest.FixtureRequest, internet: Internet) -> Iterator[str]:
    """Both ways to send ICMP, each for real."""
    if request.param == "raw":
        yield "raw"
        return
    internet.allow_pings(for_all=True)
    with without_raw_sockets():
        yield "unprivileged"


@pytest.mark.parametrize("target", NEAR)
async def test_a_host_that_answers_is_up(target: str, check: Check) -> None:
    seen = await check("icmp", target)
    assert (seen.status, seen.reason, seen.message) == (Status.UP, None, "")
    assert seen.details is not None
    assert (seen.details["sent"], seen.details["lost"]) == (3, 0)
    assert 0 < seen.details["min_ms"] <= seen.latency_ms <= seen.details["max_ms"]


@pytest.mark.parametrize("target", ["8.8.8.8", "2001:db8::8"])
async def test_both_families_and_both_sockets_answer(
    target: str, check: Check, internet: Internet, sockets: str
) -> None:
    internet.routes[target] = Route(delay_s=0.05)
    seen = await check("icmp", target, payload_bytes=1000)
    assert seen.status == Status.UP, seen.message
    assert seen.latency_ms is not None
    assert seen.latency_ms > 25  # the clock may start late, where the machine is busy
    assert [len(packet.content) for packet in internet.seen] == [1008] * 3


async def test_a_host_that_says_nothing_is_lost(
    check: Check, internet: Internet, sockets: str
) -> None:
    seen = await check("icmp", "8.8.8.8", timeout=0.4)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.PACKET_LOSS)
    assert seen.message == "No answer from 8.8.8.8 to 3 packets within 0.4 s."


async def test_loss_up_to_the_limit_is_up(check: Check, internet: Internet) -> None:
    internet.routes["8.8.8.8"] = Route(lost=frozenset({1, 3}))
    seen = await check("icmp", "8.8.8.8", packets=4, timeout=0.4)
    assert seen.status == Status.UP
    assert seen.details is not None
    assert seen.details["loss_percent"] == 50


async def test_loss_beyond_the_limit_is_down_with_figures(
    check: Check, internet: Internet, sockets: str
) -> None:
    internet.routes["8.8.8.8"] = Route(lost=frozenset({1}))
    seen = await check("icmp", "8.8.8.8", packets=3, timeout=0.4, max_loss_percent=10)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.PACKET_LOSS)
    assert re.fullmatch(
        r"1 of 3 packets to 8\.8\.8\.8 were lost \(33\.3 %, at most 10 % expected\),"
        r" min/avg/max/jitter [\d.]+/[\d.]+/[\d.]+/[\d.]+ ms\.",
        seen.message,
    )


async def test_all_lost_is_down_whatever_the_limit(check: Check, internet: Internet) -> None:
    seen = await check("icmp", "8.8.8.8", packets=1, timeout=0.1, max_loss_percent=100)
    assert seen.message == "No answer from 8.8.8.8 to 1 packet within 0.1 s."


UNREACHABLE = {
    ("8.8.8.8", 0): "network unreachable",
    ("8.8.8.8", 1): "host unreachable",
    ("8.8.8.8", 2): "protocol unreachable",
    ("8.8.8.8", 9): "network prohibited",
    ("8.8.8.8", 13): "prohibited by a filter",
    ("8.8.8.8", 15): "unreachable (code 15)",
    ("2001:db8::8", 0): "no route",
    ("2001:db8::8", 1): "prohibited by a filter",
    ("2001:db8::8", 3): "address unreachable",
    ("2001:db8::8", 6): "route rejected",
}


@pytest.mark.parametrize(("target", "code"), UNREACHABLE)
async def test_routers_that_refuse_are_quoted(
    target: str, code: int, check: Check, internet: Internet, sockets: str
) -> None:
    router = "2001:db8::1" if ":" in target else "10.0.0.1"
    internet.routes[target] = Route(hops=(router,), refusal=code)
    seen = await check("icmp", target)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_UNREACHABLE)
    assert seen.message == (
        f"{target} can't be reached: {router} answered: {UNREACHABLE[target, code]}."
    )


async def test_answers_from_elsewhere_do_not_count(check: Check, internet: Internet) -> None:
    internet.routes["8.8.8.8"] = Route(source="8.8.4.4")
    seen = await check("icmp", "8.8.8.8", timeout=0.3)
    assert seen.reason == Reason.PACKET_LOSS


async def test_an_answer_counts_once(check: Check, internet: Internet) -> None:
    internet.routes["8.8.8.8"] = Route(copies=3, lost=frozenset({1}))
    seen = await check("icmp", "8.8.8.8", timeout=0.5, max_loss_percent=0)
    assert (seen.details or {})["lost"] == 1


async def test_an_answer_after_the_timeout_is_lost(check: Check, internet: Internet) -> None:
    internet.routes["8.8.8.8"] = Route(delay_s=0.5)
    assert (await check("icmp", "8.8.8.8", timeout=0.3)).reason == Reason.PACKET_LOSS
    assert (await check("icmp", "8.8.8.8", timeout=2)).status == Status.UP


async def test_a_process_that_may_not_ping_says_what_to_do(
    check: Check, internet: Internet
) -> None:
    internet.allow_pings(for_all=False)
    with without_raw_sockets():
        seen = await check("icmp", "127.0.0.1")
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)
    assert seen.message == (
        "This process may not send ICMP: give it CAP_NET_RAW, or let its group lie in the sysctl"
        " net.ipv4.ping_group_range."
    )


async def test_an_address_without_a_way_is_unreachable(check: Check, internet: Internet) -> None:
    seen = await check("icmp", "fe00::1")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_UNREACHABLE)
    assert seen.message == "No packet can be sent to fe00::1: network is unreachable."


async def test_names_are_pinged_at_their_address(check: Check, internet: Internet) -> None:
    async with serve_names({"x.example": ["8.8.8.8"], "y.example": dns.NXDOMAIN}) as names:
        lost = await check("icmp", "x.example", resolver=names.address, timeout=0.3)
        gone = await check("icmp", "y.example", resolver=names.address)
    assert lost.message == "No answer from x.example (8.8.8.8) to 3 packets within 0.3 s."
    assert lost.phases.dns_ms is not None
    assert gone.reason == Reason.DNS_NXDOMAIN


async def test_forbidden_networks_are_not_pinged(check: Check) -> None:
    seen = await check("icmp", "127.0.0.1", allow_private=False)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TARGET_FORBIDDEN)


async def test_hundreds_at_once_keep_their_answers_apart(
    prober: Prober, internet: Internet
) -> None:
    for number in range(100):
        internet.routes[f"8.8.8.{number}"] = Route(delay_s=0.02)
    targets = [f"8.8.8.{number}" for number in range(200)] * 2
    jobs = [make_job("icmp", target, timeout=1, packets=1) for target in targets]
    seen = await asyncio.gather(*(prober.observe(job) for job in jobs))
    assert [one.status == Status.UP for one in seen] == [
        int(target.rpartition(".")[2]) < 100 for target in targets
    ]


def test_a_tally_of_nothing_has_no_times() -> None:
    assert tally(3, []).avg_ms is None
    assert tally(3, []).loss_percent == 100


def test_jitter_is_the_mean_step() -> None:
    result = tally(5, [10.0, 20.0, 12.0, 12.0])
    assert (result.lost, result.min_ms, result.avg_ms, result.max_ms) == (1, 10, 13.5, 20)
    assert result.jitter_ms == 6
