"""What was queued before nobody is to be told waits until that is over, if it is true then."""

from datetime import timedelta
from uuid import uuid4

import pytest

from accounts.models import Team
from alerts.actions import create_channel
from alerts.models import Channel, Delivery, DeliveryStatus
from alerts.outbox import lease_deliveries
from alerts.pacing import GATHERING
from incidents.actions import snooze_monitor
from incidents.maintenance.actions import create_window, end_window
from incidents.models import Incident, MaintenanceWindow
from monitors.models import Monitor
from tests.factories import WebhookFactory, make_monitor, make_policy
from tests.incidents.scenes import REFUSED, UP, observe
from uptime.clock import database_now
from uptime.operations import acknowledge_incident, review_incidents, set_enabled

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
GATHERED = GATHERING + timedelta(seconds=1)


@pytest.fixture
def hook(team: Team) -> Channel:
    channel = WebhookFactory(team=team)
    make_policy(team, channel, on=["down", "recovered"])
    return channel


@pytest.fixture
def monitor(team: Team, hook: Channel) -> Monitor:
    return observe(make_monitor(team, name="Shop", failure_threshold=1), UP)


def leave(after: timedelta = timedelta()) -> list[str]:
    """What leaves then, and arrives. What waits for another of them takes another look."""
    found = []
    for _ in range(3):
        leased = lease_deliveries(
            owner=uuid4(), now=database_now() + after, limit=9, per_channel=lambda _: 9
        )
        found += [one.event for one in leased]
        Delivery.objects.filter(pk__in=[one.id for one in leased]).update(
            status=DeliveryStatus.SENT, next_attempt_at=None, lease_owner=None
        )
    return found


def fails_to_leave() -> None:
    """All that is queued was tried once, in vain, and is due again."""
    Delivery.objects.filter(next_attempt_at__isnull=False).update(
        attempts=1, status=DeliveryStatus.FAILED, next_attempt_at=database_now()
    )


def window(team: Team) -> MaintenanceWindow:
    now = database_now()
    values = {"name": "W", "starts_at": now - HOUR, "ends_at": now + HOUR, "all": True}
    return create_window(team=team, values=values)


def statuses() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("status", flat=True))


def test_what_was_tried_in_vain_is_not_tried_inside_a_window(team: Team, monitor: Monitor) -> None:
    observe(monitor, REFUSED)
    fails_to_leave()
    window(team)  # nobody has noted it yet
    assert leave() == []
    review_incidents()
    assert leave(timedelta(minutes=5)) == []
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.attempts) == ("failed", 1)
    assert delivery.silenced_at is not None


def test_what_goes_on_after_the_window_is_told_once(team: Team, monitor: Monitor) -> None:
    observe(monitor, REFUSED)
    fails_to_leave()
    work = window(team)
    review_incidents()
    assert leave() == []
    end_window(window=work)
    review_incidents()
    assert leave(timedelta(minutes=1)) == []  # nobody knows yet how it is
    observe(monitor, REFUSED)
    review_incidents()
    assert leave(timedelta(minutes=2)) == ["down"]
    assert statuses() == ["dropped", "sent"]


def test_what_is_over_by_then_is_told_nobody_who_never_heard_of_it(
    team: Team, monitor: Monitor
) -> None:
    observe(monitor, REFUSED)
    work = window(team)
    review_incidents()
    assert leave() == []
    observe(monitor, UP)
    end_window(window=work)
    review_incidents()
    assert leave(timedelta(minutes=1)) == []
    assert set(statuses()) == {"dropped"}


def test_the_end_is_told_where_the_beginning_may_have_arrived(team: Team, monitor: Monitor) -> None:
    observe(monitor, REFUSED)
    fails_to_leave()  # as far as we know
    work = window(team)
    review_incidents()
    assert leave() == []
    observe(monitor, UP)
    end_window(window=work)
    review_incidents()
    assert leave(timedelta(minutes=1)) == ["recovered"]


def test_what_was_tried_in_vain_is_not_tried_once_the_monitor_is_paused(
    team: Team, hook: Channel, monitor: Monitor
) -> None:
    observe(monitor, REFUSED)
    fails_to_leave()
    set_enabled(monitor=monitor, is_enabled=False)
    assert leave() == []
    assert statuses() == ["dropped"]


def test_a_storm_is_merged_without_what_was_paused(team: Team, hook: Channel) -> None:
    monitors = [make_monitor(team, failure_threshold=1) for _ in range(8)]
    for monitor in monitors:
        observe(monitor, REFUSED)
    set_enabled(monitor=monitors[0], is_enabled=False)
    assert leave(GATHERED) == ["digest"]
    assert Delivery.objects.get(event="digest").facts["digest"]["count"] == 7


def test_a_recovery_that_was_on_its_way_is_told_after_the_window(
    team: Team, monitor: Monitor
) -> None:
    observe(monitor, REFUSED)
    assert leave() == ["down"]
    observe(monitor, UP)
    work = window(team)
    review_incidents()
    assert leave() == []
    end_window(window=work)
    review_incidents()
    assert leave(timedelta(minutes=1)) == ["recovered"]


def test_a_snooze_keeps_what_is_queued_and_drops_it_for_what_is_told_at_its_end(
    monitor: Monitor,
) -> None:
    observe(monitor, REFUSED)
    snooze_monitor(monitor=monitor, length=HOUR, by=None)
    assert leave() == []
    assert leave(timedelta(minutes=30)) == []
    Monitor.objects.filter(pk=monitor.pk).update(snoozed_until=database_now())
    review_incidents()
    assert leave(timedelta(hours=2)) == ["down"]
    assert statuses() == ["dropped", "sent"]


def test_a_storm_is_merged_without_what_nobody_is_to_hear(team: Team, hook: Channel) -> None:
    shops = [
        observe(make_monitor(team, name=f"Shop {n}", failure_threshold=1), UP) for n in range(9)
    ]
    for shop in shops:
        observe(shop, REFUSED)
    snooze_monitor(monitor=shops[0], length=HOUR, by=None)
    assert leave(GATHERED) == ["digest"]
    kept = Delivery.objects.get(incident__monitor=shops[0])
    assert (kept.status, kept.digest) == ("queued", None)


def test_a_digest_that_was_tried_in_vain_waits_as_its_parts_do(team: Team, hook: Channel) -> None:
    shops = [
        observe(make_monitor(team, name=f"Shop {n}", failure_threshold=1), UP) for n in range(6)
    ]
    for shop in shops:
        observe(shop, REFUSED)
    lease_deliveries(owner=uuid4(), now=database_now() + GATHERED, limit=9, per_channel=lambda _: 9)
    fails_to_leave()
    work = window(team)
    review_incidents()
    assert leave(timedelta(seconds=10)) == []
    end_window(window=work)
    review_incidents()
    for shop in shops:
        observe(shop, REFUSED)
    review_incidents()
    assert leave(timedelta(minutes=2)) == ["digest"]  # of what goes on
    first = Delivery.objects.filter(event="digest").earliest("pk")
    assert (first.status, first.attempts) == ("dropped", 1)
    assert set(first.members.values_list("status", flat=True)) == {"dropped"}


def test_a_pager_hears_that_somebody_is_on_it(team: Team, monitor: Monitor) -> None:
    pager = create_channel(
        team=team, values={"name": "P", "type": "pagerduty", "config": {"routing_key": "r" * 32}}
    )
    make_policy(team, pager, on=["down"])
    observe(monitor, REFUSED)
    assert leave() == ["down", "down"]
    snooze_monitor(monitor=monitor, length=HOUR, by=None)
    acknowledge_incident(incident=Incident.objects.get(), by=None)
    assert leave() == ["acknowledged"]
