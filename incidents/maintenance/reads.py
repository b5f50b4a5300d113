"""Who is under maintenance, since when, and what is to come."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from incidents.maintenance.recurrence import Occurrence, next_occurrence, occurrences
from incidents.models import MaintenanceWindow, MaintenanceWindowQuerySet
from monitors.models import Monitor
from uptime.clock import database_now


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom a window covers while it is on."""

    window: MaintenanceWindow
    named: frozenset[UUID]

    def covers(self, monitor: Monitor) -> bool:
        window = self.window
        return monitor.team_id == window.team_id and (
            window.is_for_all
            or monitor.pk in self.named
            or not set(window.tags).isdisjoint(monitor.tags)
        )


@dataclass(frozen=True, slots=True)
class Cover:
    """A monitor's maintenance: by which window, since when and until when."""

    window: MaintenanceWindow
    since: datetime
    until: datetime


def reaches_of(
    windows: Collection[MaintenanceWindow], *, among: Collection[Monitor] | None = None
) -> list[Reach]:
    """The windows with the monitors that they name, of these: one query."""
    if not windows:
        return []
    links = MaintenanceWindow.monitors.through.objects.filter(
        maintenancewindow__in=[one.pk for one in windows]
    )
    if among is not None:
        links = links.filter(monitor__in=[one.pk for one in among])
    named: dict[UUID, set[UUID]] = {}
    for window_id, monitor_id in links.values_list("maintenancewindow_id", "monitor_id"):
        named.setdefault(window_id, set()).add(monitor_id)
    return [Reach(one, frozenset(named.get(one.pk, ()))) for one in windows]


def covers_of(monitors: Collection[Monitor]) -> dict[UUID, Cover]:
    """Which of these monitors are to be under maintenance now.

    True at each instant, also where nobody has noted yet that an occurrence is over and the next
    one has begun.
    """
    teams = {one.team_id for one in monitors}
    found = MaintenanceWindow.objects.filter(team__in=teams, begins_at__isnull=False)
    windows = list(found) if teams else []
    if not windows:
        return {}
    now = database_now()
    for window in windows:
        roll(window, now)
    return cover(monitors, reaches_of([one for one in windows if one.is_on(now)], among=monitors))


def cover(monitors: Iterable[Monitor], reaches: Collection[Reach]) -> dict[UUID, Cover]:
    """Those of these monitors that these windows cover; of several the one that began first."""
    found = {}
    for one in monitors:
        covers = [_cover(one, reach.window) for reach in reaches if reach.covers(one)]
        if covers:
            found[one.pk] = min(covers, key=_since)
    return found


def _cover(monitor: Monitor, window: MaintenanceWindow) -> Cover:
    """What a change of the window or of the monitor made covered is so since then."""
    assert window.begins_at is not None
    assert window.finishes_at is not None
    changed_at = max(window.changed_at, min(monitor.updated_at, window.finishes_at))
    since = max(window.begins_at, changed_at, monitor.last_change_at)
    return Cover(window, since, window.finishes_at)


def _since(one: Cover) -> datetime:
    return one.since


def roll(window: MaintenanceWindow, now: datetime) -> None:
    """Where the occurrence at hand is over, put the next one in its place, in memory."""
    if window.finishes_at is not None and window.finishes_at <= now:
        set_at_hand(window, next_occurrence(window.plan, now, after=window.planned_at))


def set_at_hand(window: MaintenanceWindow, occurrence: Occurrence | None) -> None:
    window.planned_at = window.begins_at = occurrence.starts_at if occurrence else None
    window.finishes_at = occurrence.ends_at if occurrence else None


def coming(window: MaintenanceWindow, since: datetime, until: datetime) -> list[Occurrence]:
    """The window's occurrences that reach into a stretch of time, the one at hand as it is.

    Those before it are as they were planned.
    """
    planned = occurrences(window.plan, since, until)
    at_hand, planned_at = window.at_hand, window.planned_at
    if at_hand is None or planned_at is None:
        return list(planned)
    found = [one for one in planned if one.starts_at != planned_at]
    if at_hand.starts_at < until and at_hand.ends_at > since:
        found.append(at_hand)
    return sorted(found)


@dataclass(frozen=True, slots=True)
class Planned:
    """One occurrence of a window."""

    window: MaintenanceWindow
    occurrence: Occurrence


def planned(
    windows: Iterable[MaintenanceWindow], since: datetime, until: datetime
) -> list[Planned]:
    """All occurrences of these windows that reach into a stretch of time, in order."""
    found = [
        Planned(window, occurrence)
        for window in windows
        for occurrence in coming(window, since, until)
    ]
    return sorted(found, key=lambda one: (one.occurrence, one.window.pk))


def public_maintenance(
    monitors: Collection[Monitor], since: datetime, until: datetime
) -> list[tuple[Planned, list[Monitor]]]:
    """What a status page may show: the occurrences of public windows that cover any of these
    monitors, in order, each with those that it covers.
    """
    teams = {one.team_id for one in monitors}
    if not teams:
        return []
    windows = MaintenanceWindow.objects.filter(team__in=teams, is_public=True)
    covered = {
        reach.window.pk: [one for one in monitors if reach.covers(one)]
        for reach in reaches_of(list(windows), among=monitors)
    }
    found = planned([one for one in windows if covered[one.pk]], since, until)
    return [(one, covered[one.window.pk]) for one in found]


def windows_over(monitor: Monitor) -> MaintenanceWindowQuerySet:
    """The windows that cover a monitor while they are on."""
    ours = MaintenanceWindow.objects.filter(team=monitor.team_id)
    return (
        ours.filter(is_for_all=True)
        | ours.filter(tags__overlap=monitor.tags)
        | ours.filter(pk__in=monitor.maintenance_windows.values("pk"))
    )
