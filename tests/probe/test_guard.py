"""One gate for every address connected to, in every kind: what was judged is what is reached."""

from collections.abc import Sequence
from typing import Any

import pytest

from probe.kinds import KINDS
from probe.net import Deadline, Net
from probe.prober import Prober
from probe.values import Reason, Status
from tests.probe.conftest import Check
from tests.servers import http
from tests.servers.dns import Outcome, serve_names
from tests.servers.network import Internet, Packet, Route
from tests.servers.raw import serve

PUBLIC = "9.9.9.9"
"""Where tests put what the guard lets through; in a network of their own."""

TARGETS: dict[str, str] = {
    "http": "http://{host}:8080/",
    "tcp": "{host}:8080",
    "smtp": "{host}:8080",
    "imap": "{host}:8080",
    "pop3": "{host}:8080",
    "websocket": "ws://{host}:8080/",
    "grpc": "{host}:8080",
    "tls": "{host}:8080",
    "redis": "{host}:8080",
    "postgres": "{host}:8080",
    "mysql": "{host}:8080",
    "icmp": "{host}",
    "traceroute": "{host}",
}
WITHOUT_A_TARGET_ON_THE_NETWORK = {"group", "heartbeat", "manual"}
OTHERS = {"dns", "domain"}
"""Tested by themselves: what they connect to is a setting."""

FORBIDDEN = [
    "127.0.0.1",
    "10.1.2.3",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::1",
    "fd00:ec2::254",
    "fe80::1",
]


def target_of(kind: str, host: str) -> str:
    has_port = kind not in ("icmp", "traceroute")
    return TARGETS[kind].format(host=f"[{host}]" if ":" in host and has_port else host)


def test_every_kind_is_tested_here() -> None:
    assert {*TARGETS, *OTHERS, *WITHOUT_A_TARGET_ON_THE_NETWORK} == set(KINDS)


@pytest.mark.parametrize("kind", TARGETS)
async def test_forbidden_addresses_are_refused_as_such(
    kind: str, check: Check, internet: Internet
) -> None:
    for address in FORBIDDEN:
        internet.routes[address] = Route()
        seen = await check(kind, target_of(kind, address), allow_private=False)
        assert (seen.status, seen.reason) == (Status.DOWN, Reason.TARGET_FORBIDDEN), address
    assert internet.seen == []


@pytest.mark.parametrize("kind", TARGETS)
async def test_names_of_forbidden_addresses_are_refused(
    kind: str, check: Check, internet: Internet
) -> None:
    internet.own(PUBLIC)
    zone: dict[str, Outcome] = {f"x{number}.example": [it] for number, it in enumerate(FORBIDDEN)}
    zone |= {"mixed.example": [PUBLIC, "127.0.0.1"]}
    async with serve_names(zone, host=PUBLIC) as names:
        resolver = f"{PUBLIC}:{names.port}"
        for name in zone:
            seen = await check(kind, target_of(kind, name), resolver=resolver, allow_private=False)
            assert seen.reason == Reason.TARGET_FORBIDDEN, (name, seen)
    assert reached(internet, except_for=PUBLIC) == set()


def reached(internet: Internet, *, except_for: str) -> set[str]:
    packets: Sequence[Packet] = internet.seen
    return {packet.target for packet in packets} - {except_for}


@pytest.mark.parametrize("kind", TARGETS)
async def test_a_name_that_changes_its_mind_changes_nothing(
    kind: str, check: Check, internet: Internet
) -> None:
    """A rebinding resolver: the first answer is harmless, every later one leads inside."""
    internet.own(PUBLIC)
    internet.routes["8.8.8.8"] = Route()  # refuses TCP, answers pings
    hits: list[str] = []

    async def inside(connection: Any) -> None:
        hits.append("inside")

    zone: dict[str, Outcome] = {"x.example": ["8.8.8.8"]}
    async with serve_names(zone, host=PUBLIC) as names, serve(inside, port=8080):
        answers = names.answers

        def rebind(query: bytes) -> Sequence[bytes]:
            said = answers(query)
            names.zone["x.example"] = ["127.0.0.1"]
            return said

        names.answers = rebind
        seen = await check(
            kind,
            target_of(kind, "x.example"),
            resolver=f"{PUBLIC}:{names.port}",
            ip_version="4",
            allow_private=False,
            timeout=2,
        )
    assert hits == []
    assert reached(internet, except_for=PUBLIC) <= {"8.8.8.8"}
    assert seen.reason in (None, Reason.CONNECT_REFUSED), seen
    assert names.asked == [("x.example", "A")]


@pytest.mark.parametrize("kind", [*TARGETS, "dns", "domain"])
async def test_forbidden_resolvers_are_not_asked(kind: str, check: Check) -> None:
    target = target_of(kind, "x.example") if kind in TARGETS else "x.example"
    async with serve_names({"x.example": ["8.8.8.8"]}) as names:
        seen = await check(kind, target, resolver=names.address, allow_private=False)
    assert seen.reason == Reason.TARGET_FORBIDDEN
    assert names.asked == []


@pytest.mark.parametrize("kind", ["http", "domain"])
async def test_redirects_lead_nowhere_forbidden(
    kind: str, check: Check, internet: Internet
) -> None:
    internet.own(PUBLIC)
    async with serve(http.answer(http.OK), port=8080) as inside:
        answer = http.redirect("http://127.0.0.1:8080/")
        async with serve(http.answer(answer), host=PUBLIC, port=8081):
            url = f"http://{PUBLIC}:8081"
            settings = {"rdap_url": url} if kind == "domain" else {}
            target = "x.example" if kind == "domain" else url
            seen = await check(kind, target, allow_private=False, **settings)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TARGET_FORBIDDEN)
    assert inside.connections == 0


async def test_the_gate_gives_what_it_judged(prober: Prober) -> None:
    net = prober._net
    assert isinstance(net, Net)
    deadline = Deadline(1)
    assert await net.addresses("8.8.8.8", allow_private=False, deadline=deadline) == ["8.8.8.8"]
    found = await net.addresses("localhost", allow_private=True, deadline=deadline, ip_version="4")
    assert found == ["127.0.0.1"]
