"""When channels are asked whether they live, and what becomes of the answer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections, transaction
from pytest_django import Settings

from accounts.models import Team
from alerts.actions import create_channel, send_test, update_channel
from alerts.dispatch import Dispatcher
from alerts.models import Channel, ChannelProbe, Delivery
from alerts.probing import AT_ONCE, ask, lease_probes, probe_channels, record_answers
from tests.alerts.scenes import make_webhook, send_due
from tests.factories import MembershipFactory
from tests.servers.smtp import MailServer
from tests.servers.telegram import BLOCKED, BotApi
from tests.servers.webhook import Receiver, Reply
from uptime.clock import database_now

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def chat(team: Team, bot_api: BotApi) -> Channel:
    config = {"bot_token": BotApi.TOKEN, "chat_id": BotApi.CHAT}
    return create_channel(team=team, values={"name": "Ops", "type": "telegram", "config": config})


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(uuid4())
    yield dispatcher
    dispatcher.close()


def probe_of(channel: Channel) -> ChannelProbe:
    return ChannelProbe.objects.get(channel=channel)


def wait_for_a_day(channel: Channel) -> None:
    ChannelProbe.objects.filter(channel=channel).update(due_at=database_now())


def notices() -> list[Delivery]:
    return list(Delivery.objects.filter(event="probe_failed"))


def test_a_new_channel_is_asked_at_the_next_look_and_then_daily(
    chat: Channel, bot_api: BotApi
) -> None:
    assert probe_channels() == 1
    assert probe_channels() == 0
    first = probe_of(chat)
    assert (first.error, first.is_final) == ("", False)
    assert first.proven_at == first.alive_since == first.asked_at
    assert first.asked_at is not None
    next_in = first.due_at - first.asked_at
    assert timedelta(hours=21) < next_in < timedelta(hours=27)

    wait_for_a_day(chat)
    assert probe_channels() == 1
    second = probe_of(chat)
    assert second.alive_since == first.alive_since
    assert second.proven_at is not None
    assert first.proven_at is not None
    assert second.proven_at > first.proven_at
    assert bot_api.asked == 2
    assert not bot_api.messages


def test_those_that_were_there_before_are_spread_over_a_day(chat: Channel) -> None:
    ChannelProbe.objects.all().delete()
    before = database_now()
    assert probe_channels() == 0
    assert before < probe_of(chat).due_at < before + timedelta(days=1, minutes=1)


def test_what_is_final_is_told_to_the_owners_once(
    chat: Channel,
    team: Team,
    bot_api: BotApi,
    mail_server: MailServer,
    dispatcher: Dispatcher,
) -> None:
    MembershipFactory(team=team, role="viewer", user__password=None)
    for _ in range(2):
        bot_api.will(BLOCKED.reply())
        probe_channels()
        wait_for_a_day(chat)
    send_due(dispatcher)
    [mail] = mail_server.mails
    owner = team.memberships.get(role="owner")
    assert mail["To"] == owner.user.email
    assert mail["Subject"] == "Channel out of order: Ops"
    assert "blocked by the user" in mail.get_body(("plain",)).get_content()
    probe = probe_of(chat)
    assert (probe.is_final, probe.alive_since) == (True, None)
    chat.refresh_from_db()
    assert chat.enabled
    assert chat.last_error == ""


def test_it_is_told_again_after_it_lived_in_between(chat: Channel, bot_api: BotApi) -> None:
    for answers in ([BLOCKED.reply()], [], [BLOCKED.reply()]):
        bot_api.will(*answers)
        probe_channels()
        wait_for_a_day(chat)
    assert len(notices()) == 2


def test_what_may_pass_is_asked_again_soon_and_told_nobody(chat: Channel, bot_api: BotApi) -> None:
    probe_channels()
    wait_for_a_day(chat)
    bot_api.will(Reply(502))
    probe_channels()
    probe = probe_of(chat)
    assert "502" in probe.error
    assert not probe.is_final
    assert probe.asked_at is not None
    assert probe.due_at - probe.asked_at < timedelta(hours=2)
    assert probe.proven_at is not None
    assert probe.alive_since is None
    assert notices() == []


def test_a_disabled_channel_is_not_asked(chat: Channel, bot_api: BotApi) -> None:
    update_channel(channel=chat, values={"enabled": False})
    assert probe_channels() == 0
    update_channel(channel=chat, values={"enabled": True})
    assert probe_channels() == 1


def test_new_settings_are_asked_about_and_old_answers_forgotten(
    chat: Channel, bot_api: BotApi
) -> None:
    update_channel(channel=chat, values={"config": {**chat.config, "chat_id": "-1"}})
    probe_channels()
    assert probe_of(chat).is_final
    update_channel(channel=chat, values={"config": {**chat.config, "chat_id": BotApi.CHAT}})
    assert probe_of(chat).error == ""
    probe_channels()
    assert probe_of(chat).proven_at is not None


def test_an_answer_about_settings_that_were_changed_meanwhile_counts_for_nothing(
    chat: Channel, bot_api: BotApi
) -> None:
    bot_api.will(BLOCKED.reply())
    [leased] = lease_probes(owner=uuid4(), now=database_now())
    answer = ask(leased)
    update_channel(channel=chat, values={"config": chat.config})
    assert record_answers([(leased, answer)]) == 0
    assert probe_of(chat).error == ""
    assert notices() == []


def test_two_askers_share_what_is_due(team: Team, receiver: Receiver) -> None:
    for number in range(AT_ONCE + 2):
        make_webhook(team, receiver.url, f"Hook {number}", probe_url=receiver.url)
    now = database_now()

    def lease_elsewhere() -> set[Any]:
        try:
            return {one.channel_id for one in lease_probes(owner=uuid4(), now=now)}
        finally:
            connections.close_all()

    with transaction.atomic(), ThreadPoolExecutor(1) as elsewhere:
        first = {one.channel_id for one in lease_probes(owner=uuid4(), now=now)}
        second = elsewhere.submit(lease_elsewhere).result(10)
    assert (len(first), len(second)) == (AT_ONCE, 2)
    assert not first & second


def test_an_asker_that_died_leaves_it_to_the_next(chat: Channel, bot_api: BotApi) -> None:
    now = database_now()
    [lost] = lease_probes(owner=uuid4(), now=now)
    assert lease_probes(owner=uuid4(), now=now) == []
    [taken_up] = lease_probes(owner=uuid4(), now=now + timedelta(minutes=6))
    assert record_answers([(lost, ask(lost))]) == 0
    assert record_answers([(taken_up, ask(taken_up))]) == 1


def test_one_that_can_not_be_asked_is_left_alone(team: Team, receiver: Receiver) -> None:
    hook = make_webhook(team, receiver.url)
    probe_channels()
    probe = probe_of(hook)
    assert (probe.error, probe.proven_at) == ("", None)
    assert not receiver.requests


def test_a_test_that_arrives_has_it_asked_again(
    chat: Channel, bot_api: BotApi, dispatcher: Dispatcher
) -> None:
    bot_api.will(BLOCKED.reply())
    probe_channels()
    assert probe_channels() == 0
    send_test(channel=chat)
    send_due(dispatcher)
    assert probe_channels() == 1
    assert probe_of(chat).error == ""


def test_a_secret_is_in_no_answer(chat: Channel, settings: Settings) -> None:
    with Receiver() as proxy:
        settings.TELEGRAM_API_URL = proxy.url
        proxy.will(
            Reply(
                401,
                body=(
                    f'{{"ok":false,"error_code":401,"description":"no {BotApi.TOKEN}"}}'.encode()
                ),
            )
        )
        probe_channels()
    assert probe_of(chat).error == "Telegram: no ******** (401)"


def test_a_deleted_channel_takes_its_probe_along(chat: Channel) -> None:
    chat.delete()
    assert not ChannelProbe.objects.exists()


def test_a_member_is_asked_at_the_address_of_now(
    team: Team, settings: Settings, mail_server: MailServer
) -> None:
    member = MembershipFactory(team=team, role="viewer", user__password=None)
    channel = Channel.objects.create(
        team=team, name="Mail", type="email", config={"to": ["old@example.org"]}, member=member
    )
    ChannelProbe.objects.create(channel=channel, due_at=database_now())
    [leased] = lease_probes(owner=uuid4(), now=database_now())
    assert leased.config == {"to": [member.user.email]}
    assert ask(leased).is_proof
