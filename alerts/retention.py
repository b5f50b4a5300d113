"""Old deliveries go, as old results do; what they told of stays in the incident's timeline."""

from datetime import datetime, timedelta

from django.conf import settings

from alerts.models import Delivery
from monitors.chores import day_of
from monitors.models import Chore
from uptime.ids import lowest_uuid7

AT_ONCE = 1000


def forget_deliveries(chore: Chore, now: datetime) -> bool:
    """The chore `DELIVERIES`, once a day: delete what was settled longer ago than results are kept.

    What is not settled yet stays, and so does all of an incident that is not over: who was told of
    its beginning is to be told of its end.
    """
    limit = day_of(now) - timedelta(days=settings.RETENTION_DAYS)
    if chore.done_until is not None and chore.done_until >= limit:
        return False
    # Ids sort by the time of creation, so that the primary key finds the oldest.
    old = Delivery.objects.filter(pk__lt=lowest_uuid7(limit), next_attempt_at=None)
    settled = old.exclude(incident__isnull=False, incident__resolved_at=None)
    ids = list(settled.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    Delivery.objects.filter(pk__in=ids).delete()
    if len(ids) < AT_ONCE:
        chore.done_until = limit
    return True
