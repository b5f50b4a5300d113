"""An attempt: in whose words it is made, and what it says when it fails."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.urls import clear_url_caches, get_resolver

from accounts.models import Team
from alerts.actions import create_channel
from alerts.dispatch import Dispatcher
from alerts.door import load_authorities
from alerts.models import Channel
from alerts.sending import load_messages, without_secrets
from tests.alerts.scenes import queue_many, send_due
from tests.servers.pushes import Gotify
from tests.servers.webhook import Reply
from uptime.secrets import encrypt


@pytest.fixture
def gotify() -> Iterator[Gotify]:
    with Gotify() as gotify:
        yield gotify


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(uuid4())
    yield dispatcher
    dispatcher.close()


def make_gotify(team: Team, gotify: Gotify, **config: str) -> Channel:
    settings = {"server": gotify.url, "token": Gotify.TOKEN, **config}
    return create_channel(team=team, values={"name": "G", "type": "gotify", "config": settings})


@pytest.mark.django_db(transaction=True)
def test_a_message_leaves_in_the_channels_own_words(
    team: Team, gotify: Gotify, dispatcher: Dispatcher
) -> None:
    channel = make_gotify(team, gotify, subject_template="{{ monitor.name }}: {{ event }}")
    queue_many(team, channel, 1)
    send_due(dispatcher)
    assert gotify.taken[0]["title"] == "Shop 0: down"


@pytest.mark.django_db(transaction=True)
def test_what_a_receiver_says_is_kept_without_the_secret(
    team: Team, gotify: Gotify, dispatcher: Dispatcher
) -> None:
    said = f'{{"errorDescription": "no such token: {Gotify.TOKEN}"}}'
    gotify.will(Reply(500, body=said.encode()))
    [delivery] = queue_many(team, make_gotify(team, gotify), 1)
    send_due(dispatcher)
    delivery.refresh_from_db()
    assert delivery.last_error == "the receiver answered 500: no such token: ********"


def test_a_receiver_that_repeats_a_secret_does_not_publish_it() -> None:
    secrets = encrypt({"/token": "tk_0123456789", "/pin": "1234"})
    text = "the receiver answered 401: no such token tk_0123456789 in 1234 tries"
    assert without_secrets(text, secrets) == (
        "the receiver answered 401: no such token ******** in 1234 tries"
    )


def test_neither_does_one_that_repeats_the_path_of_a_secret_address() -> None:
    secrets = encrypt(
        {"/url": "https://hooks.example/services/T0001/B0002/veryLongSecret?key=abcdefgh"}
    )
    text = "hooks.example: not found: /services/T0001/B0002/veryLongSecret?key=abcdefgh"
    assert "veryLongSecret" not in without_secrets(text, secrets)
    assert "abcdefgh" not in without_secrets(text, secrets)
    assert "hooks.example" in without_secrets(text, secrets)


def test_what_the_first_message_would_wait_for_is_loaded_beforehand() -> None:
    clear_url_caches()
    load_authorities.cache_clear()
    load_messages()
    assert get_resolver()._populated
    assert load_authorities.cache_info().currsize == 1
