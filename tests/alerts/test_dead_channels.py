"""Channels that die: disabled, their owners told, others told in their place."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction

from accounts.models import Team
from alerts.actions import (
    create_channel,
    delete_channel,
    retry_delivery,
    send_test,
    update_channel,
)
from alerts.dispatch import Dispatcher
from alerts.models import Channel, Delivery, DeliveryStatus
from alerts.outbox import Outcome, lease_deliveries, queue_deliveries
from alerts.recording import ATTEMPTS_ALONE, record_outcomes
from incidents.models import Incident, Severity
from tests.alerts.scenes import (
    fail,
    make_monitor,
    make_team,
    make_webhook,
    queue,
    queue_many,
    recover,
    send_due,
    tell_all,
    worsen,
)
from tests.factories import MembershipFactory
from tests.locks import wait_for_a_waiter
from tests.servers.pagers import PagerDuty
from tests.servers.smtp import MailServer
from tests.servers.webhook import Receiver, Reply
from uptime.clock import database_now
from uptime.errors import Conflict, Invalid
from uptime.operations import delete_monitor, set_enabled

pytestmark = pytest.mark.django_db(transaction=True)

GONE = Reply(410)


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(uuid4())
    yield dispatcher
    dispatcher.close()


def test_a_receiver_that_is_gone_disables_the_channel(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, mail_server: MailServer
) -> None:
    receiver.default = GONE
    channel = make_webhook(team, receiver.url)
    queue_many(team, channel, 1)
    send_due(dispatcher)
    channel.refresh_from_db()
    assert not channel.enabled
    assert channel.dead_since is not None
    assert channel.last_error == "the receiver answered 410"


def test_the_owners_are_told_once_by_mail(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, mail_server: MailServer
) -> None:
    other = MembershipFactory(team=team, role="owner", user__password=None)
    MembershipFactory(team=team, role="viewer", user__password=None)
    receiver.default = GONE
    queue_many(team, make_webhook(team, receiver.url, "Ops"), 3)
    send_due(dispatcher)
    owner = team.memberships.exclude(pk=other.pk).get(role="owner")
    assert sorted(mail["To"] for mail in mail_server.mails) == sorted(
        [owner.user.email, other.user.email]
    )
    mail = mail_server.mails[0]
    assert mail["Subject"] == "Channel disabled: Ops"
    text = mail.get_body(("plain",)).get_content()
    assert "the receiver answered 410" in text
    assert "send a test" in text


def test_a_notice_that_fails_says_nothing_about_the_channel(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.default = GONE
    channel = make_webhook(team, receiver.url)
    queue_many(team, channel, 1)
    send_due(dispatcher)
    channel.refresh_from_db()
    assert channel.last_error == "the receiver answered 410"


def test_a_message_that_alone_is_refused_disables_nothing(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.default = Reply(400, body=b"invalid_payload")
    values = {"name": "Slack", "type": "slack", "config": {"url": receiver.url}}
    channel = create_channel(team=team, values=values)
    [delivery] = queue_many(team, channel, 1)
    send_due(dispatcher)
    delivery.refresh_from_db()
    channel.refresh_from_db()
    assert delivery.status == DeliveryStatus.DEAD
    assert channel.enabled


def test_a_test_that_fails_disables_nothing_and_one_that_arrives_enables(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, mail_server: MailServer
) -> None:
    channel = make_webhook(team, receiver.url)
    receiver.default = GONE
    send_test(channel=channel)
    send_due(dispatcher)
    channel.refresh_from_db()
    assert channel.enabled

    queue_many(team, channel, 1)
    send_due(dispatcher)
    channel.refresh_from_db()
    assert not channel.enabled

    receiver.default = Reply()
    send_test(channel=channel)
    send_due(dispatcher)
    channel.refresh_from_db()
    assert channel.enabled
    assert channel.dead_since is None


def test_a_test_enables_nothing_that_somebody_switched_off(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    channel = make_webhook(team, receiver.url)
    update_channel(channel=channel, values={"enabled": False})
    send_test(channel=channel)
    send_due(dispatcher)
    channel.refresh_from_db()
    assert not channel.enabled


def test_what_is_given_up_goes_to_the_fallback(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, mail_server: MailServer
) -> None:
    with Receiver() as other:
        second = make_webhook(team, other.url, "Second")
        first = make_webhook(team, receiver.url, "First")
        update_channel(channel=first, values={"fallback": second.pk})
        receiver.default = GONE
        tell_all(team, first)
        transition = fail(make_monitor(team))
        queue(transition)
        send_due(dispatcher)
        [request] = other.requests
        assert request.json()["event"] == "down"
        assert request.json()["failed_channel"]["name"] == "First"

        # Dead as it is, the policy's channel still leads to its fallback.
        queue(recover(transition.incident))
        send_due(dispatcher)
        assert [r.json()["event"] for r in other.requests] == ["down", "recovered"]
        assert len(receiver.requests) == 1


def test_a_fallback_that_heard_the_trouble_hears_its_end(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, mail_server: MailServer
) -> None:
    mail_server.verdict = "550 no"
    values = {"name": "Mail", "type": "email", "config": {"to": ["ops@example.org"]}}
    mail = create_channel(team=team, values=values)
    fallback = make_webhook(team, receiver.url)
    update_channel(channel=mail, values={"fallback": fallback.pk})
    tell_all(team, mail)
    transition = fail(make_monitor(team))
    queue(transition)
    send_due(dispatcher)

    mail_server.verdict = "250 OK"
    queue(recover(transition.incident))
    send_due(dispatcher)
    assert [request.json()["event"] for request in receiver.requests] == ["down", "recovered"]
    assert len(mail_server.mails) == 1


def test_a_fallback_is_told_of_what_was_not_taken_for_minutes_and_of_what_waits_behind_it(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    with Receiver() as other:
        second = make_webhook(team, other.url, "Second")
        first = make_webhook(team, receiver.url, "First")
        update_channel(channel=first, values={"fallback": second.pk})
        tell_all(team, first, on=("down", "degraded", "recovered"))
        receiver.default = Reply(503)
        slow = fail(make_monitor(team), severity=Severity.DEGRADED)
        [delivery] = queue(slow)
        queue(worsen(slow.incident, Severity.DOWN))
        for attempt in range(1, ATTEMPTS_ALONE + 3):
            send_due(dispatcher, at=delivery.next_attempt_at)
            delivery.refresh_from_db()
            assert len(receiver.requests) == delivery.attempts == attempt
            assert len(other.requests) == (2 if attempt >= ATTEMPTS_ALONE else 0)
        assert [r.json()["event"] for r in other.requests] == ["degraded", "down"]
        receiver.default = Reply(200)
        queue(recover(slow.incident))
        send_due(dispatcher, at=delivery.next_attempt_at)
        told = [request.json()["event"] for request in receiver.requests[-3:]]
        assert told == ["degraded", "down", "recovered"]
        assert [r.json()["event"] for r in other.requests] == ["degraded", "down", "recovered"]


def test_a_fallback_is_told_at_once_where_the_receiver_asks_for_a_long_rest(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    with Receiver() as other:
        second = make_webhook(team, other.url, "Second")
        first = make_webhook(team, receiver.url, "First")
        update_channel(channel=first, values={"fallback": second.pk})
        tell_all(team, first)
        receiver.default = Reply(429, headers={"Retry-After": "600"})
        queue(fail(make_monitor(team)))
        send_due(dispatcher)
        assert len(other.requests) == 1


def test_a_channel_that_was_told_already_is_not_told_as_a_fallback(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, mail_server: MailServer
) -> None:
    with Receiver() as other:
        second = make_webhook(team, other.url, "Second")
        first = make_webhook(team, receiver.url, "First")
        update_channel(channel=first, values={"fallback": second.pk})
        receiver.default = GONE
        tell_all(team, first, second)
        queue(fail(make_monitor(team)))
        send_due(dispatcher)
        assert len(other.requests) == 1


def test_two_that_stand_in_for_each_other_end(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, mail_server: MailServer
) -> None:
    receiver.default = GONE
    first = make_webhook(team, receiver.url, "First")
    second = make_webhook(team, receiver.url, "Second")
    update_channel(channel=first, values={"fallback": second.pk})
    update_channel(channel=second, values={"fallback": first.pk})
    tell_all(team, first)
    queue(fail(make_monitor(team)))
    send_due(dispatcher)
    told = Delivery.objects.filter(event="down").values_list("channel__name", "status")
    assert sorted(told) == [("First", "dead"), ("Second", "dead")]


def test_a_dead_channel_without_a_fallback_is_not_told(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, mail_server: MailServer
) -> None:
    receiver.default = GONE
    channel = make_webhook(team, receiver.url)
    tell_all(team, channel)
    queue(fail(make_monitor(team, "One")))
    send_due(dispatcher)
    assert queue(fail(make_monitor(team, "Two"))) == []


def test_enabling_it_by_hand_brings_it_back(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, mail_server: MailServer
) -> None:
    channel = make_webhook(team, receiver.url)
    receiver.default = GONE
    queue_many(team, channel, 1)
    send_due(dispatcher)
    channel.refresh_from_db()
    update_channel(channel=channel, values={"enabled": True})
    channel.refresh_from_db()
    assert (channel.enabled, channel.dead_since) == (True, None)


@pytest.mark.parametrize("whose", ["its own", "another team's", "nobody's"])
def test_a_fallback_is_another_channel_of_the_team(team: Team, whose: str) -> None:
    channel = make_webhook(team, "http://127.0.0.1:9/")
    strange = make_webhook(make_team(), "http://127.0.0.1:9/")
    wanted = {"its own": channel.pk, "another team's": strange.pk, "nobody's": uuid4()}[whose]
    with pytest.raises(Invalid) as raised:
        update_channel(channel=channel, values={"fallback": wanted})
    assert list(raised.value.fields) == ["fallback"]


def test_deleting_a_fallback_leaves_the_channel(team: Team) -> None:
    second = make_webhook(team, "http://127.0.0.1:9/", "Second")
    first = make_webhook(team, "http://127.0.0.1:9/", "First")
    update_channel(channel=first, values={"fallback": second.pk})
    second.delete()
    assert Channel.objects.get(pk=first.pk).fallback is None


def test_a_fallback_that_was_deleted_meanwhile_holds_up_nothing(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, mail_server: MailServer
) -> None:
    second = make_webhook(team, "http://127.0.0.1:9/", "Second")
    first = make_webhook(team, receiver.url, "First")
    update_channel(channel=first, values={"fallback": second.pk})
    receiver.default = GONE
    tell_all(team, first)
    [delivery] = queue(fail(make_monitor(team)))
    delete_channel(channel=second)
    send_due(dispatcher)
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.DEAD
    assert list(Delivery.objects.filter(event="down")) == [delivery]


@pytest.fixture
def lost(team: Team, receiver: Receiver, mail_server: MailServer) -> Channel:
    """A mail channel whose server refuses for good, with the receiver as its fallback."""
    mail_server.verdict = "550 no"
    values = {"name": "Mail", "type": "email", "config": {"to": ["ops@example.org"]}}
    mail = create_channel(team=team, values=values)
    fallback = make_webhook(team, receiver.url)
    return update_channel(channel=mail, values={"fallback": fallback.pk})


@pytest.mark.parametrize("on", [("down",), ("down", "recovered")])
def test_trouble_that_is_over_when_the_fallback_takes_over_is_told_with_its_end(
    team: Team, lost: Channel, receiver: Receiver, dispatcher: Dispatcher, on: tuple[str, ...]
) -> None:
    tell_all(team, lost, on=on)
    transition = fail(make_monitor(team))
    queue(transition)
    queue(recover(transition.incident))
    send_due(dispatcher)
    [request] = receiver.requests
    told = request.json()
    assert (told["event"], told["status"]) == ("recovered", "up")
    assert told["failed_channel"]["name"] == "Mail"
    assert told["started_at"] == "2026-03-01T12:00:00Z"
    assert told["resolved_at"] == "2026-03-01T12:04:12Z"


def test_of_a_digest_that_is_given_up_what_is_over_is_told_once_and_what_lasts_as_it_is(
    team: Team, lost: Channel, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    update_channel(channel=lost, values={"digest_above": 1})
    tell_all(team, lost)
    failed = [fail(make_monitor(team, name)) for name in ("One", "Two")]
    queue(*failed)
    queue(recover(failed[0].incident))
    send_due(dispatcher, at=database_now() + timedelta(seconds=5))
    told = [(r.json()["monitor"]["name"], r.json()["event"]) for r in receiver.requests]
    assert sorted(told) == [("One", "recovered"), ("Two", "down")]


def test_a_fallback_that_was_told_itself_hears_nothing_of_it_late(
    team: Team, lost: Channel, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    assert lost.fallback is not None
    tell_all(team, lost, lost.fallback, on=("down",))
    transition = fail(make_monitor(team))
    queue(transition)
    queue(recover(transition.incident))
    send_due(dispatcher)
    assert [request.json()["event"] for request in receiver.requests] == ["down"]


def test_a_fallback_hears_nothing_of_what_nobody_watches_any_more(
    team: Team, lost: Channel, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    tell_all(team, lost)
    transition = fail(make_monitor(team))
    queue(transition)
    set_enabled(monitor=transition.incident.monitor, is_enabled=False)
    send_due(dispatcher)
    assert receiver.requests == []


def test_a_pager_is_not_woken_for_what_is_over(
    team: Team, lost: Channel, dispatcher: Dispatcher
) -> None:
    with PagerDuty() as pagerduty:
        config = {"server": pagerduty.url, "routing_key": PagerDuty.KEY}
        values = {"name": "Pager", "type": "pagerduty", "config": config}
        pager = create_channel(team=team, values=values)
        update_channel(channel=lost, values={"fallback": pager.pk})
        tell_all(team, lost)
        over, lasting = fail(make_monitor(team, "Over")), fail(make_monitor(team, "Lasting"))
        queue(over, lasting)
        queue(recover(over.incident))
        send_due(dispatcher)
        assert set(pagerduty.incidents) <= {str(lasting.incident.pk), str(over.incident.pk)}
        assert pagerduty.incidents[str(lasting.incident.pk)] == "triggered"
        assert pagerduty.incidents.get(str(over.incident.pk)) != "triggered"


def test_a_page_is_not_opened_by_hand_for_what_is_over(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    config = {"server": receiver.url, "routing_key": PagerDuty.KEY}
    pager = create_channel(team=team, values={"name": "P", "type": "pagerduty", "config": config})
    tell_all(team, pager)
    receiver.default = Reply(400, body=b'{"message": "no such severity"}')
    transition = fail(make_monitor(team))
    [delivery] = queue(transition)
    send_due(dispatcher)
    delivery.refresh_from_db()
    retry_delivery(delivery=delivery)  # it lasts yet
    send_due(dispatcher)
    [end] = queue(recover(transition.incident))
    send_due(dispatcher)
    delivery.refresh_from_db()
    with pytest.raises(Conflict, match="would stay open"):
        retry_delivery(delivery=delivery)
    end.refresh_from_db()
    retry_delivery(delivery=end)


def test_an_end_that_comes_while_the_fallback_takes_over_is_not_missed(
    team: Team, lost: Channel, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    tell_all(team, lost)
    transition = fail(make_monitor(team))
    queue(transition)
    [leased] = lease_deliveries(owner=uuid4(), now=database_now(), limit=1, per_channel=lambda _: 1)
    refused = Outcome("550 no", is_permanent=True)

    def record() -> None:
        try:
            record_outcomes([(leased, refused)])
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as elsewhere:
        with transaction.atomic():  # whoever ends an incident holds it
            incident = Incident.objects.select_for_update().get(pk=transition.incident.pk)
            recording = elsewhere.submit(record)
            wait_for_a_waiter()
            queue_deliveries([recover(incident)])
        recording.result(10)
    send_due(dispatcher)
    assert [request.json()["event"] for request in receiver.requests] == ["recovered"]


@pytest.mark.parametrize("what", ["monitor", "channel"])
def test_what_is_deleted_while_an_attempt_is_recorded_is_gone_with_it(
    team: Team, what: str
) -> None:
    channel = make_webhook(team, "http://127.0.0.1:9/")
    tell_all(team, channel)
    transition = fail(make_monitor(team))
    queue(transition)
    [leased] = lease_deliveries(owner=uuid4(), now=database_now(), limit=1, per_channel=lambda _: 1)

    def delete() -> None:
        try:
            if what == "monitor":
                delete_monitor(monitor=transition.incident.monitor)
            else:
                delete_channel(channel=channel)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as elsewhere:
        with transaction.atomic():
            record_outcomes([(leased, Outcome("503 busy"))])
            deleting = elsewhere.submit(delete)
            wait_for_a_waiter()
        deleting.result()
    assert not Delivery.objects.exists()
