"""A group is made, shown and changed like every other monitor."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Team
from monitors.models import Monitor
from tests.factories import make_monitor
from tests.incidents.scenes import REFUSED, UP, observe
from uptime.operations import review_incidents

pytestmark = pytest.mark.django_db


def test_it_is_made_and_changed_without_json(client: Client, team: Team) -> None:
    make_monitor(team, name="First")
    entered = {
        "name": "Cluster",
        "members": "First",
        "settings.rule": "percent",
        "settings.percent": "60",
        "settings.tags": "db, cache",
    }
    client.post(reverse("monitor-new-kind", args=["group"]), entered)
    group = Monitor.objects.get(name="Cluster")
    assert [one.name for one in group.members.all()] == ["First"]
    assert group.settings == {"rule": "percent", "percent": 60, "tags": ["db", "cache"]}
    shown = client.get(reverse("monitor-edit", args=[group.pk])).content.decode()
    assert "First</textarea>" in shown
    assert "Check every" not in shown
    client.post(reverse("monitor-edit", args=[group.pk]), {**entered, "members": ""})
    assert not group.members.exists()


def test_its_page_shows_its_members_and_theirs_leads_to_it(client: Client, team: Team) -> None:
    first, second = (make_monitor(team, name=name) for name in ("First", "Second"))
    for one in (first, second):
        observe(one, UP)
    group = make_monitor(team, kind="group", target="", name="Cluster", members=["First", "Second"])
    observe(second, REFUSED, REFUSED)
    review_incidents()
    shown = client.get(group.get_absolute_url()).content.decode()
    assert "1 of 2 members is down: Second." in shown
    assert shown.index("Second</a>") < shown.index("First</a>")
    assert "Check now" not in shown
    assert (
        f'<a href="{group.get_absolute_url()}">Cluster</a>'
        in client.get(first.get_absolute_url()).content.decode()
    )
