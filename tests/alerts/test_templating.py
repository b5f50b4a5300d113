"""The language of templates: what it can say, and what it can't do."""

import json
from uuid import uuid4

import pytest

from alerts.channels.email import EmailConfig
from alerts.messages import Facts, Message, compose_message
from alerts.templating import TEXT_LIMIT, clean_template, render_text, reworded
from tests.alerts.scenes import NOON


def test_a_template_says_what_is_known(message: Message) -> None:
    source = (
        "{{ event|upper }} {{ monitor.name }} ({{ reason_text }}, {{ duration }})"
        "{% for line in lines %}|{{ line.label }}{% endfor %}"
    )
    assert clean_template(source) == source
    assert render_text(source, message) == (
        "DOWN Shop (connection refused, 5 s)|Monitor|Target|Why|Since|For|Where"
    )


def test_times_are_in_utc_and_can_be_formatted(message: Message) -> None:
    assert render_text("{{ since }}", message) == "2026-03-01 12:00:00 UTC"
    assert render_text('{{ started_at|date:"j M, H:i" }}', message) == "1 Mar, 12:00"


def test_every_name_can_be_used_though_it_is_empty_most_of_the_time(message: Message) -> None:
    source = "{{ failed_channel.name }}{{ resolved_at }}{{ until }}"
    assert clean_template(source) == source
    assert render_text("{{ failed_channel.name|default:'-' }}", message) == "-"


def test_json_makes_any_value_fit_for_a_body(facts: Facts) -> None:
    assert facts.monitor is not None
    monitor = facts.monitor.model_copy(update={"name": 'a "quoted"\nname \\'})
    message = compose_message(uuid4(), facts.model_copy(update={"monitor": monitor}))
    body = render_text(
        '{"name": {{ monitor.name|json }}, "at": {{ started_at|json }},'
        ' "until": {{ resolved_at|json }}, "where": {{ locations|json }}}',
        message,
    )
    assert json.loads(body) == {
        "name": 'a "quoted"\nname \\',
        "at": "2026-03-01T12:00:00Z",
        "until": None,
        "where": ["local"],
    }


def test_nothing_is_escaped_unless_it_is_asked_for(facts: Facts) -> None:
    assert facts.monitor is not None
    monitor = facts.monitor.model_copy(update={"name": "<b>A & B</b>"})
    message = compose_message(uuid4(), facts.model_copy(update={"monitor": monitor}))
    assert render_text("{{ monitor.name }}", message) == "<b>A & B</b>"
    assert render_text("{{ monitor.name|escape }}", message) == "&lt;b&gt;A &amp; B&lt;/b&gt;"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{{ monitr.name }}", "There is no “monitr.name”"),
        ("{{ monitor.colour }}", "There is no “monitor.colour”"),
        ("{{ monitor.name", None),
        ("{% if event %}down", "Unclosed tag"),
        ("{% include 'secret.html' %}", "Invalid block tag"),
        ("{% extends 'base.html' %}", "Invalid block tag"),
        ("{% load static %}", "Invalid block tag"),
        ("{% debug %}", "Invalid block tag"),
        ("{% lorem 1000000 %}", "Invalid block tag"),
        ("{% with a=event %}{{ a }}{% endwith %}", "Invalid block tag"),
        ("{{ event|ljust:1000000000 }}", "Invalid filter"),
        ("{{ event|safe }}", "Invalid filter"),
        ("{{ monitor.__class__ }}", "underscores"),
        ("{{ event|json|json|json|json|json|json }}", "More than 5 filters"),
        ("{% for c in message %}{{ c }}{% endfor %}", "can go over"),
        (
            "{% for a in lines %}{% if a %}{% for b in lines %}x{% endfor %}{% endif %}"
            "{% endfor %}",
            "inside another",
        ),
    ],
)
def test_what_is_wrong_or_dangerous_is_refused(source: str, told: str | None) -> None:
    if told is None:
        assert clean_template(source) == source  # no tag at all: a text with braces
        return
    with pytest.raises(ValueError, match=told):
        clean_template(source)


def test_the_most_that_is_allowed_costs_little(message: Message) -> None:
    inner = "{{ line.value|json|json|json|json|json }}" * 200
    source = "{% for line in lines %}" + inner + "{% endfor %}"
    clean_template(source)
    assert len(render_text(source, message)) <= TEXT_LIMIT


def test_a_test_message_can_be_said_by_a_template_about_monitors() -> None:
    facts = Facts(event="test", occurred_at=NOON, message="This is a test.")
    message = compose_message(uuid4(), facts)
    assert render_text("{{ monitor.name|default:subject }}", message) == "TEST: this channel works"


def test_a_template_that_breaks_gives_way_to_the_products_own_words(message: Message) -> None:
    config = EmailConfig.model_construct(
        to=["a@example.org"], subject_template="{% nonsense %}", text_template="{{ reason|first }}"
    )
    worded = reworded(message, config)
    assert worded.subject == message.subject
    assert worded.body == "c"


def test_the_words_of_the_team_take_the_place_of_the_lines(message: Message) -> None:
    config = EmailConfig(
        to=["a@example.org"],
        subject_template="{{ monitor.name }}\nis {{ status }}",
        text_template="Wake up: {{ message }}",
    )
    worded = reworded(message, config)
    assert worded.subject == "Shop is down"
    assert worded.text.startswith("Shop is down\n\nWake up: shop.example:443 refused")
    assert "Since" not in worded.text
    assert message.link in worded.text
    assert "Wake up: shop.example:443 refused" in worded.html
    assert worded.event_id == message.event_id
