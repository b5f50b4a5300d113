"""The values that flow through the prober: a job goes in, an observation comes out."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID


class Status(StrEnum):
    """What one check saw. `UNKNOWN` is a fault of ours and never counts against the target."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a check did not pass: one stable code per cause, everywhere the same."""

    DNS_NXDOMAIN = "dns_nxdomain"
    DNS_SERVFAIL = "dns_servfail"
    DNS_REFUSED = "dns_refused"
    DNS_TIMEOUT = "dns_timeout"
    DNS_NO_ANSWER = "dns_no_answer"
    DNS_MISMATCH = "dns_mismatch"
    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    CONNECT_UNREACHABLE = "connect_unreachable"
    CONNECT_RESET = "connect_reset"
    TLS_HANDSHAKE = "tls_handshake"
    TLS_EXPIRED = "tls_expired"
    TLS_NOT_YET_VALID = "tls_not_yet_valid"
    TLS_HOSTNAME = "tls_hostname"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_DEPRECATED = "tls_deprecated"
    CERT_EXPIRING = "cert_expiring"
    TIMEOUT = "timeout"
    HTTP_STATUS = "http_status"
    HTTP_PROTOCOL = "http_protocol"
    REDIRECT_LOOP = "redirect_loop"
    REDIRECT_LIMIT = "redirect_limit"
    BODY_TOO_LARGE = "body_too_large"
    ASSERTION_FAILED = "assertion_failed"
    PACKET_LOSS = "packet_loss"
    BANNER_MISMATCH = "banner_mismatch"
    AUTH_FAILED = "auth_failed"
    HEARTBEAT_MISSED = "heartbeat_missed"
    HEARTBEAT_FAILED = "heartbeat_failed"
    DOMAIN_EXPIRED = "domain_expired"
    DOMAIN_EXPIRING = "domain_expiring"
    MANUAL = "manual"
    MEMBERS = "members"
    LATENCY = "latency"
    TARGET_FORBIDDEN = "target_forbidden"
    CHECK_ERROR = "check_error"
    LOCATION_BLIND = "location_blind"


@dataclass(frozen=True, slots=True)
class Phases:
    """Milliseconds spent in each phase of a check; None where a phase did not happen."""

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    transfer_ms: float | None = None


NO_PHASES = Phases()


@dataclass(frozen=True, slots=True)
class Observation:
    """What one check saw.

    `message` is one sentence for the engineer who is woken by it; empty when `status` is up.
    `latency_ms` is the whole check, from name resolution to the last byte. `fingerprint` is
    what the next check is to know of this one, such as its answer where a kind looks for change:
    the next job brings it back as `last_fingerprint`; empty leaves it as it was.
    `details` are what else was seen (hops, records, certificates), as values that JSON can hold.
    """

    status: Status
    reason: Reason | None = None
    message: str = ""
    latency_ms: float | None = None
    phases: Phases = NO_PHASES
    http_status: int | None = None
    cert_expires_at: datetime | None = None
    fingerprint: str = ""
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """How one monitor is checked: the same for each of its checks until it is edited.

    `settings` is the kind's validated settings object (an instance of its `Settings` model). Where
    it could not be made, `fault` says why and every check is a `check_error`. `host` and
    `team_id` are what the engine's limits count by; empty and None where there is none.
    """

    monitor_id: UUID
    revision: int
    kind: str
    target: str
    interval: timedelta
    timeout: timedelta
    failure_threshold: int
    recovery_threshold: int
    retry_interval: timedelta
    settings: Any
    allow_private: bool = True
    fault: str = ""
    host: str = ""
    failure_window: int | None = None
    team_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One check that is due: `spec` at the instant `due_at`, from one location.

    `attempt` is 0 on the grid, 1 and up for the checks that confirm a failure. `last_seen_at` is
    when a heartbeat's last ping came. `last_fingerprint` is that of the last observation that had
    one; empty where there is none. With `wants_details` the observation brings its details where
    the check passes, too.
    """

    assignment_id: int
    spec: Spec
    due_at: datetime
    attempt: int = 0
    last_seen_at: datetime | None = None
    last_fingerprint: str = ""
    wants_details: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A job with what was observed and when it really started (database time)."""

    job: Job
    observation: Observation
    started_at: datetime
    finished_at: datetime
    id: UUID = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "id", result_id(self.job.assignment_id, self.job.due_at, self.job.attempt)
        )


def result_id(assignment_id: int, due_at: datetime, attempt: int) -> UUID:
    """The id of the result of one due instant: made from its parts, so that a replay is the same.

    The first 48 bits are the due instant in Unix milliseconds, as in a version 7 UUID; the rest is
    a hash (version 8, RFC 9562 section 5.8).
    """
    due_us = round(due_at.timestamp() * 1_000_000)
    digest = hashlib.blake2b(f"{assignment_id}:{due_us}:{attempt}".encode(), digest_size=10)
    bits = (due_us // 1000) << 80 | int.from_bytes(digest.digest(), "big")
    bits = bits & ~(0xF << 76) | 0x8 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=bits)
