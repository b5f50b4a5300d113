"""What a channel would say, before anything is saved or sent."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from alerts.channels.base import ChannelType
from alerts.messages import compose_message, facts_of_incident, sample_message
from alerts.models import Channel
from alerts.templating import reworded
from incidents.models import Incident
from uptime.secrets import keep_secrets
from uptime.validation import validate

_EVENT_ID = UUID(int=0)


def preview_message(
    *,
    type_: ChannelType[Any],
    config: Mapping[str, Any],
    now: datetime,
    channel: Channel | None = None,
    incident: Incident | None = None,
) -> str:
    """The words of a message about `incident` as it is now, or about an invented one.

    `config` may hold masked secrets where it is that of a stored `channel`. Raises Invalid when it
    is wrong.
    """
    kept = keep_secrets(dict(config), channel.secrets) if channel else config
    settings = validate(type_.config, kept, under="config")
    message = (
        compose_message(_EVENT_ID, facts_of_incident(incident, now))
        if incident
        else sample_message()
    )
    return type_.preview(reworded(message, settings), settings)
