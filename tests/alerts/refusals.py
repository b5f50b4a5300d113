"""What every channel has to survive, and how it is to take it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from alerts.door import Door
from alerts.errors import DeadChannelError, DeliveryError
from alerts.messages import SUBJECT_LIMIT, Facts, Message, compose_message
from alerts.templating import TEXT_LIMIT
from tests.alerts.scenes import NOON
from tests.servers.webhook import DRIP, HANG, RESET, Misbehaviour, Reply

DOOR = Door(reaches_private=True)
IMPATIENT = Door(reaches_private=True, deadline=timedelta(seconds=0.4))
"""For answers that do not come."""

what_may_pass = pytest.mark.parametrize(
    "answer",
    [
        Reply(500),
        Reply(502, body=b"<html>Bad Gateway</html>"),
        Reply(503, body=b"{}"),
        Reply(408),
        Reply(403, body=b"<html>Forbidden</html>"),
        Reply(404, body=b"<html>Not Found</html>"),
        HANG,
        RESET,
        DRIP,
    ],
    ids=["fault", "gateway", "away", "timeout", "closed page", "no page", "hang", "reset", "drip"],
)
"""Answers after which any channel is to try again."""

Answer = Reply | Misbehaviour


def refused(attempt: Callable[[], object]) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        attempt()
    return raised.value


def is_tried_again(error: DeliveryError) -> bool:
    return not error.is_permanent


def is_for_this_message(error: DeliveryError) -> bool:
    return error.is_permanent and not isinstance(error, DeadChannelError)


def is_for_the_channel(error: DeliveryError) -> bool:
    return isinstance(error, DeadChannelError)


def longest(facts: Facts, **changes: Any) -> Message:
    """A message in which everything is as long as it can be."""
    assert facts.monitor is not None
    endless = "&<*_" * 1500
    monitor = facts.monitor.model_copy(update={"name": endless, "target": endless})
    values = {"monitor": monitor, "message": endless, "locations": [endless], **changes}
    return compose_message(uuid4(), facts.model_copy(update=values))


def wordiest(facts: Facts) -> Message:
    """The longest that a team's own words can be."""
    return longest(facts).with_words(prose="ä" * TEXT_LIMIT, subject="ö" * SUBJECT_LIMIT)


def about(facts: Facts, event: str) -> Message:
    """The same incident's message of another event."""
    return compose_message(uuid4(), facts.model_copy(update={"event": event}))


def of_a_test() -> Message:
    return compose_message(uuid4(), Facts(event="test", occurred_at=NOON, message="A test."))
