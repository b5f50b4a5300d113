"""The webhook channel, against a receiver on loopback."""

import hashlib
import hmac
import re
import time
from datetime import timedelta
from uuid import UUID

import pytest
from pydantic import ValidationError

from alerts.channels.webhook import WebhookConfig, send, signature
from alerts.door import Door
from alerts.errors import DeliveryError
from alerts.messages import Message
from tests.servers.webhook import DRIP, HANG, RESET, Misbehaviour, Receiver, Reply

SECRET = "shared with the receiver"


@pytest.fixture
def config(receiver: Receiver) -> WebhookConfig:
    return WebhookConfig.model_validate({"url": f"{receiver.url}/hook?key=1", "secret": SECRET})


@pytest.fixture
def door() -> Door:
    return Door(reaches_private=True)


def test_the_document_says_everything(
    message: Message, config: WebhookConfig, door: Door, receiver: Receiver
) -> None:
    send(message, config, door)
    [request] = receiver.requests
    assert request.path == "/hook?key=1"
    assert request.headers["Content-Type"] == "application/json"
    assert request.json() == {
        "event": "down",
        "event_id": str(message.event_id),
        "occurred_at": "2026-03-01T12:00:05Z",
        "incident": {
            "id": "018f0000-0000-7000-8000-000000000002",
            "url": "https://uptime.example/incidents/2/",
        },
        "monitor": {
            "id": "018f0000-0000-7000-8000-000000000001",
            "name": "Shop",
            "kind": "http",
            "target": "https://shop.example/",
            "url": "https://uptime.example/monitors/1/",
        },
        "status": "down",
        "severity": "down",
        "reason": "connect_refused",
        "message": "shop.example:443 refused the connection.",
        "started_at": "2026-03-01T12:00:00Z",
        "resolved_at": None,
        "duration_seconds": 5.0,
        "locations": ["local"],
        "changes": 0,
        "failed_channel": None,
        "digest": None,
        "report": None,
        "expires_at": None,
    }


def test_the_signature_covers_time_and_body(
    message: Message, config: WebhookConfig, door: Door, receiver: Receiver
) -> None:
    send(message, config, door)
    [request] = receiver.requests
    signed = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", request.headers["X-Uptime-Signature"])
    assert signed is not None
    text = signed[1].encode() + b"." + request.body
    assert signed[2] == hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    assert abs(time.time() - int(signed[1])) < 5


def test_the_signature_of_a_known_document() -> None:
    assert signature("secret", b'{"event":"test"}', 1767225600) == (
        "t=1767225600,v1="
        + hmac.new(b"secret", b'1767225600.{"event":"test"}', hashlib.sha256).hexdigest()
    )


def test_the_event_id_is_the_same_over_attempts(
    message: Message, config: WebhookConfig, door: Door, receiver: Receiver
) -> None:
    send(message, config, door)
    send(message, config, door)
    assert {UUID(r.headers["X-Uptime-Event-Id"]) for r in receiver.requests} == {message.event_id}


def test_headers_of_the_teams_own_are_sent(
    message: Message, receiver: Receiver, door: Door
) -> None:
    headers = {"Authorization": "Bearer abc"}
    config = WebhookConfig.model_validate({"url": receiver.url, "headers": headers})
    send(message, config, door)
    assert receiver.requests[0].headers["Authorization"] == "Bearer abc"


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_is_received(
    message: Message, config: WebhookConfig, door: Door, receiver: Receiver, status: int
) -> None:
    receiver.will(Reply(status))
    send(message, config, door)


def test_a_body_that_breaks_off_does_not_undo_the_answer(
    message: Message, config: WebhookConfig, door: Door, receiver: Receiver
) -> None:
    receiver.will(Reply(200, {"Content-Length": "1000"}, b"only this"))
    send(message, config, door)


def test_the_team_may_choose_the_user_agent(
    message: Message, receiver: Receiver, door: Door
) -> None:
    config = WebhookConfig.model_validate({"url": receiver.url, "headers": {"user-agent": "ours"}})
    send(message, config, door)
    [request] = receiver.requests
    assert [v for name, v in request.headers.items() if name.lower() == "user-agent"] == ["ours"]


@pytest.mark.parametrize(
    ("reply", "is_permanent", "retry_after_s"),
    [
        (Reply(500), False, None),
        (Reply(404), False, None),
        (Reply(401), False, None),
        (Reply(410), True, None),
        (Reply(429, {"Retry-After": "7"}), False, 7),
        (Reply(503, {"Retry-After": "30"}), False, 30),
        (Reply(429, {"Retry-After": "soon"}), False, None),
        (Reply(500, {"Retry-After": "7"}), False, None),
    ],
)
def test_what_becomes_of_a_refusal(
    message: Message,
    config: WebhookConfig,
    door: Door,
    receiver: Receiver,
    reply: Reply,
    is_permanent: bool,
    retry_after_s: int | None,
) -> None:
    receiver.will(reply)
    with pytest.raises(DeliveryError, match=f"answered {reply.status}") as raised:
        send(message, config, door)
    expected = None if retry_after_s is None else timedelta(seconds=retry_after_s)
    assert raised.value.is_permanent is is_permanent
    assert raised.value.retry_after == expected


def test_a_redirect_is_not_followed(
    message: Message, config: WebhookConfig, door: Door, receiver: Receiver
) -> None:
    receiver.will(Reply(302, {"Location": f"{receiver.url}/elsewhere"}))
    with pytest.raises(DeliveryError, match="answered 302; redirects are not followed"):
        send(message, config, door)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("misbehaviour", "text"),
    [(HANG, "no answer within 0.4 s"), (RESET, "reset"), (DRIP, "no answer within 0.4 s")],
    ids=["hang", "reset", "drip"],
)
def test_a_receiver_that_misbehaves_is_tried_again(
    message: Message,
    config: WebhookConfig,
    receiver: Receiver,
    misbehaviour: Misbehaviour,
    text: str,
) -> None:
    patience_s = 10 if misbehaviour is RESET else 0.4
    door = Door(reaches_private=True, deadline=timedelta(seconds=patience_s))
    receiver.will(misbehaviour)
    with pytest.raises(DeliveryError, match=text) as raised:
        send(message, config, door)
    assert not raised.value.is_permanent
    assert "key=1" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    ["shop.example/hook", "ftp://shop.example/", "https://", "https://user:pass@shop.example/"],
)
def test_an_address_that_cannot_be_posted_to_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookConfig.model_validate({"url": url})


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "other.example"},
        {"X-Uptime-Event-Id": "mine"},
        {"Two Words": "value"},
        {"X-Broken": "a\r\nX-Injected: b"},
    ],
)
def test_headers_that_would_do_harm_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        WebhookConfig.model_validate({"url": "https://shop.example/", "headers": headers})


def test_method_type_and_body_can_be_chosen(
    message: Message, receiver: Receiver, door: Door
) -> None:
    config = WebhookConfig.model_validate(
        {
            "url": receiver.url,
            "secret": SECRET,
            "method": "PUT",
            "content_type": "text/plain",
            "body_template": "{{ monitor.name }} is {{ status }}",
        }
    )
    send(message, config, door)
    [request] = receiver.requests
    assert (request.method, request.headers["Content-Type"]) == ("PUT", "text/plain")
    assert request.body == b"Shop is down"
    at = int(request.headers["X-Uptime-Signature"].split(",")[0].removeprefix("t="))
    assert request.headers["X-Uptime-Signature"] == signature(SECRET, request.body, at)


def test_a_get_has_no_body(message: Message, receiver: Receiver, door: Door) -> None:
    config = WebhookConfig.model_validate({"url": f"{receiver.url}/hook", "method": "GET"})
    send(message, config, door)
    [request] = receiver.requests
    assert (request.method, request.path, request.body) == ("GET", "/hook", b"")
    assert "Content-Type" not in request.headers


def test_a_json_body_is_proved_to_be_json_when_it_is_saved() -> None:
    def config(template: str) -> WebhookConfig:
        return WebhookConfig.model_validate(
            {"url": "https://example.org/", "body_template": template}
        )

    assert config('{"text": {{ subject|json }}}')
    with pytest.raises(ValidationError, match="does not give JSON"):
        config('{"text": {{ subject }}}')
