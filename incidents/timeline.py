"""An incident's story, entry by entry: what was seen, decided, said and told, by whom and when."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.models import User
from incidents.models import EventKind, Incident, IncidentEvent

BEGAN, NOTIFIED, ESCALATED = "began", "notified", "escalated"


@dataclass(frozen=True, slots=True)
class Entry:
    """`kind` is an event's, or `began` (the first failing check), `notified`, `escalated`.

    The last two have the `channel` that was told, of what (`event`), and what became of that
    (`delivery`, `outcome`); at is then when it was sent, or queued while it is not.
    """

    kind: str
    at: datetime
    id: UUID | None = None
    author: User | None = None
    assignee: User | None = None
    severity: str = ""
    message: str = ""
    locations: tuple[str, ...] = ()
    is_public: bool = False
    channel: str = ""
    channel_type: str = ""
    event: str = ""
    delivery: UUID | None = None
    outcome: str = ""


def timeline_of(incident: Incident) -> list[Entry]:
    """The whole of it, oldest first, in two queries."""
    events = incident.events.select_related("author", "assignee")
    entries = [
        Entry(BEGAN, incident.started_at),
        *(_of_event(event) for event in events),
        *_told(incident),
    ]
    return sorted(entries, key=lambda entry: (entry.at, _RANK.get(entry.kind, 1)))


# Of what happened at one instant, in the order of cause and effect.
_RANK = {BEGAN: 0, EventKind.RESOLVED.value: 2, NOTIFIED: 3, ESCALATED: 3}


def _of_event(event: IncidentEvent) -> Entry:
    return Entry(
        event.kind,
        event.at,
        id=event.pk,
        author=event.author,
        assignee=event.assignee,
        severity=event.severity,
        message=event.message,
        locations=tuple(event.locations),
        is_public=event.is_public,
    )


def _told(incident: Incident) -> Iterable[Entry]:
    # by its reverse name: this package does not know of the next one
    sent = incident.deliveries.select_related("channel").defer("facts", "settled")
    for delivery in sent:
        if (channel := delivery.channel) is None:
            continue
        yield Entry(
            ESCALATED if delivery.step > 0 or delivery.repeat else NOTIFIED,
            delivery.sent_at or delivery.created_at,
            message=delivery.last_error if delivery.status != "sent" else "",
            channel=channel.name,
            channel_type=channel.type,
            event=delivery.event,
            delivery=delivery.pk,
            outcome=delivery.status,
        )
