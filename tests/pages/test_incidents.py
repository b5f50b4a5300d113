"""The pages of incidents: list, timeline, acknowledge, resolve, comment."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.models import Team
from alerts.models import Escalation
from incidents.models import Evidence, Incident, IncidentEvent, IncidentStatus
from incidents.routes import keep_route
from probe.values import Observation, Status
from tests.factories import MembershipFactory, WebhookFactory, make_monitor, make_policy
from tests.incidents.scenes import REFUSED, observe
from uptime.clock import database_now

pytestmark = pytest.mark.django_db


def make_incident(team: Team, **values: object) -> Incident:
    at = database_now() - timedelta(minutes=5)
    monitor = make_monitor(team, name="Shop")
    given = {"severity": "down", "message": "Refused.", "started_at": at, "confirmed_at": at}
    return Incident.objects.create(team=team, monitor=monitor, **{**given, **values})


def act(client: Client, action: str, incident: Incident, **data: str) -> str:
    address = reverse(f"incident-{action}", args=[incident.pk])
    shown = client.post(address, data, follow=True).content.decode()
    incident.refresh_from_db()
    return shown


def test_an_empty_list_says_what_would_be_here(client: Client) -> None:
    assert "No incident so far" in client.get(reverse("incidents")).content.decode()


def test_the_list_is_narrowed_by_state(client: Client, team: Team) -> None:
    make_incident(team)
    for status, is_there in (("open", True), ("resolved", False), ("nonsense", True)):
        shown = client.get(reverse("incidents"), {"status": status}).content.decode()
        assert ("Refused." in shown) is is_there


def test_the_list_takes_as_many_queries_for_many_as_for_one(
    client: Client, team: Team, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    # session, user, memberships; open ones, number, page with monitors
    make_incident(team)
    with django_assert_num_queries(6):
        client.get(reverse("incidents"))
    for _ in range(9):
        make_incident(team)
    with django_assert_num_queries(6):
        client.get(reverse("incidents"))


def test_acknowledging_is_seen_with_who_did_it(client: Client, team: Team) -> None:
    incident = make_incident(team)
    shown = act(client, "acknowledge", incident)
    assert incident.status == IncidentStatus.ACKNOWLEDGED
    assert f"acknowledged by {incident.acknowledged_by}" in shown


def test_resolving_twice_is_a_note_and_not_an_error(client: Client, team: Team) -> None:
    incident = make_incident(team)
    assert "Resolved after" in act(client, "resolve", incident)
    assert "already resolved" in act(client, "resolve", incident)
    assert "already resolved" in act(client, "acknowledge", incident)


def test_a_comment_appears_in_the_timeline_as_text(client: Client, team: Team) -> None:
    shown = act(client, "comment", make_incident(team), message="On <it>\nnow")
    assert "On &lt;it&gt;" in shown


def test_an_empty_comment_is_refused_beside_its_field(client: Client, team: Team) -> None:
    shown = act(client, "comment", make_incident(team), message=" ")
    assert "Write something." in shown


def test_a_viewer_reads_and_has_no_buttons(viewer_client: Client, team: Team) -> None:
    incident = make_incident(team)
    shown = viewer_client.get(incident.get_absolute_url()).content.decode()
    assert "Refused." in shown
    assert "do-acknowledge" not in shown
    assert "Add comment" not in shown


def test_the_page_says_what_is_planned_and_what_was_skipped(client: Client, team: Team) -> None:
    policy = make_policy(team, WebhookFactory(team=team, name="Boss"))
    incident = make_incident(team)
    event = IncidentEvent.objects.create(incident=incident, kind="opened", severity="down")
    page = reverse("incident", args=[incident.pk])
    assert "Nobody: no policy covers" in client.get(page).content.decode()
    for repeat, decided in enumerate(({}, {"state": "skipped", "skipped_because": "hours"})):
        Escalation.objects.create(
            incident=incident,
            incident_event=event,
            step=policy.steps.get(),
            event="down",
            repeat=repeat,
            due_at=database_now(),
            **decided,
        )
    shown = client.get(page).content.decode()
    assert "Boss" in shown
    assert "Planned" in shown
    assert "Not told: it fell outside the active hours." in shown


def test_a_parent_and_its_child_show_each_other(client: Client, team: Team) -> None:
    parent = make_incident(team)
    child = make_incident(team, parent=parent, held_since=parent.started_at)
    shown = client.get(child.get_absolute_url()).content.decode()
    assert f'Comes of <a href="{parent.get_absolute_url()}">' in shown
    assert "Nobody, because of what the monitor depends on." in shown
    assert child.get_absolute_url() in client.get(parent.get_absolute_url()).content.decode()


def test_flapping_is_said(client: Client, team: Team) -> None:
    incident = make_incident(team, changes=7, calm_at=database_now())
    shown = client.get(incident.get_absolute_url()).content.decode()
    assert "7 changes between up and down" in shown
    assert "Flapping" in client.get(reverse("incidents")).content.decode()


def test_the_page_shows_what_was_seen(client: Client, team: Team) -> None:
    answer = {"head": "HTTP/1.1 500 Oops", "body": "<b>Away</b>", "body_bytes": 11, "is_cut": False}
    seen = replace(REFUSED, details={"response": answer, "addresses": ["192.0.2.7"]})
    observe(make_monitor(team), seen, seen)
    shown = client.get(Incident.objects.get().get_absolute_url()).content.decode()
    assert "HTTP/1.1 500 Oops" in shown
    assert "&lt;b&gt;Away&lt;/b&gt;" in shown
    assert "192.0.2.7" in shown
    assert "Confirmed by local" in " ".join(shown.split())


def test_the_page_shows_the_way_to_what_was_not_reached(client: Client, team: Team) -> None:
    monitor = observe(make_monitor(team, name="Shop"), REFUSED, REFUSED, REFUSED)
    hops = [
        {"hop": 1, "addresses": ["10.0.0.1"], "loss_percent": 0.0, "average_ms": 0.8},
        {"hop": 2, "addresses": [], "loss_percent": 100.0},
    ]
    told = Observation(Status.DOWN, message="It ends there.", details={"hops": hops})
    keep_route(Evidence.objects.get().pk, told, database_now())
    address = Incident.objects.get(monitor=monitor).get_absolute_url()
    shown = client.get(address).content.decode()
    assert "The way there: It ends there." in shown
    assert "<td>10.0.0.1</td>" in shown
    assert "<td>nobody</td>" in shown
    assert "What else was seen" not in shown


def test_it_is_assigned_from_the_page(client: Client, team: Team) -> None:
    incident, ann = make_incident(team), MembershipFactory(team=team, user__name="Ann").user
    shown = act(client, "assign", incident, to=str(ann.pk))
    assert incident.assigned_to == ann
    assert "Assigned to Ann" in " ".join(shown.split())
    stranger = MembershipFactory().user
    assert "Choose a member" in act(client, "assign", incident, to=str(stranger.pk))
    act(client, "assign", incident, to="")
    assert incident.assigned_to is None


def test_it_is_snoozed_from_its_page_and_from_its_monitors(client: Client, team: Team) -> None:
    incident = make_incident(team)
    monitor = incident.monitor
    snooze = reverse("monitor-snooze", args=[monitor.pk])
    shown = client.post(snooze + "?incident", {"hours": "8"}, follow=True).content.decode()
    assert "Snoozed until" in shown
    assert "Refused." in shown  # the incident's page
    assert "snoozed" in client.get("/").content.decode()
    shown = client.get(monitor.get_absolute_url()).content.decode()
    assert "Snoozed until" in shown
    unsnooze = reverse("monitor-unsnooze", args=[monitor.pk])
    assert unsnooze in shown
    assert "The snooze is over" in client.post(unsnooze, follow=True).content.decode()


def test_a_snooze_without_a_length_is_a_note(client: Client, team: Team) -> None:
    monitor = make_incident(team).monitor
    snooze = reverse("monitor-snooze", args=[monitor.pk])
    assert "Choose for how long." in client.post(snooze, follow=True).content.decode()
    monitor.refresh_from_db()
    assert monitor.snoozed_until is None
