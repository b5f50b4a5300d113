"""The last resort against what never ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from probe.overruns import Overruns
from probe.pulse import Pulse


@pytest_asyncio.fixture
async def overruns() -> AsyncIterator[Overruns]:
    overruns = Overruns()
    pulse = Pulse(overruns.look)
    yield overruns
    pulse.stop()


async def hang() -> None:
    await asyncio.Event().wait()


async def test_what_ends_in_time_gives_what_it_gives(overruns: Overruns) -> None:
    assert await overruns.bound(asyncio.sleep(0, "done"), 10) == "done"


async def test_what_never_ends_is_ended(overruns: Overruns) -> None:
    with pytest.raises(TimeoutError):
        await overruns.bound(hang(), 0.01)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    await asyncio.sleep(0)  # and goes on


async def test_what_is_cancelled_by_another_is_cancelled(overruns: Overruns) -> None:
    task = asyncio.create_task(overruns.bound(hang(), 10))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_of_its_own_stays_its_own(overruns: Overruns) -> None:
    async def give_up() -> str:
        try:
            async with asyncio.timeout(0.01):
                await hang()
        except TimeoutError:
            return "gave up"
        return ""

    assert await overruns.bound(give_up(), 10) == "gave up"
