"""The traceroute check: hops, losses and refusals, over each protocol."""

from typing import Any

import pytest

from probe.values import Reason, Status
from tests.probe.conftest import Check
from tests.servers import dns
from tests.servers.dns import serve_names
from tests.servers.network import Internet, Route, without_raw_sockets

PROTOCOLS = ["udp", "icmp", "tcp"]
AMPLE_S = 20  # a sixth of it is for the first hops: enough for a busy machine
IPV4, IPV6 = "8.8.8.8", "2001:db8:8::8"
WAYS = {
    IPV4: ("10.0.0.1", "10.0.0.2", "10.0.0.3"),
    IPV6: ("2001:db8::1", "2001:db8::2", "2001:db8::3"),
}


def addresses(details: Any) -> list[list[str]]:
    return [hop["addresses"] for hop in details["hops"]]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("target", WAYS)
async def test_every_hop_is_found(
    target: str, protocol: str, check: Check, internet: Internet
) -> None:
    internet.routes[target] = Route(hops=WAYS[target], delay_s=0.02)
    seen = await check("traceroute", target, protocol=protocol, timeout=AMPLE_S)
    assert (seen.status, seen.message) == (Status.UP, "")
    assert seen.details is not None
    assert addresses(seen.details) == [[router] for router in (*WAYS[target], target)]
    assert all(hop["loss_percent"] == 0 for hop in seen.details["hops"])
    assert all(20 <= hop["min_ms"] <= hop["average_ms"] for hop in seen.details["hops"])


async def test_an_open_port_is_reached_too(check: Check, internet: Internet) -> None:
    internet.routes[IPV4] = Route(hops=WAYS[IPV4], open_ports=frozenset({443}))
    seen = await check("traceroute", IPV4, protocol="tcp", port=443, timeout=AMPLE_S)
    assert seen.status == Status.UP
    assert len((seen.details or {})["hops"]) == 4


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_silent_routers_are_passed_over(
    protocol: str, check: Check, internet: Internet
) -> None:
    internet.routes[IPV4] = Route(hops=("10.0.0.1", None, "10.0.0.3"))
    seen = await check("traceroute", IPV4, protocol=protocol, timeout=2, max_hops=10)
    assert seen.status == Status.UP
    assert addresses(seen.details) == [["10.0.0.1"], [], ["10.0.0.3"], [IPV4]]
    assert (seen.details or {})["hops"][1]["loss_percent"] == 100


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_host_that_says_nothing_is_down(
    protocol: str, check: Check, internet: Internet
) -> None:
    internet.routes[IPV4] = Route(hops=("10.0.0.1", "10.0.0.2"), is_silent=True)
    seen = await check("traceroute", IPV4, protocol=protocol, timeout=2, max_hops=6)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_TIMEOUT)
    assert seen.message.startswith(
        "8.8.8.8 did not answer; the last to answer was hop 2, 10.0.0.2, in "
    )


async def test_nobody_answers(check: Check, internet: Internet) -> None:
    seen = await check("traceroute", IPV4, timeout=0.3, max_hops=7)
    assert seen.message == (
        "8.8.8.8 did not answer; no router on the way to it answered either (7 hops tried)."
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_routers_that_refuse_are_quoted(
    protocol: str, check: Check, internet: Internet
) -> None:
    internet.routes[IPV4] = Route(hops=("10.0.0.1", "10.0.0.2"), refusal=13)
    seen = await check("traceroute", IPV4, protocol=protocol, timeout=AMPLE_S)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_UNREACHABLE)
    assert seen.message == (
        "8.8.8.8 can't be reached: hop 3, 10.0.0.2, answered: prohibited by a filter."
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_this_machine_is_one_hop_away(protocol: str, check: Check) -> None:
    seen = await check("traceroute", "127.0.0.1", protocol=protocol, timeout=AMPLE_S)
    assert seen.status == Status.UP, seen.message
    assert addresses(seen.details) == [["127.0.0.1"]]


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_udp_and_tcp_need_no_privilege(
    protocol: str, check: Check, internet: Internet
) -> None:
    internet.routes[IPV4] = Route(hops=WAYS[IPV4])
    internet.allow_pings(for_all=False)
    with without_raw_sockets():
        seen = await check("traceroute", IPV4, protocol=protocol, timeout=AMPLE_S)
    assert seen.status == Status.UP


async def test_icmp_without_privilege_says_what_to_do(check: Check, internet: Internet) -> None:
    internet.allow_pings(for_all=False)
    with without_raw_sockets():
        seen = await check("traceroute", IPV4, protocol="icmp", timeout=AMPLE_S)
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)
    assert seen.message.startswith("This process may not send ICMP: give it CAP_NET_RAW")


async def test_icmp_over_unprivileged_sockets(check: Check, internet: Internet) -> None:
    internet.routes[IPV4] = Route(hops=WAYS[IPV4])
    internet.allow_pings(for_all=True)
    with without_raw_sockets():
        seen = await check("traceroute", IPV4, protocol="icmp", timeout=AMPLE_S)
    assert addresses(seen.details) == [[router] for router in (*WAYS[IPV4], IPV4)]


async def test_hops_can_be_asserted(check: Check, internet: Internet) -> None:
    internet.routes[IPV4] = Route(hops=WAYS[IPV4])
    wanted = {"source": "hops", "comparison": "at_most", "value": 3, "severity": "degraded"}
    seen = await check("traceroute", IPV4, assertions=[wanted], timeout=AMPLE_S)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.ASSERTION_FAILED)
    assert seen.message == "Number of hops should be at most 3, got 4."


async def test_names_are_resolved_and_guarded(check: Check) -> None:
    async with serve_names({"x.example": ["127.0.0.1"], "y.example": dns.NXDOMAIN}) as names:
        seen = await check("traceroute", "x.example", resolver=names.address, timeout=AMPLE_S)
        gone = await check("traceroute", "y.example", resolver=names.address, timeout=AMPLE_S)
    assert seen.status == Status.UP
    assert seen.phases.dns_ms is not None
    assert gone.reason == Reason.DNS_NXDOMAIN
    blocked = await check("traceroute", "127.0.0.1", allow_private=False, timeout=AMPLE_S)
    assert blocked.reason == Reason.TARGET_FORBIDDEN
