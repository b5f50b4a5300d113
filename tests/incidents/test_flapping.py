"""A monitor that comes and goes is one incident, told once and once more at its end."""

from collections import Counter
from datetime import datetime, timedelta

import pytest

from accounts.models import Team
from alerts.models import Delivery
from incidents.models import EventKind, Incident, IncidentStatus
from incidents.reviews import calm_down
from monitors.actions import update_monitor
from monitors.models import Monitor, Status
from probe.values import Observation
from tests.factories import TeamFactory, UserFactory, WebhookFactory, make_monitor, make_policy
from tests.incidents.scenes import OURS, REFUSED, SLOW, UP, assert_spans_meet, observe
from uptime.clock import database_now
from uptime.operations import resolve_incident, tell

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
WINDOW = timedelta(minutes=15)


@pytest.fixture
def team() -> Team:
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team), on=["down", "degraded", "recovered"])
    return team


@pytest.fixture
def monitor(team: Team) -> Monitor:
    """One that needs no confirmation, up for longer than flapping looks back."""
    monitor = make_monitor(team, failure_threshold=1)
    monitor = observe(monitor, UP)
    long_ago = monitor.created_at - 10 * WINDOW
    Monitor.objects.update(created_at=long_ago, last_change_at=long_ago + SECOND)
    monitor.spans.filter(status="pending").update(started_at=long_ago, ended_at=long_ago + SECOND)
    monitor.spans.filter(status="up").update(started_at=long_ago + SECOND)
    monitor.refresh_from_db()
    return monitor


def alternate(
    monitor: Monitor,
    *observations: Observation,
    since: datetime,
    every: timedelta = timedelta(minutes=1),
) -> datetime:
    """One check of each, so far apart; returns when the last one was."""
    at = since
    for number, observation in enumerate(observations):
        at = since + number * every
        observe(monitor, observation, at=at)
    return at


def told() -> Counter[str]:
    return Counter(Delivery.objects.values_list("event", flat=True))


def calm(now: datetime) -> None:
    tell(calm_down(now))


def test_the_change_too_many_makes_one_flapping_incident_with_the_count(monitor: Monitor) -> None:
    last = alternate(monitor, REFUSED, UP, REFUSED, UP, REFUSED, since=database_now())
    assert told() == {"down": 2, "recovered": 2, "flapping": 1}
    incident = Incident.objects.get(calm_at__isnull=False)
    assert (incident.changes, incident.calm_at) == (5, last + WINDOW)
    alternate(monitor, UP, REFUSED, UP, since=last + SECOND, every=SECOND)
    incident.refresh_from_db()
    assert (incident.status, incident.changes) == (IncidentStatus.OPEN, 8)
    assert Monitor.objects.get().status == Status.UP
    assert Incident.objects.count() == 3
    assert told()["flapping"] == 1
    assert_spans_meet(monitor)


def test_a_recovery_can_be_the_change_too_many(monitor: Monitor) -> None:
    update_monitor(monitor=monitor, values={"flap_threshold": 3})
    alternate(monitor, REFUSED, UP, REFUSED, UP, since=database_now())
    assert told() == {"down": 2, "recovered": 1, "flapping": 1}
    assert Incident.objects.unresolved().get().is_flapping


def test_it_ends_after_a_quiet_time_as_of_when_it_last_recovered(monitor: Monitor) -> None:
    last = alternate(monitor, *[REFUSED, UP] * 4, since=database_now())
    calm(last + WINDOW - SECOND)
    incident = Incident.objects.unresolved().get()
    calm(last + WINDOW)
    incident.refresh_from_db()
    assert (incident.status, incident.resolved_at, incident.changes) == ("resolved", last, 8)
    assert told() == {"down": 2, "recovered": 3, "flapping": 1}
    kinds = list(incident.events.order_by("at", "id").values_list("kind", flat=True))
    assert kinds == [EventKind.OPENED, EventKind.FLAPPING, EventKind.RESOLVED]
    calm(last + 2 * WINDOW)
    assert told()["recovered"] == 3


def test_each_further_change_puts_the_quiet_time_off(monitor: Monitor) -> None:
    last = alternate(monitor, *[REFUSED, UP] * 3, since=database_now())
    later = alternate(monitor, REFUSED, UP, since=last + 10 * SECOND)
    calm(last + WINDOW)
    assert Incident.objects.unresolved().get().is_flapping
    calm(later + WINDOW)
    assert not Incident.objects.unresolved().exists()


def test_what_stays_down_after_flapping_is_told_as_down(monitor: Monitor) -> None:
    last = alternate(monitor, *[REFUSED, UP] * 3, REFUSED, since=database_now())
    calm(last + WINDOW)
    incident = Incident.objects.unresolved().get()
    assert (incident.is_flapping, incident.severity) == (False, "down")
    assert told() == {"down": 3, "recovered": 2, "flapping": 1}
    observe(monitor, UP, at=last + 2 * WINDOW)
    assert told()["recovered"] == 3


def test_changes_between_down_and_degraded_flap_too(monitor: Monitor) -> None:
    alternate(monitor, *[REFUSED, SLOW] * 3, since=database_now())
    incident = Incident.objects.get()
    assert (incident.is_flapping, incident.severity, incident.changes) == (True, "down", 6)
    assert told() == {"down": 2, "degraded": 2, "flapping": 1}


def test_slow_changes_are_no_flapping(monitor: Monitor) -> None:
    alternate(monitor, *[REFUSED, UP] * 5, since=database_now(), every=timedelta(minutes=5))
    assert told() == {"down": 5, "recovered": 5}


def test_that_nobody_saw_it_now_and_then_is_no_change(monitor: Monitor) -> None:
    update_monitor(monitor=monitor, values={"flap_threshold": 2})
    blind = [OURS] * 3
    last = alternate(monitor, *[*blind, UP] * 3, REFUSED, since=database_now(), every=SECOND)
    assert monitor.spans.count() == 9
    assert told() == {"down": 1}
    alternate(monitor, UP, *blind, UP, REFUSED, since=last + SECOND, every=SECOND)
    incident = Incident.objects.unresolved().get()
    assert (incident.changes, told()["flapping"]) == (3, 1)
    calm_at = incident.calm_at
    alternate(monitor, *blind, REFUSED, since=last + 10 * SECOND, every=SECOND)
    incident.refresh_from_db()
    assert (incident.changes, incident.calm_at) == (3, calm_at)


def test_it_can_be_switched_off(monitor: Monitor) -> None:
    update_monitor(monitor=monitor, values={"flap_threshold": 0})
    alternate(monitor, *[REFUSED, UP] * 5, since=database_now())
    assert told() == {"down": 5, "recovered": 5}


def test_a_person_may_end_it_at_once(monitor: Monitor) -> None:
    alternate(monitor, *[REFUSED, UP] * 3, since=database_now())
    incident = Incident.objects.unresolved().get()
    resolve_incident(incident=incident, by=UserFactory())
    calm(database_now() + 10 * WINDOW)
    assert told() == {"down": 2, "recovered": 3, "flapping": 1}


def test_a_policy_for_down_alone_hears_of_flapping_and_one_for_degraded_does_not(
    monitor: Monitor,
) -> None:
    team = monitor.team
    slow_only, asked = WebhookFactory(team=team), WebhookFactory(team=team)
    make_policy(team, slow_only, on=["degraded", "recovered"])
    make_policy(team, asked, on=["flapping"])
    alternate(monitor, *[REFUSED, UP] * 3, since=database_now())
    assert not Delivery.objects.filter(channel=slow_only).exists()
    assert [one.event for one in Delivery.objects.filter(channel=asked)] == ["flapping"]
    facts = Delivery.objects.get(channel=asked).facts
    assert (facts["status"], facts["changes"]) == ("down", 5)
