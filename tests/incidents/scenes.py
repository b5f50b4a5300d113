"""What the tests of incidents begin with: checks of monitors, as an engine would bring them."""

import itertools
from datetime import datetime
from uuid import uuid4

from monitors.models import Assignment, Location, Monitor, StatusSpan
from monitors.specs import spec_of
from probe.values import Finished, Job, Observation, Reason
from probe.values import Status as Seen
from uptime.clock import database_now
from uptime.intake import take_in

UP = Observation(Seen.UP, latency_ms=12.5)
SLOW = Observation(Seen.DEGRADED, Reason.LATENCY, "Took 900 ms.", latency_ms=900.0)
REFUSED = Observation(Seen.DOWN, Reason.CONNECT_REFUSED, "Refused.", latency_ms=1.0)
OURS = Observation(Seen.UNKNOWN, Reason.CHECK_ERROR, "A bug of ours.")


def make_locations(*slugs: str) -> list[str]:
    for slug in slugs:
        Location.objects.get_or_create(slug=slug, defaults={"name": slug})
    return list(slugs)


def leased(
    monitor: Monitor,
    observation: Observation,
    *,
    at: datetime | None = None,
    location: str = Location.LOCAL,
) -> Finished:
    """The monitor's next check there, made `at` that time; its lease is of `OWNER`."""
    at = at or database_now()
    assignment = Assignment.objects.get(monitor=monitor, location__slug=location)
    assignment.next_due_at, assignment.lease_owner = at, OWNER
    assignment.save()
    job = Job(assignment.id, spec_of(monitor), at, assignment.attempt)
    return Finished(job, observation, started_at=at, finished_at=at)


OWNER = uuid4()


def observe(
    monitor: Monitor,
    *observations: Observation,
    at: datetime | None = None,
    location: str = Location.LOCAL,
) -> Monitor:
    """Take in these checks, one after the other; returns the monitor as it is then."""
    for observation in observations:
        assert take_in([leased(monitor, observation, at=at, location=location)], owner=OWNER) == 1
    return Monitor.objects.get(pk=monitor.pk)


def assert_spans_meet(monitor: Monitor) -> None:
    """The history has neither gap nor overlap, and ends in what the monitor is."""
    spans = list(StatusSpan.objects.filter(monitor=monitor).order_by("started_at", "id"))
    assert spans[0].started_at == monitor.created_at
    for before, after in itertools.pairwise(spans):
        assert before.ended_at == after.started_at
        assert before.status != after.status
    assert spans[-1].ended_at is None
    status = Monitor.objects.get(pk=monitor.pk).status
    assert spans[-1].status == ("down" if status == "recovering" else status)
