"""Other services, through Apprise's own process, against a receiver of its `json://`."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from alerts.channels import apprise
from alerts.channels.apprise import AppriseConfig, send
from alerts.door import Door
from alerts.messages import Message
from tests.alerts.refusals import (
    Answer,
    is_for_the_channel,
    is_for_this_message,
    is_tried_again,
    refused,
)
from tests.servers.webhook import DRIP, HANG, RESET, Receiver, Reply

DOOR = Door(reaches_private=True)
SECRET = "appriseSecretOfTheTest"


def config(receiver: Receiver, scheme: str = "json") -> AppriseConfig:
    host = receiver.url.removeprefix("http://")
    return AppriseConfig.model_validate({"url": f"{scheme}://u:{SECRET}@{host}/hook?rto=0.4"})


def test_the_message_is_sent(message: Message, receiver: Receiver) -> None:
    send(message, config(receiver), DOOR)
    [request] = receiver.requests
    assert request.path == "/hook"
    told = request.json()
    assert told["title"] == "DOWN: Shop — connection refused"
    assert "Where: local" in told["message"]
    assert "Open the incident: https://uptime.example/incidents/2/\n" in told["message"]
    assert told["message"].endswith(f"Acknowledge: {message.links[1].url}")
    assert told["type"] == "failure"


@pytest.mark.parametrize(
    "answer",
    [Reply(500), Reply(429, {"Retry-After": "31"}), Reply(404), HANG, RESET],
    ids=["fault", "flood", "not found", "hang", "reset"],
)
def test_what_may_pass_is_tried_again(message: Message, receiver: Receiver, answer: Answer) -> None:
    receiver.will(answer)
    error = refused(lambda: send(message, config(receiver), DOOR))
    assert is_tried_again(error)
    assert "Apprise: " in str(error)
    assert SECRET not in str(error)


def test_one_that_takes_its_time_is_ended(
    message: Message, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apprise, "START_S", 1.5)
    receiver.will(DRIP)
    door = Door(reaches_private=True, deadline=timedelta(seconds=0.5))
    error = refused(lambda: send(message, config(receiver), door))
    assert is_tried_again(error)
    assert "did not come to an end within 2 s" in str(error)


@pytest.mark.parametrize("status", [401, 410])
def test_what_stays_so_ends_the_channel(message: Message, receiver: Receiver, status: int) -> None:
    receiver.will(Reply(status))
    assert is_for_the_channel(refused(lambda: send(message, config(receiver), DOOR)))


def test_an_address_of_no_service_ends_the_channel(message: Message, receiver: Receiver) -> None:
    nonsense = config(receiver, scheme="nonsense")
    error = refused(lambda: send(message, nonsense, DOOR))
    assert is_for_the_channel(error)
    assert "does not understand" in str(error)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_team_does_not_reach_a_closed_network(
    message: Message, receiver: Receiver, host: str
) -> None:
    address = config(receiver).url.get_secret_value().replace("127.0.0.1", host)
    error = refused(lambda: send(message, AppriseConfig.model_validate({"url": address}), Door()))
    assert is_for_this_message(error)
    assert "closed to alerts" in str(error)
    assert receiver.requests == []


def test_it_sends_no_file_of_this_machine(message: Message) -> None:
    service = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?template=/etc/passwd"
    error = refused(lambda: send(message, AppriseConfig.model_validate({"url": service}), DOOR))
    assert "a file was to be opened" in str(error)


@pytest.mark.parametrize(
    "wrong", ["", "slack", "syslog://", "syslog://x", "DBUS://x", "windows://x", "json://a\nb"]
)
def test_what_is_no_address_of_a_service_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        AppriseConfig.model_validate({"url": wrong})
