"""What a maintenance window keeps quiet, and what is told at its end."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Team
from alerts.escalation import decide_due
from alerts.models import Delivery, Escalation
from incidents.actions import resume_monitor
from incidents.maintenance import upkeep
from incidents.maintenance.actions import (
    create_window,
    delete_window,
    end_window,
    extend_window,
    start_window,
    update_window,
)
from incidents.maintenance.upkeep import keep_maintenance
from incidents.models import EventKind, Incident, IncidentEvent, MaintenanceWindow
from monitors.actions import update_monitor
from monitors.models import Assignment, Monitor, Status, StatusSpan
from tests.factories import TeamFactory, UserFactory, WebhookFactory, make_monitor, make_policy
from tests.incidents.scenes import (
    OURS,
    REFUSED,
    UP,
    assert_spans_meet,
    make_locations,
    observe,
)
from uptime.clock import database_now
from uptime.errors import Conflict, Invalid
from uptime.operations import pause_monitor, resolve_incident, review_incidents

pytestmark = pytest.mark.django_db

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def team() -> Team:
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team), on=["down", "degraded", "recovered"])
    return team


@pytest.fixture
def monitor(team: Team) -> Monitor:
    """One that needs no confirmation, and is up."""
    return observe(make_monitor(team, failure_threshold=1, tags=["eu"]), UP)


def window(team: Team, *monitors: Monitor, **values: Any) -> MaintenanceWindow:
    """One that is on now, for these monitors or as told."""
    now = database_now()
    given = {"name": "Upgrade", "starts_at": now - MINUTE, "ends_at": now + HOUR, **values}
    if monitors:
        given["monitors"] = [one.pk for one in monitors]
    return create_window(team=team, values=given)


def look(monitor: Monitor) -> Monitor:
    """What the dispatcher does each second."""
    review_incidents()
    return Monitor.objects.get(pk=monitor.pk)


def told() -> list[str]:
    return list(Delivery.objects.order_by("created_at", "pk").values_list("event", flat=True))


def spans(monitor: Monitor) -> list[str]:
    rows = StatusSpan.objects.filter(monitor=monitor).order_by("started_at")
    return list(rows.values_list("status", flat=True))


def timeline(monitor: Monitor) -> list[str]:
    events = IncidentEvent.objects.filter(incident__monitor=monitor).order_by("at", "id")
    return list(events.values_list("kind", flat=True))


# -- inside a window -----------------------------------------------------------------------------


@pytest.mark.parametrize("reach", ["monitors", "tags", "all"])
def test_a_window_covers_monitors_by_name_by_tag_or_all(
    team: Team, monitor: Monitor, reach: str
) -> None:
    other = observe(make_monitor(team), UP)
    foreign = observe(make_monitor(tags=["eu"]), UP)
    values = {"monitors": [monitor.pk], "tags": ["eu", "us"], "all": True}
    window(team, **{reach: values[reach]})
    assert look(monitor).status == Status.MAINTENANCE
    assert look(other).status == (Status.MAINTENANCE if reach == "all" else Status.UP)
    assert look(foreign).status == Status.UP


def test_an_outage_inside_is_neither_told_nor_counted(team: Team, monitor: Monitor) -> None:
    made = window(team, monitor)
    look(monitor)
    monitor = observe(monitor, REFUSED, REFUSED, UP)
    assert monitor.status == Status.MAINTENANCE
    end_window(window=made)
    assert look(monitor).status == Status.UP
    assert not Incident.objects.exists()
    assert told() == []
    assert spans(monitor) == ["pending", "up", "maintenance", "up"]
    assert_spans_meet(monitor)


def test_an_outage_that_is_confirmed_before_anybody_noted_the_window_is_not_told(
    team: Team, monitor: Monitor
) -> None:
    made = window(team, monitor)
    monitor = observe(monitor, REFUSED)
    assert monitor.status == Status.MAINTENANCE
    assert monitor.last_change_at == made.changed_at
    assert not Incident.objects.exists()
    assert_spans_meet(monitor)


def test_the_next_occurrence_counts_though_the_last_was_never_put_away(
    team: Team, monitor: Monitor
) -> None:
    made = window(team, monitor, rrule="FREQ=DAILY")
    yesterday = timedelta(days=1)
    MaintenanceWindow.objects.filter(pk=made.pk).update(
        planned_at=made.starts_at - yesterday,
        begins_at=made.starts_at - yesterday,
        finishes_at=made.ends_at - yesterday,
    )
    assert observe(monitor, REFUSED).status == Status.MAINTENANCE


def test_what_fails_before_and_after_a_window_is_told(team: Team, monitor: Monitor) -> None:
    window(team, monitor, starts_at=database_now() + MINUTE)
    monitor = observe(monitor, REFUSED)
    assert monitor.status == Status.DOWN
    assert told() == ["down"]


def test_the_span_begins_when_the_window_does(team: Team, monitor: Monitor) -> None:
    made = window(team, monitor, starts_at=database_now() + MINUTE)
    begins_at = database_now()
    long_ago = begins_at - HOUR
    Monitor.objects.update(updated_at=long_ago)
    MaintenanceWindow.objects.update(begins_at=begins_at, changed_at=long_ago)
    monitor = look(monitor)
    assert (monitor.status, monitor.last_change_at) == (Status.MAINTENANCE, begins_at)
    assert monitor.message == made.name
    assert_spans_meet(monitor)


def test_a_machine_whose_clock_is_wrong_begins_no_maintenance_in_the_future(
    team: Team, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    window(team, tags=["us"])
    monkeypatch.setattr("django.utils.timezone.now", lambda: datetime.now(UTC) + 10 * MINUTE)
    update_monitor(monitor=monitor, values={"tags": ["us"]})
    monitor = look(monitor)
    assert monitor.status == Status.MAINTENANCE
    assert monitor.last_change_at <= database_now()


def test_looking_again_changes_nothing(team: Team, monitor: Monitor) -> None:
    window(team, monitor)
    before = look(monitor)
    after = look(monitor)
    assert (after.status, after.last_change_at) == (before.status, before.last_change_at)
    assert spans(monitor) == ["pending", "up", "maintenance"]


def test_a_paused_monitor_stays_paused(team: Team, monitor: Monitor) -> None:
    window(team, monitor)
    pause_monitor(monitor=monitor)
    assert look(monitor).status == Status.PAUSED
    resume_monitor(monitor=monitor)
    assert look(monitor).status == Status.MAINTENANCE


def test_resolving_by_hand_does_not_end_the_maintenance(team: Team, monitor: Monitor) -> None:
    monitor = observe(monitor, REFUSED)
    window(team, monitor)
    look(monitor)
    resolve_incident(incident=Incident.objects.get(), by=UserFactory())
    monitor = look(monitor)
    assert monitor.status == Status.MAINTENANCE
    observe(monitor, REFUSED)
    assert Incident.objects.unresolved().count() == 0


# -- its end -------------------------------------------------------------------------------------


def test_an_outage_that_outlives_the_window_is_told_once_a_check_proves_it(
    team: Team, monitor: Monitor
) -> None:
    made = window(team, monitor)
    look(monitor)
    observe(monitor, REFUSED)
    ended = end_window(window=made)
    monitor = look(monitor)
    assert monitor.status == Status.PENDING
    assert Assignment.objects.get(monitor=monitor).next_due_at <= database_now()
    assert told() == []

    observe(monitor, REFUSED)
    monitor = look(monitor)
    assert monitor.status == Status.DOWN
    incident = Incident.objects.get()
    assert incident.started_at == monitor.last_change_at == ended.finishes_at
    assert told() == ["down"]
    assert spans(monitor) == ["pending", "up", "maintenance", "down"]
    assert_spans_meet(monitor)


def test_what_was_seen_inside_is_no_proof_and_a_passing_check_ends_it(
    team: Team, monitor: Monitor
) -> None:
    made = window(team, monitor)
    look(monitor)
    observe(monitor, REFUSED)
    end_window(window=made)
    look(monitor)
    assert look(monitor).status == Status.PENDING
    assert observe(monitor, UP).status == Status.UP
    assert told() == []


def test_a_first_pass_of_several_that_are_needed_tells_nobody(team: Team) -> None:
    monitor = observe(make_monitor(team, failure_threshold=1, recovery_threshold=2), UP)
    monitor = observe(monitor, UP)
    made = window(team, monitor)
    look(monitor)
    observe(monitor, REFUSED)
    end_window(window=made)
    look(monitor)
    assert observe(monitor, UP).status == Status.PENDING
    assert look(monitor).status == Status.PENDING
    assert observe(monitor, UP).status == Status.UP
    assert told() == []


def test_what_cannot_be_checked_is_told_after_a_while(team: Team, monitor: Monitor) -> None:
    made = window(team, monitor)
    look(monitor)
    observe(monitor, REFUSED)
    end_window(window=made)
    monitor = look(monitor)
    observe(monitor, OURS)
    assert look(monitor).status == Status.PENDING
    Monitor.objects.update(last_change_at=monitor.last_change_at - 3 * MINUTE)
    StatusSpan.objects.filter(ended_at=None).update(started_at=monitor.last_change_at - 3 * MINUTE)
    assert look(monitor).status == Status.DOWN
    assert told() == ["down"]


def test_each_place_in_trouble_has_to_prove_it(team: Team) -> None:
    places = make_locations("local", "eu", "us")
    monitor = make_monitor(team, failure_threshold=1, locations=places, quorum=2)
    for place in places:
        observe(monitor, UP, location=place)
    made = window(team, monitor)
    look(monitor)
    for place in ("local", "eu"):
        observe(monitor, REFUSED, location=place)
    end_window(window=made)
    look(monitor)
    observe(monitor, REFUSED, location="local")
    assert look(monitor).status == Status.PENDING
    observe(monitor, REFUSED, location="eu")
    assert look(monitor).status == Status.DOWN
    assert told() == ["down"]


def test_trouble_of_too_few_places_need_not_be_proven(team: Team) -> None:
    places = make_locations("local", "eu", "us")
    monitor = make_monitor(team, failure_threshold=1, locations=places, quorum=2)
    for place in places:
        observe(monitor, UP, location=place)
    made = window(team, monitor)
    look(monitor)
    observe(monitor, REFUSED, location="eu")
    end_window(window=made)
    assert look(monitor).status == Status.UP


@pytest.mark.parametrize("is_seen_since", [False, True])
def test_a_window_that_ended_while_nothing_ran_here_leaves_time_for_the_proof(
    is_seen_since: bool, team: Team, monitor: Monitor
) -> None:
    window(team, monitor)
    look(monitor)
    observe(monitor, REFUSED)
    now = database_now()
    begun, ended = now - HOUR, now - 10 * MINUTE
    MaintenanceWindow.objects.update(begins_at=begun, finishes_at=ended)
    Monitor.objects.update(last_change_at=begun)
    StatusSpan.objects.filter(ended_at=None).update(started_at=begun)
    seen_at = ended + (MINUTE if is_seen_since else -MINUTE)
    Assignment.objects.update(last_checked_at=seen_at, troubled_since=begun)
    monitor = look(monitor)
    if is_seen_since:
        assert (monitor.status, monitor.last_change_at) == (Status.DOWN, ended)
        assert told() == ["down"]
    else:
        assert monitor.status == Status.PENDING
        assert observe(monitor, UP).status == Status.UP
        assert told() == []


def test_a_missed_heartbeat_is_told_at_the_end_without_another_check(team: Team) -> None:
    monitor = make_monitor(team, kind="heartbeat", failure_threshold=1)
    monitor = observe(monitor, UP)
    made = window(team, monitor)
    look(monitor)
    observe(monitor, REFUSED)
    end_window(window=made)
    assert look(monitor).status == Status.DOWN
    assert told() == ["down"]


def test_windows_that_meet_are_one_maintenance(team: Team, monitor: Monitor) -> None:
    first = window(team, monitor)
    window(team, tags=["eu"])
    look(monitor)
    end_window(window=first)
    assert look(monitor).status == Status.MAINTENANCE
    assert spans(monitor) == ["pending", "up", "maintenance"]


# -- an incident that is open when it begins -----------------------------------------------------


def test_an_open_incident_is_held_and_its_recovery_is_told_at_the_end(
    team: Team, monitor: Monitor
) -> None:
    monitor = observe(monitor, REFUSED)
    made = window(team, monitor)
    look(monitor)
    observe(monitor, UP)
    look(monitor)
    assert Incident.objects.get().is_resolved is False
    assert told() == ["down"]

    ended = end_window(window=made)
    assert look(monitor).status == Status.UP
    assert Incident.objects.get().resolved_at == ended.finishes_at
    assert told() == ["down", "recovered"]
    assert timeline(monitor) == ["opened", "maintenance", "resolved"]
    assert_spans_meet(monitor)


def test_an_open_incident_that_outlasts_the_window_is_told_again(
    team: Team, monitor: Monitor
) -> None:
    monitor = observe(monitor, REFUSED)
    made = window(team, monitor)
    look(monitor)
    end_window(window=made)
    look(monitor)
    observe(monitor, REFUSED)
    assert look(monitor).status == Status.DOWN
    assert Incident.objects.count() == 1
    assert told() == ["down", "down"]
    assert timeline(monitor) == ["opened", "maintenance", EventKind.OUTLASTED]
    assert_spans_meet(monitor)


def test_what_was_due_inside_waits_and_is_then_overtaken(team: Team, monitor: Monitor) -> None:
    policy = team.policies.get()
    step = policy.steps.create(position=1, delay_s=60)
    step.channels.set(policy.steps.get(position=0).channels.all())
    monitor = observe(monitor, REFUSED)
    made = window(team, monitor)
    look(monitor)
    later = database_now() + 5 * MINUTE
    assert decide_due(later) == 0
    end_window(window=made)
    look(monitor)
    assert decide_due(later) == 0  # nobody knows yet whether it goes on
    observe(monitor, REFUSED)
    look(monitor)
    assert decide_due(later) == 2  # what waited is of the past; what follows the end is told
    assert told() == ["down", "down", "down"]
    assert Escalation.objects.filter(state="skipped", skipped_because="changed").count() == 1


# -- changes by hand -----------------------------------------------------------------------------


def test_a_window_is_started_early_extended_and_ended_early(team: Team, monitor: Monitor) -> None:
    now = database_now()
    made = window(team, monitor, starts_at=now + HOUR, ends_at=now + 2 * HOUR, rrule="FREQ=DAILY")
    tomorrow = made.starts_at + timedelta(days=1)
    with pytest.raises(Conflict, match="not on"):
        end_window(window=made)
    assert look(monitor).status == Status.UP

    started = start_window(window=made)
    assert started.finishes_at == made.ends_at
    assert look(monitor).status == Status.MAINTENANCE
    with pytest.raises(Conflict, match="already"):
        start_window(window=made)
    assert extend_window(window=made, minutes=30).finishes_at == made.ends_at + 30 * MINUTE

    end_window(window=made)
    assert look(monitor).status == Status.UP
    made.refresh_from_db()
    assert made.begins_at == tomorrow


def test_a_window_that_is_over_has_nothing_to_change(team: Team, monitor: Monitor) -> None:
    made = window(team, monitor)
    end_window(window=made)
    look(monitor)
    made.refresh_from_db()
    assert made.at_hand is None
    with pytest.raises(Conflict, match="it is over"):
        start_window(window=made)
    with pytest.raises(Conflict, match="it is over"):
        extend_window(window=made, minutes=5)


def test_a_monitor_that_leaves_its_window_is_watched_again(team: Team, monitor: Monitor) -> None:
    window(team, tags=["eu"])
    assert look(monitor).status == Status.MAINTENANCE
    update_monitor(monitor=monitor, values={"tags": []})
    assert look(monitor).status == Status.UP
    update_monitor(monitor=monitor, values={"tags": ["eu"]})
    assert look(monitor).status == Status.MAINTENANCE
    assert_spans_meet(monitor)


def test_a_window_that_is_deleted_or_moved_ends(team: Team, monitor: Monitor) -> None:
    made = window(team, monitor)
    look(monitor)
    now = database_now()
    update_window(window=made, values={"starts_at": now + HOUR, "ends_at": now + 2 * HOUR})
    assert look(monitor).status == Status.UP
    start_window(window=made)
    assert look(monitor).status == Status.MAINTENANCE
    delete_window(window=made)
    assert look(monitor).status == Status.UP
    assert_spans_meet(monitor)


def test_another_name_leaves_the_occurrence_as_it_was_changed(team: Team, monitor: Monitor) -> None:
    made = window(team, monitor)
    extended = extend_window(window=made, minutes=10)
    renamed = update_window(window=made, values={"name": "Other", "tags": ["us"]})
    assert renamed.finishes_at == extended.finishes_at
    assert [one.pk for one in renamed.monitors.all()] == [monitor.pk]
    everything = update_window(window=made, values={"all": True})
    assert (everything.is_for_all, everything.tags) == (True, [])


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": " "}, "name"),
        ({"ends_at": datetime.fromisoformat("2020-01-01T00:00:00Z")}, ""),
        ({"starts_at": "2026-01-01T00:00:00"}, "starts_at"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"rrule": "FREQ=NEVER"}, "rrule"),
        ({"monitors": [], "tags": []}, ""),
        ({"all": True}, ""),
        ({"monitors": [uuid4()]}, "monitors"),
        ({"color": "red"}, "color"),
    ],
)
def test_what_makes_no_sense_is_refused(
    team: Team, monitor: Monitor, values: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        window(team, **{"monitors": [monitor.pk], **values})
    assert list(refusal.value.fields) == [field]
    assert not MaintenanceWindow.objects.exists()


def test_a_time_zone_that_is_known_no_more_holds_up_nobody(team: Team, monitor: Monitor) -> None:
    lost = window(team, monitor, rrule="FREQ=WEEKLY")
    assert look(monitor).status == "maintenance"
    now = database_now()
    MaintenanceWindow.objects.filter(pk=lost.pk).update(
        time_zone="Europe/Atlantis", finishes_at=now - timedelta(milliseconds=1)
    )
    other = observe(make_monitor(team, failure_threshold=1), UP)
    assert observe(other, REFUSED).status == "down"
    assert look(monitor).status == "up"
    lost.refresh_from_db()
    assert lost.begins_at == lost.starts_at + 7 * 24 * HOUR


def test_another_teams_monitor_is_not_covered(team: Team) -> None:
    foreign = make_monitor()
    with pytest.raises(Invalid):
        window(team, foreign)


# -- many at once --------------------------------------------------------------------------------


def test_a_thousand_monitors_take_as_many_statements_as_one(team: Team) -> None:
    def statements(count: int) -> tuple[int, int]:
        monitors = [make_monitor(team, failure_threshold=1) for _ in range(count)]
        for one in monitors:
            observe(one, UP)
        made = window(team, *monitors)
        with CaptureQueriesContext(connection) as begun:
            keep_maintenance(database_now())
        assert Monitor.objects.filter(status=Status.MAINTENANCE).count() == count
        half = monitors[: count // 2]
        for one in half:
            observe(one, REFUSED)
        end_window(window=made)
        with CaptureQueriesContext(connection) as ended:
            review_incidents()
        assert Monitor.objects.filter(status=Status.PENDING).count() == len(half)
        Monitor.objects.all().delete()
        return len(begun), len(ended)

    assert statements(8) == statements(2)


@pytest.mark.parametrize("by", ["name", "tag", "all"])
def test_a_look_at_what_stays_under_maintenance_reads_none_of_it(
    by: str, team: Team, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody looks once a second, and a window may be on for thousands of monitors."""
    covered: dict[str, Any] = {"name": {"monitors": [monitor.pk]}, "tag": {"tags": ["eu"]}}
    window(team, **covered.get(by, {"all": True}))
    assert look(monitor).status == Status.MAINTENANCE
    read: list[Any] = []
    make = Monitor.from_db
    monkeypatch.setattr(Monitor, "from_db", lambda *row: read.append(row) or make(*row))
    keep_maintenance(database_now())
    assert not read


def test_what_does_not_fit_into_one_look_is_for_the_next(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "AT_ONCE", 2)
    monitors = [observe(make_monitor(team), UP) for _ in range(5)]
    made = window(team, all=True)
    inside = Monitor.objects.filter(status=Status.MAINTENANCE)
    for expected in (2, 4, 5):
        keep_maintenance(database_now())
        assert inside.count() == expected
    finishes_at = end_window(window=made).finishes_at
    for expected in (3, 1, 0):
        keep_maintenance(database_now())
        assert inside.count() == expected
    for one in monitors:
        one.refresh_from_db()
        assert (one.status, one.last_change_at) == (Status.UP, finishes_at)


def test_a_look_with_nothing_to_do_takes_few_statements(team: Team, monitor: Monitor) -> None:
    window(team, monitor, starts_at=database_now() + MINUTE)
    with CaptureQueriesContext(connection) as found:
        keep_maintenance(database_now())
    asked = [one["sql"] for one in found if "SAVEPOINT" not in one["sql"]]
    assert len(asked) == 4  # the time, the lock, the windows, who is inside
