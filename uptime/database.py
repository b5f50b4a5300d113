"""Database helpers of the floor."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.models import Model
from psycopg import errors as postgres
from psycopg.types.array import ListBinaryDumper

log = structlog.get_logger(__name__)

# Classes of SQLSTATE that speak of the server and not of the statement: connection exceptions,
# insufficient resources (too many connections), operator intervention (a shutdown, a start), and
# a server that only takes reads: a standby, until the line leads to its primary again.
_AWAY_CLASSES = ("08", "53", "57P", "25006")

_TRIES = 4
_T = TypeVar("_T")


def lock_row(row: Model) -> None:
    """Have the row as it is now, which is nobody else's until the transaction ends.

    Who changes some fields of a row begins here: what somebody else changed meanwhile stays.
    """
    row.refresh_from_db(from_queryset=type(row)._default_manager.select_for_update())


@contextmanager
def hot_cursor() -> Iterator["psycopg.Cursor[Any]"]:
    """A cursor of psycopg's own on Django's connection, for statements with large arrays.

    Django's cursor writes parameters into the statement's text; this one sends them beside it, and
    both sides speak binary, lists as well: no quoting, no parsing. Errors are Django's, and the
    open transaction is Django's.
    """
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
        cursor.adapters.register_dumper(list, ListBinaryDumper)
        cursor.format = psycopg.pq.Format.BINARY
        yield cursor


def is_database_away(error: BaseException | None) -> bool:
    """Whether the database could not be asked, so that the same may go well in a moment."""
    if not isinstance(error, DatabaseError | InterfaceError):
        return False
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    if sqlstate is None:
        # Without a code it is libpq or the pool that speaks: nobody there, or the line was cut.
        return isinstance(error, OperationalError | InterfaceError)
    return bool(sqlstate.startswith(_AWAY_CLASSES))


def may_pass(error: BaseException | None) -> bool:
    """Whether it is the server's present state, and not what it was asked, that made it fail.

    It is away, or it took the statement back: for another's sake, or because it took too long.
    """
    return isinstance(error, OperationalError | InterfaceError) or is_database_away(error)


def again_on_conflict(
    action: Callable[[], _T], *, mend: Callable[[BaseException], bool] = lambda cause: False
) -> _T:
    """Do `action`, a transaction of its own, again where PostgreSQL took it back for another's sake
    (deadlock, serialisation), or where `mend` says that it mended what psycopg's error tells of.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            return action()
        except DatabaseError as error:
            cause = error.__cause__
            if cause is None or connection.in_atomic_block or not tries_left:
                raise
            is_conflict = isinstance(
                cause, postgres.DeadlockDetected | postgres.SerializationFailure
            )
            if not is_conflict and not mend(cause):
                raise
            log.info("database.again", cause=type(cause).__name__)
    raise AssertionError("unreachable")


class Outage:
    """Tells a loop's trouble with the database in two lines: when it begins and when it is over.

    `during` names the loop; `facts` go with each line.
    """

    def __init__(self, during: str, **facts: str) -> None:
        self._facts = {"during": during, **facts}
        self._is_known = False

    def begin(self, error: Exception) -> None:
        """Call it each time; what is not the database's absence is told each time, in full."""
        if not is_database_away(error):
            log.warning("database.failed", exc_info=error, **self._facts)
        elif not self._is_known:
            self._is_known = True
            first_line = str(error).strip().partition("\n")[0]
            log.warning("database.away", error=first_line, **self._facts)

    def end(self) -> None:
        if self._is_known:
            self._is_known = False
            log.info("database.back", **self._facts)
