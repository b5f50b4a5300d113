"""Faults: the whole product at work while a seeded schedule kills, cuts and freezes its parts.

Real processes with a PostgreSQL of their own, against targets that go up and down and count who
asks. At the end the books must balance: each due instant has one result or is recorded as missed;
spans and incidents are those that the results add up to, without gap, overlap or double; each event
was told at least once and under one key. Each discrepancy is printed, and the exit status is 1.
"""

import contextlib
import shutil
import tempfile
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import psycopg
from django.db import connection

from accounts.models import Team
from alerts.actions import create_channel, create_policy
from monitors.actions import create_monitor
from uptime.bench.books import Books, audit, audit_leases, open_books
from uptime.bench.installation import STOP_WITHIN_S, Installation
from uptime.bench.witness import Evidence, Witness, witness

KEYS = {
    "discrepancies": "how many; the exit status is 1 unless it is 0",
    "faults": "how many were done",
    "results": "stored, in all",
    "missed": "due instants that passed unchecked, all of them recorded",
    "repeated": "checks whose result was lost by a fault, so that the target was asked once more",
    "unanswered": "checks that got no answer, as of a process that was frozen",
    "incidents": "opened",
    "deliveries": "sent",
    "deliveries_repeated": "of those, sent more than once under the same key",
    "recovery_s": "from the last fault until all is well: all up, all told, ready",
    "stop_s": "to stop",
}

INTERVAL_S = 5
RECOVER_WITHIN_S = 90
# Longer than a shift may be silent before its work is given to others.
FREEZE_S = 12


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--rate", type=int, default=100, help="checks a second (100)")
    parser.add_argument("--seconds", type=int, default=300, help="of faults (300)")
    parser.add_argument("--every", type=float, default=6, help="seconds between two faults (6)")
    parser.add_argument("--seed", type=int, default=1, help="of faults and targets (1)")


def run(options: Mapping[str, Any]) -> dict[str, float]:
    home = Path(tempfile.mkdtemp(prefix="uptime-faults-"))
    home.chmod(0o755)
    product = Installation(home)
    try:
        with witness(seed=options["seed"]) as outside:
            result, discrepancies = _run(product, outside, options)
        for line in discrepancies:
            print(f"DISCREPANCY {line}", flush=True)
        if discrepancies:
            print(f"What was said is kept in {_keep_output(product)}", flush=True)
        return result
    finally:
        product.kill_all()
        connection.close()
        shutil.rmtree(home, ignore_errors=True)


def _keep_output(product: Installation) -> Path:
    kept = Path(tempfile.mkdtemp(prefix="uptime-faults-output-")) / product.output.name
    return product.output.rename(kept)


def _run(
    product: Installation, outside: Witness, options: Mapping[str, Any]
) -> tuple[dict[str, float], list[str]]:
    seconds, monitors = options["seconds"], options["rate"] * INTERVAL_S
    product.start()
    _connect(product)
    print(f"Making {monitors} monitors", flush=True)
    _make_monitors(outside, monitors)
    product.start_remote()
    chaos = Chaos(product, Random(options["seed"]))  # noqa: S311 - the same each time
    chaos.run(seconds=seconds, every_s=options["every"])
    outside.calm()
    recovery_s, discrepancies = _recover(product)
    stop_s = product.stop()
    if stop_s > STOP_WITHIN_S:
        discrepancies.append(f"it took {stop_s:.0f} s to stop")
    with product.database_alone():
        _connect(product)
        books, evidence = open_books(), outside.evidence()
        discrepancies += [*audit(books, evidence), *audit_leases()]
        connection.close()
    figures = _figures(books, evidence)
    return {
        "discrepancies": len(discrepancies),
        "faults": chaos.done,
        **figures,
        "recovery_s": round(recovery_s, 1),
        "stop_s": round(stop_s, 1),
    }, discrepancies


def _connect(product: Installation) -> None:
    """Have the ORM, in this process, speak with that product's database."""
    connection.close()
    parameters = psycopg.conninfo.conninfo_to_dict(product.dsn)
    connection.settings_dict.update(
        NAME=parameters["dbname"], USER=parameters["user"], HOST=parameters["host"], PORT=""
    )


def _make_monitors(outside: Witness, count: int) -> None:
    team = Team.objects.get()  # the first user's, who may send messages into this machine
    channel = create_channel(
        team=team,
        values={
            "name": "Witness",
            "type": "webhook",
            "config": {"url": outside.receiver},
            "digest_above": None,  # the books know each delivery by its own key
        },
    )
    create_policy(
        team=team,
        values={
            "name": "Everything",
            "all": True,
            "on": ["down", "degraded", "recovered"],
            "steps": [{"channels": [str(channel.pk)]}],
        },
    )
    for number in range(count):
        create_monitor(
            team=team,
            values={
                "name": f"Target {number}",
                "kind": "http",
                "target": outside.target(number),
                "interval": INTERVAL_S,
                "retry_interval": 1,
                "flap_threshold": 0,  # each outage an incident, as the books have it
            },
        )
    connection.close()


@dataclass(slots=True)
class Chaos:
    """Does faults, every kind once before any comes again."""

    product: Installation
    chance: Random
    done: int = 0
    _frozen: list[threading.Timer] = field(default_factory=list)

    def run(self, *, seconds: float, every_s: float) -> None:
        began, kinds = time.monotonic(), iter(self._kinds())
        while (at_s := time.monotonic() - began) < seconds:
            fault = next(kinds)
            print(f"{at_s:6.1f} s  {fault()}; {self._state()}", flush=True)
            self.done += 1
            time.sleep(self.chance.uniform(0.5, 1.5) * every_s)
            self.product.start_remote()  # whoever runs it restarts what died, and mends the line
        for timer in self._frozen:
            timer.join()

    def _kinds(self) -> Iterator[Callable[[], str]]:
        kinds: Sequence[Callable[[], str]] = (
            lambda: self._kill("worker checks"),
            lambda: self._kill("worker default"),
            lambda: self._kill("manage.py web"),
            lambda: self._kill("manage.py worker checks"),
            self._kill_shift,
            self._kill_database,
            self._kill_backend,
            self._end_connections,
            self._cut_line,
            self._freeze_shift,
            self._cut_power,
        )
        while True:
            yield from self.chance.sample(kinds, len(kinds))

    def _kill(self, name: str) -> str:
        return self._end(self.product.processes(name), name)

    def _end(self, processes: Sequence[psutil.Process], name: str) -> str:
        if not processes:
            return f"no {name} to kill"
        victim = self.chance.choice(processes)
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
        return f"killed {name} ({victim.pid})"

    def _kill_database(self) -> str:
        return self._end(self.product.processes("bin/postgres")[:1], "PostgreSQL")

    def _kill_backend(self) -> str:
        return self._end(self.product.processes("bin/postgres")[1:], "a process of PostgreSQL")

    def _end_connections(self) -> str:
        with contextlib.suppress(psycopg.Error):
            self.product.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        return "ended all connections"

    def _cut_line(self) -> str:
        self.product.cut_line()
        return "cut the second machine's line"

    def _cut_power(self) -> str:
        self.product.kill_supervisor()
        self.product.start()
        return "killed the supervisor with all it had started, and started again"

    def _kill_shift(self) -> str:
        return self._end(self._shift(), "the shift of checks")

    def _freeze_shift(self) -> str:
        """A process that is stopped is dead to the others; when it goes on it must not do harm."""
        shift = self._shift()
        for process in shift:
            process.suspend()
            self._frozen.append(threading.Timer(FREEZE_S, _wake, [process]))
            self._frozen[-1].start()
        return f"froze the shift of checks {[process.pid for process in shift]} for {FREEZE_S} s"

    def _shift(self) -> list[psutil.Process]:
        with contextlib.suppress(psycopg.Error, psutil.Error):
            rows = self.product.execute(
                "SELECT pid FROM monitors_shift WHERE duty = 'checks' AND NOT is_draining"
            )
            return [psutil.Process(pid) for (pid,) in rows if isinstance(pid, int)]
        return []

    def _state(self) -> str:
        with contextlib.suppress(psycopg.Error):
            ((results, incidents, overdue),) = self.product.execute(
                "SELECT (SELECT count(*) FROM monitors_result),"
                " (SELECT count(*) FROM incidents_incident), (SELECT count(*) FROM"
                " monitors_assignment WHERE next_due_at < now() - interval '2 seconds')"
            )
            return f"{results} results, {incidents} incidents, {overdue} overdue"
        return "the database is away"


def _wake(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()


def _recover(product: Installation) -> tuple[float, list[str]]:
    """Wait until all is well; seconds, and what was not well after `RECOVER_WITHIN_S`."""
    began = time.monotonic()
    while True:
        trouble = _trouble(product)
        spent_s = time.monotonic() - began
        if not trouble or spent_s > RECOVER_WITHIN_S:
            return spent_s, trouble
        time.sleep(0.25)


def _trouble(product: Installation) -> list[str]:
    try:
        rows = product.execute(
            """
            SELECT 'monitors not up', count(*) FROM monitors_monitor WHERE status <> 'up'
            UNION ALL SELECT 'overdue', count(*) FROM monitors_assignment
                WHERE next_due_at < now() - interval '3 seconds'
            UNION ALL SELECT 'incidents open', count(*) FROM incidents_incident
                WHERE status <> 'resolved'
            UNION ALL SELECT 'deliveries not sent', count(*) FROM alerts_delivery
                WHERE next_attempt_at IS NOT NULL
            """
        )
    except psycopg.Error as error:
        return [f"no recovery: the database is away ({error})"]
    found = [f"no recovery: {count} {what}" for what, count in rows if count]
    try:
        with urlopen(f"http://127.0.0.1:{product.port}/health/ready", timeout=10):
            return found
    except HTTPError as error:
        return [*found, f"no recovery: {error.read().decode()}"]
    except OSError as error:
        return [*found, f"no recovery: the web does not answer ({error})"]


def _figures(books: Sequence[Books], evidence: Evidence) -> dict[str, float]:
    results = [result for one in books for result in one.results]
    answered = sum(result.http_status is not None for result in results)
    asked = sum(evidence.up.values()) + sum(evidence.down.values())
    return {
        "results": len(results),
        "missed": sum(one.assignment.missed for one in books),
        "repeated": asked - answered,
        "unanswered": len(results) - answered,
        "incidents": sum(len(one.incidents) for one in books),
        "deliveries": len(evidence.told),
        "deliveries_repeated": sum(count > 1 for count in evidence.told.values()),
    }
