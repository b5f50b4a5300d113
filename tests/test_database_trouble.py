"""What PostgreSQL may do to a running engine: it loses nothing, says so once, and goes on."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from threading import Thread
from uuid import uuid4

import psycopg
import pytest
import structlog
from django.db import DatabaseError, InternalError, connection, connections, transaction
from psycopg import sql
from structlog.testing import capture_logs

from alerts.dispatch import Dispatcher
from monitors.models import Assignment, Location, Monitor, Result
from monitors.partitions import drop_partitions, ensure_partitions, existing_partitions
from monitors.specs import spec_of
from probe import engine as probe_engine
from probe.engine import Engine, Limits
from probe.values import Finished, Job, Observation, Status
from tests.factories import TeamFactory, lease_of, make_monitor
from tests.locks import wait_for_a_waiter
from tests.operations.product import wait_until
from uptime import database, health, tracing
from uptime.bench.books import audit_history, audit_instants, open_books
from uptime.clock import database_now
from uptime.intake import take_in
from uptime.local_engine import DatabaseThread, LocalSink, LocalSource
from uptime.tracing import trace_routes

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = Limits(
    lease_every=timedelta(milliseconds=20),
    batch_age=timedelta(milliseconds=20),
    drain=timedelta(seconds=2),
)


@pytest.fixture
def operator() -> Iterator["psycopg.Connection"]:
    """A connection that no trouble of the test's database reaches."""
    given = connection.get_connection_params()
    kept = {name: given[name] for name in ("host", "port", "user", "password") if name in given}
    with psycopg.connect(**kept, dbname="postgres", autocommit=True) as operator:
        yield operator


def name() -> sql.Identifier:
    return sql.Identifier(str(connection.settings_dict["NAME"]))


def end_connections(operator: "psycopg.Connection") -> None:
    operator.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
        [connection.settings_dict["NAME"]],
    )


@contextmanager
def away(operator: "psycopg.Connection") -> Iterator[None]:
    """As while it restarts: connections are ended, and new ones refused."""
    switch = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    operator.execute(switch.format(name(), sql.SQL("false")))
    end_connections(operator)
    yield
    operator.execute(switch.format(name(), sql.SQL("true")))


@contextmanager
def read_only(operator: "psycopg.Connection") -> Iterator[None]:
    """As after a failover, on what is a standby now."""
    setting = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
    operator.execute(setting.format(name(), sql.SQL("on")))
    end_connections(operator)
    yield
    operator.execute(setting.format(name(), sql.SQL("off")))
    end_connections(operator)


@contextmanager
def full(operator: "psycopg.Connection") -> Iterator[None]:
    """All the connections that our role may have are taken, and ours were cut."""
    role = sql.Identifier(f"crowded_{uuid4().hex}")
    owner = sql.Identifier(str(connection.settings_dict["USER"]))
    make = sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 0 IN ROLE {}")
    operator.execute(make.format(role, owner))
    settings, user = connections.settings["default"], connection.settings_dict["USER"]
    try:
        settings["USER"] = role.as_string(operator).strip('"')
        end_connections(operator)
        yield
    finally:
        settings["USER"] = user
        operator.execute(sql.SQL("DROP ROLE {}").format(role))


Trouble = Callable[["psycopg.Connection"], AbstractContextManager[None]]


class Checking:
    """An engine at work in a thread, on the database, for targets that always pass; beside it what
    looks for routes to trace.
    """

    def __init__(self) -> None:
        self._location_id = Location.objects.get(slug=Location.LOCAL).id
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = Thread(target=self._loop.run_until_complete, args=[self._run()])

    def __enter__(self) -> "Checking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        leases, results = DatabaseThread("lease"), DatabaseThread("store")
        owner = uuid4()
        routes = asyncio.create_task(trace_routes(self._location_id, self._observe, results))
        try:
            await Engine(
                source=LocalSource(owner=owner, location_id=self._location_id, thread=leases),
                sink=LocalSink(owner=owner, thread=results),
                observe=self._observe,
                limits=QUICK,
            ).run(self._stop)
        finally:
            assert not routes.done()
            routes.cancel()
            await asyncio.wait([routes])
            leases.close()
            results.close()

    async def _observe(self, job: Job) -> Observation:
        return Observation(Status.UP)


@pytest.mark.parametrize("trouble", [away, read_only, full])
def test_the_engine_outlives_a_database_that_is(
    trouble: Trouble, operator: "psycopg.Connection", monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (probe_engine, database):
        monkeypatch.setattr(module, "log", structlog.get_logger())
    monkeypatch.setattr(tracing, "LOOK_EVERY_S", 0.1)
    team = TeamFactory()
    for _ in range(20):
        make_monitor(team, interval=1, retry_interval=1)
    with capture_logs() as lines, Checking():
        wait_until(lambda: len(results()) >= 20)
        connection.close()
        with trouble(operator):
            time.sleep(1.2)  # so long that checks fell due
        wait_until(lambda: answers(lambda: len(results()) >= 60 and not overdue()))
    for books in open_books():
        assert [*audit_instants(books), *audit_history(books)] == []
    said = [line["event"] for line in lines if line["log_level"] != "debug"]
    # What was connected anew just before the second cut is away, and back, a second time.
    cuts = 2 if trouble is read_only else 1
    assert "engine.lease.failed" in said
    assert 1 <= said.count("database.away") <= cuts
    # Once when it goes and once when it is back, for the leases, for the results, for the routes.
    assert len(said) <= 6 * cuts


def answers(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except DatabaseError:
        connection.close()
        return False


def results() -> list[Result]:
    """Those of this test's monitors; the table keeps what others left."""
    return list(Result.objects.filter(assignment__in=Assignment.objects.all()))


def overdue() -> int:
    return Assignment.objects.filter(next_due_at__lt=database_now() - timedelta(seconds=1)).count()


def finished_check(monitor: Monitor) -> tuple[Finished, Assignment]:
    owner, now = uuid4(), database_now()
    assignment = lease_of(monitor, owner)
    assert assignment.next_due_at is not None
    job = Job(assignment.id, spec_of(monitor), assignment.next_due_at, assignment.attempt)
    return Finished(job, Observation(Status.UP), now, now), assignment


def test_a_batch_that_a_read_only_database_refuses_is_handed_back_whole() -> None:
    finished, assignment = finished_check(make_monitor())
    assert assignment.lease_owner is not None
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    with pytest.raises(InternalError):
        take_in([finished], owner=assignment.lease_owner)
    assert not health.examine_database(database_now()).is_ok
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = off")
    assert take_in([finished], owner=assignment.lease_owner) == 1
    assert [one.status for one in results()] == ["up"]
    assert health.examine_database(database_now()).is_ok


def in_thread(action: Callable[[], object]) -> Thread:
    def work() -> None:
        try:
            action()
        finally:
            connections.close_all()

    thread = Thread(target=work)
    thread.start()
    return thread


def taking_in(finished: Finished, assignment: Assignment, *settings: str) -> Thread:
    """Take it in on a connection of its own that has these settings."""

    def take() -> None:
        with connection.cursor() as cursor:
            for setting in settings:
                cursor.execute(f"SET {setting}")
        assert assignment.lease_owner is not None
        assert take_in([finished], owner=assignment.lease_owner) == 1

    return in_thread(take)


def done_again(lines: list[dict[str, object]]) -> list[object]:
    return [line["cause"] for line in lines if line["event"] == "database.again"]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, object]]]:
    monkeypatch.setattr(database, "log", structlog.get_logger())
    with capture_logs() as captured:
        yield captured  # type: ignore[misc]


def test_a_deadlock_is_tried_again(lines: list[dict[str, object]]) -> None:
    monitor = make_monitor()
    finished, assignment = finished_check(monitor)
    with transaction.atomic():
        Monitor.objects.select_for_update().get(pk=monitor.pk)  # against the order of locks
        with connection.cursor() as cursor:  # who looks for a deadlock first is sent away
            cursor.execute("SET LOCAL deadlock_timeout = '30s'")
        taking = taking_in(finished, assignment, "deadlock_timeout = '1s'")
        wait_for_a_waiter()
        Assignment.objects.select_for_update().get(pk=assignment.pk)
    taking.join()
    # More than once, where it comes back before the other has woken up.
    assert set(done_again(lines)) == {"DeadlockDetected"}
    assert len(results()) == 1


def test_a_serialisation_failure_is_tried_again(lines: list[dict[str, object]]) -> None:
    """Of a server whose default is a stricter isolation than PostgreSQL's own."""
    finished, assignment = finished_check(make_monitor())
    with transaction.atomic():
        Assignment.objects.filter(pk=assignment.pk).update(last_message="Changed meanwhile.")
        taking = taking_in(
            finished, assignment, "default_transaction_isolation = 'repeatable read'"
        )
        wait_for_a_waiter()
    taking.join()
    assert done_again(lines) == ["SerializationFailure"]
    assert len(results()) == 1


def test_the_dispatcher_outlives_a_standby() -> None:
    looks = 0

    def stop() -> bool:
        nonlocal looks
        looks += 1
        return looks > 3

    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    Dispatcher(uuid4()).run(stop)
    assert looks > 3
    connection.close()


@contextmanager
def long_reader() -> Iterator[None]:
    """Somebody reads all results, and takes his time."""
    reader = connection.copy()
    try:
        reader.set_autocommit(False)
        with reader.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM monitors_result")
        yield
    finally:
        reader.rollback()
        reader.close()


def test_a_partition_is_made_while_somebody_reads() -> None:
    day = database_now().date() + timedelta(days=40)
    with long_reader():
        assert ensure_partitions([day]) == [day]
    assert ensure_partitions([day]) == []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_index WHERE indrelid = %s::regclass",
            [f"monitors_result_{day:%Y%m%d}"],
        )
        assert cursor.fetchone() == (2,)
    drop_partitions(before=day + timedelta(days=1))
    ensure_partitions()


def test_a_partition_that_is_read_is_dropped_another_time() -> None:
    day = database_now().date() - timedelta(days=400)
    ensure_partitions([day])
    with long_reader():
        assert drop_partitions(before=day + timedelta(days=1)) == []
        assert day in existing_partitions()
    assert drop_partitions(before=day + timedelta(days=1)) == [day]
