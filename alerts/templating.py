"""The language in which a team words its messages: a small part of Django's templates.

    {{ monitor.name }} is {{ event|upper }}{% if reason %}: {{ reason_text }}{% endif %}
    {% for location in locations %}{{ location }} {% endfor %}

There are the tags `if`, `for` and `comment` and the filters below, and nothing else: no file is
read, no library loaded, nothing of the program is in reach. `for` goes over the message's own
lists, one deep, and an expression has a handful of filters, so that a template costs milliseconds
whatever it says. Nothing is escaped by itself: what is written is a text (`json` makes a value fit
for a JSON body, `escape` for HTML).

A template is validated when it is saved, against an invented incident, so that a name that does
not exist is told to who wrote it. One that fails nevertheless gives way to the product's own words:
an alert is never lost to its wording.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any

import structlog
from django.template import Context, Engine, Library, TemplateSyntaxError, defaultfilters
from django.template.base import Lexer
from django.template.defaulttags import ForNode, comment, do_for, do_if
from pydantic import AfterValidator
from pydantic_core import to_jsonable_python

from alerts.messages import (
    SUBJECT_LIMIT,
    Message,
    action_urls,
    message_with_everything,
)
from alerts.wording import cut, duration_phrase, one_line, reason_phrase, time_phrase
from incidents.links import Purpose

log = structlog.get_logger(__name__)

TEMPLATE_LIMIT = 10_000
TEXT_LIMIT = 20_000
FILTERS_AT_ONCE = 5  # `json` doubles each backslash: in a long chain, without end
_LISTS = ("lines", "links", "locations")
_BREAKS = (
    TemplateSyntaxError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AttributeError,
)
_UNKNOWN = re.compile("\0(.*?)\0")

register = Library()
register.tag("if", do_if)
register.tag("for", do_for)
register.tag("comment", comment)
for name in (
    "capfirst",
    "date",
    "default",
    "default_if_none",
    "first",
    "join",
    "last",
    "length",
    "lower",
    "pluralize",
    "title",
    "truncatechars",
    "upper",
    "urlencode",
    "yesno",
):
    register.filter(name, getattr(defaultfilters, name))
register.filter("escape", defaultfilters.force_escape)


@register.filter("json")
def as_json(value: Any) -> str:
    """The value as JSON: a text with its quotes, null for what is missing."""
    return json.dumps(to_jsonable_python(value, fallback=str), ensure_ascii=False)


FILTERS = sorted(register.filters)


class _SmallEngine(Engine):
    """Knows what this module registers, in place of all that Django brings."""

    default_builtins = [__name__]


@lru_cache(maxsize=2)
def _engine(*, marks_unknown: bool) -> Engine:
    return _SmallEngine(autoescape=False, string_if_invalid="\0%s\0" if marks_unknown else "")


def clean_template(source: str) -> str:
    """`source`, if it can be rendered. Raises ValueError with a sentence for the user."""
    if source:
        _check(source)
    return source


TextTemplate = Annotated[str, AfterValidator(clean_template)]
"""A setting that words a part of the message; empty: the product's own words."""


@lru_cache(maxsize=256)
def _check(source: str) -> None:
    _check_filters(source)
    try:
        template = _engine(marks_unknown=True).from_string(source)
        _check_loops(template.nodelist)
        rendered = template.render(_context(message_with_everything()))
    except TemplateSyntaxError as error:
        raise ValueError(f"{error}.") from error
    except _BREAKS as error:
        raise ValueError(f"It can't be rendered: {error}.") from error
    if unknown := _UNKNOWN.search(rendered):
        raise ValueError(f"There is no “{unknown[1]}”.")


def _check_filters(source: str) -> None:
    for token in Lexer(source).tokenize():
        if token.contents.count("|") > FILTERS_AT_ONCE and token.token_type.name != "TEXT":
            raise ValueError(f"More than {FILTERS_AT_ONCE} filters in one place.")


def _check_loops(nodes: Any) -> None:
    for loop in nodes.get_nodes_by_type(ForNode):
        if loop.nodelist_loop.get_nodes_by_type(ForNode):
            raise TemplateSyntaxError("A “for” can't stand inside another")
        if loop.sequence.token not in _LISTS:
            raise TemplateSyntaxError(f"A “for” can go over {', '.join(_LISTS)} only")


def render_text(source: str, message: Message) -> str:
    """`source` filled in for `message`; empty when that failed, and then it is logged."""
    try:
        template = _engine(marks_unknown=False).from_string(source)
        return cut(template.render(_context(message)), TEXT_LIMIT)
    except _BREAKS as error:  # a filter met a value that it was not made for
        log.warning("alerts.template.broke", error=f"{type(error).__name__}: {error}")
        return ""


def _context(message: Message) -> Context:
    return Context(template_values(message), autoescape=False, use_l10n=False, use_tz=False)


def template_values(message: Message) -> dict[str, Any]:
    """Every name that a template may use: the fields of a webhook's document, and some words."""
    facts, urls = message.facts, action_urls(message.facts)
    values: dict[str, Any] = facts.model_dump()
    return {
        **values,
        "event_id": str(message.event_id),
        "subject": message.subject,
        "reason_text": reason_phrase(facts.reason) if facts.reason else "",
        "at": time_phrase(facts.occurred_at),
        "since": time_phrase(facts.started_at) if facts.started_at else "",
        "until": time_phrase(facts.resolved_at) if facts.resolved_at else "",
        "duration": duration_phrase(facts.duration),
        "lines": [{"label": line.label, "value": line.value} for line in message.lines],
        "text": message.body,
        "link": message.link,
        **{f"{purpose}_url": urls.get(purpose, "") for purpose in Purpose},
        "links": [{"label": link.label, "url": link.url} for link in message.links],
    }


WORDINGS: Mapping[str, Callable[[Message, str], Message]] = {
    "subject_template": lambda message, text: message.with_words(
        subject=cut(one_line(text), SUBJECT_LIMIT)
    ),
    "text_template": lambda message, text: message.with_words(prose=text.strip()),
}


def reworded(message: Message, config: object) -> Message:
    """`message` in the words of the channel, as far as its `config` has any."""
    result = message
    if message.facts.digest or message.facts.report:
        return result  # they are worded for one monitor
    for name, apply in WORDINGS.items():
        source = getattr(config, name, "")
        if source and (text := render_text(source, message)).strip():
            result = apply(result, text)
    return result
