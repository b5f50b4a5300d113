"""`manage.py worker checks|default`: one django-q2 cluster, its watchdog, and a graceful end."""

import os
import signal
import threading
import time
from argparse import ArgumentParser
from contextlib import suppress
from multiprocessing import get_context
from types import FrameType
from typing import Any

import psutil
import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, connections

from uptime.database import Outage

log = structlog.get_logger(__name__)

QUEUES = ("checks", "default")
LOOK_EVERY_S = 1.0
# A called shift needs a moment to begin before another is called.
CALL_EVERY_S = 3.0
# A queue whose workers do not take up a shift for this long is stuck: start it afresh.
STUCK_AFTER_S = 15.0
# A shift drains for 10 s at most.
END_WITHIN_S = 13.0


class Command(BaseCommand):
    help = "Run the workers of one queue until SIGTERM or Ctrl-C; what runs is finished first."
    requires_system_checks = []  # they load all pages and the API, which one queue never needs
    _is_stopping = False
    _outage = Outage("worker.watch")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queue", choices=QUEUES, help="checks, or default for all the rest")

    def handle(self, *args: Any, queue: str, **options: Any) -> None:
        from django_q.conf import Conf

        from alerts.sending import load_messages
        from uptime import shifts
        from uptime.process import prepare_to_fork
        from uptime.schedules import ensure_schedules
        from uptime.schema import require_schema

        require_schema()  # without a database, or with an older one, there is one clear line
        if queue == "default":
            ensure_schedules()
            load_messages()
        # django-q2 takes the queue from the environment, but reads it before a command can set it.
        Conf.CLUSTER_NAME = queue
        Conf.SCHEDULER = queue == "default"
        if queue == "checks":
            Conf.WORKERS = (
                settings.CHECK_SHIFTS + 1
            )  # one shift may drain while its successor works
        prepare_to_fork()
        self._pool = Pool(self._stop)
        log.info("worker.started", queue=queue, pid=os.getpid())
        duties = [duty for duty, (place, _) in shifts.DUTIES.items() if place == queue]
        try:
            self._watch(duties)
        finally:
            self._pool.end()
            log.info("worker.stopped", queue=queue)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True

    def _watch(self, duties: list[str]) -> None:
        """See to it that each duty has its shift. Raises CommandError when that can't be had."""
        healthy_at = time.monotonic()
        called_at = -CALL_EVERY_S
        renewals = 0
        while not self._is_stopping:
            if not self._pool.is_alive:
                raise CommandError("The cluster's sentinel died.")
            now = time.monotonic()
            may_call = now - called_at > CALL_EVERY_S
            are_working = self._are_working(duties, may_call=may_call)
            if are_working is None:
                healthy_at += LOOK_EVERY_S  # it is the database that is away, not the workers
            elif are_working:
                healthy_at, renewals = now, 0
            elif may_call:
                called_at = now
            is_stuck = now - healthy_at > STUCK_AFTER_S
            if is_stuck and renewals:
                raise CommandError("No worker takes up a shift, nor did a new cluster's.")
            if is_stuck or self._pool.has_lost_a_worker:
                log.warning("worker.cluster.renewed", is_stuck=is_stuck)
                self._pool = self._pool.renew()
                healthy_at, called_at, renewals = now, now - CALL_EVERY_S + 1, renewals + is_stuck
            time.sleep(LOOK_EVERY_S)

    def _are_working(self, duties: list[str], *, may_call: bool) -> bool | None:
        """Whether each duty has a shift that takes on work; None when the database can't tell."""
        from uptime.shifts import is_working, restore_shift

        try:
            are_working = all(restore_shift(d) if may_call else is_working(d) for d in duties)
        except (DatabaseError, InterfaceError) as error:
            self._outage.begin(error)
            connections.close_all()
            return None
        self._outage.end()
        return are_working


class Pool:
    """A django-q2 cluster of its own, with the event that tells its shifts to end.

    A worker that is killed while it waits for a task leaves the cluster's queue locked: the others
    never hear of a task again, nor of the end. So a cluster that lost one is replaced as a whole,
    the new one first; what the old one has under way is ended.
    """

    def __init__(self, on_signal: Any) -> None:
        from django_q.cluster import Cluster
        from django_q.conf import Conf

        from uptime import shifts

        self._on_signal = on_signal
        self._stop_requested = shifts.stop_requested = get_context("fork").Event()
        connections.close_all()  # a fork must not share them
        self._cluster = Cluster()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, on_signal)
        self._cluster.start()
        self._watched = self._children()[: Conf.WORKERS + 1]

    @property
    def is_alive(self) -> bool:
        return bool(self._cluster.sentinel.is_alive())

    @property
    def has_lost_a_worker(self) -> bool:
        """Whether a worker, or the process that takes their results, is no longer the first one.

        The one that fetches tasks may come and go: it ends by itself when the broker is away.
        """
        return not set(self._watched) <= set(self._children())

    def renew(self) -> "Pool":
        """Start another and let this one end in the background."""
        threading.Thread(target=self._retire, daemon=True).start()
        return Pool(self._on_signal)

    def end(self) -> None:
        """End the cluster, whose shifts drain; one that can't end is ended with this process."""
        if not self._stop():
            log.warning("worker.cluster.stuck")
            os._exit(1)  # the kernel ends the processes that were forked from this one

    def _retire(self) -> None:
        if not self._stop():
            self._cluster.sentinel.kill()  # its children end with it

    def _stop(self) -> bool:
        self._stop_requested.set()
        ending = threading.Thread(target=self._cluster.stop, daemon=True)
        ending.start()
        ending.join(END_WITHIN_S)
        return not ending.is_alive()

    def _children(self) -> list[int]:
        """The cluster's processes in the order of their start: workers, results, tasks."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self._cluster.sentinel.pid).children()
            alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
            return [
                child.pid
                for child in sorted(alive, key=lambda child: (child.create_time(), child.pid))
            ]
        return []
