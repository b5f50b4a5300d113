"""What every channel is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from alerts.door import Door
from alerts.messages import Message
from alerts.pacing import Rate
from alerts.templating import TEMPLATE_LIMIT, TextTemplate


class ChannelConfig(BaseModel):
    """The settings of one channel. Secret ones are `SecretStr`; each has a title for the form."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class TextConfig(ChannelConfig):
    """Of a channel whose text can be worded."""

    text_template: TextTemplate = Field(
        default="",
        title="Text",
        description="In place of the product's own; a template, see docs/channels.md.",
        max_length=TEMPLATE_LIMIT,
    )


class _SubjectConfig(ChannelConfig):
    subject_template: TextTemplate = Field(
        default="",
        title="Subject",
        description="In place of the product's own; a template of one line.",
        max_length=1000,
    )


class WordedConfig(TextConfig, _SubjectConfig):
    """Of a channel whose messages have a title beside their text, and both can be worded."""


def subject_and_body(message: Message, config: object) -> str:
    return f"{message.subject}\n\n{message.body}"


Config = TypeVar("Config", bound=ChannelConfig)


@dataclass(frozen=True, slots=True)
class ChannelType(Generic[Config]):
    """One way to reach somebody.

    `send` returns when the message was taken and raises `alerts.errors.DeliveryError` when it was
    not. It runs in a thread of its own, without a database connection, and does HTTP through the
    door only. The message that it is given is in the channel's own words already. `preview` tells
    what a reader gets of it, links and dress aside. `rate` is what the vendor documents, or else
    what its servers do by default. A pager keeps incidents of its own and pages by itself
    (`alerts.pagers`): it needs each incident by itself, and is told of whatever stops the paging.

    `probe` asks, by a call that the vendor documents and that nobody gets a message of, whether the
    receiver would take one. It raises like `send`, and is false where the settings leave nothing to
    ask; a type without it can't be asked. `proves` says what an answer proves.
    """

    name: str
    label: str
    config: type[Config]
    send: Callable[[Message, Config, Door], None]
    preview: Callable[[Message, Config], str] = subject_and_body
    rate: Rate | None = None
    is_pager: bool = False
    probe: Callable[[Config, Door], bool] | None = None
    proves: str = ""
