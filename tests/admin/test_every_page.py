"""Every model's pages open, count nothing, show no secret, and are closed to others."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success
from django_q.signing import SignedPackage

from accounts.invitations import invite_member
from accounts.models import (
    ApiToken,
    AuditEntry,
    IdempotentRequest,
    Passkey,
    RecoveryCode,
    Role,
    SecondFactor,
    SignInTries,
    Team,
    User,
)
from accounts.tokens import issue_token
from accounts.two_factor import begin_setup, secret_of
from alerts.actions import create_channel, create_policy, send_test
from alerts.models import Escalation, ExpiryNotice
from alerts.on_call.actions import add_override, create_schedule
from incidents.maintenance.actions import create_window
from incidents.models import Evidence, Incident, IncidentEvent
from monitors.models import Assignment, Chore, Ping, Result, Shift
from probe.values import result_id
from statuspages.actions import (
    add_component,
    create_page,
    publish_post,
    save_template,
    show_badges,
)
from statuspages.models import SubscriberKind
from statuspages.subscriptions import ask_to_confirm
from tests.admin.pages import address
from tests.factories import MembershipFactory, make_monitor

SECRET = "hunter2-correct-horse"
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture
def world(root: User) -> list[str]:
    """At least one row of every model; the secrets that are in it."""
    now = timezone.now()
    team = MembershipFactory(user=root).team
    monitor = make_monitor(
        team,
        settings={"auth": {"type": "basic", "username": "us", "password": SECRET}},
    )
    channel = create_channel(
        team=team,
        values={
            "name": "Bot",
            "type": "telegram",
            "config": {"bot_token": f"1234567:{SECRET}", "chat_id": "1"},
        },
    )
    policy = create_policy(
        team=team, values={"name": "All", "all": True, "steps": [{"channels": [channel.pk]}]}
    )
    send_test(channel=channel).log.create(number=1, began_at=timezone.now(), duration_ms=1)
    page = create_page(
        team=team,
        values={"name": "S", "slug": "s", "visibility": "password", "password": SECRET},
    )
    add_component(page=page, values={"name": "C", "monitor": monitor.pk})
    publish_post(page=page, values={"title": "T", "phase": "investigating"})
    save_template(team=team, values={"name": "N", "title": "T", "phase": "resolved"})
    show_badges(monitor=monitor)
    ask_to_confirm(page=page, kind=SubscriberKind.EMAIL, address="a@example.org")
    incident = Incident.objects.create(
        team=team, monitor=monitor, severity="down", started_at=now, confirmed_at=now
    )
    event = IncidentEvent.objects.create(incident=incident, kind="opened")
    Escalation.objects.create(
        incident=incident,
        incident_event=event,
        step=policy.steps.get(),
        event="down",
        due_at=now,
    )
    assignment = Assignment.objects.get(monitor=monitor)
    Evidence.objects.create(assignment=assignment, checked_at=now, status="down")
    Result.objects.create(
        id=result_id(assignment.pk, now, 0),
        assignment=assignment,
        checked_at=now,
        due_at=now,
        attempt=0,
        status="up",
    )
    create_window(
        team=team,
        values={"name": "W", "all": True, "starts_at": now, "ends_at": now + timedelta(hours=1)},
    )
    ExpiryNotice.objects.create(
        policy=policy, monitor=monitor, event="certificate_expiring", expires_at=now, days=7
    )
    schedule = create_schedule(
        team=team,
        values={
            "name": "Primary",
            "layers": [{"members": [root.email], "start": "2026-01-05T09:00"}],
        },
    )
    values = {"member": root.email, "starts_at": now, "ends_at": now + timedelta(days=1)}
    add_override(schedule=schedule, values=values)
    Ping.objects.create(monitor=monitor, kind="success", at=now, method="GET", body=b"done")
    Chore.objects.create(name="packing", done_until=now, ran_at=now)
    Shift.objects.create(duty="checks", host="here", pid=1, started_at=now, beat_at=now)
    token = issue_token(user=root, team=team, scope="write", name="Script")
    invitation, invited = invite_member(team=team, email="b@example.org", role=Role.VIEWER, by=root)
    AuditEntry.objects.create(team=team, user=root, who=root.email, action="team.created")
    begin_setup(user=root)
    factor = SecondFactor.objects.get()
    Passkey.objects.create(user=root, name="Laptop", credential_id=b"credential", public_key=b"key")
    RecoveryCode.objects.create(user=root, digest="recovery-digest")
    IdempotentRequest.objects.create(
        team=team, key="k", fingerprint="f", status=201, body={"token": SECRET}
    )
    SignInTries.objects.create(pair="x" * 64, since=now)
    task = {"id": uuid4().hex, "name": "task", "func": "f", "args": (), "kwargs": {}}
    OrmQ.objects.create(key="default", payload=SignedPackage.dumps(task), lock=now)
    for success, model in ((True, Success), (False, Failure)):
        model.objects.create(
            id=uuid4().hex, name="t", func="f", started=now, stopped=now, success=success
        )
    Schedule.objects.create(name="s", func="f")
    Group.objects.create(name="Readers")
    LogEntry.objects.log_actions(root.pk, [team], ADDITION, single_object=True)
    return [
        SECRET,
        token,
        ApiToken.digest_of(token),
        invited,
        factor.secret,
        secret_of(factor),
        "recovery-digest",
        invitation.digest,
        monitor.secrets,
        channel.secrets,
        str(monitor.ping_key),
        root.password,
        root.password.rsplit("$")[-1][:6],
        connection.settings_dict["PASSWORD"] or SECRET,
    ]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_its_pages_open_without_a_count_or_a_secret(
    model: type[Model], admin_client: Client, world: list[str]
) -> None:
    list_address = address(model, "changelist")
    pages = [list_address, f"{list_address}?q=something", f"{list_address}?q={uuid4()}"]
    if row := model._default_manager.first():
        pages.append(address(model, "change", row.pk))
    with CaptureQueriesContext(connection) as queries:
        for page in pages:
            response = admin_client.get(page)
            assert response.status_code == 200, (page, response)
            text = response.content.decode()
            assert not [secret for secret in world if secret in text], page
    assert row is not None
    assert not [query["sql"] for query in queries if "COUNT(" in query["sql"].upper()]


def test_a_lists_page_holds_a_bounded_number_of_rows_and_a_way_to_the_next(
    admin_client: Client,
) -> None:
    Team.objects.bulk_create([Team(name=f"Team {n:03}") for n in range(250)])
    first = admin_client.get(address(Team, "changelist"))
    assert [team.name for team in first.context["cl"].result_list][::99] == ["Team 000", "Team 099"]
    assert "?p=2" in first.content.decode()
    third = admin_client.get(address(Team, "changelist") + "?p=3")
    assert len(third.context["cl"].result_list) == 50
    assert "?p=4" not in third.content.decode()


@pytest.mark.parametrize("page", ["0", "-1", "201", "99999999"])
def test_a_page_too_far_is_refused_without_reading_to_it(admin_client: Client, page: str) -> None:
    response = admin_client.get(address(Team, "changelist") + f"?p={page}")
    assert response.status_code == 302
    assert response["Location"].endswith("?e=1")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_a_lists_queries_do_not_grow_with_its_rows(
    model: type[Model], admin_client: Client, world: list[str]
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(address(model, "changelist")).status_code == 200
        return len(captured)

    few = queries()
    now = timezone.now()
    team = Team.objects.create(name="Another")
    for place in range(5):
        other = make_monitor(team)
        assignment = Assignment.objects.get(monitor=other)
        Result.objects.create(
            id=result_id(assignment.pk, now, 0),
            assignment=assignment,
            checked_at=now,
            due_at=now,
            attempt=0,
            status="up",
        )
        incident = Incident.objects.create(
            team=team, monitor=other, severity="down", started_at=now, confirmed_at=now
        )
        IncidentEvent.objects.create(incident=incident, kind="opened")
        Ping.objects.create(monitor=other, kind="success", at=now, method="GET")
        MembershipFactory(team=team)
        channel = create_channel(
            team=team,
            values={
                "name": f"Bot {place}",
                "type": "telegram",
                "config": {"bot_token": "1:x", "chat_id": "1"},
            },
        )
        send_test(channel=channel)
    assert queries() == few


def test_strangers_are_sent_to_the_products_own_login(client: Client, db: None) -> None:
    for asked in ("/admin/monitors/monitor/", "/admin/login/?next=/admin/monitors/monitor/"):
        response = client.get(asked)
        assert response.status_code == 302
        assert response["Location"] == "/login/?next=/admin/monitors/monitor/"


def test_a_user_who_is_not_staff_is_told_so(client: Client, db: None) -> None:
    client.force_login(MembershipFactory().user)
    assert client.get("/admin/", follow=True).status_code == 403


def test_deleting_a_team_names_it_and_does_not_list_what_goes_with_it(
    admin_client: Client,
) -> None:
    monitor = make_monitor(name="Shop")
    Ping.objects.create(monitor=monitor, kind="success", at=timezone.now(), method="GET")
    page = address(Team, "delete", monitor.team.pk)
    text = admin_client.get(page).content.decode()
    assert f"team: {monitor.team}, with all that belongs to it" in text
    assert "Shop" not in text
    assert admin_client.post(page, {"post": "yes"}).status_code == 302
    assert not Team.objects.filter(pk=monitor.team.pk).exists()


def test_a_span_of_time_that_is_not_offered_is_the_first_one(admin_client: Client) -> None:
    now = timezone.now()
    assignment = Assignment.objects.get(monitor=make_monitor())
    for minutes in (1, 30):
        at = now - timedelta(minutes=minutes)
        Result.objects.create(
            id=result_id(assignment.pk, at, 0),
            assignment=assignment,
            checked_at=at,
            due_at=at,
            attempt=0,
            status="up",
        )

    def shown(query: str) -> int:
        response = admin_client.get(address(Result, "changelist") + query)
        return len(response.context["cl"].result_list)

    assert shown("") == 1
    assert shown("?when=last+hour") == 2
    assert shown("?when=all") == 1, "only for one assignment"
    assert shown(f"?when=all&assignment={assignment.pk}") == 2
    assert shown(f"?when=all&assignment={assignment.pk + 1}") == 0
