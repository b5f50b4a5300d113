"""Read models: what lists and pages show, in a fixed number of queries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from django.db.models import Model, Q

from monitors.charts import BAND_CELLS, Stretch
from monitors.history import Wanted, read_results
from monitors.models import Assignment, Monitor, Result, Status, StatusSpan
from uptime.database import hot_cursor


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


def parents_of(monitors: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """What each of these depends on, in one query."""
    return _tied(Monitor.depends_on.through, monitors)


def named_members_of(monitors: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """The members that each of these names, in one query."""
    return _tied(Monitor.members.through, monitors)


def _tied(through: type[Model], monitors: Collection[UUID]) -> dict[UUID, list[UUID]]:
    found: dict[UUID, list[UUID]] = {monitor: [] for monitor in monitors}
    links = through._default_manager.filter(from_monitor__in=found).order_by("to_monitor")
    for one, other in links.values_list("from_monitor", "to_monitor"):
        found[one].append(other)
    return found


def recent_results(monitor: Monitor, limit: int) -> list[Result]:
    """The monitor's last results at every location that it ever had, newest first."""
    ids = list(Assignment.objects.filter(monitor=monitor).values_list("id", flat=True))
    return read_results(Wanted(ids), limit)


def first_results_since(assignments: Sequence[Assignment], since: datetime) -> dict[int, Result]:
    """The first result of each from then on, by assignment; those that have none yet are missing.

    Of a location that is far behind, what comes after a hundred of the others' is not looked at.
    """
    wanted = Wanted([one.pk for one in assignments], since=since, is_ascending=True)
    found: dict[int, Result] = {}
    for result in read_results(wanted, max(100, len(assignments))):
        found.setdefault(result.assignment_id, result)
    return found


def under_maintenance(monitor: Monitor, moments: Collection[datetime]) -> set[datetime]:
    """Those of these moments that lie in the monitor's maintenance: one query."""
    if not moments:
        return set()
    spans = StatusSpan.objects.filter(
        Q(ended_at=None) | Q(ended_at__gt=min(moments)),
        monitor=monitor,
        status=Status.MAINTENANCE,
        started_at__lte=max(moments),
    )
    stretches = list(spans.values_list("started_at", "ended_at"))
    return {
        at
        for at in moments
        if any(since <= at and (until is None or at < until) for since, until in stretches)
    }


def drawn_stretches(monitor: Monitor, *, since: datetime, until: datetime) -> list[Stretch]:
    """A window's statuses as far as a band of `BAND_CELLS` can show them, oldest first.

    However often the monitor flaps, it is one stretch of each status for each cell, at most.
    """
    with hot_cursor() as cursor:
        cursor.execute(
            """
            SELECT status, min(started_at), nullif(max(coalesce(ended_at, 'infinity')), 'infinity'),
                count(*)
            FROM monitors_statusspan
            WHERE monitor_id = %(id)s AND started_at < %(until)s
              AND (ended_at IS NULL OR ended_at > %(since)s)
              -- Spans meet: none before the one in which the window begins reaches into it.
              AND started_at >= coalesce(
                  (SELECT max(started_at) FROM monitors_statusspan
                   WHERE monitor_id = %(id)s AND started_at <= %(since)s),
                  %(since)s)
            GROUP BY status, width_bucket(
                extract(epoch FROM started_at), extract(epoch FROM %(since)s::timestamptz),
                extract(epoch FROM %(until)s::timestamptz), %(cells)s)
            ORDER BY 2
            """,
            {"id": monitor.pk, "since": since, "until": until, "cells": BAND_CELLS},
        )
        return [Stretch(Status(status), *rest) for status, *rest in cursor]
