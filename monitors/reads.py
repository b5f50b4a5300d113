"""Read models: what lists and pages show, in a fixed number of queries."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from monitors.history import Wanted, read_results
from monitors.models import Assignment, Monitor, Result


@dataclass(frozen=True, slots=True)
class MonitorRow:
    """A monitor with what its assignments last saw. `latency_ms` is the latest check's."""

    monitor: Monitor
    last_checked_at: datetime | None = None
    last_seen_at: datetime | None = None
    next_due_at: datetime | None = None
    latency_ms: float | None = None
    cert_expires_at: datetime | None = None
    locations: tuple[str, ...] = field(default=())


def monitor_rows(monitors: Sequence[Monitor]) -> list[MonitorRow]:
    """The rows of these monitors, in their order: one query, whatever their number."""
    found: dict[UUID, list[Assignment]] = {monitor.id: [] for monitor in monitors}
    assignments = (
        Assignment.objects.filter(monitor_id__in=found, is_active=True)
        .select_related("location")
        .order_by("location__slug")
    )
    for assignment in assignments:
        found[assignment.monitor_id].append(assignment)
    return [_row(monitor, found[monitor.id]) for monitor in monitors]


def _row(monitor: Monitor, assignments: Sequence[Assignment]) -> MonitorRow:
    checked = [one for one in assignments if one.last_checked_at]
    latest = max(checked, key=attrgetter("last_checked_at"), default=None)
    return MonitorRow(
        monitor=monitor,
        last_checked_at=latest.last_checked_at if latest else None,
        last_seen_at=max(
            (one.last_seen_at for one in assignments if one.last_seen_at), default=None
        ),
        next_due_at=min((one.next_due_at for one in assignments if one.next_due_at), default=None),
        latency_ms=latest.last_latency_ms if latest else None,
        cert_expires_at=min(
            (one.cert_expires_at for one in assignments if one.cert_expires_at), default=None
        ),
        locations=tuple(one.location.slug for one in assignments),
    )


def recent_results(monitor: Monitor, limit: int) -> list[Result]:
    """The monitor's last results at every location that it ever had, newest first."""
    ids = list(Assignment.objects.filter(monitor=monitor).values_list("id", flat=True))
    return read_results(Wanted(ids), limit)
