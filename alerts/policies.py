"""Who hears of what, and when. Pure: rules, what happened and the time give a decision.

    event ──▶ each step of each rule that covers it: ──▶ told at once
                  due = event + delay                ──▶ told later ──▶ decided anew when it is due
                  outside active hours:              ──▶ dropped
                      waits for them, or dropped
    told ──▶ due again after the step's repeat, until its limit

Rules add up: what several of them want told to one channel of one event at one moment is told once.
The end of an incident is told at once, at any hour, to the channels that are owed it: those that
heard of the trouble by a rule that tells of recoveries. To others it is told by rules that are
about recoveries alone.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from uuid import UUID

from alerts.hours import ActiveHours
from alerts.models import Event, Reach, Skip
from probe.values import Reason

# What an incident is told of while it lasts.
TROUBLES = (Event.DOWN, Event.DEGRADED, Event.HEARTBEAT_LATE, Event.FLAPPING)
# So often a repeat is looked for that falls into the active hours, from one opening to the next.
_LOOKS = 20


@dataclass(frozen=True, slots=True)
class Subject:
    """The monitor that something happened to, as far as rules ask."""

    id: UUID
    name: str
    tags: Collection[str]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a rule. `severities` empty: for all; `max_repeats` None: without limit."""

    id: int
    position: int
    delay: timedelta
    repeat: timedelta | None
    max_repeats: int | None
    severities: frozenset[str]
    channels: tuple[UUID, ...]

    def is_for(self, severity: str) -> bool:
        return not self.severities or severity in self.severities


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy as a value: whom it tells, of what, about which monitors, and when."""

    id: UUID
    reach: str
    tags: frozenset[str]
    names: tuple[str, ...]
    monitors: frozenset[UUID]
    on: frozenset[str]
    steps: tuple[Step, ...]
    hours: ActiveHours | None = None
    waits_for_hours: bool = True
    stops_on_acknowledge: bool = True
    expiry_days: tuple[int, ...] = ()

    def covers(self, subject: Subject) -> bool:
        match self.reach:
            case Reach.TAGS:
                return not self.tags.isdisjoint(subject.tags)
            case Reach.NAMES:
                name = subject.name.casefold()
                return any(fnmatchcase(name, pattern.casefold()) for pattern in self.names)
            case Reach.MONITORS:
                return subject.id in self.monitors
            case _:
                return True

    def hears(self, events: Collection[str]) -> bool:
        return not self.on.isdisjoint(events)

    @property
    def tells_recoveries(self) -> bool:
        return Event.RECOVERED in self.on

    @property
    def tells_only_recoveries(self) -> bool:
        return self.tells_recoveries and self.on.isdisjoint(TROUBLES)

    def is_active(self, at: datetime) -> bool:
        return self.hours is None or self.hours.contains(at)


def days_reached(rule: Rule, left: timedelta) -> int | None:
    """Which of the rule's days before an end have begun, the last of them; None: none yet."""
    return min((days for days in rule.expiry_days if left <= timedelta(days=days)), default=None)


@dataclass(frozen=True, slots=True)
class Occasion:
    """What happened to whom. `events` are all names that a policy may know it by."""

    event: str
    events: frozenset[str]
    severity: str
    subject: Subject


def names_of(event: str, reason: str, severity: str) -> frozenset[str]:
    """By which names a policy may ask for this event of an incident with this reason.

    Who asks for trouble of this severity hears that it flaps.
    """
    if event == Event.FLAPPING:
        return names_of(severity, reason, severity) | {event}
    if event == Event.DOWN and reason == Reason.HEARTBEAT_MISSED:
        return frozenset({event, Event.HEARTBEAT_LATE.value})
    return frozenset({event})


@dataclass(frozen=True, slots=True)
class Told:
    """How one channel is told now: by which step, and whether it is to hear of the end."""

    step: int = 0
    owes_recovery: bool = False


@dataclass(frozen=True, slots=True)
class Later:
    """What a step tells later, or (`skipped_because`) does not tell though it should have."""

    step: int
    repeat: int
    due_at: datetime
    skipped_because: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Who is told now, in the order of the rules, and what is due later."""

    now: dict[UUID, Told] = field(default_factory=dict)
    later: list[Later] = field(default_factory=list)

    def tell(self, channels: Iterable[UUID], told: Told) -> None:
        """Tell each of them once, whoever asks for it."""
        for channel in channels:
            known = self.now.get(channel)
            is_owed = told.owes_recovery or (known is not None and known.owes_recovery)
            self.now[channel] = Told((known or told).step, is_owed)


def decide_tellings(
    rules: Iterable[Rule],
    occasion: Occasion,
    *,
    owed: Collection[UUID],
    now: datetime,
    is_acknowledged: bool = False,
) -> Decision:
    """What becomes of what happened `now`, or was held until now.

    `owed` are the channels that wait for it: for an end, or for somebody to be on it.
    `is_acknowledged`: somebody is, since before it could be told.
    """
    decision = Decision()
    if occasion.event not in TROUBLES:
        decision.tell(owed, Told())
    for rule in rules:
        if not rule.hears(occasion.events) or not rule.covers(occasion.subject):
            continue
        if occasion.event != Event.RECOVERED or rule.tells_only_recoveries:
            for step in rule.steps:
                if not (is_acknowledged and rule.stops_on_acknowledge):
                    _begin(decision, rule, step, occasion, now)
                elif step.is_for(occasion.severity):
                    decision.later.append(Later(step.id, 0, now, Skip.ACKNOWLEDGED))
    return decision


def _begin(decision: Decision, rule: Rule, step: Step, occasion: Occasion, now: datetime) -> None:
    if not step.is_for(occasion.severity):
        return
    is_trouble = occasion.event != Event.RECOVERED
    due_at = within_hours(rule, now + step.delay)
    if due_at is not None and due_at > now:
        decision.later.append(Later(step.id, 0, due_at))
        return
    if due_at is None:
        decision.later.append(Later(step.id, 0, now + step.delay, Skip.HOURS))
    elif step.channels:
        told = Told(step.position, is_trouble and rule.tells_recoveries)
        decision.tell(step.channels, told)
    else:
        decision.later.append(Later(step.id, 0, now, Skip.NOBODY))
    if is_trouble and (again := next_repeat(rule, step, 0, now + step.delay, now)):
        decision.later.append(again)


def within_hours(rule: Rule, due_at: datetime) -> datetime | None:
    """When what is due at `due_at` may be told; None if it is dropped."""
    if rule.hours is None or rule.hours.contains(due_at):
        return due_at
    return rule.hours.next_opening(due_at) if rule.waits_for_hours else None


def next_repeat(
    rule: Rule, step: Step, repeat: int, due_at: datetime, now: datetime
) -> Later | None:
    """What follows the `repeat`-th telling of a step, which was due at `due_at`; None: nothing.

    Repeats lie on a grid from there on. Those that were missed, because nobody looked or because
    they fell outside the hours, are passed over: they are never piled up.
    """
    if step.repeat is None or (step.max_repeats is not None and repeat >= step.max_repeats):
        return None
    slots = max(1, math.floor((now - due_at) / step.repeat) + 1)
    for _ in range(_LOOKS):
        again_at = due_at + slots * step.repeat
        if rule.is_active(again_at):
            return Later(step.id, repeat + 1, again_at)
        assert rule.hours is not None
        opening = rule.hours.next_opening(again_at)
        if rule.waits_for_hours:
            return Later(step.id, repeat + 1, opening)
        slots = max(slots + 1, math.ceil((opening - due_at) / step.repeat))
    return None


@dataclass(frozen=True, slots=True)
class Situation:
    """How things stand with an incident when something of it is due.

    `is_changed`: since the event that it is due for, the incident became better or worse.
    """

    subject: Subject
    severity: str
    is_acknowledged: bool
    is_resolved: bool
    is_changed: bool


def skip_reason(rule: Rule | None, step: Step, event: str, situation: Situation) -> Skip | None:
    """Why nobody is told now of what was to be told later; None: it is told.

    `rule` is as it is now, None where the policy is off.
    """
    if rule is None or not rule.covers(situation.subject):
        return Skip.POLICY
    if event == Event.RECOVERED:
        return None
    if situation.is_resolved:
        return Skip.RESOLVED
    if situation.is_acknowledged and rule.stops_on_acknowledge:
        return Skip.ACKNOWLEDGED
    if situation.is_changed:
        return Skip.CHANGED
    return None if step.is_for(situation.severity) else Skip.POLICY
