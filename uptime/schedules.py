"""What django-q2's scheduler starts by the clock, on the default queue."""

from datetime import UTC, timedelta

import structlog
from django_q.models import Schedule

from accounts.audit import forget_audit
from accounts.models import BrowserSession, IdempotentRequest
from alerts.expiries import tell_expiries
from alerts.probing import probe_channels
from alerts.reports import send_reports
from alerts.retention import forget_deliveries
from incidents.evidence import forget_evidence
from monitors import archiving, chores, rollups
from monitors.partitions import drop_partitions, ensure_partitions
from monitors.retention import longest_retention
from statuspages.subscriptions import forget_old
from uptime.clock import database_now

log = structlog.get_logger(__name__)

IDEMPOTENCY_KEPT = timedelta(hours=24)

# In the order in which one builds on the other.
CHORES: dict[str, chores.Step] = {
    chores.HOURS: rollups.roll_up_hours,
    chores.DAYS: rollups.roll_up_days,
    chores.WEEKS: rollups.roll_up_weeks,
    chores.LATE: rollups.fold_in_late,
    chores.PACKING: archiving.pack_results,
    chores.CHECKING: archiving.check_packed,
    chores.RETENTION: rollups.forget_old,
    chores.DELIVERIES: forget_deliveries,
}
# Of each chore, each minute: what is behind catches up with a fraction of one core.
CHORE_BUDGET = timedelta(seconds=5)


MINUTES_BETWEEN = {"tell expiries": 10, "send reports": 10}


def ensure_schedules() -> None:
    """Register the schedules; those of an earlier version that are gone are removed."""
    wanted = {
        "keep house": ("uptime.schedules.keep_house", Schedule.HOURLY),
        "keep history": ("uptime.schedules.keep_history", Schedule.MINUTES),
        "send reports": ("uptime.schedules.look_for_reports", Schedule.MINUTES),
        "ask channels": ("uptime.schedules.ask_channels", Schedule.MINUTES),
        "tell expiries": ("uptime.schedules.look_for_expiries", Schedule.MINUTES),
    }
    for name, (func, pace) in wanted.items():
        Schedule.objects.update_or_create(
            name=name,
            defaults={
                "func": func,
                "schedule_type": pace,
                "minutes": MINUTES_BETWEEN.get(name, 1),
                "repeats": -1,
            },
        )
    Schedule.objects.exclude(name__in=wanted).delete()


def look_for_reports() -> None:
    """Send the reports of the week or month that is over."""
    if count := send_reports(database_now()):
        log.info("reports.queued", count=count)


def keep_house() -> None:
    """Make partitions ahead, drop those past retention, forget what has expired."""
    ensure_partitions()
    now = database_now()
    drop_partitions(before=(now.astimezone(UTC) - longest_retention()).date())
    IdempotentRequest.objects.filter(created_at__lt=now - IDEMPOTENCY_KEPT).delete()
    forget_evidence(now)
    BrowserSession.objects.filter(expire_date__lt=now).delete()
    forget_old(now)
    forget_audit(now)
    log.info("house.kept")


def ask_channels() -> None:
    """Ask channels whether they live, without a message."""
    if count := probe_channels():
        log.info("alerts.channels.asked", count=count)


def look_for_expiries() -> None:
    """Tell what expires within the days that policies name."""
    if told := tell_expiries(database_now()):
        log.info("alerts.expiries.queued", count=told)


def keep_history() -> None:
    """Go on with the rollups and whatever else there is to do to stored results."""
    for name, step in CHORES.items():
        chores.run_chore(name, step, budget=CHORE_BUDGET)
