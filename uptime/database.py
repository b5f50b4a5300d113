"""Database helpers of the floor."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection


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
