"""No statement that runs for every check, or every second, reads a large table whole."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from pytest_django.plugin import DjangoDbBlocker

from alerts.models import Delivery, DeliveryStatus
from alerts.outbox import SENT, lease_deliveries, release_deliveries
from alerts.pacing import GATHERING
from alerts.recording import record_outcomes
from incidents.models import Incident, IncidentEvent
from monitors.figures import monitor_figures
from monitors.leasing import Leased, lease_due, release_leases, release_orphans
from monitors.models import Assignment, Location, Monitor
from monitors.specs import SpecCache
from probe.values import Finished, Job, Observation, Reason, Status
from tests.factories import WebhookFactory, make_policy
from uptime import vitals
from uptime.bench.multitude import make_multitude, multiply
from uptime.bench.plans import Plan, watch_plans
from uptime.clock import database_now
from uptime.intake import take_in

pytestmark = pytest.mark.django_db

COUNT = 50_000
# What the multitude fills, and the results. Of all else a whole scan may be the best plan.
LARGE = {
    "alerts_delivery",
    "incidents_incident",
    "incidents_incidentevent",
    "monitors_assignment",
    "monitors_monitor",
    "monitors_statusspan",
}
OWNER = uuid4()
UP = Observation(Status.UP)
DOWN = Observation(Status.DOWN, Reason.TIMEOUT, "It took too long.")


@pytest.fixture(scope="module")
def _multitude(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Many monitors that are up, each with an incident of the past that was told."""
    with django_db_blocker.unblock(), transaction.atomic():
        Location.objects.get_or_create(slug=Location.LOCAL)
        monitor = make_multitude(COUNT, interval=timedelta(minutes=10))
        make_policy(monitor.team, WebhookFactory(team=monitor.team))
        for observation in (DOWN, DOWN, UP):
            check([monitor.pk], observation)
        Delivery.objects.update(status=DeliveryStatus.SENT, next_attempt_at=None)
        _multiply_the_past()
        connection.check_constraints()  # once, and not at the end of each test
        yield
        transaction.set_rollback(True)


def _multiply_the_past() -> None:
    incident, random = Incident.objects.get(), "gen_random_uuid()"
    monitors = (
        f"(SELECT id FROM monitors_monitor WHERE id <> '{incident.monitor_id}'"
        f" LIMIT {COUNT // 4}) AS other"
    )
    multiply(incident, monitors, id=random, monitor_id="other.id")
    incidents = f"(SELECT id FROM incidents_incident WHERE id <> '{incident.pk}') AS other"
    opened = IncidentEvent.objects.get(kind="opened")
    multiply(opened, incidents, id=random, incident_id="other.id")
    events = (
        "(SELECT id, incident_id FROM incidents_incidentevent"
        f" WHERE incident_id <> '{incident.pk}') AS other"
    )
    told = {"id": random, "incident_id": "other.incident_id", "incident_event_id": "other.id"}
    multiply(Delivery.objects.get(incident_event=opened), events, **told)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE incidents_incident, incidents_incidentevent, alerts_delivery")


@pytest.fixture
def plans(_multitude: None) -> Iterator[list[Plan]]:
    """The plans of what the test runs, in that multitude."""
    with watch_plans() as found:
        yield found


def assert_none_reads_a_large_table_whole(plans: list[Plan]) -> None:
    assert plans
    for plan in plans:
        whole = plan.scanned_whole()
        assert LARGE.isdisjoint(whole), plan
        assert not any(table.startswith("monitors_result") for table in whole), plan


def lease(limit: int = 500) -> list[Leased]:
    local = Location.objects.get(slug=Location.LOCAL).id
    _, leased = lease_due(owner=OWNER, location_id=local, limit=limit, ahead=timedelta(seconds=2))
    assert leased
    return leased


def check(monitors: Sequence[UUID], observation: Observation) -> None:
    """Have these monitors, and no others, checked now."""
    now = database_now()
    Assignment.objects.filter(monitor__in=monitors).update(next_due_at=now - timedelta(days=1))
    leased = lease(len(monitors))
    specs = SpecCache().get((one.monitor_id, one.revision) for one in leased)
    assert specs.keys() == set(monitors)
    jobs = [
        Job(one.assignment_id, specs[one.monitor_id], one.due_at, one.attempt) for one in leased
    ]
    batch = [Finished(job, observation, now, now) for job in jobs]
    assert take_in(batch, owner=OWNER) == len(monitors)


def some_monitors(count: int) -> list[UUID]:
    return list(Monitor.objects.order_by("id").values_list("id", flat=True)[:count])


def test_leasing_and_giving_back(plans: list[Plan]) -> None:
    ids = [one.assignment_id for one in lease()]
    release_leases(owner=OWNER, assignment_ids=ids[:10])
    release_leases(owner=OWNER)
    lease()
    release_orphans(living=[uuid4()])
    assert_none_reads_a_large_table_whole(plans)
    by_time = [scan for plan in plans for scan in plan.scans if scan.index == "assignment_due"]
    assert by_time
    for scan in by_time:  # no farther than what is due
        assert "next_due_at <=" in scan.condition


def test_taking_in_what_passes(plans: list[Plan]) -> None:
    monitors = some_monitors(500)
    plans.clear()
    check(monitors, UP)
    assert_none_reads_a_large_table_whole(plans)


def test_taking_in_what_fails_and_recovers_and_telling_of_it(plans: list[Plan]) -> None:
    monitors = some_monitors(20)
    plans.clear()
    for observation in (DOWN, DOWN, UP):
        check(monitors, observation)
    for after in (timedelta(), 2 * GATHERING):  # so many are merged
        now = database_now() + after
        leased = lease_deliveries(owner=OWNER, now=now, limit=64, per_channel=lambda _: 2)
    assert leased
    record_outcomes([(leased[0], SENT)])
    release_deliveries(living=[])
    assert_none_reads_a_large_table_whole(plans)


def test_looking_after_health(plans: list[Plan]) -> None:
    now = database_now()
    vitals.overdue_checks(now)
    vitals.waiting_deliveries(now)
    assert_none_reads_a_large_table_whole(plans)


def test_the_figures_of_a_monitor(plans: list[Plan]) -> None:
    now, monitor = database_now(), Monitor.objects.order_by("id")[COUNT // 2]
    plans.clear()
    with connection.cursor() as cursor:
        # Of the few results that other tests leave behind, a whole scan is the best plan.
        cursor.execute("SET LOCAL enable_seqscan = off")
    monitor_figures(monitor, since=now - timedelta(days=365), until=now)
    assert_none_reads_a_large_table_whole(plans)


def test_a_whole_scan_would_be_seen(plans: list[Plan]) -> None:
    assert Assignment.objects.filter(last_message="nowhere indexed").count() == 0
    assert [plan.scanned_whole() for plan in plans] == [["monitors_assignment"]]
