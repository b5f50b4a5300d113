"""Time comes from the database wherever it decides: machines differ, the database has one clock."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """The database's clock, now (not the start of the transaction)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    assert isinstance(now, datetime)
    return now
