"""Somebody who is signed in, and what they own."""

from collections.abc import Iterable

import pytest
from django.test import Client

from accounts.models import Membership, Role, Team
from tests.factories import MembershipFactory


@pytest.fixture
def owner(db: None) -> Membership:
    return MembershipFactory()


@pytest.fixture
def team(owner: Membership) -> Team:
    return owner.team


@pytest.fixture
def client(owner: Membership) -> Client:
    """The owner's browser."""
    return signed_in(owner)


@pytest.fixture
def viewer_client(team: Team) -> Client:
    """The browser of a member who may look only."""
    return signed_in(MembershipFactory(team=team, role=Role.VIEWER))


def signed_in(membership: Membership) -> Client:
    client = Client()
    client.force_login(membership.user)
    return client


def text_of(chunks: Iterable[bytes]) -> str:
    return b"".join(chunks).decode()
