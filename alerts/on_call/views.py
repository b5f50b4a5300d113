"""The pages of on-call: who is on call now and next, schedules, overrides, contacts, calendars."""

from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
    require_safe,
)

from accounts.access import TeamRequest, editor, public, viewer
from accounts.models import Team
from alerts.models import Override, Schedule
from alerts.on_call.actions import (
    add_override,
    create_schedule,
    delete_schedule,
    remove_override,
    renew_feed,
    set_contacts,
    update_schedule,
)
from alerts.on_call.calendar import calendar_of, feed_address, opens
from alerts.on_call.forms import ContactsForm, OverrideForm, ScheduleForm
from alerts.on_call.reads import duty_of, rota_of, with_parts
from alerts.on_call.rotation import shifts
from uptime.clock import database_now
from uptime.errors import Invalid
from uptime.pages import render_page

SHOWN = timedelta(days=28)


@viewer
@require_GET
def on_call(request: TeamRequest) -> HttpResponse:
    """Who is on call now and next, by each schedule."""
    return _on_call(request, ContactsForm(team=request.team, member=request.membership))


@viewer
@require_POST
def change_contacts(request: TeamRequest) -> HttpResponse:
    """How whoever is signed in wants to be reached; of others, the API's and the owners' matter."""
    form = ContactsForm(request.POST, team=request.team, member=request.membership)
    if not form.is_valid():
        return _on_call(request, form)
    set_contacts(member=request.membership, values=form.cleaned_data)
    messages.success(request, "Saved.")
    return redirect("on-call")


@viewer
@require_GET
def schedule_page(request: TeamRequest, schedule_id: UUID) -> HttpResponse:
    """One schedule: the coming weeks, its overrides, its calendar."""
    schedule = _schedule(request.team, schedule_id)
    return _schedule_page(request, schedule, OverrideForm(schedule=schedule))


@editor
@require_http_methods(["GET", "POST"])
def new_schedule(request: TeamRequest) -> HttpResponse:
    form = ScheduleForm(request.POST or None)
    if form.is_valid():
        try:
            schedule = create_schedule(team=request.team, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            messages.success(request, "Saved. Let a step of a policy name it.")
            return redirect("schedule", schedule.pk)
    return _schedule_form(request, form)


@editor
@require_http_methods(["GET", "POST"])
def edit_schedule(request: TeamRequest, schedule_id: UUID) -> HttpResponse:
    schedule = _schedule(request.team, schedule_id)
    form = ScheduleForm(request.POST or None, schedule=schedule)
    if form.is_valid():
        try:
            update_schedule(schedule=schedule, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            messages.success(request, "Saved.")
            return redirect("schedule", schedule.pk)
    return _schedule_form(request, form, schedule)


@editor
@require_http_methods(["GET", "POST"])
def remove_schedule(request: TeamRequest, schedule_id: UUID) -> HttpResponse:
    """Ask first, then delete."""
    schedule = _schedule(request.team, schedule_id)
    if request.method == "POST":
        delete_schedule(schedule=schedule)
        messages.success(request, f"The schedule “{schedule.name}” is deleted.")
        return redirect("on-call")
    context = {
        "section": "alerts",
        "title": f"Delete the schedule “{schedule.name}”?",
        "text": "Policies that name it tell nobody by it any more.",
        "back": reverse("schedule", args=[schedule.pk]),
    }
    return render_page(request, "parts/confirm_delete.html", context)


@editor
@require_POST
def new_override(request: TeamRequest, schedule_id: UUID) -> HttpResponse:
    schedule = _schedule(request.team, schedule_id)
    form = OverrideForm(request.POST, schedule=schedule)
    if form.is_valid():
        try:
            add_override(schedule=schedule, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            return redirect("schedule", schedule.pk)
    return _schedule_page(request, schedule, form)


@editor
@require_POST
def cancel_override(request: TeamRequest, override_id: UUID) -> HttpResponse:
    ours = Override.objects.filter(schedule__team=request.team)
    override = get_object_or_404(ours, pk=override_id)
    remove_override(override=override)
    return redirect("schedule", override.schedule_id)


@editor
@require_POST
def renew_calendar(request: TeamRequest, schedule_id: UUID) -> HttpResponse:
    schedule = _schedule(request.team, schedule_id)
    renew_feed(schedule=schedule)
    messages.success(request, "The calendar has another address; the old one is no more.")
    return redirect("schedule", schedule.pk)


@public
@never_cache
@require_safe
def feed(request: HttpRequest, schedule_id: UUID, key: str) -> HttpResponse:
    """The calendar, for whoever knows its address."""
    schedule = with_parts(Schedule.objects.filter(pk=schedule_id)).first()
    if schedule is None or not opens(schedule, key):
        raise Http404("There is no such calendar.")
    calendar = calendar_of(schedule, database_now())
    return HttpResponse(calendar, content_type="text/calendar; charset=utf-8")


def _schedules(team: Team) -> QuerySet[Schedule]:
    ours = Schedule.objects.filter(team=team).order_by("name", "id")
    return with_parts(ours, since=database_now())


def _schedule(team: Team, schedule_id: UUID) -> Schedule:
    return get_object_or_404(_schedules(team), pk=schedule_id)


def _on_call(request: TeamRequest, form: ContactsForm) -> HttpResponse:
    now = database_now()
    context = {
        "section": "alerts",
        "now": now,
        "duties": [duty_of(schedule, now) for schedule in _schedules(request.team)],
        "form": form,
    }
    status = 422 if form.errors else 200
    return render_page(request, "alerts/on_call.html", context, status=status)


def _schedule_page(request: TeamRequest, schedule: Schedule, form: OverrideForm) -> HttpResponse:
    now = database_now()
    context = {
        "section": "alerts",
        "now": now,
        "schedule": schedule,
        "shifts": shifts(rota_of(schedule), now, now + SHOWN),
        "feed": feed_address(schedule),
        "form": form,
    }
    status = 422 if form.errors else 200
    return render_page(request, "alerts/schedule.html", context, status=status)


def _schedule_form(
    request: TeamRequest, form: ScheduleForm, schedule: Schedule | None = None
) -> HttpResponse:
    context = {"section": "alerts", "form": form, "schedule": schedule}
    status = 422 if form.errors else 200
    return render_page(request, "alerts/schedule_form.html", context, status=status)
