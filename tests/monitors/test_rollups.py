"""Rollups add up what the checks saw, however often, and however late the results came."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test import override_settings

from monitors import chores, rollups
from monitors.chores import run_chore
from monitors.histograms import Latencies
from monitors.models import (
    Assignment,
    Chore,
    DayRollup,
    HourRollup,
    LateResult,
    Monitor,
    Ping,
    PingKind,
    WeekRollup,
)
from monitors.partitions import drop_partitions, existing_partitions
from tests.factories import make_monitor
from tests.monitors.results import finished_check, keep_history, store_checks
from uptime import health
from uptime.operations import delete_monitor

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# The first day is rolled up, and not packed yet.
A_DAY_ON = NOON + 30 * HOUR


@pytest.fixture
def _on_a_clear_field(db: None) -> None:
    """No partitions but those of the test's own time."""
    drop_partitions(before=date.max)


pytestmark = pytest.mark.usefixtures("_on_a_clear_field")


@pytest.fixture
def assignment() -> Assignment:
    return Assignment.objects.get(monitor=make_monitor())


def hour(assignment: Assignment, started_at: datetime) -> HourRollup:
    return HourRollup.objects.get(assignment=assignment, started_at=started_at)


@pytest.mark.django_db
def test_an_hour_is_counted_by_status_and_its_latency_told(assignment: Assignment) -> None:
    store_checks(
        finished_check(assignment, NOON, "up", 10.0),
        finished_check(assignment, NOON + MINUTE, "degraded", 1000.0),
        finished_check(assignment, NOON + 2 * MINUTE, "down", 10_000.0),
        finished_check(assignment, NOON + 3 * MINUTE, "unknown", None),
        finished_check(assignment, NOON + HOUR - timedelta(microseconds=1), "up", 20.0),
        finished_check(assignment, NOON + HOUR, "up", 77.0),
    )

    keep_history(NOON + 3 * HOUR)

    noon = hour(assignment, NOON)
    assert (noon.up, noon.degraded, noon.down, noon.unknown) == (2, 1, 1, 1)
    assert (noon.latency_sum_ms, noon.latency_min_ms, noon.latency_max_ms) == (1030, 10, 1000)
    assert noon.histogram == Latencies.of([10, 20, 1000]).buckets
    assert hour(assignment, NOON + HOUR).up == 1


@pytest.mark.django_db
def test_checks_without_latency_leave_the_histogram_empty(assignment: Assignment) -> None:
    store_checks(finished_check(assignment, NOON, "up", None))

    keep_history(A_DAY_ON)

    for rollup in (hour(assignment, NOON), DayRollup.objects.get()):
        assert (rollup.up, rollup.histogram, rollup.latency_min_ms) == (1, {}, None)


@pytest.mark.django_db
def test_an_hour_waits_until_its_last_results_are_surely_stored(assignment: Assignment) -> None:
    store_checks(finished_check(assignment, NOON))

    keep_history(NOON + HOUR + rollups.GRACE - timedelta(seconds=1))
    assert not HourRollup.objects.exists()

    keep_history(NOON + HOUR + rollups.GRACE)
    assert HourRollup.objects.count() == 1


@pytest.mark.django_db
def test_a_day_is_the_sum_of_its_hours(assignment: Assignment) -> None:
    values = [float(n) for n in range(1, 73)]
    midnight = NOON - NOON.hour * HOUR
    store_checks(
        *(
            finished_check(assignment, midnight + n * 20 * MINUTE, "up", value)
            for n, value in enumerate(values)
        ),
        finished_check(assignment, midnight + DAY, "down"),
    )

    keep_history(NOON + 2 * DAY)

    day, next_day = DayRollup.objects.order_by("started_at")
    assert day.started_at == midnight
    assert (day.up, day.down, day.latency_sum_ms) == (72, 0, sum(values))
    assert day.histogram == Latencies.of(values).buckets
    assert (next_day.started_at, next_day.down) == (midnight + DAY, 1)


@pytest.mark.django_db
def test_a_week_is_the_sum_of_its_days_from_monday_on(assignment: Assignment) -> None:
    other = Assignment.objects.get(monitor=make_monitor(assignment.monitor.team))
    monday, values = NOON - 6 * DAY - 12 * HOUR, [float(n) for n in range(1, 15)]
    for n, value in enumerate(values):
        DayRollup.objects.create(
            assignment=assignment if n != 3 else other, started_at=monday + n * DAY, up=1, down=n,
            degraded=0, unknown=0, latency_sum_ms=value, latency_min_ms=value,
            latency_max_ms=value, histogram=Latencies.of([value]).buckets,
        )  # fmt: skip
    Chore.objects.create(name=chores.DAYS, done_until=monday + 13 * DAY)

    keep_history(NOON, only=chores.WEEKS)

    one = WeekRollup.objects.get(assignment=assignment)
    seen = values[:3] + values[4:7]
    assert (one.started_at, one.up, one.down) == (monday, 6, 0 + 1 + 2 + 4 + 5 + 6)
    assert (one.latency_sum_ms, one.latency_min_ms, one.latency_max_ms) == (sum(seen), 1, 7)
    assert one.histogram == Latencies.of(seen).buckets
    assert WeekRollup.objects.get(assignment=other).up == 1
    assert Chore.objects.get(pk=chores.WEEKS).done_until == monday + 7 * DAY


def everything() -> list[tuple[object, ...]]:
    kinds = (HourRollup, DayRollup, WeekRollup)
    return [row for kind in kinds for row in kind.objects.order_by("pk").values_list()]


@pytest.mark.django_db
def test_doing_it_again_changes_nothing(assignment: Assignment) -> None:
    store_checks(*(finished_check(assignment, NOON + n * 7 * MINUTE) for n in range(50)))
    keep_history(A_DAY_ON)
    before = everything()

    Chore.objects.all().delete()
    keep_history(A_DAY_ON)

    assert everything() == before


@pytest.mark.django_db
def test_it_goes_on_where_it_was_cut_off(
    assignment: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "HOURS_AT_ONCE", 2)
    team = assignment.monitor.team
    assignments = [
        assignment,
        *(Assignment.objects.get(monitor=make_monitor(team)) for _ in range(4)),
    ]
    store_checks(*(finished_check(one, NOON) for one in assignments))
    Chore.objects.create(name=chores.HOURS, done_until=NOON)

    def step(chore: Chore, now: datetime) -> bool:
        return rollups.roll_up_hours(chore, NOON + HOUR + rollups.GRACE)

    counts = []
    for _ in range(4):  # a budget of nothing is one step
        run_chore(chores.HOURS, step)
        counts.append(HourRollup.objects.count())

    assert counts == [2, 4, 5, 5]
    assert Chore.objects.get(pk=chores.HOURS).done_until == NOON + HOUR


@pytest.mark.django_db
def test_late_results_are_folded_into_hour_day_and_week(assignment: Assignment) -> None:
    store_checks(finished_check(assignment, NOON, latency_ms=10.0))
    keep_history(A_DAY_ON)

    late = finished_check(assignment, NOON + MINUTE, "down")
    store_checks(late)
    rollups.note_late([late], now=datetime.now(UTC))
    assert LateResult.objects.get().hour == NOON
    keep_history(A_DAY_ON)

    assert (hour(assignment, NOON).up, hour(assignment, NOON).down) == (1, 1)
    assert (DayRollup.objects.get().down, WeekRollup.objects.get().down) == (1, 1)
    assert not LateResult.objects.exists()


@pytest.mark.django_db
def test_a_late_result_of_an_hour_yet_to_come_is_counted_there(assignment: Assignment) -> None:
    keep_history(NOON + HOUR)
    late = finished_check(assignment, NOON + 5 * HOUR)
    store_checks(late)
    rollups.note_late([late], now=datetime.now(UTC))

    keep_history(NOON + HOUR)
    assert not HourRollup.objects.exists()
    keep_history(NOON + 7 * HOUR)
    assert hour(assignment, NOON + 5 * HOUR).up == 1


@pytest.mark.django_db
def test_what_comes_in_time_leaves_no_mark(assignment: Assignment) -> None:
    rollups.note_late([finished_check(assignment, datetime.now(UTC))], now=datetime.now(UTC))

    assert not LateResult.objects.exists()


@pytest.mark.django_db
def test_a_failure_is_seen_in_health_and_mended_by_the_next_run(assignment: Assignment) -> None:
    store_checks(finished_check(assignment, NOON))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE monitors_hourrollup ADD CONSTRAINT broken CHECK (up < 1)")
    keep_history(NOON + 3 * HOUR)
    first = Chore.objects.get(pk=chores.HOURS)
    keep_history(NOON + 3 * HOUR)

    failing = Chore.objects.get(pk=chores.HOURS)
    assert "broken" in failing.error
    assert failing.failing_since == first.failing_since
    assert failing.done_until == NOON
    part = health.examine_history(NOON)
    assert not part.is_ok
    assert part.message == "failing, and tried again each minute: hour rollups"

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE monitors_hourrollup DROP CONSTRAINT broken")
    keep_history(NOON + 3 * HOUR)

    assert health.examine_history(NOON).is_ok
    assert hour(assignment, NOON).up == 1


@pytest.mark.django_db
def test_hours_go_with_the_results_and_days_stay(assignment: Assignment) -> None:
    store_checks(finished_check(assignment, NOON), finished_check(assignment, NOON + DAY))
    keep_history(NOON + 2 * DAY)

    with override_settings(RETENTION_DAYS=1):
        keep_history(NOON + 2 * DAY)

    assert [one.started_at for one in HourRollup.objects.all()] == [NOON + DAY]
    assert DayRollup.objects.count() == 2


@pytest.mark.django_db
def test_pings_go_with_the_results() -> None:
    heartbeat = make_monitor(kind="heartbeat")
    for at in (NOON, NOON + DAY):
        Ping.objects.create(monitor=heartbeat, kind=PingKind.SUCCESS, at=at, method="GET")

    with override_settings(RETENTION_DAYS=1):
        keep_history(NOON + 2 * DAY)

    assert [one.at for one in Ping.objects.all()] == [NOON + DAY]


@pytest.mark.django_db
def test_rollups_go_with_their_monitor(assignment: Assignment) -> None:
    store_checks(finished_check(assignment, NOON))
    keep_history(A_DAY_ON)

    delete_monitor(monitor=Monitor.objects.get())

    assert not everything()


@pytest.mark.django_db
def test_a_new_installation_begins_with_the_present_hour() -> None:
    assert existing_partitions() == []

    keep_history(NOON + 3 * HOUR + MINUTE)

    assert Chore.objects.get(pk=chores.HOURS).done_until == NOON + 3 * HOUR
