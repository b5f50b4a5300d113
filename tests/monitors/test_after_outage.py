"""An hour in which nothing ran: 20,000 monitors come back without a stampede."""

from collections import Counter
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection

from incidents.transitions import stretch_of
from monitors.cadence import next_slot
from monitors.figures import time_spent
from monitors.leasing import (
    AT_ONCE,
    give_pings_time,
    lease_due,
    note_unobserved,
    spread_overdue,
)
from monitors.models import Assignment, Location, Monitor, Status, StatusSpan
from tests.factories import TeamFactory, make_monitor
from tests.incidents.scenes import assert_spans_meet, make_locations
from uptime.clock import database_now

pytestmark = pytest.mark.django_db

COUNT, INTERVAL, OUTAGE = 20_000, timedelta(seconds=60), timedelta(hours=1)


def many_monitors(count: int) -> None:
    """That fell due evenly over the interval in which everything stopped, an hour ago."""
    pattern = make_monitor(TeamFactory(), interval=60)
    Assignment.objects.all().delete()
    fields = [one.column for one in Monitor._meta.concrete_fields]
    values = [
        {"id": "gen_random_uuid()", "ping_key": "gen_random_uuid()"}.get(name, name)
        for name in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO monitors_monitor ({', '.join(fields)})"
            f" SELECT {', '.join(values)} FROM monitors_monitor, generate_series(2, %s)"
            " WHERE id = %s",
            [count, pattern.pk],
        )
    local = Location.objects.get(slug=Location.LOCAL)
    stopped_at = database_now() - OUTAGE
    made = Assignment.objects.bulk_create(
        [
            Assignment(monitor_id=pk, location=local)
            for pk in Monitor.objects.values_list("pk", flat=True)
        ]
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE monitors_assignment AS a SET next_due_at = b.at"
            " FROM unnest(%s::int8[], %s::timestamptz[]) AS b (id, at) WHERE a.id = b.id",
            [[one.pk for one in made], [next_slot(one.pk, INTERVAL, stopped_at) for one in made]],
        )
        # As autovacuum has it done: plans for empty tables take minutes.
        cursor.execute("ANALYZE monitors_monitor, monitors_assignment")


def test_each_is_checked_once_within_its_interval_at_the_usual_pace() -> None:
    many_monitors(COUNT)
    local = Location.objects.get(slug=Location.LOCAL).id
    before = dict(Assignment.objects.values_list("pk", "next_due_at"))
    now = database_now()
    assert spread_overdue(location_id=local) == COUNT - AT_ONCE
    at, first = lease_due(owner=uuid4(), location_id=local, limit=COUNT, ahead=timedelta(0))
    # What is leased at once: those that waited longest, and what falls due while we look.
    assert AT_ONCE <= len(first) <= AT_ONCE + COUNT / 60 * ((at - now).total_seconds() + 1)
    rest = Assignment.objects.exclude(pk__in=[one.assignment_id for one in first])
    starts = Counter()
    for id_, due_at, missed in rest.values_list("pk", "next_due_at", "missed"):
        assert due_at == next_slot(id_, INTERVAL, due_at - timedelta(microseconds=1))
        assert now < due_at <= at + INTERVAL
        assert missed == (due_at - before[id_]) // INTERVAL
        starts[(due_at - now) // timedelta(seconds=1)] += 1
    assert max(starts.values()) <= 1.1 * COUNT / 60


def test_a_few_are_checked_at_once() -> None:
    monitor = make_monitor(interval=60)
    overdue = database_now() - timedelta(hours=1)
    Assignment.objects.update(next_due_at=overdue)
    assert spread_overdue(location_id=Assignment.objects.get(monitor=monitor).location_id) == 0
    assert Assignment.objects.get().next_due_at == overdue


def test_what_somebody_checks_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitors.leasing.AT_ONCE", 0)
    team = TeamFactory()
    make_monitor(team)
    make_monitor(team)
    heartbeat = make_monitor(team, kind="heartbeat")
    held, free, _ = Assignment.objects.order_by("pk")
    overdue = database_now() - timedelta(hours=1)
    Assignment.objects.update(next_due_at=overdue)
    later = database_now() + timedelta(minutes=3)
    Assignment.objects.filter(pk=held.pk).update(lease_owner=uuid4(), lease_expires_at=later)
    assert spread_overdue(location_id=held.location_id) == 1
    for left in (held.pk, Assignment.objects.get(monitor=heartbeat).pk):
        assert Assignment.objects.get(pk=left).next_due_at == overdue
    free.refresh_from_db()
    assert free.next_due_at > overdue  # type: ignore[operator]
    assert free.missed > 0


def deadline_after_outage(overdue: timedelta, **settings: object) -> timedelta:
    """How far ahead the deadline of a heartbeat is that passed so long ago."""
    monitor = make_monitor(kind="heartbeat", interval=60, settings={"grace": 30, **settings})
    now = database_now()
    Assignment.objects.filter(monitor=monitor).update(
        last_seen_at=now - timedelta(days=1), next_due_at=now - overdue
    )
    found = Assignment.objects.get(monitor=monitor)
    give_pings_time(location_id=found.location_id)
    found.refresh_from_db()
    assert found.next_due_at is not None
    return found.next_due_at - now


def test_a_ping_that_nobody_here_could_take_is_waited_for_once_more() -> None:
    ahead = deadline_after_outage(timedelta(minutes=10))
    assert timedelta(seconds=90) <= ahead < timedelta(seconds=120)


def test_a_ping_that_is_far_off_is_not_waited_for() -> None:
    ahead = deadline_after_outage(timedelta(minutes=10), schedule="0 0 1 1 *")
    assert timedelta(seconds=330) <= ahead < timedelta(seconds=360)


def test_a_deadline_that_has_just_passed_is_kept() -> None:
    assert deadline_after_outage(timedelta(seconds=2)) == -timedelta(seconds=2)


def test_deadlines_that_somebody_looks_at_are_left_to_them() -> None:
    heartbeat = make_monitor(kind="heartbeat", interval=60)
    overdue = database_now() - timedelta(hours=1)
    Assignment.objects.filter(monitor=heartbeat).update(
        next_due_at=overdue,
        lease_owner=uuid4(),
        lease_expires_at=database_now() + timedelta(minutes=3),
    )
    found = Assignment.objects.get(monitor=heartbeat)
    assert give_pings_time(location_id=found.location_id) == 0
    assert Assignment.objects.get(monitor=heartbeat).next_due_at == overdue


MINUTE = timedelta(minutes=1)


def lived(monitor: Monitor, status: str, *, due: datetime, **assignment: object) -> Monitor:
    """One that has been so for a day, and was to be checked again at that time."""
    day_ago = database_now() - timedelta(days=1)
    Monitor.objects.filter(pk=monitor.pk).update(
        status=status, reason="why", created_at=day_ago, last_change_at=day_ago
    )
    monitor.spans.update(status=stretch_of(Status(status)), reason="why", started_at=day_ago)
    Assignment.objects.filter(monitor=monitor, **assignment).update(next_due_at=due)
    monitor.refresh_from_db()
    return monitor


@pytest.mark.parametrize("status", ["up", "down", "recovering"])
def test_what_nobody_observed_is_unknown_in_the_history_alone(status: str) -> None:
    due = database_now() - timedelta(hours=1)
    monitor = lived(make_monitor(), status, due=due)
    local = Location.objects.get(slug=Location.LOCAL).id
    assert note_unobserved(location_id=local) == 1
    assert note_unobserved(location_id=local) == 0
    again = Monitor.objects.get(pk=monitor.pk)
    stretch = stretch_of(Status(status))
    assert (again.status, again.reason) == (status, "why")
    spans = list(monitor.spans.order_by("started_at").values_list("status", "started_at"))
    assert spans[:2] == [(stretch, monitor.created_at), ("unknown", due)]
    assert spans[2:] == [(stretch, again.last_change_at)]
    assert_spans_meet(again)
    now = database_now()
    spent = time_spent([monitor.pk], since=now - timedelta(days=1), until=now)[monitor.pk]
    assert timedelta(hours=1) <= spent.unknown < timedelta(hours=1, minutes=5)


def test_a_restart_a_pause_and_what_another_place_saw_leave_no_gap() -> None:
    now = database_now()
    hour_ago = now - timedelta(hours=1)
    lived(make_monitor(), "up", due=now - 4 * MINUTE)
    lived(make_monitor(), "maintenance", due=hour_ago)
    places = make_locations("local", "north")
    lived(make_monitor(locations=places), "up", due=hour_ago, location__slug="local")
    assert note_unobserved(location_id=Location.objects.get(slug=Location.LOCAL).id) == 0
    assert not StatusSpan.objects.filter(status="unknown").exists()


def test_a_group_is_unknown_while_none_of_its_members_is_observed() -> None:
    team, now = TeamFactory(), database_now()
    unseen, seen = (make_monitor(team, name=name) for name in ("unseen", "seen"))
    groups = [
        make_monitor(team, kind="group", target="", members=members, settings={"rule": "any"})
        for members in (["unseen"], ["unseen", "seen"])
    ]
    for one in (unseen, *groups):
        lived(one, "up", due=now - timedelta(hours=1))
    lived(seen, "up", due=now + MINUTE)
    assert note_unobserved(location_id=Location.objects.get(slug=Location.LOCAL).id) == 1
    gone, still = (
        list(one.spans.order_by("pk").values_list("status", flat=True)) for one in groups
    )
    assert gone == ["up", "unknown", "up"]
    assert still == ["up"]
    assert_spans_meet(groups[0])
