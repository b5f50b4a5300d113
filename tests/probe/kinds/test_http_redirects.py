"""Redirects are followed by hand: each hop guarded, loops and limits told apart, secrets kept."""

import asyncio

import pytest

from probe import net
from probe.values import Reason, Status
from tests.probe.conftest import Check
from tests.servers import http
from tests.servers.dns import serve_names
from tests.servers.http import header_of, path_of, redirect
from tests.servers.raw import Connection, serve


async def test_relative_redirects_are_followed(check: Check) -> None:
    pages = {"/a/b": redirect("../c?d"), "/c?d": http.OK}
    async with serve(http.route(pages)) as server:
        seen = await check("http", f"{server.url}/a/b")
    assert (seen.status, seen.http_status) == (Status.UP, 200)


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/ü".encode(), "/%C3%BC"),
        (b"/\xff", "/%FF"),
        (b"../c/./d", "/c/d"),
        (b"/a b", "/a%20b"),
        (b"?q=1#part", "/?q=1"),
        (rb"\a\b?x\y", "/a/b?x%5Cy"),
    ],
)
async def test_locations_are_read_as_browsers_do(location: bytes, path: str, check: Check) -> None:
    start = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
    async with serve(http.route({"/": start, path: http.OK})) as server:
        seen = await check("http", server.url)
    assert seen.status == Status.UP, seen.message


async def test_a_login_in_a_location_is_neither_used_nor_told(check: Check) -> None:
    seen: list[bytes] = []

    def lead(head: bytes) -> bytes:
        host = header_of(head, "Host")
        return (
            http.respond(status="401 Who")
            if path_of(head) == "/n"
            else redirect(f"http://bob:s3cret@{host}/n")
        )

    async with serve(http.react(lead, seen=seen)) as server:
        answer = await check("http", server.url)
    assert (answer.status, answer.http_status) == (Status.DOWN, 401)
    assert header_of(seen[1], "Authorization") is None
    assert "s3cret" not in f"{answer.message}{answer.details}"


async def test_the_body_of_a_redirect_is_not_waited_for(check: Check) -> None:
    async def redirect_without_end(connection: Connection) -> None:
        head = await connection.read_request()
        if path_of(head) == "/new":
            await connection.send(http.OK)
            return
        await connection.send(b"HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 9\r\n")
        await connection.send(b"Set-Cookie: a=b\r\n\r\n")
        await asyncio.Event().wait()

    async with serve(redirect_without_end) as server:
        seen = await check("http", server.url)
    assert (seen.status, seen.http_status) == (Status.UP, 200), seen.message
    assert (seen.details or {})["redirects"] == [f"{server.url}/", f"{server.url}/new"]


async def test_the_body_of_a_redirect_may_be_large(check: Check) -> None:
    large = http.respond(b"x" * 100_000, status="301 Moved", headers={"Location": "/new"})
    async with serve(http.route({"/": large, "/new": http.OK})) as server:
        seen = await check("http", server.url, max_body_bytes=1000)
    assert (seen.status, seen.http_status) == (Status.UP, 200), seen.message


async def test_a_redirect_can_be_the_answer(check: Check) -> None:
    async with serve(http.answer(redirect("/elsewhere"))) as server:
        seen = await check("http", server.url, follow_redirects=False, expected_status=["302"])
    assert (seen.status, server.connections) == (Status.UP, 1)


async def test_a_loop_is_told_with_its_path(check: Check) -> None:
    async with serve(http.route({"/a": redirect("/b"), "/b": redirect("/a")})) as server:
        seen = await check("http", f"{server.url}/a", max_redirects=20)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.REDIRECT_LOOP)
    u = server.url
    assert seen.message == f"The redirects go round: {u}/a → {u}/b → {u}/a."


async def test_a_chain_without_end_reaches_the_limit(check: Check) -> None:
    def onward(head: bytes) -> bytes:
        return redirect(f"{path_of(head)}x")

    async with serve(http.react(onward)) as server:
        seen = await check("http", f"{server.url}/x", max_redirects=3)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.REDIRECT_LIMIT)
    u = server.url
    assert seen.message == f"More than 3 redirects: {u}/x → {u}/xx → {u}/xxx → {u}/xxxx."
    assert server.connections == 4


async def test_a_page_that_sets_a_cookie_and_sends_back_is_no_loop(check: Check) -> None:
    def gate(head: bytes) -> bytes:
        if header_of(head, "Cookie") == "seen=1":
            return http.OK
        return redirect("/", headers={"Set-Cookie": "seen=1"})

    async with serve(http.react(gate)) as server:
        seen = await check("http", server.url)
        again = await check("http", server.url)
    assert (seen.status, again.status) == (Status.UP, Status.UP)
    assert server.connections == 4  # the cookie did not outlive its check


async def test_a_broken_end_is_told_with_its_address(check: Check) -> None:
    pages = {"/": redirect("/end"), "/end": http.respond(status="500 Oops")}
    async with serve(http.route(pages)) as server:
        seen = await check("http", server.url)
    assert seen.reason == Reason.HTTP_STATUS
    assert f"at {server.url}/end after" in seen.message


@pytest.mark.parametrize(
    ("status", "method", "next_line"),
    [
        (301, "POST", b"GET"),
        (302, "POST", b"GET"),
        (303, "POST", b"GET"),
        (303, "PUT", b"GET"),
        (303, "HEAD", b"HEAD"),
        (302, "PUT", b"PUT"),
        (307, "POST", b"POST"),
        (308, "POST", b"POST"),
    ],
)
async def test_the_method_changes_as_the_standard_says(
    status: int, method: str, next_line: bytes, check: Check
) -> None:
    seen: list[bytes] = []
    pages = {"/": redirect("/end", status=status), "/end": http.OK}
    body = {} if method == "HEAD" else {"body": "{}"}
    async with serve(http.route(pages, seen=seen)) as server:
        await check("http", server.url, method=method, **body)
    assert seen[1].startswith(next_line + b" /end ")
    has_body = next_line == method.encode() and bool(body)
    assert header_of(seen[1], "Content-Length") == ("2" if has_body else None)
    assert header_of(seen[1], "Content-Type") == ("application/json" if has_body else None)


async def test_secrets_stay_with_their_host(check: Check) -> None:
    seen: list[bytes] = []
    async with serve(http.answer(http.OK, seen=seen)) as stranger:
        way_out = redirect(f"{stranger.url}/x", headers={"Set-Cookie": "mine=1"})
        async with serve(http.answer(way_out)) as own:
            await check(
                "http",
                own.url.replace("127.0.0.1", "localhost"),
                auth={"type": "bearer", "token": "t"},
                headers={"X-Api-Key": "k", "Cookie": "c=1", "Host": "own.example", "X-Open": "o"},
            )
    (head,) = seen
    assert header_of(head, "X-Open") == "o"
    assert header_of(head, "Host") == f"127.0.0.1:{stranger.port}"
    for name in ("Authorization", "X-Api-Key", "Cookie"):
        assert header_of(head, name) is None


async def test_secrets_do_not_come_back_from_abroad(check: Check) -> None:
    seen: list[bytes] = []
    pages = {"/back": http.OK}
    async with (
        serve(http.route(pages, seen=seen)) as own,
        serve(http.answer(redirect(f"{own.url}/back"))) as abroad,
    ):
        pages["/"] = redirect(abroad.url)
        await check("http", own.url, auth={"type": "bearer", "token": "t"})
    assert [header_of(head, "Authorization") for head in seen] == ["Bearer t", None]


async def test_each_hop_is_guarded(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "guard_resolver", lambda server, *, allow_private: None)
    async with (
        serve(http.answer(http.OK)) as inside,
        serve_names({"inside.example": ["127.0.0.1"]}) as names,
    ):
        seen = await check(
            "http",
            f"http://inside.example:{inside.port}",
            resolver=names.address,
            allow_private=False,
        )
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TARGET_FORBIDDEN)
    assert seen.message == (
        "inside.example resolves to 127.0.0.1, which lies in a network that may not be checked"
        " from here."
    )
    assert inside.connections == 0
