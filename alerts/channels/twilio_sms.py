"""SMS through Twilio.

https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource (the request;
`Body` has 1,600 characters at most, of which 320 are advised).

A long code sends one a second
(https://help.twilio.com/articles/115002943027).
"""

from pydantic import Field

from alerts.channels._twilio import TwilioConfig, post_form, probe_account
from alerts.channels.base import ChannelType
from alerts.door import Door
from alerts.messages import Message
from alerts.pacing import Rate
from alerts.wording import cut

PROSE_LIMIT = 1600
TEXT_LIMIT = 320


class TwilioSmsConfig(TwilioConfig):
    sender: str = Field(
        title="From",
        description="A number (+1 555 0100), a name where it is allowed, or MG… of a service.",
        pattern=r"^(\+[\d ().-]{6,20}|MG[0-9a-fA-F]{32}|[A-Za-z0-9 +&_-]{1,11})$",
    )


def text_of(message: Message) -> str:
    """Every 70 or 160 characters are paid for: the subject, and the address if there is room."""
    if message.prose:
        return cut(message.prose, PROSE_LIMIT)
    room = TEXT_LIMIT - len(message.link) - 1
    subject = cut(message.subject, room if room >= TEXT_LIMIT // 2 else TEXT_LIMIT)
    return f"{subject}\n{message.link}"


def send(message: Message, config: TwilioSmsConfig, door: Door) -> None:
    is_service = config.sender.startswith("MG") and len(config.sender) == 34
    sender = "MessagingServiceSid" if is_service else "From"
    values = {"To": config.to, sender: config.sender, "Body": text_of(message)}
    post_form(door, config, "Messages", values)


def probe(config: TwilioSmsConfig, door: Door) -> bool:
    return probe_account(door, config, "Messages")


def preview(message: Message, config: TwilioSmsConfig) -> str:
    return text_of(message)


CHANNEL = ChannelType(
    name="twilio_sms",
    label="SMS (Twilio)",
    config=TwilioSmsConfig,
    send=send,
    preview=preview,
    rate=Rate(60, 5),
    probe=probe,
    proves="The credentials are valid and the account is active; the number is not tried.",
)
