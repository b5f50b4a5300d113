"""What a location asks when it doubts its own network: anchors, and hosts that were up before.

An anchor is chosen by the operator, as `host:port` (something listens there, or refuses: both are
an answer) or `resolver` (this machine's name servers). Nobody is told of one that is silent.
"""

import ipaddress
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import uuid4

from probe.kinds import KINDS
from probe.kinds.base import clean_host_port
from probe.net import is_address
from probe.upside_down import is_upside_down
from probe.values import Job, Observation, Reason, Spec, Status

RESOLVER = "resolver"
PATIENCE = timedelta(seconds=2)
"""How long an anchor may take to answer."""

# The zone below which names are asked for that nobody can have in a cache.
_ZONE = "com"

SILENT_REASONS = frozenset(
    {
        Reason.DNS_TIMEOUT,
        Reason.DNS_SERVFAIL,
        Reason.DNS_REFUSED,  # by the machine's own resolver, when that has lost its way out
        Reason.CONNECT_TIMEOUT,
        Reason.CONNECT_UNREACHABLE,
        Reason.TIMEOUT,
        Reason.PACKET_LOSS,
    }
)
"""Why a check fails that got no answer: the same from a host that is gone as from a network."""

# Checks that ask and change nothing, so that one more does no harm.
_HARMLESS_KINDS = ("http", "tcp", "tls", "dns", "icmp")
_HARMLESS_METHODS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Anchor:
    """`is_trusted`: its silence counts before it ever answered."""

    name: str
    make_job: Callable[[], Job]
    is_trusted: bool = True


def make_anchors(chosen: Sequence[str]) -> list[Anchor]:
    """The anchors of these names; where none is chosen, the resolver once it has answered.

    Raises ValueError with a sentence for the user.
    """
    if not chosen:
        return [_resolver(is_trusted=False)]
    return [_resolver() if name == RESOLVER else _port(name) for name in map(clean_anchor, chosen)]


def clean_anchor(name: str) -> str:
    """An anchor in its normal form. Raises ValueError with a sentence for the user."""
    name = name.strip()
    return RESOLVER if name.lower() == RESOLVER else clean_host_port(name)


def _resolver(*, is_trusted: bool = True) -> Anchor:
    spec = _spec("dns", _ZONE)

    def make_job() -> Job:
        # A new revision, so that the prober prepares the new name.
        name = f"{secrets.token_hex(8)}.{_ZONE}"
        return _job(replace(spec, target=name, revision=secrets.randbits(31)))

    return Anchor(RESOLVER, make_job, is_trusted)


def _port(name: str) -> Anchor:
    spec = _spec("tcp", name)
    return Anchor(name, lambda: _job(spec))


def _spec(kind: str, target: str) -> Spec:
    return Spec(
        monitor_id=uuid4(),
        revision=1,
        kind=kind,
        target=target,
        interval=PATIENCE,
        timeout=PATIENCE,
        failure_threshold=1,
        recovery_threshold=1,
        retry_interval=PATIENCE,
        settings=KINDS[kind].settings(),
    )


def _job(spec: Spec) -> Job:
    return Job(0, spec, datetime.now(UTC))


def repeated(job: Job) -> Job:
    """The same check once more, in no more time than an anchor has."""
    return replace(job, spec=replace(job.spec, timeout=min(job.spec.timeout, PATIENCE)))


def is_repeatable(job: Job) -> bool:
    """Whether one more check of the kind does no harm and means what it says."""
    settings = job.spec.settings
    return (
        job.spec.kind in _HARMLESS_KINDS
        and getattr(settings, "method", "GET") in _HARMLESS_METHODS
        and not is_upside_down(job)
    )


def is_silent(seen: Observation) -> bool:
    return seen.status == Status.DOWN and seen.reason in SILENT_REASONS


def is_ours(seen: Observation) -> bool:
    """Whether a check says nothing of the network: it went wrong here, or nobody was asked."""
    return seen.status == Status.UNKNOWN or seen.reason == Reason.TARGET_FORBIDDEN


def host_asked(job: Job) -> str:
    """Whose answer a check waits for; empty where that is nobody."""
    resolver = getattr(job.spec.settings, "resolver", None) if job.spec.kind == "dns" else None
    return resolver or job.spec.host


@lru_cache(maxsize=20_000)  # asked for each check
def lies_outside(host: str) -> bool:
    """Whether a host is beyond this machine, as far as its name tells."""
    host = host.removeprefix("[").partition("]")[0] if host.startswith("[") else host
    if not host or host == "localhost" or host.endswith(".localhost"):
        return False
    address = host if is_address(host) else host.partition(":")[0]
    return not (is_address(address) and ipaddress.ip_address(address).is_loopback)
