"""dns: ask a name server for records; judge what it says, and whether it still says the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from probe.assertions import TIMING, Evidence, Judge, Source
from probe.dns_client import Question, Security, Server, Transport, ask, own_server, system_servers
from probe.dns_message import TYPES, Answer, normal_value, reverse_name
from probe.dns_words import Wording
from probe.kinds.base import (
    AssertedSettings,
    CertificatePem,
    Kind,
    Resolver,
    clean_host,
)
from probe.net import Deadline, Net, Trouble, guard_resolver, is_address
from probe.values import Job, Observation, Phases, Reason, Spec, Status

RecordType = Literal[
    "A",
    "AAAA",
    "CAA",
    "CNAME",
    "DNSKEY",
    "DS",
    "HTTPS",
    "MX",
    "NS",
    "PTR",
    "SOA",
    "SRV",
    "SVCB",
    "TXT",
]
Rcode = Literal["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED"]

_SHOWN_VALUES = 5
_LONGEST_FINGERPRINT = 200
_CHANGED = re.compile(r"(.+)\nchanged in checks: (\d{1,4})", re.DOTALL)
"""What records were, and in how many checks so far they are others."""


class DnsSettings(AssertedSettings):
    sources: ClassVar = TIMING | {Source.ANSWER, Source.TTL}

    record_type: RecordType = Field(
        default="A", title="Record type", description="What is asked for."
    )
    resolver: Resolver | None = Field(
        default=None,
        title="Resolver",
        description="The name server to ask (ip or ip:port) instead of the system's.",
    )
    transport: Transport = Field(
        default="udp",
        title="Transport",
        description="udp (over TCP where an answer doesn't fit), tcp, or tls (DNS over TLS).",
    )
    tls_name: str | None = Field(
        default=None,
        max_length=253,
        title="Resolver's name",
        description="With tls, the name in the resolver's certificate. Empty: its address.",
    )
    verify_tls: bool = Field(
        default=True,
        title="Verify certificate",
        description="With tls, check the resolver's certificate.",
    )
    ca_certificate: CertificatePem | None = Field(
        default=None,
        title="CA certificates (PEM)",
        description="With tls, trusted in addition to the system's.",
    )
    expected: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        title="Expected",
        description="Records that must be there, such as 192.0.2.1 or `10 mail.example.org`."
        " Empty: any answer will do.",
    )
    match: Literal["any", "all", "exact"] = Field(
        default="any",
        title="Match",
        description="any: one of the expected is there; all: each is; exact: each, and no other.",
    )
    expected_rcode: Rcode = Field(
        default="NOERROR",
        title="Expected response",
        description="Such as NXDOMAIN for a name that must not exist.",
    )
    detect_drift: bool = Field(
        default=False,
        title="Report changes",
        description="Degraded when the records are not those of the last answer. A change that"
        " was confirmed is the new normal.",
    )

    @field_validator("expected")
    @classmethod
    def _check_expected(cls, expected: tuple[str, ...]) -> tuple[str, ...]:
        if any(not text.strip() or len(text) > 2000 for text in expected):
            raise ValueError("An expected record has 1 to 2,000 characters")
        return expected

    @field_validator("tls_name")
    @classmethod
    def _check_tls_name(cls, name: str | None) -> str | None:
        return clean_host(name) if name and name.strip() else None


@dataclass(frozen=True, slots=True)
class DnsPlan:
    question: Question
    settings: DnsSettings
    expected: frozenset[str]
    server: Server | None
    judge: Judge


def make_plan(spec: Spec) -> DnsPlan:
    settings: DnsSettings = spec.settings
    name = reverse_name(spec.target) if is_address(spec.target) else spec.target
    number = TYPES[settings.record_type]
    server = None
    if settings.resolver is not None:
        default_port = 853 if settings.transport == "tls" else 53
        server = own_server(settings.resolver, default_port)
    return DnsPlan(
        Question(name, number, settings.record_type),
        settings,
        frozenset(normal_value(text, number) for text in settings.expected),
        server,
        Judge(settings.assertions, settings.assertion_tree),
    )


async def observe(job: Job, net: Net) -> Observation:
    plan = net.plans.get(job.spec, make_plan)
    deadline = Deadline(job.spec.timeout.total_seconds())
    try:
        server, answer = await _ask(plan, deadline, allow_private=job.spec.allow_private)
    except Trouble as trouble:
        latency_ms = deadline.elapsed_ms
        return trouble.observed(latency_ms, Phases(dns_ms=round(latency_ms, 3)))
    latency_ms = round(deadline.elapsed_ms, 3)
    seen = Observation(
        *judge_answer(plan, answer, server),
        latency_ms,
        Phases(dns_ms=latency_ms),
        details={
            "rcode": answer.rcode,
            "aliases": list(answer.aliases),
            "answers": list(answer.values),
            "ttl": answer.ttl_s,
        },
    )
    if plan.settings.detect_drift and seen.status == Status.UP:
        seen = _with_drift(seen, plan, answer, job)
    if plan.judge:
        seen = plan.judge.grade(seen, _evidence(seen, answer))
    return seen


async def _ask(plan: DnsPlan, deadline: Deadline, *, allow_private: bool) -> tuple[Server, Answer]:
    """Ask the check's own name server, or those of the system until one has something to say."""
    settings = plan.settings
    if plan.server is not None:
        guard_resolver(plan.server.address, allow_private=allow_private)
        return plan.server, await _ask_one(plan, plan.server, deadline)
    servers = system_servers(853 if settings.transport == "tls" else 53)
    for server in servers[:-1]:
        try:
            answer = await _ask_one(plan, server, deadline.part(0.5))
        except Trouble:
            continue
        if answer.rcode not in ("SERVFAIL", "REFUSED"):
            return server, answer
    return servers[-1], await _ask_one(plan, servers[-1], deadline)


async def _ask_one(plan: DnsPlan, server: Server, deadline: Deadline) -> Answer:
    settings = plan.settings
    if settings.transport != "tls":
        return await ask(plan.question, server, settings.transport, deadline)
    security = Security(
        settings.tls_name or server.address, settings.ca_certificate, settings.verify_tls
    )
    return await ask(plan.question, server, "tls", deadline, security)


Verdict = tuple[Status, Reason | None, str]
_UP: Verdict = (Status.UP, None, "")


def judge_answer(plan: DnsPlan, answer: Answer, server: Server) -> Verdict:
    """What an answer amounts to, before drift and assertions."""
    settings, name = plan.settings, plan.question.name
    if answer.rcode != settings.expected_rcode:
        return _unexpected_rcode(plan, answer, server)
    if settings.expected_rcode != "NOERROR":
        return _UP
    if not answer.values:
        return Status.DOWN, *_wording(plan, server).failure(answer)
    if not plan.expected:
        return _UP
    got = frozenset(normal_value(value, plan.question.record_type) for value in answer.values)
    if _is_match(plan.expected, got, settings.match):
        return _UP
    return (
        Status.DOWN,
        Reason.DNS_MISMATCH,
        f"{name} should have {_wanted(plan)} as {plan.question.type_name}, {server.title} says"
        f" {shown(answer.values)}.",
    )


def _is_match(expected: frozenset[str], got: frozenset[str], match: str) -> bool:
    if match == "any":
        return bool(expected & got)
    return expected <= got if match == "all" else expected == got


def _wanted(plan: DnsPlan) -> str:
    values = shown(plan.settings.expected)
    if len(plan.settings.expected) == 1:
        return f"only {values}" if plan.settings.match == "exact" else values
    return {"any": f"one of {values}", "all": f"all of {values}", "exact": f"exactly {values}"}[
        plan.settings.match
    ]


def _unexpected_rcode(plan: DnsPlan, answer: Answer, server: Server) -> Verdict:
    if answer.rcode == "NOERROR":
        return (
            Status.DOWN,
            Reason.DNS_MISMATCH,
            f"{plan.question.name} should give {plan.settings.expected_rcode}, {server.title}"
            f" says {shown(answer.values) if answer.values else 'NOERROR without records'}.",
        )
    return Status.DOWN, *_wording(plan, server).failure(answer)


def _wording(plan: DnsPlan, server: Server) -> Wording:
    return Wording(plan.question.name, plan.question.type_name, server.title)


def shown(values: Sequence[str]) -> str:
    """Records for a message: the first few, cut."""
    cut = [value if len(value) <= 100 else f"{value[:100]}…" for value in values[:_SHOWN_VALUES]]
    more = f" and {len(values) - _SHOWN_VALUES} more" if len(values) > _SHOWN_VALUES else ""
    return ", ".join(cut) + more


# Drift


def fingerprint(values: Sequence[str]) -> str:
    """What stands for the records, whatever their order: themselves where they are short."""
    text = ", ".join(sorted(values))
    if len(text) <= _LONGEST_FINGERPRINT and "\n" not in text:
        return text
    return f"{len(values)} records, {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _with_drift(seen: Observation, plan: DnsPlan, answer: Answer, job: Job) -> Observation:
    """Degraded while an answer differs from the last one, until so many checks in a row have said
    so that it counts; from then on it is what the next is compared with."""
    now = fingerprint(answer.values) or answer.rcode
    before, changed = job.last_fingerprint, 1
    if found := _CHANGED.fullmatch(before):
        before, changed = found.group(1), int(found.group(2)) + 1
    if not before or now == before:
        return replace(seen, fingerprint=now)
    is_confirmed = changed >= job.spec.failure_threshold
    return replace(
        seen,
        status=Status.DEGRADED,
        reason=Reason.DNS_MISMATCH,
        message=f"The {plan.question.type_name} records of {plan.question.name} changed from"
        f" {before} to {now}.",
        fingerprint=now if is_confirmed else f"{before}\nchanged in checks: {changed}",
    )


def _evidence(seen: Observation, answer: Answer) -> Evidence:
    facts = {Source.ANSWER: list(answer.values)}
    ttl = {} if answer.ttl_s is None else {Source.TTL: answer.ttl_s}
    return Evidence(latency_ms=seen.latency_ms, phases=seen.phases, facts={**facts, **ttl})


KIND = Kind(
    "dns",
    "DNS records",
    DnsSettings,
    observe,
    clean_host,
    summary="Ask a name server for records; expect certain ones, or learn when they change.",
    target_label="Domain name",
    target_example="example.org",
    sections={
        "": ("record_type", "expected", "match", "detect_drift"),
        "Name server": ("resolver", "transport", "tls_name", "verify_tls", "ca_certificate"),
    },
)
