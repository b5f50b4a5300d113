"""What a page says: its components' states and days, and what was told."""

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from incidents.maintenance.actions import create_window
from incidents.models import Incident, IncidentEvent
from monitors.models import Monitor, Status
from monitors.statistics import Statistics
from statuspages.actions import (
    add_component,
    add_post_update,
    publish_post,
    update_component,
)
from statuspages.models import Component, ComponentSpan, ComponentStatus, Phase, StatusPage
from statuspages.reads import DAYS, PageView, day_status, page_view, status_now
from tests.factories import make_monitor
from tests.statuspages.conftest import ago, lived

HOUR = timedelta(hours=1)
OPERATIONAL, DEGRADED, PARTIAL, MAJOR, MAINTENANCE, UNKNOWN = (
    ComponentStatus.OPERATIONAL,
    ComponentStatus.DEGRADED,
    ComponentStatus.PARTIAL,
    ComponentStatus.MAJOR,
    ComponentStatus.MAINTENANCE,
    ComponentStatus.UNKNOWN,
)


@pytest.mark.parametrize(
    ("own", "told", "shown"),
    [
        (OPERATIONAL, [], OPERATIONAL),
        (OPERATIONAL, [DEGRADED, PARTIAL], PARTIAL),
        (MAJOR, [DEGRADED], MAJOR),
        (MAJOR, [MAINTENANCE], MAINTENANCE),
        (UNKNOWN, [OPERATIONAL], UNKNOWN),
        (UNKNOWN, [DEGRADED], DEGRADED),
    ],
)
def test_a_component_shows_the_worst_of_what_is_measured_and_told(
    own: ComponentStatus, told: list[ComponentStatus], shown: ComponentStatus
) -> None:
    assert status_now(own, told) == shown


@pytest.mark.parametrize(
    ("spent", "status"),
    [
        (Statistics(up=24 * HOUR), OPERATIONAL),
        (Statistics(up=23.9 * HOUR, down=0.1 * HOUR), PARTIAL),
        (Statistics(up=23 * HOUR, down=HOUR), MAJOR),
        (Statistics(up=23 * HOUR, degraded=HOUR, maintenance=HOUR), DEGRADED),
        (Statistics(up=23 * HOUR, maintenance=HOUR), MAINTENANCE),
        (Statistics(unknown=23 * HOUR, up=HOUR), OPERATIONAL),
        (Statistics(unknown=24 * HOUR), UNKNOWN),
        (Statistics(paused=24 * HOUR), UNKNOWN),
        (Statistics(maintenance=24 * HOUR), MAINTENANCE),
    ],
)
def test_a_day_has_the_colour_of_the_worst_that_was_in_it(
    spent: Statistics, status: ComponentStatus
) -> None:
    assert day_status(spent) == status


def shop(view: PageView) -> ComponentStatus:
    return next(one.status for one in view.components if one.name == "Shop")


def test_a_monitor_is_seen_through_its_component(
    page: StatusPage, component: Component, monitor: Monitor, now: datetime
) -> None:
    lived(monitor, (Status.UP, ago(now, days=20)), (Status.DOWN, ago(now, minutes=36)))

    view = page_view(page, now)

    (one,) = view.components
    assert one.status == view.status == MAJOR
    assert len(one.days) == DAYS
    assert one.uptime_percent == pytest.approx(100 * (1 - 0.6 / 480), abs=0.001)
    assert [day.status for day in one.days[:60]] == [UNKNOWN] * 60


@pytest.mark.parametrize("status", list(Status))
def test_a_monitor_in_any_state_has_one_for_readers(
    page: StatusPage, component: Component, monitor: Monitor, now: datetime, status: Status
) -> None:
    known = {
        Status.UP: OPERATIONAL,
        Status.DEGRADED: DEGRADED,
        Status.DOWN: MAJOR,
        Status.RECOVERING: MAJOR,
        Status.MAINTENANCE: MAINTENANCE,
    }
    lived(monitor, (status, now))
    assert shop(page_view(page, now)) == known.get(status, UNKNOWN)


def test_a_component_by_hand_has_a_history_of_what_people_set(
    page: StatusPage, now: datetime
) -> None:
    component = add_component(page=page, values={"name": "Support"})
    ComponentSpan.objects.update(started_at=ago(now, days=3))
    update_component(component=component, values={"status": "major_outage"})
    update_component(component=component, values={"description": "By phone"})
    spans = list(component.spans.order_by("started_at").values_list("status", flat=True))
    assert spans == ["operational", "major_outage"]

    (one,) = page_view(page, now + timedelta(hours=1)).components

    assert one.status == MAJOR
    assert one.uptime_percent == pytest.approx(100 * 72 / 73, abs=0.01)


def test_days_are_not_shown_where_the_page_or_the_component_says_so(
    page: StatusPage, component: Component, now: datetime
) -> None:
    update_component(component=component, values={"show_uptime": False})
    (one,) = page_view(page, now).components
    assert (one.days, one.uptime_percent) == ([], None)


def test_sections_stand_in_the_order_of_their_first_components(
    page: StatusPage, now: datetime
) -> None:
    for name, section in (("A", "Two"), ("B", "One"), ("C", "Two"), ("D", "")):
        add_component(page=page, values={"name": name, "section": section})
    view = page_view(page, now)
    told = [(one.name, [c.name for c in one.components]) for one in view.sections]
    assert told == [("Two", ["A", "C"]), ("One", ["B"]), ("", ["D"])]


def test_a_post_colours_its_components_until_it_is_resolved(
    page: StatusPage, component: Component, monitor: Monitor, now: datetime
) -> None:
    lived(monitor, (Status.UP, ago(now, days=1)))
    post = publish_post(
        page=page,
        values={
            "title": "Slow",
            "phase": "investigating",
            "affected": [{"component": component.pk, "impact": "partial_outage"}],
        },
    )
    view = page_view(page, now)
    assert shop(view) == PARTIAL
    assert [one.title for one in view.ongoing] == ["Slow"]

    add_post_update(post=post, values={"phase": "resolved", "body": "Done."})

    view = page_view(page, now + timedelta(seconds=5))
    assert shop(view) == OPERATIONAL
    assert view.ongoing == []
    assert [one.phase for one in view.over[0].updates] == [Phase.RESOLVED, Phase.INVESTIGATING]


def test_a_maintenance_keeps_to_its_times(
    page: StatusPage, component: Component, monitor: Monitor, now: datetime
) -> None:
    lived(monitor, (Status.DOWN, ago(now, days=1)))
    publish_post(
        page=page,
        values={
            "kind": "maintenance",
            "title": "Move",
            "phase": "scheduled",
            "starts_at": now + HOUR,
            "ends_at": now + 2 * HOUR,
            "affected": [{"component": component.pk, "impact": "maintenance"}],
        },
    )
    before, during, after = (page_view(page, now + hours * HOUR) for hours in (0, 1.5, 3))
    assert [one.title for one in before.coming] == ["Move"]
    assert [one.phase for one in during.ongoing] == [Phase.IN_PROGRESS]
    assert [one.phase for one in after.over] == [Phase.COMPLETED]
    assert [shop(view) for view in (before, during, after)] == [MAJOR, MAINTENANCE, MAJOR]


def test_a_maintenance_window_that_pages_may_show_is_told_until_it_is_over(
    page: StatusPage, component: Component, monitor: Monitor, now: datetime
) -> None:
    update_component(component=component, values={"name": "Shop"})
    plan = {"starts_at": now + HOUR, "ends_at": now + 2 * HOUR, "monitors": [monitor.pk]}
    window = create_window(team=page.team, values={"name": "Move", "public": True, **plan})
    create_window(team=page.team, values={"name": "Secret", **plan})
    elsewhere = {**plan, "monitors": [make_monitor(page.team).pk]}
    create_window(team=page.team, values={"name": "Other", "public": True, **elsewhere})

    (coming,) = page_view(page, now).coming
    (ongoing,) = page_view(page, now + 1.5 * HOUR).ongoing
    assert page_view(page, now + 3 * HOUR).posts == []

    assert (coming.title, list(coming.components)) == ("Move", ["Shop"])
    assert (coming.starts_at, coming.ends_at) == (window.starts_at, window.ends_at)
    assert (ongoing.id, ongoing.phase) == (coming.id, Phase.IN_PROGRESS)


def test_of_a_window_that_repeats_the_next_time_is_told(
    page: StatusPage, component: Component, now: datetime
) -> None:
    times = {"starts_at": now - 30 * HOUR, "ends_at": now - 29 * HOUR, "rrule": "FREQ=DAILY"}
    create_window(team=page.team, values={"name": "Nightly", "all": True, "public": True, **times})
    (told,) = page_view(page, now).posts
    assert now < told.starts_at < now + 24 * HOUR


def test_what_is_said_of_an_incident_after_its_end_comes_after_its_end(
    page: StatusPage, component: Component, monitor: Monitor, now: datetime
) -> None:
    incident = Incident.objects.create(
        team=page.team,
        monitor=monitor,
        severity="down",
        status="resolved",
        started_at=ago(now, hours=2),
        confirmed_at=ago(now, hours=2),
        resolved_at=ago(now, hours=1),
    )
    for message, at in (("Looking.", ago(now, hours=1.5)), ("It was a cable.", now)):
        IncidentEvent.objects.create(
            incident=incident, kind="commented", message=message, is_public=True, at=at
        )
    (told,) = page_view(page, now).posts
    assert [(one.phase, one.body) for one in told.updates] == [
        (Phase.RESOLVED, "It was a cable."),
        (Phase.RESOLVED, ""),
        (Phase.INVESTIGATING, "Looking."),
    ]


def test_what_is_said_of_an_incident_in_public_is_told_under_the_components_name(
    page: StatusPage, component: Component, monitor: Monitor, now: datetime
) -> None:
    incident = Incident.objects.create(
        team=page.team,
        monitor=monitor,
        severity="down",
        message="secret.internal:8080 refused the connection",
        started_at=ago(now, hours=1),
        confirmed_at=now,
    )
    for kind, message, is_public in (
        ("opened", "secret.internal refused", False),
        ("commented", "We are on it.", True),
        ("commented", "It was Bob.", False),
    ):
        IncidentEvent.objects.create(
            incident=incident, kind=kind, message=message, is_public=is_public
        )

    (told,) = page_view(page, now).ongoing

    assert (told.title, list(told.components)) == ("", ["Shop"])
    assert [one.body for one in told.updates] == ["We are on it."]


def test_an_incident_of_which_nothing_was_said_in_public_is_not_told(
    page: StatusPage, component: Component, monitor: Monitor, now: datetime
) -> None:
    Incident.objects.create(
        team=page.team, monitor=monitor, severity="down", started_at=now, confirmed_at=now
    )
    assert page_view(page, now).posts == []


def test_more_components_and_posts_cost_no_more_queries(page: StatusPage, now: datetime) -> None:
    def fill(count: int) -> None:
        for _ in range(count):
            monitor = make_monitor(page.team)
            component = add_component(
                page=page, values={"name": "X", "monitor": monitor.pk, "show_latency": True}
            )
            add_component(page=page, values={"name": "Y"})
            publish_post(
                page=page,
                values={
                    "title": "P",
                    "phase": "investigating",
                    "affected": [{"component": component.pk, "impact": "degraded"}],
                },
            )

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            page_view(StatusPage.objects.get(pk=page.pk), now)
        return len(seen)

    fill(1)
    few = queries()
    fill(4)
    assert queries() == few
    assert few <= 16
