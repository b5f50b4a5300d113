"""What an operator changes through the admin goes through the product's own actions."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, Membership, Team, User
from accounts.tokens import issue_token
from alerts.actions import create_policy
from alerts.models import Channel, Delivery, DeliveryStatus, Policy
from incidents.maintenance.actions import create_window
from incidents.models import Incident, IncidentStatus, MaintenanceWindow
from monitors.models import Assignment, Location, Monitor, Result, Status
from tests.admin.pages import address, do, filled
from tests.factories import (
    MembershipFactory,
    TeamFactory,
    UserFactory,
    WebhookFactory,
    full_settings,
    make_monitor,
)
from uptime.secrets import MASK

SECRET = "hunter2-correct-horse"

pytestmark = pytest.mark.django_db


def errors_of(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200, "the form is shown again"
    return dict(response.context["adminform"].form.errors)


class TestMonitors:
    def test_a_new_one_is_made_by_the_action_and_due_at_once(self, admin_client: Client) -> None:
        team = TeamFactory()
        page = address(Monitor, "add")
        form = {
            **filled(admin_client, page),
            "team": str(team.pk),
            "kind": "http",
            "name": "Shop",
            "target": "https://shop.example/",
            "tags": "prod,web",
            "interval_s": "30",
            "timeout_ms": "2500",
            "settings": json.dumps({"auth": {"type": "bearer", "token": SECRET}}),
        }
        response = admin_client.post(page, form)
        assert response.status_code == 302, errors_of(response)
        monitor = Monitor.objects.get()
        assert (monitor.team, monitor.interval_s, monitor.timeout_ms) == (team, 30, 2500)
        assert monitor.tags == ["prod", "web"]
        assert full_settings(monitor)["auth"]["token"] == SECRET
        assert SECRET not in str(monitor.settings)
        assert Assignment.objects.get(monitor=monitor).next_due_at is not None

    def test_what_the_action_refuses_is_shown_at_its_field(self, admin_client: Client) -> None:
        page = address(Monitor, "add")
        form = {
            **filled(admin_client, page),
            "team": str(TeamFactory().pk),
            "kind": "http",
            "name": "Shop",
            "target": "gopher://shop.example/",
            "interval_s": "5",
            "retry_interval_s": "60",
            "settings": '{"max_redirects": -1, "nonsense": 1}',
        }
        errors = errors_of(admin_client.post(page, form))
        assert set(errors) == {"target", "settings", "retry_interval_s"}
        assert "nonsense: There is no such field." in errors["settings"]
        assert not Monitor.objects.exists()

    def test_only_what_was_changed_is_changed_and_secrets_stay(self, admin_client: Client) -> None:
        monitor = make_monitor(
            settings={"auth": {"type": "bearer", "token": SECRET}}, interval=30, retry_interval=7
        )
        page = address(Monitor, "change", monitor.pk)
        form = {**filled(admin_client, page), "name": "Shop", "interval_s": "90"}
        form["settings"] = form["settings"].replace("}}", '}, "max_redirects": 2}')
        response = admin_client.post(page, form)
        assert response.status_code == 302, errors_of(response)
        monitor.refresh_from_db()
        assert (monitor.name, monitor.interval_s, monitor.retry_interval_s) == ("Shop", 90, 7)
        assert monitor.revision == 2
        assert full_settings(monitor)["max_redirects"] == 2
        assert full_settings(monitor)["auth"]["token"] == SECRET

    def test_saving_without_a_change_changes_nothing(self, admin_client: Client) -> None:
        monitor = make_monitor(tags=["a", "b"], key="shop", sla_target=999)
        page = address(Monitor, "change", monitor.pk)
        assert admin_client.post(page, filled(admin_client, page)).status_code == 302
        same = Monitor.objects.get()
        assert same.updated_at == monitor.updated_at
        assert same.revision == 1

    def test_locations_are_taken_off_and_put_on(self, admin_client: Client) -> None:
        monitor = make_monitor()
        Location.objects.create(slug="far", name="Far away")
        page = address(Monitor, "change", monitor.pk)
        form = {**filled(admin_client, page), "locations": ["far"]}
        assert admin_client.post(page, form).status_code == 302
        active = Assignment.objects.filter(monitor=monitor, is_active=True)
        assert [one.location.slug for one in active] == ["far"]
        refused = admin_client.post(page, {**form, "quorum": "2"})
        assert "quorum" in errors_of(refused)

    def test_status_kind_and_enabled_are_no_fields_of_an_existing_one(
        self, admin_client: Client
    ) -> None:
        monitor = make_monitor()
        page = address(Monitor, "change", monitor.pk)
        form = filled(admin_client, page)
        assert not {"status", "kind", "enabled", "team", "secrets"} & set(form)
        admin_client.post(page, {**form, "status": "down", "kind": "tcp", "enabled": ""})
        monitor.refresh_from_db()
        assert (monitor.status, monitor.kind, monitor.enabled) == (Status.PENDING, "http", True)

    def test_the_list_snoozes_and_ends_it(self, admin_client: Client) -> None:
        monitor = make_monitor()
        assert do(admin_client, Monitor, "snooze", monitor, hours="3") == ["Snoozed: 1"]
        monitor.refresh_from_db()
        assert monitor.snoozed_at is not None
        assert monitor.snoozed_until == monitor.snoozed_at + timedelta(hours=3)
        assert do(admin_client, Monitor, "unsnooze", monitor) == ["Ended: 1"]
        monitor.refresh_from_db()
        assert monitor.snoozed_until <= timezone.now() + timedelta(seconds=5)

    def test_the_list_pauses_resumes_and_checks(self, admin_client: Client) -> None:
        one, other = make_monitor(), make_monitor()
        assert do(admin_client, Monitor, "pause", one, other) == ["Paused: 2"]
        one.refresh_from_db()
        assert (one.status, one.enabled) == (Status.PAUSED, False)
        assert do(admin_client, Monitor, "resume", one) == ["Resumed: 1"]
        told = do(admin_client, Monitor, "check_soon", one, other)
        assert told[-1] == "Being checked: 1"
        assert "is paused" in told[0]

    def test_deleting_takes_its_history_along(self, admin_client: Client) -> None:
        monitor = make_monitor()
        page = address(Monitor, "delete", monitor.pk)
        assert admin_client.post(page, {"post": "yes"}).status_code == 302
        assert not Monitor.objects.exists()

    def test_its_page_leads_to_its_results(self, admin_client: Client) -> None:
        monitor = make_monitor()
        text = admin_client.get(address(Monitor, "change", monitor.pk)).content.decode()
        assignment = Assignment.objects.get(monitor=monitor)
        assert f"/admin/monitors/result/?assignment={assignment.pk}&amp;when=last+day" in text

    def test_no_form_offers_thousands_of_teams(self, admin_client: Client) -> None:
        TeamFactory.create_batch(5)
        text = admin_client.get(address(Monitor, "add")).content.decode()
        assert not [team for team in Team.objects.all() if str(team.pk) in text]


class TestIncidents:
    @pytest.fixture
    def incident(self) -> Incident:
        now = timezone.now()
        monitor = make_monitor()
        return Incident.objects.create(
            team=monitor.team, monitor=monitor, severity="down", started_at=now, confirmed_at=now
        )

    def test_acknowledge_and_resolve(
        self, admin_client: Client, root: User, incident: Incident
    ) -> None:
        assert do(admin_client, Incident, "acknowledge", incident) == ["Acknowledged: 1"]
        incident.refresh_from_db()
        assert (incident.status, incident.acknowledged_by) == (IncidentStatus.ACKNOWLEDGED, root)
        assert do(admin_client, Incident, "resolve", incident) == ["Resolved: 1"]
        (told,) = do(admin_client, Incident, "resolve", incident)
        assert "already resolved" in told
        timeline = admin_client.get(address(Incident, "change", incident.pk)).content.decode()
        assert "Resolved by" in timeline

    def test_comment_and_assign(self, admin_client: Client, root: User, incident: Incident) -> None:
        ann = MembershipFactory(team=incident.team).user
        assert do(admin_client, Incident, "comment", incident, comment="On it.") == ["Commented: 1"]
        (told,) = do(admin_client, Incident, "comment", incident, comment=" ")
        assert "Write something." in told
        comment = incident.events.get(kind="commented")
        assert (comment.message, comment.author, comment.is_public) == ("On it.", root, False)
        assert do(admin_client, Incident, "assign", incident, to=ann.email.upper()) == [
            "Assigned: 1"
        ]
        incident.refresh_from_db()
        assert incident.assigned_to == ann
        (told,) = do(admin_client, Incident, "assign", incident, to="nobody@example.org")
        assert "Nobody has the address" in told
        (told,) = do(admin_client, Incident, "take", incident)
        assert "Choose a member of the team." in told
        do(admin_client, Incident, "assign", incident)
        incident.refresh_from_db()
        assert incident.assigned_to is None

    def test_nobody_writes_one_by_hand(self, admin_client: Client, incident: Incident) -> None:
        page = address(Incident, "change", incident.pk)
        assert admin_client.post(page, {"status": "resolved"}).status_code == 403
        assert admin_client.get(address(Incident, "add")).status_code == 403
        assert admin_client.get(address(Incident, "delete", incident.pk)).status_code == 403

    def test_who_may_only_look_has_no_actions(self, incident: Incident) -> None:
        looker = UserFactory(is_staff=True)
        looker.user_permissions.add(Permission.objects.get(codename="view_incident"))
        client = Client()
        client.force_login(looker)
        page = client.get(address(Incident, "changelist"))
        assert page.status_code == 200
        assert page.context["action_form"] is None


class TestMaintenance:
    def entered(self, client: Client, page: str, **values: Any) -> dict[str, Any]:
        times = {"starts_at": "2027-03-01T02:00", "ends_at": "2027-03-01T04:00"}
        known = {"name": "Upgrade", "time_zone": "Europe/Berlin", "rrule": "FREQ=WEEKLY"}
        return {**filled(client, page), **times, **known, **values}

    def test_a_new_one_is_planned_by_the_clocks_of_its_zone(self, admin_client: Client) -> None:
        monitor, page = make_monitor(), address(MaintenanceWindow, "add")
        form = self.entered(
            admin_client, page, team=str(monitor.team_id), monitors=[str(monitor.pk)]
        )
        response = admin_client.post(page, form)
        assert response.status_code == 302, errors_of(response)
        window = MaintenanceWindow.objects.get()
        assert window.starts_at == datetime(2027, 3, 1, 1, tzinfo=UTC)
        assert window.begins_at == window.starts_at
        assert list(window.monitors.all()) == [monitor]

    def test_what_makes_no_sense_is_refused_as_on_its_page(self, admin_client: Client) -> None:
        page, team = address(MaintenanceWindow, "add"), str(TeamFactory().pk)
        foreign = [str(make_monitor().pk)]
        for wrong, field in (
            ({"is_for_all": "on", "ends_at": "2027-03-01T01:00"}, "__all__"),
            ({"is_for_all": "on", "rrule": "FREQ=NEVER"}, "rrule"),
            ({"is_for_all": "on", "time_zone": "Europe/Atlantis"}, "time_zone"),
            ({"monitors": foreign}, "monitors"),
            ({}, "__all__"),
        ):
            form = self.entered(admin_client, page, team=team, **wrong)
            assert field in errors_of(admin_client.post(page, form)), wrong
        assert not MaintenanceWindow.objects.exists()

    def test_it_is_changed_and_deleted(self, admin_client: Client) -> None:
        monitor, page = make_monitor(), address(MaintenanceWindow, "add")
        form = self.entered(
            admin_client, page, team=str(monitor.team_id), monitors=[str(monitor.pk)]
        )
        admin_client.post(page, form)
        window = MaintenanceWindow.objects.get()
        page = address(MaintenanceWindow, "change", window.pk)
        response = admin_client.post(page, filled(admin_client, page))
        assert response.status_code == 302, errors_of(response)
        assert MaintenanceWindow.objects.get().changed_at == window.changed_at
        form = {**filled(admin_client, page), "time_zone": "UTC", "is_for_all": "on"}
        response = admin_client.post(page, {**form, "monitors": []})
        assert response.status_code == 302, errors_of(response)
        window.refresh_from_db()
        assert window.starts_at == datetime(2027, 3, 1, 2, tzinfo=UTC)
        assert window.is_for_all
        admin_client.post(address(MaintenanceWindow, "delete", window.pk), {"post": "yes"})
        assert not MaintenanceWindow.objects.exists()

    def test_start_extend_and_end(self, admin_client: Client) -> None:
        now = timezone.now()
        begins, ends = now + timedelta(hours=1), now + timedelta(hours=2)
        values = {"name": "Upgrade", "starts_at": begins, "ends_at": ends, "all": True}
        window = create_window(team=TeamFactory(), values=values)
        planned = window.finishes_at
        assert planned is not None
        assert do(admin_client, MaintenanceWindow, "start", window) == ["Started: 1"]
        assert do(admin_client, MaintenanceWindow, "extend", window, minutes="45") == [
            "Extended: 1"
        ]
        window.refresh_from_db()
        assert window.is_on(timezone.now())
        assert window.finishes_at == planned + timedelta(minutes=45)
        assert do(admin_client, MaintenanceWindow, "end", window) == ["Ended: 1"]
        (told,) = do(admin_client, MaintenanceWindow, "extend", window, minutes="45")
        assert "it is over" in told


class TestDeliveries:
    def make(self, **fields: Any) -> Delivery:
        channel = fields.pop("channel", None) or WebhookFactory()
        return Delivery.objects.create(
            team=channel.team, channel=channel, event="down", facts={}, **fields
        )

    def test_a_dead_one_is_retried_and_a_sent_one_is_not(self, admin_client: Client) -> None:
        dead = self.make(status=DeliveryStatus.DEAD, attempts=20)
        sent = self.make(status=DeliveryStatus.SENT, channel=dead.channel)
        told = do(admin_client, Delivery, "retry", dead, sent)
        assert told[-1] == "Queued again: 1"
        assert "can be retried" in told[0]
        dead.refresh_from_db()
        assert (dead.status, dead.attempts) == (DeliveryStatus.QUEUED, 0)

    def test_the_list_is_bounded_by_the_moment_in_the_id(self, admin_client: Client) -> None:
        new = self.make()
        old_id = int((timezone.now() - timedelta(days=2)).timestamp() * 1000) << 80
        self.make(id=uuid.UUID(int=old_id), channel=new.channel)
        page = address(Delivery, "changelist")

        def shown(query: str) -> int:
            return len(admin_client.get(page + query).context["cl"].result_list)

        assert (shown(""), shown("?when=last+30+days"), shown("?when=all")) == (1, 2, 2)
        assert shown("?when=all&channel__type=telegram") == 0


class TestChannels:
    def test_create_change_test_and_switch(self, admin_client: Client) -> None:
        page = address(Channel, "add")
        form = {
            **filled(admin_client, page),
            "team": str(TeamFactory().pk),
            "name": "Bot",
            "type": "telegram",
            "config": json.dumps({"bot_token": f"123:{SECRET}", "chat_id": "1"}),
        }
        response = admin_client.post(page, form)
        assert response.status_code == 302, errors_of(response)
        channel = Channel.objects.get()
        assert SECRET not in str(channel.config)

        page = address(Channel, "change", channel.pk)
        form = filled(admin_client, page)
        assert SECRET not in str(form)
        form["config"] = form["config"].replace('"1"', '"2"')
        assert admin_client.post(page, form).status_code == 302
        channel.refresh_from_db()
        assert channel.full_config == {"bot_token": f"123:{SECRET}", "chat_id": "2"}

        assert do(admin_client, Channel, "disable", channel) == ["Disabled: 1"]
        channel.refresh_from_db()
        assert not channel.enabled
        assert channel.full_config["bot_token"] == f"123:{SECRET}"
        assert do(admin_client, Channel, "enable", channel) == ["Enabled: 1"]
        assert do(admin_client, Channel, "test", channel) == ["Tests queued: 1"]
        assert Delivery.objects.get().event == "test"
        assert do(admin_client, Channel, "delete_selected", channel) == []

    def test_a_wrong_config_is_shown_at_its_field(self, admin_client: Client) -> None:
        page = address(Channel, "add")
        form = {
            **filled(admin_client, page),
            "team": str(TeamFactory().pk),
            "name": "Bot",
            "type": "telegram",
            "config": '{"chat_id": "1"}',
        }
        errors = errors_of(admin_client.post(page, form))
        assert errors["config"] == ["bot_token: This field is required."]


class TestPolicies:
    def test_create_and_change(self, admin_client: Client) -> None:
        channel = WebhookFactory()
        monitor = make_monitor(channel.team)
        page = address(Policy, "add")
        form = {
            **filled(admin_client, page),
            "team": str(channel.team.pk),
            "name": "All",
            "on": ["down", "recovered"],
            "reach": "all",
            "steps": json.dumps([{"channels": [str(channel.pk)]}]),
        }
        response = admin_client.post(page, form)
        assert response.status_code == 302, errors_of(response)
        policy = Policy.objects.get()
        assert [step.channels.get() for step in policy.steps.all()] == [channel]

        page = address(Policy, "change", policy.pk)
        form = {
            **filled(admin_client, page),
            "reach": "monitors",
            "monitors": [str(monitor.pk)],
        }
        response = admin_client.post(page, form)
        assert response.status_code == 302, errors_of(response)
        policy.refresh_from_db()
        assert (policy.reach, policy.monitors.get()) == ("monitors", monitor)
        assert do(admin_client, Policy, "disable", policy) == ["Disabled: 1"]
        policy.refresh_from_db()
        assert not policy.enabled

    def test_a_policy_without_reach_and_another_teams_channel_are_refused(
        self, admin_client: Client
    ) -> None:
        channel, stranger = WebhookFactory(), WebhookFactory()
        policy = create_policy(
            team=channel.team,
            values={"name": "All", "all": True, "steps": [{"channels": [channel.pk]}]},
        )
        page = address(Policy, "change", policy.pk)
        form = filled(admin_client, page)
        assert errors_of(admin_client.post(page, {**form, "reach": "tags"}))
        foreign = json.dumps([{"channels": [str(stranger.pk)]}])
        refused = admin_client.post(page, {**form, "steps": foreign})
        assert "There is no channel" in str(errors_of(refused)["steps"])
        assert policy.steps.get().channels.get() == channel


class TestUsers:
    def test_a_user_is_added_by_email_with_a_password(self, admin_client: Client) -> None:
        page = address(User, "add")
        form = {
            "email": "Ann@Example.org",
            "name": "Ann",
            "usable_password": "true",
            "password1": "correct horse battery",
            "password2": "correct horse battery",
        }
        response = admin_client.post(page, form)
        assert response.status_code == 302, errors_of(response)
        ann = User.objects.get(email="ann@example.org")
        assert ann.check_password("correct horse battery")
        again = admin_client.post(page, {**form, "email": "ANN@example.org"})
        assert "email" in errors_of(again)

    def test_a_weak_password_is_refused(self, admin_client: Client) -> None:
        form = {"email": "a@example.org", "password1": "12345", "password2": "12345"}
        form["usable_password"] = "true"
        assert "password2" in errors_of(admin_client.post(address(User, "add"), form))

    def test_a_users_page_keeps_the_password_and_leads_to_a_form_for_another(
        self, admin_client: Client
    ) -> None:
        user = UserFactory()
        team = TeamFactory()
        page = address(User, "change", user.pk)
        assert b'href="../password/"' in admin_client.get(page).content
        form = {
            **filled(admin_client, page),
            "name": "Renamed",
            "memberships-TOTAL_FORMS": "1",
            "memberships-0-user": str(user.pk),
            "memberships-0-team": str(team.pk),
            "memberships-0-role": "viewer",
        }
        response = admin_client.post(page, form)
        assert response.status_code == 302, errors_of(response)
        user.refresh_from_db()
        assert user.name == "Renamed"
        assert user.check_password("correct horse battery")
        assert Membership.objects.get(user=user).team == team

        change = admin_client.post(
            f"/admin/accounts/user/{user.pk}/password/",
            {
                "usable_password": "true",
                "password1": "another horse battery",
                "password2": "another horse battery",
            },
        )
        assert change.status_code == 302
        user.refresh_from_db()
        assert user.check_password("another horse battery")

    def test_only_a_superuser_makes_one_or_touches_one(self, root: User) -> None:
        clerk, other = UserFactory(is_staff=True), UserFactory()
        clerk.user_permissions.set(
            Permission.objects.filter(codename__in=["view_user", "change_user", "delete_user"])
        )
        client = Client()
        client.force_login(clerk)
        page = address(User, "change", other.pk)
        form = filled(client, page)
        assert not {"is_superuser", "is_staff", "groups", "user_permissions"} & set(form)
        client.post(page, {**form, "is_superuser": "on"})
        other.refresh_from_db()
        assert not other.is_superuser
        roots = address(User, "change", root.pk)
        assert client.post(roots, {"email": "mine@example.org"}).status_code == 403
        assert client.get(f"/admin/accounts/user/{root.pk}/password/").status_code == 403
        assert client.post(address(User, "delete", root.pk), {"post": "yes"}).status_code == 403
        several = {
            "action": "delete_selected",
            "_selected_action": [str(other.pk), str(root.pk)],
            "post": "yes",
        }
        assert client.post(address(User, "changelist"), several).status_code == 403
        assert User.objects.filter(pk=root.pk).exists()

    def test_deleting_a_token_revokes_it(self, admin_client: Client, root: User) -> None:
        issue_token(user=root, team=TeamFactory(), scope="write", name="Script")
        token = ApiToken.objects.get()
        assert admin_client.get(address(ApiToken, "add")).status_code == 403
        page = address(ApiToken, "delete", token.pk)
        assert admin_client.post(page, {"post": "yes"}).status_code == 302
        assert not ApiToken.objects.exists()


def test_results_are_only_looked_at(admin_client: Client) -> None:
    assert admin_client.get(address(Result, "add")).status_code == 403
    assert (
        "action"
        not in admin_client.get(address(Result, "changelist")).content.decode().split("<table")[-1]
    )


def test_a_location_that_is_used_or_built_in_is_not_deleted(admin_client: Client) -> None:
    local = Location.objects.get(slug="local")
    far = Location.objects.create(slug="far", name="Far away")
    assert admin_client.get(address(Location, "delete", local.pk)).status_code == 403
    assert (
        admin_client.post(address(Location, "delete", far.pk), {"post": "yes"}).status_code == 302
    )


def test_choosing_a_related_row_searches_for_it(admin_client: Client) -> None:
    team = TeamFactory(name="Wanted")
    TeamFactory(name="Other")
    response = admin_client.get(
        "/admin/autocomplete/",
        {"term": "want", "app_label": "monitors", "model_name": "monitor", "field_name": "team"},
    )
    assert [found["id"] for found in response.json()["results"]] == [str(team.pk)]


def test_a_generated_secret_is_told_of_and_not_shown(admin_client: Client) -> None:
    page = address(Channel, "add")
    form = {
        **filled(admin_client, page),
        "team": str(TeamFactory().pk),
        "name": "Hook",
        "type": "webhook",
        "config": '{"url": "https://hook.example/"}',
    }
    text = admin_client.post(page, form, follow=True).content.decode()
    channel = Channel.objects.get()
    made = [name for name, value in channel.config.items() if value == MASK]
    assert made
    assert all(f"{name} was made" in text for name in made)
    assert not [name for name in made if channel.full_config[name] in text]
