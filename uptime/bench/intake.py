"""The intake alone: batches of passing checks are stored and decided on a scratch database.

Each round leases the batch, finishes it in memory and takes it in. The floor is the same result
rows written by one COPY a batch, and nothing else.
"""

from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

from monitors.leasing import lease_due
from monitors.models import Assignment, Location, Monitor
from monitors.models import Status as Up
from monitors.specs import SpecCache
from monitors.storing import copy_results
from probe.values import Finished, Job, Observation, Phases, Status
from uptime.bench.engine import scratch_database, seed
from uptime.bench.measure import Meter
from uptime.clock import database_now
from uptime.intake import take_in

KEYS = {
    "cpu_ms_per_check": "CPU of the intake's process per check",
    "postgres_cpu_ms_per_check": "CPU of PostgreSQL per check",
    "lease_cpu_ms_per_check": "CPU of the leasing process per check",
    "lease_postgres_cpu_ms_per_check": "CPU of PostgreSQL for the lease per check",
    "floor_cpu_ms_per_check": "CPU of a COPY of the same rows, both sides together",
    "checks_per_s": "checks taken in per second of wall clock, by one process",
}

SEEN = Observation(
    Status.UP, latency_ms=12.5, phases=Phases(0.1, 1.2, None, 9.0, 2.2), http_status=200
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--monitors", type=int, default=10_000, help="how many there are (10000)")
    parser.add_argument("--batch", type=int, default=500, help="checks in a batch (500)")
    parser.add_argument("--rounds", type=int, default=40, help="batches (40)")


def run(options: Mapping[str, Any]) -> dict[str, float]:
    with scratch_database() as postgres_pid:
        seed(options["monitors"], timedelta(seconds=60), "http://127.0.0.1:9/")
        Monitor.objects.update(status=Up.UP)
        Assignment.objects.update(state=Up.UP)
        lease, intake, floor = (Meter(postgres_pid) for _ in range(3))
        specs, owner = SpecCache(), uuid4()
        local = Location.objects.get(slug=Location.LOCAL).id
        taken = 0
        for _ in range(options["rounds"]):
            with lease.measuring():
                _, leased = lease_due(
                    owner=owner, location_id=local, limit=options["batch"], ahead=timedelta(days=1)
                )
            found = specs.get((one.monitor_id, one.revision) for one in leased)
            now = database_now()
            batch = [
                Finished(
                    Job(one.assignment_id, found[one.monitor_id], one.due_at),
                    SEEN,
                    now + timedelta(microseconds=place),
                    now + timedelta(milliseconds=12),
                )
                for place, one in enumerate(leased)
            ]
            with intake.measuring():
                taken += take_in(batch, owner=owner)
            shifted = [
                Finished(one.job, one.observation, one.started_at + timedelta(hours=1), now)
                for one in batch
            ]
            with floor.measuring():
                copy_results(shifted)
    return {
        "cpu_ms_per_check": round(intake.cpu_s / taken * 1000, 4),
        "postgres_cpu_ms_per_check": round(intake.postgres_cpu_s / taken * 1000, 4),
        "lease_cpu_ms_per_check": round(lease.cpu_s / taken * 1000, 4),
        "lease_postgres_cpu_ms_per_check": round(lease.postgres_cpu_s / taken * 1000, 4),
        "floor_cpu_ms_per_check": round((floor.cpu_s + floor.postgres_cpu_s) / taken * 1000, 4),
        "checks_per_s": round(taken / intake.wall_s, 1),
    }
