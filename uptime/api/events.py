"""Live events over server-sent events: `GET /api/v1/events/`."""

from uuid import UUID

from django.db import connections
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request

from uptime.api.access import Access
from uptime.api.errors import Refused
from uptime.api.schema import describe
from uptime.api.shapes import Query, commas
from uptime.api.views import ApiView
from uptime.live import Name, Subscription, hub

# As far as JavaScript counts, and the calendar goes.
_LATEST_ID = 2**53


class EventsQuery(Query):
    monitor: commas(UUID) = []  # type: ignore[valid-type]
    """Of these monitors only."""
    event: commas(Name) = []  # type: ignore[valid-type]
    """Of these names only. `resync`, which says that more was missed than is told one by one,
    always comes."""


class Events(ApiView):
    @describe(
        "stream_events",
        "Server-sent events: `check.update`, `monitor.status`, `incident.update`, each with how "
        "things are now. With `Last-Event-ID`, what changed meanwhile comes first",
        query=EventsQuery,
        answer=(OpenApiTypes.STR, "text/event-stream"),
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        query = self.query(EventsQuery)
        if hub.is_full:
            raise Refused(503, "busy", "Too many live streams are open here.", retry_after=10)
        access = request.auth
        assert isinstance(access, Access)
        subscription = Subscription(
            team_id=self.team.pk,
            opened_with=access.opened_with,
            monitors=query.monitor,
            names=query.event,
            since=_event_id(request.headers.get("Last-Event-ID", "")),
        )
        connections.close_all()  # a stream lasts for hours; it must not keep one
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingHttpResponse(
            subscription.stream(hub), content_type="text/event-stream", headers=headers
        )


def _event_id(text: str) -> int | None:
    """The id that a client sends back; None for one that we never gave, as the standard has it."""
    is_number = text.isascii() and text.isdigit() and len(text) < 20
    return int(text) if is_number and int(text) < _LATEST_ID else None
