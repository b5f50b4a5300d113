"""Who may ask: tokens, sessions, scopes, teams."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, Membership, Role, Scope, Team
from accounts.tokens import authenticate_token, issue_token
from tests.api.conftest import Api
from tests.factories import MembershipFactory, TeamFactory, make_monitor

pytestmark = pytest.mark.django_db

ADDRESSES = ["monitors/", "incidents/", "channels/", "policies/", "deliveries/", "locations/"]


@pytest.mark.parametrize("path", [*ADDRESSES, "nowhere/", ""])
def test_without_a_token_nothing_is_told(stranger: Api, path: str) -> None:
    answer = stranger.get(path)

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Token"
    assert answer.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize(
    "header",
    ["Token", "Token ", "Token nonsense", "Token upt_x", "Bearer x", "Token \xff", "x y z"],
)
def test_a_wrong_token_is_refused(db: None, header: str) -> None:
    answer = Client().get("/api/v1/monitors/", headers={"Authorization": header})

    assert answer.status_code == 401


@pytest.mark.parametrize("path", ADDRESSES)
def test_a_token_opens_its_teams_lists(api: Api, path: str) -> None:
    assert api.get(path).status_code == 200


def test_an_expired_token_is_refused(membership: Membership) -> None:
    token = issue_token(
        user=membership.user,
        team=membership.team,
        scope=Scope.READ,
        expires_at=timezone.now() - timedelta(seconds=1),
    )

    assert Api(token).get("monitors/").status_code == 401


def test_only_the_hash_of_a_token_is_stored(membership: Membership) -> None:
    token = issue_token(user=membership.user, team=membership.team, scope=Scope.READ)

    stored = ApiToken.objects.values().get()
    assert token not in str(stored)
    assert token.startswith(stored["hint"])


def test_a_token_dies_with_its_users_account_and_membership(membership: Membership) -> None:
    token = issue_token(user=membership.user, team=membership.team, scope=Scope.READ)
    assert authenticate_token(token) is not None

    membership.user.is_active = False
    membership.user.save()
    assert authenticate_token(token) is None

    membership.user.is_active = True
    membership.user.save()
    membership.delete()
    assert authenticate_token(token) is None


def test_a_token_is_no_wider_than_its_users_role(viewer: Membership) -> None:
    MembershipFactory(user=viewer.user, role=Role.OWNER)  # elsewhere: must not matter
    token = issue_token(user=viewer.user, team=viewer.team, scope=Scope.ADMIN)

    found = authenticate_token(token)

    assert found is not None
    assert found.scope == Scope.READ


def test_last_use_is_noted_once_a_minute(membership: Membership) -> None:
    token = issue_token(user=membership.user, team=membership.team, scope=Scope.READ)

    authenticate_token(token)
    first = ApiToken.objects.get().last_used_at
    authenticate_token(token)
    assert ApiToken.objects.get().last_used_at == first

    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    authenticate_token(token)
    noted = ApiToken.objects.get().last_used_at
    assert noted is not None
    assert timezone.now() - noted < timedelta(minutes=1)


def test_a_read_token_reads_and_does_not_write(
    membership: Membership, api_of: Callable[..., Api]
) -> None:
    reader = api_of(membership, Scope.READ)

    assert reader.get("monitors/").status_code == 200
    refused = reader.post("monitors/", {"name": "x", "kind": "heartbeat"})
    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == "This needs the scope `write`."


def test_another_teams_monitor_is_not_found(api: Api) -> None:
    theirs = make_monitor(TeamFactory())

    for path in ("", "results/", "stats/", "history/"):
        assert api.get(f"monitors/{theirs.pk}/{path}").status_code == 404
    for path in ("pause/", "resume/", "check/"):
        assert api.post(f"monitors/{theirs.pk}/{path}").status_code == 404
    assert api.patch(f"monitors/{theirs.pk}/", {"name": "mine"}).status_code == 404
    assert api.delete(f"monitors/{theirs.pk}/").status_code == 404
    assert api.get("monitors/").json()["count"] == 0


class TestSession:
    @pytest.fixture
    def browser(self, membership: Membership) -> Client:
        client = Client(enforce_csrf_checks=True)
        client.force_login(membership.user)
        return client

    def test_reads(self, browser: Client) -> None:
        assert browser.get("/api/v1/monitors/").status_code == 200

    def test_writes_only_with_the_csrf_token(self, browser: Client, team: Team) -> None:
        monitor = make_monitor(team)
        url = f"/api/v1/monitors/{monitor.pk}/pause/"

        refused = browser.post(url, {}, content_type="application/json")
        assert refused.status_code == 403
        assert "CSRF" in refused.json()["error"]["message"]

        browser.cookies["csrftoken"] = secret = "x" * 32
        done = browser.post(
            url, {}, content_type="application/json", headers={"X-CSRFToken": secret}
        )
        assert done.status_code == 200

    def test_of_a_viewer_reads_and_does_not_write(self, viewer: Membership) -> None:
        client = Client()
        client.force_login(viewer.user)

        assert client.get("/api/v1/monitors/").status_code == 200
        refused = client.post("/api/v1/monitors/", {}, content_type="application/json")
        assert refused.status_code == 403

    def test_of_somebody_without_a_team_is_refused(self, membership: Membership) -> None:
        client = Client()
        client.force_login(membership.user)
        membership.delete()

        assert client.get("/api/v1/monitors/").status_code == 403
