import json
from collections.abc import Iterable, MutableMapping
from typing import Any

import pytest

from uptime.asgi import limit_body

Message = MutableMapping[str, Any]


async def echo_length(scope: Any, receive: Any, send: Any) -> None:
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message["body"])
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


async def ask(
    chunks: Iterable[bytes], headers: Iterable[tuple[bytes, bytes]] = ()
) -> list[Message]:
    """What an application that takes 10 bytes sends for a request with this body."""
    waiting: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Message] = []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": list(headers)}
    await limit_body(echo_length, 10)(scope, receive, send)
    return sent


async def test_a_body_up_to_the_limit_arrives() -> None:
    start, body = await ask([b"12345", b"67890"])
    assert start["status"] == 200
    assert body["body"] == b"10"


@pytest.mark.parametrize(
    ("chunks", "headers"),
    [([b"12345", b"678901"], []), ([], [(b"content-length", b"11")])],
    ids=["counted", "declared"],
)
async def test_a_longer_one_is_refused_in_the_shape_of_the_api(
    chunks: list[bytes], headers: list[tuple[bytes, bytes]]
) -> None:
    start, body = await ask(chunks, headers)
    assert start["status"] == 413
    assert json.loads(body["body"])["error"]["code"] == "too_large"


async def test_other_traffic_than_http_passes() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    await limit_body(app, 10)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]
