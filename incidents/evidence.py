"""What the first failing check saw is kept, for the engineer who looks into the incident.

Only the check that begins a location's trouble leaves evidence, so passing checks cost nothing.
It is kept before anybody knows whether an incident follows; what came to nothing goes after a day.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

from incidents.models import Evidence, Incident
from monitors.masking import harmless, secrets_in
from monitors.models import Status
from monitors.storing import Stored, storable
from probe.route import is_worth_a_trace
from probe.values import Observation
from probe.values import Status as Seen

LARGEST = 32_000  # characters of JSON; an http answer's share is a quarter of that
KEPT_WITHOUT_INCIDENT = timedelta(days=1)


def keep_evidence(stored: Iterable[Stored]) -> None:
    """Keep what those of these checks saw that began trouble; in the caller's transaction."""
    rows = [_evidence(one) for one in stored if begins_trouble(one)]
    if rows:
        Evidence.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)


def begins_trouble(one: Stored) -> bool:
    """Whether it is the first of a run of checks that were not up, or the first that was down."""
    if one.finished.observation.status in (Seen.UP, Seen.UNKNOWN):
        return False
    before, after = one.before, one.after
    if before.state == Status.DOWN:
        return False
    return after.failures == 1 or (after.troubles == 1 and before.state != Status.DEGRADED)


def evidence_of(incident: Incident) -> QuerySet[Evidence]:
    """What began it at each location, and what began it anew while it lasted; oldest first."""
    found = Evidence.objects.filter(
        assignment__monitor=incident.monitor_id, checked_at__gte=incident.started_at
    )
    if incident.resolved_at is not None:
        found = found.filter(checked_at__lte=incident.resolved_at)
    return found.select_related("assignment__location").order_by("checked_at", "id")


def forget_evidence(now: datetime) -> int:
    """Delete what came to nothing, and what is older than results are kept; returns how much."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM incidents_evidence AS e USING monitors_assignment AS a
            WHERE a.id = e.assignment_id AND (
                e.checked_at < %(oldest)s
                OR e.checked_at < %(since)s AND NOT EXISTS (
                    SELECT FROM incidents_incident AS i
                    WHERE i.monitor_id = a.monitor_id AND i.started_at <= e.checked_at
                      AND coalesce(i.resolved_at, 'infinity') >= e.checked_at
                )
            )
            """,
            {
                "oldest": now - timedelta(days=settings.RETENTION_DAYS),
                "since": now - KEPT_WITHOUT_INCIDENT,
            },
        )
        return int(cursor.rowcount)


def _evidence(one: Stored) -> Evidence:
    job, seen = one.finished.job, one.finished.observation
    hidden = secrets_in(job.spec.settings)
    return Evidence(
        assignment_id=job.assignment_id,
        checked_at=one.finished.started_at,
        status=seen.status.value,
        reason=seen.reason.value if seen.reason else "",
        message=storable(seen.message),
        http_status=seen.http_status,
        latency_ms=seen.latency_ms,
        phases={name: ms for name, ms in asdict(seen.phases).items() if ms is not None},
        cert_expires_at=seen.cert_expires_at,
        details=_details(seen, hidden),
        wants_trace=is_worth_a_trace(job.spec, seen),
    )


def _details(seen: Observation, hidden: Sequence[str]) -> dict[str, Any]:
    details: dict[str, Any] = harmless(dict(seen.details or {}), hidden)
    if len(json.dumps(details)) <= LARGEST:
        return details
    return {name: one for name, one in details.items() if len(json.dumps(one)) <= LARGEST // 4}
