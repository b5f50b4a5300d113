"""One check at a time, many times at once: any job in, an observation out.

async with Prober() as prober:
    observation = await prober.observe(job)
"""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Self

import structlog

from probe.curl import Transfers
from probe.icmp import Pings
from probe.kinds import KINDS
from probe.net import Net, Plans
from probe.overruns import Overruns
from probe.pulse import Pulse
from probe.resolver import Resolver
from probe.upside_down import is_upside_down, turn
from probe.values import Job, Observation, Reason, Status

log = structlog.get_logger(__name__)

GRACE_S = 0.15
"""How much longer than its timeout a check may take. Kinds end sooner, with the phase named."""

_LOST_SHARE = 0.5
"""Of a check's timeout: where the loop stood still for so long, a failure may be our own. A target
that needs less than the other half is then never blamed for it."""
_JITTER_S = 0.25
"""What is lost on any machine now and then, and never blamed on it."""

_HANGS_ON_TIME = {
    Reason.TIMEOUT,
    Reason.CONNECT_TIMEOUT,
    Reason.DNS_TIMEOUT,
    Reason.PACKET_LOSS,
    Reason.LATENCY,
    Reason.ASSERTION_FAILED,  # it may be about latency
    Reason.BANNER_MISMATCH,  # and then silence
}


class Prober:
    """Holds what checks share: connections under way, resolvers, prepared plans.

    Plans may be kept from prober to prober.
    """

    def __init__(self, plans: Plans | None = None) -> None:
        self._plans = Plans() if plans is None else plans
        self._net: Net | None = None
        self._pulse: Pulse
        self._overruns: Overruns

    async def __aenter__(self) -> Self:
        self._net = Net(Resolver(), Transfers(), self._plans, Pings())
        self._overruns = Overruns()
        self._pulse = Pulse(self._overruns.look)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._net is not None:
            self._pulse.stop()
            self._net.transfers.close()
            self._net.resolver.close()
            self._net.pings.close()
            self._net = None

    async def observe(self, job: Job) -> Observation:
        """What one check sees.

        Trouble with the target never raises. A fault of ours is logged and comes back as unknown
        (check_error). The check ends by its timeout, whatever the target does.
        """
        assert self._net is not None, "use the prober inside `async with`"
        spec = job.spec
        if spec.fault:
            return Observation(Status.UNKNOWN, Reason.CHECK_ERROR, spec.fault)
        timeout_s = spec.timeout.total_seconds()
        lost_before_s = self._pulse.lost_s
        seen = await self._observe(job, self._net, timeout_s)
        lost_s = self._pulse.lost_s - lost_before_s
        if may_be_ours(seen, lost_s, job):
            return blame_ourselves(seen, lost_s, timeout_s)
        return turn(seen) if is_upside_down(job) else seen

    async def _observe(self, job: Job, net: Net, timeout_s: float) -> Observation:
        spec = job.spec
        try:
            work = KINDS[spec.kind].observe(job, net)
            observation = await self._overruns.bound(work, timeout_s + GRACE_S)
        except TimeoutError:
            message = f"The check did not end within {timeout_s:g} s."
            return Observation(Status.DOWN, Reason.TIMEOUT, message, timeout_s * 1000)
        except Exception as error:
            log.exception("probe.check.failed", monitor=str(spec.monitor_id), kind=spec.kind)
            message = f"The check itself failed: {type(error).__name__}."
            return Observation(Status.UNKNOWN, Reason.CHECK_ERROR, message)
        return grade_latency(observation, spec.settings.latency_degraded_ms)


def may_be_ours(seen: Observation, lost_s: float, job: Job) -> bool:
    """Whether a failure may come from the loop's standing still for so long."""
    if lost_s < _JITTER_S or seen.reason not in _HANGS_ON_TIME:
        return False
    if lost_s >= job.spec.timeout.total_seconds() * _LOST_SHARE:
        return True
    limit_ms = job.spec.settings.latency_degraded_ms
    return (
        seen.reason == Reason.LATENCY
        and seen.latency_ms is not None
        and limit_ms is not None
        and seen.latency_ms - lost_s * 1000 <= limit_ms
    )


def blame_ourselves(seen: Observation, lost_s: float, timeout_s: float) -> Observation:
    """An observation that says nothing of its target, because this machine was not there."""
    log.warning("probe.loop.late", lost_s=round(lost_s, 3), timeout_s=timeout_s)
    return replace(
        seen,
        status=Status.UNKNOWN,
        reason=Reason.CHECK_ERROR,
        message=f"Not judged: this machine stood still for {lost_s:.1f} s of the check's"
        f" {timeout_s:g} s. ({seen.message})",
        latency_ms=None,
    )


def grade_latency(observation: Observation, limit_ms: float | None) -> Observation:
    """A check that passed, but took longer than its limit, is degraded."""
    latency_ms = observation.latency_ms
    if limit_ms is None or latency_ms is None or observation.status != Status.UP:
        return observation
    if latency_ms <= limit_ms:
        return observation
    return replace(
        observation,
        status=Status.DEGRADED,
        reason=Reason.LATENCY,
        message=f"Took {latency_ms:.0f} ms, expected {limit_ms:g} ms at most.",
    )
