"""Deliveries leave: promptly, in order, once where possible and at least once in any case."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.db import connection
from pytest_django import Settings

from accounts.models import Team
from alerts.actions import create_channel, create_policy, send_test, update_channel
from alerts.dispatch import AT_ONCE_PER_CHANNEL, MOST_PER_CHANNEL, Dispatcher
from alerts.models import Channel, ChannelPace, Delivery, DeliveryStatus, Escalation
from alerts.outbox import LEASE, lease_deliveries
from alerts.recording import MAX_ATTEMPTS
from tests.alerts.scenes import (
    fail,
    make_monitor,
    make_team,
    make_webhook,
    queue,
    queue_many,
    recover,
    running,
    send_due,
    tell_all,
    until,
)
from tests.servers.telegram import BotApi, Refusal
from tests.servers.webhook import HANG, Receiver, Reply
from uptime.clock import database_now

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)

BROKEN = Reply(500)


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(uuid4())
    yield dispatcher
    dispatcher.close()


def status_of(delivery: Delivery) -> str:
    delivery.refresh_from_db()
    return delivery.status


def all_sent() -> bool:
    return not Delivery.objects.exclude(status=DeliveryStatus.SENT).exists()


def event_ids(receiver: Receiver) -> list[str]:
    return [request.json()["event_id"] for request in receiver.requests]


def test_a_failure_reaches_the_receiver_and_is_recorded(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    channel = make_webhook(team, receiver.url)
    [delivery] = queue_many(team, channel, 1)

    send_due(dispatcher)

    delivery.refresh_from_db()
    channel.refresh_from_db()
    assert event_ids(receiver) == [str(delivery.pk)]
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.SENT, 1)
    assert delivery.sent_at is not None
    assert delivery.next_attempt_at is None
    assert channel.last_sent_at == delivery.sent_at


def test_a_receiver_that_fails_first_gets_it_again_under_the_same_id(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.will(BROKEN, BROKEN)
    [delivery] = queue_many(team, make_webhook(team, receiver.url), 1)

    send_due(dispatcher)
    assert status_of(delivery) == DeliveryStatus.FAILED
    assert delivery.last_error == "the receiver answered 500"
    send_due(dispatcher, at=delivery.next_attempt_at)
    assert status_of(delivery) == DeliveryStatus.FAILED
    send_due(dispatcher, at=delivery.next_attempt_at)

    assert status_of(delivery) == DeliveryStatus.SENT
    assert delivery.last_error == ""
    assert event_ids(receiver) == [str(delivery.pk)] * 3
    assert {request.headers["X-Uptime-Event-Id"] for request in receiver.requests} == {
        str(delivery.pk)
    }


def test_what_failed_is_not_tried_before_its_time(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.will(BROKEN)
    [delivery] = queue_many(team, make_webhook(team, receiver.url), 1)
    send_due(dispatcher)
    delivery.refresh_from_db()
    assert delivery.next_attempt_at is not None

    send_due(dispatcher, at=delivery.next_attempt_at - timedelta(milliseconds=1))

    assert len(receiver.requests) == 1


def test_a_clock_that_is_put_back_stops_neither_steps_nor_messages(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    ahead = database_now() + timedelta(hours=1)
    hook = make_webhook(team, receiver.url, digest_above=1)
    dispatcher.step(ahead)
    ChannelPace.objects.create(
        channel=hook, counted_at=ahead, window_since=ahead, not_before=ahead + timedelta(seconds=4)
    )
    steps = [{"channels": [hook.pk]}, {"delay_seconds": 1, "channels": [hook.pk]}]
    values = {"name": "P", "all": True, "on": ["down"], "steps": steps}
    create_policy(team=team, values=values)
    queue(fail(make_monitor(team)))
    send_due(dispatcher)
    assert len(receiver.requests) == 1
    Escalation.objects.update(due_at=database_now())
    dispatcher.step(database_now() + timedelta(seconds=1))
    assert Escalation.objects.get().state == "told"


def test_a_receiver_that_is_gone_ends_the_delivery(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.will(Reply(410))
    [delivery] = queue_many(team, make_webhook(team, receiver.url), 1)
    send_due(dispatcher)
    assert status_of(delivery) == DeliveryStatus.DEAD
    assert delivery.next_attempt_at is None


def test_the_last_attempt_ends_the_delivery(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.default = BROKEN
    [delivery] = queue_many(team, make_webhook(team, receiver.url), 1)
    Delivery.objects.update(attempts=MAX_ATTEMPTS - 1)
    send_due(dispatcher)
    assert status_of(delivery) == DeliveryStatus.DEAD


def test_what_kills_its_senders_is_given_up_unsent(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    [delivery] = queue_many(team, make_webhook(team, receiver.url), 1)
    Delivery.objects.update(attempts=MAX_ATTEMPTS)
    send_due(dispatcher)
    assert status_of(delivery) == DeliveryStatus.DEAD
    assert receiver.requests == []


def test_a_channel_disabled_meanwhile_is_not_told(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    channel = make_webhook(team, receiver.url)
    [delivery] = queue_many(team, channel, 1)
    update_channel(channel=channel, values={"enabled": False})
    send_due(dispatcher)
    assert status_of(delivery) == DeliveryStatus.DEAD
    assert delivery.last_error == "the channel is disabled"
    assert receiver.requests == []


def test_a_disabled_channel_can_be_tested(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    channel = make_webhook(team, receiver.url)
    update_channel(channel=channel, values={"enabled": False})
    delivery = send_test(channel=channel)
    send_due(dispatcher)
    assert status_of(delivery) == DeliveryStatus.SENT
    assert receiver.requests[0].json()["event"] == "test"


def test_facts_that_cannot_be_read_hold_up_nobody_else(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    poisoned, sound = queue_many(team, make_webhook(team, receiver.url), 2)
    Delivery.objects.filter(pk=poisoned.pk).update(facts=[])
    send_due(dispatcher)
    assert status_of(poisoned) == DeliveryStatus.FAILED
    assert poisoned.last_error == "internal error (ValidationError)"
    assert status_of(sound) == DeliveryStatus.SENT


def test_a_receivers_words_of_any_kind_can_be_kept(
    team: Team, bot_api: BotApi, dispatcher: Dispatcher
) -> None:
    bot_api.will(Refusal(400, "\0" + "why not? " * 1000).reply())
    config = {"bot_token": BotApi.TOKEN, "chat_id": BotApi.CHAT}
    values = {"name": "Chat", "type": "telegram", "config": config}
    delivery = send_test(channel=create_channel(team=team, values=values))
    send_due(dispatcher)
    assert status_of(delivery) == DeliveryStatus.DEAD
    assert delivery.last_error.startswith("Telegram: why not?")
    assert len(delivery.last_error) == 500


def test_secrets_that_cannot_be_read_are_tried_again(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, settings: Settings
) -> None:
    delivery = send_test(channel=make_webhook(team, receiver.url))
    settings.SECRET_KEY = "another key than the one it was stored under"
    send_due(dispatcher)
    assert status_of(delivery) == DeliveryStatus.FAILED
    assert "UPTIME_SECRET_KEY" in delivery.last_error


def test_a_type_that_is_no_more_ends_the_delivery(team: Team, dispatcher: Dispatcher) -> None:
    channel = Channel.objects.create(team=team, name="Loft", type="pigeon")
    delivery = send_test(channel=channel)
    send_due(dispatcher)
    assert status_of(delivery) == DeliveryStatus.DEAD
    assert delivery.last_error == "there is no channel of type pigeon"


def test_settings_that_are_no_longer_valid_are_told_without_their_values(
    team: Team, dispatcher: Dispatcher
) -> None:
    channel = Channel.objects.create(
        team=team, name="Hook", type="webhook", config={"url": "secret-host", "old": 1}
    )
    delivery = send_test(channel=channel)
    send_due(dispatcher)
    assert status_of(delivery) == DeliveryStatus.DEAD
    assert "no longer valid" in delivery.last_error
    assert "secret-host" not in delivery.last_error


def test_a_recovery_waits_for_the_failure_that_is_still_on_its_way(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    tell_all(team, make_webhook(team, receiver.url))
    receiver.will(BROKEN)
    failed = fail(make_monitor(team))
    [down] = queue(failed)
    send_due(dispatcher)
    [recovered] = queue(recover(failed.incident))

    send_due(dispatcher)
    assert status_of(down) == DeliveryStatus.FAILED
    assert status_of(recovered) == DeliveryStatus.QUEUED

    send_due(dispatcher, at=down.next_attempt_at)
    assert [request.json()["event"] for request in receiver.requests] == [
        "down",
        "down",
        "recovered",
    ]


def test_a_failure_that_cannot_be_told_does_not_keep_the_recovery_back(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    values = {"name": "Gotify", "type": "gotify", "config": {"server": receiver.url, "token": "t"}}
    tell_all(team, create_channel(team=team, values=values))
    receiver.will(Reply(400))
    failed = fail(make_monitor(team))
    queue(failed)
    queue(recover(failed.incident))
    send_due(dispatcher)
    titles = [request.json()["title"].split(":")[0] for request in receiver.requests]
    assert titles == ["DOWN", "RECOVERED"]


def test_a_receiver_that_asks_for_rest_gets_it_for_all_its_messages(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.will(Reply(429, {"Retry-After": "120"}))
    queue_many(team, make_webhook(team, receiver.url), 5)
    asked_at = database_now()

    dispatcher.step(asked_at)
    assert dispatcher.drain(5)
    dispatcher.step(asked_at + timedelta(seconds=119))
    assert dispatcher.drain(5)

    # Two were under way at once: one was asked to wait, one was taken. Three have not begun.
    assert len(receiver.requests) == 2
    assert sorted(Delivery.objects.values_list("attempts", flat=True)) == [0, 0, 0, 1, 1]
    send_due(dispatcher, at=asked_at + timedelta(seconds=121))
    assert all_sent()


def test_a_receiver_that_hangs_holds_up_nobody_else(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    with Receiver() as hanging:
        hanging.default = HANG
        slow_team = make_team()
        queue_many(slow_team, make_webhook(slow_team, hanging.url), 80)
        [delivery] = queue_many(team, make_webhook(team, receiver.url), 1)
        while dispatcher.step(database_now()):
            pass
        receiver.wait_for(1)
        assert len(hanging.requests) <= AT_ONCE_PER_CHANNEL
    assert dispatcher.drain(5)
    assert status_of(delivery) == DeliveryStatus.SENT


def test_a_long_queue_leaves_room_for_a_lone_message_of_another_channel(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.dispatch.AT_ONCE", 6)
    monkeypatch.setattr("alerts.dispatch.KEPT_FREE", 2)
    monkeypatch.setattr("alerts.dispatch.AT_ONCE_PER_CHANNEL", 100)
    with Receiver() as hanging:
        hanging.default = HANG
        slow_team = make_team()
        queue_many(slow_team, make_webhook(slow_team, hanging.url), 10)
        [delivery] = queue_many(team, make_webhook(team, receiver.url), 1)
        while dispatcher.step(database_now()):
            pass
        receiver.wait_for(1)
        assert len(hanging.wait_for(4)) == 4
    assert dispatcher.drain(5)
    assert status_of(delivery) == DeliveryStatus.SENT


def test_a_lone_message_waits_for_no_queue_of_channels_that_are_idle_just_now(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.outbox.LOOK", 3)
    with Receiver() as hanging:
        hanging.default = HANG
        for _ in range(3):
            other = make_team()
            queue_many(other, make_webhook(other, hanging.url), 4)
        [delivery] = queue_many(team, make_webhook(team, receiver.url), 1)
        now = database_now()

        dispatcher.step(now)  # a look finds the first queue alone
        assert status_of(delivery) == DeliveryStatus.QUEUED
        dispatcher.step(now)

        assert status_of(delivery) == DeliveryStatus.SENDING
        sending = Delivery.objects.filter(status=DeliveryStatus.SENDING)
        assert sending.count() == AT_ONCE_PER_CHANNEL + 3
    assert dispatcher.drain(5)
    assert status_of(delivery) == DeliveryStatus.SENT


def test_a_receiver_that_is_quick_gets_more_at_once_until_it_hangs(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.dispatch.QUICK", timedelta(hours=1))  # on a busy machine, too
    channel = make_webhook(team, receiver.url)
    queue_many(team, channel, 40)
    while len(receiver.requests) < 40:
        dispatcher.step(database_now())
        assert dispatcher.drain(5)
    receiver.default = HANG
    hung = queue(*(fail(make_monitor(team, f"Later {number}")) for number in range(40)))

    while dispatcher.step(database_now()):
        pass

    receiver.wait_for(40 + MOST_PER_CHANNEL)
    assert len(receiver.requests) == 40 + MOST_PER_CHANNEL
    receiver.closing.set()  # the connections break
    assert dispatcher.drain(5)
    assert sum(status_of(one) == DeliveryStatus.FAILED for one in hung) == MOST_PER_CHANNEL
    while dispatcher.step(database_now()):
        pass
    assert Delivery.objects.filter(status="sending").count() <= AT_ONCE_PER_CHANNEL
    assert dispatcher.drain(5)


def test_an_outcome_that_comes_after_the_lease_was_lost_changes_nothing(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.default = HANG
    [delivery] = queue_many(team, make_webhook(team, receiver.url), 1)
    dispatcher.step(database_now())
    other = uuid4()
    lapsed = database_now() + LEASE
    assert lease_deliveries(owner=other, now=lapsed, limit=1, per_channel=lambda _: 1)
    receiver.closing.set()
    assert dispatcher.drain(5)
    assert status_of(delivery) == DeliveryStatus.SENDING
    assert delivery.lease_owner == other


def test_a_slow_send_keeps_its_lease(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.default = HANG
    [delivery] = queue_many(team, make_webhook(team, receiver.url), 1)
    started = database_now()
    dispatcher.step(started)
    dispatcher.step(started + LEASE / 2)
    assert (
        lease_deliveries(owner=uuid4(), now=started + LEASE, limit=1, per_channel=lambda _: 1) == []
    )
    delivery.refresh_from_db()
    assert delivery.next_attempt_at == started + LEASE * 1.5
    receiver.closing.set()
    assert dispatcher.drain(5)


def test_draining_ends_in_time_though_a_receiver_hangs(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.default = HANG
    [delivery] = queue_many(team, make_webhook(team, receiver.url), 1)
    dispatcher.step(database_now())
    receiver.wait_for(1)
    assert not dispatcher.drain(0.1)
    assert status_of(delivery) == DeliveryStatus.SENDING


@committed
def test_a_commit_wakes_the_dispatcher_by_itself(
    team: Team, receiver: Receiver, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.dispatch.LOOK_EVERY_S", 3600)
    channel = make_webhook(team, receiver.url)
    send_test(channel=channel)
    with running(dispatcher):
        receiver.wait_for(1)  # it runs and listens
        until(all_sent)
        queue_many(team, channel, 1)
        receiver.wait_for(2)


@committed
def test_a_missed_notification_costs_a_second_at_most(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    queue_many(team, make_webhook(team, receiver.url), 1)
    Delivery.objects.update(next_attempt_at=database_now() + timedelta(days=1))
    with running(dispatcher):
        Delivery.objects.update(next_attempt_at=database_now())
        receiver.wait_for(1, timeout=2)


@committed
def test_two_dispatchers_never_send_the_same_delivery(team: Team, receiver: Receiver) -> None:
    channels = [make_webhook(team, f"{receiver.url}/{number}") for number in range(8)]
    tell_all(team, *channels)
    queue(*(fail(make_monitor(team, f"Shop {number}")) for number in range(12)))

    with running(Dispatcher(uuid4())), running(Dispatcher(uuid4())):
        receiver.wait_for(96)
        until(all_sent)

    times_sent = Counter(event_ids(receiver))
    assert len(times_sent) == 96
    assert set(times_sent.values()) == {1}


@committed
def test_it_outlives_a_database_that_drops_its_connections(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    channel = make_webhook(team, receiver.url)
    send_test(channel=channel)
    with running(dispatcher):
        receiver.wait_for(1)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        send_test(channel=channel)
        receiver.wait_for(2)
        until(all_sent)
    assert len(set(event_ids(receiver))) == 2


SENDER = """
import sys, uuid, django
django.setup()
from alerts.dispatch import Dispatcher
Dispatcher(uuid.uuid4()).run(lambda: False)
"""


def start_sender() -> subprocess.Popen[bytes]:
    """A dispatcher in a process of its own, on the tests' database."""
    address = urlsplit(os.environ["DATABASE_URL"])._replace(path=connection.settings_dict["NAME"])
    return subprocess.Popen(
        [sys.executable, "-c", SENDER],
        env={
            **os.environ,
            "DATABASE_URL": address.geturl(),
            "DJANGO_SETTINGS_MODULE": "uptime.settings",
        },
    )


@committed
def test_a_sender_killed_in_the_middle_loses_nothing(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    """One was told and recorded, two were being sent, one had not begun."""
    receiver.will(Reply(), HANG, HANG)
    deliveries = queue_many(team, make_webhook(team, receiver.url), 4)
    sender = start_sender()
    try:
        receiver.wait_for(3, timeout=60)  # a Python starts, and loads all
        until(lambda: Delivery.objects.filter(status=DeliveryStatus.SENT).count() == 1)
    finally:
        sender.send_signal(signal.SIGKILL)
        sender.wait(10)
    outstanding = {str(d.pk) for d in deliveries if status_of(d) != DeliveryStatus.SENT}
    del receiver.requests[:]

    send_due(dispatcher, at=database_now() + LEASE)

    assert len(outstanding) == 3
    assert sorted(event_ids(receiver)) == sorted(outstanding)
    assert all_sent()
