"""From assertions to functions of the evidence, and to a verdict."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from probe.assertions.evidence import Evidence, UnreadableError
from probe.assertions.markup import compile_selector
from probe.assertions.scalars import contains, equals, order, text_of
from probe.assertions.schema import (
    SOURCES,
    VALUELESS,
    Assertion,
    AssertionTree,
    Comparison,
    Condition,
    ConditionGroup,
    Severity,
    Source,
)
from probe.values import Observation, Reason, Status

SHOWN_CHARS = 120
"""How much of an actual value a message shows."""
MOST_COUNTED_CHARS = 10_000
"""How much of a list or an object is put together to say how long it is."""
MESSAGE_CHARS = 600
"""How long the message about a tree may become."""

Check = Callable[[Evidence], str | None]
"""Returns None where the assertion holds, else a sentence with what was expected and what came."""


class Unreadable(str):
    """The sentence where the answer has no value to compare: the opposite doesn't hold either."""

    __slots__ = ()


_NEGATIONS = {
    Comparison.NOT_EQUALS: Comparison.EQUALS,
    Comparison.NOT_CONTAINS: Comparison.CONTAINS,
    Comparison.NOT_MATCHES: Comparison.MATCHES,
    Comparison.NOT_EXISTS: Comparison.EXISTS,
    Comparison.NOT_EMPTY: Comparison.EMPTY,
}


Watch = Callable[[Sequence[Assertion], AssertionTree | None, Evidence], None]
watched: ContextVar[Watch | None] = ContextVar("watched", default=None)
"""Set while somebody tries assertions out: see `probe.assertions.findings`."""


class Judge:
    """All assertions of one monitor, ready for use.

    `sources` are those that any of them looks at: what isn't among them need not be kept.
    """

    def __init__(self, assertions: Sequence[Assertion], tree: AssertionTree | None) -> None:
        conditions: list[Condition] = [*assertions, *(tree.conditions() if tree else ())]
        self.sources = frozenset(condition.source for condition in conditions)
        self._assertions, self._tree = assertions, tree
        self._must_hold = _checks(assertions, tree, Severity.DOWN)
        self._should_hold = _checks(assertions, tree, Severity.DEGRADED)

    def __bool__(self) -> bool:
        """Whether there is anything to judge by."""
        return bool(self.sources)

    def is_content(self, evidence: Evidence) -> bool:
        """Whether everything holds, of what has come so far."""
        checks = (*self._must_hold, *self._should_hold)
        return _first_failure(checks, evidence) is None

    def grade(self, observation: Observation, evidence: Evidence) -> Observation:
        """The observation, made worse where an assertion doesn't hold."""
        if watch := watched.get():
            watch(self._assertions, self._tree, evidence)
        if observation.status not in (Status.UP, Status.DEGRADED):
            return observation
        if message := _first_failure(self._must_hold, evidence):
            return _failed(observation, Status.DOWN, message)
        if observation.status == Status.DEGRADED:
            return observation
        if message := _first_failure(self._should_hold, evidence):
            return _failed(observation, Status.DEGRADED, message)
        return observation


def _checks(
    assertions: Sequence[Assertion], tree: AssertionTree | None, severity: Severity
) -> tuple[Check, ...]:
    checks = [compile_assertion(each) for each in assertions if each.severity == severity]
    if tree is not None and tree.severity == severity:
        checks.append(_compile_group(tree))
    return tuple(checks)


def _first_failure(checks: Iterable[Check], evidence: Evidence) -> str | None:
    return next((message for check in checks if (message := check(evidence))), None)


def _failed(observation: Observation, status: Status, message: str) -> Observation:
    return replace(observation, status=status, reason=Reason.ASSERTION_FAILED, message=message)


def compile_assertion(condition: Condition) -> Check:
    """The function that judges an answer by one condition."""
    read = _reader(condition)
    is_met = _test(condition.comparison, _expected(condition))
    expectation = expectation_of(condition)

    def check(evidence: Evidence) -> str | None:
        try:
            found = read(evidence)
            if is_met(evidence.looked_through(found)):
                return None
            return f"{expectation}, got {shown_all(found)}{_doubt(condition, evidence)}."
        except UnreadableError as error:
            return Unreadable(f"{expectation}, but {error}.")
        except RecursionError:
            return Unreadable(f"{expectation}, but the JSON is nested too deeply.")

    return check


def find_values(condition: Condition, evidence: Evidence) -> list[Any]:
    """The values that a condition is about. Raises UnreadableError."""
    return _reader(condition)(evidence)


def compile_node(node: Condition | ConditionGroup) -> Check:
    return _compile_group(node) if isinstance(node, ConditionGroup) else compile_assertion(node)


def _compile_group(group: ConditionGroup) -> Check:
    checks = [compile_node(node) for node in group.nodes]
    if group.all:
        return _all_of(checks)
    if group.none:
        return _none_of(checks, [_described(node) for node in group.nodes])
    return _any_of(checks)


def _all_of(checks: Sequence[Check]) -> Check:
    def check(evidence: Evidence) -> str | None:
        unreadable = None
        for each in checks:
            failure = each(evidence)
            if isinstance(failure, Unreadable):
                unreadable = unreadable or failure
            elif failure is not None:
                return failure
        return unreadable

    return check


def _any_of(checks: Sequence[Check]) -> Check:
    def check(evidence: Evidence) -> str | None:
        failures = []
        for each in checks:
            if (failure := each(evidence)) is None:
                return None
            failures.append(failure)
        told = _cut(" ".join(failures), MESSAGE_CHARS)
        if len(failures) > 1:
            told = f"None of {len(failures)} conditions holds. {told}"
        is_unclear = any(isinstance(failure, Unreadable) for failure in failures)
        return Unreadable(told) if is_unclear else told

    return check


def _none_of(checks: Sequence[Check], described: Sequence[str]) -> Check:
    def check(evidence: Evidence) -> str | None:
        unreadable = None
        for each, text in zip(checks, described, strict=True):
            failure = each(evidence)
            if failure is None:
                return f"A condition holds that should not: {_cut(text, MESSAGE_CHARS)}."
            if isinstance(failure, Unreadable):
                unreadable = unreadable or failure
        return unreadable

    return check


def _described(node: Condition | ConditionGroup) -> str:
    if not isinstance(node, ConditionGroup):
        return expectation_of(node)
    word = "all" if node.all else "any" if node.any else "none"
    return f"{word} of ({'; '.join(map(_described, node.nodes))})"


# What is looked at


def _reader(condition: Condition) -> Callable[[Evidence], list[Any]]:
    """How to find the values that a condition is about; an empty list where there is none."""
    name = condition.property
    match condition.source:
        case Source.HEADER:
            header = name.lower()
            return lambda evidence: _listed(evidence.headers.get(header))
        case Source.BODY:
            return lambda evidence: [evidence.text]
        case Source.JSON:
            return _json_reader(name)
        case Source.HTML | Source.XML:
            selector, is_html = compile_selector(name), condition.source == Source.HTML
            return lambda evidence: evidence.select(selector, is_html=is_html)
        case Source.LATENCY:
            return lambda evidence: _listed(_rounded(evidence.latency_ms))
        case Source.PHASE:
            phase = f"{name}_ms"
            return lambda evidence: _listed(_rounded(getattr(evidence.phases, phase)))
        case Source.CERTIFICATE:
            return lambda evidence: _listed(evidence.certificate_facts.get(name))
        case Source.CERT_DAYS:
            return _read_cert_days
        case source:
            return lambda evidence: _fact(evidence.facts.get(source), name)


def _fact(fact: Any, name: str) -> list[Any]:
    return _listed(fact.get(name) if isinstance(fact, Mapping) else fact)


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None else [value]


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)


def _read_cert_days(evidence: Evidence) -> list[Any]:
    days = evidence.facts.get(Source.CERT_DAYS)
    return _listed(evidence.certificate_facts.get("days_left") if days is None else days)


def _json_reader(path: str) -> Callable[[Evidence], list[Any]]:
    from jsonpath_rfc9535 import JSONPathError

    from probe.assertions.paths import compile_path, find_in

    query = compile_path(path)

    def read(evidence: Evidence) -> list[Any]:
        try:
            return find_in(evidence.document, query, evidence.look)
        except ValueError as error:
            raise UnreadableError(
                f"the body is not JSON ({error}): {_shown(evidence.text)}"
            ) from None
        except (JSONPathError, RecursionError):
            raise UnreadableError("the JSON is nested too deeply") from None

    return read


def _expected(condition: Condition) -> Any:
    """The value to compare with; a fingerprint may be written with colons and capitals."""
    value = condition.value
    if condition.property == "fingerprint" and isinstance(value, str):
        return value.replace(":", "").replace(" ", "").lower()
    return value


# How it is compared


def _test(comparison: Comparison, expected: Any) -> Callable[[Iterable[Any]], bool]:
    """Whether the values found fulfil a comparison: one must; of a negated one, none may."""
    if positive := _NEGATIONS.get(comparison):
        is_met = _test(positive, expected)
        return lambda found: not is_met(found)
    if comparison == Comparison.EXISTS:
        return lambda found: any(True for _ in found)
    if comparison == Comparison.EMPTY:
        return lambda found: all(value in ("", None, [], {}) for value in found)
    holds = _comparator(comparison, expected)
    return lambda found: any(holds(value) for value in found)


def _comparator(comparison: Comparison, expected: Any) -> Callable[[Any], bool]:
    match comparison:
        case Comparison.MATCHES:
            from probe.assertions.paths import compile_pattern

            search = compile_pattern(text_of(expected))
            return lambda value: search(text_of(value))
        case Comparison.LESS_THAN:
            return lambda value: order(value, expected) == -1
        case Comparison.GREATER_THAN:
            return lambda value: order(value, expected) == 1
        case Comparison.AT_MOST:
            return lambda value: order(value, expected) in (-1, 0)
        case Comparison.AT_LEAST:
            return lambda value: order(value, expected) in (0, 1)
        case Comparison.CONTAINS:
            return lambda value: contains(value, expected)
        case Comparison.STARTS_WITH:
            return lambda value: text_of(value).startswith(text_of(expected))
        case Comparison.ENDS_WITH:
            return lambda value: text_of(value).endswith(text_of(expected))
        case _:
            return lambda value: equals(value, expected)


# What is said

_PHRASES = {
    Comparison.EQUALS: "should be",
    Comparison.NOT_EQUALS: "should not be",
    Comparison.CONTAINS: "should contain",
    Comparison.NOT_CONTAINS: "should not contain",
    Comparison.STARTS_WITH: "should start with",
    Comparison.ENDS_WITH: "should end with",
    Comparison.MATCHES: "should match",
    Comparison.NOT_MATCHES: "should not match",
    Comparison.LESS_THAN: "should be less than",
    Comparison.GREATER_THAN: "should be greater than",
    Comparison.AT_MOST: "should be at most",
    Comparison.AT_LEAST: "should be at least",
    Comparison.EXISTS: "should exist",
    Comparison.NOT_EXISTS: "should not exist",
    Comparison.EMPTY: "should be empty",
    Comparison.NOT_EMPTY: "should not be empty",
}


def expectation_of(condition: Condition) -> str:
    """A condition as the beginning of a sentence: `Status should be 200`."""
    said = [SOURCES[condition.source].subject]
    if condition.property:
        said.append(_cut(condition.property))
    said.append(_PHRASES[condition.comparison])
    if condition.comparison not in VALUELESS:
        said.append(_shown(condition.value))
    return " ".join(said)


def _doubt(condition: Condition, evidence: Evidence) -> str:
    """A text that is not in the charset that it claims may fail a comparison for that alone."""
    if condition.source in (Source.BODY, Source.HTML, Source.XML) and evidence.is_garbled:
        return f" (the body is not valid {evidence.codec})"
    return ""


def _shown(value: Any) -> str:
    """As JSON, cut; of what is large no more is put together than is shown."""
    if not isinstance(value, list | dict):
        return _cut(json.dumps(value, ensure_ascii=False))
    parts, size = [], 0
    for part in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        parts.append(part)
        size += len(part)
        if size > MOST_COUNTED_CHARS:
            return f"{''.join(parts)[:SHOWN_CHARS]}… (more than {MOST_COUNTED_CHARS} characters)"
    return _cut("".join(parts))


def shown_all(found: list[Any]) -> str:
    if not found:
        return "nothing"
    return _shown(found[0]) if len(found) == 1 else _shown(found)


def _cut(text: str, limit: int = SHOWN_CHARS) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
