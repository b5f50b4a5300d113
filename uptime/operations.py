"""What others have to hear of: decided in `incidents`, told by `alerts`, shown by `statuspages`."""

from collections.abc import Collection, Sequence
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, transaction

from accounts.models import User
from alerts.messages import FOR_PAGERS
from alerts.models import Delivery
from alerts.outbox import queue_deliveries
from alerts.recording import await_recording
from incidents.actions import (
    add_update,
    close_by_hand,
    mark_acknowledged,
    resume_monitor,
    stop_monitors,
)
from incidents.maintenance.upkeep import confirm_outages, keep_maintenance
from incidents.models import Incident, IncidentEvent
from incidents.reviews import calm_down, end_snoozes, review_doubts, review_held
from incidents.transitions import Transition
from monitors.actions import remove_monitors
from monitors.models import Monitor
from statuspages.actions import mark_pages_of
from uptime.clock import database_now

log = structlog.get_logger(__name__)


def tell(transitions: Sequence[Transition]) -> None:
    """Queue what is to be told of these, in the transaction that made them.

    What happens to a monitor that is snoozed is told when that is over (`end_snoozes`).
    """
    if not transitions:
        return
    # Asked for now: a review may have read the monitor before it was snoozed, or was no more.
    monitors = {one.incident.monitor_id for one in transitions}
    rows = Monitor.objects.filter(pk__in=monitors, snoozed_until__isnull=False)
    snoozed = set(rows.values_list("pk", flat=True))
    queue_deliveries(
        [
            one
            for one in transitions
            if not one.is_held
            and (one.incident.monitor_id not in snoozed or one.kind in FOR_PAGERS)
        ]
    )
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
def acknowledge_incident(*, incident: Incident, by: User | None) -> None:
    """Say that somebody is on it, here and at the pagers that were told of it.

    Doing so twice changes nothing. Raises Conflict when the incident is resolved.
    """
    if transition := mark_acknowledged(incident=incident, by=by):
        tell([transition])


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


def set_enabled(*, monitor: Monitor, is_enabled: bool, by: User | None = None) -> Monitor:
    """Pause or resume, as asked for; no error where that is so already."""
    return resume_monitor(monitor=monitor) if is_enabled else pause_monitor(monitor=monitor, by=by)


def pause_monitor(*, monitor: Monitor, by: User | None = None) -> Monitor:
    """Stop checking at once; pausing twice is no error. See `pause_monitors`."""
    pause_monitors(monitor_ids=[monitor.pk], by=by)
    return Monitor.objects.get(pk=monitor.pk)


@transaction.atomic
def pause_monitors(*, monitor_ids: Collection[UUID], by: User | None = None) -> int:
    """Pause several, as one; returns how many were not paused yet.

    Open incidents are closed, here and at the pagers that were told of them. Nobody else hears.
    """
    count, closed = stop_monitors(monitor_ids=monitor_ids, by=by)
    tell(closed)
    return count


def delete_monitor(*, monitor: Monitor, by: User | None = None) -> None:
    """Delete a monitor and its history. See `delete_monitors`."""
    delete_monitors(monitor_ids=[monitor.pk], by=by)


@transaction.atomic
def delete_monitors(*, monitor_ids: Collection[UUID], by: User | None = None) -> int:
    """Delete several with their history; returns how many there were.

    What they opened at pagers is closed.
    """
    _, closed = stop_monitors(monitor_ids=monitor_ids, by=by, is_recorded=False)
    tell(closed)
    # Messages go with their incident, but for those that close it elsewhere.
    Delivery.objects.filter(incident_event__in=[one.event for one in closed]).update(
        incident=None, incident_event=None
    )
    await_recording(Delivery.objects.filter(incident__monitor__in=monitor_ids))
    return remove_monitors(monitor_ids=monitor_ids)


_REVIEWS = (
    keep_maintenance,
    confirm_outages,
    review_doubts,
    calm_down,
    end_snoozes,
    review_held,
)


def review_incidents() -> None:
    """Bring about what time alone decides: maintenance, groups, flapping, trouble that is held.

    For whoever looks once a second. Any number of processes may do so at once.
    """
    for review in _REVIEWS:
        try:
            with transaction.atomic():
                tell(review(database_now()))
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # the loop's edge: deliveries go on, and so do the other reviews
            log.exception("incidents.review.failed", review=review.__name__)
