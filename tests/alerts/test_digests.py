"""Storms: many alerts of one channel become one message, and a channel's rate is kept."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from accounts.models import Team
from alerts.actions import create_channel, retry_delivery, update_channel
from alerts.dispatch import Dispatcher
from alerts.models import Channel, ChannelPace, Delivery, DeliveryStatus
from alerts.outbox import LOOK
from alerts.pacing import BETWEEN_DIGESTS, GATHERING
from alerts.storms import MOST_IN_DIGEST
from tests.alerts.scenes import (
    fail,
    make_monitor,
    make_webhook,
    queue,
    queue_many,
    recover,
    running,
    send_due,
    tell_all,
    until,
)
from tests.servers.smtp import MailServer
from tests.servers.webhook import Receiver, Reply
from uptime.clock import database_now

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(uuid4())
    yield dispatcher
    dispatcher.close()


@pytest.fixture
def hook(team: Team, receiver: Receiver) -> Channel:
    return make_webhook(team, receiver.url, digest_above=5)


def send_gathered(dispatcher: Dispatcher, *, after: timedelta = GATHERING) -> None:
    """Let what gathers be merged and sent."""
    send_due(dispatcher)
    send_due(dispatcher, at=database_now() + after)


def test_a_storm_is_one_message_that_lists_all(
    team: Team, receiver: Receiver, hook: Channel, dispatcher: Dispatcher
) -> None:
    deliveries = queue_many(team, hook, 40)

    send_gathered(dispatcher, after=2 * GATHERING)

    [request] = receiver.requests
    told = request.json()
    assert (told["event"], told["status"]) == ("digest", "down")
    assert told["digest"]["counts"] == {"down": 40}
    listed = [alert["event_id"] for alert in told["digest"]["alerts"]]
    assert listed == [str(delivery.pk) for delivery in deliveries]
    digest = Delivery.objects.get(pk=told["event_id"])
    members = Delivery.objects.filter(digest=digest)
    assert members.filter(status=DeliveryStatus.SENT, sent_at=digest.sent_at).count() == 40


def test_a_storm_is_told_when_no_more_comes(
    team: Team, receiver: Receiver, hook: Channel, dispatcher: Dispatcher
) -> None:
    """The newest is far behind those that one look reads."""
    *_, newest = queue_many(team, hook, LOOK + 6)
    later = newest.created_at + timedelta(seconds=8)
    Delivery.objects.filter(pk=newest.pk).update(next_attempt_at=later)
    send_due(dispatcher)
    send_due(dispatcher, at=later + GATHERING)
    assert not receiver.requests
    send_due(dispatcher, at=later + 2 * GATHERING)
    [request] = receiver.requests
    assert request.json()["digest"]["counts"] == {"down": LOOK + 6}


def test_a_few_are_told_one_by_one(
    team: Team, receiver: Receiver, hook: Channel, dispatcher: Dispatcher
) -> None:
    queue_many(team, hook, 5)
    send_due(dispatcher)
    assert [request.json()["event"] for request in receiver.requests] == ["down"] * 5


def test_a_digest_that_fails_comes_again_under_the_same_key(
    team: Team, receiver: Receiver, hook: Channel, dispatcher: Dispatcher
) -> None:
    receiver.will(Reply(500))
    [member, *_] = queue_many(team, hook, 6)
    send_gathered(dispatcher)
    member.refresh_from_db()
    assert (member.status, member.last_error) == ("failed", "the receiver answered 500")

    send_due(dispatcher, at=database_now() + timedelta(seconds=60))

    first, second = receiver.requests
    assert first.body == second.body
    member.refresh_from_db()
    assert (member.status, member.last_error) == ("sent", "")


def test_recoveries_wait_for_the_digest_of_the_failures_and_make_one_too(
    team: Team, receiver: Receiver, hook: Channel, dispatcher: Dispatcher
) -> None:
    tell_all(team, hook)
    failed = [fail(make_monitor(team, f"Shop {number}")) for number in range(12)]
    queue(*failed)
    receiver.will(Reply(500))
    send_gathered(dispatcher)
    queue(*(recover(one.incident) for one in failed))

    send_due(dispatcher, at=database_now() + timedelta(seconds=3))
    assert len(receiver.requests) == 1  # the failures are still to be told
    for seconds in (60, 120):
        send_due(dispatcher, at=database_now() + timedelta(seconds=seconds))

    told = [request.json() for request in receiver.requests]
    assert [one["digest"]["counts"] for one in told] == [{"down": 12}] * 2 + [{"recovered": 12}]
    assert told[-1]["status"] == "up"


def test_a_digest_that_is_given_up_goes_to_the_fallback_as_a_digest(
    team: Team, receiver: Receiver, hook: Channel, dispatcher: Dispatcher
) -> None:
    with Receiver() as other:
        fallback = make_webhook(team, other.url, "Other", digest_above=5)
        update_channel(channel=hook, values={"fallback": fallback.pk})
        receiver.will(Reply(410))
        queue_many(team, hook, 7)
        send_gathered(dispatcher)
        send_gathered(dispatcher)
        [request] = other.requests
    assert request.json()["digest"]["count"] == 7
    by_channel = Counter(Delivery.objects.exclude(digest=None).values_list("channel", "status"))
    assert by_channel == {(hook.pk, "dead"): 7, (fallback.pk, "sent"): 7}


def test_one_of_a_digest_can_be_sent_by_itself(
    team: Team, receiver: Receiver, hook: Channel, dispatcher: Dispatcher
) -> None:
    receiver.will(Reply(410))
    [member, *_] = queue_many(team, hook, 6)
    send_gathered(dispatcher)
    member.refresh_from_db()
    assert member.status == DeliveryStatus.DEAD
    update_channel(channel=hook, values={"enabled": True})

    retry_delivery(delivery=member)
    send_gathered(dispatcher, after=GATHERING + BETWEEN_DIGESTS)

    assert receiver.requests[-1].json()["event_id"] == str(member.pk)


def test_a_mail_names_the_first_and_counts_the_rest(
    team: Team, mail_server: MailServer, dispatcher: Dispatcher
) -> None:
    values = {"name": "Mail", "type": "email", "config": {"to": ["ann@example.org"]}}
    tell_all(team, create_channel(team=team, values=values))
    queue(*(fail(make_monitor(team, f"Db {number}", tags=("eu-db",))) for number in range(37)))

    send_gathered(dispatcher, after=2 * GATHERING)

    [mail] = mail_server.mails
    assert mail["Subject"] == "37 down in eu-db"
    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert "Db 0, Db 1, " in text
    assert "and 17 more" in text
    assert "37 in eu-db" in text


def test_a_pager_gets_each_incident(team: Team, receiver: Receiver, dispatcher: Dispatcher) -> None:
    config = {"routing_key": "k" * 32, "server": receiver.url}
    values = {"name": "Pager", "type": "pagerduty", "config": config}
    receiver.default = Reply(202)
    queue_many(team, create_channel(team=team, values=values), 9)
    send_due(dispatcher)
    assert len({request.json()["dedup_key"] for request in receiver.requests}) == 9


def test_a_very_large_storm_is_split(
    team: Team, receiver: Receiver, hook: Channel, dispatcher: Dispatcher
) -> None:
    [first] = queue_many(team, hook, 1)
    Delivery.objects.bulk_create(
        Delivery(
            team=team,
            channel=hook,
            event="down",
            facts=first.facts,
            next_attempt_at=first.next_attempt_at,
        )
        for _ in range(MOST_IN_DIGEST + 9)
    )
    send_gathered(dispatcher, after=2 * GATHERING)
    counts = [request.json()["digest"]["count"] for request in receiver.requests]
    assert sorted(counts) == [10, MOST_IN_DIGEST]


def test_more_than_the_rate_waits_though_another_dispatcher_looks(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    hook = make_webhook(team, receiver.url, rate_per_minute=6)
    ChannelPace.objects.create(
        channel=hook, tokens=0, counted_at=database_now(), window_since=database_now()
    )
    queue_many(team, hook, 3)
    other = Dispatcher(uuid4())
    began = database_now()
    try:
        for second in range(29):
            for one in (dispatcher, other):
                one.step(began + timedelta(seconds=second))
                assert one.drain(5)
            assert len(receiver.requests) <= second // 10
    finally:
        other.close()
    assert len(receiver.requests) == 2


def test_what_gathers_is_nobodys_neglect(team: Team, hook: Channel, dispatcher: Dispatcher) -> None:
    queue_many(team, hook, 9)
    now = database_now()
    assert Delivery.objects.neglected(now).exists()
    dispatcher.step(now)
    assert not Delivery.objects.neglected(now).exists()


@committed
def test_two_dispatchers_merge_each_delivery_once(
    team: Team, receiver: Receiver, hook: Channel
) -> None:
    queue_many(team, hook, 20)
    with running(Dispatcher(uuid4())), running(Dispatcher(uuid4())):
        until(lambda: not Delivery.objects.exclude(status=DeliveryStatus.SENT).exists())
    listed = [
        alert["event_id"]
        for request in receiver.requests
        for alert in request.json()["digest"]["alerts"]
    ]
    assert len(receiver.requests) == 1
    assert len(set(listed)) == len(listed) == 20
