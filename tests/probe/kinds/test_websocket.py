"""The websocket check: the upgrade, the messages, and servers that do either wrong."""

import asyncio
import re
from datetime import timedelta

import pytest
from pydantic import ValidationError

from probe.kinds.websocket import WebsocketSettings, clean_target
from probe.values import Reason, Status
from tests.probe.conftest import Check
from tests.servers import http, websocket
from tests.servers.authority import Authority
from tests.servers.http import header_of
from tests.servers.raw import Conduct, Connection, serve


async def test_an_upgrade_is_up(check: Check) -> None:
    heads: list[bytes] = []

    async def note(connection: Connection) -> None:
        heads.append(await websocket.upgrade(connection))
        assert await websocket.receive(connection) == (8, b"\x03\xe8")

    async with serve(note) as server:
        seen = await check("websocket", f"ws://127.0.0.1:{server.port}/a?b", headers={"X-A": "1"})
    assert (seen.status, seen.http_status) == (Status.UP, 101), seen.message
    (head,) = heads
    assert head.startswith(b"GET /a?b HTTP/1.1\r\n")
    assert header_of(head, "Host") == f"127.0.0.1:{server.port}"
    assert header_of(head, "X-A") == "1"
    assert header_of(head, "Sec-WebSocket-Version") == "13"


async def test_what_is_sent_can_be_expected_back(check: Check) -> None:
    async with serve(websocket.echo) as server:
        target = f"ws://127.0.0.1:{server.port}"
        seen = await check("websocket", target, send="ping " * 100, expect="ping ping")
    assert seen.status == Status.UP, seen.message


async def test_tls_is_verified(check: Check) -> None:
    authority = Authority()
    issued = authority.issue("127.0.0.1", ends=timedelta(days=90))
    async with serve(websocket.echo, tls=issued.server_context()) as server:
        target = f"wss://127.0.0.1:{server.port}"
        trusted = await check("websocket", target, ca_certificate=authority.certificate_pem)
        untrusted = await check("websocket", target)
    assert trusted.status == Status.UP, trusted.message
    assert untrusted.reason == Reason.TLS_UNTRUSTED


async def test_messages_in_pieces_with_pings_between_are_read(check: Check) -> None:
    pieces = (
        websocket.frame(1, b"wel", is_last=False),
        websocket.frame(9, b"there?"),
        websocket.frame(0, b"come"),
    )
    async with serve(websocket.say(*pieces)) as server:
        seen = await check("websocket", f"ws://127.0.0.1:{server.port}", expect="welcome")
    assert seen.status == Status.UP, seen.message


async def test_a_subprotocol_is_agreed_on(check: Check) -> None:
    agree = websocket.say(headers={"Sec-WebSocket-Protocol": "chat"})
    async with serve(agree) as server:
        target = f"ws://127.0.0.1:{server.port}"
        good = await check("websocket", target, subprotocol="chat")
        other = await check("websocket", target, subprotocol="graphql-ws")
    assert good.status == Status.UP, good.message
    assert (other.status, other.reason) == (Status.DOWN, Reason.HTTP_PROTOCOL)
    assert other.message.endswith("chose the subprotocol 'chat', expected 'graphql-ws'.")


async def test_a_message_can_be_asserted(check: Check) -> None:
    wanted = {"source": "json", "property": "$.state", "comparison": "equals", "value": "ok"}
    async with serve(websocket.say(websocket.text('{"state": "bad"}'))) as server:
        seen = await check("websocket", f"ws://127.0.0.1:{server.port}", assertions=[wanted])
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)
    assert seen.message == 'JSON $.state should be "ok", got "bad".'


async def hang_after_upgrade(connection: Connection) -> None:
    await websocket.upgrade(connection)
    await asyncio.Event().wait()


async def flood_with_pings(connection: Connection) -> None:
    await websocket.upgrade(connection)
    while True:
        await connection.send(websocket.frame(9, b"") * 1000)


FAILURES: dict[str, tuple[Conduct, Reason, str]] = {
    "it is a plain web server": (
        http.answer(http.OK),
        Reason.HTTP_STATUS,
        r"Status 200 \(OK\) after \d+ ms, expected 101 \(Switching Protocols\)\.",
    ),
    "it wants to know who asks": (
        http.answer(http.respond(status="401 Unauthorized")),
        Reason.HTTP_STATUS,
        r"Status 401 \(Unauthorized\) after \d+ ms, expected 101 \(Switching Protocols\)\.",
    ),
    "it switches to something else": (
        http.answer(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        r'HOST upgrades to no WebSocket \(Upgrade is "h2c"\), after \d+ ms\.',
    ),
    "it doesn't say that it switches": (
        http.answer(b"HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        r'HOST upgrades to no WebSocket \(Connection is ""\), after \d+ ms\.',
    ),
    "its proof is wrong": (
        websocket.say(headers={"Sec-WebSocket-Accept": "nonsense"}),
        Reason.HTTP_PROTOCOL,
        r"HOST upgrades without the proof that it speaks WebSocket \(Sec-WebSocket-Accept is"
        r' "nonsense"\), after \d+ ms\.',
    ),
    "it chooses a subprotocol unasked": (
        websocket.say(headers={"Sec-WebSocket-Protocol": "chat"}),
        Reason.HTTP_PROTOCOL,
        r"HOST chose the subprotocol 'chat', expected 'none'\.",
    ),
    "it speaks no HTTP": (
        http.answer(b"220 mail.example\r\n\r\n"),
        Reason.HTTP_PROTOCOL,
        r'HOST did not answer with HTTP but "220 mail\.example\\r\\n", after \d+ ms\.',
    ),
    "it closes without an answer": (
        http.close_after_request,
        Reason.HTTP_PROTOCOL,
        r"HOST closed the connection without an answer, after \d+ ms\.",
    ),
    "its headers never end": (
        http.endless_headers,
        Reason.HTTP_PROTOCOL,
        r"HOST sent headers that are too large, after \d+ ms\.",
    ),
    "it says nothing": (
        http.stay_silent,
        Reason.TIMEOUT,
        r"HOST took longer than 0\.5 s, while waiting for the upgrade\.",
    ),
    "it says nothing after the upgrade": (
        hang_after_upgrade,
        Reason.TIMEOUT,
        r"HOST took longer than 0\.5 s, while waiting for a message\.",
    ),
    "its message is another": (
        websocket.say(websocket.text("go away")),
        Reason.BANNER_MISMATCH,
        r'Expected "welcome" from HOST, got "go away", then silence, after \d+ ms\.',
    ),
    "it closes with a code": (
        websocket.say(websocket.frame(8, b"\x03\xf3too busy")),
        Reason.BANNER_MISMATCH,
        r'Expected "welcome" from HOST, got nothing, then closed with code 1011, after \d+ ms\.',
    ),
    "its frame is none": (
        websocket.say(b"\xff\xff\xff\xff"),
        Reason.HTTP_PROTOCOL,
        r"HOST sent what is no WebSocket frame, after \d+ ms\.",
    ),
    "its frame is out of place": (
        websocket.say(websocket.frame(0, b"x")),
        Reason.HTTP_PROTOCOL,
        r"HOST sent a frame out of place \(opcode 0\), after \d+ ms\.",
    ),
    "its frame is huge": (
        websocket.say(b"\x81\x7f\x00\x00\x00\xff\xff\xff\xff\xff"),
        Reason.HTTP_PROTOCOL,
        r"HOST sent a message of more than 1,048,576 bytes, after \d+ ms\.",
    ),
    "it pings without end": (
        flood_with_pings,
        Reason.HTTP_PROTOCOL,
        r"HOST sent more than 10,000 frames, after \d+ ms\.",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_server_is_down_when(name: str, check: Check) -> None:
    conduct, reason, message = FAILURES[name]
    async with serve(conduct) as server:
        seen = await check(
            "websocket", f"ws://127.0.0.1:{server.port}", timeout=0.5, expect="welcome"
        )
    assert (seen.status, seen.reason) == (Status.DOWN, reason), seen
    assert re.fullmatch(message.replace("HOST", f"127.0.0.1 port {server.port}"), seen.message)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("ws://Example.org", "ws://example.org/"),
        ("WSS://example.org:443/a", "wss://example.org/a"),
        ("example.org/socket", "wss://example.org/socket"),
    ],
)
def test_targets_have_a_normal_form(given: str, kept: str) -> None:
    assert clean_target(given) == kept
    assert clean_target(kept) == kept


@pytest.mark.parametrize("bad", ["", "http://example.org", "ws://", "ws://u:p@example.org"])
def test_targets_that_make_no_sense_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        clean_target(bad)


@pytest.mark.parametrize("bad", [{"subprotocol": "two words"}, {"headers": {"X": "a\nb"}}])
def test_settings_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WebsocketSettings(**bad)
