"""Figures of a window: the same from rollups as from the single results, in a few queries."""

from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from incidents.models import Incident
from monitors.figures import Figures, group_figures, monitor_figures, time_spent
from monitors.histograms import Latencies
from monitors.models import (
    Assignment,
    Chore,
    Monitor,
    PackedResults,
    Status,
    StatusSpan,
    WeekRollup,
)
from monitors.partitions import drop_partitions
from monitors.statistics import Span, summarize
from tests.factories import TeamFactory, make_monitor
from tests.monitors.results import finished_check, keep_history, store_checks

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def monitor(db: None) -> Monitor:
    """Four days of checks each eleven minutes, rolled up, from the first noon on."""
    drop_partitions(before=date.max)
    monitor = make_monitor(sla_target=900)
    StatusSpan.objects.all().delete()
    assignment = Assignment.objects.get(monitor=monitor)
    chance = Random(7)
    store_checks(
        *(
            finished_check(
                assignment,
                NOON + n * 11 * MINUTE,
                chance.choice(["up"] * 8 + ["degraded", "down", "unknown"]),
                round(chance.lognormvariate(3, 1), 3),
            )
            for n in range(4 * 24 * 60 // 11)
        )
    )
    return monitor


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (NOON, NOON + 4 * DAY),
        (NOON + 13 * MINUTE, NOON + 3 * DAY + 7 * MINUTE),
        (NOON + 5 * HOUR, NOON + 5 * HOUR + 40 * MINUTE),
        (NOON + 70 * MINUTE, NOON + 100 * MINUTE),
        (NOON - 30 * DAY, NOON + 90 * DAY),
    ],
)
def test_rollups_tell_what_the_single_results_tell(
    monitor: Monitor, since: datetime, until: datetime
) -> None:
    single = monitor_figures(monitor, since=since, until=until).checks
    keep_history(NOON + 3 * DAY)
    rolled = monitor_figures(monitor, since=since, until=until).checks

    for name in ("up", "degraded", "down", "unknown"):
        assert getattr(rolled, name) == getattr(single, name)
    assert rolled.latencies.buckets == single.latencies.buckets
    assert PackedResults.objects.exists()
    assert WeekRollup.objects.exists()
    assert rolled.latencies.sum_ms == pytest.approx(single.latencies.sum_ms)
    assert rolled.latencies.min_ms == pytest.approx(single.latencies.min_ms)
    assert rolled.latencies.max_ms == pytest.approx(single.latencies.max_ms)


def test_the_number_of_queries_does_not_grow_with_the_window(monitor: Monitor) -> None:
    keep_history(NOON + 3 * DAY)
    counts = []
    for days in (1, 30, 365):
        with CaptureQueriesContext(connection) as queries:
            monitor_figures(monitor, since=NOON - days * DAY, until=NOON + 4 * DAY)
        counts.append(len(queries))

    assert len(set(counts)) == 1


def add_spans(monitor: Monitor, *lengths: tuple[str, timedelta]) -> None:
    at = NOON
    for status, length in lengths:
        StatusSpan.objects.create(
            monitor=monitor, status=status, started_at=at, ended_at=at + length
        )
        at += length
    StatusSpan.objects.create(monitor=monitor, status="up", started_at=at)


def test_the_database_adds_up_spans_as_the_arithmetic_does(monitor: Monitor) -> None:
    chance = Random(11)
    lengths = [
        (chance.choice(Status.values), timedelta(microseconds=chance.randrange(10**11)))
        for _ in range(200)
    ]
    add_spans(monitor, *lengths)
    spans = [
        Span(Status(one.status), one.started_at, one.ended_at) for one in StatusSpan.objects.all()
    ]

    for _ in range(20):
        since = NOON + timedelta(microseconds=chance.randrange(-(10**11), 2 * 10**13))
        until = since + timedelta(microseconds=chance.randrange(1, 10**13))
        found = time_spent([monitor.pk], since=since, until=until)
        wanted = summarize(spans, since=since, until=until)
        assert found.get(monitor.pk, summarize([], since=since, until=until)) == wanted


def add_incident(monitor: Monitor, started_at: datetime, length: timedelta | None) -> None:
    Incident.objects.create(
        team=monitor.team,
        monitor=monitor,
        severity="down",
        started_at=started_at,
        confirmed_at=started_at,
        status="resolved" if length else "open",
        resolved_at=started_at + length if length else None,
    )


def test_incidents_count_where_they_began(monitor: Monitor) -> None:
    add_spans(monitor, ("up", 20 * HOUR))
    add_incident(monitor, NOON - MINUTE, HOUR)  # before
    add_incident(monitor, NOON, HOUR)
    add_incident(monitor, NOON + 2 * HOUR, 3 * HOUR)
    add_incident(monitor, NOON + 6 * HOUR, None)
    add_incident(make_monitor(monitor.team), NOON, HOUR)  # another's

    found = monitor_figures(monitor, since=NOON, until=NOON + 12 * HOUR)

    assert found.incidents.count == 3
    assert found.incidents.mttr == 2 * HOUR
    assert found.incidents.mtbf(found.spent) == 4 * HOUR


def test_a_group_is_the_sum_of_its_members(monitor: Monitor) -> None:
    other = make_monitor(monitor.team, sla_target=999)
    make_monitor(TeamFactory())
    StatusSpan.objects.all().delete()
    store_checks(finished_check(Assignment.objects.get(monitor=other), NOON, "down"))
    add_spans(monitor, ("up", 9 * HOUR), ("down", HOUR))
    add_spans(other, ("down", HOUR))
    keep_history(NOON + 9 * DAY)
    window = {"since": NOON, "until": NOON + 10 * HOUR}

    found = group_figures(Monitor.objects.visible_to(monitor.team), **window)

    parts: list[Figures] = [monitor_figures(one, **window) for one in (monitor, other)]
    assert found.monitors == 2
    assert (found.spent.up, found.spent.down) == (18 * HOUR, 2 * HOUR)
    assert found.checks.down == sum(part.checks.down for part in parts)
    merged = Latencies()
    for part in parts:
        merged.add(part.checks.latencies)
    assert found.checks.latencies.buckets == merged.buckets
    kept = {pk: promise.is_kept for pk, promise in found.promises.items()}
    assert kept == {monitor.pk: True, other.pk: False}


def test_a_group_of_none_has_no_figures(db: None) -> None:
    found = group_figures(Monitor.objects.none(), since=NOON, until=NOON + HOUR)

    assert (found.monitors, found.spent.uptime_percent) == (0, None)
    assert found.checks.latencies.avg_ms is None


def test_without_rollups_all_comes_from_the_results(monitor: Monitor) -> None:
    assert not Chore.objects.exists()

    found = monitor_figures(monitor, since=NOON, until=NOON + HOUR)

    assert found.checks.up + found.checks.degraded + found.checks.down + found.checks.unknown == 6
