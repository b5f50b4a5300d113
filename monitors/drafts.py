"""What a monitor may be: the one place where its values are validated.

API, pages, admin and importers hand in API.md's field names; out come model columns, or
`uptime.errors.Invalid` with sentences for each field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from accounts.models import Team
from monitors.groups import GROUP
from monitors.links import DEPENDS_ON, MEMBERS, Tie, find_monitors, refuse_rings
from monitors.models import Location, Monitor
from probe.kinds import KINDS
from probe.kinds.base import Kind, KindSettings
from uptime.errors import Invalid
from uptime.secrets import MASK, bare_masks, keep_secrets, seal
from uptime.validation import Problems, validate

MOST_TAGS = 50
MOST_MEMBERS = 1000

Text = Annotated[str, StringConstraints(strip_whitespace=True)]
Interval: TypeAlias = Annotated[int, Field(ge=1, le=86_400)] | None
Timeout: TypeAlias = Annotated[float, Field(ge=0.1, le=120, allow_inf_nan=False)] | None
Tag = Annotated[Text, StringConstraints(min_length=1, max_length=100)]


def _unique(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))


class MonitorDraft(BaseModel):
    """A monitor as the outside writes it. Durations are seconds; null is the kind's default."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    name: Annotated[Text, Field(min_length=1, max_length=200)]
    kind: str
    target: Annotated[Text, Field(max_length=2000)] = ""
    key: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    interval: Interval = None
    timeout: Timeout = None
    failure_threshold: Annotated[int, Field(ge=1, le=100)] | None = None
    failure_window: Annotated[int, Field(ge=2, le=60)] | None = None
    recovery_threshold: Annotated[int, Field(ge=1, le=100)] = 1
    retry_interval: Annotated[int, Field(ge=1, le=86_400)] | None = None
    locations: Annotated[list[str], Field(max_length=100), AfterValidator(_unique)] = [
        Location.LOCAL
    ]
    quorum: Annotated[int, Field(ge=1, le=100)] = 1
    flap_threshold: Annotated[int, Field(ge=0, le=100)] = 4
    flap_window: Annotated[int, Field(ge=60, le=86_400)] = 900
    depends_on: Annotated[list[Text], Field(max_length=100), AfterValidator(_unique)] = []
    members: Annotated[list[Text], Field(max_length=MOST_MEMBERS), AfterValidator(_unique)] = []
    enabled: bool = True
    tags: Annotated[list[Tag], Field(max_length=MOST_TAGS), AfterValidator(_unique)] = []
    settings: dict[str, Any] = {}
    sla_target: Annotated[int, Field(ge=1, le=1000)] | None = None

    # of a draft whose kind is a known one

    @property
    def interval_s(self) -> int:
        return self.interval or default_interval_s(self.kind)

    @property
    def retry_interval_s(self) -> int:
        default_s = int(KINDS[self.kind].default_retry_interval.total_seconds())
        return self.retry_interval or min(default_s, self.interval_s)

    @property
    def timeout_s(self) -> float:
        return self.timeout or KINDS[self.kind].default_timeout.total_seconds()


def default_interval_s(kind: str) -> int:
    return int(KINDS[kind].default_interval.total_seconds())


FIELDS = tuple(MonitorDraft.model_fields)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Values that can be stored: the model's columns, and what the monitor is tied to."""

    columns: dict[str, Any]
    locations: list[Location]
    depends_on: list[Monitor]
    members: list[Monitor]


def accept(
    values: Mapping[str, Any],
    *,
    team: Team,
    existing: Monitor | None = None,
    like: Monitor | None = None,
) -> Accepted:
    """Validate `values` whole.

    Secrets that come as the mask are those of `existing`, which is to change, or of `like`, of
    which this is to be a copy. Raises Invalid, with all that is wrong at once.
    """
    problems = Problems()
    draft = problems.gather(lambda: validate(MonitorDraft, values))
    kind = KINDS.get(str(values.get("kind", "")))
    if kind is None:
        problems.fields["kind"] = [f"Choose one of: {', '.join(sorted(KINDS))}."]
        raise Invalid(problems.fields)
    if existing is not None and existing.kind != kind.name:
        problems.add("kind", "A monitor's kind can't be changed: create a new monitor.")
    target = problems.gather(lambda: _target_of(kind, values))
    settings = problems.gather(lambda: _settings_of(kind, values, existing or like))
    locations = _check_together(draft, kind, settings, problems) if draft else []
    tied = {
        tie.field: problems.gather(lambda tie=tie: _tied_by(tie, draft, team, existing)) or []  # type: ignore[misc]
        for tie in (DEPENDS_ON, MEMBERS)
        if draft
    }
    if tied.get("members") and not kind.is_derived:
        problems.add("members", "Only a group has members.")
    if draft is None or target is None or settings is None or problems.fields:
        raise Invalid(problems.fields)
    public, encrypted = seal(settings)
    columns = {
        "name": draft.name,
        "kind": draft.kind,
        "target": target,
        "key": draft.key,
        "interval_s": draft.interval_s,
        "timeout_ms": round(draft.timeout_s * 1000),
        "failure_threshold": draft.failure_threshold or kind.default_failure_threshold,
        "failure_window": draft.failure_window,
        "recovery_threshold": draft.recovery_threshold,
        "retry_interval_s": draft.retry_interval_s,
        "quorum": draft.quorum,
        "flap_threshold": draft.flap_threshold,
        "flap_window_s": draft.flap_window,
        "tags": draft.tags,
        "settings": public,
        "secrets": encrypted,
        "sla_target": draft.sla_target,
        "enabled": draft.enabled,
    }
    return Accepted(columns, locations, **tied)


def _tied_by(tie: Tie, draft: MonitorDraft, team: Team, existing: Monitor | None) -> list[Monitor]:
    others = find_monitors(team, getattr(draft, tie.field), field=tie.field)
    if others and existing is not None:
        refuse_rings(existing, others, tie)
    return others


def _target_of(kind: Kind, values: Mapping[str, Any]) -> str:
    target = values.get("target", "")
    if not isinstance(target, str):
        return ""  # the draft says so
    try:
        return kind.clean_target(target.strip())
    except ValueError as error:
        raise Invalid({"target": [str(error)]}) from None


def _settings_of(
    kind: Kind, values: Mapping[str, Any], stored: Monitor | None
) -> KindSettings | None:
    given = values.get("settings", {})
    if not isinstance(given, dict):
        return None  # the draft says so
    given = keep_secrets(given, stored.secrets if stored else "")
    settings = validate(kind.settings, given, under="settings")
    if bare := bare_masks(settings):
        sentence = f"Give the secret itself: {MASK} stands for one that is stored, and none is."
        raise Invalid({f"settings.{path}": [sentence] for path in bare})
    return settings


def _check_together(
    draft: MonitorDraft, kind: Kind, settings: KindSettings | None, problems: Problems
) -> list[Location]:
    """What no field can tell alone; returns the locations."""
    if kind.is_derived:
        return []  # nothing of the rest means anything
    if not draft.locations:
        problems.add("locations", "Give at least one.")
    if settings is not None and draft.interval_s < (
        shortest_s := int(settings.shortest_interval.total_seconds())
    ):
        problems.add("interval", f"At least {shortest_s} s, as not to burden a public server.")
    if draft.retry_interval_s > draft.interval_s:
        problems.add("retry_interval", f"At most the interval, {draft.interval_s} s.")
    if draft.failure_window and (draft.failure_threshold or 1) > draft.failure_window:
        problems.add("failure_window", "At least the failing checks that are to be found in it.")
    if draft.quorum > len(draft.locations):
        problems.add("quorum", f"At most the number of locations, {len(draft.locations)}.")
    locations = list(Location.objects.filter(slug__in=draft.locations))
    if unknown := set(draft.locations) - {location.slug for location in locations}:
        problems.add("locations", f"There is no location {', '.join(sorted(unknown))}.")
    return locations


def values_of(monitor: Monitor) -> dict[str, Any]:
    """A monitor as the outside would write it: what an update starts from, secrets masked."""
    return {
        "name": monitor.name,
        "kind": monitor.kind,
        "target": monitor.target,
        "key": monitor.key,
        "interval": monitor.interval_s,
        "timeout": monitor.timeout_ms / 1000,
        "failure_threshold": monitor.failure_threshold,
        "failure_window": monitor.failure_window,
        "recovery_threshold": monitor.recovery_threshold,
        "retry_interval": monitor.retry_interval_s,
        "locations": list(
            monitor.assignments.filter(is_active=True)
            .order_by("location__slug")
            .values_list("location__slug", flat=True)
        ),
        "quorum": monitor.quorum,
        "flap_threshold": monitor.flap_threshold,
        "flap_window": monitor.flap_window_s,
        "depends_on": [
            str(pk) for pk in monitor.depends_on.order_by("pk").values_list("pk", flat=True)
        ],
        "members": [
            str(pk)
            for pk in (
                monitor.members.order_by("pk").values_list("pk", flat=True)
                if monitor.kind == GROUP
                else ()
            )
        ],
        "enabled": monitor.enabled,
        "tags": list(monitor.tags),
        "settings": monitor.settings,
        "sla_target": monitor.sla_target,
    }
