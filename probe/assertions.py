"""Assertions: what the user says must be true of an answer.

An `Assertion` is the setting, checked on the way in; `compile_assertion` turns it into a function
of an `Evidence` that returns None or the sentence that says what was expected and what came.
Regular expressions run in linear time (RE2), also those inside a JSONPath filter, so that neither a
pattern nor a server's answer can hold the engine up.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Annotated, Any, Self

import re2
from iregexp_check import check as is_iregexp
from jsonpath_rfc9535 import JSONPathEnvironment, JSONPathError, JSONPathQuery
from jsonpath_rfc9535.function_extensions import ExpressionType, FilterFunction
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

SHOWN_CHARS = 120
"""How much of an actual value a message shows."""


class Source(StrEnum):
    STATUS = "status"
    HEADER = "header"
    BODY = "body"
    JSON = "json"
    LATENCY = "latency"
    CERT_DAYS = "cert_days"
    SIZE = "size"


class Comparison(StrEnum):
    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    MATCHES = "matches"
    NOT_MATCHES = "not_matches"
    LESS_THAN = "less_than"
    GREATER_THAN = "greater_than"
    EXISTS = "exists"
    NOT_EXISTS = "not_exists"
    EMPTY = "empty"
    NOT_EMPTY = "not_empty"


class Severity(StrEnum):
    DOWN = "down"
    DEGRADED = "degraded"


_VALUELESS = {Comparison.EXISTS, Comparison.NOT_EXISTS, Comparison.EMPTY, Comparison.NOT_EMPTY}
_PATTERNS = {Comparison.MATCHES, Comparison.NOT_MATCHES}
_ORDERINGS = {Comparison.LESS_THAN, Comparison.GREATER_THAN}
_NEGATIONS = {
    Comparison.NOT_EQUALS: Comparison.EQUALS,
    Comparison.NOT_CONTAINS: Comparison.CONTAINS,
    Comparison.NOT_MATCHES: Comparison.MATCHES,
    Comparison.NOT_EXISTS: Comparison.EXISTS,
    Comparison.NOT_EMPTY: Comparison.EMPTY,
}


class Assertion(BaseModel):
    """One condition on the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    source: Source = Field(title="Source", description="What of the answer is looked at.")
    property: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = Field(
        default="",
        title="Property",
        description="The header's name, or a JSONPath (RFC 9535) such as `$.status`.",
    )
    comparison: Comparison = Field(title="Comparison", description="How it is compared.")
    value: str | int | float | bool | None = Field(
        default=None,
        title="Value",
        description="What it is compared with. Numbers compare as numbers, `matches` takes a"
        " regular expression (RE2). Latency is in ms, size in bytes, cert_days in days.",
    )
    severity: Severity = Field(
        default=Severity.DOWN,
        title="Severity",
        description="What the check is when the condition doesn't hold.",
    )

    @model_validator(mode="after")
    def _check_parts_fit(self) -> Self:
        takes_property = self.source in (Source.HEADER, Source.JSON)
        if takes_property and not self.property:
            what = "the header's name" if self.source == Source.HEADER else "a JSONPath"
            raise ValueError(f"Give {what} in `property`")
        if self.property and not takes_property:
            raise ValueError(f"The source {self.source} takes no `property`")
        if self.comparison in _VALUELESS:
            if self.value is not None:
                raise ValueError(f"The comparison {self.comparison} takes no `value`")
        elif self.value is None and not self._asks_for_null():
            raise ValueError(f"The comparison {self.comparison} needs a `value`")
        if isinstance(self.value, str) and len(self.value) > 10_000:
            raise ValueError("`value` may have 10,000 characters at most")
        if self.comparison in _ORDERINGS and _number(self.value) is None:
            raise ValueError(f"The comparison {self.comparison} needs a number as `value`")
        if self.comparison in _PATTERNS:
            compile_pattern(_text(self.value))
        if self.source == Source.JSON:
            compile_path(self.property)
        return self

    def _asks_for_null(self) -> bool:
        return self.source == Source.JSON and self.comparison in (
            Comparison.EQUALS,
            Comparison.NOT_EQUALS,
        )


_NO_CHARSETS = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"}
"""Codecs of Python's that no document is written in; some take quadratic time."""


@dataclass
class Evidence:
    """What an answer showed: the stuff that assertions are about.

    `headers` have lower-case names; a header that came several times has its values joined by a
    comma (RFC 9110 section 5.3).
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    charset: str = "utf-8"
    latency_ms: float = 0.0
    cert_days: float | None = None
    size: int = 0

    @cached_property
    def text(self) -> str:
        try:
            name = codecs.lookup(self.charset).name
            return self.body.decode("utf-8" if name in _NO_CHARSETS else name, "replace")
        except (LookupError, ValueError):  # unknown, or no name at all
            return self.body.decode("utf-8", "replace")

    @cached_property
    def document(self) -> Any:
        """The body as JSON. Raises ValueError when it is not."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None


class _UnreadableError(Exception):
    """The answer has no value to compare, for the reason given as text."""


Check = Callable[[Evidence], str | None]
"""Returns None where the assertion holds, else a sentence with what was expected and what came."""


def compile_assertion(assertion: Assertion) -> Check:
    """The function that judges an answer by `assertion`."""
    read = _reader(assertion)
    is_met = _test(assertion.comparison, assertion.value)
    expected = _expectation(assertion)
    subject = _subject(assertion)

    def check(evidence: Evidence) -> str | None:
        try:
            found = read(evidence)
        except _UnreadableError as error:
            return f"{subject} {expected}, but {error}."
        if is_met(found):
            return None
        return f"{subject} {expected}, got {_shown_all(found)}."

    return check


# What is looked at


def _reader(assertion: Assertion) -> Callable[[Evidence], list[Any]]:
    """How to find the values that an assertion is about; an empty list where there is none."""
    match assertion.source:
        case Source.STATUS:
            return lambda evidence: _present(evidence.status)
        case Source.HEADER:
            name = assertion.property.lower()
            return lambda evidence: _present(evidence.headers.get(name))
        case Source.BODY:
            return lambda evidence: [evidence.text]
        case Source.JSON:
            return _json_reader(assertion.property)
        case Source.LATENCY:
            return lambda evidence: [round(evidence.latency_ms, 1)]
        case Source.CERT_DAYS:
            return lambda evidence: _present(evidence.cert_days)
        case Source.SIZE:
            return lambda evidence: [evidence.size]


def _present(value: Any) -> list[Any]:
    return [] if value is None else [value]


def _json_reader(path: str) -> Callable[[Evidence], list[Any]]:
    query = compile_path(path)

    def read(evidence: Evidence) -> list[Any]:
        try:
            return query.find(evidence.document).values()
        except ValueError as error:
            raise _UnreadableError(
                f"the body is not JSON ({error}): {_shown(evidence.text)}"
            ) from None
        except (JSONPathError, RecursionError):
            raise _UnreadableError("the JSON is nested too deeply") from None

    return read


def _subject(assertion: Assertion) -> str:
    match assertion.source:
        case Source.HEADER:
            return f"Header {assertion.property}"
        case Source.JSON:
            return f"JSON {_cut(assertion.property)}"
        case Source.CERT_DAYS:
            return "Days left on the certificate"
        case Source.LATENCY:
            return "Latency (ms)"
        case Source.SIZE:
            return "Size (bytes)"
        case _:
            return assertion.source.capitalize()


# How it is compared


def _test(comparison: Comparison, expected: Any) -> Callable[[list[Any]], bool]:
    """Whether the values found fulfil a comparison: one must; of a negated one, none may."""
    if positive := _NEGATIONS.get(comparison):
        is_met = _test(positive, expected)
        return lambda found: not is_met(found)
    match comparison:
        case Comparison.EXISTS:
            return bool
        case Comparison.EMPTY:
            return lambda found: all(value in ("", None, [], {}) for value in found)
        case Comparison.MATCHES:
            search = compile_pattern(_text(expected))
            return lambda found: any(search(_text(value)) for value in found)
        case Comparison.LESS_THAN | Comparison.GREATER_THAN:
            return _ordering(comparison, expected)
        case Comparison.CONTAINS:
            return lambda found: any(_contains(value, expected) for value in found)
        case _:
            return lambda found: any(_equals(value, expected) for value in found)


def _ordering(comparison: Comparison, expected: Any) -> Callable[[list[Any]], bool]:
    limit = _number(expected)
    assert limit is not None  # the schema lets nothing else in
    is_less = comparison == Comparison.LESS_THAN

    def is_met(found: list[Any]) -> bool:
        numbers = (_number(value) for value in found)
        return any(n is not None and (n < limit if is_less else n > limit) for n in numbers)

    return is_met


def _equals(actual: Any, expected: Any) -> bool:
    """Numbers as numbers, also where one of them is written as text; all else as text."""
    if actual is None or expected is None:
        return actual is None and expected in (None, "null")
    left, right = _number(actual), _number(expected)
    if left is not None and right is not None:
        return left == right
    if isinstance(actual, dict | list) and isinstance(expected, str):
        try:
            return bool(actual == json.loads(expected))
        except ValueError:
            return False
    return _text(actual) == _text(expected)


def _contains(actual: Any, expected: Any) -> bool:
    if isinstance(actual, list):
        return any(_equals(item, expected) for item in actual)
    if isinstance(actual, dict):
        return _text(expected) in actual
    return _text(expected) in _text(actual)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if number == number else None  # "nan" is a text, not a number


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


# What is said

_PHRASES = {
    Comparison.EQUALS: "should be",
    Comparison.NOT_EQUALS: "should not be",
    Comparison.CONTAINS: "should contain",
    Comparison.NOT_CONTAINS: "should not contain",
    Comparison.MATCHES: "should match",
    Comparison.NOT_MATCHES: "should not match",
    Comparison.LESS_THAN: "should be less than",
    Comparison.GREATER_THAN: "should be greater than",
    Comparison.EXISTS: "should exist",
    Comparison.NOT_EXISTS: "should not exist",
    Comparison.EMPTY: "should be empty",
    Comparison.NOT_EMPTY: "should not be empty",
}


def _expectation(assertion: Assertion) -> str:
    phrase = _PHRASES[assertion.comparison]
    return phrase if assertion.comparison in _VALUELESS else f"{phrase} {_shown(assertion.value)}"


def _shown(value: Any) -> str:
    return _cut(json.dumps(value, ensure_ascii=False))


def _shown_all(found: list[Any]) -> str:
    if not found:
        return "nothing"
    return _shown(found[0]) if len(found) == 1 else _shown(found)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}… ({len(text)} characters)"


# Patterns and paths


def _re2_options() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


_RE2_OPTIONS = _re2_options()


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """A search for `pattern` in linear time. Raises ValueError with a sentence for the user."""
    try:
        compiled = re2.compile(pattern, options=_RE2_OPTIONS)
    except re2.error as error:
        detail = error.args[0]
        detail = detail.decode(errors="replace") if isinstance(detail, bytes) else detail
        raise ValueError(f"This is not a valid regular expression (RE2): {detail}") from None
    return lambda text: compiled.search(text) is not None


def _to_re2(pattern: str) -> str:
    """An I-Regexp (RFC 9485) in RE2's syntax: its dot also stops at a carriage return."""
    parts, in_class, is_escaped = [], False, False
    for char in pattern:
        if char == "." and not in_class and not is_escaped:
            parts.append(r"[^\r\n]")
            continue
        if not is_escaped and char in "[]":
            in_class = char == "["
        is_escaped = char == "\\" and not is_escaped
        parts.append(char)
    return "".join(parts)


class _LinearSearch(FilterFunction):
    """JSONPath's `search` and `match` (RFC 9535 section 2.4) without backtracking."""

    arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]
    return_type = ExpressionType.LOGICAL

    def __init__(self, form: str) -> None:
        self._form = form

    def __call__(self, text: object, pattern: object) -> bool:
        if not (isinstance(text, str) and isinstance(pattern, str) and is_iregexp(pattern)):
            return False
        try:
            return compile_pattern(self._form.format(_to_re2(pattern)))(text)
        except ValueError:  # larger than RE2 lets a program be
            return False


class _LinearEnvironment(JSONPathEnvironment):
    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        self.function_extensions["search"] = _LinearSearch("{}")
        self.function_extensions["match"] = _LinearSearch(r"\A(?:{})\z")


_PATHS = _LinearEnvironment()
MAX_DESCENTS = 2
"""How often a JSONPath may descend (`..`): each multiplies the work by the size of the answer."""


@lru_cache(maxsize=1024)
def compile_path(path: str) -> JSONPathQuery:
    """A JSONPath ready for use. Raises ValueError with a sentence for the user."""
    if path.count("..") > MAX_DESCENTS:
        raise ValueError(f"A JSONPath may have `..` {MAX_DESCENTS} times at most")
    try:
        return _PATHS.compile(path)
    except (JSONPathError, RecursionError) as error:
        raise ValueError(f"This is not a valid JSONPath (RFC 9535): {error}") from None
