"""How the installation itself is doing now: what readiness judges and what metrics state.

Each is a read of an index or of a small table, in a fixed number of queries.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Min, OuterRef, Q, Subquery
from django_q.models import OrmQ

from alerts.models import Delivery
from incidents.models import Incident
from monitors.models import Assignment, Chore, Location, Monitor, Shift, Status

# The task queues, each with a worker process of its own: see the command `worker`.
QUEUES = ("checks", "default")
# An engine beats every few seconds: one that was silent for this long is dead or stuck.
SILENCE = timedelta(seconds=10)
# Checks that nobody took for this long: whoever should does not, or can't keep up at all.
MAX_OVERDUE = timedelta(seconds=60)
LONGEST_CHECK = timedelta(seconds=120)
REDIS_TIMEOUT_S = 1


@dataclass(frozen=True, slots=True)
class Sight:
    """Since when a location has been without its network, and since when nobody checks there; None
    where it sees. See `uptime.sight`."""

    blind_since: datetime | None
    offline_since: datetime | None


@contextmanager
def bounded_reads(limit: timedelta) -> Iterator[None]:
    """A transaction whose statements are cancelled (OperationalError) after `limit` each."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true)",
                [str(round(limit.total_seconds() * 1000))],
            )
        yield


def is_read_only() -> bool:
    """Whether the database takes no writes, as a standby."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only')::bool")
        (is_so,) = cursor.fetchone()
    return bool(is_so)


def queue_depths(now: datetime) -> dict[str, int]:
    """How many tasks wait in each queue; those that run are not counted.

    Raises redis.RedisError when the queues live in Redis and it can't be asked.
    """
    if settings.REDIS_URL:
        with _redis() as client:
            return {queue: int(client.llen(f"django_q:{queue}:q")) for queue in QUEUES}
    waiting = OrmQ.objects.filter(lock__lte=now).values_list("key").annotate(Count("id"))
    return {**dict.fromkeys(QUEUES, 0), **dict(waiting.order_by())}


def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
    )


def living_shifts(now: datetime) -> dict[tuple[str, bool], int]:
    """How many shifts beat of late, by duty and whether they drain."""
    rows = (
        Shift.objects.filter(beat_at__gte=now - SILENCE)
        .values_list("duty", "is_draining")
        .annotate(count=Count("id"))
    )
    return {(duty, is_draining): count for duty, is_draining, count in rows}


def overdue_checks(now: datetime) -> dict[str, timedelta]:
    """By location, how long its oldest check has been due without anybody at work on it.

    A lease excuses no more than the longest check takes: whoever holds it longer can't store.
    """
    return _oldest_due(now, _is_untaken(now) | Q(next_due_at__lt=now - LONGEST_CHECK))


def untaken_checks(now: datetime) -> dict[str, timedelta]:
    """By location, how long its oldest check has been due without being leased."""
    return _oldest_due(now, _is_untaken(now))


def _is_untaken(now: datetime) -> Q:
    return Q(lease_owner=None) | Q(lease_expires_at__lt=now)


def _oldest_due(now: datetime, condition: Q) -> dict[str, timedelta]:
    oldest = (
        Assignment.objects.filter(condition, location=OuterRef("pk"), next_due_at__lt=now)
        .order_by("next_due_at")
        .values("next_due_at")[:1]
    )
    rows = Location.objects.values_list("slug", Subquery(oldest))
    return {slug: now - due_at if due_at else timedelta() for slug, due_at in rows}


def sight_of_locations() -> dict[str, Sight]:
    """Each location's."""
    rows = Location.objects.values_list("slug", "blind_since", "offline_since")
    return {slug: Sight(*since) for slug, *since in rows}


def blind_engines(now: datetime) -> int:
    """How many check engines that beat of late have lost the network."""
    living = Shift.objects.filter(duty="checks", beat_at__gte=now - SILENCE)
    return living.exclude(blind_since=None).count()


def waiting_deliveries(now: datetime) -> timedelta:
    """How long the oldest delivery whose time has come has waited for a sender."""
    due = Delivery.objects.neglected(now).aggregate(oldest=Min("waited_since"))["oldest"]
    return now - due if due else timedelta()


def failing_chores() -> list[str]:
    """The chores on stored history whose last step failed; see `monitors.chores`."""
    failing = Chore.objects.exclude(failing_since=None)
    return sorted(failing.values_list("name", flat=True))


def monitors_by_status() -> dict[str, int]:
    counted = Monitor.objects.values_list("status").annotate(Count("id")).order_by()
    return {**dict.fromkeys(Status.values, 0), **dict(counted)}


def unresolved_incidents() -> dict[tuple[str, str], int]:
    """How many incidents are not resolved, by severity and status."""
    rows = (
        Incident.objects.unresolved()
        .values_list("severity", "status")
        .annotate(count=Count("id"))
        .order_by()
    )
    return {(severity, status): count for severity, status, count in rows}
