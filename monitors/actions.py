"""What people and programs do to monitors. Values are API.md's; see `monitors.drafts`.

Each takes effect in one transaction, or raises `uptime.errors.Invalid` or `Conflict` and changes
nothing. Pausing and resuming end and begin incidents, so they live in `incidents.actions`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, transaction

from accounts.models import Team
from monitors.drafts import accept, default_interval_s, values_of
from monitors.models import Location, Monitor, Status, StatusSpan
from monitors.scheduling import hasten_checks, set_locations
from probe.kinds import KINDS
from uptime import secrets
from uptime.clock import database_now
from uptime.errors import Conflict, Invalid

# A change of one of these makes the present settings' results stale: the next check comes at once.
_CHECKED_BY = {
    "target",
    "interval_s",
    "timeout_ms",
    "failure_threshold",
    "failure_window",
    "recovery_threshold",
    "retry_interval_s",
    "settings",
    "secrets",
}


def create_monitor(*, team: Team, values: Mapping[str, Any]) -> Monitor:
    """Create a monitor; its first check is due at once. Raises Invalid."""
    with _unique_key(), transaction.atomic():
        accepted = accept(values, team=team)
        columns = accepted.columns
        now = database_now()
        status = Status.PENDING if columns["enabled"] else Status.PAUSED
        monitor = Monitor.objects.create(
            team=team, status=status, created_at=now, last_change_at=now, **columns
        )
        StatusSpan.objects.create(monitor=monitor, status=status, started_at=now)
        set_locations(monitor, _ids(accepted.locations))
        if accepted.depends_on:
            monitor.depends_on.set(accepted.depends_on)
    return monitor


def update_monitor(
    *, monitor: Monitor, values: Mapping[str, Any], is_whole: bool = False
) -> Monitor:
    """Change the given values; with `is_whole`, all others go back to their defaults.

    `updated_at` tells of changes only: values that are what they were leave it. `enabled` is not
    changed here: see `incidents.actions`. Raises Invalid.
    """
    with _unique_key(), transaction.atomic():
        # The assignments' locks come first, as everywhere.
        list(monitor.assignments.select_for_update().order_by("id"))
        locked = Monitor.objects.select_for_update().get(pk=monitor.pk)
        before = values_of(locked)
        base: dict[str, Any] = {"kind": locked.kind} if is_whole else dict(before)
        interval = values.get("interval", locked.interval_s)
        if interval is None:
            interval = default_interval_s(locked.kind)
        if isinstance(interval, int) and "retry_interval" in base:
            base["retry_interval"] = min(base["retry_interval"], max(interval, 1))
        accepted = accept({**base, **values}, team=locked.team, existing=locked)
        columns = accepted.columns
        del columns["enabled"]
        changed = {name for name, value in columns.items() if _differs(locked, name, value)}
        for name in changed:
            setattr(locked, name, columns[name])
        is_checked_anew = bool(changed & _CHECKED_BY)
        if is_checked_anew:
            locked.revision += 1
        is_moved = {one.slug for one in accepted.locations} != set(before["locations"])
        is_tied = {str(one.pk) for one in accepted.depends_on} != set(before["depends_on"])
        if changed or is_moved or is_tied:
            locked.save()
        set_locations(locked, _ids(accepted.locations))
        if is_tied:
            locked.depends_on.set(accepted.depends_on)
        if is_checked_anew:
            hasten_checks(locked)
    return locked


def delete_monitor(*, monitor: Monitor) -> None:
    """Delete a monitor and its history. Results in past partitions go with their retention."""
    with transaction.atomic():
        list(monitor.assignments.select_for_update().order_by("id"))
        monitor.delete()


def check_now(*, monitor: Monitor) -> None:
    """Have the next check made at once. Raises Conflict where there is nothing to check."""
    if KINDS[monitor.kind].is_passive:
        raise Conflict("A heartbeat is not checked: it waits for its ping URL to be called.")
    with transaction.atomic():
        list(monitor.assignments.select_for_update().order_by("id"))
        locked = Monitor.objects.select_for_update().get(pk=monitor.pk)
        if not locked.enabled:
            raise Conflict("The monitor is paused: resume it first.")
        hasten_checks(locked)


def _differs(monitor: Monitor, name: str, value: Any) -> bool:
    if name == "secrets":  # encryption is salted: the same secrets never look the same
        return secrets.decrypt(monitor.secrets) != secrets.decrypt(value)
    return bool(getattr(monitor, name) != value)


def _ids(locations: list[Location]) -> list[int]:
    return [location.id for location in locations]


@contextmanager
def _unique_key() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if "one_monitor_key" not in str(error):
            raise
        raise Invalid({"key": ["Another monitor of the team has this key."]}) from None
