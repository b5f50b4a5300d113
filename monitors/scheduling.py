"""Start, stop and hasten the checks of monitors: their assignments' due instants.

All of these take the assignments' locks first, by id, as the intake does; the monitor's lock comes
after. A lease that somebody holds is taken away, so that what is under way no longer counts.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Least, Now, Random

from monitors.models import Assignment, Location, Monitor, Status
from monitors.specs import spec_of
from probe.kinds import KINDS
from probe.kinds.heartbeat import next_deadline
from uptime.clock import database_now

_UNLEASED = {"lease_owner": None, "lease_expires_at": None, "attempt": 0}
_FRESH = {
    **_UNLEASED,
    "state": Status.PENDING,
    "failures": 0,
    "passes": 0,
    "troubles": 0,
    "recent": 0,
    "unknowns": 0,
    "troubled_since": None,
}


# Where many monitors start at once their first checks are spread: so many a second.
STARTED_PER_S = 200


def lock_assignments(monitor_ids: Collection[UUID]) -> list[Assignment]:
    assignments = Assignment.objects.filter(monitor__in=monitor_ids)
    return list(assignments.select_for_update().order_by("id"))


def stop_checks(monitor_ids: Collection[UUID]) -> None:
    lock_assignments(monitor_ids)
    Assignment.objects.filter(monitor__in=monitor_ids).update(**_FRESH, next_due_at=None)


def start_checks(monitors: Collection[Monitor]) -> None:
    """Check at every active location, now, with nothing remembered of earlier streaks.

    A heartbeat that was never pinged keeps waiting; the others have until their next deadline.
    """
    of_id = {monitor.pk: monitor for monitor in monitors}
    assignments = [one for one in lock_assignments(of_id) if one.is_active]
    asking = [one.pk for one in assignments if not _is_passive(of_id[one.monitor_id])]
    spread = timedelta(seconds=(len(asking) - 1) / STARTED_PER_S)
    Assignment.objects.filter(pk__in=asking).update(
        **_FRESH, next_due_at=Now() + Random() * spread if spread else Now()
    )
    waiting = [one for one in assignments if _is_passive(of_id[one.monitor_id])]
    unheard = [one.pk for one in waiting if one.last_seen_at is None]
    Assignment.objects.filter(pk__in=unheard).update(**_FRESH, next_due_at=None)
    for assignment in waiting:
        if assignment.last_seen_at is not None:
            monitor = of_id[assignment.monitor_id]
            due_at = _first_due(monitor, assignment, since=database_now())
            Assignment.objects.filter(pk=assignment.pk).update(**_FRESH, next_due_at=due_at)


def change_pace(monitors: Collection[Monitor], interval: timedelta) -> None:
    """Check with the monitors' present settings, of which this interval is one; streaks go on.

    What would be due later than that is due within it, evenly spread.
    """
    lock_assignments([one.pk for one in monitors])
    asking = [one.pk for one in monitors if not _is_passive(one)]
    paced = Assignment.objects.filter(monitor__in=asking)
    present = Monitor.objects.filter(pk=OuterRef("monitor"))
    paced.update(revision=Subquery(present.values("revision")))
    paced.exclude(next_due_at=None).update(
        **_UNLEASED, next_due_at=Least("next_due_at", Now() + Random() * interval)
    )
    for monitor in monitors:
        if _is_passive(monitor):
            hasten_checks(monitor)


def hasten_checks(monitor: Monitor, *, forgets: bool = False) -> None:
    """Check now, with the monitor's present settings; streaks go on.

    A heartbeat's deadline is worked out anew from its last ping. Where it `forgets`, another thing
    is asked than before, and earlier answers say nothing of it.
    """
    for assignment in lock_assignments([monitor.pk]):
        changes: dict[str, object] = {"revision": monitor.revision}
        if forgets:
            changes["fingerprint"] = ""
        if assignment.is_active and assignment.next_due_at is not None:
            since = assignment.last_seen_at or database_now()
            changes |= {**_UNLEASED, "next_due_at": _first_due(monitor, assignment, since=since)}
        Assignment.objects.filter(pk=assignment.pk).update(**changes)


def place(locations_of: Mapping[Monitor, Collection[Location]]) -> None:
    """Give new monitors the assignments of their locations, and start those that are enabled."""
    Assignment.objects.bulk_create(
        Assignment(monitor=monitor, location=location, revision=monitor.revision, is_active=True)
        for monitor, locations in locations_of.items()
        for location in locations
    )
    start_checks([monitor for monitor in locations_of if monitor.enabled])


@transaction.atomic
def set_locations(monitor: Monitor, location_ids: Collection[int]) -> None:
    """Make the monitor's active assignments those of `location_ids`; new ones are due now."""
    existing = {one.location_id: one for one in lock_assignments([monitor.pk])}
    for location_id, assignment in existing.items():
        if assignment.is_active and location_id not in location_ids:
            Assignment.objects.filter(pk=assignment.pk).update(
                **_FRESH, is_active=False, next_due_at=None
            )
    for location_id in location_ids:
        found = existing.get(location_id) or Assignment(
            monitor=monitor, location_id=location_id, is_active=False
        )
        if not found.is_active:
            found.is_active = True
            found.revision = monitor.revision
            found.next_due_at = (
                _first_due(monitor, found, since=database_now()) if monitor.enabled else None
            )
            found.save()


def _first_due(
    monitor: Monitor, assignment: Assignment, *, since: datetime
) -> datetime | Now | None:
    """Now for a kind that asks; the deadline after `since` for one that waits to be pinged."""
    if not _is_passive(monitor):
        return Now()
    if assignment.last_seen_at is None:
        return None
    spec = spec_of(monitor)
    return next_deadline(spec.settings, spec.interval, since)


def _is_passive(monitor: Monitor) -> bool:
    return KINDS[monitor.kind].is_passive
