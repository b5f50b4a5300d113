"""How many statements a piece of work takes, those that go past the ORM included."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg


@contextmanager
def watch_statements() -> Iterator[list[str]]:
    """The statements of this process, in their order, as they were written."""
    statements: list[str] = []
    run = psycopg.Cursor.execute

    def note_and_run(
        cursor: "psycopg.Cursor[Any]", query: Any, params: Any = None, **options: Any
    ) -> Any:
        statements.append(" ".join(str(query).split()))
        return run(cursor, query, params, **options)

    with patch.object(psycopg.Cursor, "execute", note_and_run):
        yield statements
