"""The list of monitors, a monitor's page, and what its buttons do."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.models import Team
from monitors.charts import BAND_CELLS
from monitors.models import Assignment, HourRollup, Location, Monitor, Ping, Result, Status
from probe.values import result_id
from tests.factories import make_monitor
from uptime.clock import database_now

pytestmark = pytest.mark.django_db

FRAGMENT = {"HX-Request": "true"}


def make_result(monitor: Monitor, seconds_ago: float = 1, **values: object) -> Result:
    at = database_now() - timedelta(seconds=seconds_ago)
    assignment = Assignment.objects.get(monitor=monitor)
    return Result.objects.create(
        **{
            "id": result_id(assignment.id, at, 0),
            "assignment": assignment,
            "checked_at": at,
            "due_at": at,
            "attempt": 0,
            "status": "up",
            **values,
        }
    )


def asked_part(shown: str) -> str:
    """What a page says of a check that was asked for."""
    _, part = shown.split('id="asked"')
    return part.split("</section>")[0]


def page(client: Client, address: str, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_empty_list_says_what_to_do_next(client: Client) -> None:
    assert "Create the first monitor" in page(client, reverse("home"))


def test_what_is_wrong_stands_first(client: Client, team: Team) -> None:
    for name, status in (("A", Status.UP), ("B", Status.DOWN), ("C", Status.DEGRADED)):
        monitor = make_monitor(team, name=f"Monitor {name}")
        Monitor.objects.filter(pk=monitor.pk).update(status=status, message=f"Why {name}")
    shown = page(client, reverse("home"))
    places = [shown.index(f"Monitor {name}") for name in "BCA"]
    assert places == sorted(places)
    assert "Why B" in shown
    assert "<title>1 down, 1 degraded · Monitors" in shown


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "shop"}, {"Shop"}),
        ({"q": "EXAMPLE.org"}, {"Shop"}),
        ({"kind": "heartbeat"}, {"Backup"}),
        ({"tag": "night"}, {"Backup"}),
        ({"status": "paused"}, {"Backup"}),
        ({"q": "nothing like it"}, set()),
        ({"status": "nonsense"}, {"Shop", "Backup"}),
        ({"page": "999"}, {"Shop", "Backup"}),
    ],
)
def test_the_list_is_narrowed(
    client: Client, team: Team, query: dict[str, str], found: set[str]
) -> None:
    make_monitor(team, name="Shop", target="https://example.org/")
    make_monitor(team, name="Backup", kind="heartbeat", tags=["night"], enabled=False)
    shown = page(client, reverse("home"), **query)
    assert {name for name in ("Shop", "Backup") if f">{name}</a>" in shown} == found


def test_a_refresh_brings_the_same_list_without_its_frame(client: Client, team: Team) -> None:
    make_monitor(team, name="Shop")
    answer = client.get(reverse("home"), {"q": "sh"}, headers=FRAGMENT)
    shown = answer.content.decode()
    assert shown.startswith("<title>")
    assert "<html" not in shown
    assert 'hx-get="/?q=sh"' in shown
    assert "HX-Request" in answer["Vary"]


def test_going_back_in_the_browser_brings_the_whole_page(client: Client) -> None:
    headers = {**FRAGMENT, "HX-History-Restore-Request": "true"}
    assert "<html" in client.get(reverse("home"), headers=headers).content.decode()


def test_the_list_takes_as_many_queries_for_fifty_monitors_as_for_one(
    client: Client, team: Team, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    # session, user, memberships; counts, page, assignments, blind locations, saved views, tags,
    # locations. What goes past the ORM, three for bars and latencies, is not counted.
    make_monitor(team)
    with django_assert_num_queries(10):
        client.get(reverse("home"))
    for _ in range(55):
        make_monitor(team, tags=["a"])
    with django_assert_num_queries(10):
        shown = page(client, reverse("home"))
    assert "1–50 of 56" in shown
    second = re.search(r'href="\?page=([\w-]+)" rel="next"', shown)
    assert second
    assert "51–56 of 56" in page(client, reverse("home"), page=second[1])


def test_a_page_tells_state_and_why(client: Client, team: Team) -> None:
    monitor = make_monitor(team, name="Shop")
    Monitor.objects.filter(pk=monitor.pk).update(status=Status.DOWN, message="Refused by it.")
    shown = page(client, monitor.get_absolute_url())
    assert "Down for" in shown
    assert "Refused by it." in shown


@pytest.mark.parametrize("headers", [{}, FRAGMENT])
def test_a_page_is_refreshed_often_until_its_monitor_has_a_first_result(
    client: Client, team: Team, headers: dict[str, str]
) -> None:
    monitor = make_monitor(team)
    address = monitor.get_absolute_url()
    assert 'data-refresh="often"' in client.get(address, headers=headers).content.decode()
    Monitor.objects.filter(pk=monitor.pk).update(status=Status.UP)
    shown = client.get(address, headers=headers).content.decode()
    assert "data-refresh " in shown
    assert "often" not in shown


def test_a_page_draws_checks_with_their_phases(client: Client, team: Team) -> None:
    monitor = make_monitor(team)
    make_result(monitor, 20, latency_ms=100.0, dns_ms=25.0, first_byte_ms=75.0, http_status=200)
    make_result(monitor, 10, latency_ms=50.0, dns_ms=50.0, status="down", message="Odd <answer>")
    shown = page(client, monitor.get_absolute_url())
    assert '<rect class="fill-dns" x="0" width="250" height="10"/>' in shown
    assert '<rect class="fill-first_byte" x="250" width="750" height="10"/>' in shown
    assert "Odd &lt;answer&gt;" in shown
    assert "Latency of the last 2 checks" in shown


def test_a_page_takes_as_many_queries_whatever_its_history(
    client: Client, team: Team, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    # session, user, memberships; monitor, assignments, blind places; history; ids, results, packed
    # ones; incidents, what it depends on, its groups, places; assignments for the course. What goes
    # past the ORM, for bands, uptimes, calendar and course, is not counted. Last, the details.
    monitor = make_monitor(team)
    with django_assert_num_queries(17):
        client.get(monitor.get_absolute_url())
    for second in range(30):
        make_result(monitor, second, latency_ms=10.0, dns_ms=1.0)
    with django_assert_num_queries(17):
        client.get(monitor.get_absolute_url())


def flap(monitor: Monitor, *, times: int, seconds: int) -> None:
    """Up and down in turn, each so long, until the open span of the present."""
    monitor.spans.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO monitors_statusspan (monitor_id, status, reason, started_at, ended_at)
            SELECT %s, CASE n %% 2 WHEN 0 THEN 'up' ELSE 'down' END, '',
                now() - n * %s * interval '1 s',
                CASE n WHEN 0 THEN NULL ELSE now() - (n - 1) * %s * interval '1 s' END
            FROM generate_series(0, %s) AS n
            """,
            [monitor.pk, seconds, seconds, times],
        )


def test_a_page_draws_a_few_hundred_stretches_however_often_its_monitor_flaps(
    client: Client, team: Team
) -> None:
    monitor = make_monitor(team)
    Monitor.objects.filter(pk=monitor.pk).update(
        status=Status.UP, created_at=database_now() - timedelta(days=40)
    )
    flap(monitor, times=60_000, seconds=2)
    shown = page(client, monitor.get_absolute_url())
    bars = re.findall(r"<title>(Up|Down) (\d+) times,", shown)
    assert 2 * BAND_CELLS <= len(bars) <= 2 * (BAND_CELLS + 1)
    assert 43_000 <= sum(int(times) for _, times in bars) <= 43_202
    assert "<dd>50" in shown
    # only where the window begins, and in the present, may a stretch stand alone
    assert len(re.findall("<title>(?:Up|Down) from", shown)) <= 2


def test_a_page_draws_each_stretch_of_a_calm_monitor(client: Client, team: Team) -> None:
    monitor = make_monitor(team)
    flap(monitor, times=20, seconds=7200)
    shown = page(client, monitor.get_absolute_url())
    assert len(re.findall("<title>(?:Up|Down) from", shown)) == 13
    assert "times," not in shown


def test_a_heartbeats_page_has_its_url_snippets_and_pings(client: Client, team: Team) -> None:
    monitor = make_monitor(team, kind="heartbeat")
    Ping.objects.create(
        monitor=monitor, kind="fail", at=database_now(), method="POST", exit_status=3,
        duration_ms=61_000, body=b"disk \xff full <b>",
    )  # fmt: skip
    shown = page(client, monitor.get_absolute_url())
    assert shown.count(f"/ping/{monitor.ping_key}") >= 5
    assert "exit 3" in shown
    assert "1 min 1 s" in shown
    assert "disk � full &lt;b&gt;" in shown
    assert "Check now" not in shown


def test_pausing_resuming_and_checking_are_buttons(client: Client, team: Team) -> None:
    monitor = make_monitor(team)
    for action, expected in (("pause", Status.PAUSED), ("resume", Status.PENDING)):
        answer = client.post(reverse(f"monitor-{action}", args=[monitor.pk]), follow=True)
        assert answer.status_code == 200
        monitor.refresh_from_db()
        assert monitor.status == expected
    answer = client.post(reverse("monitor-check", args=[monitor.pk]), follow=True)
    assert "On its way" in answer.content.decode()


def test_a_check_that_was_asked_for_shows_its_result_on_the_spot(
    client: Client, team: Team
) -> None:
    monitor = make_monitor(team)
    make_result(monitor, message="Seen before")
    asked = client.post(
        f"{reverse('monitor-check', args=[monitor.pk])}?zoom=7d", headers=FRAGMENT, follow=True
    )
    address = asked.request["PATH_INFO"] + "?" + asked.request["QUERY_STRING"]
    waiting = asked.content.decode()
    assert "<html" not in waiting
    assert "On its way" in waiting
    assert 'data-refresh="often"' in waiting

    make_result(monitor, 0, status="down", message="Refused on port 443")
    shown = page(client, address)
    assert "Refused on port 443" in asked_part(shown)
    assert "Seen before" not in asked_part(shown)
    assert "On its way" not in shown
    assert 'id="zoom-7d" href="' in shown
    make_result(monitor, 0)
    assert "Refused on port 443" in asked_part(page(client, address))


@pytest.mark.parametrize("asked", ["nonsense", "2020-01-01T00:00:00+00:00", "2026-11-29T10:00"])
def test_a_page_tells_of_no_check_that_nobody_just_asked_for(
    client: Client, team: Team, asked: str
) -> None:
    assert 'id="asked"' not in page(client, make_monitor(team).get_absolute_url(), asked=asked)


def test_a_paused_monitor_is_not_checked_and_the_page_says_why(client: Client, team: Team) -> None:
    monitor = make_monitor(team, enabled=False)
    answer = client.post(reverse("monitor-check", args=[monitor.pk]), follow=True)
    assert "resume it first" in answer.content.decode()


def test_deleting_asks_first(client: Client, team: Team) -> None:
    monitor = make_monitor(team, name="Shop")
    address = reverse("monitor-delete", args=[monitor.pk])
    assert "Delete “Shop”?" in page(client, address)
    assert Monitor.objects.filter(pk=monitor.pk).exists()
    client.post(address)
    assert not Monitor.objects.filter(pk=monitor.pk).exists()


def test_a_viewer_sees_no_buttons(viewer_client: Client, team: Team) -> None:
    monitor = make_monitor(team)
    for address in (reverse("home"), monitor.get_absolute_url()):
        shown = page(viewer_client, address)
        assert "New monitor" not in shown
        assert "do-pause" not in shown


def test_a_page_shows_the_course_that_is_asked_for_with_its_outages(
    client: Client, team: Team
) -> None:
    monitor = make_monitor(team, sla_target=999)
    now = database_now()
    Monitor.objects.filter(pk=monitor.pk).update(created_at=now - timedelta(days=10))
    monitor.spans.all().delete()
    for begun, status, ended in ((10, "up", 3), (3, "down", 2), (2, "up", None)):
        monitor.spans.create(
            status=status,
            started_at=now - timedelta(days=begun),
            ended_at=now - timedelta(days=ended) if ended else None,
        )
    HourRollup.objects.create(
        assignment=Assignment.objects.get(monitor=monitor), latency_sum_ms=100,
        started_at=now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=5),
        latency_min_ms=10, latency_max_ms=10, up=10, degraded=0, down=0, unknown=0,
        histogram={30: 10},
    )  # fmt: skip
    shown = page(client, monitor.get_absolute_url(), zoom="7d")
    assert shown.count('class="mark mark-down"') == 1
    assert "median 10 ms, 95 % within 10 ms, 99 % within 10 ms, 10 checks" in shown
    assert 'id="zoom-7d" href="?zoom=7d" aria-current="true"' in shown
    assert "broken by 23 h" in shown
    assert shown.count('<rect class="fill-down"') >= 2  # two days of the calendar
    shown = page(client, monitor.get_absolute_url(), zoom="nonsense")
    assert 'id="zoom-24h" href="?zoom=24h" aria-current="true"' in shown
    assert "No check was answered within 24 hours" in shown


def test_a_page_shows_each_location_where_there_are_several(client: Client, team: Team) -> None:
    Location.objects.create(slug="oslo", name="Oslo")
    one, two = make_monitor(team), make_monitor(team, locations=["local", "oslo"], quorum=2)
    assert "places-title" not in page(client, one.get_absolute_url())
    shown = page(client, two.get_absolute_url())
    assert "<td>Oslo</td>" in shown
    assert "2 must agree" in shown
