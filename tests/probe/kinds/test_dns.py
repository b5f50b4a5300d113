"""The dns check: records, expectations, change, and every way in which a name server fails."""

import asyncio
import struct
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import dns.rcode
import pytest

from probe import dns_client
from probe.kinds import dns as kind
from probe.kinds.dns import fingerprint
from probe.prober import Prober
from probe.values import Observation, Reason, Status
from tests.probe.conftest import Check, make_job
from tests.servers.authority import Authority, issue
from tests.servers.dns import (
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    SILENCE,
    Outcome,
    say,
    serve_names,
    serve_names_over_tcp,
    tamper,
)
from tests.servers.raw import free_port, unanswered_port

A = "x.example. 60 IN A 192.0.2.1"
A2 = "x.example. 60 IN A 192.0.2.2"


async def ask(
    check: Check, outcome: Outcome, name: str = "x.example", **settings: Any
) -> Observation:
    """What a check sees of a name server with this one outcome; `AT` stands for its address."""
    async with serve_names({name: outcome}) as names:
        seen = await check("dns", name, resolver=names.address, **settings)
        return replace(seen, message=seen.message.replace(names.address, "AT"))


# Records

RECORDS = {
    "A": ("192.0.2.1", "192.0.2.1"),
    "AAAA": ("2001:DB8::1", "2001:db8::1"),
    "CNAME": ("Other.Example.", "other.example"),
    "NS": ("ns1.example.", "ns1.example"),
    "PTR": ("host.example.", "host.example"),
    "MX": ("10 Mail.example.", "10 mail.example"),
    "SRV": ("1 2 5060 sip.example.", "1 2 5060 sip.example"),
    "SOA": ("ns. root. 1 2 3 4 5", "ns root 1 2 3 4 5"),
    "TXT": ('"v=spf1 " "-all"', "v=spf1 -all"),
    "CAA": ('0 issue "ca.example"', '0 issue "ca.example"'),
    "HTTPS": ('1 . alpn="h2,h3"', '1 . alpn="h2,h3"'),
    "SVCB": ("1 svc.example.", "1 svc.example."),
    "DS": ("1 8 2 " + "AB" * 32, "1 8 2 " + "ab" * 32),
    "DNSKEY": ("257 3 8 " + "AwEAAa" * 20, "257 3 8 " + "AwEAAa" * 20),
}


@pytest.mark.parametrize("record_type", RECORDS)
async def test_every_type_is_read(record_type: str, check: Check) -> None:
    given, kept = RECORDS[record_type]
    outcome = say(f"x.example. 60 IN {record_type} {given}")
    seen = await ask(check, outcome, record_type=record_type, expected=[given], match="exact")
    assert (seen.status, seen.message) == (Status.UP, "")
    assert seen.details == {"rcode": "NOERROR", "aliases": [], "answers": [kept], "ttl": 60}
    assert seen.phases.dns_ms == seen.latency_ms


async def test_an_address_is_asked_backwards(check: Check) -> None:
    zone = {"1.2.0.192.in-addr.arpa": say("1.2.0.192.in-addr.arpa. 60 IN PTR host.example.")}
    async with serve_names(zone) as names:
        seen = await check("dns", "192.0.2.1", resolver=names.address, record_type="PTR")
    assert (seen.details or {})["answers"] == ["host.example"]


async def test_aliases_are_followed(check: Check) -> None:
    outcome = say("x.example. 60 IN CNAME y.example.", "y.example. 9 IN A 192.0.2.1")
    seen = await ask(check, outcome, expected=["192.0.2.1"])
    assert seen.status == Status.UP
    assert (seen.details or {})["aliases"] == ["y.example"]


async def test_records_of_other_names_do_not_count(check: Check) -> None:
    outcome = say(A, "y.example. 9 IN A 192.0.2.2")
    seen = await ask(check, outcome, expected=["192.0.2.1"], match="exact")
    assert seen.status == Status.UP
    assert (seen.details or {})["ttl"] == 60


# Failures

FAILURES: dict[str, tuple[Outcome, Reason, str]] = {
    "nxdomain": (
        NXDOMAIN,
        Reason.DNS_NXDOMAIN,
        "x.example does not exist (NXDOMAIN from the resolver AT).",
    ),
    "servfail": (
        SERVFAIL,
        Reason.DNS_SERVFAIL,
        "The resolver AT failed to resolve x.example (SERVFAIL).",
    ),
    "refused": (
        REFUSED,
        Reason.DNS_REFUSED,
        "The resolver AT refused to resolve x.example (REFUSED).",
    ),
    "silence": (
        SILENCE,
        Reason.DNS_TIMEOUT,
        "The resolver AT did not answer for x.example within 0.3 s.",
    ),
    "notimp": (
        say(rcode="NOTIMP"),
        Reason.DNS_REFUSED,
        "The resolver AT doesn't answer such queries (NOTIMP).",
    ),
    "formerr": (
        say(rcode="FORMERR"),
        Reason.DNS_SERVFAIL,
        "The resolver AT can't read the query for x.example (FORMERR).",
    ),
    "notauth": (
        say(rcode="NOTAUTH"),
        Reason.DNS_REFUSED,
        "The resolver AT refused to resolve x.example (NOTAUTH).",
    ),
    "yxdomain": (
        say(rcode="YXDOMAIN"),
        Reason.DNS_SERVFAIL,
        "The resolver AT failed to resolve x.example (YXDOMAIN).",
    ),
    "badvers": (
        say(rcode="BADVERS"),
        Reason.DNS_SERVFAIL,
        "The resolver AT speaks no version of EDNS that the query for x.example could be in"
        " (BADVERS).",
    ),
    "badcookie": (
        say(rcode="BADCOOKIE"),
        Reason.DNS_SERVFAIL,
        "The resolver AT failed to resolve x.example (BADCOOKIE).",
    ),
    "an rcode without a name": (
        tamper(say(rcode="BADCOOKIE"), lambda data: data[:-6] + b"\x0f" + data[-5:]),
        Reason.DNS_SERVFAIL,
        "The resolver AT failed to resolve x.example (RCODE 247).",
    ),
    "empty": (
        say(authority="example. 60 IN SOA ns. root. 1 2 3 4 5"),
        Reason.DNS_NO_ANSWER,
        "x.example has no A record (the resolver AT).",
    ),
    "another type": (
        say("x.example. 60 IN AAAA 2001:db8::1"),
        Reason.DNS_NO_ANSWER,
        "x.example has no A record (the resolver AT).",
    ),
    "records of another name": (
        say("y.example. 60 IN A 192.0.2.1"),
        Reason.DNS_NO_ANSWER,
        "x.example has no A record (the resolver AT answers for y.example instead).",
    ),
    "alias and records of another name": (
        say("x.example. 60 IN CNAME z.example.", "y.example. 60 IN A 192.0.2.1"),
        Reason.DNS_NO_ANSWER,
        "x.example is an alias of z.example, for which the resolver AT gives no A record (it"
        " answers for y.example instead).",
    ),
    "alias of another name": (
        say("z.example. 60 IN CNAME y.example.", "y.example. 60 IN A 192.0.2.1"),
        Reason.DNS_NO_ANSWER,
        "x.example has no A record (the resolver AT answers for y.example instead).",
    ),
    "alias to nowhere": (
        say("x.example. 60 IN CNAME gone.example.", rcode="NXDOMAIN"),
        Reason.DNS_NXDOMAIN,
        "x.example is an alias of gone.example, which does not exist (NXDOMAIN from the resolver"
        " AT).",
    ),
    "alias without records": (
        say("x.example. 60 IN CNAME y.example."),
        Reason.DNS_NO_ANSWER,
        "x.example is an alias of y.example, for which the resolver AT gives no A record.",
    ),
    "alias of itself": (
        say("x.example. 60 IN CNAME x.example."),
        Reason.DNS_NO_ANSWER,
        "x.example is an alias that leads in a circle: x.example → x.example (the resolver AT).",
    ),
    "alias in a circle": (
        say("x.example. 60 IN CNAME y.example.", "y.example. 60 IN CNAME x.example."),
        Reason.DNS_NO_ANSWER,
        "x.example is an alias that leads in a circle: x.example → y.example → x.example (the"
        " resolver AT).",
    ),
    "wrong id": (
        tamper(say(A), lambda data: bytes([data[0] ^ 1]) + data[1:]),
        Reason.DNS_TIMEOUT,
        "The resolver AT did not answer for x.example within 0.3 s; 2 datagrams came that did not"
        " answer the question.",
    ),
    "a query as the answer": (
        tamper(say(A), lambda data: data[:2] + b"\x01\x00" + data[4:]),
        Reason.DNS_TIMEOUT,
        "The resolver AT did not answer for x.example within 0.3 s; 2 datagrams came that did not"
        " answer the question.",
    ),
    "another question": (
        tamper(say(A), lambda data: data.replace(b"\x01x\x07", b"\x01z\x07", 1)),
        Reason.DNS_TIMEOUT,
        "The resolver AT did not answer for x.example within 0.3 s; 2 datagrams came that did not"
        " answer the question.",
    ),
    "garbage": (
        lambda _query: b"\xff" * 40,
        Reason.DNS_TIMEOUT,
        "The resolver AT did not answer for x.example within 0.3 s; 2 datagrams came that did not"
        " answer the question.",
    ),
    "one byte": (
        lambda _query: b"\0",
        Reason.DNS_TIMEOUT,
        "The resolver AT did not answer for x.example within 0.3 s; 2 datagrams came that did not"
        " answer the question.",
    ),
    "cut off": (
        tamper(say(A), lambda data: data[:-13]),  # the OPT record, and two bytes more
        Reason.DNS_SERVFAIL,
        "The resolver AT gave a malformed answer for x.example: a record is longer than the"
        " message.",
    ),
    "cut off behind the answer": (
        tamper(say(A), lambda data: data[:-3]),
        Reason.DNS_SERVFAIL,
        "The resolver AT gave a malformed answer for x.example: it ends too early.",
    ),
    "header only": (
        tamper(say(A), lambda data: data[:12]),
        Reason.DNS_SERVFAIL,
        "The resolver AT gave a malformed answer for x.example: it ends too early.",
    ),
    "a name that points at itself": (
        tamper(say(A), lambda data: data.replace(b"\xc0\x0c\x00\x01", b"\xc0\x1b\x00\x01", 1)),
        Reason.DNS_SERVFAIL,
        "The resolver AT gave a malformed answer for x.example: a name points forward.",
    ),
    "an address of five bytes": (
        tamper(say(A), lambda data: data.replace(b"\0\x04\xc0\x00\x02\x01", b"\0\x03\xc0\x00\x02")),
        Reason.DNS_SERVFAIL,
        "The resolver AT gave a malformed answer for x.example: a record can't be read.",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_failures_are_told_apart(failure: str, check: Check) -> None:
    outcome, reason, message = FAILURES[failure]
    seen = await ask(check, outcome, timeout=0.3)
    assert (seen.status, seen.reason, seen.message) == (Status.DOWN, reason, message)
    assert seen.latency_ms is not None


async def test_a_slow_answer_counts(check: Check) -> None:
    """The first question gets no answer, as if it were lost."""
    count = 0

    def answer_later(query: bytes) -> bytes | list[bytes]:
        nonlocal count
        count += 1
        return say(A)(query) if count == 2 else []

    seen = await ask(check, answer_later, timeout=1, latency_degraded_ms=100)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.LATENCY)
    assert (seen.latency_ms or 0) > 250


async def test_a_right_answer_after_wrong_ones_counts(check: Check) -> None:
    def answer(query: bytes) -> list[bytes]:
        good = say(A)(query)
        assert isinstance(good, bytes)
        return [b"junk", bytes([good[0] ^ 255]) + good[1:], good, good]

    assert (await ask(check, answer)).status == Status.UP


@pytest.mark.parametrize("rcode", ["FORMERR", "NOTIMP", "BADVERS"])
async def test_a_server_that_takes_no_edns_is_asked_plainly(rcode: str, check: Check) -> None:
    def answer(query: bytes) -> bytes | list[bytes]:
        has_edns = struct.unpack_from("!H", query, 10)[0]
        return (say(rcode=rcode) if has_edns else say(A))(query)

    assert (await ask(check, answer)).status == Status.UP


async def test_a_resolver_that_is_not_there_is_told(check: Check) -> None:
    port = free_port()
    seen = await check("dns", "x.example", resolver=f"127.0.0.1:{port}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.DNS_REFUSED)
    assert seen.message == (
        f"The resolver 127.0.0.1:{port} can't be reached to resolve x.example: connection refused."
    )


async def test_a_name_that_must_not_exist(check: Check) -> None:
    good = await ask(check, NXDOMAIN, expected_rcode="NXDOMAIN")
    bad = await ask(check, say(A), expected_rcode="NXDOMAIN")
    assert good.status == Status.UP
    assert (bad.status, bad.reason) == (Status.DOWN, Reason.DNS_MISMATCH)
    assert bad.message == "x.example should give NXDOMAIN, the resolver AT says 192.0.2.1."


# Expectations

MATCHES = [
    (["192.0.2.1"], "any", None),
    (["192.0.2.1", "192.0.2.9"], "any", None),
    (["192.0.2.1", "192.0.2.2"], "all", None),
    (["192.0.2.2", "192.0.2.1"], "exact", None),
    (["192.0.2.9"], "any", "192.0.2.9"),
    (["192.0.2.8", "192.0.2.9"], "any", "one of 192.0.2.8, 192.0.2.9"),
    (["192.0.2.1", "192.0.2.9"], "all", "all of 192.0.2.1, 192.0.2.9"),
    (["192.0.2.1"], "exact", "only 192.0.2.1"),
    (["192.0.2.1", "192.0.2.9"], "exact", "exactly 192.0.2.1, 192.0.2.9"),
]


@pytest.mark.parametrize(("expected", "match", "wanted"), MATCHES)
async def test_expected_records(
    expected: list[str], match: str, wanted: str | None, check: Check
) -> None:
    seen = await ask(check, say(A, A2), expected=expected, match=match)
    if wanted is None:
        assert seen.status == Status.UP
        return
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.DNS_MISMATCH)
    assert seen.message == (
        f"x.example should have {wanted} as A, the resolver AT says 192.0.2.1, 192.0.2.2."
    )


async def test_many_records_are_cut_in_messages(check: Check) -> None:
    many = [f"x.example. 60 IN TXT {'a' * 150}{number}" for number in range(7)]
    seen = await ask(check, say(*many), record_type="TXT", expected=["b"])
    assert len(seen.message) < 650
    assert seen.message.endswith(" and 2 more.")


# Change


async def observe_change(
    prober: Prober, before: str, *, outcome: Outcome | None = None
) -> Observation:
    async with serve_names({"x.example": outcome or say(A, A2)}) as names:
        job = make_job("dns", "x.example", resolver=names.address, detect_drift=True)
        return await prober.observe(replace(job, last_fingerprint=before))


async def test_a_first_answer_is_only_remembered(prober: Prober) -> None:
    seen = await observe_change(prober, "")
    assert (seen.status, seen.fingerprint) == (Status.UP, "192.0.2.1, 192.0.2.2")


async def test_the_same_records_in_another_order_are_no_change(prober: Prober) -> None:
    seen = await observe_change(prober, "192.0.2.1, 192.0.2.2", outcome=say(A2, A))
    assert seen.status == Status.UP


async def test_a_change_is_degraded_until_it_is_confirmed(prober: Prober) -> None:
    first = await observe_change(prober, "192.0.2.9")
    second = await observe_change(prober, first.fingerprint)
    third = await observe_change(prober, second.fingerprint)
    assert (first.status, first.reason) == (Status.DEGRADED, Reason.DNS_MISMATCH)
    assert (
        first.message
        == second.message
        == ("The A records of x.example changed from 192.0.2.9 to 192.0.2.1, 192.0.2.2.")
    )
    assert second.fingerprint == third.fingerprint == "192.0.2.1, 192.0.2.2"
    assert third.status == Status.UP


async def test_a_change_that_goes_back_is_none(prober: Prober) -> None:
    first = await observe_change(prober, "192.0.2.1", outcome=say(A2))
    back = await observe_change(prober, first.fingerprint, outcome=say(A))
    again = await observe_change(prober, back.fingerprint, outcome=say(A2))
    assert [one.status for one in (first, back, again)] == [
        Status.DEGRADED,
        Status.UP,
        Status.DEGRADED,
    ]
    assert back.fingerprint == "192.0.2.1"
    assert again.fingerprint == first.fingerprint


async def test_a_failure_is_no_change(prober: Prober) -> None:
    seen = await observe_change(prober, "192.0.2.9", outcome=SERVFAIL)
    assert (seen.reason, seen.fingerprint) == (Reason.DNS_SERVFAIL, "")


def test_long_answers_have_a_short_fingerprint() -> None:
    values = [f"192.0.2.{number}" for number in range(100)]
    assert fingerprint(values) == fingerprint(values[::-1])
    assert fingerprint(values).startswith("100 records, ")
    assert len(fingerprint(values)) < 60
    assert fingerprint(values) != fingerprint(values[1:])


# TCP and TLS


async def test_a_truncated_answer_is_asked_for_over_tcp(check: Check) -> None:
    async with (
        serve_names_over_tcp({"x.example": say(A, A2)}) as over_tcp,
        serve_names({"x.example": say(is_truncated=True)}, port=over_tcp.port) as names,
    ):
        seen = await check(
            "dns", "x.example", resolver=names.address, expected=["192.0.2.2"], match="any"
        )
    assert seen.status == Status.UP, seen.message
    assert over_tcp.asked == [("x.example", "A")]


async def test_a_truncated_answer_without_tcp_is_told(check: Check) -> None:
    seen = await ask(check, say(is_truncated=True))
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)
    assert seen.message.startswith(
        "The answer of the resolver AT for x.example does not fit a"
        " datagram, and over TCP: Connection to 127.0.0.1 port "
    )


async def test_a_truncated_answer_that_tcp_keeps_back_is_told(check: Check) -> None:
    async with (
        serve_names_over_tcp({"x.example": SILENCE}) as over_tcp,
        serve_names({"x.example": say(is_truncated=True)}, port=over_tcp.port) as names,
    ):
        seen = await check("dns", "x.example", resolver=names.address, timeout=0.3)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.DNS_TIMEOUT)
    assert seen.message == (
        f"The answer of the resolver {names.address} for x.example does not fit a datagram, and"
        f" over TCP: The resolver {names.address} did not answer for x.example within 0.3 s."
    )


OVER_TCP: dict[str, tuple[Outcome, Reason, str]] = {
    "servfail": (
        SERVFAIL,
        Reason.DNS_SERVFAIL,
        "The resolver AT failed to resolve x.example (SERVFAIL).",
    ),
    "silence": (
        SILENCE,
        Reason.DNS_TIMEOUT,
        "The resolver AT did not answer for x.example within 0.3 s.",
    ),
    "cut off": (
        lambda _query: [b"\x00\x50", b"half"],
        Reason.DNS_SERVFAIL,
        "The resolver AT gave a malformed answer for x.example: the connection was closed before it"
        " was whole.",
    ),
    "wrong id": (
        tamper(say(A), lambda data: bytes([data[0] ^ 1]) + data[1:]),
        Reason.DNS_SERVFAIL,
        "The resolver AT gave a malformed answer for x.example: it answers another question.",
    ),
    "garbage": (
        lambda _query: [b"\x00\x04", b"junk"],
        Reason.DNS_SERVFAIL,
        "The resolver AT gave a malformed answer for x.example: it ends too early.",
    ),
}


@pytest.mark.parametrize("failure", OVER_TCP)
async def test_failures_over_tcp_are_told_apart(failure: str, check: Check) -> None:
    outcome, reason, message = OVER_TCP[failure]
    async with serve_names_over_tcp({"x.example": outcome}) as names:
        seen = await check("dns", "x.example", resolver=names.address, transport="tcp", timeout=0.3)
        message = message.replace("AT", names.address)
    assert (seen.status, seen.reason, seen.message) == (Status.DOWN, reason, message)


async def test_a_port_that_takes_no_connection_times_out(check: Check) -> None:
    with unanswered_port() as port:
        seen = await check(
            "dns", "x.example", resolver=f"127.0.0.1:{port}", transport="tcp", timeout=0.3
        )
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.DNS_TIMEOUT)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def test_a_resolver_over_tls_is_verified(check: Check, authority: Authority) -> None:
    good = authority.issue("127.0.0.1", "dns.example", ends=timedelta(days=9)).server_context()
    async with serve_names_over_tcp({"x.example": say(A)}, tls=good) as names:
        options = {
            "resolver": names.address,
            "transport": "tls",
            "ca_certificate": authority.certificate_pem,
        }
        by_address = await check("dns", "x.example", **options)
        by_name = await check("dns", "x.example", **options, tls_name="dns.example")
        by_another = await check("dns", "x.example", **options, tls_name="other.example")
    assert (by_address.status, by_name.status) == (Status.UP, Status.UP), by_address.message
    assert (by_another.status, by_another.reason) == (Status.DOWN, Reason.TLS_HOSTNAME)


async def test_a_resolver_with_a_certificate_of_its_own_making(check: Check) -> None:
    context = issue("127.0.0.1", "127.0.0.1", issuer=None).server_context()
    async with serve_names_over_tcp({"x.example": say(A)}, tls=context) as names:
        options = {"resolver": names.address, "transport": "tls"}
        verified = await check("dns", "x.example", **options)
        trusted = await check("dns", "x.example", **options, verify_tls=False)
    assert (verified.status, verified.reason) == (Status.DOWN, Reason.TLS_UNTRUSTED)
    assert trusted.status == Status.UP


# The system's resolvers


async def test_the_systems_resolvers_stand_in_for_each_other(
    check: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("# ours\nnameserver 127.0.0.2\noptions edns0\nnameserver 127.0.0.1\n")
    monkeypatch.setattr(dns_client, "RESOLV_CONF", conf)
    servers = dns_client.system_servers
    async with (
        serve_names({"x.example": SERVFAIL, "y.example": REFUSED}, host="127.0.0.2") as first,
        serve_names({"x.example": say(A), "y.example": REFUSED}, port=first.port) as second,
    ):
        monkeypatch.setattr(kind, "system_servers", lambda _port: servers(first.port))
        seen = await check("dns", "x.example", allow_private=False)
        refused = await check("dns", "y.example")
    assert seen.status == Status.UP, seen.message
    assert len(second.asked) == 2
    assert refused.message == "The system's resolver refused to resolve y.example (REFUSED)."


def test_without_a_list_of_resolvers_this_machine_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dns_client, "RESOLV_CONF", tmp_path / "missing")
    assert [server.address for server in dns_client.system_servers()] == ["127.0.0.1"]


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_machine_without_a_resolver_blames_no_target(
    transport: str, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = dns_client.Server("127.0.0.1", free_port(), "the system's resolver", is_ours=True)
    monkeypatch.setattr(kind, "system_servers", lambda _port: [ours])
    seen = await check("dns", "x.example", transport=transport)
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)
    if transport == "udp":
        assert seen.message == (
            "The system's resolver can't be reached to resolve x.example: connection refused."
        )


# Why a name server failed, in its own words (RFC 8914)


def bogus(query: bytes) -> bytes:
    reply = dns.message.make_response(dns.message.from_wire(query))
    reply.set_rcode(dns.rcode.SERVFAIL)
    reply.use_edns(options=[dns.edns.EDEOption(7, "x.example A\n\x07"), dns.edns.EDEOption(4242)])
    return reply.to_wire()


@pytest.mark.parametrize(("kind", "target"), [("dns", "x.example"), ("tcp", "x.example:80")])
async def test_what_a_name_server_says_of_its_failure_is_told(
    kind: str, target: str, check: Check
) -> None:
    async with serve_names({"x.example": bogus}) as names:
        seen = await check(kind, target, resolver=names.address)
    assert seen.reason == Reason.DNS_SERVFAIL
    assert seen.message == (
        f"The resolver {names.address} failed to resolve x.example (SERVFAIL): signature expired,"
        " x.example A; error 4242."
    )


async def test_a_failure_with_a_spoilt_remark_is_told_without_it(check: Check) -> None:
    spoilt = tamper(bogus, lambda reply: reply[:-3])
    async with serve_names({"x.example": spoilt}) as names:
        seen = await check("dns", "x.example", resolver=names.address)
    assert seen.message == (f"The resolver {names.address} failed to resolve x.example (SERVFAIL).")


# Guard, assertions, many at once


async def test_forbidden_resolvers_are_not_asked(check: Check) -> None:
    async with serve_names({"x.example": say(A)}) as names:
        seen = await check("dns", "x.example", resolver=names.address, allow_private=False)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TARGET_FORBIDDEN)
    assert names.asked == []


async def test_answers_can_be_asserted(check: Check) -> None:
    wanted = {"source": "answer", "comparison": "starts_with", "value": "198."}
    lasting = {"source": "ttl", "comparison": "at_least", "value": 300, "severity": "degraded"}
    wrong = await ask(check, say(A), assertions=[wanted])
    brief = await ask(check, say(A), assertions=[lasting])
    assert (wrong.status, wrong.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert wrong.message == 'Answer should start with "198.", got "192.0.2.1".'
    assert (brief.status, brief.reason) == (Status.DEGRADED, Reason.ASSERTION_FAILED)


async def test_silence_keeps_nobody_waiting(prober: Prober) -> None:
    zone: dict[str, Outcome] = {"x.example": ["192.0.2.1"], "y.example": SILENCE}
    async with serve_names(zone) as names:
        tasks = [
            asyncio.create_task(
                prober.observe(make_job("dns", name, resolver=names.address, timeout=60))
            )
            for name in ["y.example", "x.example"] * 250
        ]
        silent, answered = tasks[::2], tasks[1::2]
        seen = await asyncio.gather(*answered)
        assert not any(task.done() for task in silent)
        for task in silent:
            task.cancel()
        await asyncio.wait(silent)
    assert {one.status for one in seen} == {Status.UP}
