"""Traces the way to hosts that checks could not reach, beside the engine and out of its way."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from django.db import DatabaseError, InterfaceError

from incidents.routes import Untraced, claim_untraced, keep_route
from probe.route import route_job
from probe.values import Job, Observation
from uptime.clock import database_now
from uptime.database import Outage
from uptime.local_engine import DatabaseThread

log = structlog.get_logger(__name__)

AT_ONCE = 4  # a storm of failures must not become a storm of packets
LOOK_EVERY_S = 1.0


async def trace_routes(
    location_id: int,
    observe: Callable[[Job], Awaitable[Observation]],
    thread: DatabaseThread,
) -> None:
    """Trace what wants it until cancelled."""
    under_way: set[asyncio.Task[None]] = set()
    outage = Outage("routes")

    async def trace(one: Untraced) -> None:
        try:
            now = await thread.run(database_now)
            seen = await observe(route_job(one.spec, now))
            await thread.run(lambda: keep_route(one.evidence_id, seen, now))
        except (DatabaseError, InterfaceError) as error:
            outage.begin(error)  # this trace is lost

    try:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            room = AT_ONCE - len(under_way)
            if room <= 0:
                continue
            try:
                claimed = await thread.run(
                    partial(claim_untraced, location_id=location_id, limit=room)
                )
            except (DatabaseError, InterfaceError) as error:
                outage.begin(error)
                continue
            except Exception:  # the loop's edge: a fault of ours costs traces, and is told in full
                log.exception("routes.look.failed")
                continue
            outage.end()
            for one in claimed:
                task = asyncio.create_task(trace(one))
                under_way.add(task)
                task.add_done_callback(_ended)
                task.add_done_callback(under_way.discard)
    finally:
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)


def _ended(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("routes.trace.failed", exc_info=error)
