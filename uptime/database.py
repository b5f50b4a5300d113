"""Database helpers of the floor."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import structlog
from django.db import InterfaceError, OperationalError, connection

log = structlog.get_logger(__name__)

# Classes of SQLSTATE that speak of the server and not of the statement: connection exceptions,
# insufficient resources (too many connections), operator intervention (a shutdown, a start).
_AWAY_CLASSES = ("08", "53", "57P")


@contextmanager
def hot_cursor() -> Iterator["psycopg.Cursor[Any]"]:
    """A cursor of psycopg's own on Django's connection, for statements with large arrays.

    Django's cursor writes parameters into the statement's text; this one sends them beside it, in
    binary where the type allows, which spares both sides the quoting and parsing. Errors are
    Django's, and the open transaction is Django's.
    """
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
        yield cursor


def is_database_away(error: BaseException | None) -> bool:
    """Whether the database could not be asked, so that the same may go well in a moment."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    # Without a code it is libpq or the pool that speaks: nobody there, or the line was cut.
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return sqlstate is None or sqlstate.startswith(_AWAY_CLASSES)


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
