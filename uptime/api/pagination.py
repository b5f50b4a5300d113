"""Pages: counted ones with limit and offset, and uncounted ones that go on from a cursor.

A cursor names the row at the edge of a page by its time and id, so rows that arrive meanwhile shift
nothing, and the thousandth page costs what the first does.
"""

import base64
import binascii
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from uptime.api.shapes import Page, PageQuery, Slice, SliceQuery
from uptime.errors import Invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

M = TypeVar("M", bound=Model)
T = TypeVar("T")


def page_of(
    request: HttpRequest,
    rows: QuerySet[M],
    query: PageQuery,
    present: Callable[[Sequence[M]], list[T]],
) -> Page[T]:
    """One page of `rows`, with its neighbours' addresses and the count of all."""
    count = rows.order_by().count()
    found = list(rows[query.offset : query.offset + query.limit]) if query.offset < count else []
    end = query.offset + query.limit
    start = max(0, query.offset - query.limit)
    return Page(
        results=present(found),
        next=_address(request, offset=end) if end < count else None,
        previous=_address(request, offset=start) if query.offset else None,
        count=count,
    )


@dataclass(frozen=True, slots=True)
class Cursor:
    """The row to go on from: towards older ones, or back to newer ones."""

    at: datetime
    id: UUID
    is_backward: bool = False

    _FORM = struct.Struct(">?q16s")

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises `Invalid` for a text that `write` did not make."""
        try:
            is_backward, micros, raw = cls._FORM.unpack(
                base64.b64decode(text + "==", altchars=b"-_", validate=True)
            )
            return cls(EPOCH + timedelta(microseconds=micros), UUID(bytes=raw), is_backward)
        except (binascii.Error, struct.error, OverflowError, ValueError) as error:
            raise Invalid({"cursor": ["This is no cursor of this list."]}) from error

    def write(self) -> str:
        micros = (self.at - EPOCH) // timedelta(microseconds=1)
        packed = self._FORM.pack(self.is_backward, micros, self.id.bytes)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def slice_of(
    request: HttpRequest,
    parts: Sequence[QuerySet[M]],
    query: SliceQuery,
    present: Callable[[Sequence[M]], list[T]],
    *,
    by: str,
) -> Slice[T]:
    """One page, newest first by the time field `by` and the id, of all `parts` together.

    The parts are for lists whose index leads with something else than the time (one part for each
    of its values): each is read in the index's order and only as far as needed, then merged.
    """

    def fetch(cursor: Cursor | None, limit: int) -> list[M]:
        return _fetch(parts, cursor, limit, by)

    return slice_from(request, fetch, query, present, by=by)


def slice_from(
    request: HttpRequest,
    fetch: Callable[[Cursor | None, int], list[M]],
    query: SliceQuery,
    present: Callable[[Sequence[M]], list[T]],
    *,
    by: str,
) -> Slice[T]:
    """One page of what `fetch` gets: the first rows past a cursor, at most so many.

    By the time field `by` and the id; newest first, or oldest first for a backward cursor.
    """
    cursor = Cursor.read(query.cursor) if query.cursor else None
    is_backward = cursor is not None and cursor.is_backward
    found = fetch(cursor, query.limit + 1)
    has_more = len(found) > query.limit
    del found[query.limit :]
    if is_backward:
        found.reverse()

    def edge(row: M, *, is_backward: bool) -> str:
        edge_cursor = Cursor(getattr(row, by), row.pk, is_backward)
        return _address(request, cursor=edge_cursor.write())

    has_older = bool(found) and (is_backward or has_more)
    has_newer = bool(found) and (has_more if is_backward else cursor is not None)
    return Slice(
        results=present(found),
        next=edge(found[-1], is_backward=False) if has_older else None,
        previous=edge(found[0], is_backward=True) if has_newer else None,
    )


def _fetch(parts: Sequence[QuerySet[M]], cursor: Cursor | None, limit: int, by: str) -> list[M]:
    if not parts:
        return []
    is_backward = cursor is not None and cursor.is_backward
    order = [by, "pk"] if is_backward else [f"-{by}", "-pk"]
    if cursor is not None:
        # `at <=` is implied by the rest, but it is what an index and the partitions understand.
        beyond, inclusive = ("gt", "gte") if is_backward else ("lt", "lte")
        past = Q(**{f"{by}__{inclusive}": cursor.at}) & (
            Q(**{f"{by}__{beyond}": cursor.at}) | Q(**{f"pk__{beyond}": cursor.id})
        )
        parts = [part.filter(past) for part in parts]
    first, *others = (part.order_by(*order)[:limit] for part in parts)
    return list(first.union(*others, all=True).order_by(*order)[:limit] if others else first)


def _address(request: HttpRequest, **changes: Any) -> str:
    """The request's own address with these query parameters put in."""
    parameters = request.GET.copy()
    for name, value in changes.items():
        parameters[name] = str(value)
    return request.build_absolute_uri(f"{request.path}?{parameters.urlencode()}")
