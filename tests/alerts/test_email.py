"""The e-mail channel, against an SMTP server on loopback."""

import contextlib
import socket
import time
from collections.abc import Iterator
from threading import Thread
from uuid import uuid4

import pytest
from pydantic import ValidationError
from pytest_django import Settings

from accounts.models import Team
from alerts.actions import create_channel, retry_delivery
from alerts.channels.email import EmailConfig, send
from alerts.dispatch import Dispatcher
from alerts.door import Door
from alerts.errors import DeliveryError
from alerts.messages import Message
from alerts.models import Channel, DeliveryStatus
from tests.alerts.scenes import queue_many, send_due
from tests.servers.smtp import MailServer

DOOR = Door()
TO_ANN = EmailConfig(to=["ann@example.com"])
TO_BOTH = EmailConfig(to=["ann@example.com", "ben@example.com"])


@pytest.fixture(autouse=True)
def _base_url(settings: Settings) -> None:
    settings.BASE_URL = "https://uptime.example"


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(uuid4())
    yield dispatcher
    dispatcher.close()


def test_text_and_html_say_what_since_when_why_and_where(
    message: Message, mail_server: MailServer
) -> None:
    send(message, TO_ANN, DOOR)
    [mail] = mail_server.mails
    assert mail["Subject"] == "DOWN: Shop — connection refused"
    assert mail["To"] == "ann@example.com"
    for kind in ("plain", "html"):
        part = mail.get_body((kind,))
        assert part is not None
        content = part.get_content()
        assert "https://shop.example/" in content
        assert "2026-03-01 12:00:00 UTC" in content
        assert "connection refused: shop.example:443 refused the connection." in content
        assert "https://uptime.example/incidents/2/" in content


def test_headers_tell_machines_what_it_is(message: Message, mail_server: MailServer) -> None:
    send(message, TO_ANN, DOOR)
    [mail] = mail_server.mails
    assert message.facts.incident is not None
    assert mail["Message-ID"] == f"<{message.event_id}@uptime.example>"
    assert mail["References"] == f"<{message.facts.incident.id}@uptime.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "<alerts.uptime.example>" in mail["List-Id"]


def test_a_repetition_has_the_same_message_id(message: Message, mail_server: MailServer) -> None:
    send(message, TO_ANN, DOOR)
    send(message, TO_ANN, DOOR)
    assert len({mail["Message-ID"] for mail in mail_server.mails}) == 1


def test_everybody_gets_a_mail_of_their_own(message: Message, mail_server: MailServer) -> None:
    send(message, TO_BOTH, DOOR)
    assert [mail["To"] for mail in mail_server.mails] == ["ann@example.com", "ben@example.com"]


def test_an_address_that_does_not_exist_ends_the_delivery_after_the_others_got_it(
    message: Message, mail_server: MailServer
) -> None:
    mail_server.refusals["ann@example.com"] = "550 5.1.1 no such user"
    with pytest.raises(DeliveryError, match=r"ann@example.com: 550 .*no such user") as raised:
        send(message, TO_BOTH, DOOR)
    assert raised.value.is_permanent
    assert [mail["To"] for mail in mail_server.mails] == ["ben@example.com"]


@pytest.mark.parametrize(
    ("answer", "is_permanent"),
    [("450 4.2.0 greylisted", False), ("550 5.1.1 no such user", True)],
)
def test_an_answer_to_an_address_says_whether_to_try_again(
    message: Message, mail_server: MailServer, answer: str, is_permanent: bool
) -> None:
    mail_server.refusals["ann@example.com"] = answer
    with pytest.raises(DeliveryError, match=answer[:3]) as raised:
        send(message, TO_ANN, DOOR)
    assert raised.value.is_permanent is is_permanent


@pytest.mark.parametrize(
    ("verdict", "is_permanent"), [("451 4.3.0 later", False), ("554 5.7.1 spam", True)]
)
def test_an_answer_to_the_message_says_whether_to_try_again(
    message: Message, mail_server: MailServer, verdict: str, is_permanent: bool
) -> None:
    mail_server.verdict = verdict
    with pytest.raises(DeliveryError, match=verdict[:3]) as raised:
        send(message, TO_ANN, DOOR)
    assert raised.value.is_permanent is is_permanent


def test_a_connection_that_breaks_before_the_answer_is_tried_again(
    message: Message, mail_server: MailServer
) -> None:
    mail_server.verdict = ""
    with pytest.raises(DeliveryError, match="the mail server failed") as raised:
        send(message, TO_ANN, DOOR)
    assert not raised.value.is_permanent
    assert not raised.value.settled


def make_email(team: Team) -> Channel:
    config = {"to": ["ann@example.com", "ben@example.com", "cia@example.com"]}
    return create_channel(team=team, values={"name": "Mail", "type": "email", "config": config})


@pytest.mark.django_db(transaction=True)
def test_a_repetition_goes_only_to_those_whose_answer_was_not_final(
    team: Team, mail_server: MailServer, dispatcher: Dispatcher
) -> None:
    mail_server.refusals |= {"ann@example.com": "550 5.1.1 none", "ben@example.com": "450 4.2.0 no"}
    [delivery] = queue_many(team, make_email(team), 1)
    send_due(dispatcher)
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.FAILED
    mail_server.refusals = {"ann@example.com": "554 5.7.1 asked twice"}
    send_due(dispatcher, at=delivery.next_attempt_at)
    delivery.refresh_from_db()
    assert [mail["To"] for mail in mail_server.mails] == ["cia@example.com", "ben@example.com"]
    assert delivery.status == DeliveryStatus.DEAD
    assert delivery.last_error == "refused: ann@example.com: 550 5.1.1 none"


@pytest.mark.django_db(transaction=True)
def test_a_retry_by_hand_asks_again_who_refused_and_spares_who_has_it(
    team: Team, mail_server: MailServer, dispatcher: Dispatcher
) -> None:
    mail_server.refusals = {"ann@example.com": "550 5.1.1 none"}
    [delivery] = queue_many(team, make_email(team), 1)
    send_due(dispatcher)
    mail_server.refusals = {}
    mail_server.mails.clear()
    retry_delivery(delivery=delivery)
    send_due(dispatcher)
    delivery.refresh_from_db()
    assert [mail["To"] for mail in mail_server.mails] == ["ann@example.com"]
    assert delivery.status == DeliveryStatus.SENT


def test_who_took_it_before_the_server_went_away_is_remembered(
    message: Message, mail_server: MailServer
) -> None:
    mail_server.refusals["ben@example.com"] = "421 4.3.2 shutting down"
    with pytest.raises(DeliveryError) as raised:
        send(message, EmailConfig(to=["ann@example.com", "ben@example.com"]), DOOR)
    assert raised.value.settled == {"ann@example.com": ""}
    assert not raised.value.is_permanent


def test_a_server_that_is_away_is_tried_again(
    message: Message, mail_server: MailServer, settings: Settings
) -> None:
    settings.EMAIL_PORT = 1
    with pytest.raises(DeliveryError, match="the mail server failed: Connection refused") as raised:
        send(message, TO_ANN, DOOR)
    assert not raised.value.is_permanent


def test_a_server_that_says_nothing_is_given_up_and_tried_again(
    message: Message, mail_server: MailServer, settings: Settings
) -> None:
    settings.EMAIL_TIMEOUT = 0.2
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_PORT = silent.getsockname()[1]
        with pytest.raises(DeliveryError, match="timed out") as raised:
            send(message, TO_ANN, DOOR)
    assert not raised.value.is_permanent


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_server_that_drips_is_given_up_and_tried_again(
    is_tls: bool,
    message: Message,
    mail_server: MailServer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("uptime.smtp.LONGEST_S", 0.4)
    settings.EMAIL_USE_SSL = is_tls
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.EMAIL_PORT = listener.getsockname()[1]
        thread = Thread(target=drip, args=[listener, b"\x16\x03\x03\x40\0" if is_tls else b"2"])
        thread.start()
        with pytest.raises(DeliveryError, match="EOF" if is_tls else "longer than 0.4 s") as raised:
            send(message, TO_ANN, DOOR)
        thread.join()
    assert not raised.value.is_permanent


def drip(listener: socket.socket, beginning: bytes) -> None:
    """Say something, then a byte now and then, for as long as anybody listens."""
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        connection.send(beginning)
        while True:
            connection.send(b"2")
            time.sleep(0.05)


@pytest.mark.parametrize("to", [[], ["nobody"], ["a@example.com\nBcc: b@example.com"]])
def test_what_is_no_address_is_refused(to: list[str]) -> None:
    with pytest.raises(ValidationError):
        EmailConfig(to=to)
