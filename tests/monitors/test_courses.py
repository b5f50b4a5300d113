"""The course of a monitor's latency, step by step."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from monitors.courses import ZOOMS, Zoom, course_of
from monitors.models import Assignment, DayRollup, HourRollup
from probe.values import Phases
from tests.factories import make_monitor
from tests.monitors.results import finished_check, store_checks
from uptime.clock import database_now

NOW = datetime(2026, 3, 10, 14, 30, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("zoom", ZOOMS.values(), ids=ZOOMS)
def test_the_steps_cover_the_window_and_end_with_the_present(zoom: Zoom) -> None:
    steps = course_of(make_monitor(), zoom, now=NOW)
    assert steps[-1].at <= NOW < steps[-1].until
    assert NOW - steps[0].at >= zoom.length - zoom.step
    assert all(one.until == other.at for one, other in pairwise(steps))
    assert {one.percentiles_ms for one in steps} == {(None, None, None)}


@pytest.mark.parametrize(("name", "rollup"), [("30d", HourRollup), ("1y", DayRollup)])
def test_rollups_of_one_step_are_one(name: str, rollup: type[HourRollup] | type[DayRollup]) -> None:
    assignment = Assignment.objects.get(monitor=make_monitor())
    zoom = ZOOMS[name]
    step = course_of(assignment.monitor, zoom, now=NOW)[-3]
    for place, bucket in ((0, 30), (1, 50)):
        rollup.objects.create(
            assignment=assignment, started_at=step.at + place * zoom.step / 2, latency_sum_ms=60,
            latency_min_ms=9, latency_max_ms=48, up=10, degraded=0, down=0, unknown=0,
            histogram={bucket: 10},
        )  # fmt: skip
    found = course_of(assignment.monitor, zoom, now=NOW)
    assert found[-3].checks == 20
    median, high, _ = found[-3].percentiles_ms
    assert median == pytest.approx(9.7, rel=0.05)
    assert high == pytest.approx(45, rel=0.08)
    assert sum(one.checks for one in found) == 20


def test_short_windows_are_read_from_what_was_answered() -> None:
    monitor = make_monitor()
    assignment = Assignment.objects.get(monitor=monitor)
    now = database_now()
    store_checks(
        finished_check(assignment, now - timedelta(minutes=5), latency_ms=20.0),
        finished_check(assignment, now - timedelta(minutes=4), "down", latency_ms=9000.0),
    )
    found = [one for one in course_of(monitor, ZOOMS["1h"], now=now) if one.checks]
    assert [one.percentiles_ms for one in found] == [(20.0, 20.0, 20.0)]
    assert found[0].phases_ms == (0, 5.0, 0, 10.0, 0)


def test_phases_are_means_of_a_step_that_add_up() -> None:
    monitor = make_monitor()
    assignment = Assignment.objects.get(monitor=monitor)
    now = database_now()
    at = course_of(monitor, ZOOMS["24h"], now=now)[-3].at
    store_checks(
        finished_check(assignment, at, phases=Phases(dns_ms=4, first_byte_ms=10)),
        finished_check(assignment, at + timedelta(minutes=14), phases=Phases(first_byte_ms=20)),
        finished_check(assignment, at + timedelta(minutes=15), phases=Phases(first_byte_ms=70)),
    )
    found = [one.phases_ms for one in course_of(monitor, ZOOMS["24h"], now=now)]
    assert found[-3:] == [(2.0, 0, 0, 15.0, 0), (0, 0, 0, 70.0, 0), ()]
    assert not any(found[:-3])
