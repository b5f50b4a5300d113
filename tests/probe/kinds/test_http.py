"""What the http check asks, and how it judges a server that behaves."""

import base64
import gzip

import pytest
from pydantic import SecretStr, ValidationError

from probe.kinds.http.settings import HttpSettings
from probe.values import Reason, Status
from tests.probe.conftest import Check
from tests.servers import http
from tests.servers.http import header_of
from tests.servers.raw import free_port, serve


async def test_a_good_answer_is_up_with_its_phases(check: Check) -> None:
    async with serve(http.answer(http.OK)) as server:
        seen = await check("http", server.url)
    assert (seen.status, seen.reason, seen.message) == (Status.UP, None, "")
    assert seen.http_status == 200
    phases = seen.phases
    assert (phases.dns_ms, phases.tls_ms) == (None, None)
    parts = (phases.connect_ms, phases.first_byte_ms, phases.transfer_ms)
    assert all(part is not None for part in parts)
    assert seen.latency_ms is not None
    assert sum(part or 0 for part in parts) <= seen.latency_ms


async def test_every_check_connects_anew(check: Check) -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi"
    async with serve(http.answer(response)) as server:
        for _ in range(3):
            assert (await check("http", server.url)).status == Status.UP
    assert server.connections == 3


async def test_the_request_introduces_itself(check: Check) -> None:
    seen: list[bytes] = []
    async with serve(http.answer(http.OK, seen=seen)) as server:
        await check("http", f"{server.url}/a?b=c")
    (head,) = seen
    assert head.startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert header_of(head, "User-Agent") == "uptime/0.1 (+monitor)"
    assert header_of(head, "Host") == f"127.0.0.1:{server.port}"
    assert header_of(head, "Expect") is None


async def test_headers_given_by_the_user_win(check: Check) -> None:
    seen: list[bytes] = []
    headers = {"user-agent": "probe", "X-Api-Key": "k", "Host": "virtual.example", "X-Empty": ""}
    async with serve(http.answer(http.OK, seen=seen)) as server:
        await check("http", server.url, headers=headers | {"X-Name": "grün"})
    (head,) = seen
    assert [header_of(head, name) for name in headers] == ["probe", "k", "virtual.example", ""]
    assert "X-Name: grün\r\n".encode() in head


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_each_method_is_sent_as_it_is(method: str, check: Check) -> None:
    seen: list[bytes] = []
    async with serve(http.answer(http.OK, seen=seen)) as server:
        result = await check("http", server.url, method=method)
    assert result.status == Status.UP
    assert seen[0].startswith(f"{method} / ".encode())


@pytest.mark.parametrize(
    ("body", "content_type"),
    [('{"a": 1}', "application/json"), ("plain words", "text/plain; charset=utf-8")],
)
async def test_a_body_is_sent_with_its_type(body: str, content_type: str, check: Check) -> None:
    seen: list[bytes] = []
    async with serve(http.answer(http.OK, seen=seen)) as server:
        await check("http", server.url, method="POST", body=body)
    assert header_of(seen[0], "Content-Type") == content_type
    assert header_of(seen[0], "Content-Length") == str(len(body))


async def test_credentials_are_sent(check: Check) -> None:
    seen: list[bytes] = []
    async with serve(http.answer(http.OK, seen=seen)) as server:
        basic = {"type": "basic", "username": "ana", "password": "pässword"}
        await check("http", server.url, auth=basic)
        await check("http", server.url, auth={"type": "bearer", "token": "t0k"})
    pair = base64.b64encode("ana:pässword".encode()).decode()
    sent = [header_of(head, "Authorization") for head in seen]
    assert sent == [f"Basic {pair}", "Bearer t0k"]


async def test_nothing_of_one_check_reaches_the_next(check: Check) -> None:
    seen: list[bytes] = []
    cookie = http.respond(headers={"Set-Cookie": "session=1; Path=/"})
    async with serve(http.answer(cookie, seen=seen)) as server:
        auth = {"type": "bearer", "token": "t"}
        await check("http", server.url, auth=auth, method="POST", body="x", headers={"X-A": "1"})
        await check("http", server.url)
    assert seen[1].startswith(b"GET / ")
    for name in ("Authorization", "Cookie", "X-A", "Content-Type"):
        assert header_of(seen[1], name) is None


async def test_a_compressed_body_is_judged_decompressed(check: Check) -> None:
    packed = gzip.compress(b"Welcome" * 100)
    response = http.respond(packed, headers={"Content-Encoding": "gzip"})
    async with serve(http.answer(response)) as server:
        seen = await check(
            "http",
            server.url,
            assertions=[
                {"source": "body", "comparison": "contains", "value": "Welcome"},
                {"source": "size", "comparison": "equals", "value": 700},
            ],
        )
    assert seen.status == Status.UP, seen.message


@pytest.mark.parametrize(
    ("status", "expected", "is_up"),
    [
        ("204 No Content", ["200-299"], True),
        ("301 Moved", ["301"], True),
        ("401 Unauthorized", ["200-299", "401"], True),
        ("404 Not Found", ["200-299", "401"], False),
        ("200 OK", [404], False),
    ],
)
async def test_the_expected_status_decides(
    status: str, expected: list[str], is_up: bool, check: Check
) -> None:
    async with serve(http.answer(http.respond(b"", status=status))) as server:
        seen = await check("http", server.url, expected_status=expected)
    assert (seen.status == Status.UP) is is_up
    assert seen.http_status == int(status[:3])


async def test_a_failed_assertion_says_what_came(check: Check) -> None:
    response = http.respond(b'{"state": "broken"}', headers={"Content-Type": "application/json"})
    assertion = {"source": "json", "property": "$.state", "comparison": "equals", "value": "ok"}
    async with serve(http.answer(response)) as server:
        seen = await check("http", server.url, assertions=[assertion])
        mild = await check("http", server.url, assertions=[assertion | {"severity": "degraded"}])
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert seen.message == 'JSON $.state should be "ok", got "broken".'
    assert (mild.status, mild.reason) == (Status.DEGRADED, Reason.ASSERTION_FAILED)


async def test_header_assertions_see_the_final_answer_only(check: Check) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nX-State: early\r\n\r\n"
    response = interim + http.respond(headers={"X-State": "final"})
    async with serve(http.answer(response)) as server:
        seen = await check(
            "http",
            server.url,
            assertions=[
                {
                    "source": "header",
                    "property": "X-State",
                    "comparison": "equals",
                    "value": "final",
                }
            ],
        )
    assert seen.status == Status.UP, seen.message


async def test_a_slow_answer_is_degraded(check: Check) -> None:
    async with serve(http.answer(http.OK)) as server:
        seen = await check("http", server.url, latency_degraded_ms=0.001)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.LATENCY)
    assert seen.message.endswith("expected 0.001 ms at most.")


async def test_upside_down_turns_the_verdict(check: Check) -> None:
    async with serve(http.answer(http.OK)) as server:
        answering = await check("http", server.url, upside_down=True)
    failing = await check("http", f"http://127.0.0.1:{free_port()}", upside_down=True)
    assert (answering.status, answering.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert "passed with status 200" in answering.message
    assert (failing.status, failing.reason, failing.message) == (Status.UP, None, "")


async def test_a_refused_network_is_not_turned_upside_down(check: Check) -> None:
    seen = await check("http", "http://127.0.0.1", allow_private=False, upside_down=True)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TARGET_FORBIDDEN)


async def test_a_proxy_from_the_environment_is_not_used(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    async with serve(http.answer(http.OK)) as server:
        assert (await check("http", server.url)).status == Status.UP


async def test_a_proxy_is_asked_for_the_whole_url(check: Check) -> None:
    seen: list[bytes] = []
    async with serve(http.answer(http.OK, seen=seen)) as proxy:
        result = await check(
            "http",
            "http://far.example/x",
            proxy=proxy.url,
            proxy_username="u",
            proxy_password="p",
        )
    assert result.status == Status.UP, result.message
    assert seen[0].startswith(b"GET http://far.example/x HTTP/1.1\r\n")
    pair = base64.b64encode(b"u:p").decode()
    assert header_of(seen[0], "Proxy-Authorization") == f"Basic {pair}"


async def test_a_forbidden_proxy_is_not_connected_to(check: Check) -> None:
    async with serve(http.answer(http.OK)) as proxy:
        seen = await check("http", "http://far.example", proxy=proxy.url, allow_private=False)
    assert seen.reason == Reason.TARGET_FORBIDDEN
    assert proxy.connections == 0


async def test_ipv6_literals_are_connected_to(check: Check) -> None:
    async with serve(http.answer(http.OK), host="::1") as server:
        assert (await check("http", server.url)).status == Status.UP


# Settings


def test_values_of_headers_named_like_secrets_are_secret() -> None:
    headers = {"Authorization": "a", "X-Auth-Token": "b", "Cookie": "c", "Accept": "d"}
    settings = HttpSettings(headers=headers)
    kinds = {name: type(value) for name, value in settings.headers.items()}
    assert kinds == {
        "Authorization": SecretStr,
        "X-Auth-Token": SecretStr,
        "Cookie": SecretStr,
        "Accept": str,
    }


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "CONNECT"},
        {"headers": {"Bad Name": "x"}},
        {"headers": {"X": "a\r\nInjected: b"}},
        {"auth": {"type": "basic", "username": "a:b", "password": "x"}},
        {"auth": {"type": "bearer", "token": "a\nb"}},
        {"max_redirects": 31},
        {"expected_status": []},
        {"expected_status": ["2xx"]},
        {"expected_status": ["299-200"]},
        {"ca_certificate": "no certificate"},
        {"client_key": "key alone"},
        {"resolver": "dns.example"},
        {"proxy": "ftp://127.0.0.1"},
        {"proxy": "http://user:pass@127.0.0.1"},
        {"assertions": [{"source": "body", "comparison": "matches", "value": "("}]},
        {"unheard_of": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HttpSettings(**bad)
