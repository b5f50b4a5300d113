"""Which locations are blind: what their engines say of themselves, as the database has it.

An engine judges by what it sees itself (`probe.sight`). A location is blind while all its engines
are; its state outlives them, so that a new one begins as the last one ended.
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
class SightChange:
    """A location went blind at `blind_since`, and saw again at `sighted_at` if that is not None."""

    location: Location
    blind_since: datetime
    sighted_at: datetime | None = None


def note_sight(*, shift_id: UUID, is_blind: bool) -> SightChange | None:
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
    return SightChange(location, since, None if is_location_blind else now)


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
