"""A team with a page, and a directory of its own for what is published."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from accounts.models import Membership, Team
from monitors.models import Monitor, Status, StatusSpan
from statuspages.actions import add_component, create_page
from statuspages.models import Component, StatusPage
from statuspages.places import PublicFiles
from statuspages.publishing import public_files
from tests.factories import MembershipFactory, make_monitor
from uptime.clock import database_now


@pytest.fixture(autouse=True)
def files(settings: Settings, tmp_path: Path) -> Iterator[PublicFiles]:
    settings.DATA_DIR = tmp_path
    public_files.cache_clear()
    yield public_files()
    public_files.cache_clear()


@pytest.fixture
def owner(db: None) -> Membership:
    return MembershipFactory()


@pytest.fixture
def team(owner: Membership) -> Team:
    return owner.team


@pytest.fixture
def page(team: Team) -> StatusPage:
    return create_page(team=team, values={"name": "Acme", "slug": "acme"})


@pytest.fixture
def monitor(team: Team) -> Monitor:
    return make_monitor(team, name="internal-db-7", target="http://secret.internal:8080/")


@pytest.fixture
def component(page: StatusPage, monitor: Monitor) -> Component:
    return add_component(page=page, values={"name": "Shop", "monitor": monitor.pk})


@pytest.fixture
def now(db: None) -> datetime:
    return database_now()


def lived(monitor: Monitor, *stretches: tuple[Status, datetime]) -> None:
    """Give the monitor this history: each status from its instant to the next one's."""
    StatusSpan.objects.filter(monitor=monitor).delete()
    ends = [start for _, start in stretches[1:]] + [None]
    StatusSpan.objects.bulk_create(
        StatusSpan(monitor=monitor, status=status, started_at=start, ended_at=end)
        for (status, start), end in zip(stretches, ends, strict=True)
    )
    status, since = stretches[-1]
    Monitor.objects.filter(pk=monitor.pk).update(status=status, last_change_at=since)


def ago(now: datetime, **parts: float) -> datetime:
    return now - timedelta(**parts)
