"""What an assertion may be, checked on the way in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    Tag,
    model_serializer,
    model_validator,
)

from probe.assertions.markup import compile_selector
from probe.assertions.scalars import is_orderable, text_of

MAX_DEPTH = 5
MAX_CONDITIONS = 100
"""How deep and how large a tree may be."""


class Source(StrEnum):
    STATUS = "status"
    HEADER = "header"
    BODY = "body"
    JSON = "json"
    HTML = "html"
    XML = "xml"
    SIZE = "size"
    LATENCY = "latency"
    PHASE = "phase"
    CERT_DAYS = "cert_days"
    CERTIFICATE = "certificate"
    TLS_VERSION = "tls_version"
    URL = "url"
    REDIRECTS = "redirects"
    HTTP_VERSION = "http_version"
    ADDRESS = "address"
    BANNER = "banner"
    ANSWER = "answer"
    TTL = "ttl"
    PACKET_LOSS = "packet_loss"
    ROUND_TRIP = "round_trip"
    HOPS = "hops"
    VALUE = "value"
    ROWS = "rows"
    DOMAIN_DAYS = "domain_days"


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """`subject` begins the sentence about a failure. A source with `properties` takes one of them,
    one with `takes` (what it is, for the user) takes any text."""

    subject: str
    takes: str = ""
    properties: tuple[str, ...] = ()


PHASES = ("dns", "connect", "tls", "first_byte", "transfer")
CERTIFICATE_PROPERTIES = (
    "days_left",
    "issuer",
    "subject",
    "alternative_names",
    "key_type",
    "key_bits",
    "signature_hash",
    "fingerprint",
    "serial_number",
    "not_before",
    "not_after",
)
SOURCES: dict[Source, SourceInfo] = {
    Source.STATUS: SourceInfo("Status"),
    Source.HEADER: SourceInfo("Header", takes="the header's name"),
    Source.BODY: SourceInfo("Body"),
    Source.JSON: SourceInfo("JSON", takes="a JSONPath"),
    Source.HTML: SourceInfo("HTML", takes="a CSS selector"),
    Source.XML: SourceInfo("XML", takes="a CSS selector"),
    Source.SIZE: SourceInfo("Size (bytes)"),
    Source.LATENCY: SourceInfo("Latency (ms)"),
    Source.PHASE: SourceInfo("Phase (ms)", properties=PHASES),
    Source.CERT_DAYS: SourceInfo("Days left on the certificate"),
    Source.CERTIFICATE: SourceInfo("Certificate", properties=CERTIFICATE_PROPERTIES),
    Source.TLS_VERSION: SourceInfo("TLS version"),
    Source.URL: SourceInfo("Final URL"),
    Source.REDIRECTS: SourceInfo("Number of redirects"),
    Source.HTTP_VERSION: SourceInfo("HTTP version"),
    Source.ADDRESS: SourceInfo("Address"),
    Source.BANNER: SourceInfo("Banner"),
    Source.ANSWER: SourceInfo("Answer"),
    Source.TTL: SourceInfo("TTL (s)"),
    Source.PACKET_LOSS: SourceInfo("Packet loss (%)"),
    Source.ROUND_TRIP: SourceInfo(
        "Round trip (ms)", properties=("min", "average", "max", "jitter")
    ),
    Source.HOPS: SourceInfo("Number of hops"),
    Source.VALUE: SourceInfo("Value"),
    Source.ROWS: SourceInfo("Number of rows"),
    Source.DOMAIN_DAYS: SourceInfo("Days left on the domain"),
}

TIMING = frozenset({Source.LATENCY, Source.PHASE})
"""The sources that every kind with a network has."""


class Comparison(StrEnum):
    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    MATCHES = "matches"
    NOT_MATCHES = "not_matches"
    LESS_THAN = "less_than"
    GREATER_THAN = "greater_than"
    AT_MOST = "at_most"
    AT_LEAST = "at_least"
    EXISTS = "exists"
    NOT_EXISTS = "not_exists"
    EMPTY = "empty"
    NOT_EMPTY = "not_empty"


class Severity(StrEnum):
    DOWN = "down"
    DEGRADED = "degraded"


VALUELESS = {Comparison.EXISTS, Comparison.NOT_EXISTS, Comparison.EMPTY, Comparison.NOT_EMPTY}
_PATTERNS = {Comparison.MATCHES, Comparison.NOT_MATCHES}
_ORDERINGS = {
    Comparison.LESS_THAN,
    Comparison.GREATER_THAN,
    Comparison.AT_MOST,
    Comparison.AT_LEAST,
}


class Condition(BaseModel):
    """Something that an answer fulfils or not."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    source: Source = Field(title="Source", description="What of the answer is looked at.")
    property: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = Field(
        default="",
        title="Property",
        description="The header's name, a JSONPath (RFC 9535) such as `$.status`, a CSS selector"
        " such as `h1.title`, or what of the phase, the certificate or the round trip.",
    )
    comparison: Comparison = Field(title="Comparison", description="How it is compared.")
    value: str | int | float | bool | None = Field(
        default=None,
        title="Value",
        description="What it is compared with. Numbers compare as numbers, dates (2030-01-31) as"
        " dates, versions (1.10.2) as versions; `matches` takes a regular expression (RE2). Times"
        " are in ms, size in bytes, cert_days in days.",
    )

    @model_validator(mode="after")
    def _check_parts_fit(self) -> Self:
        self._check_property()
        if self.comparison in VALUELESS:
            if self.value is not None:
                raise ValueError(f"The comparison {self.comparison} takes no `value`")
        elif self.value is None and not self._asks_for_null():
            raise ValueError(f"The comparison {self.comparison} needs a `value`")
        if isinstance(self.value, str) and len(self.value) > 10_000:
            raise ValueError("`value` may have 10,000 characters at most")
        if self.comparison in _ORDERINGS and not is_orderable(self.value):
            raise ValueError(
                f"The comparison {self.comparison} needs a number, a date or a version as `value`"
            )
        if self.comparison in _PATTERNS:
            from probe.assertions.paths import compile_pattern

            compile_pattern(text_of(self.value))
        return self

    def _check_property(self) -> None:
        info = SOURCES[self.source]
        if self.property and not info.takes and not info.properties:
            raise ValueError(f"The source {self.source} takes no `property`")
        if info.takes and not self.property:
            raise ValueError(f"Give {info.takes} in `property`")
        if info.properties and self.property not in info.properties:
            raise ValueError(f"Give one of these in `property`: {', '.join(info.properties)}")
        if self.source == Source.JSON:
            from probe.assertions.paths import compile_path

            compile_path(self.property)
        elif self.source in (Source.HTML, Source.XML):
            compile_selector(self.property)

    def _asks_for_null(self) -> bool:
        return self.source == Source.JSON and self.comparison in (
            Comparison.EQUALS,
            Comparison.NOT_EQUALS,
        )


class Assertion(Condition):
    """A condition that must hold."""

    severity: Severity = Field(
        default=Severity.DOWN,
        title="Severity",
        description="What the check is when the condition doesn't hold.",
    )


def _which(value: Any) -> str:
    """Whether a node of a tree is meant as a condition or a group."""
    keys = value if isinstance(value, Mapping) else getattr(value, "__dict__", ())
    return "group" if any(key in keys for key in ("all", "any", "none")) else "condition"


Node = Annotated[
    Annotated[Condition, Tag("condition")] | Annotated["ConditionGroup", Tag("group")],
    Discriminator(_which),
]


class ConditionGroup(BaseModel):
    """Conditions of which all, any or none must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    all: tuple[Node, ...] | None = Field(default=None, title="All", description="Each must hold.")
    any: tuple[Node, ...] | None = Field(default=None, title="Any", description="One must hold.")
    none: tuple[Node, ...] | None = Field(default=None, title="None", description="None may hold.")

    @model_validator(mode="after")
    def _check_one_is_given(self) -> Self:
        given = [nodes for nodes in (self.all, self.any, self.none) if nodes is not None]
        if len(given) != 1 or not given[0]:
            raise ValueError("Give one of `all`, `any` and `none`, with conditions in it")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_what_is_not_given(self, serialize: SerializerFunctionWrapHandler) -> Any:
        return {name: value for name, value in serialize(self).items() if value is not None}

    @property
    def nodes(self) -> Sequence[Condition | ConditionGroup]:
        return self.all or self.any or self.none or ()

    def conditions(self) -> Iterator[Condition]:
        """The conditions in it, at any depth."""
        for node in self.nodes:
            if isinstance(node, ConditionGroup):
                yield from node.conditions()
            else:
                yield node


class AssertionTree(ConditionGroup):
    """A group of conditions, groups among them, that must hold as a whole."""

    severity: Severity = Field(
        default=Severity.DOWN,
        title="Severity",
        description="What the check is when the tree doesn't hold.",
    )

    @model_validator(mode="before")
    @classmethod
    def _check_size(cls, value: Any) -> Any:
        """Before anything is read: what is nested without end must not be followed down."""
        depth, count, level = 0, 0, [value]
        while level:
            groups = [
                node for node in level if isinstance(node, Mapping) and _which(node) == "group"
            ]
            count += len(level) - len(groups)
            depth += bool(groups)
            if depth > MAX_DEPTH:
                raise ValueError(f"A tree may be {MAX_DEPTH} groups deep at most")
            if count > MAX_CONDITIONS:
                raise ValueError(f"A tree may have {MAX_CONDITIONS} conditions at most")
            lists = [group.get(key) for group in groups for key in ("all", "any", "none")]
            level = [node for nodes in lists if isinstance(nodes, list | tuple) for node in nodes]
        return value


def refuse_foreign_sources(conditions: Sequence[Condition], known: frozenset[Source]) -> None:
    """Raise ValueError where a condition is about something that a kind of check doesn't have."""
    for condition in conditions:
        if condition.source not in known:
            raise ValueError(
                f"This kind of check has no {condition.source} to look at, only"
                f" {', '.join(sorted(known))}"
            )
