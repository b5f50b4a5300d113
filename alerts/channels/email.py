"""E-mail, through the SMTP server of `EMAIL_URL`.

Each address gets a message of its own (nobody sees the others), all over one connection. A 5xx
answer to an address or to the message itself stays so; a 4xx, and whatever the operator can mend
(the login, the sender's address, the server), is tried again, but not for those addresses that took
the message or refused it for good. A repetition has the same Message-ID, by which mail systems
recognise it.

NOOP (RFC 5321, 4.1.1.9) after the login tells that the server is there; whether an address exists
only a message can tell.
"""

import smtplib
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend
from django.core.validators import validate_email
from pydantic import AfterValidator, Field

from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Door
from alerts.errors import DeliveryError
from alerts.exchanges import Exchange
from alerts.messages import Message


def _clean_address(address: str) -> str:
    address = address.strip()
    try:
        validate_email(address)
    except ValidationError as error:
        raise ValueError(f"“{address}” is not an e-mail address.") from error
    return address


class EmailConfig(WordedConfig):
    to: list[Annotated[str, AfterValidator(_clean_address)]] = Field(
        title="Addresses",
        description="Who gets the message.",
        min_length=1,
        max_length=20,
    )


def send(message: Message, config: EmailConfig, door: Door) -> None:
    """Send to every address that is not settled, then raise for those that refused it, ever."""
    settled = {one: message.settled[one] for one in config.to if one in message.settled}
    put_off: list[str] = []
    try:
        with get_connection() as connection:
            for address in dict.fromkeys(config.to):
                if address in settled:
                    continue
                mail = _mail(message, address, connection)
                refusal = _refusal_of(mail)
                door.exchanges.append(_exchange(mail, refusal))
                if refusal and not refusal.is_permanent:
                    put_off.append(refusal.text)
                else:
                    settled[address] = refusal.text if refusal else ""
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryError(
            f"the mail server failed: {_sentence(error)}", settled=settled
        ) from error
    refusals = [*filter(None, settled.values()), *put_off]
    if refusals:
        raise DeliveryError(
            "refused: " + "; ".join(refusals), is_permanent=not put_off, settled=settled
        )


def probe(config: EmailConfig, door: Door) -> bool:
    """Whatever is wrong is the operator's to mend: no address and no channel is to blame."""
    try:
        with get_connection(timeout=door.deadline.total_seconds()) as connection:
            if not isinstance(connection, EmailBackend) or connection.connection is None:
                return False
            code, text = connection.connection.noop()
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryError(f"the mail server failed: {_sentence(error)}") from error
    if code != 250:
        raise DeliveryError(f"the mail server failed: {code} {_decoded(text)}")
    return True


def _exchange(mail: EmailMultiAlternatives, refusal: "_Refusal | None") -> Exchange:
    [address] = mail.to
    sent = f"Subject: {mail.subject}\n\n{mail.body}"
    if refusal is None:
        return Exchange("SMTP", address, {}, sent, 250, "taken")
    return Exchange("SMTP", address, {}, sent, refusal.code, refusal.text)


@dataclass(frozen=True, slots=True)
class _Refusal:
    code: int
    text: str
    is_permanent: bool


def _refusal_of(mail: EmailMultiAlternatives) -> _Refusal | None:
    [address] = mail.to
    try:
        mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        [answer] = error.recipients.values()
        return _refusal(address, *answer)
    except smtplib.SMTPDataError as error:
        return _refusal(address, error.smtp_code, error.smtp_error)
    return None


def _refusal(address: str, code: int, text: bytes | str) -> _Refusal:
    return _Refusal(code, f"{address}: {code} {_decoded(text)}", is_permanent=code >= 500)


def _mail(message: Message, address: str, connection: BaseEmailBackend) -> EmailMultiAlternatives:
    mail = EmailMultiAlternatives(
        subject=message.subject,
        body=message.text,
        to=[address],
        connection=connection,
        headers=_headers(message),
    )
    mail.attach_alternative(message.html, "text/html")
    return mail


def _headers(message: Message) -> dict[str, str]:
    host = urlsplit(settings.BASE_URL).hostname
    headers = {
        "Message-ID": f"<{message.event_id}@{host}>",
        "List-Id": f"Uptime alerts <alerts.{host}>",
        # RFC 3834: no vacation notice answers a machine
        "Auto-Submitted": "auto-generated",
    }
    if message.facts.incident:
        # all messages of an incident lie in one thread
        headers["References"] = f"<{message.facts.incident.id}@{host}>"
    return headers


def _sentence(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_decoded(error.smtp_error)}"
    return getattr(error, "strerror", None) or str(error) or "the connection broke"


def _decoded(text: bytes | str) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text


CHANNEL = ChannelType(
    name="email",
    label="E-mail",
    config=EmailConfig,
    send=send,
    probe=probe,
    proves="The mail server takes the login; the addresses are not tried.",
)
