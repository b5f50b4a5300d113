"""The team's monitors as a file, which the API takes back."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any, cast

import pytest
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import reverse

from accounts.models import Team
from monitors.models import Monitor
from probe.kinds import KINDS
from tests.factories import TeamFactory, make_monitor
from tests.pages.conftest import text_of
from uptime.bulk import save_monitors
from uptime.errors import Invalid

pytestmark = pytest.mark.django_db

SECRET = {"auth": {"type": "basic", "username": "probe", "password": "wrung from nobody"}}


def taken(client: Client, form: str, **query: str) -> str:
    answer = client.get(reverse("monitors-export", args=[form]), query)
    assert answer.status_code == 200
    return text_of(cast(Iterable[bytes], cast(StreamingHttpResponse, answer).streaming_content))


def taken_values(client: Client, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(taken(client, "json", **query))["monitors"]
    return found


def test_what_is_taken_away_makes_the_same_monitors_elsewhere(client: Client, team: Team) -> None:
    for kind in KINDS.values():
        make_monitor(
            team, kind=kind.name, target=kind.target_example, name=kind.label, key=kind.name
        )
    first = taken_values(client)
    assert len(first) == len(KINDS)
    other = TeamFactory()
    save_monitors(team=other, items=first)
    Monitor.objects.filter(team=team).delete()
    Monitor.objects.filter(team=other).update(team=team)
    assert taken_values(client) == first


def test_no_secret_is_in_it_and_stored_ones_are_kept(client: Client, team: Team) -> None:
    monitor = make_monitor(team, key="shop", settings=SECRET)
    for form in ("json", "csv"):
        assert "wrung" not in taken(client, form)
    values = taken_values(client)
    save_monitors(team=team, items=values)
    monitor.refresh_from_db()
    assert monitor.revision == 1
    with pytest.raises(Invalid) as refused:
        save_monitors(team=TeamFactory(), items=values)
    assert set(refused.value.fields) == {"monitors.0.settings.auth.password"}


def test_filters_choose_and_batches_go_on(
    client: Client, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitors.export_views.AT_ONCE", 2)
    for number in range(5):
        make_monitor(team, name=f"Shop {number}", tags=["web", "prod"])
    make_monitor(team, name="=Backup", kind="heartbeat", target="")
    make_monitor(TeamFactory(), name="Shop of others")
    assert [one["name"] for one in taken_values(client, q="shop")] == [
        f"Shop {number}" for number in range(5)
    ]
    rows = list(csv.DictReader(io.StringIO(taken(client, "csv"))))
    assert [row["name"] for row in rows][-1] == "'=Backup"
    assert rows[0]["tags"] == "web, prod"
    assert client.get(reverse("monitors-export", args=["xls"])).status_code == 404
