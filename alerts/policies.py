"""Which channels hear of a transition."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Prefetch, Q, prefetch_related_objects

from alerts.models import Channel, Delivery, Event, Policy, PolicyStep, Reach
from incidents.transitions import Transition

TROUBLES = (Event.DOWN, Event.DEGRADED)


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy as a value: whom it tells (`channels`, in order), of what, about which monitors."""

    reach: str
    tags: frozenset[str]
    monitors: frozenset[UUID]
    on: frozenset[str]
    channels: tuple[UUID, ...]

    def covers(self, monitor_id: UUID, tags: Collection[str]) -> bool:
        match self.reach:
            case Reach.TAGS:
                return not self.tags.isdisjoint(tags)
            case Reach.MONITORS:
                return monitor_id in self.monitors
            case _:
                return True

    @property
    def tells_only_recoveries(self) -> bool:
        return self.on.isdisjoint(TROUBLES)


def channels_to_tell(
    rules: Iterable[Rule],
    *,
    event: str,
    monitor_id: UUID,
    tags: Collection[str],
    told: Collection[UUID],
) -> list[UUID]:
    """The channels that hear of `event`, each once, in the order of the rules.

    `told` are the channels that heard of this incident's trouble before. Of a recovery only they
    hear, except by a rule that is about recoveries alone: nobody gets the end of a story whose
    beginning was kept from them.
    """
    chosen: dict[UUID, None] = {}
    for rule in rules:
        if event not in rule.on or not rule.covers(monitor_id, tags):
            continue
        for channel in rule.channels:
            if event != Event.RECOVERED or rule.tells_only_recoveries or channel in told:
                chosen[channel] = None
    return list(chosen)


@dataclass(frozen=True, slots=True)
class Telling:
    """One transition that one channel is to hear of."""

    transition: Transition
    channel_id: UUID


def tellings(transitions: Sequence[Transition]) -> Iterator[Telling]:
    """Who is to hear of what, in a number of queries that doesn't depend on how many there are."""
    if not transitions:
        return
    incidents = [transition.incident for transition in transitions]
    prefetch_related_objects(incidents, "monitor")
    rules = _rules_by_team({incident.team_id for incident in incidents})
    told = _told_of([t.incident.pk for t in transitions if t.kind == Event.RECOVERED])
    for transition in transitions:
        incident = transition.incident
        heard = told.setdefault(incident.pk, set())
        channels = channels_to_tell(
            rules.get(incident.team_id, ()),
            event=transition.kind,
            monitor_id=incident.monitor_id,
            tags=incident.monitor.tags,
            told=heard,
        )
        heard.update(channels)  # one batch may hold an incident's beginning and its end
        yield from (Telling(transition, channel) for channel in channels)


def _rules_by_team(teams: Collection[UUID]) -> dict[UUID, list[Rule]]:
    # What is told to a dead channel is given up at once and so handed on to its fallback.
    usable = Channel.objects.filter(
        Q(enabled=True) | Q(dead_since__isnull=False, fallback__isnull=False)
    )
    policies = Policy.objects.filter(team__in=teams, enabled=True).prefetch_related(
        Prefetch("steps", PolicyStep.objects.order_by("position")),
        Prefetch("steps__channels", usable.order_by("name", "id")),
        "monitors",
    )
    rules: dict[UUID, list[Rule]] = {}
    for policy in policies:
        rules.setdefault(policy.team_id, []).append(_rule(policy))
    return rules


def _rule(policy: Policy) -> Rule:
    return Rule(
        reach=policy.reach,
        tags=frozenset(policy.tags),
        monitors=frozenset(monitor.pk for monitor in policy.monitors.all()),
        on=frozenset(policy.on),
        channels=tuple(
            channel.pk for step in policy.steps.all() for channel in step.channels.all()
        ),
    )


def _told_of(incidents: Collection[UUID]) -> dict[UUID, set[UUID]]:
    """For each incident the channels to which its trouble was queued, whatever became of that."""
    told: dict[UUID, set[UUID]] = {}
    rows = Delivery.objects.filter(incident__in=incidents, event__in=TROUBLES)
    for incident_id, channel_id in rows.values_list("incident_id", "channel_id"):
        if incident_id:
            told.setdefault(incident_id, set()).add(channel_id)
    return told
