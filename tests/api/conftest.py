"""A caller with a token, and one without."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from accounts.models import Membership, Role, Scope, Team
from accounts.tokens import issue_token
from tests.factories import MembershipFactory
from uptime.api.throttling import Budget

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer


class Api:
    """A program that speaks JSON to the API with one token."""

    def __init__(self, token: str | None, client: Client | None = None) -> None:
        self.client = client or Client()
        self.headers = {"Authorization": f"Token {token}"} if token else {}

    def get(self, path: str, **query: Any) -> "Answer":
        return self.client.get(self._url(path), query, headers=self.headers)

    def post(self, path: str, body: Any = None, **headers: str) -> "Answer":
        return self.send("post", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> "Answer":
        return self.send("patch", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> "Answer":
        return self.send("put", path, body, **headers)

    def delete(self, path: str, **headers: str) -> "Answer":
        return self.send("delete", path, None, **headers)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> "Answer":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content_type = named.pop("Content-Type", "application/json")
        return getattr(self.client, method)(
            self._url(path),
            {} if body is None else body,
            content_type=content_type,
            headers={**self.headers, **named},
        )

    @staticmethod
    def _url(path: str) -> str:
        return path if path.startswith(("/", "http")) else f"/api/v1/{path}"


@pytest.fixture(autouse=True)
def _fresh_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests don't spend each other's requests."""
    monkeypatch.setattr("uptime.api.views.CALLERS", Budget(100_000))
    monkeypatch.setattr("uptime.api.views.STRANGERS", Budget(100_000))


@pytest.fixture
def membership(db: None) -> Membership:
    return MembershipFactory()


@pytest.fixture
def team(membership: Membership) -> Team:
    return membership.team


@pytest.fixture
def api_of() -> Callable[..., Api]:
    """Make a caller for a membership: `api_of(membership, Scope.READ)`."""

    def make(membership: Membership, scope: Scope = Scope.WRITE) -> Api:
        return Api(issue_token(user=membership.user, team=membership.team, scope=scope))

    return make


@pytest.fixture
def api(membership: Membership, api_of: Callable[..., Api]) -> Api:
    return api_of(membership)


@pytest.fixture
def stranger(db: None) -> Api:
    return Api(None)


@pytest.fixture
def viewer(team: Team) -> Membership:
    return MembershipFactory(team=team, role=Role.VIEWER)
