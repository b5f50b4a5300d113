"""Groups over REST."""

import pytest

from accounts.models import Team
from tests.api.conftest import Api
from tests.factories import make_monitor

pytestmark = pytest.mark.django_db


def test_the_api_takes_names_and_gives_ids(api: Api, team: Team) -> None:
    first = make_monitor(team, name="First")
    body = {"name": "Cluster", "kind": "group", "members": ["First"], "settings": {"rule": "all"}}
    group = api.post("monitors/", body).json()
    assert group["members"] == [str(first.pk)]
    assert group["locations"] == []
    assert group["settings"] == {
        "rule": "all",
        "percent": 50,
        "degraded_by_any": False,
        "tags": [],
    }
    changed = api.patch(f"monitors/{group['id']}/", {"name": "Pair"}).json()
    assert (changed["name"], changed["members"]) == ("Pair", [str(first.pk)])
    ring = api.patch(f"monitors/{group['id']}/", {"members": ["Pair"]})
    assert ring.json()["error"]["fields"] == {"members": ["A group can't be in itself."]}
    assert api.post(f"monitors/{group['id']}/check/").status_code == 409
    assert api.get(f"monitors/{group['id']}/stats/").status_code == 200
    assert api.get(f"monitors/{group['id']}/results/").json()["results"] == []
