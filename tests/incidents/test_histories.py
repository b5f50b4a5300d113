"""Any sequence of observations gives one history, however it comes in."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from incidents.models import Incident
from incidents.reviews import calm_down
from monitors.actions import update_monitor
from monitors.models import Monitor, Status
from probe.values import Finished
from tests.factories import TeamFactory, make_monitor
from tests.incidents.scenes import (
    OURS,
    OWNER,
    REFUSED,
    SLOW,
    UP,
    assert_spans_meet,
    leased,
    make_locations,
    observe,
)
from uptime.clock import database_now
from uptime.intake import take_in
from uptime.operations import review_incidents

pytestmark = pytest.mark.django_db

SEEN = {"u": UP, "g": SLOW, "d": REFUSED, "?": OURS}
PLACES = ("here", "north", "south")

# What the places saw, round by round: a place may be silent, or look late.
ROUNDS = st.lists(st.text("ugd?-", min_size=3, max_size=3), min_size=1, max_size=8)


def history_of(monitor: Monitor) -> Any:
    """All that can be told of a monitor, with its times from its beginning."""
    spans = monitor.spans.order_by("started_at").values_list("status", "reason", "started_at")
    incidents = Incident.objects.filter(monitor=monitor).order_by("started_at", "id")
    return (
        Monitor.objects.values_list("status", "reason", "message").get(pk=monitor.pk),
        list(spans)[1:],
        [
            (
                incident.status,
                incident.severity,
                incident.locations,
                incident.started_at,
                incident.resolved_at,
                incident.changes,
                list(incident.events.order_by("id").values_list("kind", "at", "message")),
            )
            for incident in incidents
        ],
    )


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ROUNDS, st.integers(1, 3), st.integers(1, 3), st.integers(0, 4), st.randoms())
def test_order_and_replays_within_a_batch_mean_nothing(
    rounds: list[str], quorum: int, recoveries: int, flaps: int, chance: Any
) -> None:
    make_locations(*PLACES)
    team = TeamFactory()
    values: dict[str, Any] = {
        "locations": list(PLACES),
        "quorum": quorum,
        "recovery_threshold": recoveries,
        "flap_threshold": flaps,
        "flap_window": 60,
    }
    plain, shuffled = make_monitor(team, **values), make_monitor(team, **values)
    begin = database_now()
    seen_before: list[Finished] = []
    for number, letters in enumerate(rounds):
        at = begin + timedelta(seconds=20 * number)
        take_in(batch_of(plain, letters, at), owner=OWNER)
        batch = batch_of(shuffled, letters, at)
        replayed = [*batch, *batch[:1], *seen_before]
        chance.shuffle(replayed)
        assert take_in(replayed, owner=OWNER) == len(batch)
        assert take_in(replayed, owner=OWNER) == 0
        seen_before += batch
        calm_down(at)
        for monitor in (plain, shuffled):
            assert_spans_meet(monitor)
            assert_one_incident_in_trouble(monitor)
    assert history_of(plain) == history_of(shuffled)


def test_what_comes_and_goes_dates_from_the_first_check_of_those_that_made_it_down() -> None:
    monitor = make_monitor(failure_threshold=3, failure_window=5)
    begin = database_now()
    # Each window has a failing check in it, but only the last one has three.
    letters = "duuduuuduuuddud"
    for number, letter in enumerate(letters):
        observe(monitor, SEEN[letter], at=begin + timedelta(minutes=number))
    incident = Incident.objects.get()
    assert incident.started_at == begin + timedelta(minutes=11)
    assert incident.confirmed_at == begin + timedelta(minutes=14)
    assert_spans_meet(monitor)


def test_what_was_degraded_is_down_from_the_first_check_that_failed() -> None:
    monitor = make_monitor(failure_threshold=3)
    begin = database_now()
    for number, letter in enumerate("ggggddd"):
        observe(monitor, SEEN[letter], at=begin + timedelta(minutes=number))
    down = monitor.spans.get(status="down")
    assert down.started_at == begin + timedelta(minutes=4)
    assert Incident.objects.get().started_at == begin
    assert_spans_meet(monitor)


def test_a_monitor_follows_when_its_locations_or_their_quorum_are_changed() -> None:
    places = make_locations(*PLACES)
    monitor = make_monitor(locations=places, quorum=2, failure_threshold=1)
    for place, letter in zip(places, "duu", strict=True):
        observe(monitor, SEEN[letter], location=place)

    def status_after(**values: Any) -> str:
        update_monitor(monitor=monitor, values=values)
        review_incidents()
        assert_spans_meet(monitor)
        assert_one_incident_in_trouble(monitor)
        return Monitor.objects.get(pk=monitor.pk).status

    assert status_after(quorum=1) == Status.DOWN
    assert status_after(locations=places[1:]) == Status.UP
    assert status_after(locations=places) == Status.UP
    assert not Incident.objects.unresolved().exists()


def batch_of(monitor: Monitor, letters: str, at: datetime) -> list[Finished]:
    """A check at each place that is not silent; the later ones began earlier."""
    return [
        leased(monitor, SEEN[letter], at=at - timedelta(seconds=place), location=PLACES[place])
        for place, letter in enumerate(letters)
        if letter != "-"
    ]


def assert_one_incident_in_trouble(monitor: Monitor) -> None:
    status = Monitor.objects.get(pk=monitor.pk).status
    found = list(Incident.objects.filter(monitor=monitor).unresolved())
    assert len(found) <= 1
    if status in (Status.DOWN, Status.RECOVERING, Status.DEGRADED):
        assert found
    elif status == Status.UP:
        assert all(incident.is_flapping for incident in found)
