"""Notices of a location's sight: to the owners, after a while, and one of both ends if late."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Team
from alerts.actions import create_channel, create_policy
from alerts.dispatch import Dispatcher
from alerts.models import Delivery, DeliveryStatus
from alerts.notices import GRACE
from monitors.models import Location, Shift
from tests.alerts.scenes import make_team, make_webhook, send_due
from tests.factories import MembershipFactory, make_monitor
from tests.servers.pagers import PagerDuty
from tests.servers.smtp import MailServer
from tests.servers.webhook import Receiver
from uptime.clock import database_now
from uptime.shifts import begin_shift
from uptime.sight import report_sight

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shift() -> Shift:
    shift = begin_shift("checks")
    assert shift is not None
    return shift


def owned_team() -> Team:
    team: Team = MembershipFactory(role="owner").team
    return team


def events() -> list[str]:
    return list(Delivery.objects.order_by("created_at").values_list("event", flat=True))


def test_one_notice_goes_to_the_owners_of_each_team_that_is_checked_there(
    shift: Shift, mail_server: MailServer
) -> None:
    team, other, idle = owned_team(), owned_team(), owned_team()
    for monitor_team in (team, team, other):
        make_monitor(monitor_team)
    make_monitor(idle, enabled=False)
    report_sight(shift_id=shift.id, is_blind=True)
    report_sight(shift_id=shift.id, is_blind=True)
    assert events() == ["location_blind"] * 2
    dispatcher = Dispatcher(uuid4())
    send_due(dispatcher)
    assert mail_server.mails == []
    send_due(dispatcher, at=database_now() + GRACE + timedelta(seconds=1))
    dispatcher.close()
    assert sorted(mail["To"] for mail in mail_server.mails) == sorted(
        one.memberships.get().user.email for one in (team, other)
    )
    mail = mail_server.mails[0]
    assert mail["Subject"] == "Location blind: local"
    assert "its own network is gone" in mail.get_body(("plain",)).get_content()


def begin_blindness(shift: Shift, *, ago: timedelta) -> None:
    """As if it had gone blind that long ago."""
    report_sight(shift_id=shift.id, is_blind=True)
    since = database_now() - ago
    Location.objects.update(blind_since=since)
    told_at = since + GRACE
    Delivery.objects.update(created_at=since, due_at=told_at, next_attempt_at=told_at)
    for delivery in Delivery.objects.all():
        delivery.facts |= {"started_at": since.isoformat(), "occurred_at": since.isoformat()}
        delivery.save(update_fields=["facts"])


def test_a_moment_without_network_is_not_told_at_all(shift: Shift) -> None:
    make_monitor(owned_team())
    begin_blindness(shift, ago=GRACE - timedelta(seconds=10))
    report_sight(shift_id=shift.id, is_blind=False)
    assert events() == []


def test_a_notice_that_could_not_leave_gives_way_to_the_one_of_the_end(
    shift: Shift, mail_server: MailServer
) -> None:
    make_monitor(owned_team())
    begin_blindness(shift, ago=timedelta(minutes=5))
    Delivery.objects.update(status=DeliveryStatus.FAILED, attempts=3)
    report_sight(shift_id=shift.id, is_blind=False)
    assert events() == ["location_sighted"]
    dispatcher = Dispatcher(uuid4())
    send_due(dispatcher)
    dispatcher.close()
    [mail] = mail_server.mails
    assert mail["Subject"] == "Location sees again: local, after 5 min"


def test_a_notice_that_was_sent_is_followed_by_the_one_of_the_end(shift: Shift) -> None:
    make_monitor(owned_team())
    begin_blindness(shift, ago=timedelta(minutes=5))
    Delivery.objects.update(status=DeliveryStatus.SENT, next_attempt_at=None)
    report_sight(shift_id=shift.id, is_blind=False)
    assert events() == ["location_blind", "location_sighted"]


def tell_of_blindness(team: Team, receiver: Receiver, **policy: Any) -> None:
    channel = make_webhook(team, receiver.url)
    values = {"name": "P", "all": True, "on": ["location_blind"], **policy}
    create_policy(team=team, values={**values, "steps": [{"channels": [channel.pk]}]})


def send_later(seconds: float) -> None:
    dispatcher = Dispatcher(uuid4())
    send_due(dispatcher, at=database_now() + timedelta(seconds=seconds))
    dispatcher.close()


def test_a_policy_tells_of_it_once_for_all_monitors_and_then_of_its_end(
    shift: Shift, receiver: Receiver, mail_server: MailServer
) -> None:
    team = make_team()
    for _ in range(3):
        make_monitor(team)
    tell_of_blindness(team, receiver)
    begin_blindness(shift, ago=timedelta(minutes=5))
    send_later(0)
    report_sight(shift_id=shift.id, is_blind=False)
    send_later(1)
    told = [request.json() for request in receiver.requests]
    assert [one["event"] for one in told] == ["location_blind", "location_sighted"]
    assert told[1]["locations"] == ["local"]
    assert len(mail_server.mails) == 2


def test_a_policy_for_monitors_that_are_checked_elsewhere_tells_nothing(shift: Shift) -> None:
    team = make_team()
    make_monitor(team)
    with Receiver() as receiver:
        tell_of_blindness(team, receiver, all=False, tags=["other"])
        report_sight(shift_id=shift.id, is_blind=True)
    assert [one.channel for one in Delivery.objects.all()] == [None]


def test_a_page_of_a_blind_location_is_closed_and_never_before_it_is_opened(
    shift: Shift, mail_server: MailServer
) -> None:
    team = make_team()
    make_monitor(team)
    with PagerDuty() as pagerduty:
        config = {"server": pagerduty.url, "routing_key": PagerDuty.KEY}
        values = {"name": "Pager", "type": "pagerduty", "config": config}
        pager = create_channel(team=team, values=values)
        policy = {"name": "P", "all": True, "on": ["location_blind"]}
        create_policy(team=team, values={**policy, "steps": [{"channels": [pager.pk]}]})
        begin_blindness(shift, ago=timedelta(minutes=5))
        later = database_now() + timedelta(seconds=15)
        under_way = Delivery.objects.filter(channel=pager)
        under_way.update(status=DeliveryStatus.SENDING, lease_owner=uuid4(), next_attempt_at=later)
        report_sight(shift_id=shift.id, is_blind=False)
        send_later(1)
        assert pagerduty.taken == []
        send_later(16)
        assert [event["event_action"] for event in pagerduty.taken] == ["trigger", "resolve"]
        assert list(pagerduty.incidents.values()) == ["resolved"]
