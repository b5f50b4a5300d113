"""The audit trail: who did what, with which token, from where; never a secret."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.audit import KEPT, forget_audit
from accounts.models import AuditEntry, Membership, Role, Scope, Team
from accounts.tokens import issue_token
from incidents.models import Incident
from monitors.models import Monitor
from tests.api.conftest import Api
from tests.factories import MembershipFactory, make_monitor
from tests.pages.conftest import signed_in
from uptime.clock import database_now

SECRET = "hunter2-correct-horse"

pytestmark = pytest.mark.django_db


def told() -> list[tuple[str, str, list[str]]]:
    rows = AuditEntry.objects.order_by("id")
    return [(one.action, one.object_name, one.changed) for one in rows]


@pytest.fixture
def api(owner: Membership) -> Api:
    return Api(issue_token(user=owner.user, team=owner.team, scope=Scope.ADMIN, name="Terraform"))


def test_what_a_token_does_is_recorded_with_its_name_and_address(
    api: Api, owner: Membership
) -> None:
    values = {
        "name": "Shop",
        "kind": "http",
        "target": "http://127.0.0.1:9/",
        "settings": {"auth": {"type": "bearer", "token": SECRET}},
    }
    path = f"monitors/{api.post('monitors/', values).json()['id']}/"
    api.patch(path, {"name": "Store", "interval": 30})
    api.post(f"{path}pause/")
    api.post(f"{path}resume/")
    api.delete(path)
    assert told() == [
        ("monitor.created", "Shop", []),
        ("monitor.changed", "Store", ["interval_s", "name"]),
        ("monitor.paused", "Store", []),
        ("monitor.resumed", "Store", []),
        ("monitor.deleted", "Store", []),
    ]
    first = AuditEntry.objects.earliest("id")
    assert (first.who, first.token, first.team) == (owner.user.email, "Terraform", owner.team)
    assert first.address == "127.0.0.1"
    assert SECRET not in str(list(AuditEntry.objects.values()))


def test_what_is_refused_or_changes_nothing_is_not_recorded(api: Api, team: Team) -> None:
    monitor = make_monitor(team)
    api.patch(f"monitors/{monitor.pk}/", {"interval": -1})
    api.patch(f"monitors/{monitor.pk}/", {"name": monitor.name})
    api.post(f"monitors/{monitor.pk}/resume/")
    assert told() == []


def test_what_the_installation_does_by_itself_is_not_recorded(team: Team) -> None:
    make_monitor(team)
    assert told() == []


def test_alerting_is_recorded_without_values(api: Api) -> None:
    config = {"bot_token": f"1234567:{SECRET}", "chat_id": "1"}
    values = {"name": "Bot", "type": "telegram", "config": config}
    channel = api.post("channels/", values).json()["id"]
    api.patch(f"channels/{channel}/", {"config": {**config, "chat_id": "2"}})
    steps = [{"channels": [channel]}]
    policy = api.post("policies/", {"name": "All", "all": True, "steps": steps}).json()["id"]
    api.patch(f"policies/{policy}/", {"enabled": False})
    api.delete(f"policies/{policy}/")
    api.delete(f"channels/{channel}/")
    assert told() == [
        ("channel.created", "Bot", []),
        ("channel.changed", "Bot", ["config"]),
        ("policy.created", "All", []),
        ("policy.changed", "All", ["enabled"]),
        ("policy.deleted", "All", []),
        ("channel.deleted", "Bot", []),
    ]
    assert SECRET not in str(list(AuditEntry.objects.values()))


def test_incidents_that_people_close_are_recorded(client: Client, team: Team) -> None:
    now = database_now()
    incident = Incident.objects.create(
        team=team,
        monitor=make_monitor(team, name="Shop"),
        severity="down",
        started_at=now,
        confirmed_at=now,
    )
    client.post(reverse("incident-acknowledge", args=[incident.pk]))
    client.post(reverse("incident-comment", args=[incident.pk]), {"message": SECRET})
    client.post(reverse("incident-resolve", args=[incident.pk]))
    assert told() == [
        ("incident.acknowledged", "Shop", []),
        ("incident.commented", "Shop", []),
        ("incident.resolved", "Shop", []),
    ]


def test_maintenance_is_recorded(api: Api) -> None:
    now = database_now()
    begins, ends = now + timedelta(hours=1), now + timedelta(hours=2)
    values = {"name": "Upgrade", "starts_at": begins, "ends_at": ends, "all": True}
    address = f"maintenance/{api.post('maintenance/', values).json()['id']}/"
    api.patch(address, {"public": True})
    api.post(f"{address}start/")
    api.post(f"{address}extend/", {"minutes": 5})
    api.post(f"{address}end/")
    api.post(f"{address}end/")  # refused
    api.delete(address)
    assert told() == [
        ("maintenance.created", "Upgrade", []),
        ("maintenance.changed", "Upgrade", ["public"]),
        ("maintenance.started", "Upgrade", []),
        ("maintenance.extended", "Upgrade", []),
        ("maintenance.ended", "Upgrade", []),
        ("maintenance.deleted", "Upgrade", []),
    ]


def test_who_is_woken_is_recorded(api: Api, owner: Membership) -> None:
    email, now = owner.user.email, database_now()
    layers = [{"members": [email], "start": "2026-01-05T09:00"}]
    made = api.post("schedules/", {"name": "Primary", "layers": layers}).json()
    address = f"schedules/{made['id']}/overrides/"
    times = {"starts_at": now, "ends_at": now + timedelta(hours=1)}
    override = api.post(address, {"member": email, **times}).json()["id"]
    api.delete(f"{address}{override}/")
    api.patch(f"contacts/{owner.pk}/", {"channels": []})
    assert told()[1:] == [
        ("override.added", f"Primary: {email}", []),
        ("override.removed", f"Primary: {email}", []),
        ("contacts.changed", email, []),
    ]


def test_who_comes_and_goes_is_recorded(client: Client, team: Team) -> None:
    other = MembershipFactory(team=team, user__email="bob@example.org", role=Role.VIEWER)
    client.post(reverse("member-role", args=[other.pk]), {"role": "editor"})
    client.post(reverse("member-remove", args=[other.pk]))
    client.post(reverse("invitation-new"), {"email": "eve@example.org", "role": "viewer"})
    client.post(reverse("token-new"), {"name": "CI", "scope": "read"})
    client.post(reverse("team-name"), {"name": "Platform"})
    assert told() == [
        ("member.changed", "bob@example.org: editor", ["role"]),
        ("member.removed", "bob@example.org", []),
        ("member.invited", "eve@example.org: viewer", []),
        ("token.created", "CI", []),
        ("team.changed", "Platform", ["name"]),
    ]


def test_the_statements_for_many_do_not_grow_with_their_number(api: Api) -> None:
    def inserts(count: int) -> int:
        items = [
            {"key": f"{count}-{n}", "name": f"M{n}", "kind": "heartbeat"} for n in range(count)
        ]
        with CaptureQueriesContext(connection) as queries:
            assert api.post("monitors/bulk/", {"monitors": items}).status_code == 200
        return len([one for one in queries if 'INTO "accounts_auditentry"' in one["sql"]])

    assert inserts(2) == inserts(20) == 1
    assert AuditEntry.objects.filter(action="monitor.created").count() == 22


@pytest.mark.parametrize(
    ("action", "recorded"),
    [
        ("pause", ("monitor.paused", [])),
        ("tag", ("monitor.changed", ["tags"])),
        ("interval", ("monitor.changed", ["interval_s"])),
        ("delete", ("monitor.deleted", [])),
    ],
)
def test_each_of_many_monitors_is_recorded(
    client: Client, team: Team, action: str, recorded: tuple[str, list[str]]
) -> None:
    monitors = [make_monitor(team, name=name) for name in ("A", "B")]
    client.post(
        reverse("monitors-bulk"),
        {
            "action": action,
            "monitor": [one.pk for one in monitors],
            "tag": "web",
            "interval": "120",
        },
    )
    what, changed = recorded
    assert sorted(told()) == [(what, "A", changed), (what, "B", changed)]


# -- reading it ------------------------------------------------------------------------------------


def test_the_page_shows_owners_what_their_filters_let_through(client: Client, team: Team) -> None:
    for name in ("Shop", "Blog"):
        client.post(reverse("team-name"), {"name": name})
    stranger = signed_in(MembershipFactory())
    stranger.post(reverse("team-name"), {"name": "Foreign"})
    page = client.get(reverse("audit")).content.decode()
    assert "<b>Shop</b>" in page
    assert "Foreign" not in page
    page = client.get(reverse("audit"), {"name": "blog", "action": "team.changed"}).content.decode()
    assert "<b>Blog</b>" in page
    assert "<b>Shop</b>" not in page
    assert "Nothing here" in client.get(reverse("audit"), {"who": "x@y.org"}).content.decode()


def test_the_page_goes_back_in_time_through_all_of_it(client: Client, team: Team) -> None:
    now = timezone.now()
    rows = AuditEntry.objects.bulk_create(
        AuditEntry(team=team, who="a@example.org", action="team.changed", at=now)
        for _ in range(120)
    )
    seen: list[UUID] = []
    before: UUID | None = None
    while before or not seen:
        answer = client.get(reverse("audit"), {"before": before} if before else {})
        seen += [one.pk for one, _ in answer.context["entries"]]
        before = answer.context["before"]
    assert seen == sorted((one.pk for one in rows), reverse=True)


def test_the_api_gives_it_to_the_scope_admin_alone(api: Api, owner: Membership) -> None:
    api.post("monitors/", {"name": "Shop", "kind": "heartbeat"})
    api.post("monitors/", {"name": "Blog", "kind": "heartbeat"})
    page = api.get("audit/", limit=1).json()
    assert [one["object_name"] for one in page["results"]] == ["Blog"]
    assert [one["object_name"] for one in api.get(page["next"]).json()["results"]] == ["Shop"]
    assert api.get("audit/", action="monitor.deleted").json()["results"] == []
    writer = Api(issue_token(user=owner.user, team=owner.team, scope=Scope.WRITE))
    refused = writer.get("audit/")
    assert refused.status_code == 403
    assert "`admin`" in refused.json()["error"]["message"]
    assert writer.get("monitors/").status_code == 200


def test_it_outlives_who_did_it_and_what_it_was_done_to(api: Api, owner: Membership) -> None:
    api.post("monitors/", {"name": "Shop", "kind": "heartbeat"})
    MembershipFactory(team=owner.team)
    Monitor.objects.all().delete()
    email = owner.user.email
    owner.user.delete()
    assert AuditEntry.objects.get().who == email


def test_it_is_forgotten_after_its_time(team: Team) -> None:
    now = timezone.now()
    for age in (KEPT + timedelta(days=1), KEPT - timedelta(days=1)):
        AuditEntry.objects.create(team=team, who="a", action="team.changed", at=now - age)
    assert forget_audit(now) == 1
    assert AuditEntry.objects.get().at > now - KEPT


def test_what_is_done_on_a_status_page_is_recorded(api: Api, client: Client, team: Team) -> None:
    made = api.post("status-pages/", {"name": "Acme", "slug": "acme"}).json()
    path = f"status-pages/{made['id']}/"
    component = api.post(f"{path}components/", {"name": "Shop"}).json()
    post = api.post(f"{path}posts/", {"title": "Slow", "phase": "investigating"}).json()
    api.post(f"posts/{post['id']}/updates/", {"phase": "resolved"})
    api.patch(f"posts/{post['id']}/", {"title": "Was slow"})
    api.delete(f"components/{component['id']}/")
    client.post(reverse("status-page-link", args=[made["id"]]))
    client.post(reverse("monitor-badges-switch", args=[make_monitor(team).pk]), {"show": ""})
    assert [(action, changed) for action, _, changed in told()] == [
        ("status_page.created", []),
        ("status_page.changed", ["components"]),
        ("post.published", []),
        ("post.changed", ["updates"]),
        ("post.changed", ["title"]),
        ("status_page.changed", ["components"]),
        ("status_page.changed", ["link"]),
        ("monitor.changed", ["badges"]),
    ]
