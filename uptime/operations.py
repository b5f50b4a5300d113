"""What people do that others have to hear of: decided in `incidents`, told by `alerts`."""

from django.db import transaction

from accounts.models import User
from alerts.outbox import queue_deliveries
from incidents.actions import close_by_hand
from incidents.models import Incident


@transaction.atomic
def resolve_incident(*, incident: Incident, by: User) -> Incident:
    """Resolve an incident on a person's word and tell those who were told of it.

    The monitor is checked at once; if it still fails, a new incident opens. Raises Conflict when
    the incident is resolved already.
    """
    transition = close_by_hand(incident=incident, by=by)
    queue_deliveries([transition])
    return transition.incident
