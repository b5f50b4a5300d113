"""A check made on the spot with settings that nobody has saved yet.

It is the engine's own check, made by the process that was asked, bounded by its timeout. Nothing of
it is stored.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.models import Team
from monitors.drafts import accept
from monitors.masking import harmless, secrets_in
from monitors.models import Monitor
from monitors.specs import spec_of
from probe.assertions import Judged, watching
from probe.kinds import KINDS
from probe.kinds.base import Kind
from probe.prober import Prober
from probe.values import Job, Observation
from uptime.clock import database_now
from uptime.errors import Conflict

AT_ONCE = 8
AT_ONCE_PER_TEAM = 3


@dataclass(frozen=True, slots=True)
class Trial:
    """What a check saw, without secrets, and what the assertions made of each answer."""

    observation: Observation
    judged: list[Judged]


def is_tryable(kind: Kind) -> bool:
    """Whether there is something to look at: heartbeats wait, and people set what is manual."""
    return kind.has_target and not kind.is_passive


def try_monitor(*, team: Team, values: Mapping[str, Any], like: Monitor | None = None) -> Trial:
    """Check once with these values, which need no name yet.

    Secrets that are the mask are those of `like`. Raises Invalid for wrong values, Conflict where
    too many are tried at once.
    """
    accepted = accept({"name": "Trial", **values}, team=team, like=like)
    monitor = Monitor(team=team, **accepted.columns)
    if not is_tryable(KINDS[monitor.kind]):
        raise Conflict("There is nothing to look at: it waits for what others report.")
    spec = spec_of(monitor)
    job = Job(0, spec, due_at=database_now(), wants_details=True)
    with _running.one_of(team.pk):
        _lend_connection()
        observation, judged = asyncio.run(_observe(job))
    return _without_secrets(Trial(observation, judged), secrets_in(spec.settings))


async def _observe(job: Job) -> tuple[Observation, list[Judged]]:
    with watching() as judged:
        async with Prober() as prober:
            return await prober.observe(job), judged


def _without_secrets(trial: Trial, hidden: list[str]) -> Trial:
    seen = trial.observation
    return Trial(
        replace(
            seen,
            message=harmless(seen.message, hidden),
            details=harmless(dict(seen.details or {}), hidden),
        ),
        [
            replace(
                one,
                findings=[replace(each, seen=harmless(each.seen, hidden)) for each in one.findings],
            )
            for one in trial.judged
        ],
    )


def _lend_connection() -> None:
    """Nobody waits for a database connection because somebody waits for a target."""
    if not connection.in_atomic_block:
        connection.close()


class Running:
    """The trials that this process is at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_team: Counter[UUID] = Counter()

    @contextmanager
    def one_of(self, team_id: UUID) -> Iterator[None]:
        """Raises Conflict where there are too many already."""
        with self._lock:
            if self._of_team.total() >= AT_ONCE or self._of_team[team_id] >= AT_ONCE_PER_TEAM:
                raise Conflict("Other checks are being tried: wait for one of them to end.")
            self._of_team[team_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._of_team[team_id] -= 1
                self._of_team += Counter()  # forgets the teams that are at none


_running = Running()
