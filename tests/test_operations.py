"""What people do and what is looked at once a second, each in one transaction."""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from django.db import connection, connections, transaction

from incidents.actions import snooze_monitor
from incidents.models import EventKind, Incident
from incidents.transitions import Transition
from monitors.actions import update_monitor
from monitors.models import Monitor, Ping, PingKind
from tests.factories import make_monitor
from uptime import operations
from uptime.clock import database_now
from uptime.operations import acknowledge_incident, pause_monitor, review_incidents

pytestmark = pytest.mark.django_db


def test_a_review_that_fails_keeps_no_other_from_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[datetime] = []

    def stumble(now: datetime) -> list[Transition]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        return []

    def look(now: datetime) -> list[Transition]:
        looked.append(now)
        return []

    monkeypatch.setattr(operations, "_REVIEWS", (stumble, look))
    review_incidents()
    assert len(looked) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "act",
    [
        lambda monitor: pause_monitor(monitor=monitor),
        lambda monitor: update_monitor(monitor=monitor, values={"name": "Other"}),
        lambda monitor: snooze_monitor(monitor=monitor, length=timedelta(hours=1), by=None),
        lambda monitor: acknowledge_incident(incident=monitor.incidents.get(), by=None),
    ],
    ids=["pause", "edit", "snooze", "acknowledge"],
)
def test_what_comes_to_refer_to_a_locked_monitor_or_incident_waits_for_nobody(
    act: Callable[[Monitor], Any],
) -> None:
    """It would at its commit, holding locks that the other one may want: a deadlock."""
    monitor, now = make_monitor(), database_now()
    Incident.objects.create(
        team=monitor.team, monitor=monitor, severity="down", started_at=now, confirmed_at=now
    )
    errors: list[Exception] = []

    def refer() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '1s'")
                Ping.objects.create(monitor=monitor, kind=PingKind.LOG, at=now, method="GET")
                Incident.objects.get().events.create(kind=EventKind.COMMENTED, at=now)
        except Exception as error:  # noqa: BLE001 - the test's thread tells of it
            errors.append(error)
        finally:
            connections.close_all()

    with transaction.atomic():
        act(monitor)
        racing = Thread(target=refer)
        racing.start()
        racing.join()
    assert not errors
