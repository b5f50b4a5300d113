"""PagerDuty, against a look-alike."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from alerts.channels.pagerduty import PagerDutyConfig, send
from alerts.messages import Facts, Message
from tests.alerts.refusals import (
    DOOR,
    IMPATIENT,
    Answer,
    about,
    is_for_the_channel,
    is_for_this_message,
    is_tried_again,
    longest,
    of_a_test,
    refused,
    what_may_pass,
    wordiest,
)
from tests.servers.pagers import PagerDuty
from tests.servers.webhook import HANG


@pytest.fixture
def pagerduty() -> Iterator[PagerDuty]:
    with PagerDuty() as pagerduty:
        yield pagerduty


def config(pagerduty: PagerDuty, **changes: object) -> PagerDutyConfig:
    return PagerDutyConfig.model_validate(
        {"server": pagerduty.url, "routing_key": PagerDuty.KEY, **changes}
    )


def test_the_trouble_triggers_a_page(message: Message, pagerduty: PagerDuty) -> None:
    send(message, config(pagerduty), DOOR)
    [taken] = pagerduty.taken
    assert taken["event_action"] == "trigger"
    assert taken["dedup_key"] == "018f0000-0000-7000-8000-000000000002"
    assert taken["client_url"] == "https://uptime.example/incidents/2/"
    assert taken["links"] == [{"href": link.url, "text": link.label} for link in message.links]
    payload = taken["payload"]
    assert payload["summary"] == "DOWN: Shop — connection refused"
    assert (payload["severity"], payload["source"]) == ("critical", "https://shop.example/")
    assert payload["class"] == "connect_refused"
    assert payload["custom_details"]["Where"] == "local"


def test_one_key_lives_from_trouble_to_its_end(facts: Facts, pagerduty: PagerDuty) -> None:
    states = []
    for event in ("degraded", "down", "acknowledged", "recovered"):
        send(about(facts, event), config(pagerduty), DOOR)
        [state] = pagerduty.incidents.values()
        states.append(state)
    assert states == ["triggered", "triggered", "acknowledged", "resolved"]
    assert pagerduty.taken[0]["payload"]["severity"] == "warning"


def test_a_test_leaves_nothing_open(pagerduty: PagerDuty) -> None:
    send(of_a_test(), config(pagerduty), DOOR)
    assert [one["event_action"] for one in pagerduty.taken] == ["trigger", "resolve"]
    assert list(pagerduty.incidents.values()) == ["resolved"]


@what_may_pass
def test_what_may_pass_is_tried_again(
    message: Message, pagerduty: PagerDuty, answer: Answer
) -> None:
    pagerduty.will(answer)
    assert is_tried_again(refused(lambda: send(message, config(pagerduty), IMPATIENT)))


def test_a_flood_names_the_time_to_wait(message: Message, pagerduty: PagerDuty) -> None:
    pagerduty.will(pagerduty.FLOOD)
    error = refused(lambda: send(message, config(pagerduty), DOOR))
    assert is_tried_again(error)
    assert error.retry_after == timedelta(seconds=31)


@pytest.mark.parametrize("answer", [PagerDuty.INVALID_KEY])
def test_what_stays_so_ends_the_channel(
    message: Message, pagerduty: PagerDuty, answer: Answer
) -> None:
    pagerduty.will(answer)
    error = refused(lambda: send(message, config(pagerduty), DOOR))
    assert is_for_the_channel(error)


def test_what_is_wrong_with_one_message_ends_that_alone(
    message: Message, pagerduty: PagerDuty
) -> None:
    pagerduty.will(pagerduty.INVALID_EVENT)
    assert is_for_this_message(refused(lambda: send(message, config(pagerduty), DOOR)))


def test_the_secret_is_in_no_error(message: Message, pagerduty: PagerDuty) -> None:
    settings = config(pagerduty)
    pagerduty.will(pagerduty.INVALID_KEY, HANG)
    for _ in range(2):
        assert PagerDuty.KEY not in str(refused(lambda: send(message, settings, IMPATIENT)))
    assert PagerDuty.KEY not in repr(settings)


def test_the_longest_message_is_taken(facts: Facts, pagerduty: PagerDuty) -> None:
    send(longest(facts), config(pagerduty), DOOR)
    send(wordiest(facts), config(pagerduty), DOOR)
    assert len(pagerduty.taken) == 2
