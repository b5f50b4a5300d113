"""The grammar of assertions: trees, typed comparisons, texts of HTML and XML, kinds' sources."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from probe.assertions import Assertion, AssertionTree, Evidence, Judge, Source, compile_assertion
from probe.assertions.markup import compile_selector
from probe.kinds import KINDS
from probe.kinds.http.settings import HttpSettings
from probe.kinds.tcp import TcpSettings
from probe.values import Observation, Phases, Reason, Status
from tests.servers.authority import Authority

UP = Observation(Status.UP)
GOOD = {"source": "status", "comparison": "equals", "value": 200}
BAD = {"source": "status", "comparison": "equals", "value": 500}
EVIDENCE = Evidence(
    body=b"welcome",
    latency_ms=12.0,
    phases=Phases(tls_ms=7.04),
    facts={
        Source.STATUS: 200,
        Source.ANSWER: ["192.0.2.1", "192.0.2.2"],
        Source.ROUND_TRIP: {"average": 3.5},
    },
)


def failure(evidence: Evidence = EVIDENCE, **assertion: object) -> str | None:
    return compile_assertion(Assertion(**assertion))(evidence)


# Trees


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"all": [GOOD, GOOD]}, ""),
        ({"all": [GOOD, BAD]}, "Status should be 500, got 200."),
        ({"any": [BAD, GOOD]}, ""),
        (
            {"any": [BAD, BAD]},
            "None of 2 conditions holds. Status should be 500, got 200. Status should be 500,"
            " got 200.",
        ),
        ({"none": [BAD]}, ""),
        ({"none": [BAD, GOOD]}, "A condition holds that should not: Status should be 200."),
        ({"all": [{"any": [BAD, {"none": [BAD]}]}, GOOD]}, ""),
        (
            {"none": [{"all": [GOOD, {"any": [GOOD]}]}]},
            "A condition holds that should not: all of (Status should be 200; any of (Status"
            " should be 200)).",
        ),
    ],
)
def test_a_tree_joins_conditions(tree: dict[str, object], message: str) -> None:
    seen = Judge((), AssertionTree.model_validate(tree)).grade(UP, EVIDENCE)
    assert seen.message == message
    assert seen.status == (Status.DOWN if message else Status.UP)


NO_JSON = {"source": "json", "property": "$.error", "comparison": "exists"}
NO_JSON_TOLD = "JSON $.error should exist, but the body is not JSON"


@pytest.mark.parametrize(
    ("tree", "is_clear"),
    [
        ({"none": [NO_JSON]}, False),
        ({"none": [BAD, {"any": [NO_JSON, BAD]}]}, False),
        ({"none": [{"all": [GOOD, NO_JSON]}]}, False),
        ({"none": [{"none": [NO_JSON]}]}, False),
        ({"none": [{"all": [NO_JSON, BAD]}]}, True),  # whatever the body holds
        ({"any": [NO_JSON, GOOD]}, True),
    ],
)
def test_what_can_not_be_read_does_not_fail_to_hold(
    tree: dict[str, object], is_clear: bool
) -> None:
    seen = Judge((), AssertionTree.model_validate(tree)).grade(UP, EVIDENCE)
    assert seen.status == (Status.UP if is_clear else Status.DOWN)
    assert is_clear or NO_JSON_TOLD in seen.message


def test_a_tree_has_one_severity() -> None:
    tree = AssertionTree.model_validate({"any": [BAD], "severity": "degraded"})
    seen = Judge((), tree).grade(UP, EVIDENCE)
    assert (seen.status, seen.reason) == (Status.DEGRADED, Reason.ASSERTION_FAILED)


def test_what_is_down_already_stays_as_it_is() -> None:
    down = Observation(Status.DOWN, Reason.TIMEOUT, "Too slow.")
    assert Judge((Assertion(**BAD),), None).grade(down, EVIDENCE) is down


def test_down_wins_over_degraded() -> None:
    degraded = Observation(Status.DEGRADED, Reason.CERT_EXPIRING, "Soon.")
    mild = Judge((Assertion(**BAD, severity="degraded"),), None)
    assert mild.grade(degraded, EVIDENCE) is degraded
    assert Judge((Assertion(**BAD),), None).grade(degraded, EVIDENCE).status == Status.DOWN


def nested(depth: int) -> dict[str, Any]:
    tree: dict[str, Any] = {"all": [GOOD]}
    for _ in range(depth - 1):
        tree = {"any": [tree]}
    return tree


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"all": []},
        {"all": [GOOD], "any": [GOOD]},
        {"all": GOOD},
        {"all": [{"source": "status"}]},
        {"all": [GOOD | {"severity": "down"}]},
        {"some": [GOOD]},
        {"all": [GOOD] * 101},
        nested(6),
        nested(5000),
    ],
)
def test_trees_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AssertionTree.model_validate(bad)


def test_a_tree_may_be_five_groups_deep() -> None:
    assert AssertionTree.model_validate(nested(5))


def test_a_tree_is_shown_as_it_was_given() -> None:
    tree = {"any": [GOOD, {"none": [BAD]}], "severity": "down"}
    stored = AssertionTree.model_validate(tree).model_dump(mode="json")
    assert AssertionTree.model_validate(stored).model_dump(mode="json") == stored
    assert stored.keys() == {"any", "severity"}


# Sources


@pytest.mark.parametrize(
    ("settings", "bad"),
    [
        (TcpSettings, {"source": "status", "comparison": "equals", "value": 200}),
        (HttpSettings, {"source": "banner", "comparison": "exists"}),
        (HttpSettings, {"source": "packet_loss", "comparison": "less_than", "value": 1}),
    ],
)
def test_sources_that_a_kind_lacks_are_refused(
    settings: type[HttpSettings], bad: dict[str, object]
) -> None:
    with pytest.raises(ValidationError, match=f"has no {bad['source']} to look at, only"):
        settings(assertions=[bad])
    with pytest.raises(ValidationError, match=f"has no {bad['source']} to look at, only"):
        settings(assertion_tree={"any": [{"all": [bad]}]})


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_with_assertions_has_sources(name: str) -> None:
    settings = KINDS[name].settings
    assert ("assertions" in settings.model_fields) == bool(getattr(settings, "sources", ()))


@pytest.mark.parametrize(
    ("assertion", "holds"),
    [
        ({"source": "phase", "property": "tls", "comparison": "less_than", "value": 7.1}, True),
        ({"source": "phase", "property": "dns", "comparison": "exists"}, False),
        ({"source": "answer", "comparison": "equals", "value": "192.0.2.2"}, True),
        ({"source": "answer", "comparison": "not_equals", "value": "192.0.2.2"}, False),
        (
            {
                "source": "round_trip",
                "property": "average",
                "comparison": "at_most",
                "value": 3.5,
            },
            True,
        ),
        ({"source": "round_trip", "property": "max", "comparison": "exists"}, False),
        ({"source": "hops", "comparison": "exists"}, False),
    ],
)
def test_facts_are_found_by_source_and_property(assertion: dict[str, Any], holds: bool) -> None:
    assert (failure(**assertion) is None) is holds


def test_a_certificate_is_read_where_it_is_asked_for() -> None:
    issued = Authority().issue("a.example", "b.example", ends=timedelta(days=40, hours=1))
    der = issued.certificate.public_bytes(serialization.Encoding.DER)
    evidence = Evidence(certificate=der)
    fingerprint = issued.certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    soon = (datetime.now(UTC) + timedelta(days=41)).strftime("%Y-%m-%d")
    for name, comparison, value in (
        ("days_left", "equals", 40),
        ("issuer", "equals", "CN=Test Root"),
        ("subject", "contains", "a.example"),
        ("alternative_names", "equals", "b.example"),
        ("key_type", "equals", "EC"),
        ("key_bits", "at_least", 256),
        ("signature_hash", "equals", "sha256"),
        ("fingerprint", "equals", fingerprint),
        ("not_after", "less_than", f"{soon}T23:59:59Z"),
    ):
        message = failure(
            evidence, source="certificate", property=name, comparison=comparison, value=value
        )
        assert message is None, message
    assert failure(evidence, source="cert_days", comparison="greater_than", value=39) is None
    garbage = Evidence(certificate=b"\x30\x03no")
    assert failure(garbage, source="certificate", property="issuer", comparison="exists")


# Comparisons


@pytest.mark.parametrize(
    ("found", "comparison", "value", "holds"),
    [
        ("1.10.0", "greater_than", "1.9.0", True),
        ("v1.10", "greater_than", "v1.9", True),
        ("1.0.0-rc.1", "less_than", "1.0.0", True),
        ("1.0.0-rc.2", "less_than", "1.0.0-rc.10", True),
        ("1.0.0-alpha", "less_than", "1.0.0-alpha.1", True),
        ("2.0.0+build", "at_most", "2.0.0", True),
        ("1.2.0", "at_least", "1.2", True),
        ("9", "less_than", "10", True),
        ("abc", "less_than", "10", False),
        ("2026-01-31", "less_than", "2026-02-01", True),
        ("2026-01-31T00:00:00+01:00", "less_than", "2026-01-31T00:00:00Z", True),
        ("Sat, 31 Jan 2026 00:00:00 GMT", "greater_than", "2026-01-30", True),
        ("2026-01-31T01:00:00+01:00", "equals", "2026-01-31T00:00:00Z", True),
        ("2026-13-99", "less_than", "2027-01-01", False),
        ("1e3", "equals", 1000, True),
        ("1.0", "equals", 1, True),
        ("9007199254740993", "equals", 9007199254740992, False),
        ("9007199254740993", "greater_than", 9007199254740992, True),
        ("1_0", "equals", 10, False),
        ("abc", "starts_with", "ab", True),
        ("abc", "ends_with", "ab", False),
    ],
)
def test_values_compare_as_what_they_are(
    found: str, comparison: str, value: object, holds: bool
) -> None:
    evidence = Evidence(facts={Source.VALUE: found})
    message = failure(evidence, source="value", comparison=comparison, value=value)
    assert (message is None) is holds, message


# Texts

PAGE = """<!doctype html><meta name=version content="2.1"><title> Shop </title>
<div id=main class="a b"><p>One<p class=price data-cur='EUR-x'>1 <b>200</b> €</div>
<ul><li>x<li>y<li>z</ul><p>after"""
FEED = """<?xml version="1.0"?><feed xmlns="urn:f" xmlns:m="urn:m"><entry><m:Title lang="en">Hi
</m:Title></entry><entry><m:Title>Ho</m:Title></entry></feed>"""


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("title", ["Shop"]),
        ("TITLE", ["Shop"]),
        ("#main .price", ["1 200 €"]),
        ("div > p.price > b", ["200"]),
        ("body > b", []),
        ("p + p", ["1 200 €"]),
        ("div ~ p", ["after"]),
        ("li:first-child", ["x"]),
        ("ul > li:nth-child(2)", ["y"]),
        ("li", ["x", "y", "z"]),
        ("title, b", ["Shop", "200"]),
        ("[data-cur^=EUR]", ["1 200 €"]),
        ("[data-cur|=EUR]", ["1 200 €"]),
        ("[data-cur$='-x'][class~=price]", ["1 200 €"]),
        ('[data-cur*="R-"]', ["1 200 €"]),
        ("meta[name=version]::attr(content)", ["2.1"]),
        ("p::attr(class)", ["price"]),
        ("article", []),
    ],
)
def test_html_is_found_by_selector(selector: str, found: list[str]) -> None:
    page = Evidence(body=PAGE.encode())
    assert page.select(compile_selector(selector), is_html=True) == found


def test_xml_is_found_by_local_names() -> None:
    feed = Evidence(body=FEED.encode())
    assert feed.select(compile_selector("entry > Title"), is_html=False) == ["Hi", "Ho"]
    assert feed.select(compile_selector("Title[lang=en]"), is_html=False) == ["Hi"]
    assert feed.select(compile_selector("title"), is_html=False) == []
    assert failure(feed, source="xml", property="Title", comparison="equals", value="Ho") is None


@pytest.mark.parametrize(
    "bad", ["", ">", "a >", "a,,b", "a:hover", "a[", "a::attr(x) b", "1", "a " * 30, "[a=]"]
)
def test_selectors_that_make_no_sense_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="elector"):
        compile_selector(bad)


BOMB = (
    b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "lol">%b]><a x="&l9;">&l9;</a>"""
    % b"".join(
        b'<!ENTITY l%d "%b">' % (level, b"&l%d;" % (level - 1) * 10) for level in range(1, 10)
    )
)


def test_entities_are_not_followed() -> None:
    message = failure(Evidence(body=BOMB), source="xml", property="a", comparison="exists")
    assert message is None or "the body is not XML" in message
    outside = b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>'
    told = failure(
        Evidence(body=outside), source="xml", property="a", comparison="contains", value="root"
    )
    assert told is not None
    assert "root:" not in told


@pytest.mark.parametrize("is_html", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"<r>" + b"<a>" * 400 + b"&amp;" * 300_000,
        b"<a>" * 300_000,
        b"<a/>" * 300_000,
        b"<r>" + b"<a/>" * 300_000 + b"</r>",
        b"<r " + b'a="1" ' * 50_000 + b"/>",
        b"{}",
        b"\xff\xfe<\0a\0>\0x\0<\0/\0a\0>\0",
    ],
)
def test_no_markup_takes_long(body: bytes, is_html: bool) -> None:
    """What grows with the square of 300,000 elements would take hours."""
    source = "html" if is_html else "xml"
    wanted = "r a a ~ a + a, a a a > a"
    message = failure(
        Evidence(body=body), source=source, property=wanted, comparison="equals", value="no"
    )
    assert message is not None


@given(st.text(max_size=60), st.binary(max_size=200), st.booleans())
def test_no_selector_and_no_page_break_the_reader(text: str, page: bytes, is_html: bool) -> None:
    try:
        selector = compile_selector(text)
    except ValueError:
        return
    source = "html" if is_html else "xml"
    assertion = Assertion(source=source, property=text, comparison="not_empty")
    assert selector.paths
    compile_assertion(assertion)(Evidence(body=page))


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.dates().map(str)
)


@given(
    st.sampled_from(["value", "header", "json", "body", "phase", "certificate"]),
    st.sampled_from(["", "$..a", "x", "tls", "issuer"]),
    st.sampled_from(
        ["equals", "contains", "matches", "less_than", "at_least", "starts_with", "empty"]
    ),
    scalars,
    st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
)
def test_no_assertion_that_is_accepted_raises(
    source: str, name: str, comparison: str, value: object, found: object
) -> None:
    try:
        assertion = Assertion(source=source, property=name, comparison=comparison, value=value)
    except ValidationError:
        return
    body = json.dumps({"a": found}, default=str).encode()
    evidence = Evidence(
        headers={"x": str(found)}, body=body, certificate=body, facts={Source.VALUE: found}
    )
    message = compile_assertion(assertion)(evidence)
    assert message is None or message.endswith(".")


# Charsets


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ("grün".encode("latin-1"), "latin-1"),
        (b"\xef\xbb\xbf" + "grün".encode(), "latin-1"),
        ("grün".encode("utf-16"), ""),
        (b"<meta charset=iso-8859-1>" + "grün".encode("latin-1"), ""),
        (b'<meta http-equiv=x content="text/html; charset=latin1">gr\xfcn', ""),
        (b'<?xml version="1.0" encoding="iso-8859-1"?><a>gr\xfcn</a>', ""),
        ("grün".encode(), ""),
    ],
)
def test_a_body_is_read_in_its_charset(body: bytes, charset: str) -> None:
    evidence = Evidence(body=body, charset=charset)
    assert failure(evidence, source="body", comparison="contains", value="grün") is None


def test_a_wrong_charset_is_told() -> None:
    evidence = Evidence(body=b"gr\xfcn", charset="utf-8")
    message = failure(evidence, source="body", comparison="equals", value="grün")
    assert message == 'Body should be "grün", got "gr\ufffdn" (the body is not valid utf-8).'
