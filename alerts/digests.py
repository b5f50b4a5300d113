"""A digest: many alerts in one message: what they have in common, the first of them by name.

Pure: from the alerts that were merged to the facts of one message, and to words.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from alerts.wording import one_line

NAMED = 20
TAGS_NAMED = 5
_WORST_FIRST = ("down", "degraded", "recovered")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Digested(_Frozen):
    """One of the alerts in a digest; `event_id` is that of its own delivery."""

    event_id: UUID
    event: str
    occurred_at: datetime
    status: str | None = None
    reason: str | None = None
    monitor: dict[str, Any] | None = None
    incident: dict[str, Any] | None = None


class DigestFacts(_Frozen):
    """`counts` by event and `tags` by tag, most first; `alerts` are all that were merged."""

    count: int
    counts: dict[str, int]
    tags: dict[str, int]
    alerts: list[Digested]

    @property
    def status(self) -> str:
        """The worst of the monitors' statuses after the events."""
        seen = {alert.status for alert in self.alerts}
        return next((one for one in ("down", "degraded") if one in seen), "up")


@dataclass(frozen=True, slots=True)
class Member:
    """An alert that is to be merged: its delivery's id and facts, its monitor's tags."""

    event_id: UUID
    facts: dict[str, Any]
    tags: Sequence[str]


def digest_of(members: Sequence[Member]) -> DigestFacts:
    """In the order of `members`."""
    events = Counter(member.facts["event"] for member in members)
    tags = Counter(tag for member in members for tag in dict.fromkeys(member.tags))
    return DigestFacts(
        count=len(members),
        counts=dict(sorted(events.items(), key=lambda found: (_rank(found[0]), found[0]))),
        tags=dict(tags.most_common()),
        alerts=[Digested(event_id=one.event_id, **_told(one.facts)) for one in members],
    )


def _told(facts: dict[str, Any]) -> dict[str, Any]:
    names = ("event", "occurred_at", "status", "reason", "monitor", "incident")
    return {name: facts.get(name) for name in names}


def _rank(event: str) -> int:
    return _WORST_FIRST.index(event) if event in _WORST_FIRST else len(_WORST_FIRST)


def digest_subject(digest: DigestFacts) -> str:
    """`37 down, 2 recovered in eu-db`: the tag where all of them have it."""
    counted = ", ".join(f"{count} {_word(event)}" for event, count in digest.counts.items())
    common = [tag for tag, count in digest.tags.items() if count == digest.count]
    return f"{counted} in {one_line(common[0])}" if common else counted


def digest_lines(digest: DigestFacts) -> list[tuple[str, str]]:
    """Labels and what stands beside them; the first `NAMED` monitors of each event by name."""
    lines = [
        (_word(event).capitalize(), _names(event, count, digest.alerts))
        for event, count in digest.counts.items()
    ]
    if digest.tags:
        shown = list(digest.tags.items())[:TAGS_NAMED]
        lines.append(("Tags", ", ".join(f"{count} in {tag}" for tag, count in shown)))
    return lines


def _names(event: str, count: int, alerts: Iterable[Digested]) -> str:
    names = [
        one_line(alert.monitor["name"]) if alert.monitor else "something"
        for alert in alerts
        if alert.event == event
    ]
    more = f" and {count - NAMED} more" if count > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _word(event: str) -> str:
    return event.replace("_", " ")
