"""How monitors spent each day, against the same arithmetic done span by span."""

from datetime import UTC, datetime, timedelta

import pytest

from monitors.days import DAY, daily_time, days_of_spans, first_day, hourly_latency
from monitors.models import Assignment, HourRollup, Monitor, Status, StatusSpan
from monitors.statistics import Span
from tests.factories import make_monitor

NOW = datetime(2026, 3, 10, 14, 30, tzinfo=UTC)
SINCE = first_day(NOW, 5)


def lived(monitor: Monitor, *stretches: tuple[Status, float]) -> None:
    """Each status from so many hours ago to the next one's."""
    StatusSpan.objects.filter(monitor=monitor).delete()
    starts = [NOW - timedelta(hours=hours) for _, hours in stretches]
    StatusSpan.objects.bulk_create(
        StatusSpan(monitor=monitor, status=status, started_at=start, ended_at=end)
        for (status, _), start, end in zip(stretches, starts, [*starts[1:], None], strict=True)
    )


def test_the_last_of_the_days_is_today() -> None:
    assert datetime(2026, 3, 6, tzinfo=UTC) == SINCE


@pytest.mark.django_db
@pytest.mark.parametrize(
    "stretches",
    [
        [(Status.UP, 300)],
        [(Status.UP, 30), (Status.DOWN, 20), (Status.UP, 1)],
        [(Status.PENDING, 80), (Status.UP, 79.5), (Status.DEGRADED, 26), (Status.UP, 2)],
        [(Status.DOWN, 400), (Status.MAINTENANCE, 90), (Status.PAUSED, 50), (Status.UP, 14.5)],
        [(Status.UP, 62.5), (Status.DOWN, 38.5), (Status.UP, 14.5)],
        [(Status.UP, 3), (Status.DOWN, 0.001)],
    ],
    ids=["always up", "an outage", "young", "all of it", "on the stroke of midnight", "just now"],
)
def test_each_day_is_the_sum_of_its_spans(stretches: list[tuple[Status, float]]) -> None:
    monitor = make_monitor()
    lived(monitor, *stretches)
    spans = [
        Span(Status(one.status), one.started_at, one.ended_at)
        for one in StatusSpan.objects.filter(monitor=monitor)
    ]

    days = daily_time([monitor.pk], since=SINCE, until=NOW)[monitor.pk]

    assert days == days_of_spans(spans, since=SINCE, until=NOW)
    assert len(days) == 5


@pytest.mark.django_db
def test_a_monitor_without_any_span_is_unknown_all_along() -> None:
    monitor = make_monitor()
    StatusSpan.objects.filter(monitor=monitor).delete()
    days = daily_time([monitor.pk], since=SINCE, until=NOW)[monitor.pk]
    assert [day.unknown for day in days] == [DAY] * 4 + [timedelta(hours=14, minutes=30)]


@pytest.mark.django_db
def test_latency_is_the_mean_of_the_answered_checks_of_all_locations() -> None:
    monitor = make_monitor()
    (one,) = Assignment.objects.filter(monitor=monitor)
    hour = NOW.replace(minute=0) - timedelta(hours=2)
    rows = [(hour, 600.0, [4, 2]), (hour + timedelta(hours=1), 0.0, [])]
    for started_at, total_ms, counts in rows:
        HourRollup.objects.create(
            assignment=one,
            started_at=started_at,
            latency_sum_ms=total_ms,
            up=6,
            degraded=0,
            down=0,
            unknown=0,
            histogram=dict(enumerate(counts)),
        )

    found = hourly_latency([monitor.pk], since=NOW - DAY, until=NOW)

    assert found == {monitor.pk: [(hour, 100.0), (hour + timedelta(hours=1), None)]}
