"""Notices of a location that sees nothing, to the owners of every team that has it check something.

Policies that ask for it tell their channels, too: by their first step, once for all monitors.

A location that has lost its network can hardly say so while that lasts, and one that saw nothing
for a moment need not. So a notice waits for `GRACE`; whatever has not left by the time the location
sees again is taken back, and one message then tells of both ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from alerts.messages import LocationTrouble, facts_of_location
from alerts.models import Delivery, DeliveryStatus, Policy
from alerts.outbox import NOTICE_STEP, announce
from alerts.policies import Subject, within_hours
from alerts.rules import rules_of_policies
from monitors.models import Assignment, Location, Monitor

GRACE = timedelta(seconds=30)


def tell_trouble(location: Location, trouble: LocationTrouble, *, since: datetime) -> None:
    """Queue a notice for each team with active monitors there, in the caller's transaction."""
    checked = Assignment.objects.filter(
        location=location, is_active=True, next_due_at__isnull=False
    )
    teams = set(checked.values_list("monitor__team", flat=True).distinct())
    due_at = since + GRACE
    _queue(
        location,
        trouble,
        [*(_Told(team, due_at) for team in teams), *_told_by_policies(trouble, checked, due_at)],
        since=since,
    )


def tell_end(
    location: Location, trouble: LocationTrouble, *, since: datetime, until: datetime
) -> None:
    """Queue a notice for each that would have heard of the beginning by now."""
    told = Delivery.objects.filter(
        event=trouble.begins, facts__locations=[location.slug], created_at__gte=since
    )
    whom: dict[tuple[UUID, UUID | None], _Told] = {}
    if until - since >= GRACE:
        for row in told.exclude(step__gte=0, due_at__gt=until).order_by("pk"):
            one = _Told(row.team_id, until, row.channel_id, row.step)
            whom.setdefault((one.team_id, one.channel_id), one)
    told.filter(status__in=[DeliveryStatus.QUEUED, DeliveryStatus.FAILED]).delete()
    _queue(location, trouble, whom.values(), since=since, until=until)


@dataclass(frozen=True, slots=True)
class _Told:
    """Who is told: a team's owners, or (with a `channel_id`) whom a policy names."""

    team_id: UUID
    due_at: datetime
    channel_id: UUID | None = None
    step: int = NOTICE_STEP


def _due_at(told: _Told) -> datetime:
    return told.due_at


def _told_by_policies(
    trouble: LocationTrouble, checked: QuerySet[Assignment], due_at: datetime
) -> list[_Told]:
    policies = dict(
        Policy.objects.filter(
            enabled=True,
            on__contains=[trouble.begins],
            team__in=checked.values("monitor__team"),
        ).values_list("pk", "team_id")
    )
    if not policies:
        return []
    monitors = list(
        Monitor.objects.filter(
            team__in=set(policies.values()), pk__in=checked.values("monitor")
        ).only("pk", "team_id", "name", "tags")
    )
    subjects: dict[UUID, list[Subject]] = {}
    for one in monitors:
        subjects.setdefault(one.team_id, []).append(Subject(one.pk, one.name, one.tags))
    rules = rules_of_policies(policies, [one.pk for one in monitors], due_at)
    found: dict[UUID, _Told] = {}
    for pk, rule in rules.items():
        team = policies[pk]
        told_at = within_hours(rule, due_at)
        if told_at and any(map(rule.covers, subjects.get(team, ()))):
            for channel in (channel for step in rule.steps[:1] for channel in step.channels):
                told = _Told(team, told_at, channel, rule.steps[0].position)
                found[channel] = min(found.get(channel, told), told, key=_due_at)
    return list(found.values())


def _queue(
    location: Location,
    trouble: LocationTrouble,
    whom: Iterable[_Told],
    *,
    since: datetime,
    until: datetime | None = None,
) -> None:
    facts = facts_of_location(location, trouble, since=since, until=until)
    Delivery.objects.bulk_create(
        Delivery(
            team_id=told.team_id,
            channel_id=told.channel_id,
            event=facts.event,
            step=told.step,
            facts=facts.as_json(),
            due_at=told.due_at,
            next_attempt_at=told.due_at,
            created_at=facts.occurred_at,
        )
        for told in whom
    )
    announce()
