"""Assertions: what the user says must be true of an answer. One grammar for every kind of check.

An `Assertion` is one condition: a source (and for some a property), a comparison, a value, and what
the check is when it doesn't hold (down or degraded). A list of them must all hold; an
`AssertionTree` joins conditions with `all`, `any` and `none`:

    {"any": [{"source": "status", "comparison": "equals", "value": 200},
             {"all": [{...}, {...}]}],
     "severity": "degraded"}

How a kind takes part:

1. Its settings derive from `probe.kinds.base.AssertedSettings` rather than `KindSettings` and say
   which sources the kind has; an assertion on another one is refused on the way in:

       class DnsSettings(AssertedSettings):
           sources: ClassVar = TIMING | {Source.ANSWER, Source.TTL}

2. Its plan keeps `judge = Judge(settings.assertions, settings.assertion_tree)`: compiled once.
3. With what was seen it makes an `Evidence` and has the judge grade its own observation:

       evidence = Evidence(
           latency_ms=observation.latency_ms,
           phases=observation.phases,
           facts={Source.ANSWER: ["192.0.2.1"], Source.TTL: 300},
       )
       return plan.judge.grade(observation, evidence)

   An observation that is down or unknown already stays as it is. A fact is a value, a list of
   values (one of them must fulfil the condition), or, for a source that takes a property, a
   mapping from property to either. A source without a fact counts as missing (`exists`). A
   certificate goes into `Evidence.certificate` as DER or PEM and is read only if it is asked for.

A new source is a member of `Source` and a row of `SOURCES`, both in `schema.py`. Regular
expressions run in linear time (RE2), also those inside a JSONPath filter, and so do the selectors
on HTML and XML: neither a setting nor a server's answer can hold the engine up.
"""

from probe.assertions.compiling import Check, Judge, compile_assertion
from probe.assertions.evidence import Evidence
from probe.assertions.findings import Finding, Judged, watching
from probe.assertions.schema import (
    TIMING,
    Assertion,
    AssertionTree,
    Comparison,
    Condition,
    ConditionGroup,
    Severity,
    Source,
    refuse_foreign_sources,
)

__all__ = [
    "TIMING",
    "Assertion",
    "AssertionTree",
    "Check",
    "Comparison",
    "Condition",
    "ConditionGroup",
    "Evidence",
    "Finding",
    "Judge",
    "Judged",
    "Severity",
    "Source",
    "compile_assertion",
    "refuse_foreign_sources",
    "watching",
]
