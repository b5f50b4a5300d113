"""The log of a delivery: every attempt, what was sent and answered, and no secret in it."""

import re
from collections.abc import Iterator
from urllib.parse import quote_plus
from uuid import uuid4

import pytest

from accounts.models import Team
from alerts.actions import create_channel, send_test
from alerts.dispatch import Dispatcher
from alerts.exchanges import Exchange
from alerts.models import Attempt
from incidents.links import ActionLink, LinkRefused, Purpose, without_keys
from tests.alerts.scenes import (
    fail,
    make_monitor,
    make_webhook,
    queue,
    queue_many,
    send_due,
    tell_all,
)
from tests.servers.smtp import MailServer
from tests.servers.telegram import BotApi
from tests.servers.webhook import RESET, Receiver, Reply
from uptime.secrets import MASK

pytestmark = pytest.mark.django_db


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(uuid4())
    yield dispatcher
    dispatcher.close()


def test_each_attempt_is_kept_with_its_answer(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    receiver.will(Reply(500, body=b"out of order"), RESET)
    [delivery] = queue_many(team, make_webhook(team, receiver.url), 1)
    for _ in range(3):
        delivery.refresh_from_db()
        send_due(dispatcher, at=delivery.next_attempt_at)

    attempts = list(delivery.log.all())

    assert [attempt.number for attempt in attempts] == [1, 2, 3]
    first, second, third = (attempt.exchanges[0] for attempt in attempts)
    assert (first["status"], first["answer"]) == (500, "out of order")
    assert second["status"] is None
    assert "127.0.0.1" in second["answer"]
    assert third["status"] == 200
    assert (first["method"], first["url"]) == ("POST", receiver.url)
    assert f'"event_id": "{delivery.pk}"' in first["sent"]
    assert first["headers"]["X-Uptime-Event-Id"] == str(delivery.pk)
    assert [bool(attempt.error) for attempt in attempts] == [True, True, False]
    assert all(attempt.duration_ms > 0 for attempt in attempts)


def test_headers_that_a_team_gave_are_masked(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    send_test(channel=make_webhook(team, receiver.url, headers={"Authorization": "Bearer abc"}))
    send_due(dispatcher)
    [exchange] = Attempt.objects.get().exchanges
    assert exchange["headers"]["Authorization"] == MASK


def test_a_token_in_an_address_is_masked(
    team: Team, bot_api: BotApi, dispatcher: Dispatcher
) -> None:
    config = {"bot_token": BotApi.TOKEN, "chat_id": BotApi.CHAT}
    values = {"name": "Chat", "type": "telegram", "config": config}
    send_test(channel=create_channel(team=team, values=values))
    send_due(dispatcher)
    [exchange] = Attempt.objects.get().exchanges
    assert f"/bot{MASK}/sendMessage" in exchange["url"]
    assert BotApi.TOKEN not in str(exchange)


def test_links_that_do_something_do_nothing_in_the_log(
    team: Team, bot_api: BotApi, mail_server: MailServer, dispatcher: Dispatcher
) -> None:
    """Whoever may only look reads it, too."""
    config = {"bot_token": BotApi.TOKEN, "chat_id": BotApi.CHAT}
    chat = create_channel(team=team, values={"name": "C", "type": "telegram", "config": config})
    config = {"to": ["ann@example.org"]}
    mail = create_channel(team=team, values={"name": "M", "type": "email", "config": config})
    tell_all(team, chat, mail)
    queue(fail(make_monitor(team)))
    send_due(dispatcher)
    for attempt in Attempt.objects.all():
        [exchange] = attempt.exchanges
        found = re.findall(r"/act/([^/]+)/", exchange["sent"])
        assert len(found) == len(Purpose)
        for token in found:
            assert token.endswith(f".{MASK}")
            with pytest.raises(LinkRefused):
                ActionLink.read(token)


def test_links_in_forms_do_nothing_either() -> None:
    link = ActionLink(Purpose.RESOLVE, uuid4()).url
    assert without_keys(quote_plus(link)).endswith(f".{MASK}%2F")


def test_a_mail_is_logged_for_each_address(
    team: Team, mail_server: MailServer, dispatcher: Dispatcher
) -> None:
    mail_server.refusals["bob@example.org"] = "550 no such user"
    config = {"to": ["ann@example.org", "bob@example.org"]}
    values = {"name": "Mail", "type": "email", "config": config}
    send_test(channel=create_channel(team=team, values=values))
    send_due(dispatcher)
    told = {one["url"]: one["status"] for one in Attempt.objects.get().exchanges}
    assert told == {"ann@example.org": 250, "bob@example.org": 550}


def test_long_texts_are_cut_after_the_secrets_were_taken_out() -> None:
    secret = "s3cret-token"
    exchange = Exchange("POST", "https://x.example/", {}, "a" * 1995 + secret, 200, "b" * 5000)
    kept = exchange.as_json(lambda text: text.replace(secret, MASK))
    assert len(kept["sent"]) == 2000
    assert "s3" not in kept["sent"]
    assert len(kept["answer"]) == 1000
