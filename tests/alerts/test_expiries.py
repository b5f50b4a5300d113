"""Certificates and domains that are about to expire are told at the chosen days, once."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.models import Team
from alerts.actions import create_policy, update_channel, update_policy
from alerts.dispatch import Dispatcher
from alerts.expiries import tell_expiries
from alerts.models import Channel, Delivery, Policy
from monitors.models import Assignment, Location, Monitor
from tests.alerts.scenes import make_monitor, make_team, make_webhook, send_due
from tests.servers.webhook import Receiver, Reply
from uptime.clock import database_now

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)


@pytest.fixture
def ann(team: Team) -> Channel:
    return make_webhook(team, "http://127.0.0.1:9/", "Ann")


def watched(team: Team, name: str = "Shop", *, left: timedelta, kind: str = "http") -> Monitor:
    """A monitor whose certificate, or domain, has so much time left."""
    monitor = make_monitor(team, name)
    Monitor.objects.filter(pk=monitor.pk).update(kind=kind)
    Assignment.objects.create(
        monitor=monitor,
        location=Location.objects.get(slug=Location.LOCAL),
        cert_expires_at=NOW + left,
    )
    return monitor


def policy(team: Team, *channels: Channel, **values: Any) -> Policy:
    steps = [{"channels": [one.pk for one in channels]}]
    on = ["certificate_expiring", "domain_expiring"]
    known = {"name": "P", "all": True, "on": on, "steps": steps, "expiry_days": [14, 7]}
    return create_policy(team=team, values={**known, **values})


def told() -> list[tuple[str, str]]:
    rows = Delivery.objects.order_by("pk").values_list("channel__name", "event")
    return list(rows)


def test_an_end_is_told_at_each_of_the_chosen_days_once(team: Team, ann: Channel) -> None:
    policy(team, ann)
    watched(team, left=20 * DAY)
    counts = [tell_expiries(NOW + hours * timedelta(hours=6)) for hours in range(4 * 20)]
    assert sum(counts) == 2
    assert [hour / 4 for hour, count in enumerate(counts) if count] == [6.0, 13.0]


@pytest.mark.parametrize(
    ("kind", "event"), [("http", "certificate_expiring"), ("domain", "domain_expiring")]
)
def test_what_expires_has_its_own_event(team: Team, ann: Channel, kind: str, event: str) -> None:
    policy(team, ann)
    watched(team, left=3 * DAY, kind=kind)
    tell_expiries(NOW)
    assert told() == [("Ann", event)]


def test_only_the_event_that_is_asked_for_is_told(team: Team, ann: Channel) -> None:
    policy(team, ann, on=["domain_expiring"])
    watched(team, left=3 * DAY)
    assert tell_expiries(NOW) == 0


def test_of_several_days_that_are_over_the_last_is_told(team: Team, ann: Channel) -> None:
    policy(team, ann)
    watched(team, left=3 * DAY)
    assert [tell_expiries(NOW), tell_expiries(NOW + DAY)] == [1, 0]


def test_a_renewed_certificate_is_told_of_anew_when_its_time_comes(
    team: Team, ann: Channel
) -> None:
    policy(team, ann)
    watched(team, left=3 * DAY)
    tell_expiries(NOW)
    Assignment.objects.update(cert_expires_at=NOW + 90 * DAY)
    assert tell_expiries(NOW + DAY) == 0
    assert tell_expiries(NOW + 80 * DAY) == 1


@pytest.mark.parametrize("left", [timedelta(), -DAY, 15 * DAY])
def test_what_has_expired_or_has_time_is_not_told(
    team: Team, ann: Channel, left: timedelta
) -> None:
    policy(team, ann)
    watched(team, left=left)
    assert tell_expiries(NOW) == 0


def test_of_several_locations_the_first_end_counts(team: Team, ann: Channel) -> None:
    policy(team, ann)
    monitor = watched(team, left=10 * DAY)
    elsewhere = Location.objects.create(slug="elsewhere", name="Elsewhere")
    Assignment.objects.create(monitor=monitor, location=elsewhere, cert_expires_at=NOW + 3 * DAY)
    tell_expiries(NOW)
    assert Delivery.objects.get().facts["expires_at"] == "2026-03-05T12:00:00Z"


def test_policies_add_up_and_a_channel_is_told_once(team: Team, ann: Channel) -> None:
    ben = make_webhook(team, "http://127.0.0.1:9/", "Ben")
    policy(team, ann)
    policy(team, ann, ben, expiry_days=[30])
    other = make_team()
    policy(other, make_webhook(other, "http://127.0.0.1:9/", "Other"))
    watched(team, left=3 * DAY)
    tell_expiries(NOW)
    assert sorted(told()) == [
        ("Ann", "certificate_expiring"),
        ("Ben", "certificate_expiring"),
    ]


def test_a_policy_that_asks_later_is_told_then(team: Team, ann: Channel) -> None:
    made = policy(team, ann, on=["down"])
    watched(team, left=3 * DAY)
    assert tell_expiries(NOW) == 0
    update_policy(policy=made, values={"on": ["certificate_expiring"]})
    assert tell_expiries(NOW) == 1


def test_it_waits_for_the_active_hours(team: Team, ann: Channel) -> None:
    window = {"days": ["tue"], "start": "08:00", "end": "18:00"}
    policy(team, ann, active_hours={"timezone": "UTC", "windows": [window]})
    watched(team, left=3 * DAY)
    assert [tell_expiries(NOW), tell_expiries(NOW + DAY)] == [0, 1]


def test_it_waits_for_somebody_to_tell(team: Team, ann: Channel) -> None:
    policy(team, ann)
    watched(team, left=3 * DAY)
    update_channel(channel=ann, values={"enabled": False})
    assert tell_expiries(NOW) == 0
    update_channel(channel=ann, values={"enabled": True})
    assert [tell_expiries(NOW), tell_expiries(NOW)] == [1, 0]


def test_monitors_that_are_paused_or_not_covered_are_left_out(team: Team, ann: Channel) -> None:
    policy(team, ann, all=False, names=["shop"])
    watched(team, "Blog", left=3 * DAY)
    Monitor.objects.filter(pk=watched(team, "Shop", left=3 * DAY).pk).update(enabled=False)
    assert tell_expiries(NOW) == 0


def test_the_message_says_what_ends_and_when(team: Team, receiver: Receiver) -> None:
    policy(team, make_webhook(team, receiver.url))
    Monitor.objects.filter(pk=watched(team, left=3 * DAY).pk).update(name="Shop & Co")
    tell_expiries(NOW)
    dispatcher = Dispatcher(uuid4())
    send_due(dispatcher, at=database_now() + DAY)
    dispatcher.close()
    [request] = receiver.requests
    body = request.json()
    assert body["message"] == "Its certificate expires on 2026-03-05, in 3 d."
    assert body["expires_at"] == "2026-03-05T12:00:00Z"
    assert body["monitor"]["name"] == "Shop & Co"


def test_a_fallback_is_told_once_where_a_channel_is_dead(team: Team, receiver: Receiver) -> None:
    receiver.default = Reply(400)
    first, second = (make_webhook(team, receiver.url, name) for name in ("First", "Second"))
    Channel.objects.filter(pk=first.pk).update(fallback=second)
    Channel.objects.filter(pk=second.pk).update(fallback=first)
    policy(team, first)
    watched(team, left=3 * DAY)
    tell_expiries(NOW)
    Delivery.objects.update(attempts=19)
    dispatcher = Dispatcher(uuid4())
    send_due(dispatcher, at=database_now() + DAY)
    Delivery.objects.exclude(status="dead").update(attempts=19)
    send_due(dispatcher, at=database_now() + 2 * DAY)
    dispatcher.close()
    assert [channel for channel, _ in told()] == ["First", "Second"]


def test_the_number_of_queries_does_not_depend_on_how_much_expires(
    team: Team, ann: Channel, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    policy(team, ann)
    for number in range(20):
        watched(team, f"Shop {number}", left=3 * DAY)
    with django_assert_num_queries(15):
        assert tell_expiries(NOW) == 20
