"""A real prober, asked in one line: `seen = await check("http", url, timeout=1, method="HEAD")`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from probe.kinds import KINDS
from probe.prober import Prober
from probe.values import Job, Observation, Spec
from tests.servers.network import Internet, why_not

Check = Callable[..., Awaitable[Observation]]


def make_job(
    kind: str,
    target: str = "",
    *,
    timeout: float = 2,
    allow_private: bool = True,
    last_seen_at: datetime | None = None,
    due_at: datetime | None = None,
    **settings: Any,
) -> Job:
    spec = Spec(
        monitor_id=uuid4(),
        revision=1,
        kind=kind,
        target=KINDS[kind].clean_target(target),
        interval=timedelta(seconds=60),
        timeout=timedelta(seconds=timeout),
        failure_threshold=2,
        recovery_threshold=1,
        retry_interval=timedelta(seconds=5),
        settings=KINDS[kind].settings(**settings),
        allow_private=allow_private,
    )
    return Job(1, spec, due_at or datetime.now(UTC), last_seen_at=last_seen_at)


@pytest.fixture
def internet() -> Iterator[Internet]:
    """A world beyond this machine; where none may be made, the test is skipped and says why."""
    if reason := why_not():
        pytest.skip(reason)
    with Internet() as internet:
        yield internet


class PatientProber(Prober):
    """Asks again when this machine stood still, as the product does with its next check: on a busy
    machine that is an honest answer, and not what a test of a target is about."""

    async def observe(self, job: Job) -> Observation:
        seen = await super().observe(job)
        for _ in range(4):
            if not was_not_judged(seen):
                break
            seen = await super().observe(job)
        return seen


def was_not_judged(seen: Observation) -> bool:
    return seen.message.startswith("Not judged: this machine stood still")


@pytest_asyncio.fixture
async def prober() -> AsyncIterator[Prober]:
    async with PatientProber() as prober:
        yield prober


@pytest.fixture
def check(prober: Prober) -> Check:
    async def observe(kind: str, target: str = "", **options: Any) -> Observation:
        return await prober.observe(make_job(kind, target, **options))

    return observe
