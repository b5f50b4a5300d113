"""The books of a fault run: a true history balances, and each kind of untruth is found."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import F

from alerts.models import Delivery, DeliveryStatus
from incidents.models import EventKind, Incident, IncidentEvent
from monitors.models import Assignment, Monitor, Result, StatusSpan
from monitors.specs import spec_of
from probe.values import Finished, Job, Observation, Reason, Status
from tests.factories import TeamFactory, WebhookFactory, make_monitor, make_policy
from uptime.bench.books import audit, open_books
from uptime.bench.witness import Evidence
from uptime.intake import take_in
from uptime.models import Counter

pytestmark = pytest.mark.django_db

UP = Observation(Status.UP, http_status=200)
DOWN = Observation(Status.DOWN, Reason.HTTP_STATUS, "Answered 503.", http_status=503)
SECOND = timedelta(seconds=1)


@pytest.fixture
def evidence() -> Evidence:
    """What was seen of a monitor that passed, failed for a while, and passed again."""
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team))
    monitor = make_monitor(team, interval=50, retry_interval=10)
    seen = (UP, UP, DOWN, DOWN, DOWN, UP, UP)
    for observation in seen:
        check_when_due(monitor, observation)
    Delivery.objects.update(status=DeliveryStatus.SENT, next_attempt_at=None)
    told = {str(pk): 1 for pk in Delivery.objects.values_list("pk", flat=True)}
    return Evidence(up={0: seen.count(UP)}, down={0: seen.count(DOWN)}, told=told)


def check_when_due(monitor: Monitor, observation: Observation) -> None:
    owner, assignment = uuid4(), Assignment.objects.get(monitor=monitor)
    Assignment.objects.filter(pk=assignment.pk).update(lease_owner=owner)
    due_at = assignment.next_due_at
    assert due_at is not None
    job = Job(assignment.pk, spec_of(monitor), due_at, assignment.attempt)
    started_at = due_at + timedelta(milliseconds=3)
    take_in([Finished(job, observation, started_at, started_at)], owner=owner)


def test_a_true_history_balances(evidence: Evidence) -> None:
    assert Incident.objects.count() == 1
    assert len(evidence.told) == 2
    assert audit(open_books(), evidence) == []


def test_missed_slots_balance_where_they_were_counted(evidence: Evidence) -> None:
    Assignment.objects.update(next_due_at=F("next_due_at") + 300 * SECOND)
    (found,) = audit(open_books(), evidence)
    assert found.endswith("6 instants have no result, 0 are missed")
    Assignment.objects.update(missed=6)
    assert audit(open_books(), evidence) == []


def lose_a_result() -> None:
    Result.objects.filter(due_at=Result.objects.order_by("due_at")[1].due_at).delete()


def double_an_incident() -> None:
    incident = Incident.objects.get()
    Incident.objects.create(
        team=incident.team,
        monitor=incident.monitor,
        severity=incident.severity,
        status=incident.status,
        started_at=incident.started_at,
        confirmed_at=incident.confirmed_at,
        resolved_at=incident.resolved_at,
    )


def open_a_gap() -> None:
    last = StatusSpan.objects.order_by("-started_at")[0]
    StatusSpan.objects.filter(pk=last.pk).update(started_at=last.started_at + SECOND)


def lose_an_event() -> None:
    IncidentEvent.objects.filter(kind=EventKind.RESOLVED).delete()


def lose_a_delivery() -> None:
    Delivery.objects.filter(event="recovered").delete()


def count_twice() -> None:
    Counter.objects.filter(name="checks").update(value=F("value") * 2)


def invent_an_answer() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE monitors_result SET status = 'up' WHERE status = 'down'")


@pytest.mark.parametrize(
    ("falsify", "said"),
    [
        (lose_a_result, "instants have no result"),
        (double_an_incident, "its incidents"),
        (open_a_gap, "don't meet"),
        (lose_an_event, "its timeline"),
        (lose_a_delivery, "told under 0 keys"),
        (count_twice, "the metrics counted"),
        (invent_an_answer, "7 results up, 4 answers"),
    ],
)
def test_what_is_not_true_is_found(
    falsify: Callable[[], None], said: str, evidence: Evidence
) -> None:
    falsify()
    found = audit(open_books(), evidence)
    assert any(said in line for line in found), found


def test_what_never_arrived_and_what_was_never_sent_are_found(evidence: Evidence) -> None:
    known, lost = evidence.told
    told = {known: 2, "unheard-of": 1}
    found = audit(open_books(), Evidence(evidence.up, evidence.down, told))
    assert found == [
        f"delivery {lost} never arrived",
        "unheard-of was told and is no delivery",
    ]
