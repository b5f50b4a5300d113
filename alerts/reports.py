"""Reports: how a team's monitors fared in a week or a month, to the channels that want them.

A report is queued once for each channel and period, by a row that is unique, as a delivery like any
other: with attempts, a log and a fallback. Periods are whole weeks from Monday and whole months, in
UTC. What is later than `LATEST` after a period's end, because nothing ran, is left out.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Min

from accounts.models import Team
from alerts.messages import REPORT, facts_of_report
from alerts.models import Channel, Delivery, Report, ReportPeriod
from alerts.outbox import REPORT_STEP, announce
from alerts.recaps import Expiring, ReportFacts, Slow, Troubled
from incidents.models import Incident
from monitors.days import mean_latency
from monitors.figures import time_spent
from monitors.models import Assignment, Monitor
from monitors.statistics import add_statistics

SENT_FROM = timedelta(hours=6)  # after the period's end: rolled up by then, and read in the morning
LATEST = timedelta(days=3)
NAMED = 10
EXPIRING_WITHIN = timedelta(days=30)


def send_reports(now: datetime) -> int:
    """Queue the reports of the periods that are over; returns how many deliveries that makes."""
    count = 0
    for period in ReportPeriod:
        since, until = last_period(period, now)
        if not until + SENT_FROM <= now < until + LATEST:
            continue
        wanting = Channel.objects.filter(enabled=True, reports__contains=[period.value])
        for channel in wanting.exclude(
            sent_reports__period=period, sent_reports__since=since
        ).select_related("team"):
            count += _queue_report(channel, period, since, until, now)
    return count


def last_period(period: ReportPeriod, now: datetime) -> tuple[datetime, datetime]:
    """The last whole week or month before `now`: its first instant, and the one after its last."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == ReportPeriod.WEEKLY:
        until = today - timedelta(days=today.weekday())
        return until - timedelta(days=7), until
    until = today.replace(day=1)
    return (until - timedelta(days=1)).replace(day=1), until


@transaction.atomic
def _queue_report(
    channel: Channel, period: ReportPeriod, since: datetime, until: datetime, now: datetime
) -> bool:
    """False if somebody else has queued it at the same time."""
    _, is_new = Report.objects.get_or_create(channel=channel, period=period, since=since)
    if not is_new:
        return False
    report = read_report(channel.team, period, since=since, until=until)
    Delivery.objects.create(
        team=channel.team,
        channel=channel,
        event=REPORT,
        step=REPORT_STEP,
        facts=facts_of_report(report, now).as_json(),
        next_attempt_at=now,
        created_at=now,
    )
    announce()
    return True


def read_report(
    team: Team, period: ReportPeriod, *, since: datetime, until: datetime
) -> ReportFacts:
    """The team's figures from `since` to before `until`, which are whole days of UTC."""
    names = dict(Monitor.objects.filter(team=team).values_list("pk", "name"))
    spent = time_spent(list(names), since=since, until=until)
    together = add_statistics(spent.values())
    troubled = [
        Troubled(
            name=names[pk],
            uptime_percent=one.uptime_percent,
            down_seconds=one.down.total_seconds(),
        )
        for pk, one in spent.items()
        if one.down and one.uptime_percent is not None
    ]
    return ReportFacts(
        team=team.name,
        period=period.value,
        since=since,
        until=until,
        monitors=len(names),
        uptime_percent=together.uptime_percent,
        down_seconds=together.down.total_seconds(),
        incidents=Incident.objects.filter(
            team=team, started_at__gte=since, started_at__lt=until
        ).count(),
        troubled=sorted(troubled, key=lambda one: one.uptime_percent)[:NAMED],
        slowest=_slowest(names, since, until),
        expiring=_expiring(team, until),
    )


def _slowest(names: dict[UUID, str], since: datetime, until: datetime) -> list[Slow]:
    means = mean_latency(list(names), since=since, until=until)
    found = [Slow(name=names[pk], latency_ms=round(mean, 1)) for pk, mean in means.items()]
    return sorted(found, key=lambda one: -one.latency_ms)[:NAMED]


def _expiring(team: Team, now: datetime) -> list[Expiring]:
    rows = (
        Assignment.objects.filter(monitor__team=team, is_active=True)
        .filter(cert_expires_at__gt=now, cert_expires_at__lt=now + EXPIRING_WITHIN)
        .values("monitor")
        .annotate(soonest=Min("cert_expires_at"))
        .order_by("soonest")
        .values_list("monitor__name", "soonest")[:NAMED]
    )
    return [Expiring(name=name, expires_at=soonest) for name, soonest in rows]
