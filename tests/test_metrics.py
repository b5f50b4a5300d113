"""Counters that survive processes and rollbacks, and what `/metrics` makes of them."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ
from prometheus_client.parser import text_string_to_metric_families

from accounts.models import Team
from alerts.models import Channel, Delivery
from incidents.models import Incident
from monitors.models import Assignment, Location, Monitor, Shift
from probe.values import Finished, Job, Observation, Spec, Status
from uptime import counters, metrics
from uptime.models import Counter

DUE_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def finished(
    kind: str = "http",
    status: Status = Status.UP,
    *,
    late_s: float = 0.0,
    took_s: float = 0.2,
) -> Finished:
    spec = Spec(
        monitor_id=uuid4(),
        revision=1,
        kind=kind,
        target="",
        interval=timedelta(seconds=60),
        timeout=timedelta(seconds=10),
        failure_threshold=2,
        recovery_threshold=1,
        retry_interval=timedelta(seconds=5),
        settings=None,
    )
    started_at = DUE_AT + timedelta(seconds=late_s)
    return Finished(
        Job(1, spec, DUE_AT),
        Observation(status),
        started_at,
        started_at + timedelta(seconds=took_s),
    )


def scraped(client: Client, **headers: str) -> Samples:
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 200, response.content
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


@pytest.mark.django_db
def test_checks_are_counted_by_kind_and_status(client: Client) -> None:
    metrics.record_batch([finished(), finished(), finished(status=Status.DOWN), finished("tcp")])
    metrics.record_batch([finished(status=Status.DOWN)])
    samples = scraped(client)
    assert value(samples, "uptime_checks_total", kind="http", status="up") == 2
    assert value(samples, "uptime_checks_total", kind="http", status="down") == 2
    assert value(samples, "uptime_checks_total", kind="tcp", status="up") == 1


@pytest.mark.django_db
def test_lateness_and_duration_are_histograms_in_seconds(client: Client) -> None:
    metrics.record_batch(
        [
            finished(late_s=0.004, took_s=0.3),
            finished(late_s=0.05, took_s=0.3),  # a bound belongs to its own bucket
            finished(late_s=0.07, took_s=7),
            finished(late_s=3600, took_s=0.3),
        ]
    )
    samples = scraped(client)
    late = "uptime_check_lateness_seconds"
    assert value(samples, f"{late}_bucket", le="0.005") == 1
    assert value(samples, f"{late}_bucket", le="0.025") == 1
    assert value(samples, f"{late}_bucket", le="0.05") == 2
    assert value(samples, f"{late}_bucket", le="0.1") == 3
    assert value(samples, f"{late}_bucket", le="60.0") == 3
    assert value(samples, f"{late}_bucket", le="+Inf") == 4
    assert value(samples, f"{late}_count") == 4
    assert value(samples, f"{late}_sum") == pytest.approx(3600.124)
    took = "uptime_check_duration_seconds"
    assert value(samples, f"{took}_bucket", kind="http", le="0.25") == 0
    assert value(samples, f"{took}_bucket", kind="http", le="0.5") == 3
    assert value(samples, f"{took}_count", kind="http") == 4
    assert value(samples, f"{took}_sum", kind="http") == pytest.approx(7.9)


def test_a_clock_behind_ours_counts_as_on_time() -> None:
    counted = metrics.count_batch([finished(late_s=-1)])
    assert counted[counters.LATENESS, ("0.005",)] == 1
    assert counted[counters.LATENESS_SUM, ()] == 0


def test_a_batch_of_nothing_adds_nothing() -> None:
    assert metrics.count_batch([]) == {}
    metrics.record_batch([])  # and asks no database


@pytest.mark.django_db
def test_counts_under_bounds_of_a_former_version_fall_into_the_next_larger_one(
    client: Client,
) -> None:
    counters.add({(counters.LATENESS, ("0.07",)): 3, (counters.LATENESS, ("90.0",)): 1})
    samples = scraped(client)
    assert value(samples, "uptime_check_lateness_seconds_bucket", le="0.05") == 0
    assert value(samples, "uptime_check_lateness_seconds_bucket", le="0.1") == 3
    assert value(samples, "uptime_check_lateness_seconds_bucket", le="+Inf") == 4


@pytest.mark.django_db
def test_deliveries_are_counted_by_channel_type_and_outcome(client: Client) -> None:
    for outcome in ("failed", "failed", "sent"):
        counters.count_deliveries({("telegram", outcome): 1})
    samples = scraped(client)
    total = "uptime_deliveries_total"
    assert value(samples, total, channel="telegram", outcome="failed") == 2
    assert value(samples, total, channel="telegram", outcome="sent") == 1


@pytest.mark.django_db
def test_a_batch_costs_one_statement(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        metrics.record_batch([finished(kind) for kind in ("http", "tcp", "heartbeat")] * 100)


@pytest.mark.django_db(transaction=True)
def test_what_was_rolled_back_was_never_counted() -> None:
    with transaction.atomic():
        metrics.record_batch([finished()])
        transaction.set_rollback(True)
    assert counters.totals() == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("shards", [64, 1])
def test_no_count_is_lost_between_concurrent_writers(
    monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    """With one shard all writers meet on the same rows: they wait, and none is a deadlock."""
    monkeypatch.setattr(counters, "_SHARDS", shards)
    batches: list[Sequence[Finished]] = [
        [finished("http"), finished("tcp")],
        [finished("tcp", Status.DOWN), finished("http", late_s=3)],
    ]

    def write(batch: Sequence[Finished]) -> None:
        try:
            for _ in range(25):
                with transaction.atomic():
                    metrics.record_batch(batch)
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=[batches[i % 2]]) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    checks = counters.totals()[counters.CHECKS]
    assert checks == {("http", "up"): 100, ("tcp", "up"): 50, ("tcp", "down"): 50}
    assert Counter.objects.values("shard").distinct().count() <= shards


@pytest.mark.django_db
def test_gauges_are_read_from_the_tables(client: Client) -> None:
    now = timezone.now()
    team = Team.objects.create(name="Team")
    monitor = Monitor.objects.create(team=team, name="Shop", kind="http", status="down")
    Monitor.objects.create(team=team, name="Blog", kind="http", status="up")
    Incident.objects.create(
        team=team, monitor=monitor, severity="down", started_at=now, confirmed_at=now
    )
    Assignment.objects.create(
        monitor=monitor,
        location=Location.objects.get(slug="local"),
        next_due_at=now - timedelta(seconds=30),
    )
    Delivery.objects.create(
        team=team,
        channel=Channel.objects.create(team=team, name="Mail", type="email"),
        event="down",
        facts={},
        next_attempt_at=now - timedelta(seconds=20),
    )
    OrmQ.objects.create(key="checks", payload="x", lock=now)
    for duty, silent_s in (("checks", 0), ("checks", 0), ("checks", 60), ("deliveries", 0)):
        Shift.objects.create(
            duty=duty,
            host="here",
            pid=1,
            started_at=now,
            beat_at=now - timedelta(seconds=silent_s),
        )
    samples = scraped(client)
    assert value(samples, "uptime_monitors", status="down") == 1
    assert value(samples, "uptime_monitors", status="paused") == 0
    assert value(samples, "uptime_incidents_open", severity="down", status="open") == 1
    assert value(samples, "uptime_queue_depth", queue="checks") == 1
    assert value(samples, "uptime_queue_depth", queue="default") == 0
    assert value(samples, "uptime_shifts", duty="checks", state="working") == 2
    assert value(samples, "uptime_shifts", duty="deliveries", state="working") == 1
    assert 30 <= value(samples, "uptime_check_overdue_seconds", location="local") < 40
    assert 20 <= value(samples, "uptime_delivery_overdue_seconds") < 30


@pytest.mark.django_db
def test_a_scrape_is_a_fixed_number_of_queries(
    client: Client, django_assert_num_queries: Any
) -> None:
    team = Team.objects.create(name="Team")
    for place in range(20):
        Monitor.objects.create(team=team, name=f"Shop {place}", kind="http")
        Location.objects.create(slug=f"place-{place}", name="Place")
    with django_assert_num_queries(12):
        scraped(client)


@pytest.mark.django_db
def test_a_redis_that_is_away_costs_only_the_queue_depth(
    client: Client, settings: Any, unused_tcp_port: int
) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{unused_tcp_port}/0"
    samples = scraped(client)
    assert ("uptime_delivery_overdue_seconds", ()) in samples
    assert not [name for name, _ in samples if name == "uptime_queue_depth"]


@pytest.mark.django_db
def test_a_database_that_refuses_is_503_in_one_line(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "STATEMENT_LIMIT", timedelta(milliseconds=1))

    def slow() -> counters.Totals:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(1)")
        return {}

    monkeypatch.setattr(counters, "totals", slow)
    response = client.get("/metrics")
    assert response.status_code == 503
    assert response.content == b"The database can't be asked; the log says more.\n"


@pytest.mark.django_db
def test_metrics_are_public_unless_a_token_is_set(client: Client, settings: Any) -> None:
    assert client.get("/metrics").status_code == 200
    settings.METRICS_TOKEN = "a token for Prometheus"
    for authorization in ("", "Bearer wrong", "Basic a token for Prometheus", "Bearer naïve"):
        response = client.get("/metrics", headers={"Authorization": authorization})
        assert response.status_code == 401
        assert response["WWW-Authenticate"] == "Bearer"
    assert scraped(client, Authorization="Bearer a token for Prometheus")


@pytest.mark.django_db
def test_the_text_is_what_prometheus_reads(client: Client) -> None:
    response = client.get("/metrics")
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# TYPE uptime_checks_total counter" in response.content
    assert b"# TYPE uptime_check_lateness_seconds histogram" in response.content
    assert client.post("/metrics").status_code == 405
