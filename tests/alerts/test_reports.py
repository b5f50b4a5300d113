"""Reports: the right period, once, with the figures that the pages show."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Team
from alerts.actions import create_channel, update_channel
from alerts.dispatch import Dispatcher
from alerts.models import Channel, Delivery, ReportPeriod
from alerts.reports import LATEST, SENT_FROM, last_period, read_report, send_reports
from monitors.histograms import bucket_of
from monitors.models import Assignment, DayRollup, Location, Monitor, StatusSpan
from tests.alerts.scenes import fail, make_monitor, send_due
from tests.servers.smtp import MailServer
from uptime.errors import Invalid

MONDAY = datetime(2026, 3, 9, tzinfo=UTC)
WEEK = timedelta(days=7)
DAY = timedelta(days=1)


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(uuid4())
    yield dispatcher
    dispatcher.close()


@pytest.fixture
def channel(team: Team) -> Channel:
    config = {"to": ["ann@example.org"]}
    values = {"name": "Mail", "type": "email", "config": config, "reports": ["weekly"]}
    return create_channel(team=team, values=values)


def watched(team: Team, name: str, *, down: timedelta = timedelta()) -> Monitor:
    """A monitor that was down for so long at the end of the week before `MONDAY`."""
    monitor = make_monitor(team, name)
    fell_at = MONDAY - down
    StatusSpan.objects.create(
        monitor=monitor, status="up", started_at=MONDAY - 2 * WEEK, ended_at=fell_at
    )
    if down:
        StatusSpan.objects.create(
            monitor=monitor, status="down", started_at=fell_at, ended_at=MONDAY
        )
    StatusSpan.objects.create(monitor=monitor, status="up", started_at=MONDAY)
    return monitor


def roll_up(
    monitor: Monitor, *, checks: int, latency_ms: float, untimed: int = 0, **assignment: object
) -> None:
    """A day of the week before `MONDAY`."""
    made = Assignment.objects.create(
        monitor=monitor, location=Location.objects.get(slug=Location.LOCAL), **assignment
    )
    DayRollup.objects.create(
        assignment=made,
        started_at=MONDAY - 2 * DAY,
        latency_sum_ms=latency_ms * checks,
        up=checks + untimed,
        degraded=0,
        down=0,
        unknown=0,
        histogram={bucket_of(latency_ms): checks} if checks else {},
    )


@pytest.mark.parametrize(
    ("period", "now", "since", "until"),
    [
        ("weekly", "2026-03-09T00:00", "2026-03-02", "2026-03-09"),
        ("weekly", "2026-03-15T23:59", "2026-03-02", "2026-03-09"),
        ("weekly", "2026-03-16T00:00", "2026-03-09", "2026-03-16"),
        ("monthly", "2026-03-01T00:00", "2026-02-01", "2026-03-01"),
        ("monthly", "2026-01-31T12:00", "2025-12-01", "2026-01-01"),
    ],
)
def test_the_last_whole_period(period: str, now: str, since: str, until: str) -> None:
    found = last_period(ReportPeriod(period), datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert [f"{moment:%Y-%m-%d}" for moment in found] == [since, until]


@pytest.mark.django_db
def test_a_week_in_figures(team: Team) -> None:
    roll_up(watched(team, "Steady"), checks=0, latency_ms=0, untimed=10)
    shop = watched(team, "Shop", down=timedelta(hours=42))
    roll_up(shop, checks=10, latency_ms=250, untimed=10, cert_expires_at=MONDAY + 9 * DAY)
    incident = fail(shop).incident
    incident.started_at = MONDAY - timedelta(hours=42)
    incident.save()

    report = read_report(team, ReportPeriod.WEEKLY, since=MONDAY - WEEK, until=MONDAY)

    assert (report.monitors, report.incidents) == (2, 1)
    assert report.uptime_percent == pytest.approx(87.5)
    assert report.down_seconds == 42 * 3600
    assert [(one.name, one.uptime_percent) for one in report.troubled] == [("Shop", 75.0)]
    assert [(one.name, one.latency_ms) for one in report.slowest] == [("Shop", 250.0)]
    assert [one.name for one in report.expiring] == ["Shop"]


@pytest.mark.django_db
def test_a_report_is_sent_once_on_the_morning_after(
    team: Team, channel: Channel, mail_server: MailServer, dispatcher: Dispatcher
) -> None:
    watched(team, "Shop", down=timedelta(hours=42))
    assert send_reports(MONDAY + SENT_FROM - timedelta(seconds=1)) == 0
    assert send_reports(MONDAY + SENT_FROM) == 1
    assert send_reports(MONDAY + SENT_FROM + timedelta(minutes=10)) == 0

    send_due(dispatcher)

    [mail] = mail_server.mails
    assert mail["Subject"] == f"Weekly report of {team.name}: 75 % up, 0 incidents"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "Shop 75 %" in body.get_content()
    assert Delivery.objects.get().status == "sent"
    assert send_reports(MONDAY + WEEK + SENT_FROM) == 1


@pytest.mark.django_db
def test_nobody_gets_an_old_report_or_one_that_was_not_asked_for(
    team: Team, channel: Channel
) -> None:
    assert send_reports(MONDAY + LATEST) == 0
    assert send_reports(datetime(2026, 4, 3, 7, tzinfo=UTC)) == 0  # a month's is due
    update_channel(channel=channel, values={"enabled": False})
    assert send_reports(MONDAY + SENT_FROM) == 0


@pytest.mark.django_db
def test_a_pager_gets_no_reports(team: Team) -> None:
    config = {"routing_key": "k" * 32}
    values = {"name": "P", "type": "pagerduty", "config": config, "reports": ["weekly"]}
    with pytest.raises(Invalid) as refused:
        create_channel(team=team, values=values)
    assert "reports" in refused.value.fields


@pytest.mark.django_db
def test_the_last_report_is_shown_as_it_would_be(team: Team, channel: Channel) -> None:
    client = Client()
    client.force_login(team.memberships.get().user)
    make_monitor(team)
    shown = client.get(reverse("channel-report", args=[channel.pk, "weekly"]))
    assert f"Weekly report of {team.name}" in shown.content.decode()
    assert client.get(reverse("channel-report", args=[channel.pk, "hourly"])).status_code == 404
