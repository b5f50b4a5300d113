"""What is due later is decided when it is due, once, whoever looks and whatever crashes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries

from accounts.models import Team
from alerts.actions import create_policy, update_channel, update_policy
from alerts.dispatch import Dispatcher
from alerts.escalation import decide_due
from alerts.messages import facts_of_incident
from alerts.models import Channel, Delivery, Escalation, Policy
from incidents.models import EventKind, Incident, IncidentEvent, Severity
from incidents.transitions import Transition
from tests.alerts.scenes import (
    fail,
    make_monitor,
    make_webhook,
    queue,
    recover,
    send_due,
    worsen,
)
from tests.factories import UserFactory
from tests.servers.webhook import Receiver
from uptime.clock import database_now
from uptime.operations import acknowledge_incident

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def ann(team: Team) -> Channel:
    return make_webhook(team, "http://127.0.0.1:9/", "Ann")


@pytest.fixture
def ben(team: Team) -> Channel:
    return make_webhook(team, "http://127.0.0.1:9/", "Ben")


def step(*channels: Channel, after: int = 0, **values: Any) -> dict[str, Any]:
    """`after` so many minutes."""
    return {"delay_seconds": after * 60, "channels": [one.pk for one in channels], **values}


def policy(team: Team, *steps: dict[str, Any], **values: Any) -> Policy:
    known = {"name": "P", "all": True, "on": ["down", "degraded", "recovered"], **values}
    return create_policy(team=team, values={**known, "steps": list(steps)})


def in_(minutes: float) -> datetime:
    return database_now() + timedelta(minutes=minutes)


def told() -> list[tuple[str, str]]:
    """Whom, of what, in the order in which it was queued."""
    return list(Delivery.objects.order_by("pk").values_list("channel__name", "event"))


def skipped() -> list[str]:
    rows = Escalation.objects.exclude(skipped_because="").order_by("pk")
    return list(rows.values_list("skipped_because", flat=True))


def test_a_later_step_is_told_when_it_is_due_and_not_before(
    team: Team, ann: Channel, ben: Channel
) -> None:
    policy(team, step(ann), step(ben, after=10))
    queue(fail(make_monitor(team)))
    decide_due(in_(9))
    assert told() == [("Ann", "down")]
    assert decide_due(in_(10)) == 1
    assert told() == [("Ann", "down"), ("Ben", "down")]
    assert decide_due(in_(60)) == 0


def test_what_is_told_late_says_how_long_it_lasts_by_then(
    team: Team, ann: Channel, ben: Channel
) -> None:
    policy(team, step(ann, after=10, repeat_seconds=600))
    incident = fail(make_monitor(team)).incident
    incident.started_at = database_now()
    incident.save()
    queue(Transition(incident, incident.events.get(), "down"))
    decide_due(in_(11))
    decide_due(in_(21))
    first, second = Delivery.objects.order_by("pk")
    assert (first.event, first.step, first.repeat) == ("down", 0, 0)
    assert first.facts["duration_seconds"] == pytest.approx(660, abs=20)
    assert (second.event, second.repeat) == ("reminder", 1)
    assert (second.facts["status"], second.facts["severity"]) == ("down", "down")


def test_an_acknowledged_incident_goes_no_further(team: Team, ann: Channel, ben: Channel) -> None:
    policy(team, step(ann, repeat_seconds=300), step(ben, after=10))
    failed = fail(make_monitor(team))
    queue(failed)
    decide_due(in_(5))
    acknowledge_incident(incident=failed.incident, by=UserFactory())
    decide_due(in_(10))
    decide_due(in_(60))
    assert told() == [("Ann", "down"), ("Ann", "reminder")]
    assert skipped() == ["acknowledged", "acknowledged"]


def test_unless_its_policy_goes_on(team: Team, ann: Channel, ben: Channel) -> None:
    policy(team, step(ann), step(ben, after=10), stop_on_acknowledge=False)
    failed = fail(make_monitor(team))
    queue(failed)
    acknowledge_incident(incident=failed.incident, by=UserFactory())
    decide_due(in_(10))
    assert told() == [("Ann", "down"), ("Ben", "down")]


def test_whom_a_later_step_never_reached_does_not_hear_of_the_end(
    team: Team, ann: Channel, ben: Channel
) -> None:
    policy(team, step(ann), step(ben, after=10))
    failed = fail(make_monitor(team))
    queue(failed)
    queue(recover(failed.incident))
    decide_due(in_(10))
    assert told() == [("Ann", "down"), ("Ann", "recovered")]
    assert skipped() == ["resolved"]


def test_whom_a_later_step_reached_does(team: Team, ann: Channel, ben: Channel) -> None:
    policy(team, step(ann), step(ben, after=10))
    failed = fail(make_monitor(team))
    queue(failed)
    decide_due(in_(10))
    queue(recover(failed.incident))
    assert told()[2:] == [("Ann", "recovered"), ("Ben", "recovered")]


def test_a_first_step_with_a_delay_tells_only_of_what_lasts(team: Team, ann: Channel) -> None:
    policy(team, step(ann, after=5))
    short, long = fail(make_monitor(team, "Short")), fail(make_monitor(team, "Long"))
    queue(short, long)
    queue(recover(short.incident))
    decide_due(in_(5))
    assert list(Delivery.objects.values_list("incident__monitor__name", "event")) == [
        ("Long", "down")
    ]


def test_repeats_end_at_their_limit(team: Team, ann: Channel) -> None:
    policy(team, step(ann, repeat_seconds=600, max_repeats=2))
    queue(fail(make_monitor(team)))
    for minutes in range(0, 120, 10):
        decide_due(in_(minutes))
    assert told() == [("Ann", "down"), ("Ann", "reminder"), ("Ann", "reminder")]


def test_a_dispatcher_that_slept_does_not_pile_up_reminders(team: Team, ann: Channel) -> None:
    policy(team, step(ann, repeat_seconds=60))
    queue(fail(make_monitor(team)))
    while decide_due(in_(600)):
        pass
    assert told() == [("Ann", "down"), ("Ann", "reminder")]
    assert Escalation.objects.get(state="waiting").due_at > in_(599)


def test_what_became_worse_is_told_by_its_own_steps(team: Team, ann: Channel, ben: Channel) -> None:
    policy(team, step(ann), step(ben, after=10))
    slow = fail(make_monitor(team), severity=Severity.DEGRADED)
    queue(slow)
    queue(worsen(slow.incident, Severity.DOWN))
    decide_due(in_(10.1))
    assert told() == [("Ann", "degraded"), ("Ann", "down"), ("Ben", "down")]
    assert skipped() == ["changed"]


def test_policies_add_up_and_a_channel_is_told_once_of_one_event_at_one_moment(
    team: Team, ann: Channel, ben: Channel
) -> None:
    policy(team, step(ann), step(ann, ben, after=10), on=["down"])
    policy(team, step(ann, ben, after=10), step(ben, after=20))
    failed = fail(make_monitor(team))
    queue(failed)
    for minutes in (10, 20):
        decide_due(in_(minutes))
    assert sorted(told()) == [("Ann", "down"), ("Ann", "down"), ("Ben", "down"), ("Ben", "down")]
    # the second policy tells of recoveries; what it shares with the first is owed all the same
    queue(recover(failed.incident))
    assert sorted(told()[4:]) == [("Ann", "recovered"), ("Ben", "recovered")]


def test_what_is_shared_is_owed_also_where_it_is_decided_apart(
    team: Team, ann: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.escalation.AT_ONCE", 1)
    policy(team, step(ann, after=10), on=["down"])
    policy(team, step(ann, after=10))
    queue(fail(make_monitor(team)))
    assert [decide_due(in_(10)), decide_due(in_(10))] == [1, 1]
    assert Delivery.objects.get().owes_recovery


def test_a_policy_is_asked_as_it_is_by_then(team: Team, ann: Channel, ben: Channel) -> None:
    asked = policy(team, step(ann, after=10))
    gone = policy(team, step(ben, after=10))
    queue(fail(make_monitor(team)))
    update_policy(policy=asked, values={"steps": [step(ben, after=30)]})
    update_policy(policy=gone, values={"enabled": False})
    decide_due(in_(10))
    assert told() == [("Ben", "down")]
    assert skipped() == ["policy"]


def test_a_step_goes_on_wherever_it_stands_by_then(team: Team, ann: Channel, ben: Channel) -> None:
    made = policy(team, step(ann), step(ben, after=10))
    queue(fail(make_monitor(team)))
    update_policy(policy=made, values={"steps": [step(ben, after=10)]})
    update_policy(
        policy=made, values={"steps": [step(ann), step(ann, after=5), step(ben, after=9)]}
    )
    decide_due(in_(10))
    assert told() == [("Ann", "down"), ("Ben", "down")]


@pytest.mark.parametrize(
    ("events", "expected"), [(["degraded"], ["policy"]), (["heartbeat_late"], []), (["down"], [])]
)
def test_what_a_policy_asks_for_no_more_is_told_no_more(
    team: Team, ann: Channel, events: list[str], expected: list[str]
) -> None:
    made = policy(team, step(ann, repeat_seconds=600))
    queue(fail(make_monitor(team)))
    update_policy(policy=made, values={"on": events})
    decide_due(in_(10))
    assert skipped() == expected
    assert len(told()) == 2 - len(expected)


def test_what_was_decided_last_counts_though_it_was_seen_before(
    team: Team, ann: Channel, ben: Channel
) -> None:
    """A check that began before a snooze was over, and was slow."""
    policy(team, step(ann), step(ben, after=10))
    slow = fail(make_monitor(team), severity=Severity.DEGRADED)
    queue(slow)
    IncidentEvent.objects.create(
        incident=slow.incident,
        kind=EventKind.UNSNOOZED,
        severity=Severity.DEGRADED,
        at=in_(1),
    )
    queue(worsen(slow.incident, Severity.DOWN))
    decide_due(in_(10.1))
    assert told()[-1] == ("Ben", "down")
    assert skipped() == ["changed"]


def test_a_channel_that_is_off_by_then_is_nobody(team: Team, ann: Channel) -> None:
    policy(team, step(ann, after=10, repeat_seconds=600))
    queue(fail(make_monitor(team)))
    update_channel(channel=ann, values={"enabled": False})
    decide_due(in_(10))
    assert (told(), skipped()) == ([], ["nobody"])
    update_channel(channel=ann, values={"enabled": True})
    decide_due(in_(20))
    assert told() == [("Ann", "reminder")]


def test_a_deleted_step_takes_what_it_planned_with_it(team: Team, ann: Channel) -> None:
    made = policy(team, step(ann), step(ann, after=10))
    queue(fail(make_monitor(team)))
    update_policy(policy=made, values={"steps": [step(ann)]})
    assert decide_due(in_(10)) == 0


def hours(at: datetime, *, to: timedelta = HOUR) -> dict[str, Any]:
    """Daily active hours that begin at the full minute of `at`."""
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    window = {"days": days, "start": f"{at:%H:%M}", "end": f"{at + to:%H:%M}"}
    return {"active_hours": {"timezone": "UTC", "windows": [window]}}


@pytest.mark.parametrize(("outside", "expected"), [("wait", ["down"]), ("drop", [])])
def test_outside_active_hours(team: Team, ann: Channel, outside: str, expected: list[str]) -> None:
    policy(team, step(ann), outside_hours=outside, **hours(in_(120)))
    queue(fail(make_monitor(team)))
    assert told() == []
    decide_due(in_(125))
    assert [event for _, event in told()] == expected


def test_hours_that_were_moved_meanwhile_are_waited_for_anew(team: Team, ann: Channel) -> None:
    made = policy(team, step(ann), **hours(in_(120)))
    queue(fail(make_monitor(team)))
    update_policy(policy=made, values=hours(in_(240)))
    decide_due(in_(125))
    assert told() == []
    decide_due(in_(245))
    assert told() == [("Ann", "down")]


def test_a_row_that_cannot_be_decided_is_put_off_and_keeps_none_of_the_others(
    team: Team, ann: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy(team, step(ann, after=10))
    queue(fail(make_monitor(team, "Poison")), fail(make_monitor(team, "Shop")))

    def poisoned(incident: Incident, *_: object, **__: object) -> Any:
        if incident.monitor.name == "Poison":
            raise ZeroDivisionError
        return facts_of_incident(incident, database_now())

    monkeypatch.setattr("alerts.escalation.facts_of_incident", poisoned)
    now = in_(10)
    assert decide_due(now) == 1
    assert Delivery.objects.get().incident.monitor.name == "Shop"  # type: ignore[union-attr]
    assert Escalation.objects.get(state="waiting").due_at > now


def test_the_number_of_queries_does_not_depend_on_how_much_is_due(
    team: Team, ann: Channel, ben: Channel, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    policy(team, step(ann), step(ben, after=10, repeat_seconds=600))
    queue(*(fail(make_monitor(team, f"Shop {number}")) for number in range(20)))
    # savepoint and release; rows; policies, steps, channels, schedules, monitors; latest events;
    # outcomes (in a savepoint of their own); repeats; what is queued already; deliveries
    with django_assert_num_queries(14):
        decide_due(in_(10))
    assert Delivery.objects.count() == 40


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(uuid4())
    yield dispatcher
    dispatcher.close()


def test_the_dispatcher_finds_and_sends_what_is_due(
    team: Team, receiver: Receiver, dispatcher: Dispatcher
) -> None:
    hook = make_webhook(team, receiver.url)
    policy(team, step(hook, after=10, repeat_seconds=600))
    queue(fail(make_monitor(team)))
    for minutes in (1, 10, 20):
        send_due(dispatcher, at=in_(minutes))
    assert [request.json()["event"] for request in receiver.requests] == ["down", "reminder"]
    subjects = [request.json() for request in receiver.requests]
    assert subjects[1]["severity"] == "down"


@committed
def test_of_two_lookers_one_decides_and_what_is_being_changed_waits(
    team: Team, ann: Channel
) -> None:
    policy(team, step(ann, after=10))
    failed = fail(make_monitor(team))
    queue(failed)
    decided: list[int] = []

    def look() -> None:
        def work() -> None:
            decided.append(decide_due(in_(10)))
            connection.close()

        thread = Thread(target=work)
        thread.start()
        thread.join(10)

    with transaction.atomic():
        Incident.objects.select_for_update().get(pk=failed.incident.pk)
        look()  # it does not wait for us, and decides nothing
    with transaction.atomic():
        Escalation.objects.select_for_update().get()
        look()
    look()
    look()
    assert decided == [0, 0, 1, 0]
    assert told() == [("Ann", "down")]


DECIDE_AND_DIE = """
import os, signal
import django
django.setup()
from datetime import timedelta
from alerts import escalation
from uptime.clock import database_now

def die(*args, **kwargs):
    queue_once(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)

queue_once = escalation.queue_once
escalation.queue_once = die
escalation.decide_due(database_now() + timedelta(minutes=10))
"""


@committed
def test_a_decision_that_a_crash_interrupts_is_made_again_and_queued_once(
    team: Team, ann: Channel
) -> None:
    policy(team, step(ann, after=10, repeat_seconds=600))
    queue(fail(make_monitor(team)))
    address = urlsplit(os.environ["DATABASE_URL"])._replace(path=connection.settings_dict["NAME"])
    died = subprocess.run(
        [sys.executable, "-c", DECIDE_AND_DIE],
        env={
            **os.environ,
            "DATABASE_URL": address.geturl(),
            "DJANGO_SETTINGS_MODULE": "uptime.settings",
        },
        timeout=60,
    )
    assert died.returncode == -signal.SIGKILL
    assert told() == []
    decide_due(in_(10))
    assert told() == [("Ann", "down")]
    assert Escalation.objects.filter(state="waiting", repeat=1).count() == 1
