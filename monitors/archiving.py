"""Days of plain results become packed ones: pack, check by unpacking, drop the partition.

A day is packed once it has been over for `PACKED_AFTER` and is rolled up. Then a second pass
unpacks each row and looks for every plain result of the day in it; what it misses (a late one, most
likely) is packed in. Only after that pass is the day's partition dropped. A day whose partition is
there again, because a result came later still, goes through the second pass again.

Raw SQL: the plain results of a day are read as the numbers that they are packed as.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime

import structlog
from django.db import OperationalError, transaction
from django.db.models import QuerySet
from psycopg import errors as postgres

from monitors.chores import DAY, DAYS, PACKING, day_of, done_until, next_assignments
from monitors.history import bits_of, moment_of
from monitors.models import Assignment, Chore, LateResult, PackedResults
from monitors.packing import Check, Packed, pack
from monitors.partitions import drop_partition, existing_partitions
from probe.values import result_id
from uptime.database import hot_cursor

log = structlog.get_logger(__name__)

PACKED_AFTER = DAY
# A minute's interval gives 1,440 a day; more results make several rows, so that one is soon read.
CHECKS_IN_ROW = 1500
# A step ends after so many assignments, or once it has had so many results.
ASSIGNMENTS_AT_ONCE = 25
CHECKS_AT_ONCE = 10_000


def pack_results(chore: Chore, now: datetime) -> bool:
    """The chore `PACKING`: the next assignments of the day that is next."""
    day = _next_day(chore, now)
    if day is None:
        return False
    chore.done_until = day
    if not _go_on(chore, day, _pack_day):
        chore.done_until = day + DAY
    return True


def check_packed(chore: Chore, now: datetime) -> bool:
    """The chore `CHECKING`: compare the oldest partition that is packed, then drop it."""
    packed_until = done_until(PACKING)
    day = next(map(_midnight, existing_partitions()), None)
    if day is None or packed_until is None or day >= packed_until:
        return False
    if chore.done_until != day:
        chore.done_until, chore.position = day, 0
    if _go_on(chore, day, _check_day):
        return True
    try:
        _drop(day)
    except _Late:
        return False  # and the pass begins anew
    except OperationalError as error:
        if not isinstance(error.__cause__, postgres.LockNotAvailable):
            raise
        chore.position = Assignment.objects.latest("pk").pk  # only the drop is left to do
        return False
    chore.done_until = None
    return True


def _next_day(chore: Chore, now: datetime) -> datetime | None:
    """The oldest day with a partition that was not packed yet and may be."""
    rolled_up = done_until(DAYS)
    if rolled_up is None:
        return None
    limit = min(day_of(now - PACKED_AFTER), rolled_up)
    days = map(_midnight, existing_partitions())
    return next((d for d in days if (chore.done_until or d) <= d and d + DAY <= limit), None)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _go_on(chore: Chore, day: datetime, work: Callable[[int, datetime], int]) -> bool:
    """Work on the day's next assignments; False after the last. `work` tells how many results."""
    checks = 0
    ids = next_assignments(chore, ASSIGNMENTS_AT_ONCE)
    for id_ in ids:
        checks += work(id_, day)
        if checks > CHECKS_AT_ONCE and id_ != ids[-1]:
            chore.position = id_
            break
    return chore.position > 0


def _pack_day(assignment_id: int, day: datetime) -> int:
    """Pack a day of an assignment, with what is packed of it already; returns how many."""
    plain = plain_checks(assignment_id, day)
    if plain:
        _write(assignment_id, day, [*_packed_checks(assignment_id, day), *plain])
    return len(plain)


def _check_day(assignment_id: int, day: datetime) -> int:
    plain = plain_checks(assignment_id, day)
    if plain and (missing := set(plain).difference(_packed_checks(assignment_id, day))):
        log.info(
            "results.packed.mended", assignment=assignment_id, day=str(day), count=len(missing)
        )
        _pack_day(assignment_id, day)
        assert missing <= set(_packed_checks(assignment_id, day))
    return len(plain)


def _write(assignment_id: int, day: datetime, checks: Iterable[Check]) -> None:
    """Replace what is packed of a day; of two checks that began at once the last one counts."""
    unique = {check.checked_us: check for check in checks}
    ordered = [unique[at] for at in sorted(unique)]
    _rows_of(assignment_id, day).delete()
    PackedResults.objects.bulk_create(
        _row(assignment_id, ordered[start : start + CHECKS_IN_ROW])
        for start in range(0, len(ordered), CHECKS_IN_ROW)
    )


def _row(assignment_id: int, checks: Sequence[Check]) -> PackedResults:
    return PackedResults(
        assignment_id=assignment_id,
        first_at=moment_of(checks[0].checked_us),
        last_at=moment_of(checks[-1].checked_us),
        checks=len(checks),
        statuses=bits_of({check.status for check in checks}),
        payload=pack(checks),
    )


def _rows_of(assignment_id: int, day: datetime) -> QuerySet[PackedResults]:
    return PackedResults.objects.filter(
        assignment_id=assignment_id, first_at__gte=day, first_at__lt=day + DAY
    )


def _packed_checks(assignment_id: int, day: datetime) -> list[Check]:
    rows = _rows_of(assignment_id, day).values_list("payload", flat=True)
    return [check for payload in rows for check in Packed(bytes(payload)).checks()]


def _in_us(instant: str) -> str:
    return f"(extract(epoch FROM {instant}) * 1000000)::bigint"


_DURATIONS = ("latency_ms", "dns_ms", "connect_ms", "tls_ms", "first_byte_ms", "transfer_ms")
_PLAIN = f"""
    SELECT {_in_us("checked_at")}, {_in_us("due_at")}, attempt, status, reason, message,
        http_status, {_in_us("cert_expires_at")},
        {", ".join(f"round({name}::float8 * 1000)::bigint" for name in _DURATIONS)}, id::text
    FROM monitors_result WHERE assignment_id = %s AND checked_at >= %s AND checked_at < %s
"""  # noqa: S608 - literals


def plain_checks(assignment_id: int, day: datetime) -> list[Check]:
    """An assignment's plain results of a day, in no order."""
    with hot_cursor() as cursor:
        cursor.execute(_PLAIN, [assignment_id, day, day + DAY])
        return [_without_derived_id(assignment_id, Check._make(row)) for row in cursor]


def _without_derived_id(assignment_id: int, check: Check) -> Check:
    derived = result_id(assignment_id, moment_of(check.due_us), check.attempt)
    return check._replace(id=None) if check.id == str(derived) else check


class _Late(Exception):
    """A result came that has not been looked at."""


def _drop(day: datetime) -> None:
    """Drop a day's partition.

    Raises `_Late`, or OperationalError when the lock is not to be had: somebody is reading.
    """
    with transaction.atomic():
        drop_partition(day.date())
        # What came in before the lock left its mark; it has to be looked at first.
        if LateResult.objects.filter(hour__gte=day, hour__lt=day + DAY).exists():
            raise _Late
    log.info("results.packed", day=day.date().isoformat())
