"""Status spans: a monitor's history as stretches that meet without gap or overlap."""

from datetime import datetime
from uuid import UUID

from monitors.models import Status, StatusSpan


def turn_span(*, monitor_id: UUID, status: Status, reason: str, at: datetime) -> datetime:
    """End the open span and begin one of `status`; the caller holds the monitor's lock.

    `at` is moved forward to the open span's start if it lies before it: history that was told is
    not rewritten. Returns the instant that the new span begins at.
    """
    current = StatusSpan.objects.filter(monitor_id=monitor_id, ended_at=None).first()
    if current is None:
        StatusSpan.objects.create(
            monitor_id=monitor_id, status=status, reason=reason, started_at=at
        )
        return at
    at = max(at, current.started_at)
    if current.status == status:
        return current.started_at
    if current.started_at == at:  # a stretch of no length is no stretch
        previous = (
            StatusSpan.objects.filter(monitor_id=monitor_id, ended_at=at)
            .exclude(pk=current.pk)
            .order_by("-id")
            .first()
        )
        if previous is None or previous.status != status:
            current.status, current.reason = status, reason
            current.save(update_fields=["status", "reason"])
            return at
        current.delete()
        previous.ended_at = None
        previous.save(update_fields=["ended_at"])
        return previous.started_at
    current.ended_at = at
    current.save(update_fields=["ended_at"])
    StatusSpan.objects.create(monitor_id=monitor_id, status=status, reason=reason, started_at=at)
    return at
