"""Bounded runs of an engine inside django-q2's workers.

django-q2 runs one synchronous callable at a time and kills what runs too long, so an engine works
in shifts: one task is one engine for `SHIFT_SECONDS`. Towards its end a shift calls its successor
and works on until that one has begun, so that there is never a gap; then it ends what is under way.

Leases, not shifts, own the work: two shifts at once, or none for a moment, are both safe. A shift
beats once a second; one that stopped beating is dead, its leases are given back, and a watchdog in
every worker process calls another.
"""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Self
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, connections, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django_q.tasks import async_task
from redis import RedisError

from alerts.dispatch import Dispatcher
from alerts.outbox import release_deliveries
from monitors.leasing import release_leases, release_orphans
from monitors.models import Location, Shift
from monitors.sight import hosts_up
from probe.anchors import make_anchors
from probe.engine import Engine, Limits
from probe.kinds import KINDS
from probe.lanes import LaneLimits
from probe.net import Plans
from probe.prober import Prober
from probe.sight import Sight
from probe.values import Job, Observation
from statuspages.courier import Courier
from uptime import vitals
from uptime.clock import database_now
from uptime.database import Outage
from uptime.load import Load, Meter, MeteredSink, wanted_shifts
from uptime.local_engine import DatabaseThread, LocalSink, LocalSource
from uptime.operations import review_incidents
from uptime.process import allow_many_files
from uptime.sight import Lookout, report_sight
from uptime.tracing import trace_routes

log = structlog.get_logger(__name__)

BEAT = timedelta(seconds=1)
# A shift that did not beat for this long is taken for dead, wherever it ran.
DEAD_AFTER = timedelta(seconds=10)
# How long a shift goes on beyond its time when no successor comes.
OVERTIME = timedelta(seconds=60)

_LOCK_KEY = 0x7570_7368_6674

Observe = Callable[[Job], Awaitable[Observation]]

# Kept from shift to shift, as the specs are that they are made of.
_plans = Plans()

# Set by the worker command when it is told to stop; its forked workers share it.
stop_requested = get_context("fork").Event()


def work_checks(relieves: str = "") -> str:
    """django-q2's task: one shift of the check engine, in place of the one that it `relieves`."""
    return _work("checks", _run_engine, relieves)


def work_deliveries(relieves: str = "") -> str:
    """django-q2's task: one shift of the dispatcher."""
    return _work("deliveries", _run_dispatcher, relieves)


DUTIES: dict[str, tuple[str, str]] = {
    "checks": ("checks", "uptime.shifts.work_checks"),
    "deliveries": ("default", "uptime.shifts.work_deliveries"),
}
"""Each duty's queue and task."""


def _work(duty: str, run: Callable[["Beat"], None], relieves: str) -> str:
    shift = begin_shift(duty, relieves=UUID(relieves) if relieves else None)
    if shift is None:
        return "not needed"
    beat = Beat(shift)
    log.info("shift.began", duty=duty, shift=str(shift.id))
    try:
        with beat:
            run(beat)
    finally:
        connections.close_all()  # a connection that broke must not keep the end from being written
        end_shift(shift)
    log.info("shift.ended", duty=duty, shift=str(shift.id))
    return "done"


def begin_shift(duty: str, *, relieves: UUID | None = None) -> Shift | None:
    """Register a shift, unless those that work suffice; None then, or where this machine has its
    number of them."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_KEY])
        if stop_requested.is_set() or not _is_needed(duty, relieves):
            return None
        return Shift.objects.create(
            duty=duty,
            host=host(),
            pid=os.getpid(),
            started_at=Now(),
            beat_at=Now(),
            # What the one before it could not see, it can't take for seen.
            blind_since=Location.objects.get(slug=Location.LOCAL).blind_since
            if duty == "checks"
            else None,
        )


def _is_needed(duty: str, relieves: UUID | None) -> bool:
    working = list(working_shifts(duty, database_now()))
    if duty != "checks" or not working:
        return not working
    if sum(shift.host == host() for shift in working) >= settings.CHECK_SHIFTS:
        return False
    is_relief = relieves is not None and (
        Shift.objects.filter(pk=relieves, is_draining=True).exists()
    )
    return is_relief or wanted_shifts(_loads(working)) > len(working)


def _loads(shifts: Iterable[Shift]) -> list[Load]:
    return [Load(one.busy, one.busy_lately, one.lateness) for one in shifts]


def end_shift(shift: Shift) -> None:
    if shift.duty == "checks":
        release_leases(owner=shift.id)
    Shift.objects.filter(pk=shift.pk).delete()


def working_shifts(duty: str, now: datetime) -> QuerySet[Shift]:
    """The shifts that take on new work."""
    return Shift.objects.filter(duty=duty, is_draining=False, beat_at__gt=now - DEAD_AFTER)


class Beat:
    """A shift's pulse, in a thread of its own with its own connection.

    It says when to stop: told to by the worker, relieved by a successor, or taken for dead.
    """

    def __init__(self, shift: Shift) -> None:
        self.shift = shift
        self.stopping = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)
        self._ends_at = time.monotonic() + settings.SHIFT_SECONDS
        self._called_at: float | None = None
        self._successors_since: datetime | None = None
        self.meter = Meter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(5)

    @property
    def is_hurried(self) -> bool:
        """Whether the process is to end: there are seconds to finish in, not minutes."""
        return stop_requested.is_set()

    def _run(self) -> None:
        outage = Outage("shift.beat", shift=str(self.shift.id))
        while not self._ended.wait(BEAT.total_seconds()):
            try:
                self._beat()
            except (DatabaseError, InterfaceError, RedisError) as error:
                outage.begin(error)
                connections.close_all()
            else:
                outage.end()
        connections.close_all()

    def _beat(self) -> None:
        mine = Shift.objects.filter(pk=self.shift.pk)
        if not mine.update(beat_at=Now(), **asdict(self.meter.measure())):
            log.warning("shift.taken_for_dead", shift=str(self.shift.id))
            self.stopping.set()
        if stop_requested.is_set() and not self.stopping.is_set():
            mine.update(is_draining=True)
            self.stopping.set()
        if self.stopping.is_set():
            return
        if self.shift.duty == "checks":
            bury_dead_shifts()
        if time.monotonic() >= self._ends_at:
            self._hand_over(mine)
        elif self.shift.duty == "checks":
            self._adapt(mine)

    def _adapt(self, mine: QuerySet[Shift]) -> None:
        """Call one more shift where all are strained; end this one where it is the spare one.

        The eldest calls and the youngest goes, so that nothing is done twice.
        """
        now = database_now()
        working = list(working_shifts("checks", now).order_by("started_at", "id"))
        if self.shift.pk not in {shift.pk for shift in working}:
            return
        wanted = wanted_shifts(_loads(working))
        if wanted > len(working) and working[0].pk == self.shift.pk:
            # A call that waits in the queue tells that no worker is free.
            if not vitals.queue_depths(now)["checks"] and _has_room(working):
                log.info("shift.called", reason="strained", working=len(working))
                call_shift("checks")
        elif wanted < len(working) and working[-1].pk == self.shift.pk:
            log.info("shift.spare", shift=str(self.shift.id), working=len(working))
            mine.update(is_draining=True)
            self.stopping.set()

    def _hand_over(self, mine: QuerySet[Shift]) -> None:
        """Call a successor and wait for it to begin; after `OVERTIME` end without one."""
        now = time.monotonic()
        if self._called_at is None or self._successors_since is None:
            self._called_at, self._successors_since = now, database_now()
            mine.update(is_draining=True)
            call_shift(self.shift.duty, relieves=self.shift.pk)
        elif (
            working_shifts(self.shift.duty, database_now())
            .filter(started_at__gte=self._successors_since)
            .exists()
        ):
            self.stopping.set()
        elif now - self._called_at > OVERTIME.total_seconds():
            log.warning("shift.unrelieved", shift=str(self.shift.id))
            self.stopping.set()


def call_shift(duty: str, *, relieves: UUID | None = None) -> None:
    """Put a shift of this duty into its queue; one that is not needed ends at once."""
    queue, task = DUTIES[duty]
    async_task(task, *([str(relieves)] if relieves else []), cluster=queue, group="shifts")


def _has_room(working: Iterable[Shift]) -> bool:
    """Whether this machine may have one more, or another one works, which has rules of its own."""
    here = [shift for shift in working if shift.host == host()]
    return len(here) < settings.CHECK_SHIFTS or Shift.objects.exclude(host=host()).exists()


def bury_dead_shifts() -> int:
    """Forget shifts that died, and give back what they had leased; returns how many."""
    now = database_now()
    dead = [shift for shift in Shift.objects.all() if _is_dead(shift, now)]
    if dead:
        Shift.objects.filter(pk__in=[shift.pk for shift in dead]).delete()
        living = list(Shift.objects.values_list("id", flat=True))
        freed = release_orphans(living=living) + release_deliveries(living=living)
        log.warning("shift.died", shifts=[str(shift) for shift in dead], leases_freed=freed)
    return len(dead)


def _is_dead(shift: Shift, now: datetime) -> bool:
    if shift.beat_at < now - DEAD_AFTER:
        return True
    return shift.host == host() and not Path(f"/proc/{shift.pid}").exists() and _HAS_PROC


def is_working(duty: str) -> bool:
    return working_shifts(duty, database_now()).exists()


def restore_shift(duty: str) -> bool:
    """The watchdog's look: call a shift when none works; returns whether one does."""
    bury_dead_shifts()
    if is_working(duty):
        return True
    call_shift(duty)
    return False


_HAS_PROC = Path("/proc/self").exists()


@cache
def host() -> str:
    """This machine, told apart from containers that share its name but not its process ids."""
    namespace = Path("/proc/self/ns/pid")
    ids = namespace.stat().st_ino if namespace.exists() else 0
    return f"{socket.gethostname()}/{ids}"


def _run_engine(beat: Beat) -> None:
    asyncio.run(_check(beat))


async def _check(beat: Beat) -> None:
    leases, results = DatabaseThread("lease"), DatabaseThread("store")
    stop, hurry = asyncio.Event(), asyncio.Event()
    watching = asyncio.create_task(_watch(beat, stop, hurry))
    try:
        async with Prober(_plans) as prober:
            await run_engine(beat.shift, prober.observe, leases, results, stop, hurry, beat.meter)
    finally:
        watching.cancel()
        leases.close()
        results.close()


async def run_engine(
    shift: Shift,
    observe: Observe,
    leases: DatabaseThread,
    results: DatabaseThread,
    stop: asyncio.Event,
    hurry: asyncio.Event,
    meter: Meter,
) -> None:
    """The check engine of this installation's own location, with its eyes open, until `stop`."""
    location = await leases.run(lambda: Location.objects.get(slug=Location.LOCAL))
    source = LocalSource(owner=shift.id, location_id=location.id, thread=leases)
    sink = MeteredSink(LocalSink(owner=shift.id, thread=results), meter)

    async def tell(is_blind: bool) -> None:
        await leases.run(lambda: report_sight(shift_id=shift.id, is_blind=is_blind))

    sight = Sight(
        observe=observe,
        anchors=make_anchors(location.anchors),
        tell=tell,
        is_blind=shift.blind_since is not None,
        were_up=await leases.run(lambda: hosts_up(location.id)),
    )
    beside = [
        asyncio.create_task(sight.watch()),
        asyncio.create_task(trace_routes(location.id, observe, results)),
    ]
    try:
        limits = _limits()
        engine = Engine(source=source, sink=sink, observe=sight.observe, limits=limits)
        meter.filled = lambda: engine.filled
        await engine.run(stop, hurry=hurry)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)


def _limits() -> Limits:
    """As many checks at once as there are files for: a socket each, and one more for DNS."""
    in_flight = min(4000, (allow_many_files() - 200) // 2)
    per_kind = {kind.name: kind.at_once for kind in KINDS.values() if kind.at_once}
    return Limits(
        in_flight=in_flight,
        # However much of one team's hangs, half of all is left to the others.
        lanes=LaneLimits(per_team=in_flight // 2, per_kind=per_kind),
    )


async def _watch(beat: Beat, stop: asyncio.Event, hurry: asyncio.Event) -> None:
    """Carry the beat's word, which comes from another thread and process, into the loop."""
    while not hurry.is_set():
        if beat.stopping.is_set() or beat.is_hurried:
            stop.set()
        if beat.is_hurried:
            hurry.set()
        await asyncio.sleep(0.1)


def _run_dispatcher(beat: Beat) -> None:
    def is_over() -> bool:
        return beat.stopping.is_set() or beat.is_hurried

    # A daemon: a receiver that hangs can't keep the shift from ending, and its lease lapses.
    courier = Courier(beat.shift.id)
    threading.Thread(target=courier.run, args=(is_over,), name="courier", daemon=True).start()
    lookout = Lookout()

    def review() -> None:
        review_incidents()
        lookout.look(database_now())

    Dispatcher(beat.shift.id).run(is_over, on_beat=review)
