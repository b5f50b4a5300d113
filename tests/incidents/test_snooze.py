"""Nobody is told of a monitor that is snoozed; what is wrong at the end is told then."""

from datetime import timedelta

import pytest

from accounts.models import Team, User
from alerts.escalation import decide_due
from alerts.models import Delivery, Escalation
from incidents.actions import snooze_monitor, unsnooze_monitor
from incidents.maintenance.actions import create_window, end_window
from incidents.models import EventKind, Incident
from monitors.actions import update_monitor
from monitors.models import Monitor
from tests.factories import (
    MembershipFactory,
    TeamFactory,
    UserFactory,
    WebhookFactory,
    make_monitor,
    make_policy,
)
from tests.incidents.scenes import REFUSED, SLOW, UP, assert_spans_meet, observe
from uptime.clock import database_now
from uptime.errors import Invalid
from uptime.operations import acknowledge_incident, resolve_incident, review_incidents

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def team() -> Team:
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team), on=["down", "degraded", "recovered"])
    return team


@pytest.fixture
def monitor(team: Team) -> Monitor:
    return observe(make_monitor(team, name="Shop", failure_threshold=1), UP)


@pytest.fixture
def ann() -> User:
    return UserFactory()


def told() -> list[str]:
    return list(Delivery.objects.order_by("created_at", "pk").values_list("event", flat=True))


def time_passes(monitor: Monitor) -> Monitor:
    """The snooze's end comes."""
    Monitor.objects.filter(pk=monitor.pk).update(snoozed_until=database_now())
    review_incidents()
    return Monitor.objects.get(pk=monitor.pk)


def test_what_begins_inside_and_goes_on_is_told_at_the_end(monitor: Monitor, ann: User) -> None:
    snooze_monitor(monitor=monitor, length=HOUR, by=ann)
    monitor = observe(monitor, REFUSED)
    review_incidents()
    assert monitor.status == "down"
    assert not told()
    monitor = time_passes(monitor)
    assert told() == ["down"]
    assert monitor.snoozed_until is None
    review_incidents()
    assert told() == ["down"]
    observe(monitor, UP)
    assert told() == ["down", "recovered"]
    assert_spans_meet(monitor)


def test_what_begins_and_ends_inside_is_never_told(monitor: Monitor, ann: User) -> None:
    snooze_monitor(monitor=monitor, length=HOUR, by=ann)
    observe(monitor, REFUSED, UP, SLOW)
    time_passes(monitor)
    assert told() == ["degraded"]  # which goes on
    assert Incident.objects.count() == 2


def test_the_end_of_what_was_told_before_is_told_after(monitor: Monitor, ann: User) -> None:
    observe(monitor, REFUSED)
    snooze_monitor(monitor=monitor, length=HOUR, by=ann)
    observe(monitor, UP)
    review_incidents()
    assert told() == ["down"]
    time_passes(monitor)
    assert told() == ["down", "recovered"]


def test_an_end_that_was_seen_before_and_known_inside_is_told_after(
    monitor: Monitor, ann: User
) -> None:
    observe(monitor, REFUSED)
    began = database_now()
    snooze_monitor(monitor=monitor, length=HOUR, by=ann)
    observe(monitor, UP, at=began)  # a slow answer
    assert told() == ["down"]
    time_passes(monitor)
    assert told() == ["down", "recovered"]
    snooze_monitor(monitor=monitor, length=HOUR, by=ann)
    time_passes(monitor)
    assert told() == ["down", "recovered"]


def test_the_end_of_flapping_that_calms_down_inside_is_told_after(
    monitor: Monitor, ann: User
) -> None:
    update_monitor(monitor=monitor, values={"flap_threshold": 1})
    observe(monitor, REFUSED, UP)
    assert told() == ["down", "flapping"]
    snooze_monitor(monitor=monitor, length=HOUR, by=ann)
    Incident.objects.update(calm_at=database_now())
    review_incidents()
    assert Incident.objects.get().is_resolved
    time_passes(monitor)
    assert told() == ["down", "flapping", "recovered"]


def test_what_goes_on_is_told_once_more_and_its_steps_begin_anew(
    team: Team, monitor: Monitor, ann: User
) -> None:
    policy = team.policies.get()
    later = policy.steps.create(position=1, delay_s=600)
    later.channels.set([WebhookFactory(team=team)])
    observe(monitor, REFUSED)
    snooze_monitor(monitor=monitor, length=HOUR, by=ann)
    decide_due(database_now() + HOUR)
    assert told() == ["down"]  # the second step waits
    time_passes(monitor)
    assert told() == ["down", "down"]
    decide_due(database_now() + timedelta(minutes=11))
    assert told() == ["down", "down", "down"]
    assert sorted(Escalation.objects.values_list("state", "skipped_because")) == [
        ("skipped", "changed"),
        ("told", ""),
    ]
    kinds = list(Incident.objects.get().events.order_by("pk").values_list("kind", flat=True))
    assert kinds == [EventKind.OPENED, EventKind.SNOOZED, EventKind.UNSNOOZED]


def test_it_can_be_ended_early_and_made_longer(monitor: Monitor, ann: User) -> None:
    snooze_monitor(monitor=monitor, length=HOUR, by=ann)
    first = Monitor.objects.get(pk=monitor.pk)
    snooze_monitor(monitor=monitor, length=2 * HOUR, by=ann)
    second = Monitor.objects.get(pk=monitor.pk)
    assert second.snoozed_at == first.snoozed_at
    assert second.snoozed_until is not None
    assert first.snoozed_until is not None
    assert second.snoozed_until > first.snoozed_until
    observe(monitor, REFUSED)
    unsnooze_monitor(monitor=monitor, by=ann)
    review_incidents()
    assert told() == ["down"]
    unsnooze_monitor(monitor=monitor, by=ann)
    review_incidents()
    assert told() == ["down"]


def test_a_monitor_that_is_told_of_anew_was_not_forgotten_by_a_window_in_between(
    team: Team, monitor: Monitor, ann: User
) -> None:
    snooze_monitor(monitor=monitor, length=HOUR, by=ann)
    observe(monitor, REFUSED)
    now = database_now()
    window = create_window(
        team=team,
        values={"name": "W", "starts_at": now - HOUR, "ends_at": now + HOUR, "all": True},
    )
    review_incidents()
    time_passes(monitor)
    assert not told()  # the window is on
    end_window(window=window)
    review_incidents()
    observe(monitor, REFUSED)
    review_incidents()
    assert told() == ["down"]


def test_a_window_that_ends_within_the_snooze_tells_nobody(
    team: Team, monitor: Monitor, ann: User
) -> None:
    now = database_now()
    window = create_window(
        team=team,
        values={"name": "W", "starts_at": now - HOUR, "ends_at": now + HOUR, "all": True},
    )
    review_incidents()
    snooze_monitor(monitor=monitor, length=HOUR, by=ann)
    observe(monitor, REFUSED)
    end_window(window=window)
    review_incidents()
    observe(monitor, REFUSED)
    review_incidents()
    assert not told()
    time_passes(monitor)
    assert told() == ["down"]


def test_trouble_that_is_held_stays_so_over_the_end(
    team: Team, monitor: Monitor, ann: User
) -> None:
    child = observe(make_monitor(team, name="Child", failure_threshold=1, depends_on=["Shop"]), UP)
    observe(monitor, REFUSED)
    snooze_monitor(monitor=child, length=HOUR, by=ann)
    observe(child, REFUSED)
    review_incidents()
    time_passes(child)
    assert told() == ["down"]
    observe(monitor, UP)
    review_incidents()
    observe(monitor, UP)
    observe(child, REFUSED)
    review_incidents()
    assert told() == ["down", "recovered", "down"]


def test_a_resolution_by_hand_is_told_after_it(monitor: Monitor, ann: User) -> None:
    observe(monitor, REFUSED)
    snooze_monitor(monitor=monitor, length=HOUR, by=ann)
    acknowledge_incident(incident=Incident.objects.get(), by=ann)
    resolve_incident(incident=Incident.objects.get(), by=ann)
    observe(monitor, UP)
    assert told() == ["down"]
    time_passes(monitor)
    assert told() == ["down", "recovered"]


@pytest.mark.parametrize("length", [timedelta(seconds=59), timedelta(days=30, seconds=1)])
def test_a_length_out_of_bounds_is_refused(monitor: Monitor, ann: User, length: timedelta) -> None:
    with pytest.raises(Invalid):
        snooze_monitor(monitor=monitor, length=length, by=ann)


def test_a_look_that_fails_is_made_again(
    monitor: Monitor, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    snooze_monitor(monitor=monitor, length=HOUR, by=ann)
    observe(monitor, REFUSED)
    with monkeypatch.context() as broken:
        broken.setattr("uptime.operations.queue_deliveries", lambda _: 1 / 0)
        monitor = time_passes(monitor)
    assert monitor.snoozed_until is not None
    review_incidents()
    assert told() == ["down"]


def test_members_of_other_teams_snooze_nothing(monitor: Monitor) -> None:
    stranger = MembershipFactory()
    assert stranger.team != monitor.team
    assert not Monitor.objects.visible_to(stranger.team).filter(pk=monitor.pk).exists()
