"""A thousand targets that hang, over real sockets, beside those of another team."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from probe.engine import Engine
from probe.lanes import LaneLimits
from probe.prober import Prober
from probe.values import Job, Status
from tests.probe.conftest import make_job
from tests.probe.test_engine import QUICK, Table
from tests.servers.http import answer, respond
from tests.servers.raw import serve
from uptime.process import allow_many_files

HANGING, THERE = 1000, 20


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections, as the kernel does for it, and never says a word."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen(4096)
        yield listener.getsockname()[1]


async def test_a_thousand_hanging_targets_of_one_team_do_not_delay_anothers(
    silent_port: int,
) -> None:
    allow_many_files()
    table = Table()
    one, other = uuid4(), uuid4()

    def due(url: str, host: str, team: object, in_s: float) -> Job:
        job = make_job("http", url, timeout=60, due_at=table.now() + timedelta(seconds=in_s))
        return replace(
            job, assignment_id=uuid4().int % 10**9, spec=replace(job.spec, host=host, team_id=team)
        )

    async with serve(answer(respond(b"ok"))) as server, Prober() as prober:
        for number in range(HANGING):
            host = f"127.0.{number // 250}.{number % 250 + 1}"
            table.due.append(due(f"http://{host}:{silent_port}/", host, one, 0))
        for _ in range(THERE):
            table.due.append(due(server.url, "127.0.0.1", other, 1))
        limits = replace(QUICK, in_flight=600, drain=timedelta(0), lanes=LaneLimits(per_team=300))
        engine = Engine(source=table, sink=table, observe=prober.observe, limits=limits)
        stop = asyncio.Event()
        running = asyncio.create_task(engine.run(stop))
        await table.until_stored(THERE)
        stop.set()
        await running
    assert {done.job.spec.team_id for done in table.stored} == {other}
    assert {done.observation.status for done in table.stored} == {Status.UP}
    assert len(table.released) == HANGING - 300
