"""What is kept of an exchange that failed: enough to understand it, nothing that opens a door."""

from typing import Any

from probe.values import Observation, Status
from tests.probe.conftest import Check
from tests.servers import http
from tests.servers.raw import Conduct, free_port, serve

PAGE = b"<h1>Our database is away</h1>" + b"." * 10_000


def details_of(seen: Observation) -> dict[str, Any]:
    assert seen.status != Status.UP
    assert seen.details is not None
    return dict(seen.details)


async def failing(check: Check, conduct: Conduct, **settings: Any) -> dict[str, Any]:
    async with serve(conduct) as server:
        return details_of(await check("http", server.url, **settings))


async def test_the_answer_is_kept_with_the_beginning_of_its_body(check: Check) -> None:
    seen = await failing(
        check, http.answer(http.respond(PAGE, status="500 Oops", headers={"Server": "shop/1"}))
    )
    assert (seen["method"], seen["addresses"]) == ("GET", ["127.0.0.1"])
    answer = seen["response"]
    assert answer["head"].startswith("HTTP/1.1 500 Oops\n")
    assert "Server: shop/1" in answer["head"]
    assert answer["body"] == PAGE[:4096].decode()
    assert (answer["body_bytes"], answer["is_cut"]) == (len(PAGE), True)


async def test_a_passing_check_keeps_nothing(check: Check) -> None:
    async with serve(http.answer(http.respond(b"fine"))) as server:
        seen = await check("http", server.url)
    assert (seen.status, seen.details) == (Status.UP, None)


async def test_values_of_headers_named_like_secrets_are_masked(check: Check) -> None:
    headers = {"Set-Cookie": "session=abc123", "X-Api-Token": "abc123", "X-Plain": "seen"}
    seen = await failing(check, http.answer(http.respond(b"", status="500 No", headers=headers)))
    head = seen["response"]["head"]
    assert "Set-Cookie: ********" in head
    assert "X-Api-Token: ********" in head
    assert "X-Plain: seen" in head
    assert "abc123" not in head


async def test_secrets_that_the_server_repeats_are_masked(check: Check) -> None:
    def echo(head: bytes) -> bytes:
        return http.respond(b"You sent:\n" + head, status="500 No", headers={"X-Echo": "s3cretkey"})

    for auth, secret in (
        ({"type": "bearer", "token": "t0ken-value"}, "t0ken-value"),
        ({"type": "basic", "username": "ann", "password": "pw"}, "YW5uOnB3"),
    ):
        seen = await failing(
            check, http.react(echo), auth=auth, headers={"X-Key": "s3cretkey", "Accept": "text/x"}
        )
        shown = str(seen)
        assert "Accept: text/x" in shown
        assert "s3cretkey" not in shown
        assert secret not in shown


async def test_an_answer_that_failed_an_assertion_is_kept(check: Check) -> None:
    seen = await failing(
        check,
        http.answer(
            http.respond(
                "Größe".encode("latin-1"), headers={"Content-Type": "text/plain; charset=latin-1"}
            )
        ),
        assertions=[{"source": "body", "comparison": "contains", "value": "ready"}],
    )
    assert seen["response"]["body"] == "Größe"


async def test_a_charset_that_nobody_knows_is_read_as_bytes(check: Check) -> None:
    conduct = http.answer(
        http.respond(
            b"\xfcber", status="500 No", headers={"Content-Type": "text/x; charset=klingon"}
        )
    )
    assert (await failing(check, conduct))["response"]["body"] == "über"


async def test_without_an_answer_the_addresses_are_kept(check: Check) -> None:
    seen = details_of(await check("http", f"http://127.0.0.1:{free_port()}/"))
    assert seen["addresses"] == ["127.0.0.1"]
    assert "response" not in seen


async def test_the_answer_that_was_not_to_come_is_kept(check: Check) -> None:
    seen = await failing(check, http.answer(http.respond(b"alive")), upside_down=True)
    assert seen["response"]["body"] == "alive"
