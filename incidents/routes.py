"""The way to a host that was not reached, beside what the check saw.

Traced once for each piece of evidence, soon after it and only then: what has waited too long, as in
a storm, is not traced. A trace that dies with its process is lost, and nothing else with it.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models.functions import Now

from incidents.models import Evidence
from monitors.models import Assignment
from monitors.specs import spec_of
from probe.values import Observation, Spec
from uptime.changes import Topic, tell_changed

SOON = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Untraced:
    evidence_id: int
    spec: Spec


def claim_untraced(*, location_id: int, limit: int) -> list[Untraced]:
    """Up to `limit` pieces of a location's evidence that want a trace; nobody else gets them."""
    if not Evidence.objects.filter(wants_trace=True).exists():
        return []
    with transaction.atomic():
        wanting = Evidence.objects.filter(wants_trace=True).select_for_update(skip_locked=True)
        wanting.filter(checked_at__lt=Now() - SOON).update(wants_trace=False)
        ours = Assignment.objects.filter(location=location_id)
        claimed = list(wanting.filter(assignment__in=ours).order_by("-checked_at")[:limit])
        Evidence.objects.filter(pk__in=[one.pk for one in claimed]).update(wants_trace=False)
        monitors = {
            one.pk: one.monitor
            for one in ours.filter(pk__in=[one.assignment_id for one in claimed]).select_related(
                "monitor"
            )
        }
    return [
        Untraced(one.pk, spec_of(monitors[one.assignment_id]))
        for one in claimed
        if one.assignment_id in monitors
    ]


def keep_route(evidence_id: int, seen: Observation, at: datetime) -> None:
    """Keep where a trace that began `at` led to; one that could not be made leaves nothing."""
    if not (seen.details or {}).get("hops"):
        return
    route = {"traced_at": at.isoformat(), "message": seen.message, **(seen.details or {})}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE incidents_evidence SET details = details || %s::jsonb WHERE id = %s"
            " RETURNING assignment_id",
            [json.dumps({"route": route}), evidence_id],
        )
        tell_changed(Topic.CHECKS, [row[0] for row in cursor.fetchall()])
