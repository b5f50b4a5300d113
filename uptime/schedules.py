"""What django-q2's scheduler starts by the clock, on the default queue."""

from datetime import UTC, datetime, timedelta

import structlog
from django.conf import settings
from django.contrib.sessions.models import Session
from django_q.models import Schedule

from accounts.models import IdempotentRequest
from monitors.partitions import drop_partitions, ensure_partitions
from uptime.clock import database_now

log = structlog.get_logger(__name__)

IDEMPOTENCY_KEPT = timedelta(hours=24)


def ensure_schedules() -> None:
    """Register the schedules; those of an earlier version that are gone are removed."""
    wanted = {"keep house": "uptime.schedules.keep_house"}
    for name, func in wanted.items():
        Schedule.objects.update_or_create(
            name=name, defaults={"func": func, "schedule_type": Schedule.HOURLY, "repeats": -1}
        )
    Schedule.objects.exclude(name__in=wanted).delete()


def keep_house() -> None:
    """Make partitions ahead, drop those past retention, forget what has expired."""
    ensure_partitions()
    drop_partitions(before=datetime.now(UTC).date() - timedelta(days=settings.RETENTION_DAYS))
    now = database_now()
    IdempotentRequest.objects.filter(created_at__lt=now - IDEMPOTENCY_KEPT).delete()
    Session.objects.filter(expire_date__lt=now).delete()
    log.info("house.kept")
