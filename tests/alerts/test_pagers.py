"""Services that page by themselves hear of whatever stops that."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client

from accounts.models import Membership, Scope, Team, User
from accounts.tokens import issue_token
from alerts.actions import create_channel, create_policy
from alerts.dispatch import Dispatcher
from alerts.expiries import tell_expiries
from alerts.models import Channel, Delivery
from incidents.models import Incident
from monitors.models import Assignment, Location
from tests.alerts.scenes import (
    fail,
    make_monitor,
    make_webhook,
    queue,
    recover,
    send_due,
    tell_all,
)
from tests.servers.pagers import PagerDuty
from tests.servers.webhook import Receiver
from uptime.clock import database_now
from uptime.operations import acknowledge_incident, delete_monitor, set_enabled

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(team: Team) -> User:
    user: User = Membership.objects.get(team=team).user
    return user


@pytest.fixture
def pagerduty() -> Iterator[PagerDuty]:
    with PagerDuty() as pagerduty:
        yield pagerduty


@pytest.fixture
def pager(team: Team, pagerduty: PagerDuty) -> Channel:
    config = {"server": pagerduty.url, "routing_key": PagerDuty.KEY}
    values = {"name": "Pager", "type": "pagerduty", "config": config}
    return create_channel(team=team, values=values)


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(uuid4())
    yield dispatcher
    dispatcher.close()


def actions(pagerduty: PagerDuty) -> list[str]:
    return [event["event_action"] for event in pagerduty.taken]


def test_who_acknowledges_here_has_acknowledged_there(
    team: Team, owner: User, pager: Channel, pagerduty: PagerDuty, dispatcher: Dispatcher
) -> None:
    tell_all(team, pager)
    failed = fail(make_monitor(team))
    queue(failed)
    acknowledge_incident(incident=failed.incident, by=owner)
    acknowledge_incident(incident=failed.incident, by=owner)
    send_due(dispatcher)
    assert actions(pagerduty) == ["trigger", "acknowledge"]
    failed.incident.refresh_from_db()
    queue(recover(failed.incident))
    send_due(dispatcher)
    assert pagerduty.incidents == {str(failed.incident.pk): "resolved"}


def test_nobody_else_hears_of_an_acknowledgement(
    team: Team, owner: User, pager: Channel, receiver: Receiver
) -> None:
    tell_all(team, make_webhook(team, receiver.url), on=("down", "recovered"))
    failed = fail(make_monitor(team))  # the pager is told of nothing
    queue(failed)
    acknowledge_incident(incident=failed.incident, by=owner)
    assert [delivery.event for delivery in Delivery.objects.all()] == ["down"]


def test_a_page_is_closed_though_its_policy_tells_of_no_recoveries(
    team: Team, pager: Channel, receiver: Receiver, pagerduty: PagerDuty, dispatcher: Dispatcher
) -> None:
    tell_all(team, pager, make_webhook(team, receiver.url), on=("down",))
    failed = fail(make_monitor(team))
    queue(failed)
    queue(recover(failed.incident))
    send_due(dispatcher)
    assert actions(pagerduty) == ["trigger", "resolve"]
    assert [request.json()["event"] for request in receiver.requests] == ["down"]


def by_api(client: Client, incident: Incident, user: User) -> None:
    token = issue_token(user=user, team=incident.team, scope=Scope.WRITE, name="")
    client.post(
        f"/api/v1/incidents/{incident.pk}/acknowledge/",
        headers={"Authorization": f"Token {token}"},
        content_type="application/json",
    )


def on_the_page(client: Client, incident: Incident, user: User) -> None:
    client.force_login(user)
    client.post(f"/incidents/{incident.pk}/acknowledge/")


def in_the_admin(client: Client, incident: Incident, user: User) -> None:
    user.is_superuser = True
    user.save()
    client.force_login(user)
    client.post(
        "/admin/incidents/incident/",
        {"action": "acknowledge", "_selected_action": [str(incident.pk)]},
    )


@pytest.mark.parametrize("acknowledge", [by_api, on_the_page, in_the_admin])
def test_wherever_it_is_acknowledged_the_pager_hears_of_it(
    team: Team,
    owner: User,
    pager: Channel,
    client: Client,
    acknowledge: Callable[[Client, Incident, User], None],
) -> None:
    tell_all(team, pager)
    failed = fail(make_monitor(team))
    queue(failed)
    acknowledge(client, failed.incident, owner)
    told = Delivery.objects.order_by("pk").values_list("event", "channel__name")
    assert list(told) == [("down", "Pager"), ("acknowledged", "Pager")]


@pytest.mark.parametrize("is_deleted", [False, True])
def test_what_is_watched_no_more_is_closed_there(
    team: Team,
    owner: User,
    pager: Channel,
    receiver: Receiver,
    pagerduty: PagerDuty,
    dispatcher: Dispatcher,
    is_deleted: bool,
) -> None:
    tell_all(team, pager, make_webhook(team, receiver.url))
    monitor = make_monitor(team)
    failed = fail(monitor)
    incident = failed.incident.pk
    queue(failed)
    send_due(dispatcher)
    if is_deleted:
        delete_monitor(monitor=monitor, by=owner)
    else:
        set_enabled(monitor=monitor, is_enabled=False, by=owner)
    send_due(dispatcher)
    assert pagerduty.incidents == {str(incident): "resolved"}
    assert [request.json()["event"] for request in receiver.requests] == ["down"]


def test_the_notices_of_one_expiry_are_one_page_until_it_is_renewed(
    team: Team, pager: Channel, pagerduty: PagerDuty, dispatcher: Dispatcher
) -> None:
    values = {"on": ["certificate_expiring"], "expiry_days": [14, 7], "all": True}
    create_policy(team=team, values={"name": "P", "steps": [{"channels": [pager.pk]}], **values})
    now = database_now()
    assignment = Assignment.objects.create(
        monitor=make_monitor(team),
        location=Location.objects.get(slug=Location.LOCAL),
        cert_expires_at=now + timedelta(days=10),
    )
    for days in (0, 1, 4):
        tell_expiries(now + timedelta(days=days))
        send_due(dispatcher, at=now + timedelta(days=days))
    assert list(pagerduty.incidents.values()) == ["triggered"]

    Assignment.objects.filter(pk=assignment.pk).update(cert_expires_at=now + timedelta(days=90))
    for _ in range(2):
        tell_expiries(now + timedelta(days=5))
        send_due(dispatcher, at=now + timedelta(days=5))
    assert list(pagerduty.incidents.values()) == ["resolved"]
    assert actions(pagerduty) == ["trigger", "trigger", "resolve"]
