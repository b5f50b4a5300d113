"""For tests of two connections."""

from django.db import connection

from tests.operations.product import wait_until


def wait_for_a_waiter() -> None:
    """Return once another connection waits for a lock of ours."""
    wait_until(_is_waited_for)


def _is_waited_for() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks"
            " WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        (count,) = cursor.fetchone()
    return bool(count)
