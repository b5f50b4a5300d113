"""`manage.py worker checks|default`: one django-q2 cluster, its watchdog, and a graceful end."""

import os
import signal
import threading
import time
from argparse import ArgumentParser
from types import FrameType
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections

log = structlog.get_logger(__name__)

QUEUES = ("checks", "default")
LOOK_EVERY_S = 1.0
# A called shift needs a moment to begin before another is called.
CALL_EVERY_S = 3.0
# A queue whose workers do not take up a shift for this long is stuck: start it afresh.
STUCK_AFTER_S = 20.0
# A shift drains for 10 s at most.
END_WITHIN_S = 13.0


class Command(BaseCommand):
    help = "Run the workers of one queue until SIGTERM or Ctrl-C; what runs is finished first."
    requires_system_checks = []  # they load all pages and the API, which no worker needs
    _is_stopping = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queue", choices=QUEUES, help="checks, or default for all the rest")

    def handle(self, *args: Any, queue: str, **options: Any) -> None:
        from django_q.cluster import Cluster
        from django_q.conf import Conf

        from uptime import shifts
        from uptime.process import prepare_to_fork
        from uptime.schedules import ensure_schedules

        connections["default"].ensure_connection()  # without a database there is one clear line
        if queue == "default":
            ensure_schedules()
        # django-q2 takes the queue from the environment, but reads it before a command can set it.
        Conf.CLUSTER_NAME = queue
        Conf.SCHEDULER = queue == "default"
        connections.close_all()  # a fork must not share them
        prepare_to_fork()
        cluster = Cluster()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        cluster.start()
        log.info("worker.started", queue=queue, pid=os.getpid())
        duties = [duty for duty, (place, _) in shifts.DUTIES.items() if place == queue]
        try:
            self._watch(cluster, duties)
        finally:
            shifts.stop_requested.set()
            _end(cluster)
            log.info("worker.stopped", queue=queue)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True

    def _watch(self, cluster: Any, duties: list[str]) -> None:
        """See to it that each duty has its shift. Raises CommandError when the cluster broke."""
        healthy_at = time.monotonic()
        called_at = -CALL_EVERY_S
        while not self._is_stopping:
            if not cluster.sentinel.is_alive():
                raise CommandError("The cluster's sentinel died.")
            now = time.monotonic()
            may_call = now - called_at > CALL_EVERY_S
            if self._are_working(duties, may_call=may_call):
                healthy_at = now
            elif may_call:
                called_at = now
            if now - healthy_at > STUCK_AFTER_S:
                raise CommandError("No worker takes up a shift: the cluster is stuck.")
            time.sleep(LOOK_EVERY_S)

    def _are_working(self, duties: list[str], *, may_call: bool) -> bool:
        from uptime.shifts import is_working, restore_shift

        try:
            return all(restore_shift(d) if may_call else is_working(d) for d in duties)
        except DatabaseError:
            log.warning("worker.watch.failed", exc_info=True)
            connections.close_all()
            return True  # not the cluster's fault: it is the database that is away


def _end(cluster: Any) -> None:
    """End the cluster, whose shifts drain; one that does not end is ended with this process.

    A worker that was killed while it waited for a task leaves django-q2's queue locked, and the
    others deaf to the word that ends them.
    """
    ending = threading.Thread(target=cluster.stop, daemon=True)
    ending.start()
    ending.join(END_WITHIN_S)
    if ending.is_alive():
        log.warning("worker.cluster.stuck")
        os._exit(1)  # the kernel ends the processes that were forked from this one
