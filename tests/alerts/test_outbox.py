"""The outbox's arithmetic and its leases."""

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Team
from alerts.models import Delivery, DeliveryStatus
from alerts.outbox import LEASE, Leased, Outcome, lease_deliveries, release_deliveries
from alerts.recording import (
    JITTER,
    LONGEST_BACK_OFF,
    MAX_ATTEMPTS,
    back_off,
    record_outcomes,
)
from tests.alerts.scenes import make_team, make_webhook, queue_many
from uptime import counters
from uptime.clock import database_now


@pytest.mark.parametrize(
    ("attempt", "retry_after_s", "expected_s"),
    [
        (1, None, 5),
        (2, None, 10),
        (5, None, 80),
        (10, None, 2560),
        (11, None, 3600),
        (1000, None, 3600),
        (1, 30, 30),
        (5, 30, 80),
        (1, 0, 5),
        (1, 1_000_000, 3600),
        (1, -5, 5),
    ],
)
def test_the_pause_after_an_attempt(
    attempt: int, retry_after_s: int | None, expected_s: int
) -> None:
    retry_after = None if retry_after_s is None else timedelta(seconds=retry_after_s)
    assert back_off(attempt, retry_after, chance=0.5) == timedelta(seconds=expected_s)


@given(attempt=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_chance_moves_the_pause_a_little(attempt: int, chance: float) -> None:
    middle = back_off(attempt, None, chance=0.5)
    assert middle * (1 - JITTER) <= back_off(attempt, None, chance=chance)
    assert back_off(attempt, None, chance=chance) <= middle * (1 + JITTER)


@given(attempt=st.integers(1, 10_000), seconds=st.floats(0, 3600), chance=st.floats(0, 1))
def test_a_receiver_is_never_troubled_sooner_than_it_asked(
    attempt: int, seconds: float, chance: float
) -> None:
    asked = timedelta(seconds=seconds)
    assert back_off(attempt, asked, chance=chance) >= asked


def test_all_attempts_together_last_half_a_day() -> None:
    pauses = (back_off(attempt, None, chance=0.5) for attempt in range(1, MAX_ATTEMPTS))
    assert timedelta(hours=9) < sum(pauses, timedelta()) < timedelta(hours=13)
    assert timedelta(hours=24) > LONGEST_BACK_OFF * MAX_ATTEMPTS


def lease(
    limit: int = 16, per_channel: int = 2, in_flight: tuple[Leased, ...] = ()
) -> list[Leased]:
    return lease_deliveries(
        owner=uuid4(),
        now=database_now(),
        limit=limit,
        per_channel=lambda _: per_channel,
        in_flight=in_flight,
    )


@pytest.mark.django_db
def test_what_is_leased_is_leased_to_nobody_else(team: Team) -> None:
    queue_many(team, make_webhook(team, "http://127.0.0.1:9/"), 3)
    first = lease()
    second = lease()
    assert len(first) == 2
    assert len(second) == 1
    assert lease() == []


@pytest.mark.django_db
def test_a_channel_counts_what_is_in_flight(team: Team) -> None:
    queue_many(team, make_webhook(team, "http://127.0.0.1:9/"), 3)
    other = make_team()
    queue_many(other, make_webhook(other, "http://127.0.0.1:9/"), 1)
    [first] = lease(limit=1)
    more = lease(in_flight=(first, *lease(limit=1)))
    assert [leased.channel_id for leased in more] == [Delivery.objects.get(team=other).channel_id]


@pytest.mark.django_db
def test_a_long_queue_of_one_channel_does_not_hide_another(team: Team) -> None:
    queue_many(team, make_webhook(team, "http://127.0.0.1:9/"), 70)
    other = make_team()
    queue_many(other, make_webhook(other, "http://127.0.0.1:9/"), 1)
    held = lease()
    assert len(held) == 2
    assert len(lease(in_flight=tuple(held))) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("is_staff", "reaches_private"), [(True, True), (False, False)])
def test_only_teams_of_staff_reach_private_networks(is_staff: bool, reaches_private: bool) -> None:
    team = make_team(is_staff=is_staff)
    queue_many(team, make_webhook(team, "http://127.0.0.1:9/"), 1)
    assert lease()[0].reaches_private is reaches_private


@pytest.mark.django_db
def test_an_outcome_counts_once(team: Team) -> None:
    [delivery] = queue_many(team, make_webhook(team, "http://127.0.0.1:9/"), 1)
    [leased] = lease()
    assert record_outcomes([(leased, Outcome())]) == {leased.id}
    assert record_outcomes([(leased, Outcome("late"))]) == set()
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.SENT
    assert counters.totals()[counters.DELIVERIES] == {("webhook", "sent"): 1}


@pytest.mark.django_db
def test_every_attempt_is_counted_by_its_outcome(team: Team) -> None:
    queue_many(team, make_webhook(team, "http://127.0.0.1:9/"), 2)
    first, second = lease()
    record_outcomes([(first, Outcome("broken")), (second, Outcome("gone", is_permanent=True))])
    assert counters.totals()[counters.DELIVERIES] == {
        ("webhook", "failed"): 1,
        ("webhook", "dead"): 1,
    }


@pytest.mark.django_db
def test_the_leases_of_the_dead_are_given_back(team: Team) -> None:
    queue_many(team, make_webhook(team, "http://127.0.0.1:9/"), 2)
    [held] = lease(limit=1)
    [orphan] = lease(limit=1)
    assert release_deliveries(living=[held.owner]) == 1
    assert [leased.id for leased in lease()] == [orphan.id]


@pytest.mark.django_db
def test_what_waits_for_no_fault_of_ours_is_not_neglected(team: Team) -> None:
    queue_many(team, make_webhook(team, "http://127.0.0.1:9/"), 3)
    soon = database_now() + timedelta(seconds=5)
    assert Delivery.objects.neglected(soon).count() == 3
    lease()
    assert Delivery.objects.due(soon).count() == 1
    assert Delivery.objects.neglected(soon).count() == 0
    assert Delivery.objects.neglected(soon + LEASE).count() == 3


@pytest.mark.django_db
def test_what_must_wait_is_found_row_by_row_whatever_the_planner_believes() -> None:
    """As a join it takes minutes where a storm fills a table that is still taken for empty."""
    assert "Anti Join" not in Delivery.objects.due(database_now()).in_turn().explain()
