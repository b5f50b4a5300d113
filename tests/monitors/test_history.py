"""Packed or plain, a result is the same, is found the same way, and none is lost between."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from threading import Event, Thread
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections, transaction
from django.test import override_settings

from accounts.models import Team
from monitors import archiving, chores, rollups
from monitors.history import Wanted, read_results, read_seen
from monitors.models import (
    Assignment,
    Chore,
    DayRollup,
    HourRollup,
    Location,
    Monitor,
    PackedResults,
    Result,
)
from monitors.packing import Packed
from monitors.partitions import drop_partitions, existing_partitions
from probe.values import Finished, Phases
from tests.factories import make_monitor
from tests.monitors.results import finished_check, keep_history, store_checks
from uptime.operations import delete_monitor
from uptime.schedules import keep_house

DAY_0 = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# two days after the end of the first day, and of the second not yet
FIRST_IS_PACKED = DAY_0 + 2 * DAY + HOUR
BOTH_ARE_PACKED = DAY_0 + 3 * DAY + HOUR


@pytest.fixture
def monitor(db: None) -> Monitor:
    drop_partitions(before=date.max)
    Location.objects.create(slug="berlin", name="Berlin")
    return make_monitor(locations=["local", "berlin"])


@pytest.fixture
def assignments(monitor: Monitor) -> list[Assignment]:
    return list(Assignment.objects.filter(monitor=monitor).order_by("id"))


def two_days(assignment: Assignment, chance: Random) -> list[Finished]:
    """All that a result can hold, and all that it can lack."""
    made = []
    for n in range(2 * 24 * 4):
        at = DAY_0 + n * 15 * MINUTE + timedelta(microseconds=chance.randrange(10**6))
        status = chance.choice(["up"] * 6 + ["degraded", "down", "unknown"])
        if chance.random() < 0.5:
            made.append(finished_check(assignment, at, status, None))
            continue
        latency_us = chance.randrange(1, 10**7)
        made.append(
            finished_check(
                assignment,
                at,
                status,
                latency_us / 1000,
                late=timedelta(microseconds=chance.randrange(10**5)),
                phases=Phases(
                    dns_ms=0.25,
                    connect_ms=None,
                    first_byte_ms=latency_us // 2 / 1000,
                    transfer_ms=0.0,
                ),
                http_status=chance.choice([200, 204, 503]),
                cert_expires_at=DAY_0 + chance.choice([30, 60]) * DAY,
            )
        )
    return made


@pytest.fixture
def stored(assignments: list[Assignment]) -> list[Assignment]:
    """Two days of results at two locations."""
    for seed, assignment in enumerate(assignments):
        store_checks(*two_days(assignment, Random(seed)))
    return assignments


def values(results: Sequence[Result]) -> list[dict[str, Any]]:
    """All fields; durations to the microsecond, which is what is kept."""
    fields = [field.attname for field in Result._meta.fields]
    rows = [{name: getattr(one, name) for name in fields} for one in results]
    return [
        {
            name: round(value, 3) if name.endswith("_ms") and value is not None else value
            for name, value in row.items()
        }
        for row in rows
    ]


def everything(assignments: Sequence[Assignment]) -> list[dict[str, Any]]:
    return values(read_results(Wanted([one.pk for one in assignments]), 10_000))


def test_packed_results_are_what_the_plain_ones_were(stored: list[Assignment]) -> None:
    before = everything(stored)
    assert len(before) == 2 * 2 * 96

    keep_history(FIRST_IS_PACKED)

    assert existing_partitions() == [date(2026, 3, 2)]
    assert PackedResults.objects.count() == 2
    assert everything(stored) == before

    keep_history(BOTH_ARE_PACKED)

    assert existing_partitions() == []
    assert not Result.objects.exists()
    assert everything(stored) == before


@pytest.mark.parametrize("packed", [FIRST_IS_PACKED, BOTH_ARE_PACKED])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"since": DAY_0 + 20 * HOUR, "until": DAY_0 + 28 * HOUR},
        {"since": DAY_0 + 2 * HOUR, "until": DAY_0 + 3 * HOUR},
        {"since": datetime.min.replace(tzinfo=UTC)},
        {"until": datetime.max.replace(tzinfo=UTC)},
        {"statuses": ["down"]},
        {"statuses": ["down", "unknown"], "until": DAY_0 + DAY},
        {"since": DAY_0 + 10 * DAY},
    ],
)
def test_pages_are_the_same_packed_and_plain_forward_and_back(
    stored: list[Assignment], asked: dict[str, Any], packed: datetime
) -> None:
    ids = [one.pk for one in stored]

    def pages(limit: int, **more: Any) -> list[UUID]:
        found: list[UUID] = []
        edge = None
        while page := read_results(Wanted(ids, **asked, **more, edge=edge), limit):
            assert len(page) <= limit
            found += [one.id for one in page]
            edge = (page[-1].checked_at, page[-1].id)
        return found

    plain = pages(1000)
    keep_history(packed)

    assert pages(1000) == plain
    assert pages(17) == plain
    assert pages(17, is_ascending=True) == plain[::-1]


def test_one_location_alone(stored: list[Assignment]) -> None:
    keep_history(FIRST_IS_PACKED)

    assert {one["assignment_id"] for one in everything(stored[:1])} == {stored[0].pk}
    assert everything([]) == []


def test_what_is_there_twice_is_seen_once(stored: list[Assignment]) -> None:
    before = everything(stored)
    for only in (chores.HOURS, chores.DAYS, chores.PACKING):
        keep_history(FIRST_IS_PACKED, only=only)
    assert PackedResults.objects.count() == 2
    assert len(existing_partitions()) == 2

    assert everything(stored) == before
    seen = read_seen([one.pk for one in stored], [(DAY_0, DAY_0 + DAY)])
    assert len(seen) == 2 * 96


def test_doing_it_again_changes_nothing(stored: list[Assignment]) -> None:
    keep_history(FIRST_IS_PACKED, only=chores.HOURS)
    keep_history(FIRST_IS_PACKED, only=chores.DAYS)
    keep_history(FIRST_IS_PACKED, only=chores.PACKING)
    once = list(PackedResults.objects.order_by("pk").values())

    Chore.objects.filter(pk=chores.PACKING).delete()
    keep_history(FIRST_IS_PACKED, only=chores.PACKING)

    assert list(PackedResults.objects.order_by("pk").values()) == once


def test_it_goes_on_where_it_was_cut_off(
    stored: list[Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "ASSIGNMENTS_AT_ONCE", 1)
    before = everything(stored)
    keep_history(FIRST_IS_PACKED, only=chores.HOURS)
    keep_history(FIRST_IS_PACKED, only=chores.DAYS)

    counts = []
    for _ in range(4):

        def step(chore: Chore, now: datetime) -> bool:
            return archiving.pack_results(chore, FIRST_IS_PACKED)

        chores.run_chore(chores.PACKING, step)  # a budget of nothing is one step
        counts.append(PackedResults.objects.count())
        assert everything(stored) == before

    assert counts == [1, 2, 2, 2]


def test_many_results_of_a_day_make_several_rows(
    stored: list[Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "CHECKS_IN_ROW", 40)
    monkeypatch.setattr(archiving, "CHECKS_AT_ONCE", 10)
    before = everything(stored)

    keep_history(FIRST_IS_PACKED)

    assert sorted(PackedResults.objects.values_list("checks", flat=True)) == [
        16,
        16,
        40,
        40,
        40,
        40,
    ]
    assert everything(stored) == before


def test_nothing_is_packed_that_is_not_rolled_up(stored: list[Assignment]) -> None:
    keep_history(BOTH_ARE_PACKED, only=chores.PACKING)
    keep_history(BOTH_ARE_PACKED, only=chores.CHECKING)

    assert not PackedResults.objects.exists()
    assert len(existing_partitions()) == 2


def test_the_second_pass_finds_and_packs_what_the_first_missed(stored: list[Assignment]) -> None:
    for only in (chores.HOURS, chores.DAYS, chores.PACKING):
        keep_history(FIRST_IS_PACKED, only=only)
    before = everything(stored)
    row = PackedResults.objects.first()
    assert row is not None
    damaged = Packed(bytes(row.payload)).checks()[:-5]
    PackedResults.objects.filter(pk=row.pk).update(payload=archiving.pack(damaged))

    keep_history(FIRST_IS_PACKED, only=chores.CHECKING)

    assert existing_partitions() == [date(2026, 3, 2)]
    assert everything(stored) == before


def test_a_partition_is_not_dropped_while_it_has_a_result_that_is_not_packed(
    stored: list[Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    for only in (chores.HOURS, chores.DAYS, chores.PACKING):
        keep_history(FIRST_IS_PACKED, only=only)
    late = finished_check(stored[0], DAY_0 + 7 * MINUTE, "down")
    check_day = archiving._check_day

    def check_day_as_one_comes(id_: int, day: datetime) -> int:
        """It comes for an assignment that was looked at already."""
        count = check_day(id_, day)
        if id_ == stored[-1].pk:
            store_checks(late)
            rollups.note_late([late], now=datetime.now(UTC))
        return count

    with monkeypatch.context() as patch:
        patch.setattr(archiving, "_check_day", check_day_as_one_comes)
        keep_history(FIRST_IS_PACKED, only=chores.CHECKING)
    assert len(existing_partitions()) == 2

    keep_history(FIRST_IS_PACKED)

    assert existing_partitions() == [date(2026, 3, 2)]
    assert late.id in [one["id"] for one in everything(stored)]
    assert HourRollup.objects.get(assignment=stored[0], started_at=DAY_0).down > 0


def test_a_mark_that_is_seen_to_before_the_end_starts_the_second_pass_over(
    stored: list[Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "ASSIGNMENTS_AT_ONCE", 1)
    for only in (chores.HOURS, chores.DAYS, chores.PACKING):
        keep_history(FIRST_IS_PACKED, only=only)

    def step(chore: Chore, now: datetime) -> bool:
        return archiving.check_packed(chore, FIRST_IS_PACKED)

    chores.run_chore(chores.CHECKING, step)
    assert Chore.objects.get(pk=chores.CHECKING).position == stored[0].pk
    late = finished_check(stored[0], DAY_0 + 7 * MINUTE, "down")
    store_checks(late)
    rollups.note_late([late], now=datetime.now(UTC))

    keep_history(FIRST_IS_PACKED)

    assert existing_partitions() == [date(2026, 3, 2)]
    assert late.id in [one["id"] for one in everything(stored)]


def test_results_that_come_when_their_day_is_packed_are_folded_in(
    stored: list[Assignment],
) -> None:
    keep_history(BOTH_ARE_PACKED)
    before = HourRollup.objects.get(assignment=stored[0], started_at=DAY_0)
    late = finished_check(stored[0], DAY_0 + 7 * MINUTE, "down")
    store_checks(late)  # makes the partition again
    rollups.note_late([late], now=datetime.now(UTC))
    found = everything(stored)
    assert late.id in [one["id"] for one in found]

    keep_history(BOTH_ARE_PACKED)

    assert existing_partitions() == []
    assert everything(stored) == found
    after = HourRollup.objects.get(assignment=stored[0], started_at=DAY_0)
    assert (after.up, after.down) == (before.up, before.down + 1)
    assert after.histogram == before.histogram
    day = DayRollup.objects.get(assignment=stored[0], started_at=DAY_0)
    assert day.up + day.degraded + day.down + day.unknown == 97


def test_packed_results_end_with_retention_and_with_their_monitor(
    stored: list[Assignment], monitor: Monitor
) -> None:
    keep_history(BOTH_ARE_PACKED)

    with override_settings(RETENTION_DAYS=2):
        keep_history(BOTH_ARE_PACKED)
    kept = [one["checked_at"].date() for one in everything(stored)]
    assert set(kept) == {date(2026, 3, 2)}

    delete_monitor(monitor=monitor)
    assert not PackedResults.objects.exists()


def test_each_team_keeps_its_results_for_its_own_time(
    stored: list[Assignment], monitor: Monitor
) -> None:
    other = Assignment.objects.get(monitor=make_monitor())
    store_checks(finished_check(other, DAY_0), finished_check(other, DAY_0 + DAY))
    keep_history(BOTH_ARE_PACKED)
    a_week_on = BOTH_ARE_PACKED + timedelta(days=5)

    def kept(assignments: list[Assignment]) -> set[date]:
        return {one["checked_at"].date() for one in everything(assignments)}

    Team.objects.filter(pk=monitor.team_id).update(retention_days=7)
    keep_history(a_week_on)
    assert kept(stored) == {date(2026, 3, 2)}
    assert kept([other]) == {date(2026, 3, 1), date(2026, 3, 2)}
    assert HourRollup.objects.filter(assignment=other, started_at__lt=DAY_0 + DAY).exists()
    assert not HourRollup.objects.filter(assignment=stored[0], started_at__lt=DAY_0 + DAY).exists()

    Team.objects.filter(pk=other.monitor.team_id).update(retention_days=365)
    with override_settings(RETENTION_DAYS=7):
        keep_history(a_week_on + timedelta(days=30))
    assert kept(stored) == set()
    assert kept([other]) == {date(2026, 3, 1), date(2026, 3, 2)}


def test_partitions_outlast_the_longest_retention(
    stored: list[Assignment], monitor: Monitor
) -> None:
    """What could not be packed in all that time is somebody's still."""
    Team.objects.filter(pk=monitor.team_id).update(retention_days=3650)
    keep_house()
    assert date(2026, 3, 1) in existing_partitions()
    Team.objects.update(retention_days=None)
    keep_house()
    assert date(2026, 3, 1) not in existing_partitions()


def test_ids_of_another_making_are_kept(monitor: Monitor, assignments: list[Assignment]) -> None:
    strange = UUID("12345678-1234-4234-8234-123456789abc")
    store_checks(*(finished_check(assignments[0], DAY_0 + n * HOUR) for n in range(3)))
    Result.objects.filter(checked_at=DAY_0).update(id=strange)

    keep_history(FIRST_IS_PACKED)

    assert everything(assignments)[-1]["id"] == strange


@pytest.mark.django_db(transaction=True)
def test_a_reader_delays_the_drop_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assignment = Assignment.objects.get(monitor=make_monitor())
    store_checks(finished_check(assignment, DAY_0))
    is_reading, is_done = Event(), Event()

    def read_for_long() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM monitors_result")
            is_reading.set()
            is_done.wait(20)
        connections.close_all()

    reader = Thread(target=read_for_long)
    reader.start()
    is_reading.wait(20)
    keep_history(FIRST_IS_PACKED)
    assert date(2026, 3, 1) in existing_partitions()
    assert not Chore.objects.exclude(failing_since=None).exists()

    is_done.set()
    reader.join()
    monkeypatch.setattr(archiving, "_check_day", None)  # what was checked is not checked again
    keep_history(FIRST_IS_PACKED)
    assert date(2026, 3, 1) not in existing_partitions()
