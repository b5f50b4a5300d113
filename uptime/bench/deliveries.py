"""Deliveries on their way out: how soon a lone one leaves, how fast a long queue drains.

Starts a PostgreSQL, a receiver of webhooks, a target and the real workers of its own. First single
failures are committed, one after the other, and each request awaited. Then, with checks going on, a
queue is committed at once and drained, while single failures of another channel's monitors are
committed as before; lateness of the checks is taken before and meanwhile. The
floor is a bare httpx client that posts the same body to the same receiver, one after the other,
each over a connection of its own.
"""

import asyncio
import re
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import random
from threading import Condition, Event, Thread
from typing import Any
from uuid import UUID

import httpx
from django.db import connection, transaction

from accounts.models import Membership, Role, Team, User
from alerts.actions import create_channel, create_policy
from alerts.models import Channel, Delivery, DeliveryStatus
from alerts.outbox import announce, queue_deliveries
from incidents.models import EventKind, Incident, IncidentEvent, Severity
from incidents.transitions import Transition
from monitors.models import Assignment, Monitor, Shift, Status
from uptime.bench.engine import scratch_database, seed, worker
from uptime.bench.measure import tree_cpu_s
from uptime.bench.target import loopback_target
from uptime.clock import database_now

KEYS = {
    "leaving_p50_ms": "from the commit of a transition to its request, median",
    "leaving_p99_ms": "99th percentile of the same",
    "leaving_first_ms": "the first of them, which finds the workers just started",
    "beside_p50_ms": "the same beside the queue, to a channel that has none, median",
    "beside_p99_ms": "99th percentile of those",
    "beside": "how many those were",
    "deliveries": "how many were queued at once",
    "deliveries_per_s": "of those, sent and recorded per second",
    "first_ms": "from their commit to the first request",
    "cpu_ms_per_delivery": "CPU of the worker with all its processes, per delivery",
    "postgres_cpu_ms_per_delivery": "CPU of PostgreSQL meanwhile, the checks' part included",
    "floor_cpu_ms_per_delivery": "CPU of a bare client that posts as much",
    "lateness_p99_before_ms": "of checks, before the queue was there",
    "lateness_p99_ms": "of checks, while it drained",
}

CHECK_EVERY = timedelta(seconds=5)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--lone", type=int, default=100, help="single failures (100)")
    parser.add_argument("--deliveries", type=int, default=10_000, help="queued at once (10000)")
    parser.add_argument("--channels", type=int, default=10, help="they go to (10)")
    parser.add_argument("--checks", type=int, default=100, help="a second, meanwhile (100)")


def run(options: Mapping[str, Any]) -> dict[str, float]:
    with ExitStack() as stack:
        postgres_pid = stack.enter_context(scratch_database())
        receiver, calm = stack.enter_context(_receiver()), stack.enter_context(_receiver())
        target = stack.enter_context(loopback_target())
        seed(round(options["checks"] * CHECK_EVERY.total_seconds()), CHECK_EVERY, target)
        team = _make_team()
        channels = _make_channels(team, receiver.url, options["channels"])
        [own] = _make_channels(team, calm.url, 1, name="Calm")
        stack.enter_context(worker("checks"))
        sender = stack.enter_context(worker("default"))
        _wait_until_they_work()
        print(f"Committing {options['lone']} failures, one after the other", flush=True)
        leaving_ms = [_commit_one(team, own, calm) for _ in range(options["lone"])]
        calm_since = database_now()
        time.sleep(5)
        print(f"Queueing {options['deliveries']} deliveries at once", flush=True)
        queue = _make_queue(team, channels, options["deliveries"])
        spent = [tree_cpu_s(sender.pid), tree_cpu_s(postgres_pid)]
        drain_since = database_now()
        with ThreadPoolExecutor(1) as beside:
            committing = beside.submit(_commit_until, drained := Event(), team, own, calm)
            drain = _drain(queue, receiver)
            drained.set()
            beside_ms = committing.result()
        spent = [tree_cpu_s(sender.pid) - spent[0], tree_cpu_s(postgres_pid) - spent[1]]
        time.sleep(1)  # the last checks are stored
        before_ms = _lateness_p99_ms(calm_since, drain_since)
        meanwhile_ms = _lateness_p99_ms(drain_since, database_now())
        floor_ms = _floor_cpu_ms(receiver, 500)
    count = options["deliveries"]
    return {
        "leaving_p50_ms": round(_percentile(leaving_ms, 0.5), 1),
        "leaving_p99_ms": round(_percentile(leaving_ms, 0.99), 1),
        "leaving_first_ms": round(leaving_ms[0], 1),
        "beside_p50_ms": round(_percentile(beside_ms, 0.5), 1),
        "beside_p99_ms": round(_percentile(beside_ms, 0.99), 1),
        "beside": len(beside_ms),
        "deliveries": count,
        "deliveries_per_s": round(count / drain.seconds, 1),
        "first_ms": round(drain.first_ms, 1),
        "cpu_ms_per_delivery": round(spent[0] / count * 1000, 3),
        "postgres_cpu_ms_per_delivery": round(spent[1] / count * 1000, 3),
        "floor_cpu_ms_per_delivery": round(floor_ms, 3),
        "lateness_p99_before_ms": round(before_ms, 2),
        "lateness_p99_ms": round(meanwhile_ms, 2),
    }


@dataclass
class _Receiver:
    """Takes every request, and keeps when each came."""

    url: str = ""
    came: list[float] = field(default_factory=list)
    last_body: bytes = b""
    changed: Condition = field(default_factory=Condition)

    def took(self, body: bytes) -> None:
        with self.changed:
            self.came.append(time.monotonic())
            self.last_body = body
            self.changed.notify_all()

    def wait_for(self, count: int) -> float:
        """When the `count`th request came."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.came) >= count, timeout=600):
                raise SystemExit(f"only {len(self.came)} of {count} requests came")
            return self.came[count - 1]


class _Taking(asyncio.Protocol):
    """One request, one answer."""

    def __init__(self, receiver: _Receiver) -> None:
        self._receiver = receiver
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, _, body = self._got.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if length and len(body) >= int(length[1]):
            self._receiver.took(body)
            self._transport.write(_ANSWER)
            self._transport.close()


@contextmanager
def _receiver() -> Iterator[_Receiver]:
    receiver, loop, is_up = _Receiver(), asyncio.new_event_loop(), Event()

    async def listen() -> None:
        server = await loop.create_server(lambda: _Taking(receiver), "127.0.0.1", 0, backlog=1024)
        receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        is_up.set()

    def serve() -> None:
        loop.create_task(listen())
        loop.run_forever()
        loop.close()

    thread = Thread(target=serve)
    thread.start()
    is_up.wait()
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _make_team() -> Team:
    """One whose webhooks may go to loopback: a member of the staff owns it."""
    owner = User.objects.create_user("bench@uptime.example", is_staff=True)
    team = Team.objects.create(name="Deliveries")
    Membership.objects.create(team=team, user=owner, role=Role.OWNER)
    return team


def _make_channels(team: Team, url: str, count: int, name: str = "Hook") -> list[Channel]:
    """Each with a policy for the monitors that have its name as their tag."""
    channels = [
        create_channel(
            team=team,
            values={
                "name": f"{name} {number}",
                "type": "webhook",
                "config": {"url": url},
                "digest_above": None,
            },
        )
        for number in range(count)
    ]
    for channel in channels:
        steps = [{"channels": [channel.pk]}]
        create_policy(
            team=team,
            values={"name": channel.name, "tags": [channel.name], "on": ["down"], "steps": steps},
        )
    return channels


def _wait_until_they_work() -> None:
    ends_at = time.monotonic() + 60
    while Shift.objects.count() < 2 or Assignment.objects.filter(last_checked_at=None).exists():
        if time.monotonic() > ends_at:
            raise SystemExit("The workers did not begin within a minute.")
        time.sleep(0.2)


def _fail(team: Team, channels: Sequence[Channel], count: int) -> list[Transition]:
    """Monitors that nobody checks, with incidents that open now, as the intake makes them."""
    now = database_now()
    monitors = Monitor.objects.bulk_create(
        [
            Monitor(
                team=team,
                name=f"Failing {number}",
                kind="http",
                target="http://127.0.0.1:9/",
                status=Status.DOWN,  # of one that is pending nobody is told
                tags=[channels[number % len(channels)].name],
            )
            for number in range(count)
        ],
        batch_size=1000,
    )
    incidents = Incident.objects.bulk_create(
        [
            Incident(
                team=team,
                monitor=monitor,
                severity=Severity.DOWN,
                reason="connect_refused",
                message="127.0.0.1:9 refused the connection.",
                locations=["local"],
                started_at=now,
                confirmed_at=now,
            )
            for monitor in monitors
        ],
        batch_size=1000,
    )
    events = IncidentEvent.objects.bulk_create(
        [
            IncidentEvent(incident=incident, kind=EventKind.OPENED, at=now, severity=Severity.DOWN)
            for incident in incidents
        ],
        batch_size=1000,
    )
    pairs = zip(incidents, events, strict=True)
    return [Transition(incident, event, "down") for incident, event in pairs]


def _commit_one(team: Team, channel: Channel, receiver: _Receiver) -> float:
    """Milliseconds from the commit of one failure to its request."""
    came = len(receiver.came)
    with transaction.atomic():
        queue_deliveries(_fail(team, [channel], 1))
    committed_at = time.monotonic()
    came_at = receiver.wait_for(came + 1)
    time.sleep(0.02 + random() * 0.05)  # noqa: S311 - so that they don't march in step
    return (came_at - committed_at) * 1000


def _commit_until(stop: Event, team: Team, channel: Channel, receiver: _Receiver) -> list[float]:
    """The same over and over."""
    took_ms = []
    while not stop.is_set():
        took_ms.append(_commit_one(team, channel, receiver))
    connection.close()
    return took_ms


def _make_queue(team: Team, channels: Sequence[Channel], count: int) -> list[UUID]:
    """Deliveries that are not due; returns their ids."""
    never = datetime(9999, 1, 1, tzinfo=UTC)
    with transaction.atomic():
        queue_deliveries(_fail(team, channels, count))
        queued = Delivery.objects.filter(status=DeliveryStatus.QUEUED)
        ids = list(queued.values_list("pk", flat=True))
        queued.update(next_attempt_at=never)
    return ids


@dataclass(frozen=True, slots=True)
class _Drain:
    seconds: float
    first_ms: float


def _drain(queue: Sequence[UUID], receiver: _Receiver) -> _Drain:
    came = len(receiver.came)
    with transaction.atomic():
        Delivery.objects.filter(pk__in=queue).update(next_attempt_at=database_now())
        announce()
    began = time.monotonic()
    first = receiver.wait_for(came + 1)
    receiver.wait_for(came + len(queue))
    while Delivery.objects.filter(next_attempt_at__isnull=False).exists():
        time.sleep(0.05)
    return _Drain(time.monotonic() - began, (first - began) * 1000)


def _lateness_p99_ms(since: datetime, until: datetime) -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT percentile_cont(0.99) WITHIN GROUP (
                ORDER BY extract(epoch FROM checked_at - due_at) * 1000)
            FROM monitors_result WHERE due_at > %s AND due_at <= %s AND attempt = 0
            """,
            [since, until],
        )
        (late,) = cursor.fetchone()
    return float(late)


def _floor_cpu_ms(receiver: _Receiver, count: int) -> float:
    """CPU milliseconds of this thread for each bare POST."""
    body = receiver.last_body
    before = time.thread_time()
    for _ in range(count):
        with httpx.Client(verify=False, trust_env=False) as client:  # noqa: S501 - it is plain HTTP
            client.post(receiver.url, content=body, headers={"Content-Type": "application/json"})
    return (time.thread_time() - before) / count * 1000


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
