"""grpc: the standard health service, asked over HTTP/2 (grpc.health.v1).

The request is the http check's, with a body of one small message: no library of gRPC's own is
needed for a question whose protobuf is one string and whose answer is one number.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal
from urllib.parse import unquote

from pydantic import Field

from probe.assertions import TIMING, Evidence, Judge, Source
from probe.kinds.base import (
    AssertedSettings,
    CertificatePem,
    IpVersion,
    Kind,
    MinTls,
    Resolver,
    clean_host_port,
)
from probe.kinds.http.chain import Chain
from probe.kinds.http.check import Verdict, judge, status_of
from probe.kinds.http.exchange import Answer
from probe.kinds.http.exhibits import exhibits_of
from probe.kinds.http.plan import HttpPlan, plan_of
from probe.kinds.http.settings import Headers, HttpSettings
from probe.net import Deadline, Net, Trouble
from probe.values import Job, Observation, Reason, Spec, Status

_HEALTH = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


class GrpcSettings(AssertedSettings):
    sources: ClassVar[frozenset[Source]] = TIMING | {
        Source.STATUS,
        Source.VALUE,
        Source.HEADER,
        Source.CERT_DAYS,
        Source.CERTIFICATE,
        Source.ADDRESS,
    }

    service: str = Field(
        default="",
        max_length=500,
        title="Service",
        description="The service to ask about. Empty: the server as a whole.",
    )
    tls: bool = Field(default=True, title="TLS", description="Speak TLS from the first byte.")
    metadata: Headers = Field(
        default_factory=dict,
        title="Metadata",
        max_length=50,
        description="Sent with the call. Values named like a secret are write-only.",
    )
    expected: Literal["SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] = Field(
        default="SERVING", title="Expected", description="The health that counts as up."
    )
    verify_tls: bool = Field(
        default=True,
        title="Verify certificate",
        description="With TLS, check the certificate's chain, names and dates.",
    )
    ca_certificate: CertificatePem | None = Field(
        default=None,
        title="CA certificates (PEM)",
        description="Trusted in addition to the system's.",
    )
    cert_expiry_days: int = Field(
        default=14,
        ge=0,
        le=3650,
        title="Certificate days",
        description="Degraded when the certificate has fewer days left. 0: off.",
    )
    min_tls: MinTls = Field(
        default="1.2", title="Lowest TLS version", description="An older one is degraded."
    )
    ip_version: IpVersion = Field(
        default="auto", title="IP version", description="Connect over IPv4, IPv6 or either."
    )
    resolver: Resolver | None = Field(
        default=None,
        title="Resolver",
        description="Ask this name server (ip or ip:port) instead of the system's.",
    )


def make_plan(spec: Spec) -> HttpPlan:
    settings: GrpcSettings = spec.settings
    call = HttpSettings(
        method="POST",
        http_version="2",
        headers={**settings.metadata, "Content-Type": "application/grpc", "TE": "trailers"},
        follow_redirects=False,
        expected_status=("200",),
        max_body_bytes=65_536,
        **settings.model_dump(
            include={"verify_tls", "ca_certificate", "cert_expiry_days", "min_tls", "resolver"}
        ),
    )
    scheme = "https" if settings.tls else "http"
    plan = plan_of(f"{scheme}://{spec.target}/grpc.health.v1.Health/Check", call)
    return replace(
        plan,
        body=_request(settings.service),
        judge=Judge(settings.assertions, settings.assertion_tree),
        needs_body=True,
    )


def _request(service: str) -> bytes:
    """HealthCheckRequest{service = 1}, in a frame: not compressed, its length, itself."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def health_of(body: bytes) -> str | None:
    """The health in a framed HealthCheckResponse; None where it is none."""
    if len(body) < 5 or body[0] or len(body) < 5 + int.from_bytes(body[1:5], "big"):
        return None
    message = body[5 : 5 + int.from_bytes(body[1:5], "big")]
    status, at = 0, 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, at = _read_varint(message, at)
        match tag & 7:
            case 0:  # a number
                status = number if tag >> 3 == 1 else status
            case 2:  # so many bytes
                at += number
            case _:
                return None
        if at < 0 or at > len(message):
            return None
    return _HEALTH[status] if status < len(_HEALTH) else str(status)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends; the end is beyond the message where it is cut short."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            return 0, len(message) + 1
        number |= (message[at] & 0x7F) << shift
        at += 1
        if message[at - 1] < 0x80:
            return number, at
    return 0, len(message) + 1


async def observe(job: Job, net: Net) -> Observation:
    plan = net.plans.get(job.spec, make_plan)
    settings: GrpcSettings = job.spec.settings
    deadline = Deadline(job.spec.timeout.total_seconds())
    chain = Chain(
        plan,
        net,
        deadline,
        allow_private=job.spec.allow_private,
        ip_version=settings.ip_version,
        method="POST",
        wants_details=job.wants_details,
    )
    answer: Answer | None = None
    verdict: Verdict
    try:
        answer = await chain.answer()
        verdict = _judged(plan, settings, job.spec.target, answer, deadline.elapsed_ms)
    except Trouble as trouble:
        verdict = (status_of(trouble.reason), trouble.reason, trouble.message)
    seen = Observation(
        *verdict,
        round(deadline.elapsed_ms, 3),
        chain.timeline.phases(),
        chain.status,
        chain.cert_expires_at,
    )
    if answer is not None and plan.judge:
        seen = plan.judge.grade(seen, _evidence(answer, seen))
    if not job.wants_details:
        return seen
    shown = exhibits_of(chain, answer, sent=plan.headers.own, method="POST")
    shown.pop("response", None)  # binary
    return replace(seen, details=shown)


def _judged(
    plan: HttpPlan, settings: GrpcSettings, place: str, answer: Answer, latency_ms: float
) -> Verdict:
    verdict = judge(plan, answer, latency_ms)
    if verdict[0] == Status.DOWN:
        return verdict
    problem = _problem(settings, answer.received.headers, _health(answer))
    if not problem:
        return verdict
    return Status.DOWN, Reason.HTTP_STATUS, f"{place} {problem}, after {latency_ms:.0f} ms."


def _health(answer: Answer) -> str | None:
    return health_of(bytes(answer.received.body or b""))


def _evidence(answer: Answer, seen: Observation) -> Evidence:
    headers = answer.received.headers
    return Evidence(
        headers=headers,
        latency_ms=seen.latency_ms,
        phases=seen.phases,
        certificate=answer.certificate,
        facts={
            Source.STATUS: headers.get("grpc-status"),
            Source.VALUE: _health(answer),
            Source.ADDRESS: answer.address,
        },
    )


def _problem(settings: GrpcSettings, headers: dict[str, str], health: str | None) -> str:
    """Why the answer is not the expected health; empty where it is."""
    code = headers.get("grpc-status", "")
    if not (code.isascii() and code.isdigit()):
        return "does not answer with gRPC (no grpc-status)"
    if code == "5" and settings.expected == "SERVICE_UNKNOWN":
        return ""
    if int(code[:9]):
        number = int(code[:9])
        name = _CODES[number] if number < len(_CODES) else "a code of its own"
        said = unquote(headers.get("grpc-message", ""))[:200]
        hint = ": it has no health service" if name == "UNIMPLEMENTED" else ""
        return f"answered with gRPC status {number} ({name}){': ' + said if said else ''}{hint}"
    if health is None:
        return "sent an answer of health that can't be read"
    if health != settings.expected:
        about = f" of {settings.service}" if settings.service else ""
        return f"says that the health{about} is {health}, expected {settings.expected}"
    return ""


KIND = Kind(
    "grpc",
    "gRPC health",
    GrpcSettings,
    observe,
    clean_host_port,
    summary="Ask a gRPC server's standard health service (grpc.health.v1) how it does.",
    target_label="Host and port",
    target_example="grpc.example.org:443",
    sections={
        "": ("service", "tls", "expected", "assertions"),
        "Call": ("metadata",),
        "TLS and certificates": ("verify_tls", "cert_expiry_days", "min_tls", "ca_certificate"),
        "Network": ("ip_version", "resolver"),
    },
)
