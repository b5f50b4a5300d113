"""The list of monitors: its order, its pages, how it is shown, and what is done to many at once."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Membership, Team
from incidents.models import Incident
from monitors.listing import Edge, Wish, turn_to
from monitors.models import (
    Assignment,
    HourRollup,
    Location,
    Monitor,
    SavedView,
    Status,
    StatusSpan,
)
from monitors.overview import overview_rows, window_of
from tests.factories import MembershipFactory, TeamFactory, make_monitor
from tests.pages.conftest import signed_in
from uptime.clock import database_now

pytestmark = pytest.mark.django_db

HOME = reverse("home")
BULK = reverse("monitors-bulk")


def page(client: Client, address: str = HOME, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return answer.content.decode()


def make_some(team: Team, *statuses: Status) -> list[Monitor]:
    """Monitors with these statuses and names in alphabetical order; two share each name."""
    now = database_now()
    monitors = [make_monitor(team, name=f"{place // 2:03}") for place in range(len(statuses))]
    for place, (monitor, status) in enumerate(zip(monitors, statuses, strict=True)):
        at = now + timedelta(seconds=place % 3)
        Monitor.objects.filter(pk=monitor.pk).update(status=status, last_change_at=at)
    return monitors


@pytest.mark.parametrize("order", ["state", "name", "changed"])
@pytest.mark.parametrize("wish", [Wish(), Wish(status="up"), Wish(q="0")])
def test_turning_the_pages_shows_each_monitor_once_there_and_back(
    team: Team, order: str, wish: Wish
) -> None:
    make_some(team, *[Status.UP, Status.DOWN, Status.UP, Status.PAUSED, Status.DEGRADED] * 4)
    of_team = wish.of(team)
    whole = [one.pk for one in turn_to(of_team, order=order, size=100).monitors]
    assert len(whole) == of_team.count()

    there, place = [], ""
    while True:
        turned = turn_to(of_team, order=order, place=place, size=3)
        assert turned.first_number == len(there) + 1
        there += [one.pk for one in turned.monitors]
        if not turned.after:
            break
        place = turned.after
    assert there == whole

    back = [one.pk for one in turned.monitors]
    while turned.before:
        turned = turn_to(of_team, order=order, place=turned.before, size=3)
        back = [one.pk for one in turned.monitors] + back
        assert turned.first_number == len(whole) - len(back) + 1
    assert back == whole


def test_a_page_begins_where_it_did_though_rows_before_it_went(team: Team) -> None:
    make_some(team, *[Status.UP] * 6)
    first = turn_to(Wish().of(team), order="name", size=2)
    second = turn_to(Wish().of(team), order="name", place=first.after, size=2)
    first.monitors[0].delete()
    again = turn_to(Wish().of(team), order="name", place=first.after, size=2)
    assert again.monitors == second.monitors


@pytest.mark.parametrize("place", ["2", "nonsense", "W10", "WzEsInVwIl0", "ü", "bnVsbA"])
def test_a_place_that_is_none_is_the_beginning(client: Client, team: Team, place: str) -> None:
    make_monitor(team, name="Shop")
    assert Edge.read(place) is None
    assert ">Shop</a>" in page(client, page=place)


def test_a_moment_of_waiting_hides_no_time_of_being_up(team: Team) -> None:
    now = database_now()
    window = window_of("24h", now)
    waited, paused = make_some(team, Status.UP, Status.UP)
    for monitor, status, share in ((waited, Status.PENDING, 0.01), (paused, Status.PAUSED, 0.9)):
        StatusSpan.objects.filter(monitor=monitor).delete()
        begun = window.since + 45 * window.cell
        turned = begun + share * window.cell
        StatusSpan.objects.create(monitor=monitor, status=status, started_at=begun, ended_at=turned)
        StatusSpan.objects.create(monitor=monitor, status=Status.UP, started_at=turned)
    rows = {one.monitor: one for one in overview_rows([waited, paused], window)}
    assert {bar.name for bar in rows[waited].bars} == {"up"}
    assert "paused" in {bar.name for bar in rows[paused].bars}


def test_an_order_is_chosen(client: Client, team: Team) -> None:
    make_some(team, Status.UP, Status.UP, Status.DOWN)
    shown = page(client, sort="name")
    names = re.findall(r'class="row-title"[^>]*>(\d+)</a>', shown)
    assert names == ["000", "000", "001"]
    assert '<option value="name" selected>' in shown


def test_the_list_is_narrowed_to_a_location(client: Client, team: Team) -> None:
    Location.objects.create(slug="oslo", name="Oslo")
    make_monitor(team, name="Here")
    make_monitor(team, name="There", locations=["oslo"])
    shown = page(client, location="oslo")
    assert ">There</a>" in shown
    assert ">Here</a>" not in shown


def test_a_row_shows_how_its_day_was(client: Client, team: Team) -> None:
    monitor = make_monitor(team)
    now = database_now()
    StatusSpan.objects.filter(monitor=monitor).delete()
    hours = [(30, "up", 6), (6, "down", 3), (3, "up", None)]
    for begun, status, ended in hours:
        StatusSpan.objects.create(
            monitor=monitor,
            status=status,
            started_at=now - timedelta(hours=begun),
            ended_at=now - timedelta(hours=ended) if ended else None,
        )
    shown = page(client)
    widths = {
        name: int(width) for name, width in re.findall(r'"fill-(\w+)" x="\d+" width="(\d+)"', shown)
    }
    assert widths["down"] in (6, 7)
    assert "Down at some time from" in shown
    uptime = re.search(r'data-label="Uptime">([\d.]+) %', shown)
    assert uptime
    assert 87 < float(uptime[1]) < 88


def test_ninety_days_have_a_cell_each_and_begin_with_the_monitor(
    client: Client, team: Team
) -> None:
    monitor = make_monitor(team)
    StatusSpan.objects.filter(monitor=monitor).update(
        status="up", started_at=database_now() - timedelta(days=9)
    )
    shown = page(client, bars="90d")
    assert 'viewBox="0 0 90 1"' in shown
    assert '<rect class="fill-up" x="80" width="10" height="1">' in shown
    assert "100 %" in shown


def test_a_row_draws_its_latency_from_the_hours(client: Client, team: Team) -> None:
    monitor = make_monitor(team)
    assert 'class="spark"' not in page(client)
    assignment = Assignment.objects.get(monitor=monitor)
    hour = database_now().replace(minute=0, second=0, microsecond=0)
    for ago in (1, 2, 3):
        HourRollup.objects.create(
            assignment=assignment, started_at=hour - timedelta(hours=ago), latency_sum_ms=10 * ago,
            up=1, degraded=0, down=0, unknown=0, histogram={30: 1},
        )  # fmt: skip
    assert '<path d="M0 1L50 7L100 13"/>' in page(client)


def test_the_wall_shows_what_is_wrong_large_and_no_frame(client: Client, team: Team) -> None:
    shown = page(client, wall="1")
    assert "Nothing is watched yet" in shown
    make_some(team, Status.UP)
    assert "Nothing is wrong" in page(client, wall="1")
    make_some(team, Status.DOWN)
    shown = page(client, wall="1")
    assert "1 down" in shown
    assert shown.count("tile-wrong") == 1
    assert '<nav class="places"' not in shown
    assert 'data-live="' in shown


def test_a_view_is_saved_under_a_name_shown_and_forgotten(
    client: Client, team: Team, owner: Membership
) -> None:
    make_monitor(team, tags=["night"])
    query = "page=x&tag=night&bars=90d&nonsense=1"
    client.post(reverse("view-new"), {"name": "Nights", "query": query})
    view = SavedView.objects.get()
    assert view.query == "tag=night&bars=90d"
    shown = page(client)
    assert 'href="/?tag=night&amp;bars=90d">Nights</a>' in shown

    client.post(reverse("view-new"), {"name": "Nights", "query": "status=down"})
    assert SavedView.objects.get().query == "status=down"

    other = signed_in(MembershipFactory(team=team))
    assert "Nights" not in page(other)
    assert other.post(reverse("view-delete", args=[view.pk])).status_code == 404
    client.post(reverse("view-delete", args=[view.pk]))
    assert not SavedView.objects.exists()


def ask(client: Client, action: str, monitors: list[Monitor]) -> str:
    data = {"action": action, "monitor": [str(one.pk) for one in monitors]}
    return client.get(BULK, data, follow=True).content.decode()


def do(client: Client, action: str, monitors: list[Monitor], **more: str) -> str:
    data = {"action": action, "monitor": [str(one.pk) for one in monitors], **more}
    return client.post(BULK, data, follow=True).content.decode()


def test_many_are_asked_about_before_anything_is_done(client: Client, team: Team) -> None:
    monitors = [make_monitor(team, name=f"M{n}") for n in range(22)]
    shown = ask(client, "delete", monitors)
    assert "Delete: 22 monitors?" in shown
    assert "and 2 more" in shown
    assert Monitor.objects.count() == 22
    shown = do(client, "delete", monitors[:20])
    assert "Delete: 20 of 20 monitors." in shown
    assert Monitor.objects.count() == 2


def test_many_are_paused_and_resumed_as_one_is(client: Client, team: Team) -> None:
    monitors = [make_monitor(team) for _ in range(3)]
    now = database_now()
    Monitor.objects.filter(pk=monitors[0].pk).update(status=Status.DOWN)
    incident = Incident.objects.create(
        team=team, monitor=monitors[0], severity="down", started_at=now, confirmed_at=now
    )
    do(client, "pause", monitors)
    assert {one.status for one in Monitor.objects.all()} == {Status.PAUSED}
    assert not Assignment.objects.exclude(next_due_at=None).exists()
    incident.refresh_from_db()
    assert incident.is_resolved
    assert incident.events.get().message == "The monitor was paused."
    assert StatusSpan.objects.filter(status="paused", ended_at=None).count() == 3

    shown = do(client, "resume", monitors[:2])
    assert "Resume: 2 of 2" in shown
    assert Monitor.objects.filter(enabled=True, status=Status.PENDING).count() == 2
    assert Assignment.objects.filter(next_due_at__lte=now + timedelta(minutes=1)).count() == 2


def test_pausing_many_takes_as_many_statements_as_pausing_two(client: Client, team: Team) -> None:
    counts = []
    for number in (2, 30):
        monitors = [make_monitor(team) for _ in range(number)]
        with CaptureQueriesContext(connection) as queries:
            do(client, "pause", monitors)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_many_get_and_lose_a_tag(client: Client, team: Team) -> None:
    one, other = make_monitor(team, tags=["a"]), make_monitor(team)
    assert "This field is required" in do(client, "tag", [one, other])
    shown = do(client, "tag", [one, other], tag=" a ")
    assert "Add a tag: 1 of 2 monitors; 1 stay as they are." in shown
    assert [m.tags for m in Monitor.objects.all()] == [["a"], ["a"]]
    do(client, "untag", [one], tag="a")
    one.refresh_from_db()
    assert one.tags == []


def test_many_change_their_pace_and_keep_what_their_kind_needs(client: Client, team: Team) -> None:
    site = make_monitor(team, interval=600, retry_interval=300)
    job = make_monitor(team, kind="heartbeat", interval=600)
    domain = make_monitor(team, kind="domain", target="example.org", interval=7200)
    now = database_now()
    Assignment.objects.filter(monitor=site).update(next_due_at=now + timedelta(minutes=9))
    assert "Between 1 s" in do(client, "interval", [site], interval="2 d")
    shown = do(client, "interval", [site, job, domain], interval="1 min")
    assert "2 of 3" in shown
    for monitor, interval in ((site, 60), (job, 60), (domain, 7200)):
        monitor.refresh_from_db()
        assert monitor.interval_s == interval
    assert site.retry_interval_s == 60
    assignment = Assignment.objects.get(monitor=site)
    assert assignment.revision == site.revision == 2
    assert assignment.next_due_at is not None
    assert assignment.next_due_at <= database_now() + timedelta(minutes=1)


def test_all_that_the_filters_let_through_are_meant_at_once(client: Client, team: Team) -> None:
    for _ in range(2):
        make_monitor(team, tags=["night"])
    make_monitor(team)
    data = {"action": "pause", "everything": "1", "query": "tag=night"}
    client.post(BULK, data)
    assert Monitor.objects.filter(status=Status.PAUSED).count() == 2


def test_monitors_of_others_are_not_among_the_many(client: Client, team: Team) -> None:
    foreign = make_monitor(TeamFactory())
    assert "Tick at least one" in do(client, "delete", [foreign])
    assert "Choose what to do" in ask(client, "explode", [foreign])
    assert Monitor.objects.filter(pk=foreign.pk).exists()


def test_a_viewer_is_offered_nothing_to_tick(viewer_client: Client, team: Team) -> None:
    make_monitor(team)
    assert 'type="checkbox"' not in page(viewer_client)


def test_many_are_snoozed_and_woken_at_once(client: Client, team: Team) -> None:
    some = make_some(team, Status.UP, Status.DOWN, Status.UP)
    assert "nobody is told" in ask(client, "snooze", some[:2])
    shown = do(client, "snooze", some[:2], hours="8")
    assert "Snooze: 2 of 2 monitors" in shown
    for one in some:
        one.refresh_from_db()
    assert [one.snoozed_until is not None for one in some] == [True, True, False]
    assert some[0].snoozed_at == some[1].snoozed_at
    shown = do(client, "unsnooze", some)
    assert "End the snooze: 2 of 3 monitors; 1 stay as they are" in shown
