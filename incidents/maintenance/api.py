"""Maintenance windows over REST."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.maintenance.actions import (
    LONGEST_EXTENSION_MIN,
    create_window,
    delete_window,
    end_window,
    extend_window,
    start_window,
    update_window,
)
from incidents.maintenance.reads import coming, roll
from incidents.models import MaintenanceWindow, WindowState
from uptime.api.pagination import page_of
from uptime.api.schema import describe
from uptime.api.shapes import Moment, Nothing, Page, PageQuery, Query, Shape, as_object
from uptime.api.views import ApiView
from uptime.clock import database_now
from uptime.errors import Invalid

LONGEST_LOOK = timedelta(days=366)


class WindowIn(Shape):
    """Planned work: checks go on, nobody is told, and the time does not count."""

    name: str = Field(min_length=1, max_length=200)
    starts_at: Moment
    """When it is on first, e.g. `2026-01-31T22:00:00Z`; with a rule: where that begins."""
    ends_at: Moment
    rrule: str = ""
    """When it is on again, by RFC 5545, e.g. `FREQ=WEEKLY;BYDAY=SA`; empty: never."""
    timezone: str = "UTC"
    """Whose wall clocks the rule goes by, e.g. `Europe/Berlin`."""
    all: bool = False
    """For all monitors of the team; else for `monitors` and those with any of `tags`."""
    monitors: list[UUID] = []
    tags: list[str] = []
    public: bool = False
    """Whether status pages may show it."""


class WindowPatch(Shape):
    """The fields to change; another time is planned anew."""

    name: str = ""
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    rrule: str = ""
    timezone: str = ""
    all: bool = False
    monitors: list[UUID] = []
    tags: list[str] = []
    public: bool = False


class WindowOut(Shape):
    id: UUID
    created_at: datetime
    name: str
    starts_at: datetime
    ends_at: datetime
    rrule: str
    timezone: str
    all: bool
    monitors: list[UUID]
    tags: list[str]
    public: bool
    state: WindowState
    begins_at: datetime | None
    """When the present occurrence began or the next one begins; null: it is over."""
    finishes_at: datetime | None
    """When that ends, with what was changed by hand."""


class WindowsQuery(PageQuery):
    monitor: UUID | None = None
    """Windows that name this monitor."""


class OccurrencesQuery(Query):
    since: Moment
    """From this time on, e.g. `2026-01-31T12:00:00Z`."""
    until: Moment
    """Before this time, at most a year later."""


class OccurrenceOut(Shape):
    starts_at: datetime
    ends_at: datetime


class OccurrencesOut(Shape):
    occurrences: list[OccurrenceOut]


class Extension(Shape):
    minutes: int = Field(ge=1, le=LONGEST_EXTENSION_MIN)


class Windows(ApiView):
    @describe(
        "list_maintenance",
        "List maintenance windows, what is on or comes next first",
        query=WindowsQuery,
        answer=Page[WindowOut],
    )
    def get(self, request: Request) -> Response:
        query, windows = self.query(WindowsQuery), _windows(self)
        if query.monitor:
            windows = windows.filter(monitors=query.monitor)
        return Response(page_of(request._request, windows, query, present_windows))

    @describe(
        "create_maintenance",
        "Create a maintenance window",
        body=WindowIn,
        answer=WindowOut,
        status=201,
    )
    def post(self, request: Request) -> Response:
        made = create_window(team=self.team, values=as_object(self.body))
        return _answer(self, made.pk, status=201)


class OneWindow(ApiView):
    @describe("get_maintenance", "Read a maintenance window", answer=WindowOut)
    def get(self, request: Request, id: UUID) -> Response:
        return _answer(self, id)

    @describe("change_maintenance", "Change some fields", body=WindowPatch, answer=WindowOut)
    def patch(self, request: Request, id: UUID) -> Response:
        update_window(window=_window(self, id), values=as_object(self.body))
        return _answer(self, id)

    @describe("delete_maintenance", "Delete a maintenance window", answer=None, status=204)
    def delete(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        delete_window(window=_window(self, id))
        return Response(status=204)


class StartWindow(ApiView):
    @describe("start_maintenance", "Begin the next occurrence now", body=Nothing, answer=WindowOut)
    def post(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        start_window(window=_window(self, id))
        return _answer(self, id)


class ExtendWindow(ApiView):
    @describe(
        "extend_maintenance",
        "Let the present or next occurrence end later",
        body=Extension,
        answer=WindowOut,
    )
    def post(self, request: Request, id: UUID) -> Response:
        given = self.read(Extension)
        extend_window(window=_window(self, id), minutes=given.minutes)
        return _answer(self, id)


class EndWindow(ApiView):
    @describe("end_maintenance", "End the present occurrence now", body=Nothing, answer=WindowOut)
    def post(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        end_window(window=_window(self, id))
        return _answer(self, id)


class Occurrences(ApiView):
    @describe(
        "list_maintenance_occurrences",
        "When it is on, by its plan and what was changed by hand",
        query=OccurrencesQuery,
        answer=OccurrencesOut,
    )
    def get(self, request: Request, id: UUID) -> Response:
        query = self.query(OccurrencesQuery)
        if not timedelta() < query.until - query.since <= LONGEST_LOOK:
            raise Invalid({"until": ["Should be after since, at most a year."]})
        found = coming(_window(self, id), query.since, query.until)
        return Response(
            OccurrencesOut(
                occurrences=[
                    OccurrenceOut(starts_at=one.starts_at, ends_at=one.ends_at) for one in found
                ]
            )
        )


def present_windows(windows: Sequence[MaintenanceWindow]) -> list[WindowOut]:
    now = database_now()
    return [_present(window, now) for window in windows]


def _present(window: MaintenanceWindow, now: datetime) -> WindowOut:
    roll(window, now)
    return WindowOut(
        id=window.pk,
        created_at=window.created_at,
        name=window.name,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        rrule=window.rrule,
        timezone=window.time_zone,
        all=window.is_for_all,
        monitors=[one.pk for one in window.monitors.all()],
        tags=window.tags,
        public=window.is_public,
        state=window.state_at(now),
        begins_at=window.begins_at,
        finishes_at=window.finishes_at,
    )


def _windows(view: ApiView) -> QuerySet[MaintenanceWindow]:
    return MaintenanceWindow.objects.visible_to(view.team).prefetch_related("monitors")


def _window(view: ApiView, id: UUID) -> MaintenanceWindow:
    return get_object_or_404(_windows(view), pk=id)


def _answer(view: ApiView, id: UUID, status: int = 200) -> Response:
    return Response(present_windows([_window(view, id)])[0], status=status)
