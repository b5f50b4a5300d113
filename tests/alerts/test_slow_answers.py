"""A receiver that takes its time, but answers before the deadline, has the message.

What else a receiver may do is in the test of each channel: that it takes the message, refuses it
for good, fails for a moment, asks for rest, says nothing, breaks off, or drips without an end.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pytest_django import Settings

from alerts.channels import CHANNELS
from alerts.door import Door
from alerts.messages import Message
from tests.servers.chats import Discord, GoogleChat, Mattermost, Slack, Teams
from tests.servers.pagers import Opsgenie, PagerDuty, Twilio
from tests.servers.pushes import Gotify, Matrix, Ntfy, Pushover
from tests.servers.smtp import MailServer
from tests.servers.telegram import BotApi
from tests.servers.webhook import Receiver

DOOR = Door(reaches_private=True)
PAUSE_S = 0.03

_TWILIO = {
    "account_sid": Twilio.SID,
    "auth_token": Twilio.TOKEN,
    "sender": "+15550100",
    "to": "+49301234567",
}
RECEIVERS: dict[str, tuple[Callable[[], Any], Callable[[Any], dict[str, Any]]]] = {
    "email": (MailServer, lambda _: {"to": ["ann@example.com"]}),
    "webhook": (Receiver, lambda receiver: {"url": receiver.url}),
    "telegram": (BotApi, lambda api: {"bot_token": api.TOKEN, "chat_id": api.CHAT}),
    "slack": (Slack, lambda slack: {"url": slack.address}),
    "discord": (Discord, lambda discord: {"url": discord.address}),
    "teams": (Teams, lambda teams: {"url": teams.address}),
    "mattermost": (Mattermost, lambda mattermost: {"url": mattermost.address}),
    "google_chat": (GoogleChat, lambda chat: {"url": chat.address}),
    "ntfy": (Ntfy, lambda ntfy: {"server": ntfy.url, "topic": ntfy.TOPIC}),
    "gotify": (Gotify, lambda gotify: {"server": gotify.url, "token": gotify.TOKEN}),
    "pushover": (
        Pushover,
        lambda pushover: {"server": pushover.url, "token": pushover.TOKEN, "user": pushover.USER},
    ),
    "matrix": (
        Matrix,
        lambda matrix: {"server": matrix.url, "room": matrix.ROOM, "access_token": matrix.TOKEN},
    ),
    "pagerduty": (PagerDuty, lambda duty: {"server": duty.url, "routing_key": duty.KEY}),
    "opsgenie": (Opsgenie, lambda genie: {"server": genie.url, "api_key": genie.KEY}),
    "twilio_sms": (Twilio, lambda twilio: {"server": twilio.url, **_TWILIO}),
    "twilio_voice": (Twilio, lambda twilio: {"server": twilio.url, **_TWILIO}),
}


def test_each_channel_of_ours_is_here() -> None:
    assert RECEIVERS.keys() | {"apprise"} == CHANNELS.keys()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("name", RECEIVERS)
def test_a_slow_answer_is_an_answer(
    message: Message, settings: Settings, stack: ExitStack, name: str
) -> None:
    make, config = RECEIVERS[name]
    server = stack.enter_context(make())
    server.pause_s = PAUSE_S
    if isinstance(server, MailServer):
        for setting, value in server.settings.items():
            setattr(settings, setting, value)
    else:
        settings.TELEGRAM_API_URL = server.url

    channel = CHANNELS[name]
    channel.send(message, channel.config.model_validate(config(server)), DOOR)

    taken = server.mails if isinstance(server, MailServer) else server.requests
    assert len(taken) == 1
