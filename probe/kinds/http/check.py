"""The http check: ask, then judge."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus

from probe.assertions import Check, Evidence
from probe.kinds.http.chain import Chain
from probe.kinds.http.exchange import Answer
from probe.kinds.http.plan import HttpPlan, make_plan
from probe.net import Deadline, Net, Trouble
from probe.values import Job, Observation, Reason, Status

_UNKNOWN = {Reason.CHECK_ERROR}
_NOT_THE_TARGETS = {Reason.CHECK_ERROR, Reason.TARGET_FORBIDDEN}


Verdict = tuple[Status, Reason | None, str]


async def observe(job: Job, net: Net) -> Observation:
    plan = net.plans.get(job.spec, make_plan)
    deadline = Deadline(job.spec.timeout.total_seconds())
    chain = Chain(plan, net, deadline, allow_private=job.spec.allow_private)
    try:
        answer = await chain.answer()
    except Trouble as trouble:
        latency_ms = deadline.elapsed_ms
        verdict: Verdict = (_status_of(trouble.reason), trouble.reason, trouble.message)
    else:
        latency_ms = deadline.elapsed_ms
        verdict = judge(plan, answer, latency_ms)
    observation = Observation(
        *verdict,
        round(latency_ms, 3),
        chain.timeline.phases(),
        chain.status,
        chain.cert_expires_at,
    )
    return turn(observation) if plan.settings.upside_down else observation


def _status_of(reason: Reason) -> Status:
    return Status.UNKNOWN if reason in _UNKNOWN else Status.DOWN


def judge(plan: HttpPlan, answer: Answer, latency_ms: float) -> Verdict:
    """What a complete answer amounts to: first what makes it down, then what makes it degraded."""
    if not any(first <= answer.status <= last for first, last in plan.status_ranges):
        return Status.DOWN, Reason.HTTP_STATUS, _status_message(plan, answer, latency_ms)
    if not plan.must_hold and not plan.should_hold and answer.cert_expires_at is None:
        return _judge_tls(plan, answer, None)
    days = _days_until(answer.cert_expires_at)
    evidence = _evidence(answer, latency_ms, days)
    if message := _first_failure(plan.must_hold, evidence):
        return Status.DOWN, Reason.ASSERTION_FAILED, message
    verdict = _judge_tls(plan, answer, days)
    if verdict[0] == Status.UP and (message := _first_failure(plan.should_hold, evidence)):
        return Status.DEGRADED, Reason.ASSERTION_FAILED, message
    return verdict


def _judge_tls(plan: HttpPlan, answer: Answer, days: float | None) -> Verdict:
    if answer.tls_trouble:
        return Status.DEGRADED, Reason.TLS_DEPRECATED, answer.tls_trouble
    limit = plan.settings.cert_expiry_days
    if days is not None and days < limit:
        verb = "expired" if days < 0 else "expires"
        message = (
            f"The certificate {verb} on {answer.cert_expires_at:%Y-%m-%d %H:%M} UTC:"
            f" {days:g} days left, expected at least {limit}."
        )
        return Status.DEGRADED, Reason.CERT_EXPIRING, message
    return Status.UP, None, ""


def _status_message(plan: HttpPlan, answer: Answer, latency_ms: float) -> str:
    try:
        phrase = f" ({HTTPStatus(answer.status).phrase})"
    except ValueError:  # a code of the server's own
        phrase = ""
    redirects = len(answer.hops) - 1
    at = f" at {answer.hops[-1][:200]}" if redirects else ""
    expected = ", ".join(plan.settings.expected_status)
    return f"Status {answer.status}{phrase}{at} after {latency_ms:.0f} ms, expected {expected}."


def _days_until(moment: datetime | None) -> float | None:
    if moment is None:
        return None
    return round((moment - datetime.now(UTC)).total_seconds() / 86400, 1)


def _evidence(answer: Answer, latency_ms: float, days: float | None) -> Evidence:
    received = answer.received
    return Evidence(
        status=answer.status,
        headers=received.headers,
        body=bytes(received.body or b""),
        charset=answer.charset,
        latency_ms=latency_ms,
        cert_days=days,
        size=received.size,
    )


def _first_failure(checks: tuple[Check, ...], evidence: Evidence) -> str | None:
    return next((message for check in checks if (message := check(evidence))), None)


def turn(observation: Observation) -> Observation:
    """The opposite verdict, for a target that is expected to fail. What is ours stays as it is."""
    if observation.reason in _NOT_THE_TARGETS:
        return observation
    if observation.status == Status.DOWN:
        # the time that a failure took says nothing of how fast the target is
        return replace(observation, status=Status.UP, reason=None, message="", latency_ms=None)
    status = f"status {observation.http_status}" if observation.http_status else "an answer"
    return replace(
        observation,
        status=Status.DOWN,
        reason=Reason.ASSERTION_FAILED,
        message=f"The check passed with {status}, but is expected to fail (upside_down).",
    )
