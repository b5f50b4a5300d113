"""The way to a host that a check could not reach: a traceroute for the evidence.

It asks like the check did: the same address family, resolver and port, so that a filter on the way
shows itself.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid5

from probe.kinds.traceroute import TracerouteSettings
from probe.values import Job, Observation, Reason, Spec

TIMEOUT = timedelta(seconds=10)

_UNREACHED = {Reason.CONNECT_TIMEOUT, Reason.CONNECT_UNREACHABLE, Reason.PACKET_LOSS}
# Whose target is the host that they connect to.
_KINDS = frozenset(
    "http tcp icmp tls smtp imap pop3 websocket grpc postgres mysql redis".split()  # noqa: SIM905
)


def is_worth_a_trace(spec: Spec, seen: Observation) -> bool:
    """Whether the host of this check was not reached, and a traceroute would say more."""
    if seen.reason not in _UNREACHED or spec.kind not in _KINDS or spec.fault:
        return False
    return not getattr(spec.settings, "proxy", None)  # the way there leads through it


def route_job(spec: Spec, now: datetime) -> Job:
    """The traceroute to the host of `spec`."""
    same = {
        name: value
        for name in ("ip_version", "resolver")
        if (value := getattr(spec.settings, name, None)) is not None
    }
    if spec.kind == "icmp":
        host, way = spec.target, TracerouteSettings(protocol="icmp", **same)
    else:
        url = urlsplit(spec.target if "://" in spec.target else f"//{spec.target}")
        port = url.port or (443 if url.scheme in ("https", "wss") else 80)
        host, way = url.hostname or "", TracerouteSettings(protocol="tcp", port=port, **same)
    trace = replace(
        spec,
        monitor_id=uuid5(spec.monitor_id, "route"),  # what is kept by monitor is the check's own
        kind="traceroute",
        target=host,
        timeout=TIMEOUT,
        settings=way,
    )
    return Job(0, trace, due_at=now, wants_details=True)
