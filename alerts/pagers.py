"""What a message asks of a service that keeps incidents of its own and pages people by itself."""

from enum import StrEnum

from alerts.messages import TEST, Message
from alerts.models import Event
from incidents.models import EventKind


class PagerAction(StrEnum):
    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


def pager_actions(message: Message) -> list[PagerAction]:
    """In order. A test pages and is over at once, so that nothing stays open that is not."""
    match message.facts.event:
        case Event.RECOVERED | "closed" | "location_sighted" | "agent_online":
            return [PagerAction.RESOLVE]
        case EventKind.ACKNOWLEDGED:
            return [PagerAction.ACKNOWLEDGE]
        case test if test == TEST:
            return [PagerAction.TRIGGER, PagerAction.RESOLVE]
        case _:
            return [PagerAction.TRIGGER]
