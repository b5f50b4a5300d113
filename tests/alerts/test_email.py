"""The e-mail channel, against an SMTP server on loopback."""

import socket

import pytest
from pydantic import ValidationError
from pytest_django import Settings

from alerts.channels.email import EmailConfig, send
from alerts.door import Door
from alerts.errors import DeliveryError
from alerts.messages import Message
from tests.servers.smtp import MailServer

DOOR = Door()
TO_ANN = EmailConfig(to=["ann@example.com"])
TO_BOTH = EmailConfig(to=["ann@example.com", "ben@example.com"])


@pytest.fixture(autouse=True)
def _base_url(settings: Settings) -> None:
    settings.BASE_URL = "https://uptime.example"


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


@pytest.mark.parametrize("to", [[], ["nobody"], ["a@example.com\nBcc: b@example.com"]])
def test_what_is_no_address_is_refused(to: list[str]) -> None:
    with pytest.raises(ValidationError):
        EmailConfig(to=to)
