"""Monitors of targets that are expected to fail: the verdict is the opposite of what was seen."""

from dataclasses import replace

from probe.values import Job, Observation, Reason, Status

_NOT_THE_TARGETS = {Reason.CHECK_ERROR, Reason.TARGET_FORBIDDEN}


def is_upside_down(job: Job) -> bool:
    settings = job.spec.settings
    return settings is not None and settings.is_upside_down  # none: they could not be made


def turn(seen: Observation) -> Observation:
    """The opposite verdict. What is ours stays as it is."""
    if seen.reason in _NOT_THE_TARGETS:
        return seen
    if seen.status == Status.DOWN:
        # the time that a failure took says nothing of how fast the target is
        return replace(seen, status=Status.UP, reason=None, message="", latency_ms=None)
    status = f"status {seen.http_status}" if seen.http_status else "an answer"
    return replace(
        seen,
        status=Status.DOWN,
        reason=Reason.ASSERTION_FAILED,
        message=f"The check passed with {status}, but is expected to fail (upside_down).",
    )
