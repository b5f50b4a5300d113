"""domain: until when a domain is registered, by RDAP (RFC 9082, RFC 9083)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import Field, field_validator

from probe.assertions import TIMING, Evidence, Judge, Source
from probe.certificates import days_until
from probe.kinds.base import AssertedSettings, IpVersion, Kind, Resolver, clean_host
from probe.kinds.http.chain import Chain
from probe.kinds.http.plan import HttpPlan, plan_of
from probe.kinds.http.settings import HttpSettings
from probe.kinds.http.target import parse_url
from probe.net import Deadline, Net, Trouble, is_address
from probe.values import Job, Observation, Reason, Spec, Status

BOOTSTRAP_URL = "https://rdap.org"
"""Redirects to the registry's own server (RFC 9224)."""

_LAPSED = ("redemption period", "pending delete")
_HELD = ("client hold", "server hold")


class DomainSettings(AssertedSettings):
    sources: ClassVar[frozenset[Source]] = TIMING | {Source.DOMAIN_DAYS}

    expiry_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        title="Days left",
        description="Degraded when the registration has fewer days left. 0: off.",
    )
    rdap_url: str = Field(
        default=BOOTSTRAP_URL,
        max_length=500,
        title="RDAP server",
        description="Asked at /domain/NAME. The default knows every registry's own server.",
    )
    ip_version: IpVersion = Field(
        default="auto", title="IP version", description="Ask over IPv4, IPv6 or either."
    )
    resolver: Resolver | None = Field(
        default=None,
        title="Resolver",
        description="Ask this name server (ip or ip:port) instead of the system's.",
    )

    @property
    def shortest_interval(self) -> timedelta:
        """The public servers refuse whoever asks often; a server of one's own is one's own."""
        return timedelta(hours=1) if self.rdap_url == BOOTSTRAP_URL else super().shortest_interval

    @field_validator("rdap_url")
    @classmethod
    def _check_rdap_url(cls, url: str) -> str:
        return parse_url(url)[0].rstrip("/")


@dataclass(frozen=True, slots=True)
class DomainPlan:
    http: HttpPlan
    settings: DomainSettings
    judge: Judge


def make_plan(spec: Spec) -> DomainPlan:
    settings: DomainSettings = spec.settings
    http = HttpSettings(
        headers={"Accept": "application/rdap+json, application/json"},
        ip_version=settings.ip_version,
        resolver=settings.resolver,
    )
    url = f"{settings.rdap_url}/domain/{quote(spec.target, safe='')}"
    return DomainPlan(
        replace(plan_of(url, http), needs_body=True),
        settings,
        Judge(settings.assertions, settings.assertion_tree),
    )


@dataclass(frozen=True, slots=True)
class Registration:
    expires_at: datetime | None
    statuses: tuple[str, ...]
    registrar: str


def read_registration(document: Any) -> Registration:
    """What an RDAP answer says of a domain. Raises ValueError where it is none."""
    if not isinstance(document, Mapping) or document.get("objectClassName") != "domain":
        raise ValueError("it is no RDAP answer about a domain")
    statuses = [text.lower() for text in _items(document.get("status")) if isinstance(text, str)]
    return Registration(
        _expiration(document.get("events")),
        tuple(statuses),
        next(
            (_name_of(each) for each in _items(document.get("entities")) if _is_registrar(each)), ""
        ),
    )


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _expiration(events: Any) -> datetime | None:
    for event in _items(events):
        if isinstance(event, Mapping) and event.get("eventAction") == "expiration":
            moment = datetime.fromisoformat(str(event.get("eventDate")))
            try:
                return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
            except OverflowError:
                raise ValueError("its end lies beyond the calendar") from None
    return None


def _is_registrar(entity: Any) -> bool:
    return isinstance(entity, Mapping) and "registrar" in _items(entity.get("roles"))


def _name_of(entity: Mapping[str, Any]) -> str:
    """The name on the entity's jCard (RFC 7095)."""
    for part in _items(entity.get("vcardArray"))[1:]:
        for line in _items(part):
            if isinstance(line, list) and len(line) > 3 and line[0] == "fn":
                return str(line[3])[:200]
    return ""


async def observe(job: Job, net: Net) -> Observation:
    plan = net.plans.get(job.spec, make_plan)
    deadline = Deadline(job.spec.timeout.total_seconds())
    chain = Chain(
        plan.http,
        net,
        deadline,
        allow_private=job.spec.allow_private,
        ip_version=plan.settings.ip_version,
        method="GET",
    )
    try:
        registration = await _look_up(job.spec.target, chain, plan)
    except Trouble as trouble:
        return trouble.observed(deadline.elapsed_ms, chain.timeline.phases())
    latency_ms = round(deadline.elapsed_ms, 3)
    seen = _judged(job.spec.target, registration, plan.settings, latency_ms)
    seen = replace(seen, phases=chain.timeline.phases())
    return plan.judge.grade(seen, _evidence(seen, registration)) if plan.judge else seen


async def _look_up(name: str, chain: Chain, plan: DomainPlan) -> Registration:
    """Ask for the registration. What fails here is the registry's trouble, not the domain's: the
    check is unknown, but for a registry that says that there is no such domain."""
    server = plan.settings.rdap_url
    try:
        answer = await chain.answer()
    except Trouble as trouble:
        if trouble.reason == Reason.TARGET_FORBIDDEN:
            raise
        raise _unknown(name, trouble.message) from None
    is_registry = server != BOOTSTRAP_URL or len(answer.hops) > 1
    if answer.status == 404 and is_registry:
        raise Trouble(Reason.DOMAIN_EXPIRED, f"{name} is not registered, says {answer.hops[-1]}.")
    if answer.status != 200:
        raise _unknown(name, f"{answer.hops[-1]} answered with status {answer.status}.")
    try:
        return read_registration(json.loads(bytes(answer.received.body or b"")))
    except (ValueError, RecursionError) as error:
        raise _unknown(name, f"{answer.hops[-1]} can't be read: {error}.") from None


def _unknown(name: str, why: str) -> Trouble:
    return Trouble(Reason.CHECK_ERROR, f"The registration of {name} can't be looked up: {why}")


def _judged(
    name: str, registration: Registration, settings: DomainSettings, latency_ms: float
) -> Observation:
    status, reason, message = _verdict(name, registration, settings)
    expires_at = registration.expires_at
    return Observation(
        status,
        reason,
        message,
        latency_ms,
        cert_expires_at=expires_at,
        details={
            "expires_at": expires_at.isoformat() if expires_at else None,
            "registrar": registration.registrar,
            "statuses": list(registration.statuses),
        },
    )


def _verdict(
    name: str, registration: Registration, settings: DomainSettings
) -> tuple[Status, Reason | None, str]:
    by = f" (registrar: {registration.registrar})" if registration.registrar else ""
    for status in registration.statuses:
        if status in _LAPSED:
            message = f"The registration of {name} has lapsed: {status}{by}."
            return Status.DOWN, Reason.DOMAIN_EXPIRED, message
        if status in _HELD:
            message = f"{name} is on hold and does not resolve: {status}{by}."
            return Status.DOWN, Reason.DOMAIN_EXPIRED, message
    if registration.expires_at is None:
        message = f"The registration of {name} says nothing of its end."
        return Status.UNKNOWN, Reason.CHECK_ERROR, message
    days = days_until(registration.expires_at)
    at = f"on {registration.expires_at.astimezone(UTC):%Y-%m-%d}"
    if days < 0:
        message = f"The registration of {name} expired {at}, {-days:g} days ago{by}."
        return Status.DOWN, Reason.DOMAIN_EXPIRED, message
    if days < settings.expiry_days:
        message = (
            f"The registration of {name} expires {at}: {days:g} days left, expected at least"
            f" {settings.expiry_days}{by}."
        )
        return Status.DEGRADED, Reason.DOMAIN_EXPIRING, message
    return Status.UP, None, ""


def _evidence(seen: Observation, registration: Registration) -> Evidence:
    facts: dict[Source, Any] = {}
    if registration.expires_at is not None:
        facts[Source.DOMAIN_DAYS] = days_until(registration.expires_at)
    return Evidence(latency_ms=seen.latency_ms, phases=seen.phases, facts=facts)


def clean_target(text: str) -> str:
    name = clean_host(text).removesuffix(".")
    if is_address(name) or "." not in name:
        raise ValueError("Give a domain, as in example.org")
    return name


KIND = Kind(
    "domain",
    "Domain registration",
    DomainSettings,
    observe,
    clean_target,
    at_once=5,  # they ask the same few registries, which refuse whoever asks often
    default_interval=timedelta(hours=6),
    default_retry_interval=timedelta(minutes=5),
    default_timeout=timedelta(seconds=30),
    summary="Ask the registry until when a domain is registered; warn before it expires.",
    target_label="Domain",
    target_example="example.org",
    sections={"": ("expiry_days",), "Lookup": ("rdap_url", "ip_version", "resolver")},
)
