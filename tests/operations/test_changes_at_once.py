"""Two who change different fields of one thing at the same time keep both changes."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.db.models import Model

from accounts.models import Team
from alerts.actions import update_channel, update_policy
from alerts.on_call.actions import create_schedule, update_schedule
from statuspages.actions import (
    add_component,
    create_page,
    publish_post,
    update_component,
    update_page,
    update_post,
)
from tests.factories import MembershipFactory, WebhookFactory, make_policy

Change = tuple[Callable[..., object], str, Model]

pytestmark = pytest.mark.django_db


def a_page(team: Team) -> Change:
    made = create_page(team=team, values={"name": "Acme", "slug": "acme"})
    return update_page, "page", made


def a_component(team: Team) -> Change:
    _, _, page = a_page(team)
    made = add_component(page=page, values={"name": "Shop"})  # type: ignore[arg-type]
    return update_component, "component", made


def a_post(team: Team) -> Change:
    _, _, page = a_page(team)
    made = publish_post(page=page, values={"title": "Slow", "phase": "investigating"})  # type: ignore[arg-type]
    return update_post, "post", made


def a_channel(team: Team) -> Change:
    return update_channel, "channel", WebhookFactory(team=team)


def a_policy(team: Team) -> Change:
    return update_policy, "policy", make_policy(team, WebhookFactory(team=team))


def a_schedule(team: Team) -> Change:
    email = team.memberships.get().user.email
    layer = {"members": [email], "start": "2026-01-05T09:00", "rotation": "daily"}
    made = create_schedule(team=team, values={"name": "Nights", "layers": [layer]})
    return update_schedule, "schedule", made


@pytest.mark.parametrize(
    ("make", "first", "second"),
    [
        (a_page, {"name": "Acme Cloud"}, {"accent": "#aa00ff"}),
        (a_component, {"name": "Store"}, {"section": "Web"}),
        (a_post, {"title": "Was slow"}, {"starts_at": "2026-01-05T09:00:00Z"}),
        (a_channel, {"name": "Hook"}, {"enabled": False}),
        (a_policy, {"name": "Nights"}, {"enabled": False}),
        (a_schedule, {"name": "Days"}, {"timezone": "Europe/Berlin"}),
    ],
)
def test_both_are_kept(
    make: Callable[[Team], Change], first: Mapping[str, Any], second: Mapping[str, Any]
) -> None:
    update, name, made = make(MembershipFactory().team)
    mine, theirs = (type(made)._default_manager.get(pk=made.pk) for _ in range(2))
    update(**{name: mine, "values": first})
    update(**{name: theirs, "values": second})
    made.refresh_from_db()
    (field, value), *_ = first.items()
    assert getattr(made, field) == value
