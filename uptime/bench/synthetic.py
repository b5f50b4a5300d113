"""Checks as they might have been: https over the internet, once a minute, one in 200 failing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from uuid import uuid4

from probe.values import Finished, Job, Observation, Phases, Reason, Spec, Status

INTERVAL = timedelta(minutes=1)

_SPEC = Spec(
    monitor_id=uuid4(),
    revision=1,
    kind="http",
    target="https://www.example.org/",
    interval=INTERVAL,
    timeout=timedelta(seconds=10),
    failure_threshold=2,
    recovery_threshold=1,
    retry_interval=timedelta(seconds=5),
    settings=None,
)
_FAILED = Observation(
    Status.DOWN, Reason.HTTP_STATUS, "The answer had the status 503.", 212.0, http_status=503
)


def synthetic_checks(
    assignment_id: int, *, since: datetime, until: datetime, chance: Random
) -> Iterator[Finished]:
    """One check a minute from `since` to before `until`, started a millisecond or so late."""
    cert_expires_at = until + timedelta(days=60)
    due_at = since + timedelta(seconds=assignment_id % 60)
    while due_at < until:
        started_at = due_at + timedelta(microseconds=200 + round(chance.expovariate(1 / 800)))
        is_down = chance.random() < 1 / 200
        seen = _FAILED if is_down else _passed(chance, cert_expires_at)
        job = Job(assignment_id, _SPEC, due_at)
        yield Finished(job, seen, started_at, started_at + timedelta(seconds=1))
        due_at += INTERVAL


def _passed(chance: Random, cert_expires_at: datetime) -> Observation:
    """Times of a whole number of microseconds, as libcurl measures them."""
    phases = [
        round(middle_ms * chance.lognormvariate(0, spread), 3)
        for middle_ms, spread in ((5, 0.4), (20, 0.1), (40, 0.12), (120, 0.12), (0.3, 0.3))
    ]
    return Observation(
        Status.UP,
        latency_ms=round(sum(phases) + chance.randrange(3) / 1000, 3),
        phases=Phases(*phases),
        http_status=200,
        cert_expires_at=cert_expires_at,
    )
