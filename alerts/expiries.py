"""Certificates and domains that are about to expire, told at the days that policies choose.

What is left is looked at every few minutes. A policy tells of each end and each of its days once,
through its first step, and only within its active hours: what comes due outside of them is told
when they begin, what comes due while a monitor is snoozed or under maintenance, after that, and
what comes due while there is nobody to tell, once there is somebody. Of an end that is nearer than
several of its days when it is first seen, the last of these days counts. There is nothing to
acknowledge, so there are no later steps and no repeats.

At a pager all notices of one end are one incident, which is closed when that end is seen no more:
after a renewal, or when nobody watches it any longer.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Min

from alerts.messages import CLOSED, Facts, facts_of_expiry
from alerts.models import Delivery, Event, ExpiryNotice, Policy
from alerts.outbox import announce
from alerts.policies import Rule, Subject, days_reached
from alerts.rules import pager_types, rules_of_policies
from monitors.models import Assignment, Monitor, Status

EXPIRIES = (Event.CERTIFICATE_EXPIRING, Event.DOMAIN_EXPIRING)
# Of monitors of this kind, what expires is a domain's registration.
_DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class _Ending:
    """The first end of what a monitor's locations see."""

    monitor: Monitor
    expires_at: datetime

    @property
    def event(self) -> Event:
        is_domain = self.monitor.kind == _DOMAIN
        return Event.DOMAIN_EXPIRING if is_domain else Event.CERTIFICATE_EXPIRING


@transaction.atomic
def tell_expiries(now: datetime) -> int:
    """Queue what is to be told now; returns how many deliveries that makes."""
    # Locked: who else looks at the same time waits, and then finds the notices.
    policies = list(
        Policy.objects.filter(enabled=True, on__overlap=list(EXPIRIES))
        .order_by("pk")
        .select_for_update()
    )
    furthest = max((days for policy in policies for days in policy.expiry_days), default=0)
    teams = {policy.team_id for policy in policies}
    endings = _endings(teams, now, now + timedelta(days=furthest)) if furthest else []
    deliveries = _closings(now)
    if endings:
        rules = rules_of_policies(
            {policy.pk for policy in policies}, {one.monitor.pk for one in endings}, now
        )
        by_team = [(policy.team_id, rules[policy.pk]) for policy in policies if policy.pk in rules]
        deliveries += _told(_new(list(_due(by_team, endings, now))), now)
    Delivery.objects.bulk_create(deliveries)
    if deliveries:
        announce()
    return len(deliveries)


def _endings(teams: Collection[UUID], now: datetime, until: datetime) -> list[_Ending]:
    ends = dict(
        Assignment.objects.filter(
            is_active=True,
            monitor__enabled=True,
            monitor__snoozed_until=None,
            monitor__team__in=teams,
            cert_expires_at__gt=now,
            cert_expires_at__lte=until,
        )
        .exclude(monitor__status=Status.MAINTENANCE)
        .values_list("monitor")
        .annotate(first=Min("cert_expires_at"))
    )
    monitors = Monitor.objects.filter(pk__in=ends).order_by("name", "pk")
    return [_Ending(monitor, ends[monitor.pk]) for monitor in monitors]


@dataclass(frozen=True, slots=True)
class _Due:
    rule: Rule
    ending: _Ending
    days: int

    @property
    def key(self) -> tuple[UUID, UUID, datetime, int]:
        return self.rule.id, self.ending.monitor.pk, self.ending.expires_at, self.days


def _due(
    by_team: Sequence[tuple[UUID, Rule]], endings: Sequence[_Ending], now: datetime
) -> Iterator[_Due]:
    for team, rule in by_team:
        if not any(step.channels for step in rule.steps[:1]):
            continue
        for ending in endings:
            monitor = ending.monitor
            days = days_reached(rule, ending.expires_at - now)
            if (
                days is not None
                and monitor.team_id == team
                and rule.hears({ending.event})
                and rule.covers(Subject(monitor.pk, monitor.name, monitor.tags))
                and rule.is_active(now)
            ):
                yield _Due(rule, ending, days)


def _new(due: Sequence[_Due]) -> list[_Due]:
    """Those that were not told of before; from now on they were."""
    told = set(
        ExpiryNotice.objects.filter(policy__in={one.rule.id for one in due}).values_list(
            "policy_id", "monitor_id", "expires_at", "days"
        )
    )
    new = [one for one in due if one.key not in told]
    ExpiryNotice.objects.bulk_create(
        ExpiryNotice(
            policy_id=one.rule.id,
            monitor=one.ending.monitor,
            event=one.ending.event,
            expires_at=one.ending.expires_at,
            days=one.days,
        )
        for one in new
    )
    return new


def _told(new: Sequence[_Due], now: datetime) -> list[Delivery]:
    """One delivery for each end and channel, however many policies ask for it."""
    wanted = {
        (one.ending, channel): None
        for one in new
        for step in one.rule.steps[:1]
        for channel in step.channels
    }
    return [
        Delivery(
            team_id=ending.monitor.team_id,
            channel_id=channel,
            event=ending.event,
            facts=facts_of_expiry(ending.monitor, ending.event, ending.expires_at, now).as_json(),
            due_at=now,
            next_attempt_at=now,
            created_at=now,
        )
        for ending, channel in wanted
    ]


def _closings(now: datetime) -> list[Delivery]:
    """What closes at pagers the notices of ends that are seen no more."""
    latest: dict[tuple[UUID | None, str, str], Delivery] = {}
    rows = Delivery.objects.filter(
        event__in=(*EXPIRIES, CLOSED), incident=None, channel__type__in=pager_types()
    )
    for row in rows.order_by("created_at", "pk"):
        if row.facts["expires_at"] and row.facts["monitor"]:
            key = row.channel_id, row.facts["monitor"]["id"], row.facts["expires_at"]
            latest[key] = row
    noticed = [
        (row, Facts.model_validate(row.facts)) for row in latest.values() if row.event != CLOSED
    ]
    seen = set(
        Assignment.objects.filter(
            is_active=True,
            monitor__enabled=True,
            monitor__in=[facts.monitor.id for _, facts in noticed if facts.monitor],
        ).values_list("monitor", "cert_expires_at")
    )
    return [
        Delivery(
            team_id=row.team_id,
            channel_id=row.channel_id,
            event=CLOSED,
            facts=facts.model_copy(update={"event": CLOSED, "occurred_at": now}).as_json(),
            due_at=now,
            next_attempt_at=now,
            created_at=now,
        )
        for row, facts in noticed
        if facts.monitor and (facts.monitor.id, facts.expires_at) not in seen
    ]
