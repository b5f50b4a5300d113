"""Which locations see nothing: they are blind, or offline.

An engine judges by what it sees itself (`probe.sight`). A location is blind while all its engines
are; its state outlives them, so that a new one begins as the last one ended. It is offline while
nobody checks there: `uptime.sight` looks for that.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from monitors.models import Assignment, Location, Shift, Status
from monitors.specs import SpecCache
from probe.values import Job
from uptime.clock import database_now

# Enough for some that can be asked among them: see `probe.sight`.
SAMPLE = 200


@dataclass(frozen=True, slots=True)
class LocationChange:
    """A location sees nothing `since` then, or (with `until`) sees again."""

    location: Location
    since: datetime
    until: datetime | None = None


def note_sight(*, shift_id: UUID, is_blind: bool) -> LocationChange | None:
    """Write down what an engine of the built-in location says of its sight.

    Runs in the caller's transaction. Returns what that changes for the location, if anything.
    """
    location = Location.objects.select_for_update(no_key=True).get(slug=Location.LOCAL)
    now = database_now()
    Shift.objects.filter(pk=shift_id).update(blind_since=now if is_blind else None)
    engines = Shift.objects.filter(duty="checks").values_list("blind_since", flat=True)
    is_location_blind = all(engines) if engines else is_blind
    if is_location_blind == (location.blind_since is not None):
        return None
    since = location.blind_since or now
    location.blind_since = now if is_location_blind else None
    location.save(update_fields=["blind_since"])
    return LocationChange(location, since, None if is_location_blind else now)


def note_presence(
    *, slug: str, offline_since: datetime | None, now: datetime
) -> LocationChange | None:
    """Write down that nobody checks at a location, or (with None) that somebody does.

    Runs in the caller's transaction. Returns what that changes, if anything.
    """
    location = Location.objects.select_for_update(no_key=True).get(slug=slug)
    since = location.offline_since or offline_since
    if since is None or (location.offline_since is None) == (offline_since is None):
        return None
    location.offline_since = offline_since
    location.save(update_fields=["offline_since"])
    return LocationChange(location, since, None if offline_since else now)


def hosts_up(location_id: int) -> list[Job]:
    """Checks of a location whose targets were up when last seen: whom a new engine can ask."""
    rows = list(
        Assignment.objects.filter(
            location=location_id,
            is_active=True,
            next_due_at__isnull=False,
            state__in=(Status.UP, Status.UNKNOWN),  # unknown: up before it went blind
            troubled_since=None,
        )
        .order_by("next_due_at")
        .values_list("id", "monitor_id", "revision", "next_due_at")[:SAMPLE]
    )
    specs = SpecCache().get((monitor_id, revision) for _, monitor_id, revision, _ in rows)
    return [
        Job(id_, specs[monitor_id], due)
        for id_, monitor_id, _, due in rows
        if monitor_id in specs and due is not None
    ]
