"""Many monitors from a pasted text: all of it or nothing, what is wrong beside its line."""

from itertools import chain
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, Team
from monitors.models import Assignment, Monitor
from tests.factories import TeamFactory, make_monitor

pytestmark = pytest.mark.django_db


def paste(client: Client, *lines: str, **fields: Any) -> Any:
    data = {"kind": "http", "lines": "\n".join(lines), **fields}
    return client.post(reverse("monitors-paste"), data)


def names() -> dict[str, str]:
    return dict(Monitor.objects.values_list("target", "name"))


def marked(answer: Any) -> dict[int, str]:
    """What the page says beside each line that can't be taken."""
    return {
        line.number: " ".join(chain(*line.errors.values())) or str(line.twin)
        for line in answer.context["lines"]
        if line.errors or line.twin
    }


def test_each_line_becomes_a_monitor(client: Client, team: Team) -> None:
    answer = paste(
        client,
        "https://example.org/",
        "",
        "# the shops",
        "https://shop.example.org/health Shop front",
        "Shop | https://shop.example.org/",
        "Till\thttps://till.example.org/",
        "blog.example.org",
        interval="5 min",
        tags="web, prod",
    )
    assert answer["Location"] == reverse("home")
    assert names() == {
        "https://example.org/": "example.org",
        "https://shop.example.org/health": "Shop front",
        "https://shop.example.org/": "Shop",
        "https://till.example.org/": "Till",
        "https://blog.example.org/": "blog.example.org",
    }
    for monitor in Monitor.objects.all():
        assert (monitor.team, monitor.interval_s, monitor.tags) == (team, 300, ["web", "prod"])
    assert Assignment.objects.exclude(next_due_at=None).count() == 5
    assert AuditEntry.objects.filter(action="monitor.created").count() == 5


def test_a_preview_saves_nothing(client: Client) -> None:
    answer = paste(client, "https://example.org/ Shop", preview="1")
    assert answer.status_code == 200
    assert "1 monitor would be made" in answer.content.decode()
    assert not Monitor.objects.exists()


def test_one_bad_line_keeps_all_from_being_saved(client: Client) -> None:
    answer = paste(client, "https://example.org/", "", "ftp://example.org/", "https://" + "x" * 300)
    assert answer.status_code == 422
    assert set(marked(answer)) == {3, 4}
    assert "ftp://example.org/" in answer.content.decode()
    assert not Monitor.objects.exists()


def test_what_is_watched_already_is_named(client: Client, team: Team) -> None:
    make_monitor(team, name="Front", target="https://example.org/")
    make_monitor(TeamFactory(), name="Theirs", target="https://other.example.org/")
    lines = ["https://EXAMPLE.org Shop", "https://other.example.org", "https://other.example.org/"]
    refused = paste(client, *lines)
    assert refused.status_code == 422
    assert marked(refused) == {1: "Front", 3: "2"}
    assert "The same as line 2" in refused.content.decode()
    assert Monitor.objects.count() == 2

    assert paste(client, *lines, skips_twins="on").status_code == 302
    assert sorted(Monitor.objects.visible_to(team).values_list("target", flat=True)) == [
        "https://example.org/",
        "https://other.example.org/",
    ]


def test_nothing_is_made_where_all_is_watched_already(client: Client, team: Team) -> None:
    make_monitor(team, target="https://example.org/")
    answer = paste(client, "https://example.org/", skips_twins="on")
    assert "there is nothing to be made" in answer.content.decode()
    assert Monitor.objects.count() == 1


def test_the_same_target_of_another_kind_is_another_matter(client: Client, team: Team) -> None:
    make_monitor(team, kind="icmp", target="example.org")
    assert paste(client, "example.org Name", kind="dns").status_code == 302


def test_what_is_wrong_with_all_is_said_once(client: Client) -> None:
    answer = paste(client, "https://a.example.org/", "https://b.example.org/", interval="2 d")
    assert answer.status_code == 422
    assert not marked(answer)
    assert answer.content.decode().count("86400") == 1


@pytest.mark.parametrize("count", [0, 1001])
def test_there_is_a_most_and_a_least(client: Client, count: int) -> None:
    answer = paste(client, "#", *(f"https://{n}.example.org/" for n in range(count)))
    assert answer.status_code == 422
    assert "lines" in answer.context["form"].errors
    assert not Monitor.objects.exists()
