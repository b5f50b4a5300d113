"""Every change to channels, policies and deliveries, whoever asks for it.

`values` are those of the API, under its field names. Wrong ones raise `uptime.errors.Invalid` and
change nothing; so does everything that is not the team's own.
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

from accounts.models import Team
from alerts.channels import CHANNELS
from alerts.channels.base import ChannelConfig
from alerts.models import Channel, Delivery, DeliveryStatus, Event, Policy, PolicyStep, Reach
from alerts.outbox import announce, queue_test
from monitors.models import Monitor
from uptime.clock import database_now
from uptime.errors import Conflict, Invalid
from uptime.secrets import MASK, keep_secrets, seal
from uptime.validation import validate

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


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
    )
    channel.new_secrets = {
        name: getattr(config, name).get_secret_value()
        for name in _generated(type(config))
        if name not in given.config
    }
    return channel


def update_channel(*, channel: Channel, values: Mapping[str, Any]) -> Channel:
    """Change what is given; `config` is one value.

    Secrets that come back masked stay as they are, and so does a generated one that is left out.
    """
    if not values:
        return channel
    given = validate(_ChannelValues, {**_values_of(channel), **values})
    if given.type != channel.type:
        raise Invalid({"type": ["A channel keeps its type. Add another channel instead."]})
    model = CHANNELS[channel.type].config
    kept = {name: MASK for name in _generated(model) if name in channel.config}
    incoming = keep_secrets({**kept, **given.config}, channel.secrets)
    channel.config, channel.secrets = seal(validate(model, incoming, under="config"))
    channel.name = given.name
    channel.enabled = given.enabled
    channel.fallback = _fallback(channel.team, given.fallback, own=channel.pk)
    if channel.enabled:
        channel.dead_since = None
    channel.save(
        update_fields=[
            "name",
            "enabled",
            "config",
            "secrets",
            "fallback",
            "dead_since",
            "updated_at",
        ]
    )
    return channel


def _fallback(team: Team, given: UUID | None, *, own: UUID | None = None) -> Channel | None:
    if given is None:
        return None
    if given == own:
        raise Invalid({"fallback": ["A channel can't stand in for itself."]})
    [channel] = _own(Channel.objects.filter(team=team), [given], field="fallback")
    return channel


def delete_channel(*, channel: Channel) -> None:
    """Remove it from every policy, with its deliveries, sent or not."""
    channel.delete()


def send_test(*, channel: Channel) -> Delivery:
    """Queue a message that says it is a test, even if the channel is disabled."""
    with transaction.atomic():
        return queue_test(channel)


def retry_delivery(*, delivery: Delivery) -> Delivery:
    """Send it now, with all its attempts before it. Raises Conflict unless it failed or is dead.

    Those of several receivers that refused it for good are asked again, those that took it are not.
    """
    with transaction.atomic():
        locked = Delivery.objects.select_for_update().get(pk=delivery.pk)
        if locked.status not in (DeliveryStatus.FAILED, DeliveryStatus.DEAD):
            raise Conflict("Only a delivery that failed or is dead can be retried.")
        locked.status = DeliveryStatus.QUEUED
        locked.attempts = 0
        locked.next_attempt_at = database_now()
        locked.settled = {one: why for one, why in locked.settled.items() if not why}
        locked.save(update_fields=["status", "attempts", "next_attempt_at", "settled"])
        announce()
    delivery.refresh_from_db()
    return delivery


def _values_of(channel: Channel) -> dict[str, Any]:
    return {
        "name": channel.name,
        "type": channel.type,
        "config": channel.config,
        "enabled": channel.enabled,
        "fallback": channel.fallback_id,
    }


def _generated(model: type[ChannelConfig]) -> list[str]:
    """The settings that the product makes itself when they are not given."""
    return [name for name, info in model.model_fields.items() if info.default_factory]


def _immediate(delay_seconds: int) -> int:
    if delay_seconds != 0:
        raise ValueError("Only an immediate step is possible: give 0.")
    return delay_seconds


class _StepValues(_Values):
    delay_seconds: Annotated[int, AfterValidator(_immediate)] = 0
    channels: list[UUID] = Field(min_length=1, max_length=100)


def _only_one(steps: list[_StepValues]) -> list[_StepValues]:
    if len(steps) != 1:
        raise ValueError("A policy has exactly one step.")
    return steps


class _PolicyValues(_Values):
    name: Name
    enabled: StrictBool = True
    on: list[Event] = Field(default=[Event.DOWN, Event.RECOVERED], min_length=1)
    all: StrictBool = False
    tags: list[Tag] = Field(default=[], max_length=100)
    monitors: list[UUID] = Field(default=[], max_length=10_000)
    steps: Annotated[list[_StepValues], AfterValidator(_only_one)]

    @model_validator(mode="after")
    def _has_one_reach(self) -> Self:
        if [self.all, bool(self.tags), bool(self.monitors)].count(True) != 1:
            raise ValueError("Say which monitors it is for: all, some tags, or some monitors.")
        return self

    @property
    def reach(self) -> Reach:
        if self.all:
            return Reach.ALL
        return Reach.TAGS if self.tags else Reach.MONITORS


def create_policy(*, team: Team, values: Mapping[str, Any]) -> Policy:
    return _save_policy(Policy(team=team), validate(_PolicyValues, values))


def update_policy(*, policy: Policy, values: Mapping[str, Any]) -> Policy:
    """Change what is given. Any of all, tags and monitors replaces the three of them."""
    if not values:
        return policy
    stored = policy_values(policy)
    if not values.keys().isdisjoint(_REACHES):
        stored = {name: value for name, value in stored.items() if name not in _REACHES}
    return _save_policy(policy, validate(_PolicyValues, {**stored, **values}))


def delete_policy(*, policy: Policy) -> None:
    policy.delete()


def policy_values(policy: Policy) -> dict[str, Any]:
    """What the policy says, under the API's field names."""
    return {
        "name": policy.name,
        "enabled": policy.enabled,
        "on": policy.on,
        "all": policy.reach == Reach.ALL,
        "tags": policy.tags,
        "monitors": [monitor.pk for monitor in policy.monitors.all()],
        "steps": [
            {
                "delay_seconds": step.delay_s,
                "channels": [channel.pk for channel in step.channels.all()],
            }
            for step in policy.steps.all()
        ],
    }


_REACHES = ("all", "tags", "monitors")


def _save_policy(policy: Policy, given: _PolicyValues) -> Policy:
    [step] = given.steps
    monitors = _own(Monitor.objects.filter(team=policy.team), given.monitors, field="monitors")
    channels = _own(
        Channel.objects.filter(team=policy.team), step.channels, field="steps.0.channels"
    )
    policy.name, policy.enabled, policy.reach = given.name, given.enabled, given.reach
    policy.on = [event for event in Event if event in given.on]
    policy.tags = list(dict.fromkeys(given.tags))
    with transaction.atomic():
        policy.save()
        policy.monitors.set(monitors)
        stored, _ = PolicyStep.objects.update_or_create(
            policy=policy, position=0, defaults={"delay_s": step.delay_seconds}
        )
        stored.channels.set(channels)
    return policy


Row = TypeVar("Row", Monitor, Channel)


def _own(rows: QuerySet[Row], ids: Collection[UUID], *, field: str) -> list[Row]:
    """The rows with these ids. Raises Invalid when one of them is not among the team's `rows`."""
    found = rows.in_bulk(list(ids))
    if missing := [one for one in ids if one not in found]:
        kind = rows.model.__name__.lower()
        raise Invalid({field: [f"There is no {kind} {one}." for one in missing]})
    return list(found.values())
