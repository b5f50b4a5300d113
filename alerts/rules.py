"""Policies as rules: read in a number of queries that doesn't depend on how many there are."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db.models import Prefetch, Q, QuerySet
from pydantic import ValidationError

from alerts.channels import CHANNELS
from alerts.hours import ActiveHours, HoursValues
from alerts.models import (
    Channel,
    Delivery,
    DeliveryStatus,
    OutsideHours,
    Policy,
    PolicyStep,
    Schedule,
)
from alerts.on_call.reads import channels_on_call
from alerts.policies import Rule, Step, Subject
from incidents.models import Incident
from monitors.models import Monitor

log = structlog.get_logger(__name__)


def rules_of_teams(
    teams: Collection[UUID], monitors: Collection[UUID], now: datetime
) -> dict[UUID, list[Rule]]:
    """Each team's rules, as far as they are about these monitors."""
    rules: dict[UUID, list[Rule]] = {}
    for team, rule in _rules(Policy.objects.filter(team__in=teams), monitors, now):
        rules.setdefault(team, []).append(rule)
    return rules


def rules_of_policies(
    policies: Collection[UUID], monitors: Collection[UUID], now: datetime
) -> dict[UUID, Rule]:
    """These policies' rules, by id; those that are off are missing."""
    found = _rules(Policy.objects.filter(pk__in=policies), monitors, now)
    return {rule.id: rule for _, rule in found}


def channels_owed(incidents: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """For each incident the channels that are to hear of its end, in the order they were told.

    Pagers are in any case: what they opened would stay open for ever.
    """
    is_owed = Q(owes_recovery=True) | Q(channel__type__in=pager_types())
    return _told(incidents, Delivery.objects.filter(is_owed))


def pagers_told(incidents: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """For each incident the pagers that were told of it, in the order they were told."""
    return _told(incidents, Delivery.objects.filter(channel__type__in=pager_types()))


def _told(incidents: Collection[UUID], which: QuerySet[Delivery]) -> dict[UUID, list[UUID]]:
    told: dict[UUID, dict[UUID, None]] = {}
    never_tried = Q(attempts=0) & (Q(digest=None) | Q(digest__attempts=0))
    which = which.exclude(never_tried, status=DeliveryStatus.DROPPED)
    rows = which.filter(incident__in=incidents, channel__in=Channel.objects.usable()).order_by("pk")
    for incident_id, channel_id in rows.values_list("incident_id", "channel_id"):
        if incident_id and channel_id:
            told.setdefault(incident_id, {})[channel_id] = None
    return {incident_id: list(channels) for incident_id, channels in told.items()}


def pager_types() -> list[str]:
    """Of channels that keep incidents of their own."""
    return [name for name, channel in CHANNELS.items() if channel.is_pager]


def subject_of(incident: Incident) -> Subject:
    """The monitor of an incident that comes with it."""
    return Subject(incident.monitor_id, incident.monitor.name, incident.monitor.tags)


def _rules(
    policies: QuerySet[Policy], monitors: Collection[UUID], now: datetime
) -> Iterator[tuple[UUID, Rule]]:
    """Each policy's team and rule; a step's channels are also those of who is on call now."""
    found = policies.filter(enabled=True).prefetch_related(
        Prefetch("steps", PolicyStep.objects.order_by("position")),
        Prefetch("steps__channels", Channel.objects.usable().order_by("name", "id")),
        Prefetch("steps__schedules", Schedule.objects.order_by("name", "id").only("pk")),
        Prefetch("monitors", Monitor.objects.filter(pk__in=monitors).only("pk")),
    )
    steps = [step for policy in found for step in policy.steps.all()]
    schedules = {schedule.pk for step in steps for schedule in step.schedules.all()}
    on_call = channels_on_call(schedules, now)
    return ((policy.team_id, _rule(policy, on_call)) for policy in found)


def _rule(policy: Policy, on_call: Mapping[UUID, tuple[UUID, ...]]) -> Rule:
    return Rule(
        id=policy.pk,
        reach=policy.reach,
        tags=frozenset(policy.tags),
        names=tuple(policy.names),
        monitors=frozenset(monitor.pk for monitor in policy.monitors.all()),
        on=frozenset(policy.on),
        steps=tuple(_step(step, on_call) for step in policy.steps.all()),
        hours=_hours(policy),
        waits_for_hours=policy.outside_hours == OutsideHours.WAIT,
        stops_on_acknowledge=policy.stop_on_acknowledge,
        expiry_days=tuple(policy.expiry_days),
    )


def _hours(policy: Policy) -> ActiveHours | None:
    try:
        values = HoursValues.of(policy.active_hours)
    except ValidationError:
        # A time zone that is known no more: better told at a wrong hour than never.
        log.warning("alerts.policy.hours_unreadable", policy=str(policy.pk))
        return None
    return values.as_hours() if values else None


def _step(step: PolicyStep, on_call: Mapping[UUID, tuple[UUID, ...]]) -> Step:
    channels = [channel.pk for channel in step.channels.all()]
    for schedule in step.schedules.all():
        channels += on_call.get(schedule.pk, ())
    return Step(
        id=step.pk,
        position=step.position,
        delay=timedelta(seconds=step.delay_s),
        repeat=timedelta(seconds=step.repeat_s) if step.repeat_s else None,
        max_repeats=step.max_repeats,
        severities=frozenset(step.severities),
        channels=tuple(dict.fromkeys(channels)),
    )
