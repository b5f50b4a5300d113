"""Shifts: one at a time, relieved without a gap, missed when they die."""

import os
import subprocess
from datetime import timedelta
from types import SimpleNamespace
from typing import cast
from uuid import uuid4

import pytest
from django.db.models.functions import Now
from django_q.models import OrmQ
from pytest_django import Settings

from monitors.models import Assignment, Shift
from tests.factories import make_monitor
from uptime.clock import database_now
from uptime.load import Load, Meter
from uptime.shifts import (
    DEAD_AFTER,
    Beat,
    begin_shift,
    bury_dead_shifts,
    end_shift,
    host,
    restore_shift,
)

pytestmark = pytest.mark.django_db


def a_shift(**values: object) -> Shift:
    defaults = {
        "duty": "checks",
        "host": "another machine",
        "pid": 1,
        "started_at": Now(),
        "beat_at": Now(),
    }
    return Shift.objects.create(**{**defaults, **values})


def lease_to(shift: Shift) -> None:
    Assignment.objects.update(
        lease_owner=shift.id, lease_expires_at=database_now() + timedelta(minutes=3)
    )


def a_dead_pid() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def test_a_second_shift_of_a_duty_is_not_needed() -> None:
    assert begin_shift("checks") is not None
    assert begin_shift("checks") is None
    assert begin_shift("deliveries") is not None


def test_a_shift_that_leaves_makes_room_for_its_successor() -> None:
    shift = begin_shift("checks")
    Shift.objects.filter(pk=shift.pk).update(is_draining=True)  # type: ignore[union-attr]
    assert begin_shift("checks") is not None


def test_a_shift_gives_its_leases_back_when_it_ends() -> None:
    make_monitor()
    shift = begin_shift("checks")
    assert shift is not None
    lease_to(shift)
    end_shift(shift)
    assert Assignment.objects.get().lease_owner is None
    assert not Shift.objects.exists()


def test_a_shift_that_stopped_beating_is_buried_and_its_leases_are_free() -> None:
    make_monitor()
    silent = a_shift(beat_at=database_now() - DEAD_AFTER - timedelta(seconds=1))
    lease_to(silent)
    alive = a_shift()
    assert bury_dead_shifts() == 1
    assert Assignment.objects.get().lease_owner is None
    assert list(Shift.objects.all()) == [alive]


def test_a_shift_of_this_machine_is_dead_with_its_process() -> None:
    a_shift(host=host(), pid=a_dead_pid())
    a_shift(host=host(), pid=os.getpid())
    assert bury_dead_shifts() == 1


def test_the_leases_of_the_living_stay() -> None:
    make_monitor()
    alive = a_shift()
    lease_to(alive)
    a_shift(host=host(), pid=a_dead_pid())
    bury_dead_shifts()
    assert Assignment.objects.get().lease_owner == alive.id


def test_the_watchdog_calls_a_shift_only_when_none_works() -> None:
    assert restore_shift("checks") is False
    assert OrmQ.objects.filter(key="checks").count() == 1
    begin_shift("checks")
    assert restore_shift("checks") is True
    assert OrmQ.objects.filter(key="checks").count() == 1


def test_a_shift_works_on_until_its_successor_has_begun(settings: object) -> None:
    settings.SHIFT_SECONDS = 0  # type: ignore[attr-defined]
    shift = begin_shift("checks")
    assert shift is not None
    beat = Beat(shift)
    beat._beat()
    beat._beat()
    assert not beat.stopping.is_set()
    assert OrmQ.objects.filter(key="checks").count() == 1
    assert begin_shift("checks") is not None
    beat._beat()
    assert beat.stopping.is_set()


def test_a_shift_that_was_taken_for_dead_stops() -> None:
    shift = begin_shift("checks")
    assert shift is not None
    beat = Beat(shift)
    Shift.objects.all().delete()
    beat._beat()
    assert beat.stopping.is_set()


def test_leases_of_an_owner_that_never_was_are_free_once_a_shift_dies() -> None:
    make_monitor()
    Assignment.objects.update(lease_owner=uuid4(), lease_expires_at=database_now())
    a_shift(host=host(), pid=a_dead_pid())
    bury_dead_shifts()
    assert Assignment.objects.get().lease_owner is None


def strain(shift: Shift) -> None:
    Shift.objects.filter(pk=shift.pk).update(
        busy=0.95, busy_lately=0.95, lateness=timedelta(seconds=1)
    )


def rest(shift: Shift) -> None:
    Shift.objects.filter(pk=shift.pk).update(busy=0.1, busy_lately=0.1, lateness=timedelta())


def beat_of(shift: Shift, load: Load) -> Beat:
    """The shift's beat, with a meter that shows this load."""
    beat = Beat(shift)
    beat.meter = cast("Meter", SimpleNamespace(measure=lambda: load))
    return beat


STRAINED = Load(busy=0.95, busy_lately=0.95, lateness=timedelta(seconds=1))
IDLE = Load(busy=0.1, busy_lately=0.1)


def waiting_calls() -> int:
    return int(OrmQ.objects.filter(key="checks").count())


def test_a_strained_shift_calls_one_more_and_no_second_while_that_waits(
    settings: Settings,
) -> None:
    settings.CHECK_SHIFTS = 4
    shift = begin_shift("checks")
    assert shift is not None
    beat = beat_of(shift, STRAINED)
    beat._beat()
    beat._beat()
    assert waiting_calls() == 1
    assert begin_shift("checks") is not None
    OrmQ.objects.all().delete()
    beat._beat()
    assert waiting_calls() == 0  # the new one has to show first what it does


def test_a_machine_has_no_more_shifts_than_it_may(settings: Settings) -> None:
    settings.CHECK_SHIFTS = 1
    shift = begin_shift("checks")
    assert shift is not None
    beat_of(shift, STRAINED)._beat()
    assert waiting_calls() == 0
    assert begin_shift("checks") is None


def test_another_machine_takes_what_this_one_may_not(settings: Settings) -> None:
    settings.CHECK_SHIFTS = 1
    strain(a_shift(host="another machine"))
    assert begin_shift("checks") is not None


def test_the_youngest_of_idle_shifts_ends_and_one_stays(settings: Settings) -> None:
    settings.CHECK_SHIFTS = 2
    eldest = begin_shift("checks")
    assert eldest is not None
    strain(eldest)
    youngest = begin_shift("checks")
    assert youngest is not None
    rest(eldest)
    first, last = beat_of(eldest, IDLE), beat_of(youngest, IDLE)
    first._beat()
    assert not first.stopping.is_set()
    last._beat()
    assert last.stopping.is_set()
    first._beat()
    assert not first.stopping.is_set()


def test_one_of_several_is_relieved_by_its_own_successor(settings: Settings) -> None:
    settings.CHECK_SHIFTS = 3
    settings.SHIFT_SECONDS = 0
    eldest = begin_shift("checks")
    assert eldest is not None
    strain(eldest)
    other = begin_shift("checks")
    assert other is not None
    beat = beat_of(eldest, STRAINED)
    beat._beat()
    beat._beat()
    assert not beat.stopping.is_set()  # the other one is no successor
    assert begin_shift("checks", relieves=eldest.pk) is not None
    beat._beat()
    assert beat.stopping.is_set()
