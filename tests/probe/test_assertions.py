"""What assertions accept, how they compare, and what they say."""

import json
from itertools import count
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from probe.assertions import (
    Assertion,
    Evidence,
    Judge,
    Source,
    compile_assertion,
    watching,
)
from probe.assertions.evidence import LONGEST_LOOK_S
from probe.values import Observation, Status

DOCUMENT = {
    "state": "ok",
    "count": 3,
    "price": "12.50",
    "flag": True,
    "nothing": None,
    "empty": [],
    "items": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
}
EVIDENCE = Evidence(
    headers={"content-type": "text/html", "x-count": "10"},
    body=json.dumps(DOCUMENT).encode(),
    latency_ms=123.456,
    facts={Source.STATUS: 200, Source.CERT_DAYS: 20.5, Source.SIZE: 512},
)


def failure(evidence: Evidence = EVIDENCE, **assertion: object) -> str | None:
    return compile_assertion(Assertion(**assertion))(evidence)


@pytest.mark.parametrize(
    ("source", "name", "comparison", "value", "holds"),
    [
        ("status", "", "equals", 200, True),
        ("status", "", "equals", "200", True),
        ("status", "", "not_equals", 200, False),
        ("status", "", "less_than", 300, True),
        ("header", "Content-Type", "contains", "html", True),
        ("header", "content-type", "equals", "TEXT/html", False),
        ("header", "X-Count", "equals", 10, True),
        ("header", "X-Count", "greater_than", 9, True),
        ("header", "X-Missing", "exists", None, False),
        ("header", "X-Missing", "not_exists", None, True),
        ("header", "X-Missing", "empty", None, True),
        ("header", "X-Missing", "equals", "", False),
        ("header", "X-Missing", "not_contains", "x", True),
        ("body", "", "contains", '"state"', True),
        ("body", "", "matches", r'"count":\s*\d+', True),
        ("body", "", "not_matches", "error|panic", True),
        ("body", "", "empty", None, False),
        ("json", "$.state", "equals", "ok", True),
        ("json", "$.count", "equals", "3.0", True),
        ("json", "$.count", "greater_than", 10, False),
        ("json", "$.price", "less_than", 13, True),
        ("json", "$.state", "less_than", 13, False),
        ("json", "$.flag", "equals", True, True),
        ("json", "$.flag", "equals", "true", True),
        ("json", "$.flag", "equals", 1, False),
        ("json", "$.nothing", "equals", None, True),
        ("json", "$.nothing", "exists", None, True),
        ("json", "$.nowhere", "equals", None, False),
        ("json", "$.nowhere", "not_exists", None, True),
        ("json", "$.empty", "empty", None, True),
        ("json", "$.items", "not_empty", None, True),
        ("json", "$.items[*].id", "equals", 2, True),
        ("json", "$.items[*].id", "not_equals", 2, False),
        ("json", "$.items[?@.name == 'b'].id", "equals", 2, True),
        ("json", "$.items[?search(@.name, '[ab]')].id", "equals", 2, True),
        ("json", "$.items[?match(@.name, '.')].id", "equals", 2, True),
        ("json", "$.items[?match(@.name, 'bb')].id", "exists", None, False),
        ("json", "$.items", "contains", '{"id": 1, "name": "a"}', True),
        ("json", "$", "contains", "state", True),
        ("latency", "", "less_than", 200, True),
        ("cert_days", "", "greater_than", 14, True),
        ("size", "", "equals", 512, True),
    ],
)
def test_an_assertion_holds_or_not(
    source: str, name: str, comparison: str, value: object, holds: bool
) -> None:
    message = failure(source=source, property=name, comparison=comparison, value=value)
    assert (message is None) is holds, message


@pytest.mark.parametrize(
    ("assertion", "message"),
    [
        (
            {"source": "status", "comparison": "equals", "value": 204},
            "Status should be 204, got 200.",
        ),
        (
            {"source": "header", "property": "X-Missing", "comparison": "exists"},
            "Header X-Missing should exist, got nothing.",
        ),
        (
            {"source": "latency", "comparison": "less_than", "value": 100},
            "Latency (ms) should be less than 100, got 123.5.",
        ),
        (
            {"source": "json", "property": "$.items[*].id", "comparison": "equals", "value": 9},
            "JSON $.items[*].id should be 9, got [1, 2].",
        ),
    ],
)
def test_a_failure_says_what_was_expected_and_what_came(
    assertion: dict[str, object], message: str
) -> None:
    assert failure(**assertion) == message


def test_long_values_are_cut() -> None:
    evidence = Evidence(body=b"x" * 10_000)
    message = failure(evidence, source="body", comparison="contains", value="y" * 5000)
    assert message is not None
    assert len(message) < 400
    assert "… (10002 characters)" in message


def test_a_page_instead_of_json_is_told() -> None:
    evidence = Evidence(body=b"<html>Sorry</html>")
    message = failure(evidence, source="json", property="$.a", comparison="exists")
    assert message is not None
    assert message.startswith("JSON $.a should exist, but the body is not JSON (")
    assert message.endswith('"<html>Sorry</html>".')


def test_json_nested_without_end_is_told() -> None:
    evidence = Evidence(body=b"[" * 100_000)
    message = failure(evidence, source="json", property="$..a", comparison="exists")
    assert message is not None
    assert "nested too deeply" in message


def test_deep_json_is_no_fault_of_ours() -> None:
    evidence = Evidence(body=b"[" * 500 + b"]" * 500)
    message = failure(evidence, source="json", property="$..a", comparison="exists")
    assert message == "JSON $..a should exist, but the JSON is nested too deeply."


def test_bytes_that_are_no_text_are_compared_all_the_same() -> None:
    for charset in ("no-such-charset", "\0", "hex", "punycode", "undefined", "x" * 1000):
        evidence = Evidence(body=b"\xff\xf0ok", charset=charset)
        assert failure(evidence, source="body", comparison="contains", value="ok") is None
    latin = Evidence(body="grün".encode("latin-1"), charset="latin-1")
    assert failure(latin, source="body", comparison="contains", value="grün") is None


@pytest.mark.parametrize(
    "assertion",
    [
        {"source": "body", "comparison": "matches", "value": "(a*)*b"},
        {"source": "json", "property": "$[?search(@, '(a*)*b')]", "comparison": "not_empty"},
    ],
)
def test_no_pattern_takes_exponential_time(assertion: dict[str, object]) -> None:
    """It would not end within a lifetime."""
    evidence = Evidence(body=json.dumps(["a" * 50_000]).encode())
    assert failure(evidence, **assertion) is not None


DEEP = b"[" * 90 + b"1" + b"]" * 90
WIDE = b"[" + b",".join([b"[1]"] * 30_000) + b"]"
WIDE_AND_DEEP = b"[" * 80 + WIDE + b"]" * 80


@pytest.fixture
def brief_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probe.assertions.evidence.LONGEST_LOOK_S", 0.03)


@pytest.mark.usefixtures("brief_looks")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("$" + "[*,*]" * 80, DEEP, id="unions"),
        pytest.param("$[?$..x]", WIDE, id="descent in a filter"),
        pytest.param("$[?count($[*][*]) == 1]", WIDE, id="count in a filter"),
        pytest.param("$[?$ == $]", WIDE, id="large comparisons"),
        pytest.param("$..*..*", WIDE_AND_DEEP, id="descents"),
    ],
)
def test_no_path_takes_longer_than_others_can_wait(path: str, body: bytes) -> None:
    """Most would not end within a lifetime."""
    one = Assertion(source="json", property=path, comparison="equals", value="no")
    judge = Judge([one] * 50, None)
    seen = judge.grade(Observation(Status.UP), Evidence(body=body))
    assert seen.status == Status.DOWN


@pytest.mark.usefixtures("brief_looks")
def test_many_large_values_take_no_longer_than_others_can_wait() -> None:
    message = failure(
        Evidence(body=WIDE_AND_DEEP), source="json", property="$..*", comparison="equals", value="x"
    )
    assert message is not None


@pytest.mark.usefixtures("brief_looks")
def test_a_path_that_is_given_up_is_told() -> None:
    message = failure(Evidence(body=WIDE), source="json", property="$[?$..x]", comparison="exists")
    assert message == (
        "JSON $[?$..x] should exist, but the answer is too large to look through for it."
    )


def test_who_tries_assertions_out_takes_none_of_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticking = count(step=LONGEST_LOOK_S / 6)  # a value takes three looks
    clock = SimpleNamespace(thread_time=lambda: next(ticking))
    monkeypatch.setattr("probe.assertions.evidence.time", clock)
    one = Assertion(source="json", property="$[0]", comparison="equals", value=1)
    with watching() as tried:
        seen = Judge([one], None).grade(Observation(Status.UP), Evidence(body=b"[1]"))
    assert [finding.holds for finding in tried[0].findings] == [True]
    assert seen.status == Status.UP, seen.message


def test_a_large_value_is_shown_by_its_beginning() -> None:
    message = failure(
        Evidence(body=WIDE), source="json", property="$", comparison="equals", value=1
    )
    assert message is not None
    assert message.startswith("JSON $ should be 1, got [[1], [1], [1],")
    assert message.endswith("… (more than 10000 characters).")


def test_json_of_any_depth_is_compared_or_told() -> None:
    for depth in range(900, 1000):
        body = b"[" * depth + b"]" * depth
        failure(Evidence(body=body), source="json", property="$", comparison="equals", value="x")


@pytest.mark.parametrize(
    "bad",
    [
        {"source": "cookie", "comparison": "exists"},
        {"source": "header", "comparison": "exists"},
        {"source": "json", "comparison": "exists"},
        {"source": "body", "property": "x", "comparison": "not_empty"},
        {"source": "body", "comparison": "contains"},
        {"source": "body", "comparison": "empty", "value": "x"},
        {"source": "status", "comparison": "less_than", "value": "many"},
        {"source": "latency", "comparison": "less_than", "value": "nan"},
        {"source": "body", "comparison": "matches", "value": "("},
        {"source": "body", "comparison": "matches", "value": r"(?=lookahead)"},
        {"source": "json", "property": "$[", "comparison": "exists"},
        {"source": "json", "property": "$..a..b..c", "comparison": "exists"},
        {"source": "body", "comparison": "contains", "value": "x", "severity": "mild"},
        {"source": "body", "comparison": "contains", "value": "x", "unheard": 1},
    ],
)
def test_assertions_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Assertion(**bad)
