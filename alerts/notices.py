"""Notices of a location's sight, to the owners of every team that has it check something.

A location that has lost its network can hardly say so while that lasts, and one that lost it for a
moment need not. So a notice waits for `GRACE`; whatever has not left by the time the location sees
again is taken back, and one message then tells of both ends.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from alerts.messages import LOCATION_BLIND, LOCATION_SIGHTED, facts_of_location
from alerts.models import Delivery, DeliveryStatus
from alerts.outbox import NOTICE_STEP, announce
from monitors.models import Assignment, Location

GRACE = timedelta(seconds=30)


def tell_blind(location: Location, *, since: datetime) -> None:
    """Queue a notice for each team with active monitors there, in the caller's transaction."""
    checked = Assignment.objects.filter(
        location=location, is_active=True, next_due_at__isnull=False
    )
    teams = set(checked.values_list("monitor__team", flat=True).distinct())
    _queue(location, teams, blind_since=since, at=since)


def tell_sighted(location: Location, *, since: datetime, until: datetime) -> None:
    """Queue a notice for each team that would have heard of the beginning by now."""
    told = Delivery.objects.filter(
        event=LOCATION_BLIND, facts__locations=[location.slug], created_at=since
    )
    teams = set(told.values_list("team", flat=True)) if until - since >= GRACE else set()
    told.filter(status__in=[DeliveryStatus.QUEUED, DeliveryStatus.FAILED]).delete()
    _queue(location, teams, blind_since=since, at=until)


def _queue(
    location: Location, teams: Collection[UUID], *, blind_since: datetime, at: datetime
) -> None:
    is_over = at > blind_since
    facts = facts_of_location(
        location, blind_since=blind_since, sighted_at=at if is_over else None
    ).as_json()
    Delivery.objects.bulk_create(
        Delivery(
            team_id=team,
            event=LOCATION_SIGHTED if is_over else LOCATION_BLIND,
            step=NOTICE_STEP,
            facts=facts,
            next_attempt_at=at if is_over else at + GRACE,
            created_at=at,
        )
        for team in teams
    )
    announce()
