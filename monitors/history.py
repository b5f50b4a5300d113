"""Results, plain and packed, read as one.

The results of the last day or two are plain rows; what is older is packed, one row per assignment
and UTC day (more where there are many). While a day is being packed its results are there twice,
and after late ones came, partly so; readers see each once. They read the plain ones first: what is
packed and dropped in between is then found packed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import count
from typing import NamedTuple
from uuid import UUID

from django.db.models import F, Q, QuerySet

from monitors.models import PackedResults, Result
from monitors.packing import Packed
from probe.values import Status, result_id
from uptime.database import hot_cursor

DAY = timedelta(days=1)
ROWS_AT_ONCE = 8

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BITS = {status.value: 1 << place for place, status in enumerate(Status)}


def bits_of(statuses: Iterable[str]) -> int:
    """What `PackedResults.statuses` holds."""
    found = 0
    for status in statuses:
        found |= _BITS[status]
    return found


def microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


@dataclass(frozen=True)
class Wanted:
    """Which results: of these assignments, from `since` to before `until`, of these statuses.

    Of the rest only those past `edge`, the time and id of a result: older ones, or newer ones where
    `is_ascending`. None and empty mean: whichever.
    """

    assignment_ids: Sequence[int]
    since: datetime | None = None
    until: datetime | None = None
    statuses: Sequence[str] = ()
    edge: tuple[datetime, UUID] | None = None
    is_ascending: bool = False

    @cached_property
    def condition(self) -> Q:
        """For plain results."""
        wanted = Q()
        if self.since is not None:
            wanted &= Q(checked_at__gte=self.since)
        if self.until is not None:
            wanted &= Q(checked_at__lt=self.until)
        if self.statuses:
            wanted &= Q(status__in=self.statuses)
        if self.edge is not None:
            at, id_ = self.edge
            # `at <=` is implied by the rest, but an index and the partitions understand it.
            beyond, inclusive = ("gt", "gte") if self.is_ascending else ("lt", "lte")
            wanted &= Q(**{f"checked_at__{inclusive}": at})
            wanted &= Q(**{f"checked_at__{beyond}": at}) | Q(**{f"id__{beyond}": id_})
        return wanted

    @property
    def earliest(self) -> datetime | None:
        """No wanted result is older."""
        edge = self.edge[0] if self.edge and self.is_ascending else None
        return max((at for at in (self.since, edge) if at), default=None)

    @property
    def latest(self) -> datetime | None:
        """No wanted result is newer."""
        edge = self.edge[0] if self.edge and not self.is_ascending else None
        return min((at for at in (self.until, edge) if at), default=None)

    def is_past_edge(self, at: datetime, id_: UUID) -> bool:
        if self.edge is None:
            return True
        return (at, id_) > self.edge if self.is_ascending else (at, id_) < self.edge


def read_results(wanted: Wanted, limit: int) -> list[Result]:
    """The first `limit` wanted results, newest first unless `wanted` says otherwise.

    By time, then id. Reads no more packed rows than it needs to be sure of them.
    """
    found = _read_plain(wanted, limit)
    for row in _packed_rows(_narrowed(wanted, found, limit)):
        if len(found) >= limit and not _may_matter(row, found[limit - 1], wanted):
            break
        found = _merged(found, _unpacked(row, wanted, limit), wanted, limit)
    return found


class Seen(NamedTuple):
    """What the figures need of a result."""

    assignment_id: int
    checked_at: datetime
    status: str
    latency_ms: float | None


def read_seen(
    assignment_ids: Sequence[int], stretches: Sequence[tuple[datetime, datetime]]
) -> list[Seen]:
    """What was seen within these stretches (from, to before), each result once, in no order.

    Raw SQL, because the figures ask for it each time, and the ORM takes longer than the database.
    """
    if not stretches or not assignment_ids:
        return []
    # A row lies within one UTC day; the index has when it begins, not when it ends.
    within = " OR ".join("checked_at >= %s AND checked_at < %s" for _ in stretches)
    overlap = " OR ".join("first_at > %s AND last_at >= %s AND first_at < %s" for _ in stretches)
    with hot_cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(Seen._fields)} FROM monitors_result"  # noqa: S608 - literals
            f" WHERE assignment_id = ANY(%s) AND ({within})",
            [list(assignment_ids), *(bound for one in stretches for bound in one)],
        )
        found = {row[:2]: Seen(*row) for row in cursor}
        cursor.execute(
            "SELECT assignment_id, payload FROM monitors_packedresults"  # noqa: S608 - likewise
            f" WHERE assignment_id = ANY(%s) AND ({overlap})",
            [
                list(assignment_ids),
                *(bound for since, end in stretches for bound in (since - DAY, since, end)),
            ],
        )
        rows = cursor.fetchall()
    bounds = [(microseconds(since), microseconds(until)) for since, until in stretches]
    for id_, payload in rows:
        packed = Packed(payload)
        columns = (packed.column(name) for name in ("checked_us", "status", "latency_us"))
        for checked_us, status, latency_us in zip(*columns, strict=True):
            if any(first <= checked_us < end for first, end in bounds):
                key = (id_, moment_of(checked_us))
                found[key] = Seen(*key, status, _in_ms(latency_us))
    return list(found.values())


# -- plain -----------------------------------------------------------------------------------------


def _read_plain(wanted: Wanted, limit: int) -> list[Result]:
    """One part for each assignment, so that each is read in its index's order, and no further."""
    order = ("checked_at", "id") if wanted.is_ascending else ("-checked_at", "-id")
    parts = [
        Result.objects.filter(wanted.condition, assignment_id=id_).order_by(*order)[:limit]
        for id_ in wanted.assignment_ids
    ]
    if len(parts) < 2:
        return [result for part in parts for result in part]
    first, *others = parts
    return list(first.union(*others, all=True).order_by(*order)[:limit])


def _narrowed(wanted: Wanted, found: Sequence[Result], limit: int) -> Wanted:
    """Where the plain results fill the page, only what is packed among them matters."""
    if len(found) < limit:
        return wanted
    last = found[-1].checked_at
    if wanted.is_ascending:
        return replace(wanted, until=min(last + _MICROSECOND, wanted.until or last + _MICROSECOND))
    return replace(wanted, since=max(last, wanted.since or last))


# -- packed ----------------------------------------------------------------------------------------


def _rows_of(wanted: Wanted) -> QuerySet[PackedResults]:
    """The rows that may have wanted results. A row lies within one UTC day."""
    rows = PackedResults.objects.filter(assignment_id__in=wanted.assignment_ids)
    if (earliest := wanted.earliest) is not None:
        # the second says the same of fewer rows, but only the first is in the index
        rows = rows.filter(first_at__gt=max(earliest, _EPOCH) - DAY, last_at__gte=earliest)
    if (latest := wanted.latest) is not None:
        rows = rows.filter(first_at__lte=latest)
    if wanted.statuses:
        hits = F("statuses").bitand(bits_of(wanted.statuses))
        rows = rows.alias(hits=hits).filter(hits__gt=0)
    return rows


def _packed_rows(wanted: Wanted) -> Iterator[PackedResults]:
    """The rows in the order of their first wanted result, fetched a few at a time."""
    rows = _rows_of(wanted).order_by("first_at" if wanted.is_ascending else "-last_at", "pk")
    for start in count(0, ROWS_AT_ONCE):
        some = list(rows[start : start + ROWS_AT_ONCE])
        yield from some
        if len(some) < ROWS_AT_ONCE:
            return


def _may_matter(row: PackedResults, last: Result, wanted: Wanted) -> bool:
    """Whether a row can have results that come before the page's last."""
    if wanted.is_ascending:
        return row.first_at <= last.checked_at
    return row.last_at >= last.checked_at


def _unpacked(row: PackedResults, wanted: Wanted, limit: int) -> list[Result]:
    """The row's wanted results, at most as many as fit, in order."""
    packed = Packed(bytes(row.payload))
    times: list[int] = packed.column("checked_us")
    places: Iterable[int] = range(packed.count)
    if not wanted.is_ascending:
        places = reversed(range(packed.count))
    found: list[Result] = []
    statuses = packed.column("status")
    earliest = microseconds(wanted.earliest) if wanted.earliest else None
    latest = microseconds(wanted.latest) if wanted.latest else None
    until = microseconds(wanted.until) if wanted.until else None
    for place in places:
        at = times[place]
        if (
            (earliest is not None and at < earliest)
            or (latest is not None and at > latest)
            or (until is not None and at >= until)
            or (wanted.statuses and statuses[place] not in wanted.statuses)
        ):
            continue
        result = _result(row.assignment_id, packed, place)
        if wanted.is_past_edge(result.checked_at, result.id):
            found.append(result)
        if len(found) >= limit:
            break
    return found


def _result(assignment_id: int, packed: Packed, place: int) -> Result:
    check = packed.check(place)
    due_at = moment_of(check.due_us)
    result = Result(
        id=UUID(check.id) if check.id else result_id(assignment_id, due_at, check.attempt),
        assignment_id=assignment_id,
        checked_at=moment_of(check.checked_us),
        due_at=due_at,
        attempt=check.attempt,
        status=check.status,
        reason=check.reason,
        message=check.message,
        http_status=check.http_status,
        latency_ms=_in_ms(check.latency_us),
        dns_ms=_in_ms(check.dns_us),
        connect_ms=_in_ms(check.connect_us),
        tls_ms=_in_ms(check.tls_us),
        first_byte_ms=_in_ms(check.first_byte_us),
        transfer_ms=_in_ms(check.transfer_us),
        cert_expires_at=(
            None if check.cert_expires_us is None else moment_of(check.cert_expires_us)
        ),
    )
    result._state.adding = False
    return result


def _in_ms(micros: int | None) -> float | None:
    return None if micros is None else micros / 1000


def _merged(
    found: Sequence[Result], more: Sequence[Result], wanted: Wanted, limit: int
) -> list[Result]:
    """Both as one page; of a result that is in both, the plain one."""
    known = {(one.assignment_id, one.checked_at) for one in found}
    new = [one for one in more if (one.assignment_id, one.checked_at) not in known]
    if not new:
        return list(found)
    both = sorted(
        [*found, *new], key=lambda one: (one.checked_at, one.id), reverse=not wanted.is_ascending
    )
    return both[:limit]
