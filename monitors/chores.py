"""Lasting work on the stored history, in bounded steps that go on where the last one ended.

A chore is a function that does one step and says whether there is more. Each step is one short
transaction, together with its note of how far the chore has come: a crash at any point repeats or
resumes it, and never skips. One step runs at a time in the whole installation, whatever chore and
whatever process, so that no chore reads what another is about to change.
"""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Coalesce, Now

from monitors.models import Assignment, Chore
from uptime.clock import database_now

log = structlog.get_logger(__name__)

# The chores' names.
HOURS, DAYS, WEEKS = "hour rollups", "day rollups", "week rollups"
LATE, RETENTION = "late results", "retention"
PACKING, CHECKING = "packing", "checking of packed results"
DELIVERIES = "retention of deliveries"

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)

_LOCK_KEY = 0x7570_6368_6F72
# A step that takes this long is stuck; one that waits this long for a lock holds others up.
_LIMITS = {"statement_timeout": "60s", "lock_timeout": "1s"}

Step = Callable[[Chore, datetime], bool]
"""One step of a chore, at a database time: changes `done_until` and `position`; is there more?"""


def run_chore(name: str, step: Step, *, budget: timedelta = timedelta()) -> bool:
    """Do steps until nothing is left (True) or the budget is spent, at least one.

    Raises nothing of what a step raises: the failure is logged and kept for `/health/ready`, and
    the next run tries that step again.
    """
    deadline = time.monotonic() + budget.total_seconds()
    Chore.objects.bulk_create([Chore(name=name)], ignore_conflicts=True)
    while True:
        try:
            has_more = _do_step(name, step)
        except Exception as error:  # the loop's edge: one bad row must not end the others' work
            log.exception("chore.failed", chore=name)
            _note_failure(name, error)
            return False
        if not has_more or time.monotonic() >= deadline:
            return not has_more


def _do_step(name: str, step: Step) -> bool:
    with transaction.atomic():
        with connection.cursor() as cursor:
            for setting, limit in _LIMITS.items():
                cursor.execute("SELECT set_config(%s, %s, true)", [setting, limit])
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK_KEY])
            (is_ours,) = cursor.fetchone()
        if not is_ours:
            return False  # another process is at it
        chore = Chore.objects.get(pk=name)
        has_more = step(chore, database_now())
        chore.ran_at, chore.failing_since, chore.error = database_now(), None, ""
        chore.save()
        return has_more


def _note_failure(name: str, error: Exception) -> None:
    try:
        Chore.objects.filter(pk=name).update(
            failing_since=Coalesce("failing_since", Now()), error=f"{type(error).__name__}: {error}"
        )
    except DatabaseError as away:
        log.warning("chore.failure.not_noted", chore=name, error=str(away))


def next_assignments(chore: Chore, limit: int) -> list[int]:
    """The ids of the next assignments that the chore has to see, and move its position past them.

    At the end the position is 0 again, for what comes next.
    """
    ids = list(
        Assignment.objects.filter(pk__gt=chore.position)
        .order_by("pk")
        .values_list("pk", flat=True)[:limit]
    )
    chore.position = ids[-1] if len(ids) == limit else 0
    return ids


def done_until(name: str) -> datetime | None:
    """Until when a chore has done its work; None before its first step."""
    return Chore.objects.filter(pk=name).values_list("done_until", flat=True).first()


def start_over(name: str, moments: Iterable[datetime]) -> None:
    """Have a chore that is at one of these moments begin that again with its first assignment."""
    Chore.objects.filter(pk=name, done_until__in=list(moments)).update(position=0)


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_of(moment: datetime) -> datetime:
    """The beginning of its UTC day."""
    return hour_of(moment).replace(hour=0)


def week_of(moment: datetime) -> datetime:
    """The beginning of its UTC week, a Monday."""
    day = day_of(moment)
    return day - day.weekday() * DAY
