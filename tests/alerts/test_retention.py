"""Old deliveries are forgotten once nobody can need them."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.test import override_settings

from alerts.models import Delivery, DeliveryStatus
from incidents.models import Incident, IncidentStatus
from monitors import chores
from tests.factories import TeamFactory, WebhookFactory, make_monitor
from tests.monitors.results import keep_history
from uptime.clock import database_now
from uptime.ids import lowest_uuid7

pytestmark = pytest.mark.django_db

LONG_AGO = timedelta(days=40)


@pytest.fixture
def incident() -> Incident:
    monitor, at = make_monitor(), database_now() - LONG_AGO
    return Incident.objects.create(
        team=monitor.team, monitor=monitor, severity="down", started_at=at, confirmed_at=at
    )


def delivery(
    age: timedelta, incident: Incident | None = None, *, is_settled: bool = True
) -> Delivery:
    at = database_now() - age
    number = Delivery.objects.count()
    team = incident.team if incident else TeamFactory()
    return Delivery.objects.create(
        id=UUID(int=lowest_uuid7(at).int + number),
        team=team,
        channel=WebhookFactory(team=team),
        incident=incident,
        event="down",
        facts={},
        status=DeliveryStatus.SENT if is_settled else DeliveryStatus.FAILED,
        next_attempt_at=None if is_settled else at,
        created_at=at,
    )


def forget() -> None:
    with override_settings(RETENTION_DAYS=30):
        keep_history(database_now(), only=chores.DELIVERIES)


def test_what_is_older_than_results_are_kept_goes() -> None:
    old, young = delivery(LONG_AGO), delivery(timedelta(days=29))
    forget()
    assert list(Delivery.objects.all()) == [young]
    assert old != young


def test_what_is_not_settled_stays() -> None:
    waiting = delivery(LONG_AGO, is_settled=False)
    forget()
    assert Delivery.objects.get() == waiting


def test_what_was_told_of_an_incident_stays_until_it_is_over(incident: Incident) -> None:
    told = delivery(LONG_AGO, incident)
    forget()
    assert Delivery.objects.get() == told
    now = database_now()
    Incident.objects.update(status=IncidentStatus.RESOLVED, resolved_at=now)
    with override_settings(RETENTION_DAYS=29):
        keep_history(now, only=chores.DELIVERIES)
    assert not Delivery.objects.exists()
    assert Incident.objects.count() == 1


def test_however_many_there_are_all_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.retention.AT_ONCE", 2)
    for _ in range(5):
        delivery(LONG_AGO)
    forget()
    assert not Delivery.objects.exists()
