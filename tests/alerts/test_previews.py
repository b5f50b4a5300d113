"""What a channel would say, shown before it is saved."""

import json

import pytest

from accounts.models import Team
from alerts.actions import create_channel
from alerts.channels import CHANNELS
from alerts.previews import preview_message
from tests.alerts.scenes import NOON, fail, make_monitor, make_webhook, recover
from uptime.errors import Invalid
from uptime.secrets import MASK

pytestmark = pytest.mark.django_db


def test_an_invented_incident_is_told_in_the_teams_words() -> None:
    config = {"to": ["a@example.org"], "subject_template": "Look: {{ monitor.name }}"}
    shown = preview_message(type_=CHANNELS["email"], config=config, now=NOON)
    assert shown.startswith("Look: Shop\n\nMonitor: Shop\n")


def test_a_real_incident_is_told_as_it_is_now(team: Team) -> None:
    config = {"to": ["a@example.org"], "text_template": "{{ event }} {{ duration }}"}
    transition = fail(make_monitor(team, "Mill"))
    incident = transition.incident
    shown = preview_message(type_=CHANNELS["email"], config=config, now=NOON, incident=incident)
    assert shown == "DOWN: Mill — connection refused\n\ndown 0 s"
    recover(incident)
    shown = preview_message(type_=CHANNELS["email"], config=config, now=NOON, incident=incident)
    assert shown.endswith("recovered 4 min 12 s")


def test_of_a_webhook_the_body_is_shown() -> None:
    config = {"url": "https://example.org/", "body_template": '{"text": {{ subject|json }}}'}
    shown = preview_message(type_=CHANNELS["webhook"], config=config, now=NOON)
    assert json.loads(shown) == {"text": "DOWN: Shop — connection refused"}


def test_secrets_that_are_stored_need_not_be_given_again(team: Team) -> None:
    values = {
        "name": "Pager",
        "type": "pagerduty",
        "config": {"routing_key": "0123456789abcdef0123456789abcdef"},
    }
    channel = create_channel(team=team, values=values)
    shown = preview_message(
        type_=CHANNELS["pagerduty"], config={"routing_key": MASK}, now=NOON, channel=channel
    )
    assert "0123456789abcdef" not in shown


def test_wrong_settings_are_told(team: Team) -> None:
    channel = make_webhook(team, "https://example.org/")
    with pytest.raises(Invalid) as raised:
        preview_message(
            type_=CHANNELS["webhook"], config={"url": "nonsense"}, now=NOON, channel=channel
        )
    assert list(raised.value.fields) == ["config.url"]


@pytest.mark.parametrize("name", ["twilio_sms", "twilio_voice"])
def test_a_short_message_is_shown_as_short_as_it_is(name: str) -> None:
    config = {
        "account_sid": "AC" + "0" * 32,
        "auth_token": "token",
        "sender": "+15550100",
        "to": "+49301234567",
    }
    shown = preview_message(type_=CHANNELS[name], config=config, now=NOON)
    assert shown.startswith("DOWN: Shop — connection refused")
    assert "Since" not in shown
