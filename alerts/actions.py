"""Every change to channels, policies and deliveries, whoever asks for it.

`values` are those of the API, under its field names. Wrong ones raise `uptime.errors.Invalid` and
change nothing; so does everything that is not the team's own.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from accounts.audit import record
from accounts.models import Team
from alerts.channels import CHANNELS
from alerts.channels.base import ChannelConfig
from alerts.hours import HoursValues
from alerts.messages import CLOSED
from alerts.models import (
    Channel,
    Delivery,
    DeliveryStatus,
    Event,
    OutsideHours,
    Policy,
    PolicyStep,
    Reach,
    ReportPeriod,
    Schedule,
    default_expiry_days,
)
from alerts.outbox import announce, queue_test
from alerts.probing import ask_soon
from alerts.recording import await_recording
from alerts.rules import pager_types
from incidents.models import Severity
from monitors.models import Monitor
from uptime.clock import database_now
from uptime.database import lock_row
from uptime.errors import Conflict, Invalid
from uptime.secrets import MASK, keep_secrets, seal
from uptime.validation import validate

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


DIGEST_ABOVE = 5
MOST_SINGLES = 1000
FASTEST_PER_MINUTE = 60_000
LONGEST_DELAY_S = 30 * 86400
SHORTEST_REPEAT_S = 60
MOST_STEPS = 20


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_type(name: str) -> str:
    if name not in CHANNELS:
        raise ValueError(f"There is no such type; there are {', '.join(CHANNELS)}.")
    return name


class _ChannelValues(_Values):
    name: Name
    type: Annotated[str, AfterValidator(_known_type)]
    config: dict[str, Any]
    enabled: StrictBool = True
    fallback: UUID | None = None
    digest_above: Annotated[int, Field(ge=1, le=MOST_SINGLES)] | None = DIGEST_ABOVE
    rate_per_minute: Annotated[int, Field(ge=1, le=FASTEST_PER_MINUTE)] | None = None
    reports: list[ReportPeriod] = []


@transaction.atomic
def create_channel(*, team: Team, values: Mapping[str, Any]) -> Channel:
    """A new channel. `new_secrets` holds what was made for the team, to be shown this once."""
    given = validate(_ChannelValues, values)
    config = validate(CHANNELS[given.type].config, given.config, under="config")
    public, encrypted = seal(config)
    channel = Channel.objects.create(
        team=team,
        name=given.name,
        type=given.type,
        config=public,
        secrets=encrypted,
        enabled=given.enabled,
        fallback=_fallback(team, given.fallback),
        digest_above=given.digest_above,
        rate_per_minute=given.rate_per_minute,
        reports=_periods(given),
    )
    channel.new_secrets = {
        name: getattr(config, name).get_secret_value()
        for name in _generated(type(config))
        if name not in given.config
    }
    ask_soon(channel, database_now())
    record("channel.created", channel, team=team)
    return channel


@transaction.atomic
def update_channel(*, channel: Channel, values: Mapping[str, Any]) -> Channel:
    """Change what is given; `config` is one value.

    Secrets that come back masked stay as they are, and so does a generated one that is left out.
    """
    if not values:
        return channel
    lock_row(channel)
    given = validate(_ChannelValues, {**_values_of(channel), **values})
    if given.type != channel.type:
        raise Invalid({"type": ["A channel keeps its type. Add another channel instead."]})
    if channel.member_id and "config" in values and given.config != channel.config:
        raise Invalid({"config": ["It goes to a member's address: there is nothing to set."]})
    model = CHANNELS[channel.type].config
    kept = {name: MASK for name in _generated(model) if name in channel.config}
    incoming = keep_secrets({**kept, **given.config}, channel.secrets)
    channel.config, channel.secrets = seal(validate(model, incoming, under="config"))
    channel.name = given.name
    channel.enabled = given.enabled
    channel.fallback = _fallback(channel.team, given.fallback, own=channel.pk)
    channel.digest_above, channel.rate_per_minute = given.digest_above, given.rate_per_minute
    channel.reports = _periods(given)
    if channel.enabled:
        channel.dead_since = None
    channel.save(
        update_fields=[
            "name",
            "enabled",
            "config",
            "secrets",
            "fallback",
            "digest_above",
            "rate_per_minute",
            "reports",
            "dead_since",
            "updated_at",
        ]
    )
    if not values.keys().isdisjoint({"config", "enabled"}):
        ask_soon(channel, database_now())
    record("channel.changed", channel, team=channel.team_id, changed=values.keys())
    return channel


def _periods(given: _ChannelValues) -> list[ReportPeriod]:
    if given.reports and CHANNELS[given.type].is_pager:
        raise Invalid({"reports": ["It pages: a report is nothing to be woken for."]})
    return [one for one in ReportPeriod if one in given.reports]


def _fallback(team: Team, given: UUID | None, *, own: UUID | None = None) -> Channel | None:
    if given is None:
        return None
    if given == own:
        raise Invalid({"fallback": ["A channel can't stand in for itself."]})
    [channel] = _own(Channel.objects.filter(team=team), [given], field="fallback")
    return channel


@transaction.atomic
def delete_channel(*, channel: Channel) -> None:
    """Remove it from every policy, with its deliveries, sent or not."""
    with transaction.atomic():
        await_recording(Delivery.objects.filter(channel=channel))
        record("channel.deleted", channel, team=channel.team_id)
        channel.delete()


def send_test(*, channel: Channel) -> Delivery:
    """Queue a message that says it is a test, even if the channel is disabled."""
    with transaction.atomic():
        return queue_test(channel)


def retry_delivery(*, delivery: Delivery) -> Delivery:
    """Send it now, with all its attempts before it. Raises Conflict unless it failed or is dead.

    Those of several receivers that refused it for good are asked again, those that took it are not.
    One of a digest is sent by itself. Trouble that is over is no more sent to a pager: what it
    opened there would stay open.
    """
    with transaction.atomic():
        locked = Delivery.objects.select_for_update().get(pk=delivery.pk)
        if locked.status not in (DeliveryStatus.FAILED, DeliveryStatus.DEAD):
            raise Conflict("Only a delivery that failed or is dead can be retried.")
        if _would_stay_open(locked):
            raise Conflict("The incident is over: a page that is opened now would stay open.")
        locked.status = DeliveryStatus.QUEUED
        locked.attempts = 0
        locked.next_attempt_at = database_now()
        locked.settled = {one: why for one, why in locked.settled.items() if not why}
        locked.digest = None
        locked.save(update_fields=["status", "attempts", "next_attempt_at", "settled", "digest"])
        locked.members.update(status=DeliveryStatus.QUEUED)
        announce()
    delivery.refresh_from_db()
    return delivery


def _would_stay_open(delivery: Delivery) -> bool:
    incident, channel = delivery.incident, delivery.channel
    if incident is None or channel is None or not incident.is_resolved:
        return False
    is_end = delivery.event in (Event.RECOVERED, CLOSED)
    return channel.type in pager_types() and not is_end


def _values_of(channel: Channel) -> dict[str, Any]:
    return {
        "name": channel.name,
        "type": channel.type,
        "config": channel.config,
        "enabled": channel.enabled,
        "fallback": channel.fallback_id,
        "digest_above": channel.digest_above,
        "rate_per_minute": channel.rate_per_minute,
        "reports": channel.reports,
    }


def _generated(model: type[ChannelConfig]) -> list[str]:
    """The settings that the product makes itself when they are not given."""
    return [name for name, info in model.model_fields.items() if info.default_factory]


class StepValues(_Values):
    """One step of a policy, as the API and the form know it."""

    delay_seconds: int = Field(default=0, ge=0, le=LONGEST_DELAY_S)
    schedules: list[UUID] = Field(default=[], max_length=20)
    channels: list[UUID] = Field(default=[], max_length=100, validate_default=True)
    severities: list[Severity] = []
    repeat_seconds: int | None = Field(default=None, ge=SHORTEST_REPEAT_S, le=LONGEST_DELAY_S)
    max_repeats: int | None = Field(default=None, ge=1, le=1000)

    @field_validator("channels")
    @classmethod
    def _tells_somebody(cls, channels: list[UUID], info: ValidationInfo) -> list[UUID]:
        if not channels and not info.data.get("schedules"):
            raise ValueError("Choose at least one channel or schedule.")
        return channels

    @model_validator(mode="after")
    def _limits_what_repeats(self) -> Self:
        if self.max_repeats is not None and self.repeat_seconds is None:
            raise ValueError("There is nothing to limit: give repeat_seconds, too.")
        return self


class _PolicyValues(_Values):
    name: Name
    enabled: StrictBool = True
    on: list[Event] = Field(default=[Event.DOWN, Event.RECOVERED], min_length=1)
    all: StrictBool = False
    tags: list[Tag] = Field(default=[], max_length=100)
    names: list[Name] = Field(default=[], max_length=100)
    monitors: list[UUID] = Field(default=[], max_length=10_000)
    steps: list[StepValues] = Field(min_length=1, max_length=MOST_STEPS)
    expiry_days: list[Annotated[int, Field(ge=1, le=365)]] = Field(
        default_factory=default_expiry_days, min_length=1, max_length=20
    )
    stop_on_acknowledge: StrictBool = True
    active_hours: HoursValues | None = None
    outside_hours: OutsideHours = OutsideHours.WAIT

    @model_validator(mode="after")
    def _has_one_reach(self) -> Self:
        given = [self.all, bool(self.tags), bool(self.names), bool(self.monitors)]
        if given.count(True) != 1:
            raise ValueError(
                "Say which monitors it is for: all, some tags, some names, or some monitors."
            )
        return self

    @property
    def reach(self) -> Reach:
        if self.all:
            return Reach.ALL
        if self.tags:
            return Reach.TAGS
        return Reach.NAMES if self.names else Reach.MONITORS


@transaction.atomic
def create_policy(*, team: Team, values: Mapping[str, Any]) -> Policy:
    policy = _save_policy(Policy(team=team), validate(_PolicyValues, values))
    record("policy.created", policy, team=team)
    return policy


@transaction.atomic
def update_policy(*, policy: Policy, values: Mapping[str, Any]) -> Policy:
    """Change what is given. Any of all, tags, names and monitors replaces the four."""
    if not values:
        return policy
    lock_row(policy)
    stored = policy_values(policy)
    if not values.keys().isdisjoint(_REACHES):
        stored = {name: value for name, value in stored.items() if name not in _REACHES}
    _save_policy(policy, validate(_PolicyValues, {**stored, **values}))
    record("policy.changed", policy, team=policy.team_id, changed=values.keys())
    return policy


@transaction.atomic
def delete_policy(*, policy: Policy) -> None:
    record("policy.deleted", policy, team=policy.team_id)
    policy.delete()


def policy_values(policy: Policy) -> dict[str, Any]:
    """What the policy says, under the API's field names."""
    return {
        "name": policy.name,
        "enabled": policy.enabled,
        "on": policy.on,
        "all": policy.reach == Reach.ALL,
        "tags": policy.tags,
        "names": policy.names,
        "monitors": [monitor.pk for monitor in policy.monitors.all()],
        "steps": [_step_values(step) for step in policy.steps.all()],
        "expiry_days": policy.expiry_days,
        "stop_on_acknowledge": policy.stop_on_acknowledge,
        "active_hours": policy.active_hours,
        "outside_hours": policy.outside_hours,
    }


def _step_values(step: PolicyStep) -> dict[str, Any]:
    return {
        "delay_seconds": step.delay_s,
        "channels": [channel.pk for channel in step.channels.all()],
        "schedules": [schedule.pk for schedule in step.schedules.all()],
        "severities": step.severities,
        "repeat_seconds": step.repeat_s,
        "max_repeats": step.max_repeats,
    }


_REACHES = ("all", "tags", "names", "monitors")


def _save_policy(policy: Policy, given: _PolicyValues) -> Policy:
    monitors = _own(Monitor.objects.filter(team=policy.team), given.monitors, field="monitors")
    told = [_told_by(policy, step, place) for place, step in enumerate(given.steps)]
    policy.name, policy.enabled, policy.reach = given.name, given.enabled, given.reach
    policy.on = [event for event in Event if event in given.on]
    policy.tags = list(dict.fromkeys(given.tags))
    policy.names = list(dict.fromkeys(given.names))
    policy.expiry_days = sorted(set(given.expiry_days), reverse=True)
    policy.stop_on_acknowledge = given.stop_on_acknowledge
    policy.active_hours = given.active_hours.as_json() if given.active_hours else None
    policy.outside_hours = given.outside_hours
    with transaction.atomic():
        policy.save()
        policy.monitors.set(monitors)
        _save_steps(policy, given.steps, told)
    return policy


@dataclass(frozen=True, slots=True)
class _Whom:
    channels: list[Channel]
    schedules: list[Schedule]


def _told_by(policy: Policy, step: StepValues, place: int) -> _Whom:
    team, field = policy.team, f"steps.{place}"
    return _Whom(
        _own(Channel.objects.filter(team=team), step.channels, field=f"{field}.channels"),
        _own(Schedule.objects.filter(team=team), step.schedules, field=f"{field}.schedules"),
    )


def _save_steps(policy: Policy, steps: Sequence[StepValues], told: Sequence[_Whom]) -> None:
    # Rows stay: what incidents under way still have to tell by them follows the change.
    stored = list(policy.steps.order_by("position").prefetch_related("channels", "schedules"))
    rows = _paired(stored, steps)
    policy.steps.exclude(pk__in=[row.pk for row in rows if row]).delete()
    policy.steps.update(position=F("position") + MOST_STEPS)  # out of the way of each other
    for position, (row, step, whom) in enumerate(zip(rows, steps, told, strict=True)):
        _save_step(row or PolicyStep(policy=policy), position, step, whom)


def _paired(stored: Iterable[PolicyStep], steps: Sequence[StepValues]) -> list[PolicyStep | None]:
    """For each of the steps the row that it was: one that is the same, tells the same people, or
    stands in the same place.
    """
    left = list(stored)
    found: dict[int, PolicyStep] = {}
    for is_like in (_is_same, _tells_the_same, _stands_there):
        for place, step in enumerate(steps):
            row = next((row for row in left if is_like(row, step, place)), None)
            if row is not None and place not in found:
                found[place] = row
                left.remove(row)
    return [found.get(place) for place in range(len(steps))]


def _is_same(row: PolicyStep, step: StepValues, place: int) -> bool:
    times = (row.delay_s, row.repeat_s, row.max_repeats, set(row.severities))
    given = (step.delay_seconds, step.repeat_seconds, step.max_repeats, set(step.severities))
    return times == given and _tells_the_same(row, step, place)


def _tells_the_same(row: PolicyStep, step: StepValues, place: int) -> bool:
    channels = {channel.pk for channel in row.channels.all()}
    schedules = {schedule.pk for schedule in row.schedules.all()}
    return (channels, schedules) == (set(step.channels), set(step.schedules))


def _stands_there(row: PolicyStep, step: StepValues, place: int) -> bool:
    return row.position == place


def _save_step(row: PolicyStep, position: int, step: StepValues, whom: _Whom) -> None:
    row.position = position
    row.delay_s, row.repeat_s = step.delay_seconds, step.repeat_seconds
    row.max_repeats = step.max_repeats
    row.severities = [one for one in Severity if one in step.severities]
    row.save()
    row.channels.set(whom.channels)
    row.schedules.set(whom.schedules)


Row = TypeVar("Row", Monitor, Channel, Schedule)


def _own(rows: QuerySet[Row], ids: Collection[UUID], *, field: str) -> list[Row]:
    """The rows with these ids. Raises Invalid when one of them is not among the team's `rows`."""
    found = rows.in_bulk(list(ids))
    if missing := [one for one in ids if one not in found]:
        kind = rows.model.__name__.lower()
        raise Invalid({field: [f"There is no {kind} {one}." for one in missing]})
    return list(found.values())
