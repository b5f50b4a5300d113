"""A database that is away: told apart from statements that fail, and in two lines."""

from collections.abc import Iterator

import pytest
import structlog
from django.db import DatabaseError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from structlog.testing import capture_logs

from tests.operations.product import free_port
from uptime import database
from uptime.database import Outage, is_database_away


@pytest.fixture
def other(db: None) -> Iterator[BaseDatabaseWrapper]:
    """A second connection to the database of the test run."""
    other = connection.copy()
    yield other
    other.close()


def raised_by(other: BaseDatabaseWrapper, statement: str) -> DatabaseError:
    with pytest.raises(DatabaseError) as raised, other.cursor() as cursor:
        cursor.execute(statement)
    return raised.value


def test_a_server_that_nobody_answers_for_is_away(other: BaseDatabaseWrapper) -> None:
    other.settings_dict = {**other.settings_dict, "HOST": "127.0.0.1", "PORT": free_port()}
    assert is_database_away(raised_by(other, "SELECT 1"))


def test_a_server_that_ends_a_connection_is_away(other: BaseDatabaseWrapper) -> None:
    assert is_database_away(raised_by(other, "SELECT pg_terminate_backend(pg_backend_pid())"))
    assert is_database_away(raised_by(other, "SELECT 1"))


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1 / 0", "SELECT nothing", "SET statement_timeout = 1; SELECT pg_sleep(10)"],
)
def test_a_statement_that_fails_is_no_absence(other: BaseDatabaseWrapper, statement: str) -> None:
    assert not is_database_away(raised_by(other, statement))


def test_what_is_no_error_of_the_database_is_no_absence() -> None:
    assert not is_database_away(OSError("connection refused"))
    assert not is_database_away(None)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, object]]]:
    monkeypatch.setattr(database, "log", structlog.get_logger())
    with capture_logs() as captured:
        yield captured  # type: ignore[misc]


def test_an_outage_is_told_when_it_begins_and_when_it_is_over(
    lines: list[dict[str, object]],
) -> None:
    outage = Outage("shift.beat", shift="4711")
    outage.end()
    for _ in range(3):
        outage.begin(OperationalError("connection refused\n\tIs the server running?"))
    outage.end()
    outage.end()
    assert lines == [
        {
            "event": "database.away",
            "during": "shift.beat",
            "error": "connection refused",
            "shift": "4711",
            "log_level": "warning",
        },
        {
            "event": "database.back",
            "during": "shift.beat",
            "shift": "4711",
            "log_level": "info",
        },
    ]


def test_what_is_no_outage_is_told_in_full_each_time(lines: list[dict[str, object]]) -> None:
    outage = Outage("shift.beat")
    fault = DatabaseError("no such column")
    outage.begin(fault)
    outage.begin(fault)
    assert [(line["event"], line["exc_info"]) for line in lines] == [
        ("database.failed", fault),
        ("database.failed", fault),
    ]
