"""The REST API's shapes of monitors and what belongs to them.

What comes in is validated by `monitors.drafts`; the shapes for it here only describe it.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, create_model

from monitors.drafts import Interval, MonitorDraft, Timeout
from monitors.models import Status
from probe.kinds import KINDS
from uptime.api.shapes import Moment, PageQuery, Query, Shape, SliceQuery, any_of, commas, one_of

MAX_BULK = 1000

# `probe.values.Status`; an enum would share its name in the schema with the monitor's.
CheckResult = Literal["up", "degraded", "down", "unknown"]


class MonitorOut(Shape):
    id: UUID
    created_at: datetime
    updated_at: datetime
    key: str | None
    """The caller's own stable name, unique in the team."""
    name: str
    kind: str
    target: str
    """URL, `host:port` or host, by kind; empty for heartbeats."""
    interval: int
    """Seconds from check to check; null for the kind's default, which is 60 for most."""
    timeout: float
    """Seconds; for the whole check, from name resolution to the last byte. Null for the kind's
    default, which is 10 for most."""
    failure_threshold: int
    """Failing checks, at one location, before it counts as down: in a row, or in the window."""
    failure_window: int | None
    """Count failing checks among so many last ones (2 to 60) instead of in a row."""
    recovery_threshold: int
    """Passing checks in a row before it counts as up."""
    retry_interval: int
    """Seconds between a first failure and the checks that confirm it; null for the kind's default,
    which is 5 for most, or the interval where that is shorter."""
    locations: list[str]
    """Slugs of the places that it is checked from."""
    quorum: int
    """How many locations must agree on down."""
    flap_threshold: int
    """More changes of status than this within `flap_window` are one flapping incident; 0: off."""
    flap_window: int
    """Seconds; flapping is over when nothing has changed for as long."""
    depends_on: list[str]
    """Ids of monitors without which this one can't work. While one of them is down, this one's
    alerts are held and its incident is listed under theirs. Written as ids, keys or names."""
    members: list[str]
    """Of a group: ids of the monitors and groups that it names; those that its `settings.tags`
    bring are members, too. Written as ids, keys or names."""
    enabled: bool
    """False: paused."""
    tags: list[str]
    settings: dict[str, Any]
    """By kind, with defaults filled in; secrets are `********`, which sent back keeps them."""
    sla_target: int | None
    """Per mille."""
    status: Status
    reason: str
    """Why it is not up: a stable code; empty when it is up."""
    message: str
    """Likewise, as one sentence."""
    last_checked_at: datetime | None
    last_change_at: datetime
    latency_ms: float | None
    cert_expires_at: datetime | None
    """Of a domain: until when it is registered."""
    incident: UUID | None
    """The open incident."""
    snoozed_until: datetime | None
    """Until then nobody is told of it; what is still wrong then is told then."""
    ping_url: str | None
    """Of heartbeats: whoever knows it may ping."""


class SnoozeIn(Shape):
    seconds: int = Field(ge=60, le=2_592_000)
    """From now, a minute to 30 days."""


class PhasesOut(Shape):
    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    first_byte_ms: float | None
    transfer_ms: float | None


class ResultOut(Shape):
    id: UUID
    monitor: UUID
    location: str
    checked_at: datetime
    due_at: datetime
    """When the check was to begin; `checked_at` less this is how late it was."""
    status: CheckResult
    """`unknown` is a fault of ours and never counts against the target."""
    reason: str | None
    message: str | None
    http_status: int | None
    latency_ms: float | None
    phases: PhasesOut
    cert_expires_at: datetime | None
    attempt: int
    """0 for a check on schedule, 1 and up for those that confirm a failure."""
    maintenance: bool
    """Whether it was made inside a maintenance window: it does not count."""


class SpanOut(Shape):
    """A stretch of one status. A monitor's stretches meet without gap or overlap."""

    status: Status
    reason: str
    started_at: datetime
    ended_at: datetime | None
    duration_seconds: float


class SecondsOut(Shape):
    up: float
    degraded: float
    down: float
    maintenance: float
    paused: float
    unknown: float
    """Before the first check, or before the monitor existed."""


class ChecksOut(Shape):
    """How many checks saw what."""

    up: int
    degraded: int
    down: int
    unknown: int
    """Faults of ours; they never count against the target."""


class LatencyOut(Shape):
    """Of the checks that were up or degraded; null where there are none.

    Percentiles are within 4 % of the nearest rank.
    """

    avg_ms: float | None
    min_ms: float | None
    max_ms: float | None
    p50_ms: float | None
    p75_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class SlaOut(Shape):
    """The promise of `sla_target`, over the time that counts: up, degraded and down."""

    target_percent: float
    met: bool | None
    """Null while no time counts."""
    error_budget_seconds: float
    """The downtime that the target allows for."""
    error_budget_left_seconds: float
    """Negative when more was spent."""


class GroupSlaOut(Shape):
    """Of the monitors that have an `sla_target`; those of which no time counts are in neither."""

    met: int
    missed: int


class WindowFiguresOut(Shape):
    since: datetime
    until: datetime
    seconds: SecondsOut
    """Together, the window's length (for each monitor)."""
    uptime_percent: float | None
    """Up and degraded time of up, degraded and down time; null when there is none of the three."""
    coverage_percent: float | None
    """The share of the window that was observed; null when there is nothing to observe."""
    checks: ChecksOut
    latency: LatencyOut
    incidents: int
    """How many began in the window."""
    mttr_seconds: float | None
    """Mean time to recovery of those that are resolved."""
    mtbf_seconds: float | None
    """Mean time between failures: up and degraded time for each incident."""


class StatisticsOut(WindowFiguresOut):
    """How a monitor's window was spent, what its checks saw, and whether that was promised."""

    coverage_percent: float
    """The share of the window that was observed."""
    sla: SlaOut | None
    """Null without an `sla_target`."""


class GroupStatisticsOut(WindowFiguresOut):
    """Several monitors together: seconds, checks and incidents are sums.

    Checks and latency are those of the whole hours in the window, up to the last that is over.
    """

    monitors: int
    sla: GroupSlaOut


class BulkOut(Shape):
    created: int
    updated: int
    results: list[MonitorOut]
    """In the order in which they were sent."""


class LocationOut(Shape):
    slug: str
    name: str
    blind_since: datetime | None
    """Since when it has been without its network: what gets no answer there is not judged."""
    offline_since: datetime | None
    """Since when nobody checks there: no check engine is at work, or none takes what is due."""
    created_at: datetime


class MonitorsQuery(PageQuery):
    status: commas(Status) = []  # type: ignore[valid-type]
    kind: commas(str) = []  # type: ignore[valid-type]
    tag: commas(str) = []  # type: ignore[valid-type]
    """All of these."""
    q: str = Field("", max_length=200)
    """Part of the name, the target or the key."""
    enabled: bool | None = None
    ordering: Literal["name", "-name", "status", "-status", "last_change_at", "-last_change_at"] = (
        "name"
    )
    """By `status`, what is wrong comes first."""


class ResultsQuery(SliceQuery):
    since: Moment | None = None
    """Checked at this time or later, e.g. `2026-01-31T12:00:00Z`."""
    until: Moment | None = None
    """Checked before this time."""
    location: commas(str) = []  # type: ignore[valid-type]
    status: commas(CheckResult) = []  # type: ignore[valid-type]


class HistoryQuery(PageQuery):
    since: Moment | None = None
    """Leaves out what ended before."""
    until: Moment | None = None
    """Leaves out what began later."""


class StatisticsQuery(Query):
    window: Literal["24h", "7d", "30d", "90d", "365d"] | None = None
    """Up to now. Without it and `since`: 24h."""
    since: Moment | None = None
    """Instead of `window`."""
    until: Moment | None = None
    """With `since`; by default, and at the latest, now."""


class GroupStatisticsQuery(StatisticsQuery):
    tag: commas(str) = []  # type: ignore[valid-type]
    """Only the monitors with all of these; without it, the team's."""


def _describe_fields(schema: dict[str, Any]) -> None:
    for name, field in schema["properties"].items():
        if description := MonitorOut.model_fields[name].description:
            field.setdefault("description", description)


def _describe_changes(schema: dict[str, Any]) -> None:
    """Nothing is required of a PATCH, and what it leaves out is kept rather than defaulted."""
    _describe_fields(schema)
    schema.pop("required", None)
    for field in schema["properties"].values():
        field.pop("default", None)


class _Described(MonitorDraft):
    model_config = ConfigDict(json_schema_extra=_describe_fields)


def _body_of_kind(name: str) -> type[BaseModel]:
    only: Any = Literal[name]
    kind = KINDS[name]
    return create_model(
        f"{name.capitalize()}MonitorIn",
        __base__=_Described,
        kind=(only, ...),
        interval=(Interval, int(kind.default_interval.total_seconds())),
        timeout=(Timeout, kind.default_timeout.total_seconds()),
        settings=(kind.settings, Field(default_factory=dict)),
    )


MonitorIn = one_of("MonitorIn", map(_body_of_kind, sorted(KINDS)), by="kind")
_AnySettings = any_of(KINDS[name].settings for name in sorted(KINDS))


class MonitorPatch(MonitorDraft):
    """The fields to change; `settings` is replaced as a whole."""

    model_config = ConfigDict(json_schema_extra=_describe_changes)

    settings: _AnySettings = None  # type: ignore[valid-type]


class BulkIn(Shape):
    monitors: list[MonitorIn] = Field(max_length=MAX_BULK)  # type: ignore[valid-type]
    """With a `key` that the team has, the given fields are changed; else it is created."""
