"""What others have to hear of: decided in `incidents`, told by `alerts`, shown by `statuspages`."""

from collections.abc import Sequence

import structlog
from django.db import InterfaceError, OperationalError, transaction

from accounts.models import User
from alerts.outbox import queue_deliveries
from incidents.actions import add_update, close_by_hand
from incidents.maintenance.upkeep import confirm_outages, keep_maintenance
from incidents.models import Incident, IncidentEvent
from incidents.reviews import calm_down, review_held
from incidents.transitions import Transition
from statuspages.actions import mark_pages_of
from uptime.clock import database_now

log = structlog.get_logger(__name__)


def tell(transitions: Sequence[Transition]) -> None:
    """Queue what is to be told of these, in the transaction that made them."""
    if not transitions:
        return
    queue_deliveries([one for one in transitions if not one.is_held])
    for one in transitions:
        log.info(
            "monitor.status.changed",
            monitor=str(one.incident.monitor_id),
            incident=str(one.incident.id),
            kind=one.kind,
            reason=one.incident.reason,
            is_held=one.is_held,
        )


@transaction.atomic
def resolve_incident(*, incident: Incident, by: User | None) -> Incident:
    """Resolve an incident on a person's word and tell those who were told of it.

    The monitor is checked at once; if it still fails, a new incident opens. Raises Conflict when
    the incident is resolved already.
    """
    transition = close_by_hand(incident=incident, by=by)
    tell([transition])
    return transition.incident


@transaction.atomic
def comment_incident(
    *, incident: Incident, by: User | None, message: str, public: bool = False
) -> IncidentEvent:
    """Write a comment into the timeline; a public one is on the status pages of its monitor.

    Raises Invalid when there is nothing in it.
    """
    event = add_update(incident=incident, by=by, message=message, public=public)
    if public:
        mark_pages_of(incident.monitor)
    return event


def review_incidents() -> None:
    """Bring about what time alone decides: maintenance, flapping that is over, trouble held.

    For whoever looks once a second. Any number of processes may do so at once.
    """
    try:
        for review in (keep_maintenance, confirm_outages, calm_down, review_held):
            with transaction.atomic():
                tell(review(database_now()))
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # the loop's edge: deliveries go on
        log.exception("incidents.review.failed")
