"""What people and programs do to monitors. Values are API.md's; see `monitors.drafts`.

Each takes effect in one transaction, or raises `uptime.errors.Invalid` or `Conflict` and changes
nothing. Pausing and resuming end and begin incidents, so they live in `incidents.actions`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import IntegrityError, models, transaction
from django.db.models import F, Func, Value
from django.db.models.functions import Least

from accounts.audit import in_one_go, record, record_each
from accounts.models import Team
from monitors.drafts import MOST_TAGS, Accepted, accept, default_interval_s, values_of
from monitors.groups import GROUP, doubt, doubt_groups_of
from monitors.models import Location, Monitor, Status, StatusSpan
from monitors.scheduling import (
    change_pace,
    hasten_checks,
    lock_assignments,
    place,
    set_locations,
)
from monitors.specs import spec_of
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

_TAGS = ArrayField(models.CharField(max_length=100))


def create_monitor(
    *, team: Team, values: Mapping[str, Any], like: Monitor | None = None
) -> Monitor:
    """Create a monitor; its first check is due at once. Raises Invalid.

    Secrets that are the mask are those of `like`, of which it is a copy.
    """
    [monitor] = create_monitors(team=team, drafts=[accept(values, team=team, like=like)])
    return monitor


@transaction.atomic
def create_monitors(*, team: Team, drafts: Sequence[Accepted]) -> list[Monitor]:
    """Create monitors of accepted values, in so many statements however many they are.

    Their first checks are due at once, of many evenly spread. Raises Invalid.
    """
    now = database_now()
    with _unique_key():
        monitors = Monitor.objects.bulk_create(
            Monitor(
                team=team,
                status=Status.PENDING if draft.columns["enabled"] else Status.PAUSED,
                created_at=now,
                last_change_at=now,
                updated_at=now,
                **draft.columns,
            )
            for draft in drafts
        )
    StatusSpan.objects.bulk_create(
        StatusSpan(monitor=monitor, status=monitor.status, started_at=now) for monitor in monitors
    )
    placed = list(zip(monitors, drafts, strict=True))
    place({monitor: draft.locations for monitor, draft in placed})
    for monitor, draft in placed:
        if draft.depends_on:
            monitor.depends_on.set(draft.depends_on)
        if draft.members:
            monitor.members.set(draft.members)
    doubt_groups_of({monitor.pk: now for monitor in monitors})
    with in_one_go():
        for monitor in monitors:
            record("monitor.created", monitor, team=team)
    return monitors


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
        locked = Monitor.objects.locked().get(pk=monitor.pk)
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
        is_regrouped = {str(one.pk) for one in accepted.members} != set(before["members"])
        with _regrouping([locked.pk] if "tags" in changed else []):
            if changed or is_moved or is_tied or is_regrouped:
                locked.updated_at = database_now()
                locked.save()
        set_locations(locked, _ids(accepted.locations))
        if is_tied:
            locked.depends_on.set(accepted.depends_on)
        if is_regrouped:
            locked.members.set(accepted.members)
        if is_checked_anew:
            hasten_checks(locked, forgets=bool(changed & {"target", "settings"}))
        is_another_group = locked.kind == GROUP and (is_regrouped or "settings" in changed)
        if is_another_group or is_moved or "quorum" in changed:
            doubt(locked, database_now())
        moved = {"locations": is_moved, "depends_on": is_tied, "members": is_regrouped}
        if all_changed := changed | {name for name, is_so in moved.items() if is_so}:
            record("monitor.changed", locked, team=locked.team_id, changed=all_changed)
    return locked


@transaction.atomic
def remove_monitors(*, monitor_ids: Collection[UUID]) -> int:
    """Delete monitors and their history; returns how many there were.

    Results in past partitions go with their retention. Callers go through `uptime.operations`,
    which also closes what is open elsewhere.
    """
    lock_assignments(monitor_ids)
    locked = _lock(monitor_ids, is_end=True)
    chosen = Monitor.objects.filter(pk__in=locked)
    record_each("monitor.deleted", chosen.only("name", "team"))
    doubt_groups_of(dict.fromkeys(locked, database_now()))
    return chosen.all().delete()[1].get("monitors.Monitor", 0)


@transaction.atomic
def tag_monitors(*, monitor_ids: Collection[UUID], tag: str) -> int:
    """Add a tag to several; returns how many did not have it. One that is full stays as it is."""
    lacking = Monitor.objects.filter(pk__in=_lock(monitor_ids), tags__len__lt=MOST_TAGS).exclude(
        tags__contains=[tag]
    )
    added = Func(F("tags"), Value(tag), function="array_append", output_field=_TAGS)
    record_each("monitor.changed", lacking.only("name", "team"), changed=["tags"])
    chosen = list(lacking.values_list("pk", flat=True))
    with _regrouping(chosen):
        return lacking.update(tags=added, updated_at=database_now())


@transaction.atomic
def untag_monitors(*, monitor_ids: Collection[UUID], tag: str) -> int:
    """Take a tag from several; returns how many had it."""
    left = Func(F("tags"), Value(tag), function="array_remove", output_field=_TAGS)
    having = Monitor.objects.filter(pk__in=_lock(monitor_ids)).tagged(tag)
    record_each("monitor.changed", having.only("name", "team"), changed=["tags"])
    with _regrouping(list(having.values_list("pk", flat=True))):
        return having.update(tags=left, updated_at=database_now())


@transaction.atomic
def pace_monitors(*, monitor_ids: Collection[UUID], interval_s: int) -> int:
    """Change the interval of several; returns of how many it was another.

    One whose settings forbid so short an interval keeps its own. The checks that confirm a failure
    come no later than the next one would.
    """
    lock_assignments(monitor_ids)
    locked = (
        Monitor.objects.filter(pk__in=_lock(monitor_ids))
        .exclude(interval_s=interval_s)
        .exclude(kind=GROUP)
    )
    changed = [one for one in locked if _may_be_checked_every(one, interval_s)]
    rows = Monitor.objects.filter(pk__in=[one.pk for one in changed])
    record_each("monitor.changed", rows.only("name", "team"), changed=["interval_s"])
    rows.update(
        interval_s=interval_s,
        retry_interval_s=Least("retry_interval_s", interval_s),
        revision=F("revision") + 1,
        updated_at=database_now(),
    )
    change_pace(list(rows.all()), timedelta(seconds=interval_s))
    return len(changed)


@contextmanager
def _regrouping(monitor_ids: Collection[UUID]) -> Iterator[None]:
    """Other tags are other groups: those from before and those from after are looked at."""
    now = database_now()
    doubt_groups_of(dict.fromkeys(monitor_ids, now))
    yield
    doubt_groups_of(dict.fromkeys(monitor_ids, now))


def _may_be_checked_every(monitor: Monitor, interval_s: int) -> bool:
    settings = spec_of(monitor).settings
    return settings is None or interval_s >= settings.shortest_interval.total_seconds()


def _lock(monitor_ids: Collection[UUID], *, is_end: bool = False) -> list[UUID]:
    """Lock these monitors' rows, in the order in which everybody does.

    At their end nothing new may refer to them. Otherwise that may: whoever commits such a row would
    wait for us, and we perhaps for him.
    """
    rows = Monitor.objects.filter(pk__in=monitor_ids).order_by("id")
    return list(rows.select_for_update(no_key=not is_end).values_list("pk", flat=True))


def check_now(*, monitor: Monitor) -> datetime:
    """Have the next check made at once: it begins at the returned instant, or later.

    Raises Conflict where there is nothing to check.
    """
    if KINDS[monitor.kind].is_passive:
        raise Conflict("A heartbeat is not checked: it waits for its ping URL to be called.")
    if KINDS[monitor.kind].is_derived:
        raise Conflict("A group is not checked: its members are.")
    with transaction.atomic():
        list(monitor.assignments.select_for_update().order_by("id"))
        locked = Monitor.objects.locked().get(pk=monitor.pk)
        if not locked.enabled:
            raise Conflict("The monitor is paused: resume it first.")
        asked_at = database_now()
        hasten_checks(locked)
    return asked_at


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
