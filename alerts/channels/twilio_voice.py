"""A phone call through Twilio, which reads the message aloud.

https://www.twilio.com/docs/voice/api/call-resource#create-a-call-resource (the request; `Twiml` has
4,000 characters at most), https://www.twilio.com/docs/voice/twiml/say (the language, the loop).

An account begins one call a second
(https://help.twilio.com/articles/223180028).
"""

from html import escape

from pydantic import Field

from alerts.channels._twilio import Number, TwilioConfig, post_form, probe_account
from alerts.channels.base import ChannelType
from alerts.door import Door
from alerts.messages import Message
from alerts.pacing import Rate
from alerts.wording import cut

SAID_LIMIT = 600  # of which none may become more than six characters in XML


class TwilioVoiceConfig(TwilioConfig):
    sender: Number = Field(title="From", description="One of your numbers at Twilio: +1 555 0100.")
    language: str = Field(
        default="en-US",
        title="Language",
        description="In which it is read: en-US, de-DE, …",
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,4})?$",
    )
    repeats: int = Field(default=2, title="Times", description="It is read.", ge=1, le=5)


def twiml(message: Message, config: TwilioVoiceConfig) -> str:
    return (
        f'<Response><Say language="{config.language}" loop="{config.repeats}">'
        f"{escape(said(message, config))}</Say></Response>"
    )


def said(message: Message, config: TwilioVoiceConfig) -> str:
    return cut(_speakable(message.prose or message.subject), SAID_LIMIT)


def _speakable(text: str) -> str:
    """Without what XML can't hold."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def send(message: Message, config: TwilioVoiceConfig, door: Door) -> None:
    values = {"To": config.to, "From": config.sender, "Twiml": twiml(message, config)}
    post_form(door, config, "Calls", values)


def probe(config: TwilioVoiceConfig, door: Door) -> bool:
    return probe_account(door, config, "Calls")


CHANNEL = ChannelType(
    name="twilio_voice",
    label="Phone call (Twilio)",
    config=TwilioVoiceConfig,
    send=send,
    preview=said,
    rate=Rate(60, 1),
    probe=probe,
    proves="The credentials are valid and the account is active; the number is not tried.",
)
