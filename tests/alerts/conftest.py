from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from pytest_django import Settings

from accounts.models import Team
from alerts.messages import Facts, IncidentFacts, Message, MonitorFacts, compose_message
from tests.alerts.scenes import NOON, make_team
from tests.servers.smtp import MailServer
from tests.servers.telegram import BotApi
from tests.servers.webhook import Receiver


@pytest.fixture
def team(db: None) -> Team:
    return make_team()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def bot_api(settings: Settings) -> Iterator[BotApi]:
    with BotApi() as api:
        settings.TELEGRAM_API_URL = api.url
        yield api


@pytest.fixture
def mail_server(settings: Settings) -> Iterator[MailServer]:
    with MailServer() as server:
        for name, value in server.settings.items():
            setattr(settings, name, value)
        yield server


@pytest.fixture
def facts() -> Facts:
    """Those of a shop that refuses connections."""
    return Facts(
        event="down",
        occurred_at=NOON + timedelta(seconds=5),
        message="shop.example:443 refused the connection.",
        monitor=MonitorFacts(
            id=UUID("018f0000-0000-7000-8000-000000000001"),
            name="Shop",
            kind="http",
            target="https://shop.example/",
            url="https://uptime.example/monitors/1/",
        ),
        incident=IncidentFacts(
            id=UUID("018f0000-0000-7000-8000-000000000002"),
            url="https://uptime.example/incidents/2/",
        ),
        status="down",
        severity="down",
        reason="connect_refused",
        started_at=NOON,
        duration_seconds=5.0,
        locations=["local"],
    )


@pytest.fixture
def message(facts: Facts) -> Message:
    return compose_message(UUID("018f0000-0000-7000-8000-000000000003"), facts)
