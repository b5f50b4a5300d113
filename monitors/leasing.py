"""Lease due assignments, and give leases back.

Any number of engines lease from one table: SKIP LOCKED keeps them from each other, an owner and an
expiry on the row tell who does the work. Nothing is decided here about what was seen.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from monitors.cadence import CATCH_UP, next_slot, plan_after_outage
from monitors.groups import GROUP, leaves_of
from monitors.models import Monitor, Status
from monitors.spans import Gap, store_gaps
from monitors.specs import spec_of
from probe.kinds import KINDS
from probe.kinds.heartbeat import next_deadline
from probe.values import Spec
from uptime.database import hot_cursor

log = structlog.get_logger(__name__)

# A lease outlives the longest check (120 s) and the wait for its exact instant. It only matters
# where no living engine is there to notice that the owner's shift stopped beating.
LEASE = timedelta(seconds=180)
# No engine leases farther ahead. It is what bounds the search for leases that are given back: at an
# interval of a minute each second more is a sixtieth of all rows.
_FARTHEST_AHEAD_S = 2


@dataclass(frozen=True, slots=True)
class Leased:
    """One leased assignment: what to check is found by `monitor_id` and `revision`."""

    assignment_id: int
    monitor_id: UUID
    revision: int
    due_at: datetime
    attempt: int
    last_seen_at: datetime | None
    fingerprint: str


def lease_due(
    *, owner: UUID, location_id: int, limit: int, ahead: timedelta
) -> tuple[datetime, list[Leased]]:
    """Lease up to `limit` assignments that fall due within `ahead`, the most overdue first.

    Returns the database's time and the leased. One statement, one commit.
    """
    # statement_timestamp(), where a scan is to end: clock_timestamp() may be another for each row,
    # so an index is read to its end.
    with hot_cursor() as cursor:
        cursor.execute(
            """
            WITH due AS (
                SELECT id FROM monitors_assignment
                WHERE location_id = %(location)s
                  AND next_due_at <= statement_timestamp() + make_interval(secs => %(ahead_s)s)
                  AND (lease_owner IS NULL OR lease_expires_at < clock_timestamp())
                ORDER BY next_due_at
                LIMIT %(limit)s
                FOR UPDATE SKIP LOCKED
            ), leased AS (
                UPDATE monitors_assignment AS a
                SET lease_owner = %(owner)s,
                    lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s)
                -- An array, and not a join: its length is not estimated from the limit, and so no
                -- planner thinks that to read the whole table would be cheaper.
                WHERE a.id = ANY(ARRAY(SELECT id FROM due))
                RETURNING a.id, a.monitor_id, a.revision, a.next_due_at, a.attempt, a.last_seen_at,
                    a.fingerprint
            )
            SELECT clock_timestamp(), leased.*
            FROM (SELECT) AS always LEFT JOIN leased ON true
            ORDER BY leased.next_due_at
            """,
            {
                "location": location_id,
                "ahead_s": ahead.total_seconds(),
                "limit": limit,
                "owner": owner,
                "lease_s": LEASE.total_seconds(),
            },
        )
        rows = cursor.fetchall()
    # The left join brings the time also where nothing is due: one row of nulls.
    return rows[0][0], [Leased(*row[1:]) for row in rows if row[1] is not None]


def release_leases(*, owner: UUID, assignment_ids: Sequence[int] | None = None) -> int:
    """Give back what `owner` leased and did not check (all of it, or these); returns how many.

    Leased rows are all due, or nearly: by location, the index on `next_due_at` bounds the scan.
    """
    chosen = "" if assignment_ids is None else "AND id = ANY(%(ids)s)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE monitors_assignment SET lease_owner = NULL, lease_expires_at = NULL
            WHERE location_id IN (SELECT id FROM monitors_location)
              AND next_due_at <= statement_timestamp() + make_interval(secs => %(ahead_s)s)
              AND lease_owner = %(owner)s {chosen}
            """,  # noqa: S608 - `chosen` is one of two literals
            {"owner": owner, "ids": list(assignment_ids or []), "ahead_s": _FARTHEST_AHEAD_S},
        )
        return int(cursor.rowcount)


def release_orphans(*, living: Iterable[UUID]) -> int:
    """Give back the leases of owners that are not among `living`; returns how many.

    The scan is bounded as in `release_leases`.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE monitors_assignment SET lease_owner = NULL, lease_expires_at = NULL
            WHERE id IN (
                SELECT id FROM monitors_assignment
                WHERE location_id IN (SELECT id FROM monitors_location)
                  AND next_due_at <= statement_timestamp() + make_interval(secs => %(ahead_s)s)
                  AND lease_owner IS NOT NULL AND lease_owner <> ALL(%(living)s)
                FOR UPDATE SKIP LOCKED
            )
            """,
            {"living": list(living), "ahead_s": _FARTHEST_AHEAD_S},
        )
        return int(cursor.rowcount)


# What was due for longer than this was not observed; shorter is a restart.
UNOBSERVED_AFTER = timedelta(minutes=5)
_SEEN = [Status.UP, Status.DEGRADED, Status.DOWN, Status.RECOVERING]
# Overdue by more is what an outage of ours left; by less, what a busy moment did.
OVERDUE = timedelta(seconds=5)
# So many are checked at once after an outage, as soon as may be; the rest waits for its turn.
AT_ONCE = 1000
_MOVED_AT_ONCE = 5000


def spread_overdue(*, location_id: int) -> int:
    """After an outage of ours: give what is overdue, but for `AT_ONCE`, an instant ahead.

    See `monitors.cadence.plan_after_outage`; slots that passed are counted as missed. Returns how
    many were moved. Kinds that wait to be pinged ask nobody: see `give_pings_time`.
    """
    moved = _in_parts(lambda: _spread_some(location_id))
    if moved:
        log.info("leases.overdue.spread", count=moved, location=location_id)
    return moved


def give_pings_time(*, location_id: int) -> int:
    """After an outage of ours: put off the deadlines that passed meanwhile, whose pings may have
    found nobody here, until the next ping or so. Returns how many."""
    put_off = _in_parts(lambda: _put_off_some(location_id))
    if put_off:
        log.info("leases.deadlines.put_off", count=put_off, location=location_id)
    return put_off


def note_unobserved(*, location_id: int) -> int:
    """After an outage of ours: what nobody saw is neither up nor down in the history.

    From the first check that was not made (of several locations the last one's) until now a monitor
    was unknown; then it is again what it was, until a check says more. Returns how many were so.
    Call it before the others: it goes by the instants that they move.
    """
    gaps: dict[UUID, Gap] = {}
    noted = _in_parts(lambda: _note_some(location_id, gaps))
    if noted:
        _note_groups(gaps)
        log.info("leases.unobserved.noted", count=noted, location=location_id)
    return noted


def pull_back(*, location_id: int) -> int:
    """After the database's clock was put back: what is due later than ever falls due at its next
    slot. Returns how many.

    Leases are taken away, too: a check on the old clock would be planned by it again. Heartbeats
    keep their deadlines, which the next ping puts right.
    """
    pulled = _in_parts(lambda: _pull_some(location_id))
    if pulled:
        log.info("leases.pulled_back", count=pulled, location=location_id)
    return pulled


def _in_parts(move: Callable[[], int]) -> int:
    """Each part in a transaction of its own; returns how many were moved in all."""
    moved = 0
    while True:
        with transaction.atomic():
            count = move()
        moved += count
        if count < _MOVED_AT_ONCE:
            return moved


def _lock_overdue(
    cursor: Any, location_id: int, *, is_passive: bool, spared: int = 0
) -> list[tuple[datetime, int, UUID, timedelta, datetime]]:
    """The next part of what is overdue, but for the `spared` that are so the longest.

    Each with the database's time, its id, its monitor, that one's interval and the due instant.
    """
    passive = [kind.name for kind in KINDS.values() if kind.is_passive]
    cursor.execute(
        """
        SELECT clock_timestamp(), a.id, a.monitor_id, make_interval(secs => m.interval_s),
            a.next_due_at
        FROM monitors_assignment AS a JOIN monitors_monitor AS m ON m.id = a.monitor_id
        WHERE a.location_id = %s
          AND a.next_due_at < statement_timestamp() - make_interval(secs => %s)
          AND (a.lease_owner IS NULL OR a.lease_expires_at < clock_timestamp())
          AND (m.kind = ANY(%s)) = %s
        ORDER BY a.next_due_at
        OFFSET %s LIMIT %s
        FOR UPDATE OF a SKIP LOCKED
        """,
        [location_id, OVERDUE.total_seconds(), passive, is_passive, spared, _MOVED_AT_ONCE],
    )
    rows: list[tuple[datetime, int, UUID, timedelta, datetime]] = cursor.fetchall()
    return rows


def _note_some(location_id: int, gaps: dict[UUID, Gap]) -> int:
    with hot_cursor() as cursor:
        cursor.execute(
            """
            SELECT m.id, due.since, clock_timestamp()
            FROM (
                SELECT DISTINCT monitor_id FROM monitors_assignment
                WHERE location_id = %(location)s
                  AND next_due_at < statement_timestamp() - %(after)s
            ) AS late
            JOIN monitors_monitor AS m ON m.id = late.monitor_id
            CROSS JOIN LATERAL (
                SELECT max(next_due_at) AS since FROM monitors_assignment
                WHERE monitor_id = m.id AND is_active
            ) AS due
            WHERE m.status = ANY(%(seen)s) AND m.last_change_at < due.since
              AND due.since < statement_timestamp() - %(after)s
            ORDER BY m.id
            LIMIT %(limit)s
            FOR NO KEY UPDATE OF m
            """,
            {
                "location": location_id,
                "after": UNOBSERVED_AFTER,
                "seen": _SEEN,
                "limit": _MOVED_AT_ONCE,
            },
        )
        rows = cursor.fetchall()
    found = [Gap(*row) for row in rows]
    store_gaps(found)
    gaps.update({gap.monitor_id: gap for gap in found})
    return len(found)


@transaction.atomic
def _note_groups(gaps: Mapping[UUID, Gap]) -> None:
    """The same of groups none of whose members was observed."""
    groups = {
        group.pk: group
        for group in Monitor.objects.filter(kind=GROUP, enabled=True, status__in=_SEEN).locked()
    }
    found = []
    for group, leaves in leaves_of(groups.keys()).items():
        inside = [gaps[leaf] for leaf in leaves if leaf in gaps]
        if not inside or len(inside) < len(leaves):
            continue
        gap = Gap(group, max(one.since for one in inside), max(one.until for one in inside))
        if groups[group].last_change_at < gap.since:
            found.append(gap)
    store_gaps(found)


def _put_off_some(location_id: int) -> int:
    with hot_cursor() as cursor:
        rows = _lock_overdue(cursor, location_id, is_passive=True)
        specs = {
            monitor.id: spec_of(monitor)
            for monitor in Monitor.objects.filter(id__in=[row[2] for row in rows])
        }
        cursor.execute(
            """
            UPDATE monitors_assignment AS a
            SET next_due_at = b.due_at, lease_owner = NULL, lease_expires_at = NULL
            FROM unnest(%s::int8[], %s::timestamptz[]) AS b (id, due_at)
            WHERE a.id = b.id
            """,
            [
                [id_ for _, id_, *_ in rows],
                [_deadline_after_outage(specs[monitor_id], now) for now, _, monitor_id, *_ in rows],
            ],
        )
    return len(rows)


def _deadline_after_outage(spec: Spec, now: datetime) -> datetime:
    """That of the next ping; `CATCH_UP` from now where that is far off, as it may never come."""
    if spec.fault:
        return now
    latest = now + CATCH_UP + timedelta(seconds=spec.settings.grace)
    return min(next_deadline(spec.settings, spec.interval, now), latest)


def _spread_some(location_id: int) -> int:
    with hot_cursor() as cursor:
        rows = _lock_overdue(cursor, location_id, is_passive=False, spared=AT_ONCE)
        plans = [
            (id_, plan_after_outage(assignment_id=id_, interval=interval, due_at=due_at, now=now))
            for now, id_, _, interval, due_at in rows
        ]
        cursor.execute(
            """
            UPDATE monitors_assignment AS a
            SET next_due_at = b.due_at, attempt = 0, missed = a.missed + b.missed,
                lease_owner = NULL, lease_expires_at = NULL
            FROM unnest(%s::int8[], %s::timestamptz[], %s::int4[]) AS b (id, due_at, missed)
            WHERE a.id = b.id
            """,
            [
                [id_ for id_, _ in plans],
                [plan.due_at for _, plan in plans],
                [plan.missed for _, plan in plans],
            ],
        )
    return len(rows)


def _pull_some(location_id: int) -> int:
    """The most distant first: these stand together at the end of the index."""
    passive = [kind.name for kind in KINDS.values() if kind.is_passive]
    with hot_cursor() as cursor:
        cursor.execute(
            """
            SELECT clock_timestamp(), a.id, make_interval(secs => m.interval_s)
            FROM monitors_assignment AS a JOIN monitors_monitor AS m ON m.id = a.monitor_id
            WHERE a.location_id = %s
              AND a.next_due_at > statement_timestamp() + make_interval(secs => m.interval_s + %s)
              AND m.kind <> ALL(%s)
            ORDER BY a.next_due_at DESC
            LIMIT %s
            FOR UPDATE OF a SKIP LOCKED
            """,
            [location_id, OVERDUE.total_seconds(), passive, _MOVED_AT_ONCE],
        )
        plans = [(id_, next_slot(id_, interval, now)) for now, id_, interval in cursor.fetchall()]
        cursor.execute(
            """
            UPDATE monitors_assignment AS a
            SET next_due_at = b.due_at, attempt = 0, lease_owner = NULL, lease_expires_at = NULL
            FROM unnest(%s::int8[], %s::timestamptz[]) AS b (id, due_at)
            WHERE a.id = b.id
            """,
            [[id_ for id_, _ in plans], [due_at for _, due_at in plans]],
        )
    return len(plans)
