"""Names, addresses, and networks that must not be reached."""

import asyncio
import errno

import pycares
import pytest

from probe.net import (
    MOST_ADDRESSES,
    Deadline,
    Plans,
    Trouble,
    is_forbidden,
    reason_of_errno,
)
from probe.resolver import Resolver
from probe.values import Observation, Reason, Status
from tests.probe.conftest import Check, make_job
from tests.servers import dns, http
from tests.servers.dns import serve_names
from tests.servers.raw import free_port, serve, unanswered_port

FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.168.1.1",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
OPEN = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "193.0.14.129",
    "2606:4700:4700::1111",
    "2a00:1450:4001::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_networks_of_others_are_forbidden(address: str) -> None:
    assert is_forbidden(address)


@pytest.mark.parametrize("address", OPEN)
def test_the_internet_is_open(address: str) -> None:
    assert not is_forbidden(address)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNREFUSED, Reason.CONNECT_REFUSED),
        (errno.ETIMEDOUT, Reason.CONNECT_TIMEOUT),
        (errno.ECONNRESET, Reason.CONNECT_RESET),
        (errno.ENETUNREACH, Reason.CONNECT_UNREACHABLE),
        (errno.EHOSTUNREACH, Reason.CONNECT_UNREACHABLE),
        (errno.EMFILE, Reason.CHECK_ERROR),
        (errno.EADDRNOTAVAIL, Reason.CHECK_ERROR),
        (errno.EPERM, Reason.CHECK_ERROR),
        (0, Reason.CHECK_ERROR),
    ],
)
def test_errors_of_the_system_have_reasons(number: int, reason: Reason) -> None:
    assert reason_of_errno(number) == reason


# Names

DNS_TROUBLE = {
    dns.NXDOMAIN: (
        Reason.DNS_NXDOMAIN,
        "x.example does not exist (NXDOMAIN from the resolver AT).",
    ),
    dns.SERVFAIL: (Reason.DNS_SERVFAIL, "The resolver AT failed to resolve x.example (SERVFAIL)."),
    dns.REFUSED: (Reason.DNS_REFUSED, "The resolver AT refused to resolve x.example (REFUSED)."),
    dns.SILENCE: (Reason.DNS_TIMEOUT, "The resolver AT did not answer for x.example within 0.4 s."),
}


@pytest.mark.parametrize("kind", ["http", "tcp"])
@pytest.mark.parametrize("outcome", DNS_TROUBLE)
async def test_failures_of_names_are_told_apart(outcome: str, kind: str, check: Check) -> None:
    reason, message = DNS_TROUBLE[outcome]
    target = "http://x.example" if kind == "http" else "x.example:80"
    async with serve_names({"x.example": outcome}) as names:
        seen = await check(kind, target, resolver=names.address, timeout=0.4)
    assert (seen.status, seen.reason) == (Status.DOWN, reason)
    assert seen.message == message.replace("AT", names.address)
    assert seen.phases.dns_ms is not None
    assert seen.phases.connect_ms is None


async def test_a_name_without_addresses_has_no_answer(check: Check) -> None:
    async with serve_names({"x.example": [], "y.example": ["127.0.0.1"]}) as names:
        empty = await check("http", "http://x.example", resolver=names.address)
        other = await check("http", "http://y.example", resolver=names.address, ip_version="6")
    assert empty.reason == other.reason == Reason.DNS_NO_ANSWER
    assert empty.message == (f"x.example has no A or AAAA record (the resolver {names.address}).")
    assert other.message == f"y.example has no AAAA record (the resolver {names.address})."


RARE_ANSWERS = {
    "FORMERR": (
        Reason.DNS_SERVFAIL,
        "The resolver AT can't read the query for x.example (FORMERR).",
    ),
    "NOTIMP": (Reason.DNS_REFUSED, "The resolver AT doesn't answer such queries (NOTIMP)."),
    "BADVERS": (
        Reason.DNS_SERVFAIL,
        "The resolver AT speaks no version of EDNS that the query for x.example could be in"
        " (BADVERS).",
    ),
    "YXDOMAIN": (Reason.DNS_SERVFAIL, "The resolver AT failed to resolve x.example (YXDOMAIN)."),
    "NOTAUTH": (Reason.DNS_REFUSED, "The resolver AT refused to resolve x.example (NOTAUTH)."),
}


@pytest.mark.parametrize("rcode", RARE_ANSWERS)
async def test_rare_answers_of_name_servers_are_named(rcode: str, check: Check) -> None:
    reason, message = RARE_ANSWERS[rcode]
    async with serve_names({"x.example": dns.say(rcode=rcode)}) as names:
        seen = await check("http", "http://x.example", resolver=names.address)
    assert (seen.status, seen.reason) == (Status.DOWN, reason)
    assert seen.message == message.replace("AT", names.address)


async def test_an_alias_that_leads_nowhere_is_named(check: Check) -> None:
    alias = "x.example. 5 IN CNAME gone.example."
    zone = {"x.example": dns.say(alias, rcode="NXDOMAIN"), "y.example": dns.say(f"y{alias[1:]}")}
    async with serve_names(zone) as names:
        gone = await check("http", "http://x.example", resolver=names.address)
        empty = await check("http", "http://y.example", resolver=names.address)
    assert (gone.reason, gone.message) == (
        Reason.DNS_NXDOMAIN,
        "x.example is an alias of gone.example, which does not exist"
        f" (NXDOMAIN from the resolver {names.address}).",
    )
    assert (empty.reason, empty.message) == (
        Reason.DNS_NO_ANSWER,
        f"y.example is an alias of gone.example, for which the resolver {names.address} gives no"
        " A or AAAA record.",
    )


STRAYS = {
    "another name": (
        ["y.example. 5 IN A 127.0.0.1"],
        "x.example has no A or AAAA record (the resolver AT answers for y.example instead).",
    ),
    "an alias, and another name": (
        ["x.example. 5 IN CNAME z.example.", "y.example. 5 IN A 127.0.0.1"],
        "x.example is an alias of z.example, for which the resolver AT gives no A or AAAA record"
        " (it answers for y.example instead).",
    ),
    "a name below": (
        ["x.example.example. 5 IN A 127.0.0.1"],
        "x.example has no A or AAAA record (the resolver AT answers for x.example.example"
        " instead).",
    ),
}


@pytest.mark.parametrize("kind", ["http", "tcp"])
@pytest.mark.parametrize("answer", STRAYS)
async def test_addresses_of_another_name_do_not_count(answer: str, kind: str, check: Check) -> None:
    records, message = STRAYS[answer]
    async with (
        serve(http.answer(http.OK)) as server,
        serve_names({"x.example": dns.say(*records)}) as names,
    ):
        target = f"x.example:{server.port}"
        target = f"http://{target}" if kind == "http" else target
        seen = await check(kind, target, resolver=names.address)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.DNS_NO_ANSWER)
    assert seen.message == message.replace("AT", names.address)


RIGHT = {
    "of the name, beside another's": ["X.example. 5 IN A 127.0.0.1", "y.example. 5 IN A 127.0.0.2"],
    "of an alias": ["x.example. 5 IN CNAME Z.example.", "z.example. 5 IN A 127.0.0.1"],
    "of an alias's alias, in any order": [
        "z.example. 5 IN A 127.0.0.1",
        "y.example. 5 IN CNAME z.example.",
        "x.example. 5 IN CNAME y.example.",
    ],
}


@pytest.mark.parametrize("answer", RIGHT)
async def test_addresses_that_the_name_leads_to_count(answer: str) -> None:
    resolver = Resolver()
    try:
        async with serve_names({"x.example": dns.say(*RIGHT[answer])}) as names:
            found = await resolver.resolve(
                "x.example", ip_version="4", server=names.address, deadline=Deadline(1)
            )
    finally:
        resolver.close()
    assert found == ["127.0.0.1"]


async def test_an_address_under_a_search_domain_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALDOMAIN", "inside.example")
    make = pycares.Channel
    zone = {"db.inside.example": dns.say("db.inside.example. 5 IN A 127.0.0.1")}
    async with serve_names(zone) as names:
        monkeypatch.setattr(
            pycares, "Channel", lambda **options: make(servers=[names.address], **options)
        )
        resolver = Resolver()
        try:
            found = await resolver.resolve("db", ip_version="4", server=None, deadline=Deadline(2))
        finally:
            resolver.close()
    assert found == ["127.0.0.1"]


async def test_ipv6_is_tried_first_where_there_is_a_way() -> None:
    zone = {"x.example": ["127.0.0.1", "fd00::1", "::1"]}
    resolver = Resolver()
    try:
        async with serve_names(zone) as names:
            found = await resolver.resolve(
                "x.example", ip_version="auto", server=names.address, deadline=Deadline(2)
            )
    finally:
        resolver.close()
    assert found == ["::1", "127.0.0.1", "fd00::1"]


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_a_truncated_answer_that_tcp_keeps_back_is_told(kind: str, check: Check) -> None:
    async with (
        dns.serve_names_over_tcp({"x.example": dns.SILENCE}) as over_tcp,
        serve_names({"x.example": dns.say(is_truncated=True)}, port=over_tcp.port) as names,
    ):
        target = "http://x.example" if kind == "http" else "x.example:80"
        seen = await check(kind, target, resolver=names.address, timeout=0.4)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.DNS_TIMEOUT)
    assert seen.message == (
        f"The answer of the resolver {names.address} for x.example does not fit a datagram, and"
        f" over TCP: The resolver {names.address} did not answer for x.example within 0.4 s."
    )


async def test_a_name_that_comes_back_at_the_closer_look_failed_all_the_same(check: Check) -> None:
    def recovers(query: bytes) -> bytes | list[bytes]:
        return dns.say(*(["x.example. 5 IN A 127.0.0.1"] if len(names.asked) > 2 else []))(query)

    async with serve_names({"x.example": recovers}) as names:
        seen = await check("http", "http://x.example", resolver=names.address)
    assert len(names.asked) == 3
    assert seen.reason == Reason.DNS_NO_ANSWER
    assert seen.message == f"x.example has no A or AAAA record (the resolver {names.address})."


async def test_a_machine_without_a_resolver_blames_no_target(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = pycares.Channel
    nobody = f"127.0.0.1:{free_port()}"
    monkeypatch.setattr(pycares, "Channel", lambda **options: make(servers=[nobody], **options))
    seen = await check("http", "http://x.example")
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)
    assert seen.message == (
        "The system's resolver can't be reached to resolve x.example: connection refused."
    )


async def test_a_resolver_that_is_not_there_is_told(check: Check) -> None:
    resolver = f"127.0.0.1:{free_port()}"
    seen = await check("http", "http://x.example", resolver=resolver)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.DNS_REFUSED)
    assert seen.message == (
        f"The resolver {resolver} can't be reached to resolve x.example: connection refused."
    )


async def test_a_truncated_answer_that_tcp_does_not_give_is_told(check: Check) -> None:
    async with serve_names({"x.example": dns.say(is_truncated=True)}) as names:
        seen = await check("tcp", "x.example:1", resolver=names.address, ip_version="4")
    assert seen.status == Status.DOWN
    assert seen.message.startswith(
        f"The answer of the resolver {names.address} for x.example does not fit a datagram, and"
        " over TCP: Connection to 127.0.0.1 port "
    )


async def test_a_lost_datagram_is_asked_for_again_within_the_timeout(check: Check) -> None:
    lost: set[bytes] = set()

    def lose_the_first(query: bytes) -> bytes | list[bytes]:
        question = query[12:]
        if question not in lost:
            lost.add(question)
            return []
        return dns.say("x.example. 1 IN A 127.0.0.1")(query)

    async with (
        serve(http.answer(http.OK)) as server,
        serve_names({"x.example": lose_the_first}) as names,
    ):
        url = f"http://x.example:{server.port}"
        seen = await check("http", url, resolver=names.address, ip_version="4", timeout=0.6)
    assert seen.status == Status.UP, seen.message


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_a_resolver_that_never_answers_for_aaaa_does_no_harm(kind: str, check: Check) -> None:
    def only_a(query: bytes) -> bytes | list[bytes]:
        is_aaaa = b"\x00\x1c\x00\x01" in query
        return [] if is_aaaa else dns.say("x.example. 1 IN A 127.0.0.1")(query)

    async with (
        serve(http.answer(http.OK)) as server,
        serve_names({"x.example": only_a}) as names,
    ):
        target = f"http://x.example:{server.port}" if kind == "http" else f"x.example:{server.port}"
        seen = await check(kind, target, resolver=names.address, timeout=0.6)
    assert seen.status == Status.UP, seen.message


async def test_malformed_answers_for_one_name_do_not_fail_another(check: Check) -> None:
    def keep_waiting(query: bytes) -> bytes | list[bytes]:
        spoilt = sum(name == "bad.example" for name, _ in names.asked)
        return [] if spoilt < 8 else dns.say("x.example. 1 IN A 127.0.0.1")(query)

    garble = dns.tamper(dns.say("bad.example. 1 IN A 127.0.0.1"), lambda answer: answer[:-3])
    async with (
        serve(http.answer(http.OK)) as server,
        serve_names({"x.example": keep_waiting, "bad.example": garble}) as names,
    ):
        settings = {"resolver": names.address, "ip_version": "4"}
        checking = asyncio.create_task(
            check("http", f"http://x.example:{server.port}", timeout=3, **settings)
        )
        await asyncio.sleep(0)
        for _ in range(4):
            bad = await check("http", "http://bad.example", **settings)
            assert (bad.reason, "malformed" in bad.message) == (Reason.DNS_SERVFAIL, True)
        seen = await checking
    assert seen.status == Status.UP, seen.message


async def test_a_name_is_resolved_once_per_check(check: Check) -> None:
    async with (
        serve(http.answer(http.OK)) as server,
        serve_names({"x.example": ["127.0.0.1"]}) as names,
    ):
        url = f"http://x.example:{server.port}"
        seen = await check("http", url, resolver=names.address, ip_version="4")
    assert seen.status == Status.UP, seen.message
    assert names.asked == [("x.example", "A")]


async def test_an_answer_that_changes_is_seen(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probe.resolver._Channel.LIFETIME_S", 0.0)
    async with (
        serve(http.answer(http.OK)) as server,
        serve_names({"x.example": ["127.0.0.1"]}) as names,
    ):
        url = f"http://x.example:{server.port}"
        assert (await check("http", url, resolver=names.address)).status == Status.UP
        names.zone["x.example"] = dns.NXDOMAIN
        gone = await check("http", url, resolver=names.address)
        names.zone["x.example"] = ["127.0.0.1"]
        back = await check("http", url, resolver=names.address)
    assert (gone.reason, back.status) == (Reason.DNS_NXDOMAIN, Status.UP)


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_one_dead_address_of_several_does_no_harm(kind: str, check: Check) -> None:
    async with serve(http.answer(http.OK)) as server:
        zone = {"x.example": ["127.0.0.2", "127.0.0.3", "127.0.0.1", "::1"]}
        async with serve_names(zone) as names:
            target = f"x.example:{server.port}"
            target = f"http://{target}" if kind == "http" else target
            seen = await check(kind, target, resolver=names.address)
    assert seen.status == Status.UP, seen.message


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_an_address_that_never_answers_is_not_waited_for(kind: str, check: Check) -> None:
    async with (
        serve(http.answer(http.OK)) as server,
        serve_names({"x.example": ["127.0.0.2", "127.0.0.1"]}) as names,
    ):
        target = f"x.example:{server.port}"
        target = f"http://{target}" if kind == "http" else target
        with unanswered_port("127.0.0.2", server.port):
            seen = await check(kind, target, resolver=names.address)
    assert seen.status == Status.UP, seen.message


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_dead_addresses_are_named(kind: str, check: Check) -> None:
    port = free_port()
    async with serve_names({"x.example": ["127.0.0.2", "127.0.0.3"]}) as names:
        target = f"http://x.example:{port}" if kind == "http" else f"x.example:{port}"
        seen = await check(kind, target, resolver=names.address)
    assert seen.reason == Reason.CONNECT_REFUSED
    assert "127.0.0.2" in seen.message
    assert "127.0.0.3" in seen.message


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_not_all_of_very_many_addresses_are_tried_and_told(kind: str, check: Check) -> None:
    port = free_port()
    many = [f"127.0.0.{number}" for number in range(2, 62)]
    async with serve_names({"x.example": many}) as names:
        target = f"http://x.example:{port}" if kind == "http" else f"x.example:{port}"
        seen = await check(kind, target, resolver=names.address)
    assert seen.reason == Reason.CONNECT_REFUSED, seen.message
    assert seen.message.count("127.0.0.") == MOST_ADDRESSES


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_one_forbidden_address_of_several_is_enough(kind: str, check: Check) -> None:
    async with serve_names({"x.example": ["8.8.8.8", "127.0.0.1"]}) as names:
        target = "http://x.example" if kind == "http" else "x.example:80"
        seen = await check(kind, target, resolver=names.address, allow_private=False)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TARGET_FORBIDDEN)


async def test_checks_of_one_name_do_not_share_addresses(check: Check) -> None:
    """Two resolvers, one name, the same instant: each check goes where its own resolver says."""

    async def ask(port: int, zone: dict[str, str | list[str]]) -> list[Observation]:
        async with serve_names(zone) as names:
            url = f"http://x.example:{port}"
            checks = [check("http", url, resolver=names.address) for _ in range(20)]
            return await asyncio.gather(*checks)

    async with serve(http.answer(http.OK)) as server:
        good, bad = await asyncio.gather(
            ask(server.port, {"x.example": ["127.0.0.1"]}),
            ask(server.port, {"x.example": ["127.0.0.2", "127.0.0.3"]}),
        )
    assert {seen.status for seen in good} == {Status.UP}
    assert {seen.reason for seen in bad} == {Reason.CONNECT_REFUSED}


async def test_localhost_needs_no_name_server() -> None:
    resolver = Resolver()
    try:
        for server in (None, f"127.0.0.1:{free_port()}"):
            found = await resolver.resolve(
                "localhost", ip_version="4", server=server, deadline=Deadline(1)
            )
            assert found == ["127.0.0.1"]
    finally:
        resolver.close()


async def test_names_that_can_not_exist_are_trouble() -> None:
    resolver = Resolver()
    try:
        with pytest.raises(Trouble) as caught:
            await resolver.resolve(
                "a..b", ip_version="4", server=f"127.0.0.1:{free_port()}", deadline=Deadline(1)
            )
        assert caught.value.reason == Reason.DNS_NXDOMAIN
    finally:
        resolver.close()


# Plans


def test_plans_are_kept_per_revision_and_bounded() -> None:
    plans, made = Plans(limit=2), []

    def make(spec: object) -> int:
        made.append(spec)
        return len(made)

    first, second, third = (make_job("heartbeat").spec for _ in range(3))
    assert plans.get(first, make) == plans.get(first, make) == 1
    plans.get(second, make)
    plans.get(third, make)
    assert plans.get(first, make) == 4
