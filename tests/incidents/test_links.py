"""A link in a message does one thing to one incident, once it was asked whether it should."""

import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from django.test import Client

from accounts.models import Team
from alerts.messages import compose_message, facts_of_incident
from alerts.models import Delivery
from alerts.templating import template_values
from incidents.links import GOOD_FOR, ActionLink, LinkRefused, Purpose
from incidents.models import Incident, IncidentStatus
from tests.factories import (
    MembershipFactory,
    TeamFactory,
    WebhookFactory,
    make_monitor,
    make_policy,
)
from tests.incidents.scenes import REFUSED, observe
from uptime.clock import database_now
from uptime.operations import delete_monitor

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return TeamFactory()


@pytest.fixture
def incident(team: Team) -> Incident:
    make_policy(team, WebhookFactory(team=team))
    observe(make_monitor(team, name="Shop"), REFUSED, REFUSED)
    return Incident.objects.get()


@pytest.fixture
def phone() -> Client:
    """Somebody's browser, signed in to nothing, that minds forged requests."""
    return Client(enforce_csrf_checks=True)


def path_to(purpose: Purpose, incident: Incident) -> str:
    return urlsplit(ActionLink(purpose, incident.pk).url).path


def confirm(phone: Client, path: str, **given: str) -> str:
    """Open the link, and send the form that it shows."""
    asked = phone.get(path)
    assert asked.status_code == 200
    token = asked.cookies["csrftoken"].value
    answer = phone.post(path, {"csrfmiddlewaretoken": token, **given}, follow=True)
    assert answer.status_code == 200, answer.content.decode()
    assert answer.redirect_chain  # to reload it does nothing again
    return answer.content.decode()


def test_opening_it_asks_and_changes_nothing(phone: Client, incident: Incident) -> None:
    path = path_to(Purpose.ACKNOWLEDGE, incident)
    for answer in (phone.get(path), phone.head(path)):
        assert answer.status_code == 200
        assert answer["Cache-Control"] == "no-store"
        assert answer["Referrer-Policy"] == "no-referrer"
    assert phone.post(path).status_code == 403  # forged
    incident.refresh_from_db()
    assert incident.status == IncidentStatus.OPEN


def test_it_acknowledges_for_whoever_holds_it(phone: Client, incident: Incident) -> None:
    path = path_to(Purpose.ACKNOWLEDGE, incident)
    assert "somebody is on it" in confirm(phone, path)
    incident.refresh_from_db()
    assert (incident.status, incident.acknowledged_by) == (IncidentStatus.ACKNOWLEDGED, None)
    assert incident.events.get(kind="acknowledged").message == "Through the link in a message."
    assert "acknowledged already" in phone.get(path).content.decode()


def test_it_notes_who_is_signed_in_if_they_are_of_the_team(incident: Incident) -> None:
    stranger, ann = MembershipFactory().user, MembershipFactory(team=incident.team).user
    for user, author in ((stranger, None), (ann, ann)):
        browser = Client()
        browser.force_login(user)
        browser.post(path_to(Purpose.COMMENT, incident), {"message": "On it."})
        assert incident.events.latest("id").author == author


def test_it_resolves_and_tells(phone: Client, incident: Incident) -> None:
    confirm(phone, path_to(Purpose.RESOLVE, incident))
    incident.refresh_from_db()
    assert incident.is_resolved
    assert Delivery.objects.filter(event="recovered").count() == 1
    again = phone.get(path_to(Purpose.ACKNOWLEDGE, incident)).content.decode()
    assert "already resolved" in again
    assert "<form" not in again.partition("<main")[2].partition("</main")[0]


def test_it_comments_and_assigns(phone: Client, incident: Incident) -> None:
    ann = MembershipFactory(team=incident.team, user__name="Ann").user
    path = path_to(Purpose.COMMENT, incident)
    assert "status pages" not in phone.get(path).content.decode()
    confirm(phone, path, message="On my way.", public="on")
    confirm(phone, path_to(Purpose.ASSIGN, incident), to=str(ann.pk))
    incident.refresh_from_db()
    assert incident.assigned_to == ann
    comment = incident.events.get(kind="commented")
    assert (comment.message, comment.is_public) == ("On my way.", False)


def test_it_gives_nothing_else(phone: Client, incident: Incident) -> None:
    path = path_to(Purpose.ACKNOWLEDGE, incident)
    confirm(phone, path)
    assert phone.get(incident.get_absolute_url()).status_code == 302
    token = path.rstrip("/").rpartition("/")[2]
    for purpose in ("resolve", "comment", "assign"):
        forged = path.replace("acknowledge.", f"{purpose}.")
        assert phone.get(forged).status_code == 410
    with pytest.raises(LinkRefused, match="not one of ours"):
        ActionLink.read(token[:-1])


def test_it_ends(phone: Client, incident: Incident, monkeypatch: pytest.MonkeyPatch) -> None:
    long_ago = time.time() - GOOD_FOR.total_seconds() - 60
    with monkeypatch.context() as clock:
        clock.setattr("django.core.signing.time", SimpleNamespace(time=lambda: long_ago))
        old = path_to(Purpose.ACKNOWLEDGE, incident)
    answer = phone.get(old)
    assert answer.status_code == 410
    assert "good for 7 days" in answer.content.decode()


def test_it_ends_with_its_incident(phone: Client, incident: Incident) -> None:
    path = path_to(Purpose.ACKNOWLEDGE, incident)
    delete_monitor(monitor=incident.monitor)
    assert phone.get(path).status_code == 410


def test_messages_of_trouble_carry_it_and_nothing_stored_does(incident: Incident) -> None:
    message = compose_message(incident.pk, facts_of_incident(incident, database_now()))
    labels = ["Open the incident", "Acknowledge", "Resolve", "Comment", "Assign"]
    assert [link.label for link in message.links] == labels
    for link, purpose in zip(message.links[1:], Purpose, strict=True):
        token = link.url.rstrip("/").rpartition("/")[2]
        assert ActionLink.read(token) == ActionLink(purpose, incident.pk)
        assert link.url in message.text
        assert link.url in message.html.replace("&amp;", "&")
        assert template_values(message)[f"{purpose}_url"]
    assert "/act/" not in str(Delivery.objects.get().facts)
    incident.status, incident.resolved_at = IncidentStatus.RESOLVED, database_now()
    over = compose_message(incident.pk, facts_of_incident(incident, database_now()))
    assert [link.label for link in over.links] == ["Open the incident"]
    assert template_values(over)["acknowledge_url"] == ""
