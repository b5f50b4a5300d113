"""How many statements each page takes is written down in `queries.json`, and reviewed there."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, reverse

from accounts.models import Team
from tests.pages.test_access import PAGES, things_of
from uptime.bench.statements import watch_statements

PINNED = Path(__file__).with_name("queries.json")
SHOWN = [n for _, n in PAGES if n.callback.access != "public"]
MADE_UP = {"kind": "incident", "kind_name": "http", "type_name": "email", "form": "csv"}


@pytest.mark.django_db
def test_each_page_takes_as_many_statements_as_is_written_down(client: Client, team: Team) -> None:
    """Whoever changes a number writes it down: the message has the file's new text."""
    things = things_of(team)
    found = {
        pattern.name: count
        for pattern in SHOWN
        if (count := _statements(client, pattern, things)) is not None
    }
    now = json.dumps(found, indent=2) + "\n"
    assert json.loads(PINNED.read_text()) == found, f"{PINNED.name} would be:\n{now}"


def _statements(client: Client, pattern: URLPattern, things: dict[str, object]) -> int | None:
    """None where there is nothing to be shown."""
    assert pattern.name
    names = pattern.pattern.converters or {}
    address = reverse(
        pattern.name, kwargs={n: {**things, **MADE_UP}.get(n, uuid4()) for n in names}
    )
    client.get(address)  # the first one loads things
    with watch_statements() as statements:
        answer = client.get(address)
    return len(statements) if answer.status_code == 200 else None
