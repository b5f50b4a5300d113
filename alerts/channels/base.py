"""What every channel is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from alerts.door import Door
from alerts.messages import Message


class ChannelConfig(BaseModel):
    """The settings of one channel. Secret ones are `SecretStr`; each has a title for the form."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


Config = TypeVar("Config", bound=ChannelConfig)


@dataclass(frozen=True, slots=True)
class ChannelType(Generic[Config]):
    """One way to reach somebody.

    `send` returns when the message was taken and raises `alerts.errors.DeliveryError` when it was
    not. It runs in a thread of its own, without a database connection, and does HTTP through the
    door only.
    """

    name: str
    label: str
    config: type[Config]
    send: Callable[[Message, Config, Door], None]
