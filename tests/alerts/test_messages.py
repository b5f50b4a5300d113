"""What an alert says, by tables."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from alerts.messages import SUBJECT_LIMIT, Facts, compose_message
from alerts.wording import duration_phrase, reason_phrase, time_phrase
from probe.values import Reason


def changed(facts: Facts, **changes: object) -> Facts:
    return facts.model_copy(update=changes)


def test_a_failure_says_what_and_why(facts: Facts) -> None:
    message = compose_message(uuid4(), facts)
    assert message.subject == "DOWN: Shop — connection refused"
    assert [(line.label, line.value) for line in message.lines] == [
        ("Monitor", "Shop"),
        ("Target", "https://shop.example/"),
        ("Why", "connection refused: shop.example:443 refused the connection."),
        ("Since", "2026-03-01 12:00:00 UTC"),
        ("For", "5 s"),
        ("Where", "local"),
    ]
    assert message.link == "https://uptime.example/incidents/2/"


def test_a_recovery_says_after_how_long(facts: Facts) -> None:
    resolved_at = datetime(2026, 3, 1, 12, 4, 12, tzinfo=UTC)
    message = compose_message(
        uuid4(),
        changed(facts, event="recovered", resolved_at=resolved_at, duration_seconds=252.4),
    )
    assert message.subject == "RECOVERED: Shop after 4 min 12 s"
    assert ("Until", "2026-03-01 12:04:12 UTC") in [(li.label, li.value) for li in message.lines]


def test_a_test_says_that_it_is_one() -> None:
    message = compose_message(
        uuid4(), Facts(event="test", occurred_at=datetime(2026, 3, 1, tzinfo=UTC), message="Hello.")
    )
    assert message.subject == "TEST: this channel works"
    assert message.lines[0].value == "Hello."
    assert "Hello." in message.text
    assert "Hello." in message.html


def test_a_name_of_any_shape_makes_one_line(facts: Facts) -> None:
    assert facts.monitor is not None
    monitor = facts.monitor.model_copy(update={"name": "A\r\nBcc: x@example.com " * 50})
    subject = compose_message(uuid4(), changed(facts, monitor=monitor)).subject
    assert "\n" not in subject
    assert "\r" not in subject
    assert len(subject) <= SUBJECT_LIMIT
    assert subject.endswith("… — connection refused")


def test_html_shows_what_people_wrote_as_text(facts: Facts) -> None:
    message = compose_message(uuid4(), changed(facts, message="<script>alert(1)</script>"))
    assert "<script>" not in message.html
    assert "<script>" in message.text


def test_facts_survive_their_storage(facts: Facts) -> None:
    assert Facts.model_validate(facts.as_json()) == facts


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (0.6, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (252, "4 min 12 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (86_400 * 3, "3 d"),
    ],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert duration_phrase(timedelta(seconds=seconds)) == words


def test_every_reason_has_words() -> None:
    for reason in Reason:
        assert reason_phrase(reason.value) != ""
        assert "_" not in reason_phrase(reason.value)
    assert reason_phrase("from_the_future") == "from the future"


def test_times_are_told_in_utc() -> None:
    berlin = datetime.fromisoformat("2026-03-01T13:00:00+01:00")
    assert time_phrase(berlin) == "2026-03-01 12:00:00 UTC"


@pytest.mark.parametrize(
    ("event", "status", "tone"),
    [
        ("down", "down", "down"),
        ("recovered", "up", "recovered"),
        ("reminder", "degraded", "degraded"),
        ("acknowledged", "down", ""),
        ("test", None, ""),
    ],
)
def test_an_event_has_the_tone_of_what_it_means(
    facts: Facts, event: str, status: str | None, tone: str
) -> None:
    told = facts.model_copy(update={"event": event, "status": status})
    assert told.tone == tone
    assert told.is_trouble == (tone in ("down", "degraded"))
