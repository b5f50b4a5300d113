"""Typed factories of what tests need; monitors go through the real action."""

from typing import Any
from uuid import UUID, uuid4

import factory
from factory.django import DjangoModelFactory

from accounts.models import Membership, Role, Team, User
from alerts.models import Channel, Event, Policy, PolicyStep
from monitors.actions import create_monitor
from monitors.models import Assignment, Monitor
from uptime.clock import database_now
from uptime.secrets import unseal


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"user{n}@example.org")
    name = factory.Sequence(lambda n: f"User {n}")
    password = factory.django.Password("correct horse battery")


class TeamFactory(DjangoModelFactory[Team]):
    class Meta:
        model = Team

    name = factory.Sequence(lambda n: f"Team {n}")


class MembershipFactory(DjangoModelFactory[Membership]):
    class Meta:
        model = Membership

    team = factory.SubFactory(TeamFactory)
    user = factory.SubFactory(UserFactory)
    role = Role.OWNER


class WebhookFactory(DjangoModelFactory[Channel]):
    """A webhook channel; pass `config` with the address of a loopback receiver."""

    class Meta:
        model = Channel

    team = factory.SubFactory(TeamFactory)
    name = factory.Sequence(lambda n: f"Webhook {n}")
    type = "webhook"
    config = {"url": "http://127.0.0.1:9/"}


def make_monitor(team: Team | None = None, **values: Any) -> Monitor:
    """A monitor through the real action; an http one of a dead loopback port unless told else."""
    defaults = {
        "name": f"Monitor {uuid4().hex[:6]}",
        "kind": "http",
        "target": "http://127.0.0.1:9/",
    }
    if values.get("kind") == "heartbeat":
        del defaults["target"]
    return create_monitor(team=team or TeamFactory(), values={**defaults, **values})


def full_settings(monitor: Monitor) -> dict[str, Any]:
    """The settings with their secrets, as the prober has them."""
    return unseal(monitor.settings, monitor.secrets)


def make_policy(team: Team, *channels: Channel, on: list[str] | None = None) -> Policy:
    """A policy with one immediate step, for all monitors and events unless told else."""
    policy = Policy.objects.create(
        team=team, name="Everything", on=on or [event.value for event in Event]
    )
    step = PolicyStep.objects.create(policy=policy)
    step.channels.set(channels)
    return policy


def lease_of(monitor: Monitor, owner: UUID) -> Assignment:
    """Lease the monitor's only assignment for `owner`, as an engine would."""
    assignment = Assignment.objects.get(monitor=monitor)
    assignment.lease_owner, assignment.lease_expires_at = owner, database_now()
    assignment.save()
    return assignment
