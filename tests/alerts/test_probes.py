"""Each channel that can be asked whether it lives, against a look-alike of its receiver."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pytest_django import Settings

from alerts.channels import CHANNELS
from alerts.door import Door
from tests.alerts.refusals import (
    DOOR,
    IMPATIENT,
    Answer,
    is_for_the_channel,
    is_tried_again,
    refused,
    what_may_pass,
)
from tests.servers.chats import Discord, Mattermost, Vendor, as_json
from tests.servers.pagers import Twilio
from tests.servers.pushes import Gotify, Matrix, Ntfy, Pushover
from tests.servers.smtp import MailServer
from tests.servers.telegram import BLOCKED, CHAT_NOT_FOUND, UNAUTHORIZED, BotApi
from tests.servers.webhook import Receiver, Reply

Asked = Vendor | BotApi


@dataclass(frozen=True)
class Case:
    """A channel's receiver, its settings there, and answers that are final."""

    server: Callable[[], Asked]
    config: Callable[[Any], dict[str, Any]]
    final: tuple[Reply, ...] = ()


TWILIO = {"account_sid": Twilio.SID, "auth_token": Twilio.TOKEN, "sender": "+15550100"}
CASES = {
    "telegram": Case(
        BotApi,
        lambda api: {"bot_token": api.TOKEN, "chat_id": api.CHAT},
        (UNAUTHORIZED.reply(), CHAT_NOT_FOUND.reply(), BLOCKED.reply()),
    ),
    "discord": Case(
        Discord,
        lambda discord: {"url": f"{discord.address}?thread_id=7"},
        (Discord.UNKNOWN, Discord.INVALID_TOKEN),
    ),
    "matrix": Case(
        Matrix,
        lambda matrix: {"server": matrix.url, "room": matrix.ROOM, "access_token": matrix.TOKEN},
        (Matrix.UNKNOWN_TOKEN, Matrix.FORBIDDEN),
    ),
    "pushover": Case(
        Pushover,
        lambda pushover: {"server": pushover.url, "token": pushover.TOKEN, "user": pushover.USER},
        (Pushover.INVALID_TOKEN, Pushover.INVALID_USER),
    ),
    "twilio_sms": Case(
        Twilio,
        lambda twilio: {**TWILIO, "to": "+4930123456", "server": twilio.url},
        (Twilio.UNAUTHORIZED,),
    ),
    "twilio_voice": Case(
        Twilio,
        lambda twilio: {**TWILIO, "to": "+4930123456", "server": twilio.url},
        (Twilio.UNAUTHORIZED,),
    ),
    "gotify": Case(Gotify, lambda gotify: {"server": gotify.url, "token": gotify.TOKEN}),
    "ntfy": Case(Ntfy, lambda ntfy: {"server": ntfy.url, "topic": ntfy.TOPIC}),
    "mattermost": Case(Mattermost, lambda mattermost: {"url": mattermost.address}),
}
ELSEWHERE = {"email", "webhook"}


def test_there_is_a_case_for_each_that_can_be_asked() -> None:
    can = {name for name, channel in CHANNELS.items() if channel.probe}
    assert can == CASES.keys() | ELSEWHERE


def test_what_an_answer_proves_is_said() -> None:
    assert all(bool(channel.proves) == bool(channel.probe) for channel in CHANNELS.values())


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(name: str, settings: Settings) -> Iterator[Asked]:
    with CASES[name].server() as server:
        settings.TELEGRAM_API_URL = server.url
        yield server


def ask(name: str, values: dict[str, Any], door: Door = DOOR) -> bool:
    channel = CHANNELS[name]
    assert channel.probe is not None
    return channel.probe(channel.config.model_validate(values), door)


def test_one_that_lives_says_so_and_gets_no_message(name: str, server: Asked) -> None:
    assert ask(name, CASES[name].config(server)) is True
    assert server.asked == 1
    assert not (server.messages if isinstance(server, BotApi) else server.taken)


@what_may_pass
def test_what_may_pass_is_not_final(name: str, server: Asked, answer: Answer) -> None:
    server.will(answer)
    assert is_tried_again(refused(lambda: ask(name, CASES[name].config(server), IMPATIENT)))


def test_a_flood_is_not_final(name: str, server: Asked) -> None:
    server.will(Reply(429, {"Retry-After": "31"}))
    assert is_tried_again(refused(lambda: ask(name, CASES[name].config(server))))


@pytest.mark.parametrize(
    ("name", "answer"),
    [(name, answer) for name, case in CASES.items() for answer in case.final],
)
def test_what_its_vendor_calls_final_is(name: str, server: Asked, answer: Reply) -> None:
    server.will(answer)
    assert is_for_the_channel(refused(lambda: ask(name, CASES[name].config(server))))


@pytest.mark.parametrize("name", ["gotify", "ntfy", "mattermost"])
@pytest.mark.parametrize("answer", [as_json(200, {"health": "orange", "status": "x"}), Reply()])
def test_a_server_that_is_not_well_is_asked_again(name: str, server: Asked, answer: Reply) -> None:
    server.will(answer)
    assert is_tried_again(refused(lambda: ask(name, CASES[name].config(server))))


def test_whoever_left_the_room_is_told() -> None:
    with Matrix() as matrix:
        matrix.membership = "leave"
        error = refused(lambda: ask("matrix", CASES["matrix"].config(matrix)))
    assert is_for_the_channel(error)
    assert str(error) == "@uptime:example.org is not in the room (leave)"


def test_a_group_that_became_a_supergroup_lives(settings: Settings) -> None:
    moved = {"migrate_to_chat_id": -100300}
    with BotApi() as api:
        settings.TELEGRAM_API_URL = api.url
        api.chats.add("-100300")
        body = {"ok": False, "error_code": 400, "description": "upgraded", "parameters": moved}
        api.will(as_json(400, body))
        assert ask("telegram", CASES["telegram"].config(api))


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_an_account_that_is_not_active_sends_nothing(status: str) -> None:
    with Twilio() as twilio:
        twilio.status = status
        error = refused(lambda: ask("twilio_sms", CASES["twilio_sms"].config(twilio)))
    assert is_for_the_channel(error)
    assert str(error) == f"the account is {status}"


def test_a_key_that_can_not_read_condemns_nothing() -> None:
    with Twilio() as twilio:
        keyed = {"api_key": Twilio.KEY, "auth_token": Twilio.KEY_SECRET}
        config = {**CASES["twilio_sms"].config(twilio), **keyed}
        assert ask("twilio_sms", config)
        twilio.will(Twilio.UNAUTHORIZED)
        assert is_tried_again(refused(lambda: ask("twilio_sms", config)))


def test_a_webhook_is_asked_where_its_team_says() -> None:
    with Receiver() as receiver:
        config = {"url": receiver.url, "headers": {"X-Key": "a"}}
        assert ask("webhook", config) is False
        assert not receiver.requests
        config["probe_url"] = f"{receiver.url}/health"
        assert ask("webhook", config) is True
        [request] = receiver.requests
        assert (request.method, request.path) == ("GET", "/health")
        assert request.headers["X-Key"] == "a"
        receiver.will(Reply(404), Reply(410))
        assert is_tried_again(refused(lambda: ask("webhook", config)))
        assert is_for_the_channel(refused(lambda: ask("webhook", config)))


def test_a_mattermost_webhook_of_another_shape_is_not_asked() -> None:
    assert ask("mattermost", {"url": "http://127.0.0.1:9/custom"}) is False


def test_a_mail_server_is_asked_without_a_mail(mail_server: MailServer) -> None:
    assert ask("email", {"to": ["ops@example.org"]}) is True
    assert not mail_server.mails


def test_a_mail_server_that_is_away_condemns_no_channel(settings: Settings) -> None:
    with MailServer() as server:
        for option, value in server.settings.items():
            setattr(settings, option, value)
    error = refused(lambda: ask("email", {"to": ["ops@example.org"]}))
    assert is_tried_again(error)
    assert "the mail server failed" in str(error)


def test_mail_that_goes_nowhere_can_not_be_asked(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    assert ask("email", {"to": ["ops@example.org"]}) is False
