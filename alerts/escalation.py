"""What is due later: steps with a delay, repetitions, and what waits for active hours.

A row is planned in the transaction of the event. When it is due, whoever looks first takes it
(SKIP LOCKED, together with its incident, so that nobody acknowledges or resolves it meanwhile),
decides by the state of things then, and commits the decision with the deliveries that follow from
it and with the next repetition. A crash in between undoes all of it, and the next look decides
anew: what is due is told at least once, and queued exactly once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from alerts.messages import REMINDER, facts_of_incident
from alerts.models import Delivery, Escalation, EscalationState, Event, Skip
from alerts.policies import (
    Later,
    Rule,
    Situation,
    Step,
    names_of,
    next_repeat,
    skip_reason,
    within_hours,
)
from alerts.rules import rules_of_policies, subject_of
from incidents.holding import DOWN
from incidents.machine import SUSPENDED
from incidents.models import Incident, IncidentEvent, IncidentStatus, Severity
from incidents.transitions import Transition
from probe.values import Reason

log = structlog.get_logger(__name__)

# What one look decides: in one transaction, of a second or less.
AT_ONCE = 500
PUT_OFF = timedelta(minutes=5)
# After these there is nothing to repeat.
_ENDS = (Skip.ACKNOWLEDGED, Skip.RESOLVED, Skip.CHANGED, Skip.POLICY)


def plan_escalation(transition: Transition, later: Later, now: datetime) -> Escalation:
    """An unsaved row for what is told later of a transition, or is not told after all."""
    return _planned(transition.incident, transition.event, transition.kind, later, now)


def _planned(
    incident: Incident, event: IncidentEvent, kind: str, later: Later, now: datetime
) -> Escalation:
    row = Escalation(
        incident=incident,
        incident_event=event,
        step_id=later.step,
        event=kind,
        repeat=later.repeat,
        due_at=later.due_at,
    )
    if later.skipped_because:
        _skip(row, Skip(later.skipped_because), now)
    return row


def _skip(row: Escalation, reason: Skip, now: datetime) -> None:
    row.state, row.skipped_because, row.decided_at = EscalationState.SKIPPED, reason, now


def decide_due(now: datetime) -> int:
    """Decide up to `AT_ONCE` rows that are due, and queue what follows; returns how many.

    Rows whose incident somebody else is changing are left for the next look. One that can't be
    decided is put off, and keeps none of the others.
    """
    try:
        return _decide(_due(now), now)
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # the loop's edge: one poisoned row must not silence all that follow
        log.exception("alerts.escalation.broke")
        return sum(_decide_alone(row.pk, now) for row in _due(now)[:AT_ONCE])


def _due(now: datetime) -> QuerySet[Escalation]:
    """What of it may be told: what lasts while what its monitor depends on is down has to wait."""
    waiting = Escalation.objects.filter(state=EscalationState.WAITING, due_at__lte=now)
    due = waiting.filter(incident__monitor__snoozed_until=None).exclude(
        incident__monitor__status__in=SUSPENDED
    )
    above = Incident.objects.unresolved().filter(
        monitor__dependents=OuterRef("incident__monitor"),
        monitor__status__in=DOWN,
        severity=Severity.DOWN,
    )
    lasting = ~Q(incident__status=IncidentStatus.RESOLVED)
    return due.exclude(lasting & Exists(above)).order_by("due_at", "id")


def _decide_alone(row_id: int, now: datetime) -> int:
    row = _due(now).filter(pk=row_id)
    try:
        return _decide(row, now)
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # the loop's edge, as above
        log.exception("alerts.escalation.put_off", escalation=row_id)
        row.update(due_at=now + PUT_OFF)
        return 0


@transaction.atomic
def _decide(due: QuerySet[Escalation], now: datetime) -> int:
    rows = list(
        due.select_related("incident__monitor", "incident_event", "step").select_for_update(
            no_key=True, skip_locked=True, of=("self", "incident")
        )[:AT_ONCE]
    )
    if rows:
        _Decisions(rows, now).write()
    return len(rows)


@dataclass
class _Decisions:
    """What becomes of rows that are due, decided one by one and written set by set."""

    rows: Sequence[Escalation]
    now: datetime
    _planned: list[Escalation] = field(default_factory=list)
    _deliveries: list[Delivery] = field(default_factory=list)

    def write(self) -> None:
        monitors = {row.incident.monitor_id for row in self.rows}
        policies = {row.step.policy_id for row in self.rows}
        rules = rules_of_policies(policies, monitors, self.now)
        latest = _latest_troubles({row.incident_id for row in self.rows})
        for row in self.rows:
            is_changed = latest.get(row.incident_id) != row.incident_event_id
            self._decide(row, rules.get(row.step.policy_id), is_changed=is_changed)
        Escalation.objects.bulk_update(
            self.rows, ["state", "skipped_because", "decided_at", "due_at"], batch_size=500
        )
        Escalation.objects.bulk_create(self._planned)
        queue_once(self._deliveries)

    def _decide(self, row: Escalation, rule: Rule | None, *, is_changed: bool) -> None:
        step = _step_of(rule, row.step_id)
        if rule is None or step is None or not rule.hears(_names_of(row)):
            _skip(row, Skip.POLICY, self.now)
            return
        due_at = within_hours(rule, row.due_at)
        reason = skip_reason(rule, step, row.event, _situation(row.incident, is_changed))
        if reason is None and due_at is not None and due_at > self.now:
            row.due_at = due_at  # the hours were changed meanwhile
            return
        if reason is None and due_at is None:
            reason = Skip.HOURS
        if reason is None and not step.channels:
            reason = Skip.NOBODY
        if reason is None:
            self._tell(row, rule, step)
        else:
            _skip(row, reason, self.now)
        if reason not in _ENDS and row.event != Event.RECOVERED:
            self._repeat(row, rule, step)

    def _tell(self, row: Escalation, rule: Rule, step: Step) -> None:
        row.state, row.decided_at = EscalationState.TOLD, self.now
        event = REMINDER if row.repeat else row.event
        facts = facts_of_incident(row.incident, self.now, event=event).as_json()
        self._deliveries += [
            Delivery(
                team_id=row.incident.team_id,
                channel_id=channel,
                incident=row.incident,
                incident_event=row.incident_event,
                event=event,
                step=step.position,
                repeat=row.repeat,
                due_at=row.due_at,
                owes_recovery=rule.tells_recoveries and row.event != Event.RECOVERED,
                facts=facts,
                next_attempt_at=self.now,
                created_at=self.now,
            )
            for channel in step.channels
        ]

    def _repeat(self, row: Escalation, rule: Rule, step: Step) -> None:
        later = next_repeat(rule, step, row.repeat, row.due_at, self.now)
        if later:
            planned = _planned(row.incident, row.incident_event, row.event, later, self.now)
            self._planned.append(planned)


def _step_of(rule: Rule | None, step_id: int) -> Step | None:
    return next((step for step in rule.steps if step.id == step_id), None) if rule else None


def _names_of(row: Escalation) -> frozenset[str]:
    """By which names its policy may have asked for it, whatever the incident's reason is by now."""
    return names_of(row.event, Reason.HEARTBEAT_MISSED, row.incident_event.severity)


def _situation(incident: Incident, is_changed: bool) -> Situation:
    return Situation(
        subject=subject_of(incident),
        severity=incident.severity,
        is_acknowledged=incident.status == IncidentStatus.ACKNOWLEDGED,
        is_resolved=incident.is_resolved,
        is_changed=is_changed,
    )


def _latest_troubles(incidents: Iterable[UUID]) -> dict[UUID, UUID]:
    """For each incident the last event at which it became what it is."""
    events = (
        IncidentEvent.objects.filter(incident__in=incidents)
        .exclude(severity="")
        .order_by("incident", "-pk")
        .distinct("incident")
    )
    return dict(events.values_list("incident_id", "pk"))


def queue_once(deliveries: Sequence[Delivery]) -> None:
    """Queue deliveries of incidents that the caller has locked, each event and moment once."""
    wanted: dict[tuple[UUID | None, UUID | None, datetime], Delivery] = {}
    for one in deliveries:
        known = wanted.setdefault((one.incident_event_id, one.channel_id, one.due_at), one)
        known.owes_recovery |= one.owes_recovery
    queued = Delivery.objects.filter(
        incident_event__in={key[0] for key in wanted}, due_at__in={key[2] for key in wanted}
    ).only("incident_event_id", "channel_id", "due_at", "owes_recovery")
    for old in queued:
        same = wanted.pop((old.incident_event_id, old.channel_id, old.due_at), None)
        if same and same.owes_recovery and not old.owes_recovery:
            Delivery.objects.filter(pk=old.pk).update(owes_recovery=True)
    Delivery.objects.bulk_create(wanted.values())
