"""Metrics for Prometheus: counted where the work is done, read from the database by any process.

The web processes answer `/metrics` while checks run elsewhere, so nothing is counted in memory: see
`uptime.counters`. Gauges are read from the tables at the moment of the scrape.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hmac import compare_digest
from math import inf
from typing import Any

import redis
import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from accounts.access import public
from probe.values import Finished
from uptime import counters, vitals
from uptime.clock import database_now

log = structlog.get_logger(__name__)

STATEMENT_LIMIT = timedelta(seconds=2)

# Upper bounds in seconds. They are stored with the counts, so they may be changed: what was counted
# under other bounds is still counted under the next larger one.
LATENESS_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
DURATION_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)


def record_batch(finished: Sequence[Finished]) -> None:
    """Count checks that were taken in, within the transaction that stores them.

    Give it only those that were stored for the first time, and call it as the last statement of
    the transaction (see `counters.add`).
    """
    counters.add(count_batch(finished))


def count_batch(finished: Sequence[Finished]) -> counters.Increments:
    """What these checks add to the counters. About a microsecond for each of many."""
    lateness = _Tally(LATENESS_BOUNDS)
    durations: dict[str, _Tally] = {}
    seen: defaultdict[tuple[str, str], int] = defaultdict(int)
    for check in finished:
        kind = check.job.spec.kind
        seen[kind, check.observation.status] += 1
        lateness.add(check.started_at - check.job.due_at)
        if kind not in durations:
            durations[kind] = _Tally(DURATION_BOUNDS)
        durations[kind].add(check.finished_at - check.started_at)

    increments: dict[tuple[counters.Name, counters.Labels], float] = {}
    for labels, count in seen.items():
        increments[counters.CHECKS, labels] = count
    increments |= lateness.increments(counters.LATENESS, counters.LATENESS_SUM, ())
    for kind, tally in durations.items():
        increments |= tally.increments(counters.DURATION, counters.DURATION_SUM, (kind,))
    return increments


class _Tally:
    """One batch's part of a histogram."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, span: timedelta) -> None:
        seconds = span.total_seconds()
        if seconds < 0:  # two machines' clocks
            seconds = 0.0
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def increments(
        self, buckets: counters.Name, total: counters.Name, labels: counters.Labels
    ) -> counters.Increments:
        counted = zip((*self.bounds, inf), self.counts, strict=True)
        return {
            **{(buckets, (*labels, _bound_label(bound))): n for bound, n in counted if n},
            **({(total, labels): self.total} if any(self.counts) else {}),
        }


def _bound_label(bound: float) -> str:
    """As the text format writes it."""
    return "+Inf" if bound == inf else str(bound)


class InstallationCollector(Collector):
    """All metrics of the installation."""

    def collect(self) -> list[Metric]:
        with vitals.bounded_reads(STATEMENT_LIMIT):
            return [*_counted(counters.totals()), *_gauges()]


def _counted(totals: counters.Totals) -> Iterator[Metric]:
    checks = CounterMetricFamily(
        "uptime_checks", "Checks that were taken in.", labels=["kind", "status"]
    )
    for labels, count in sorted(totals.get(counters.CHECKS, {}).items()):
        checks.add_metric(labels, count)
    yield checks
    yield _histogram(
        "uptime_check_lateness_seconds",
        "How long after its due instant a check started.",
        [],
        LATENESS_BOUNDS,
        totals.get(counters.LATENESS, {}),
        totals.get(counters.LATENESS_SUM, {}),
    )
    yield _histogram(
        "uptime_check_duration_seconds",
        "How long a check took, from its start to its observation.",
        ["kind"],
        DURATION_BOUNDS,
        totals.get(counters.DURATION, {}),
        totals.get(counters.DURATION_SUM, {}),
    )
    deliveries = CounterMetricFamily(
        "uptime_deliveries",
        "Attempts to deliver a message; dead is the last of those that failed.",
        labels=["channel", "outcome"],
    )
    for labels, count in sorted(totals.get(counters.DELIVERIES, {}).items()):
        deliveries.add_metric(labels, count)
    yield deliveries


def _histogram(
    name: str,
    help_text: str,
    label_names: Sequence[str],
    bounds: Sequence[float],
    counts: Mapping[counters.Labels, float],
    sums: Mapping[counters.Labels, float],
) -> Metric:
    """A histogram from counts whose last label is the bound of their bucket."""
    histogram = HistogramMetricFamily(name, help_text, labels=label_names)
    stored: defaultdict[counters.Labels, list[tuple[float, float]]] = defaultdict(list)
    for labels, count in counts.items():
        stored[labels[:-1]].append((float(labels[-1]), count))
    for labels, pairs in sorted(stored.items()):
        buckets = [
            (_bound_label(bound), sum(count for counted_at, count in pairs if counted_at <= bound))
            for bound in (*bounds, inf)
        ]
        histogram.add_metric(labels, buckets, sums.get(labels, 0.0))
    return histogram


def _gauges() -> Iterator[Metric]:
    now = database_now()
    yield _gauge("uptime_monitors", "Monitors by status.", ["status"], vitals.monitors_by_status())
    yield _gauge(
        "uptime_incidents_open",
        "Incidents that are not resolved.",
        ["severity", "status"],
        vitals.unresolved_incidents(),
    )
    yield _gauge(
        "uptime_shifts",
        "Shifts that gave a sign of life of late.",
        ["duty", "state"],
        {
            (duty, "draining" if is_draining else "working"): count
            for (duty, is_draining), count in vitals.living_shifts(now).items()
        },
    )
    yield _gauge(
        "uptime_check_overdue_seconds",
        "How long the oldest check has been due without being taken.",
        ["location"],
        {slug: age.total_seconds() for slug, age in vitals.overdue_checks(now).items()},
    )
    sight = vitals.sight_of_locations()
    yield _gauge(
        "uptime_location_blind",
        "Whether a location has lost its network, so that nothing is judged there.",
        ["location"],
        {slug: int(one.blind_since is not None) for slug, one in sight.items()},
    )
    yield _gauge(
        "uptime_location_offline",
        "Whether nobody checks at a location.",
        ["location"],
        {slug: int(one.offline_since is not None) for slug, one in sight.items()},
    )
    yield _gauge(
        "uptime_delivery_overdue_seconds",
        "How long the oldest delivery has been due without being sent.",
        [],
        {(): vitals.waiting_deliveries(now).total_seconds()},
    )
    yield _queue_depths(now)


def _queue_depths(now: datetime) -> Metric:
    """Empty while Redis holds the queues and is away: the other metrics matter the more then."""
    try:
        depths = vitals.queue_depths(now)
    except redis.RedisError as error:
        log.warning("metrics.queues.failed", error=str(error))
        depths = {}
    return _gauge("uptime_queue_depth", "Tasks that wait for a worker.", ["queue"], depths)


def _gauge(
    name: str,
    help_text: str,
    label_names: Sequence[str],
    values: Mapping[Any, float],
) -> Metric:
    """A gauge from values by their label, or by a tuple of labels."""
    gauge = GaugeMetricFamily(name, help_text, labels=label_names)
    for labels, value in values.items():
        gauge.add_metric([labels] if isinstance(labels, str) else labels, value)
    return gauge


def exposition() -> bytes:
    """All metrics in Prometheus' text format 0.0.4. Raises django.db.Error."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(InstallationCollector())
    return generate_latest(registry)


@public
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus; with UPTIME_METRICS_TOKEN set, only with it (`Authorization: Bearer ...`)."""
    if not _is_allowed(request):
        return HttpResponse(
            "This address wants the token of UPTIME_METRICS_TOKEN.\n",
            status=401,
            content_type="text/plain; charset=utf-8",
            headers={"WWW-Authenticate": "Bearer"},
        )
    try:
        return HttpResponse(exposition(), content_type=CONTENT_TYPE_PLAIN_0_0_4)
    except DatabaseError as error:
        log.warning("metrics.failed", kind=type(error).__name__, error=str(error))
        return HttpResponse(
            "The database can't be asked; the log says more.\n",
            status=503,
            content_type="text/plain; charset=utf-8",
        )


def _is_allowed(request: HttpRequest) -> bool:
    if not settings.METRICS_TOKEN:
        return True
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and compare_digest(
        token.strip().encode(), settings.METRICS_TOKEN.encode()
    )


urlpatterns = [path("metrics", metrics, name="metrics")]
