"""Whatever is sent, the answer is never a fault of ours."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Team
from alerts.channels import CHANNELS
from monitors.drafts import MonitorDraft
from probe.kinds import KINDS
from tests.api.conftest import Api
from tests.factories import WebhookFactory, make_monitor, make_policy

pytestmark = pytest.mark.django_db

many = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 2**31, 2**63, 10**400, 1e308, -0.0, 1e-300])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["", " ", "********", "http://", "http://[", "x:99999", "local", "1" * 300])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def objects(sound: dict[str, Any], **nested: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that are `sound` but for a field or two; `nested` names fields of inner objects."""
    fields = dict.fromkeys(sound, anything)
    for name, names in nested.items():
        inner = st.dictionaries(st.sampled_from(names), anything, max_size=2)
        fields[name] = anything | inner
    wrong = st.fixed_dictionaries({}, optional=fields)
    return wrong.map(lambda found: {**sound, **found})


SOUND_MONITOR = {
    **{name: field.default for name, field in MonitorDraft.model_fields.items()},
    "name": "Shop",
    "target": "http://127.0.0.1:9/",
}


def send(api: Api, method: str, path: str, body: Any) -> None:
    answer = api.send(method, path, json.dumps(body).encode())

    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) == {"code", "message", "fields"}


@pytest.mark.parametrize("kind", sorted(KINDS))
@many
@given(data=st.data())
def test_as_a_monitor(api: Api, team: Team, kind: str, data: st.DataObject) -> None:
    sound = {**SOUND_MONITOR, "kind": kind}
    if not KINDS[kind].has_target:
        del sound["target"]
    else:
        sound["target"] = KINDS[kind].target_example
    assert api.post("monitors/", sound).status_code == 201
    body = data.draw(objects(sound, settings=list(KINDS[kind].settings.model_fields)))

    send(api, "post", "monitors/", body)
    send(api, "patch", f"monitors/{make_monitor(team).pk}/", body)


@pytest.mark.parametrize("name", sorted(CHANNELS))
@many
@given(data=st.data())
def test_as_a_channel(api: Api, team: Team, name: str, data: st.DataObject) -> None:
    sound = {"name": "Hook", "type": name, "config": {}, "enabled": True}
    body = data.draw(objects(sound, config=list(CHANNELS[name].config.model_fields)))

    send(api, "post", "channels/", body)
    send(api, "patch", f"channels/{WebhookFactory(team=team).pk}/", body)


@many
@given(data=st.data())
def test_as_a_policy(api: Api, team: Team, data: st.DataObject) -> None:
    channel = WebhookFactory(team=team)
    steps = [{"delay_seconds": 0, "channels": [str(channel.pk)]}]
    sound = {"name": "All", "all": True, "tags": [], "monitors": [], "on": ["down"]}
    body = data.draw(objects({**sound, "steps": steps}))

    send(api, "post", "policies/", body)
    send(api, "patch", f"policies/{make_policy(team, channel).pk}/", body)


@many
@given(body=anything)
def test_as_anything(api: Api, body: Any) -> None:
    for path in ("monitors/", "monitors/bulk/", "channels/", "policies/"):
        send(api, "post", path, body)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("monitors/", ["status", "kind", "tag", "q", "enabled", "ordering", "limit", "offset"]),
        ("incidents/", ["status", "monitor", "since", "until", "limit", "offset"]),
        ("deliveries/", ["status", "channel", "limit", "cursor"]),
        ("monitors/{id}/results/", ["since", "until", "location", "status", "limit", "cursor"]),
        ("monitors/{id}/history/", ["since", "until", "limit", "offset"]),
        ("monitors/{id}/stats/", ["window", "since", "until"]),
    ],
)
@many
@given(data=st.data())
def test_as_parameters(
    api: Api, team: Team, path: str, names: list[str], data: st.DataObject
) -> None:
    moments = st.datetimes().map(lambda moment: moment.isoformat() + "Z")
    values = st.text(max_size=20) | moments | st.integers().map(str)
    query = data.draw(st.dictionaries(st.sampled_from(names), values, max_size=3))

    answer = api.get(path.format(id=make_monitor(team).pk), **query)

    assert answer.status_code in (200, 400)
