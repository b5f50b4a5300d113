"""What the tests of alerts begin with: a team, a monitor that fails, channels, deliveries."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event as Flag
from threading import Thread
from typing import Any

from django.db import connection, transaction

from accounts.models import Membership, Team
from alerts.actions import create_channel, create_policy
from alerts.dispatch import Dispatcher
from alerts.models import Channel, Delivery
from alerts.outbox import queue_deliveries
from incidents.models import EventKind, Incident, IncidentEvent, IncidentStatus, Severity
from incidents.transitions import Transition
from monitors.models import Monitor, Status
from tests.factories import MembershipFactory
from uptime.clock import database_now

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def make_team(*, is_staff: bool = True) -> Team:
    """A team and its owner; of staff, so that its webhooks may go to loopback."""
    owner: Membership = MembershipFactory(user__is_staff=is_staff, user__password=None)
    return owner.team


def make_monitor(team: Team, name: str = "Shop", *, tags: tuple[str, ...] = ()) -> Monitor:
    return Monitor.objects.create(
        team=team,
        name=name,
        kind="http",
        target="https://shop.example/",
        tags=list(tags),
        status=Status.UP,
    )


def make_webhook(
    team: Team,
    url: str,
    name: str = "Hook",
    *,
    digest_above: int | None = None,
    rate_per_minute: int | None = None,
    **config: Any,
) -> Channel:
    """One that merges nothing and is sent to without limit, unless told else."""
    values = {
        "name": name,
        "type": "webhook",
        "config": {"url": url, **config},
        "digest_above": digest_above,
        "rate_per_minute": rate_per_minute,
    }
    return create_channel(team=team, values=values)


def tell_all(team: Team, *channels: Channel, on: tuple[str, ...] = ("down", "recovered")) -> None:
    """A policy that tells these channels of every monitor."""
    create_policy(
        team=team,
        values={
            "name": "All",
            "all": True,
            "on": list(on),
            "steps": [{"channels": [channel.pk for channel in channels]}],
        },
    )


def fail(monitor: Monitor, *, severity: Severity = Severity.DOWN) -> Transition:
    """The monitor's incident opens, as the intake would have it."""
    incident = Incident.objects.create(
        team=monitor.team,
        monitor=monitor,
        severity=severity,
        reason="connect_refused",
        message="shop.example:443 refused the connection.",
        locations=["local"],
        started_at=NOON,
        confirmed_at=NOON + timedelta(seconds=5),
    )
    event = IncidentEvent.objects.create(
        incident=incident, kind=EventKind.OPENED, at=incident.confirmed_at, severity=severity
    )
    return Transition(incident, event, severity.value)


def worsen(incident: Incident, severity: Severity) -> Transition:
    """Or ease."""
    incident.severity = severity
    incident.save()
    event = IncidentEvent.objects.create(
        incident=incident, kind=EventKind.SEVERITY_CHANGED, severity=severity, at=database_now()
    )
    return Transition(incident, event, severity.value)


def recover(incident: Incident) -> Transition:
    incident.status = IncidentStatus.RESOLVED
    incident.resolved_at = incident.started_at + timedelta(minutes=4, seconds=12)
    incident.save()
    event = IncidentEvent.objects.create(
        incident=incident, kind=EventKind.RESOLVED, at=incident.resolved_at
    )
    return Transition(incident, event, "recovered")


def queue(*transitions: Transition) -> list[Delivery]:
    """Queue and commit; returns what was queued."""
    with transaction.atomic():
        queue_deliveries(transitions)
    events = [transition.event for transition in transitions]
    return list(Delivery.objects.filter(incident_event__in=events).order_by("pk"))


def queue_many(team: Team, channel: Channel, count: int) -> list[Delivery]:
    """`count` failures, each of a monitor of its own, told to one channel."""
    tell_all(team, channel)
    return queue(*(fail(make_monitor(team, f"Shop {number}")) for number in range(count)))


def send_due(dispatcher: Dispatcher, *, at: datetime | None = None, seconds: float = 10) -> None:
    """Let the dispatcher send all that is due, and wait until it is recorded."""
    while dispatcher.step(at or database_now()) or dispatcher.is_busy:
        assert dispatcher.drain(seconds)


@contextmanager
def running(dispatcher: Dispatcher) -> Iterator[None]:
    """The dispatcher at work in a thread with a database connection of its own."""
    stop = Flag()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            dispatcher.run(stop.is_set)
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            connection.close()

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()
        assert not failures


def until(condition: Callable[[], bool], timeout: float = 10) -> None:
    """For what only the database knows: look until it is so."""
    ends_at = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.02)
