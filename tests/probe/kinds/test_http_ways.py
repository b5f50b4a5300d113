"""The ways that an http check takes: versions, families of addresses, proxies, HEAD and GET."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import ValidationError

from probe.kinds.http.settings import HttpSettings
from probe.values import Reason, Status
from tests.probe.conftest import Check
from tests.servers import http
from tests.servers.authority import Authority
from tests.servers.dns import serve_names
from tests.servers.http2 import http2
from tests.servers.network import Internet
from tests.servers.raw import Connection, free_port, serve, unanswered_port


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


# HTTP versions


@pytest.mark.parametrize(
    ("version", "offers", "spoken"),
    [
        ("auto", ["h2", "http/1.1"], "2"),
        ("auto", ["http/1.1"], "1.1"),
        ("1.1", ["http/1.1"], "1.1"),
        ("2", ["h2", "http/1.1"], "2"),
    ],
)
async def test_a_version_is_negotiated_or_chosen(
    version: str, offers: list[str], spoken: str, check: Check
) -> None:
    authority = Authority()
    context = authority.issue("127.0.0.1", ends=timedelta(days=90)).server_context()
    context.set_alpn_protocols(offers)
    conduct = http2() if spoken == "2" else http.answer(http.OK)
    wanted = {"source": "http_version", "comparison": "equals", "value": spoken}
    async with serve(conduct, tls=context) as server:
        seen = await check(
            "http",
            server.url,
            ca_certificate=authority.certificate_pem,
            http_version=version,
            assertions=[wanted],
        )
    assert seen.status == Status.UP, seen.message


async def test_http2_is_spoken_in_the_clear_where_it_is_chosen(check: Check) -> None:
    async with serve(http2()) as server:
        seen = await check("http", server.url, http_version="2")
    assert seen.status == Status.UP, seen.message


async def test_another_version_than_chosen_is_down(check: Check) -> None:
    authority = Authority()
    context = authority.issue("127.0.0.1", ends=timedelta(days=90)).server_context()
    async with serve(http.answer(http.OK), tls=context) as server:
        ca = authority.certificate_pem
        seen = await check("http", server.url, ca_certificate=ca, http_version="2")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.HTTP_PROTOCOL)
    assert seen.message == f"127.0.0.1 port {server.port} speaks HTTP/1.1, expected HTTP/2."


async def test_http3_needs_tls_and_no_proxy(check: Check) -> None:
    seen = await check("http", "http://127.0.0.1:1/", http_version="3")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.HTTP_PROTOCOL)
    assert seen.message == "http://127.0.0.1:1/ can't be asked over HTTP/3."
    with pytest.raises(ValidationError, match="HTTP/3 does not go through a proxy"):
        HttpSettings(http_version="3", proxy="http://127.0.0.1:1")


async def test_http3_where_nobody_listens_is_refused(check: Check) -> None:
    port = free_port()
    seen = await check("http", f"https://127.0.0.1:{port}", http_version="3", timeout=1)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)
    assert re.fullmatch(
        rf"Connection to 127\.0\.0\.1 port {port} over UDP \(HTTP/3\) was refused after \d+ ms\.",
        seen.message,
    )


# Families of addresses


async def test_both_families_must_work_where_both_are_asked_for(check: Check) -> None:
    async with (
        serve(http.answer(http.OK)) as over_4,
        serve(http.answer(http.OK), host="::1", port=over_4.port) as over_6,
        serve_names({"both.example": ["127.0.0.1", "::1"]}) as names,
    ):
        url = f"http://both.example:{over_4.port}"
        seen = await check("http", url, ip_version="both", resolver=names.address)
    assert seen.status == Status.UP, seen.message
    assert (over_4.connections, over_6.connections) == (1, 1)


@pytest.mark.parametrize(
    ("host", "bad", "good"), [("127.0.0.1", "IPv6", "IPv4"), ("::1", "IPv4", "IPv6")]
)
async def test_the_family_that_fails_is_named(host: str, bad: str, good: str, check: Check) -> None:
    async with (
        serve(http.answer(http.OK), host=host) as server,
        serve_names({"half.example": ["127.0.0.1", "::1"]}) as names,
    ):
        url = f"http://half.example:{server.port}"
        seen = await check("http", url, ip_version="both", resolver=names.address)
        either = await check("http", url, ip_version="auto", resolver=names.address)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)
    assert seen.message.startswith(f"Over {bad} only, {good} works: Connection to half.example")
    assert either.status == Status.UP, either.message


async def test_a_machine_without_ipv6_blames_itself(check: Check, internet: Internet) -> None:
    internet.withdraw_ipv6()
    nowhere = "2001:db8::1"
    async with (
        serve(http.answer(http.OK)) as server,
        serve_names({"both.example": ["127.0.0.1", nowhere], "new.example": [nowhere]}) as names,
    ):
        options = {"resolver": names.address}
        both = await check(
            "http", f"http://both.example:{server.port}", ip_version="both", **options
        )
        either = await check("http", f"http://both.example:{server.port}", **options)
        only = await check("tcp", f"new.example:{server.port}", **options)
    ours = "This machine has no IPv6, which alone leads to {}.example (2001:db8::1)."
    assert (both.status, both.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)
    assert both.message == f"Over IPv6 only, IPv4 works: {ours.format('both')}"
    assert either.status == Status.UP, either.message
    assert (only.status, only.message) == (Status.UNKNOWN, ours.format("new"))


async def test_a_name_without_a_family_is_told(check: Check) -> None:
    async with (
        serve(http.answer(http.OK)) as server,
        serve_names({"old.example": ["127.0.0.1"]}) as names,
    ):
        url = f"http://old.example:{server.port}"
        seen = await check("http", url, ip_version="both", resolver=names.address)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.DNS_NO_ANSWER)
    assert "Over IPv6 only, IPv4 works: old.example has no AAAA record" in seen.message


# HEAD and GET


async def test_get_decides_where_head_fails(check: Check) -> None:
    def no_head(head: bytes) -> bytes:
        if head.startswith(b"HEAD"):
            return http.respond(b"", status="405 Method Not Allowed")
        return http.OK

    async with serve(http.react(no_head)) as server:
        seen = await check("http", server.url, method="HEAD")
    assert (seen.status, seen.http_status) == (Status.UP, 200), seen.message


async def test_head_that_breaks_off_leaves_it_to_get(check: Check) -> None:
    async def break_head(connection: Connection) -> None:
        head = await connection.read_request()
        if not head.startswith(b"HEAD"):
            await connection.send(http.OK)

    async with serve(break_head) as server:
        seen = await check("http", server.url, method="HEAD")
    assert seen.status == Status.UP, seen.message


async def test_head_that_hangs_leaves_it_to_get_within_the_timeout(check: Check) -> None:
    async def hang_on_head(connection: Connection) -> None:
        head = await connection.read_request()
        if head.startswith(b"HEAD"):
            await http.stay_silent(connection)
        await connection.send(http.OK)

    async with serve(hang_on_head) as server:
        seen = await check("http", server.url, method="HEAD", timeout=0.4)
    assert seen.status == Status.UP, seen.message


async def test_a_quick_head_does_not_hide_a_get_that_hangs(check: Check) -> None:
    async def hang_on_get(connection: Connection) -> None:
        head = await connection.read_request()
        if head.startswith(b"GET"):
            await http.stay_silent(connection)
        await connection.send(http.OK)

    async with serve(hang_on_get) as server:
        seen = await check("http", server.url, method="HEAD", timeout=0.5)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TIMEOUT)
    assert seen.message == (
        f"HEAD passes, but not GET: 127.0.0.1 port {server.port} took longer than 0.5 s, while"
        " waiting for the first byte."
    )


async def test_a_slow_head_counts_where_get_is_slower_still(check: Check) -> None:
    async def hang_on_get(connection: Connection) -> None:
        head = await connection.read_request()
        if head.startswith(b"GET"):
            await http.stay_silent(connection)
        await asyncio.sleep(0.3)
        await connection.send(http.OK)

    async with serve(hang_on_get) as server:
        seen = await check("http", server.url, method="HEAD", timeout=0.5)
    assert seen.status == Status.UP, seen.message


async def test_head_and_get_that_both_hang_take_no_longer_than_the_timeout(check: Check) -> None:
    async with serve(http.stay_silent) as server:
        seen = await check("http", server.url, method="HEAD", timeout=0.4)
    assert seen.reason == Reason.TIMEOUT
    assert seen.message.endswith("took longer than 0.4 s, while waiting for the first byte.")


async def test_where_get_fails_as_well_the_target_is_down(check: Check) -> None:
    async with serve(http.answer(http.respond(b"", status="500 Oops"))) as server:
        seen = await check("http", server.url, method="HEAD")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.HTTP_STATUS)
    assert server.connections == 2


def pass_head_and(answer: bytes) -> Callable[[bytes], bytes]:
    return lambda head: http.OK if head.startswith(b"HEAD") else answer


async def test_a_good_head_does_not_hide_a_broken_get(check: Check) -> None:
    oops = pass_head_and(http.respond(status="500 Oops"))
    async with serve(http.react(oops)) as server:
        by_get = await check("http", server.url)
        by_head = await check("http", server.url, method="HEAD")
    assert (by_get.status, by_get.http_status) == (Status.DOWN, 500)
    assert (by_head.status, by_head.http_status) == (Status.DOWN, 500)
    assert by_head.message.startswith("HEAD passes, but not GET: Status 500")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", Reason.HTTP_PROTOCOL),
        (b"SSH-2.0-x\r\n", Reason.HTTP_PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nX-Cut: ", Reason.HTTP_PROTOCOL),
        (http.redirect("/"), Reason.REDIRECT_LOOP),
    ],
)
async def test_a_good_head_does_not_hide_that_get_is_not_answered(
    answer: bytes, reason: Reason, check: Check
) -> None:
    async with serve(http.react(pass_head_and(answer))) as server:
        seen = await check("http", server.url, method="HEAD")
    assert (seen.status, seen.reason) == (Status.DOWN, reason)
    assert seen.message.startswith("HEAD passes, but not GET: ")


@pytest.mark.parametrize(
    "answer",
    [
        http.respond(status="405 Method Not Allowed"),
        http.OK[:-6] + b"9" * 9 + b"\r\n\r\nendless",
    ],
)
async def test_a_good_head_is_enough_where_get_is_not_for_use(answer: bytes, check: Check) -> None:
    async with serve(http.react(pass_head_and(answer))) as server:
        seen = await check("http", server.url, method="HEAD")
    assert (seen.status, seen.http_status) == (Status.UP, 200), seen.message


# Proxies


async def test_a_proxy_that_refuses_the_tunnel_is_named(check: Check) -> None:
    for status, more in (("407 Who", ": it wants a user name and password"), ("502 Bad", "")):
        async with serve(http.answer(http.respond(b"", status=status))) as proxy:
            seen = await check("http", "https://far.example", proxy=proxy.url)
        assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_UNREACHABLE)
        assert re.fullmatch(
            rf"The proxy 127\.0\.0\.1 port {proxy.port} refused the way to far\.example port 443"
            rf" with status {status[:3]}{more}, after \d+ ms\.",
            seen.message,
        )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_proxys_own_page_is_none_of_the_targets(method: str, check: Check) -> None:
    """A portal that wants a login first, say."""

    async def conduct(connection: Connection) -> None:
        head = await connection.read_request()
        is_tunnel = head.startswith(b"CONNECT")
        await connection.send(http.redirect("http://portal.example/") if is_tunnel else http.OK)

    async with serve(conduct) as proxy:
        seen = await check("http", "https://far.example", proxy=proxy.url, method=method)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_UNREACHABLE)
    assert "refused the way to far.example port 443 with status 302" in seen.message


async def test_what_answers_beyond_a_tunnel_is_what_counts(
    check: Check, authority: Authority
) -> None:
    """The proxy's own 200 is no answer to GET, nor a status line before what is no HTTP."""
    issued = authority.issue("far.example", ends=timedelta(days=90))

    async def conduct(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await connection.start_tls(issued.server_context())
        head = await connection.read_request()
        await connection.send(http.OK if head.startswith(b"HEAD") else b"no such thing")

    async with serve(conduct) as proxy:
        options = {"proxy": proxy.url, "ca_certificate": authority.certificate_pem}
        by_get = await check("http", "https://far.example", **options)
        by_head = await check("http", "https://far.example", method="HEAD", **options)
    for seen in (by_get, by_head):
        assert (seen.status, seen.reason) == (Status.DOWN, Reason.HTTP_PROTOCOL)
        assert 'did not answer with HTTP but "no such thing"' in seen.message


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_one_dead_address_of_a_proxy_does_no_harm(scheme: str, check: Check) -> None:
    async def conduct(connection: Connection) -> None:
        if scheme == "socks5h":
            await socks5(connection)
        await connection.read_request()
        await connection.send(http.OK)

    async with (
        serve(conduct) as proxy,
        serve_names({"proxy.example": ["127.0.0.2", "127.0.0.1"]}) as names,
    ):
        way = f"{scheme}://proxy.example:{proxy.port}"
        seen = await check("http", "http://far.example", proxy=way, resolver=names.address)
        with unanswered_port("127.0.0.2", proxy.port):
            late = await check("http", "http://far.example", proxy=way, resolver=names.address)
    assert seen.status == late.status == Status.UP, seen.message + late.message


async def test_a_proxy_that_closes_is_named(check: Check) -> None:
    async with serve(http.close_after_request) as proxy:
        seen = await check("http", "https://far.example", proxy=proxy.url)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_UNREACHABLE)
    assert "closed the connection when asked for the way to far.example port 443" in seen.message


async def test_a_proxy_that_says_nothing_is_named(check: Check) -> None:
    async with serve(http.stay_silent) as proxy:
        seen = await check("http", "https://far.example", proxy=proxy.url, timeout=0.3)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TIMEOUT)
    assert seen.message.endswith(f"while waiting for the proxy 127.0.0.1 port {proxy.port}.")


async def test_a_proxy_that_fails_in_the_clear_is_named(check: Check) -> None:
    wants = http.respond(b"", status="407 Who")
    async with serve(http.close_after_request) as mute, serve(http.answer(wants)) as strict:
        closed = await check("http", "http://far.example", proxy=mute.url)
        refused = await check("http", "http://far.example", proxy=strict.url)
    assert closed.message.startswith(
        f"far.example port 80, through the proxy 127.0.0.1 port {mute.port}, closed the connection"
    )
    assert refused.message.endswith(
        f"expected 200-299: the proxy 127.0.0.1 port {strict.port} wants a user name and password."
    )


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_a_proxy_that_is_not_there_is_named(scheme: str, check: Check) -> None:
    port = free_port()
    seen = await check("http", "http://far.example", proxy=f"{scheme}://127.0.0.1:{port}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_REFUSED)
    assert f"Connection to the proxy 127.0.0.1 port {port} was refused" in seen.message


async def socks5(connection: Connection, *, reply: int = 0) -> bytes:
    """The server's part of a SOCKS5 handshake (RFC 1928); returns the address asked for."""
    version, count = await connection.reader.readexactly(2)
    assert version == 5
    await connection.reader.readexactly(count)
    await connection.send(b"\x05\x00")
    head = await connection.reader.readexactly(4)
    if head[3] == 3:
        (size,) = await connection.reader.readexactly(1)
        address = await connection.reader.readexactly(size)
    else:
        address = await connection.reader.readexactly(4)
    await connection.reader.readexactly(2)
    await connection.send(bytes([5, reply, 0, 1]) + bytes(6))
    return address


async def test_socks5h_leaves_names_to_the_proxy(check: Check) -> None:
    addresses = []

    async def conduct(connection: Connection) -> None:
        addresses.append(await socks5(connection))
        await connection.read_request()
        await connection.send(http.OK)

    async with serve(conduct) as proxy:
        seen = await check("http", "http://far.example", proxy=f"socks5h://127.0.0.1:{proxy.port}")
    assert seen.status == Status.UP, seen.message
    assert addresses == [b"far.example"]


async def test_socks5_gives_the_proxy_an_address_that_was_judged(check: Check) -> None:
    addresses = []

    async def conduct(connection: Connection) -> None:
        addresses.append(await socks5(connection))
        await connection.read_request()
        await connection.send(http.OK)

    async with (
        serve(conduct) as proxy,
        serve_names({"far.example": ["192.0.2.7"]}) as names,
    ):
        seen = await check(
            "http",
            "http://far.example",
            proxy=f"socks5://127.0.0.1:{proxy.port}",
            resolver=names.address,
        )
    assert seen.status == Status.UP, seen.message
    assert addresses == [bytes([192, 0, 2, 7])]


async def test_a_socks_proxy_that_can_not_reach_the_target_says_so(check: Check) -> None:
    async def conduct(connection: Connection) -> None:
        await socks5(connection, reply=4)

    async with serve(conduct) as proxy:
        seen = await check("http", "http://far.example", proxy=f"socks5h://127.0.0.1:{proxy.port}")
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.CONNECT_UNREACHABLE)
    assert seen.message.startswith(
        f"The proxy 127.0.0.1 port {proxy.port} did not reach far.example port 80: "
    )


# What else a message tells


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("429 Too Many", "it is asked too often, and to come back in 120 s."),
        ("503 Busy", "it is out of service for now, and to come back in 120 s."),
    ],
)
async def test_retry_after_is_told(status: str, told: str, check: Check) -> None:
    response = http.respond(status=status, headers={"Retry-After": "120"})
    async with serve(http.answer(response)) as server:
        seen = await check("http", server.url)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.HTTP_STATUS)
    assert seen.message.endswith(f"expected 200-299: the server says that {told}")


async def test_a_failure_tells_how_it_was_led_there(check: Check) -> None:
    pages = {
        "/": http.redirect("/a"),
        "/a": http.redirect("/b"),
        "/b": http.respond(status="500 O"),
    }
    async with serve(http.route(pages)) as server:
        seen = await check("http", server.url)
    u = server.url
    assert seen.message.endswith(f"expected 200-299 (redirected {u}/ → {u}/a → {u}/b).")
    assert seen.details["redirects"] == [f"{u}/", f"{u}/a", f"{u}/b"]
    assert seen.details["is_downgraded"] is False


async def test_a_downgrade_to_http_is_noted(check: Check) -> None:
    authority = Authority()
    context = authority.issue("127.0.0.1", ends=timedelta(days=90)).server_context()
    ca = authority.certificate_pem
    wanted = {"source": "url", "comparison": "starts_with", "value": "https://"}
    async with (
        serve(http.answer(http.OK)) as plain,
        serve(http.answer(http.redirect(plain.url)), tls=context) as server,
    ):
        seen = await check("http", server.url, ca_certificate=ca)
        strict = await check("http", server.url, ca_certificate=ca, assertions=[wanted])
    assert seen.status == Status.UP
    assert seen.details is not None
    assert seen.details["is_downgraded"]
    assert (strict.status, strict.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert strict.message.endswith(", down from https to http).")
