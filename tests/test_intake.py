"""The one transaction: store, decide, apply, queue."""

import itertools
from dataclasses import replace
from datetime import timedelta
from threading import Thread
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test import override_settings
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.models import Delivery
from incidents.actions import resume_monitor
from incidents.models import EventKind, Incident, IncidentStatus
from incidents.transitions import Transition
from monitors.actions import update_monitor
from monitors.models import Assignment, Monitor, Ping, PingKind, Result, Status, StatusSpan
from monitors.partitions import partition_name
from monitors.specs import spec_of
from probe.values import Finished, Job, Observation, Reason
from probe.values import Status as Seen
from tests.factories import (
    TeamFactory,
    UserFactory,
    WebhookFactory,
    lease_of,
    make_monitor,
    make_policy,
)
from tests.locks import wait_for_a_waiter
from uptime import operations
from uptime.clock import database_now
from uptime.intake import record_ping, take_in
from uptime.operations import delete_monitor, pause_monitor, resolve_incident

pytestmark = pytest.mark.django_db

UP = Observation(Seen.UP, latency_ms=12.5)
SLOW = Observation(Seen.DEGRADED, Reason.LATENCY, "Took 900 ms.", latency_ms=900)
REFUSED = Observation(Seen.DOWN, Reason.CONNECT_REFUSED, "Refused.", latency_ms=1)
BROKEN = Observation(Seen.DOWN, Reason.HTTP_STATUS, "Answered 500.", http_status=500)
OURS = Observation(Seen.UNKNOWN, Reason.CHECK_ERROR, "A bug of ours.")


def check(monitor: Monitor, observation: Observation, owner: UUID | None = None) -> Finished:
    """Lease the monitor's next check, as if its time had come, and finish it."""
    owner = owner or uuid4()
    assignment = Assignment.objects.get(monitor=monitor)
    now = database_now()
    if assignment.next_due_at is None or assignment.next_due_at > now:
        assignment.next_due_at = now
    assignment.lease_owner = owner
    assignment.save()
    job = Job(
        assignment.id,
        spec_of(Monitor.objects.get(pk=monitor.pk)),
        assignment.next_due_at,
        assignment.attempt,
    )
    finished = Finished(job, observation, started_at=now, finished_at=database_now())
    take_in([finished], owner=owner)
    return finished


def checks(monitor: Monitor, *observations: Observation) -> Monitor:
    for observation in observations:
        check(monitor, observation)
    return Monitor.objects.get(pk=monitor.pk)


def assert_spans_meet(monitor: Monitor) -> None:
    spans = list(StatusSpan.objects.filter(monitor=monitor).order_by("started_at", "id"))
    assert spans[0].started_at == monitor.created_at
    for before, after in itertools.pairwise(spans):
        assert before.ended_at == after.started_at
        assert before.status != after.status
    assert spans[-1].ended_at is None
    status = Monitor.objects.get(pk=monitor.pk).status
    assert spans[-1].status == ("down" if status == Status.RECOVERING else status)


def test_a_first_pass_makes_a_pending_monitor_up() -> None:
    monitor = checks(make_monitor(), UP)
    assert monitor.status == Status.UP
    result = Result.objects.get()
    assert (result.status, result.latency_ms, result.attempt) == ("up", 12.5, 0)
    assert_spans_meet(monitor)


def test_one_bad_answer_between_good_ones_opens_nothing() -> None:
    monitor = checks(make_monitor(), UP, REFUSED, UP, REFUSED, UP)
    assert monitor.status == Status.UP
    assert not Incident.objects.exists()


def test_two_failures_in_a_row_open_an_incident_from_the_first() -> None:
    monitor = make_monitor()
    check(monitor, UP)
    first = check(monitor, REFUSED)
    second = check(monitor, REFUSED)
    incident = Incident.objects.get()
    assert incident.started_at == first.started_at
    assert incident.confirmed_at == second.started_at
    assert (incident.severity, incident.reason) == ("down", "connect_refused")
    assert incident.locations == ["local"]
    monitor.refresh_from_db()
    assert (monitor.status, monitor.last_change_at) == (Status.DOWN, first.started_at)
    assert_spans_meet(monitor)


def test_a_failure_is_confirmed_after_the_retry_interval() -> None:
    monitor = make_monitor(retry_interval=7)
    check(monitor, UP)
    first = check(monitor, REFUSED)
    assignment = Assignment.objects.get()
    assert assignment.next_due_at == first.started_at + timedelta(seconds=7)
    assert assignment.attempt == 1
    check(monitor, REFUSED)
    assert Assignment.objects.get().attempt == 0


def test_recovery_resolves_the_incident() -> None:
    monitor = checks(make_monitor(), UP, REFUSED, REFUSED, UP)
    incident = Incident.objects.get()
    assert (monitor.status, incident.status) == (Status.UP, IncidentStatus.RESOLVED)
    kinds = list(incident.events.order_by("at").values_list("kind", flat=True))
    assert kinds == [EventKind.OPENED, EventKind.RESOLVED]
    assert_spans_meet(monitor)


def test_degraded_becomes_down_within_one_incident() -> None:
    monitor = checks(make_monitor(), UP, SLOW, SLOW, REFUSED, REFUSED)
    incident = Incident.objects.get()
    assert (monitor.status, incident.severity) == (Status.DOWN, "down")
    kinds = list(incident.events.order_by("at").values_list("kind", flat=True))
    assert kinds == [EventKind.OPENED, EventKind.SEVERITY_CHANGED]


def test_trouble_that_changes_its_cause_says_the_present_one() -> None:
    monitor = checks(make_monitor(), REFUSED, REFUSED, BROKEN)
    assert monitor.reason == "http_status"
    assert Incident.objects.get().reason == "http_status"
    assert Incident.objects.get().events.count() == 1


def test_why_it_is_down_stays_while_it_recovers_and_while_we_fail_ourselves() -> None:
    monitor = checks(make_monitor(recovery_threshold=3), REFUSED, REFUSED, UP, OURS)
    incident = Incident.objects.get()
    assert (monitor.status, monitor.reason, monitor.message) == (
        Status.RECOVERING,
        "connect_refused",
        "Refused.",
    )
    assert (incident.reason, incident.message) == ("connect_refused", "Refused.")
    checks(monitor, UP, UP)
    incident.refresh_from_db()
    assert incident.is_resolved
    assert (incident.reason, incident.message) == ("connect_refused", "Refused.")


def test_a_fault_of_ours_is_recorded_and_counts_for_nothing() -> None:
    monitor = checks(make_monitor(), UP, OURS, OURS)
    assert monitor.status == Status.UP
    assert Result.objects.filter(reason="check_error", status="unknown").count() == 2


def test_what_was_not_seen_for_three_checks_is_unknown_and_nobody_is_told() -> None:
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team))
    monitor = checks(make_monitor(team), UP, OURS, OURS, OURS)
    assert monitor.status == Status.UNKNOWN
    assert not Incident.objects.exists()
    assert checks(monitor, UP).status == Status.UP
    assert not Delivery.objects.exists()
    assert_spans_meet(monitor)


def test_an_incident_outlasts_the_time_in_which_nobody_knows() -> None:
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team))
    monitor = checks(make_monitor(team), UP, REFUSED, REFUSED, OURS, OURS, OURS)
    assert monitor.status == Status.UNKNOWN
    assert Incident.objects.get().status == IncidentStatus.OPEN
    assert checks(monitor, REFUSED).status == Status.DOWN
    assert Incident.objects.count() == Delivery.objects.count() == 1
    assert_spans_meet(monitor)


def test_a_monitor_recovers_until_enough_checks_pass_and_counts_as_down_meanwhile() -> None:
    monitor = checks(make_monitor(recovery_threshold=3), UP, REFUSED, REFUSED, UP)
    assert (monitor.status, monitor.reason) == (Status.RECOVERING, "connect_refused")
    assert_spans_meet(monitor)
    assert checks(monitor, REFUSED).status == Status.DOWN
    assert checks(monitor, UP, UP).status == Status.RECOVERING
    assert Incident.objects.get().events.count() == 1
    assert checks(monitor, UP).status == Status.UP
    spans = monitor.spans.exclude(status="pending").order_by("started_at")
    assert [span.status for span in spans] == ["up", "down", "up"]
    assert_spans_meet(monitor)


def test_a_batch_that_comes_again_changes_nothing() -> None:
    monitor = make_monitor()
    owner = uuid4()
    checks(monitor, UP, REFUSED)
    finished = check(monitor, REFUSED, owner)
    before = (
        list(Result.objects.values()),
        list(Assignment.objects.values()),
        list(StatusSpan.objects.values()),
        list(Incident.objects.values()),
        Delivery.objects.count(),
    )
    assert take_in([finished], owner=owner) == 0
    assert take_in([finished, finished], owner=uuid4()) == 0
    assert before == (
        list(Result.objects.values()),
        list(Assignment.objects.values()),
        list(StatusSpan.objects.values()),
        list(Incident.objects.values()),
        Delivery.objects.count(),
    )


def test_a_transition_queues_one_delivery_for_each_channel() -> None:
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team), WebhookFactory(team=team))
    checks(make_monitor(team), UP, REFUSED, REFUSED, REFUSED)
    assert Delivery.objects.filter(event="down").count() == 2


def test_what_was_under_way_when_a_monitor_was_paused_does_not_count() -> None:
    monitor = make_monitor()
    owner = uuid4()
    assignment = Assignment.objects.get()
    assignment.lease_owner = owner
    assignment.save()
    assert assignment.next_due_at is not None
    job = Job(assignment.id, spec_of(monitor), assignment.next_due_at)
    pause_monitor(monitor=monitor)
    now = database_now()
    assert take_in([Finished(job, REFUSED, now, now)], owner=owner) == 0
    assert not Result.objects.exists()
    assert Assignment.objects.get().next_due_at is None


def test_pausing_ends_an_incident_quietly_and_resuming_checks_at_once() -> None:
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team))
    monitor = checks(make_monitor(team), REFUSED, REFUSED)
    pause_monitor(monitor=monitor)
    assert Incident.objects.get().status == IncidentStatus.RESOLVED
    assert list(Delivery.objects.values_list("event", flat=True)) == ["down"]
    monitor = resume_monitor(monitor=monitor)
    assert monitor.status == Status.PENDING
    due_at = Assignment.objects.get().next_due_at
    assert due_at is not None
    assert due_at <= database_now()
    assert_spans_meet(monitor)


def test_an_edit_is_checked_at_once_and_drops_what_was_under_way() -> None:
    monitor = make_monitor()
    owner = uuid4()
    Assignment.objects.update(lease_owner=owner)
    assignment = Assignment.objects.get()
    assert assignment.next_due_at is not None
    job = Job(assignment.id, spec_of(monitor), assignment.next_due_at)
    update_monitor(monitor=monitor, values={"target": "http://127.0.0.1:10/"})
    now = database_now()
    assert take_in([Finished(job, REFUSED, now, now)], owner=owner) == 0
    assert Assignment.objects.get().revision == 2


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({"interval": 120}, "what it said"),
        ({"target": "http://127.0.0.1:10/"}, ""),
        ({"settings": {"http_version": "1.1"}}, ""),
    ],
)
def test_what_was_asked_of_another_thing_is_forgotten(values: dict[str, object], kept: str) -> None:
    monitor = checks(make_monitor(), replace(UP, fingerprint="what it said"), UP)
    update_monitor(monitor=monitor, values=values)
    assert Assignment.objects.get().fingerprint == kept


def test_an_incident_resolved_by_hand_is_told_and_opens_anew_if_it_still_fails() -> None:
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team))
    monitor = checks(make_monitor(team), REFUSED, REFUSED)
    resolve_incident(incident=Incident.objects.get(), by=UserFactory())
    assert sorted(Delivery.objects.values_list("event", flat=True)) == ["down", "recovered"]
    monitor = checks(monitor, REFUSED, REFUSED)
    assert monitor.status == Status.DOWN
    assert Incident.objects.unresolved().count() == 1
    assert Incident.objects.count() == 2
    assert_spans_meet(monitor)


@pytest.mark.django_db(transaction=True)
def test_a_missing_partition_heals_itself() -> None:
    monitor = make_monitor()
    today = database_now().date()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {partition_name(today)}")
    assert checks(monitor, UP).status == Status.UP
    assert Result.objects.count() == 1


def test_what_a_server_sent_is_stored_whatever_it_is() -> None:
    odd = Observation(Seen.DOWN, Reason.HTTP_PROTOCOL, "Got \x00\ud800 and ümlauts.")
    check(make_monitor(), odd)
    assert Result.objects.get().message == "Got \ufffd? and ümlauts."


def test_a_check_that_comes_twice_in_a_batch_counts_once() -> None:
    monitor = make_monitor()
    owner = uuid4()
    assignment = lease_of(monitor, owner)
    assert assignment.next_due_at is not None
    now = database_now()
    finished = Finished(Job(assignment.id, spec_of(monitor), assignment.next_due_at), UP, now, now)
    assert take_in([finished, finished], owner=owner) == 1
    assert Result.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_poisoned_check_is_parked_and_the_others_are_taken_in() -> None:
    monitors = [make_monitor() for _ in range(5)]
    owner = uuid4()
    batch = []
    for monitor in monitors:
        assignment = lease_of(monitor, owner)
        assert assignment.next_due_at is not None
        job = Job(assignment.id, spec_of(monitor), assignment.next_due_at)
        now = database_now()
        batch.append(Finished(job, UP, now, now))
    # A status code that is none: no server can send it, but a bug of ours could.
    poison = Observation(Seen.DOWN, Reason.HTTP_STATUS, "", http_status="teapot")  # type: ignore[arg-type]
    batch[2] = replace(batch[2], observation=poison)
    assert take_in(batch, owner=owner) == 5
    kept = Result.objects.filter(assignment_id__in=[one.job.assignment_id for one in batch])
    assert kept.filter(status="up").count() == 4
    assert kept.get(reason="check_error").assignment_id == batch[2].job.assignment_id


@pytest.mark.django_db(transaction=True)
def test_a_storm_is_taken_in_part_by_part_and_each_part_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("uptime.intake.CHANGES_AT_ONCE", 2)
    team, owner = TeamFactory(), uuid4()
    make_policy(team, WebhookFactory(team=team))
    batch = []
    for _ in range(5):
        monitor = make_monitor(team, failure_threshold=1)
        check(monitor, UP)
        assignment = lease_of(monitor, owner)
        assert assignment.next_due_at is not None
        job, now = Job(assignment.id, spec_of(monitor), assignment.next_due_at), database_now()
        batch.append(Finished(job, REFUSED, now, now))
    told = []

    def tell_until_the_database_goes(transitions: list[Transition]) -> None:
        told.append(len(transitions))
        if len(told) == 3:
            raise OperationalError
        operations.tell(transitions)

    monkeypatch.setattr("uptime.intake.tell", tell_until_the_database_goes)
    with pytest.raises(OperationalError):
        take_in(batch, owner=owner)
    assert Delivery.objects.filter(event="down").count() == 4

    assert take_in(batch, owner=owner) == 1
    assert told == [2, 2, 1, 1]
    assert Delivery.objects.filter(event="down").count() == 5
    assert Incident.objects.count() == 5


def test_what_is_told_of_a_failure_needs_none_of_the_pages() -> None:
    team = TeamFactory()
    make_policy(team, WebhookFactory(team=team))
    with override_settings(ROOT_URLCONF="there.is.no.such.module"):
        monitor = checks(make_monitor(team), UP, REFUSED, REFUSED)
    facts = Delivery.objects.get().facts
    assert facts["monitor"]["url"].endswith(reverse("monitor", args=[monitor.pk]))
    incident = Incident.objects.get()
    assert incident.get_absolute_url() == reverse("incident", args=[incident.pk])


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text("ugdbp?", min_size=1, max_size=12), st.integers(1, 3), st.integers(1, 3))
def test_any_history_leaves_spans_without_gap_and_one_open_incident_at_most(
    letters: str, failures: int, recoveries: int
) -> None:
    monitor = make_monitor(
        failure_threshold=failures, recovery_threshold=recoveries, flap_threshold=0
    )
    seen = {"u": UP, "g": SLOW, "d": REFUSED, "b": BROKEN, "?": OURS}
    for letter in letters:
        if letter == "p":
            pause_monitor(monitor=monitor)
            resume_monitor(monitor=monitor)
        else:
            check(monitor, seen[letter])
        fresh = Monitor.objects.get(pk=monitor.pk)
        assert_spans_meet(monitor)
        open_now = Incident.objects.filter(monitor=monitor).unresolved().count()
        if fresh.status == Status.UNKNOWN:
            assert open_now <= 1
        else:
            is_trouble = fresh.status in (Status.DOWN, Status.RECOVERING, Status.DEGRADED)
            assert open_now == int(is_trouble)


def ping(monitor: Monitor, kind: PingKind = PingKind.SUCCESS, **values: object) -> bool:
    return record_ping(ping_key=monitor.ping_key, kind=kind, method="GET", **values)  # type: ignore[arg-type]


def heartbeat(**values: object) -> Monitor:
    return make_monitor(kind="heartbeat", interval=60, settings={"grace": 10}, **values)


def test_a_heartbeat_waits_for_its_first_ping() -> None:
    monitor = heartbeat()
    assert Assignment.objects.get().next_due_at is None
    assert ping(monitor)
    monitor.refresh_from_db()
    assignment = Assignment.objects.get()
    assert monitor.status == Status.UP
    assert assignment.last_seen_at == Ping.objects.get().at
    assert assignment.next_due_at == Ping.objects.get().at + timedelta(seconds=70)


def test_a_missed_heartbeat_is_down_and_a_ping_recovers_it() -> None:
    monitor = heartbeat()
    ping(monitor)
    missed = Observation(Seen.DOWN, Reason.HEARTBEAT_MISSED, "No ping.")
    check(monitor, missed)
    monitor.refresh_from_db()
    assert (monitor.status, monitor.reason) == (Status.DOWN, "heartbeat_missed")
    ping(monitor)
    monitor.refresh_from_db()
    assert monitor.status == Status.UP
    assert_spans_meet(monitor)


def test_a_job_that_reports_failure_is_down_at_once() -> None:
    monitor = heartbeat()
    ping(monitor)
    ping(monitor, PingKind.FAIL, exit_status=3)
    monitor.refresh_from_db()
    assert (monitor.status, monitor.reason) == (Status.DOWN, "heartbeat_failed")
    assert "exit status 3" in monitor.message


@pytest.mark.django_db(transaction=True)
def test_a_ping_that_meets_a_pause_does_not_start_the_checks_again() -> None:
    monitor = heartbeat()
    ping(monitor)
    with transaction.atomic():
        pause_monitor(monitor=monitor)
        racing = Thread(target=lambda: (ping(monitor), connections.close_all()))
        racing.start()
        wait_for_a_waiter()
    racing.join()
    assert Assignment.objects.get(monitor=monitor).next_due_at is None
    assert Ping.objects.filter(monitor=monitor).count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_ping_that_meets_a_removal_is_of_nobody() -> None:
    monitor = heartbeat()
    answers: list[bool] = []
    with transaction.atomic():
        delete_monitor(monitor=Monitor.objects.get(pk=monitor.pk))
        racing = Thread(target=lambda: (answers.append(ping(monitor)), connections.close_all()))
        racing.start()
        wait_for_a_waiter()
    racing.join()
    assert answers == [False]


def test_a_start_and_its_end_are_paired_by_rid() -> None:
    monitor = heartbeat()
    one, other = uuid4(), uuid4()
    ping(monitor, PingKind.START, rid=one)
    ping(monitor, PingKind.START, rid=other)
    ping(monitor, PingKind.LOG, rid=one)
    ping(monitor, PingKind.SUCCESS, rid=one)
    ping(monitor, PingKind.SUCCESS, rid=one)
    durations = list(Ping.objects.order_by("id").values_list("duration_ms", flat=True))
    assert durations[:3] == [None, None, None]
    assert durations[3] is not None
    assert durations[4] is None


def test_an_unknown_ping_key_is_told_and_a_paused_heartbeat_keeps_its_pings() -> None:
    assert not record_ping(ping_key=uuid4(), kind=PingKind.SUCCESS, method="GET")
    monitor = heartbeat()
    pause_monitor(monitor=monitor)
    assert ping(monitor, body=b"x" * 200_000)
    monitor.refresh_from_db()
    assert monitor.status == Status.PAUSED
    assert len(Ping.objects.get().body) == 100_000
