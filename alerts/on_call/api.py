"""On-call schedules and members' contacts over REST."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Membership
from alerts.hours import WindowValues
from alerts.models import Override, Rotation, Schedule
from alerts.on_call.actions import (
    LONGEST_TURN_H,
    add_override,
    create_schedule,
    delete_schedule,
    remove_override,
    schedule_values,
    set_contacts,
    update_schedule,
)
from alerts.on_call.calendar import feed_address
from alerts.on_call.reads import contacts_chosen, duty_of, rota_of, with_parts
from alerts.on_call.rotation import Shift, shifts
from uptime.api.pagination import page_of
from uptime.api.schema import describe
from uptime.api.shapes import Moment, Nothing, Page, PageQuery, Query, Shape, as_object
from uptime.api.views import ApiView
from uptime.clock import database_now
from uptime.errors import Invalid

LONGEST_WINDOW = timedelta(days=366)


class Layer(Shape):
    """Members who take turns; a later layer stands above the earlier ones."""

    members: list[str] = Field(min_length=1)
    """Their e-mails, in the order of their turns."""
    start: str
    """When the first turn begins, as clocks show it in the schedule's zone: `2026-01-05T09:00`."""
    rotation: Rotation = Rotation.WEEKLY
    turn_hours: int | None = Field(None, ge=1, le=LONGEST_TURN_H)
    """How long a `custom` turn is, by wall clocks."""
    windows: list[WindowValues] = []
    """When the layer counts; none: always."""


class ScheduleIn(Shape):
    name: str = Field(min_length=1, max_length=200)
    timezone: str = "UTC"
    layers: list[Layer] = Field(min_length=1, max_length=20)


class SchedulePatch(Shape):
    """The fields to change; `layers` is replaced as a whole."""

    name: str = ""
    timezone: str = ""
    layers: list[Layer] = []


class ScheduleOut(Shape):
    id: UUID
    created_at: datetime
    updated_at: datetime
    name: str
    timezone: str
    layers: list[Layer]
    calendar_url: str
    """An iCalendar feed of its shifts; whoever knows this address may read it."""


class ShiftOut(Shape):
    starts_at: datetime
    ends_at: datetime
    member: str | None
    """E-mail of who is on call; null: nobody."""


class ShiftsOut(Shape):
    shifts: list[ShiftOut]


class OnCallOut(Shape):
    member: str | None
    """E-mail of who is on call; null: nobody."""
    until: datetime
    """When somebody else takes over, as far as a year ahead."""
    next: ShiftOut | None
    """Who is on call then."""


class OnCallQuery(Query):
    at: Moment | None = None
    """Then instead of now, e.g. `2026-01-31T12:00:00Z`."""


class ShiftsQuery(Query):
    since: Moment
    """From this time on, e.g. `2026-01-31T12:00:00Z`."""
    until: Moment
    """Before this time, at most a year later."""


class OverrideIn(Shape):
    """Somebody in everybody's place; of overrides at one time the one made last counts."""

    member: str
    """Their e-mail."""
    starts_at: Moment
    ends_at: Moment


class OverrideOut(Shape):
    id: UUID
    member: str
    starts_at: datetime
    ends_at: datetime


class ContactsIn(Shape):
    channels: list[UUID]
    """Of the team; none: by e-mail to the member's address."""


class ContactsOut(Shape):
    id: int
    """Of the membership."""
    member: str
    """E-mail."""
    channels: list[UUID]
    """Through which they are reached when on call; none: by e-mail to their address."""


class Schedules(ApiView):
    @describe("list_schedules", "List schedules", query=PageQuery, answer=Page[ScheduleOut])
    def get(self, request: Request) -> Response:
        query = self.query(PageQuery)
        present = _each(present_schedule)
        return Response(page_of(request._request, _schedules(self), query, present))

    @describe(
        "create_schedule", "Create a schedule", body=ScheduleIn, answer=ScheduleOut, status=201
    )
    def post(self, request: Request) -> Response:
        made = create_schedule(team=self.team, values=as_object(self.body))
        return Response(present_schedule(_schedule(self, made.pk)), status=201)


class OneSchedule(ApiView):
    @describe("get_schedule", "Read a schedule", answer=ScheduleOut)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(present_schedule(_schedule(self, id)))

    @describe("change_schedule", "Change some fields", body=SchedulePatch, answer=ScheduleOut)
    def patch(self, request: Request, id: UUID) -> Response:
        update_schedule(schedule=_schedule(self, id), values=as_object(self.body))
        return Response(present_schedule(_schedule(self, id)))

    @describe("delete_schedule", "Delete a schedule", answer=None, status=204)
    def delete(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        delete_schedule(schedule=_schedule(self, id))
        return Response(status=204)


class OnCall(ApiView):
    @describe("who_is_on_call", "Who is on call now and next", query=OnCallQuery, answer=OnCallOut)
    def get(self, request: Request, id: UUID) -> Response:
        at = self.query(OnCallQuery).at or database_now()
        duty = duty_of(_schedule(self, id), at)
        following = present_shift(duty.next[0]) if duty.next else None
        now = present_shift(duty.now)
        return Response(OnCallOut(member=now.member, until=now.ends_at, next=following))


class Shifts(ApiView):
    @describe(
        "list_shifts",
        "Who is on call when, without gaps",
        query=ShiftsQuery,
        answer=ShiftsOut,
    )
    def get(self, request: Request, id: UUID) -> Response:
        query = self.query(ShiftsQuery)
        if not timedelta() < query.until - query.since <= LONGEST_WINDOW:
            raise Invalid({"until": ["Should be after since, at most a year."]})
        found = shifts(rota_of(_schedule(self, id)), query.since, query.until)
        return Response(ShiftsOut(shifts=[present_shift(shift) for shift in found]))


class Overrides(ApiView):
    @describe(
        "list_overrides",
        "List overrides that are not over, oldest first",
        query=PageQuery,
        answer=Page[OverrideOut],
    )
    def get(self, request: Request, id: UUID) -> Response:
        overrides = Override.objects.filter(
            schedule=_schedule(self, id), ends_at__gt=database_now()
        )
        rows = overrides.select_related("member__user").order_by("pk")
        present = _each(present_override)
        return Response(page_of(request._request, rows, self.query(PageQuery), present))

    @describe(
        "add_override",
        "Put somebody in everybody's place for a time",
        body=OverrideIn,
        answer=OverrideOut,
        status=201,
    )
    def post(self, request: Request, id: UUID) -> Response:
        made = add_override(schedule=_schedule(self, id), values=as_object(self.body))
        return Response(present_override(made), status=201)


class OneOverride(ApiView):
    @describe("remove_override", "End or cancel an override", answer=None, status=204)
    def delete(self, request: Request, id: UUID, override_id: UUID) -> Response:
        self.read(Nothing)
        ours = Override.objects.filter(schedule__team=self.team, schedule=id)
        remove_override(override=get_object_or_404(ours, pk=override_id))
        return Response(status=204)


class Contacts(ApiView):
    @describe(
        "list_contacts",
        "How the team's members are reached when on call",
        query=PageQuery,
        answer=Page[ContactsOut],
    )
    def get(self, request: Request) -> Response:
        members = contacts_chosen(Membership.objects.filter(team=self.team)).order_by("pk")
        present = _each(present_contacts)
        return Response(page_of(request._request, members, self.query(PageQuery), present))


class OneContact(ApiView):
    @describe(
        "set_contacts",
        "Choose how a member is reached when on call",
        body=ContactsIn,
        answer=ContactsOut,
    )
    def patch(self, request: Request, id: int) -> Response:
        ours = contacts_chosen(Membership.objects.filter(team=self.team))
        set_contacts(member=get_object_or_404(ours, pk=id), values=as_object(self.body))
        return Response(present_contacts(ours.get(pk=id)))


def present_schedule(schedule: Schedule) -> ScheduleOut:
    return ScheduleOut(
        id=schedule.pk,
        created_at=schedule.created_at,
        updated_at=schedule.updated_at,
        calendar_url=feed_address(schedule),
        **schedule_values(schedule),
    )


def present_shift(shift: Shift[Membership]) -> ShiftOut:
    member = shift.member.user.email if shift.member else None
    return ShiftOut(starts_at=shift.start, ends_at=shift.end, member=member)


def present_override(override: Override) -> OverrideOut:
    return OverrideOut(
        id=override.pk,
        member=override.member.user.email,
        starts_at=override.starts_at,
        ends_at=override.ends_at,
    )


def present_contacts(member: Membership) -> ContactsOut:
    chosen = [channel.pk for channel in member.contacts.all()]
    return ContactsOut(id=member.pk, member=member.user.email, channels=chosen)


def _each(present: Callable[[Any], Any]) -> Callable[[Sequence[Any]], list[Any]]:
    return lambda rows: [present(row) for row in rows]


def _schedules(view: ApiView) -> QuerySet[Schedule]:
    return with_parts(Schedule.objects.filter(team=view.team).order_by("name", "id"))


def _schedule(view: ApiView, id: UUID) -> Schedule:
    return get_object_or_404(_schedules(view), pk=id)
