"""What begins and ends with maintenance windows, for whoever looks once a second.

Level-triggered: each look compares what is under maintenance with what should be, so that a look
that was missed, or one that a crash undid, is made up for by the next, and windows and tags may
change at any time. Nothing is alerted meanwhile: the intake asks the windows itself before it turns
a monitor (`incidents.transitions.settle`).

An outage that goes on at the end of a window is not taken from what was seen inside. The monitor is
pending from the end on and checked at once; the first check that fails then confirms it, and the
outage dates from the end of the window.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import reduce
from operator import or_
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q

from incidents.maintenance.reads import reaches_of, roll
from incidents.models import MaintenanceWindow
from incidents.transitions import (
    PROOF_PATIENCE,
    Transition,
    begin_maintenance,
    end_maintenance,
    settle,
)
from monitors.models import Assignment, Monitor, Status
from monitors.storing import look_soon

AT_ONCE = 1000

_LOCK_KEY = 0x7570_6D61_696E
_WATCHED = [one for one in Status if one not in (Status.PAUSED, Status.MAINTENANCE)]


@transaction.atomic
def keep_maintenance(now: datetime) -> list[Transition]:
    """Begin and end what is due, up to `AT_ONCE` monitors each; the rest is for the next look.

    One process does so at a time. The number of statements does not depend on how many monitors
    there are.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK_KEY])
        (is_ours,) = cursor.fetchone()
    if not is_ours:
        return []
    windows = list(MaintenanceWindow.objects.begun(now))
    on = [window for window in windows if window.is_on(now)]
    over = [window for window in windows if window not in on]
    begun, ended = _to_begin(on), _ended(on, over, now)
    # Both in one order, as everybody locks them.
    list(Monitor.objects.filter(pk__in=[*begun, *ended]).locked())
    begin_maintenance(begun)
    transitions = end_maintenance(ended)
    if len(ended) < AT_ONCE:  # no monitor needs to know any more when these ended
        for window in over:
            _put_next(window, now)
    return transitions


def _to_begin(on: Collection[MaintenanceWindow]) -> list[UUID]:
    """Monitors that windows cover which are on, and that are not under maintenance."""
    watched = Monitor.objects.filter(enabled=True, status__in=_WATCHED)
    found: set[UUID] = set()
    for covered in _covered_by(on):
        found.update(watched.filter(covered).values_list("pk", flat=True)[:AT_ONCE])
    return sorted(found)[:AT_ONCE]


def _covered_by(on: Collection[MaintenanceWindow]) -> list[Q]:
    """Which monitors these windows cover: by all, by name and by tag, each with its own index.

    The database looks for them: there may be thousands, and somebody asks each second.
    """
    teams = {one.team_id for one in on if one.is_for_all}
    named = MaintenanceWindow.monitors.through.objects.filter(
        maintenancewindow__in=[one.pk for one in on if not one.is_for_all]
    )
    tagged = [Q(team=one.team_id, tags__overlap=one.tags) for one in on if one.tags]
    found = []
    if teams:
        found.append(Q(team__in=teams))
    if len(teams) < len(on):
        found.append(Q(pk__in=named.values("monitor")))
    if tagged:
        found.append(reduce(or_, tagged))
    return found


def _ended(
    on: Collection[MaintenanceWindow], over: Collection[MaintenanceWindow], now: datetime
) -> Mapping[UUID, datetime]:
    """Monitors under maintenance that no window covers, and since when: now, unless by its time."""
    # a group that is so because its members are has that as its reason
    inside = Monitor.objects.filter(status=Status.MAINTENANCE, reason="")
    for covered in _covered_by(on):
        inside = inside.exclude(covered)
    ended = list(inside.order_by("pk")[:AT_ONCE])
    reaches = reaches_of(over, among=ended) if ended else []
    found = {
        one.pk: max(
            (
                reach.window.finishes_at
                for reach in reaches
                if reach.window.finishes_at and reach.covers(one)
            ),
            default=now,
        )
        for one in ended
    }
    return found | dict.fromkeys(_unwatched(found, now), now)


def _unwatched(ended: Mapping[UUID, datetime], now: datetime) -> set[UUID]:
    """Those whose end nobody here saw: trouble of theirs was last seen inside, long ago.

    A check has to prove it, and there is time for that from now on.
    """
    long_ago = [pk for pk, at in ended.items() if now - at > PROOF_PATIENCE]
    troubled = Assignment.objects.filter(
        monitor__in=long_ago, is_active=True, state__in=(Status.DOWN, Status.DEGRADED)
    )
    seen = troubled.values_list("monitor_id", "last_checked_at") if long_ago else ()
    return {pk for pk, at in seen if at is None or at < ended[pk]}


def _put_next(window: MaintenanceWindow, now: datetime) -> None:
    """Put the next occurrence in the place of the one that is over, unless somebody changed it."""
    same = MaintenanceWindow.objects.filter(pk=window.pk, finishes_at=window.finishes_at)
    roll(window, now)
    same.update(
        planned_at=window.planned_at, begins_at=window.begins_at, finishes_at=window.finishes_at
    )


@transaction.atomic
def confirm_outages(now: datetime) -> list[Transition]:
    """Settle outages that outlive a window, each once a check has proven it; have them checked."""
    troubled = Assignment.objects.filter(
        monitor=OuterRef("pk"), is_active=True, state__in=(Status.DOWN, Status.DEGRADED)
    )
    rows = Monitor.objects.filter(Exists(troubled), status=Status.PENDING, enabled=True)
    waiting = dict(rows.order_by("pk").values_list("pk", "last_change_at")[:AT_ONCE])
    if not waiting:
        return []
    transitions = settle(dict.fromkeys(waiting, now))
    look_soon(waiting, unless_since=max(waiting.values()))
    return transitions
