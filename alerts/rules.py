"""Policies as rules: read in a number of queries that doesn't depend on how many there are."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import structlog
from django.db.models import Prefetch, Q, QuerySet
from pydantic import ValidationError

from alerts.hours import ActiveHours, HoursValues
from alerts.models import Channel, Delivery, OutsideHours, Policy, PolicyStep
from alerts.policies import Rule, Step, Subject
from incidents.models import Incident
from monitors.models import Monitor

log = structlog.get_logger(__name__)


def rules_of_teams(teams: Collection[UUID], monitors: Collection[UUID]) -> dict[UUID, list[Rule]]:
    """Each team's rules, as far as they are about these monitors."""
    rules: dict[UUID, list[Rule]] = {}
    for policy in _with_parts(Policy.objects.filter(team__in=teams), monitors):
        rules.setdefault(policy.team_id, []).append(_rule(policy))
    return rules


def rules_of_policies(policies: Collection[UUID], monitors: Collection[UUID]) -> dict[UUID, Rule]:
    """These policies' rules, by id; those that are off are missing."""
    found = _with_parts(Policy.objects.filter(pk__in=policies), monitors)
    return {policy.pk: _rule(policy) for policy in found}


def channels_owed(incidents: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """For each incident the channels that are to hear of its end, in the order they were told."""
    owed: dict[UUID, dict[UUID, None]] = {}
    rows = Delivery.objects.filter(
        incident__in=incidents, owes_recovery=True, channel__in=usable_channels()
    ).order_by("pk")
    for incident_id, channel_id in rows.values_list("incident_id", "channel_id"):
        if incident_id:
            owed.setdefault(incident_id, {})[channel_id] = None
    return {incident_id: list(channels) for incident_id, channels in owed.items()}


def usable_channels() -> QuerySet[Channel]:
    # What is told to a dead channel is given up at once and so handed on to its fallback.
    return Channel.objects.filter(
        Q(enabled=True) | Q(dead_since__isnull=False, fallback__isnull=False)
    )


def subject_of(incident: Incident) -> Subject:
    """The monitor of an incident that comes with it."""
    return Subject(incident.monitor_id, incident.monitor.name, incident.monitor.tags)


def _with_parts(policies: QuerySet[Policy], monitors: Collection[UUID]) -> QuerySet[Policy]:
    return policies.filter(enabled=True).prefetch_related(
        Prefetch("steps", PolicyStep.objects.order_by("position")),
        Prefetch("steps__channels", usable_channels().order_by("name", "id")),
        Prefetch("monitors", Monitor.objects.filter(pk__in=monitors).only("pk")),
    )


def _rule(policy: Policy) -> Rule:
    return Rule(
        id=policy.pk,
        reach=policy.reach,
        tags=frozenset(policy.tags),
        names=tuple(policy.names),
        monitors=frozenset(monitor.pk for monitor in policy.monitors.all()),
        on=frozenset(policy.on),
        steps=tuple(_step(step) for step in policy.steps.all()),
        hours=_hours(policy),
        waits_for_hours=policy.outside_hours == OutsideHours.WAIT,
        stops_on_acknowledge=policy.stop_on_acknowledge,
    )


def _hours(policy: Policy) -> ActiveHours | None:
    try:
        values = HoursValues.of(policy.active_hours)
    except ValidationError:
        # A time zone that is known no more: better told at a wrong hour than never.
        log.warning("alerts.policy.hours_unreadable", policy=str(policy.pk))
        return None
    return values.as_hours() if values else None


def _step(step: PolicyStep) -> Step:
    return Step(
        id=step.pk,
        position=step.position,
        delay=timedelta(seconds=step.delay_s),
        repeat=timedelta(seconds=step.repeat_s) if step.repeat_s else None,
        max_repeats=step.max_repeats,
        severities=frozenset(step.severities),
        channels=tuple(channel.pk for channel in step.channels.all()),
    )
