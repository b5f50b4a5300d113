"""Leases: who checks what, and never two at once."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier, Thread
from uuid import UUID, uuid4

import pytest
from django.db import connections

from monitors.leasing import lease_due, release_leases, release_orphans
from monitors.models import Assignment, Location
from tests.factories import TeamFactory, make_monitor

AHEAD = timedelta(seconds=1)


@pytest.fixture
def local() -> int:
    return Location.objects.get(slug="local").id


def lease(owner: UUID, local: int, limit: int = 100) -> list[int]:
    _, leased = lease_due(owner=owner, location_id=local, limit=limit, ahead=AHEAD)
    return [one.assignment_id for one in leased]


@pytest.mark.django_db
def test_what_is_due_is_leased_once(local: int) -> None:
    monitor = make_monitor()
    owner = uuid4()
    now, leased = lease_due(owner=owner, location_id=local, limit=10, ahead=AHEAD)
    assert [one.monitor_id for one in leased] == [monitor.id]
    assert abs(now - leased[0].due_at) < timedelta(seconds=5)
    assert lease(uuid4(), local) == []


@pytest.mark.django_db
def test_where_nothing_is_due_the_time_comes_all_the_same(local: int) -> None:
    now, leased = lease_due(owner=uuid4(), location_id=local, limit=10, ahead=AHEAD)
    assert leased == []
    assert now.tzinfo is not None


@pytest.mark.django_db
def test_the_most_overdue_come_first_and_no_more_than_asked(local: int) -> None:
    team = TeamFactory()
    for _ in range(5):
        make_monitor(team)
    oldest = Assignment.objects.order_by("-id")[0]
    Assignment.objects.filter(pk=oldest.pk).update(
        next_due_at=oldest.next_due_at - timedelta(hours=1)  # type: ignore[operator]
    )
    assert lease(uuid4(), local, limit=2)[0] == oldest.id
    assert len(lease(uuid4(), local, limit=2)) == 2


@pytest.mark.django_db
def test_what_lies_ahead_is_not_leased(local: int) -> None:
    make_monitor()
    later = Assignment.objects.get().next_due_at + timedelta(seconds=30)  # type: ignore[operator]
    Assignment.objects.update(next_due_at=later)
    assert lease(uuid4(), local) == []


@pytest.mark.django_db
def test_a_lapsed_lease_is_taken_over(local: int) -> None:
    make_monitor()
    dead = uuid4()
    (id_,) = lease(dead, local)
    Assignment.objects.update(lease_expires_at=Assignment.objects.get().next_due_at)
    assert lease(uuid4(), local) == [id_]


@pytest.mark.django_db
def test_leases_are_given_back_by_their_owner_and_taken_from_the_dead(local: int) -> None:
    team = TeamFactory()
    for _ in range(4):
        make_monitor(team)
    mine, dead = uuid4(), uuid4()
    ids = lease(mine, local, limit=2)
    lost = lease(dead, local, limit=2)
    assert release_leases(owner=mine, assignment_ids=ids[:1]) == 1
    assert release_orphans(living=[mine]) == 2
    assert sorted(lease(uuid4(), local)) == sorted([ids[0], *lost])


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """Rows that other connections can see."""
    yield
    connections.close_all()


def test_two_engines_at_once_never_lease_the_same(committed: None, local: int) -> None:
    team = TeamFactory()
    for _ in range(60):
        make_monitor(team)
    start, found = Barrier(2), {}

    def take(name: str) -> None:
        taken: list[int] = []
        owner = uuid4()
        start.wait()
        while some := lease(owner, local, limit=7):
            taken += some
        found[name] = taken
        connections.close_all()

    threads = [Thread(target=take, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found["a"]) + len(found["b"]) == 60
    assert not set(found["a"]) & set(found["b"])
