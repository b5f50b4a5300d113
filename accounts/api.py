"""The audit trail over REST."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import AuditEntry, Scope
from uptime.api.pagination import slice_of
from uptime.api.schema import describe
from uptime.api.shapes import Shape, Slice, SliceQuery, WindowQuery, commas
from uptime.api.views import ApiView


class AuditEntryOut(Shape):
    id: UUID
    at: datetime
    who: str
    """E-mail of the person, or of the token's owner."""
    token: str
    """Name of the API token that it was done with; empty for the pages."""
    action: str
    """Such as `monitor.changed`."""
    object_id: str
    object_name: str
    changed: list[str]
    """Names of fields; values are not kept."""
    address: str
    """Where the request came from."""


class AuditQuery(SliceQuery, WindowQuery):
    action: commas(str) | None = None  # type: ignore[valid-type]
    who: commas(str) | None = None  # type: ignore[valid-type]
    """E-mails."""
    object_id: commas(str) | None = None  # type: ignore[valid-type]


class AuditTrail(ApiView):
    needed_scope: ClassVar[Scope | None] = Scope.ADMIN

    @describe(
        "list_audit_entries",
        "Who did what, newest first; needs the scope `admin`",
        query=AuditQuery,
        answer=Slice[AuditEntryOut],
    )
    def get(self, request: Request) -> Response:
        query = self.query(AuditQuery)
        entries = AuditEntry.objects.filter(team=self.team)
        for name in ("action", "who", "object_id"):
            if wanted := getattr(query, name):
                entries = entries.filter(**{f"{name}__in": wanted})
        if query.since:
            entries = entries.filter(at__gte=query.since)
        if query.until:
            entries = entries.filter(at__lt=query.until)
        return Response(slice_of(request._request, [entries], query, _present, by="at"))


def _present(entries: Sequence[AuditEntry]) -> list[AuditEntryOut]:
    return [
        AuditEntryOut(**{name: getattr(one, name) for name in AuditEntryOut.model_fields})
        for one in entries
    ]
