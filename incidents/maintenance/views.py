"""The pages of maintenance windows."""

from calendar import day_name
from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import TeamRequest, editor, viewer
from accounts.models import Team
from incidents.maintenance.actions import (
    create_window,
    delete_window,
    end_window,
    extend_window,
    start_window,
    update_window,
)
from incidents.maintenance.calendar import month_of, read_month, stretch_of
from incidents.maintenance.forms import ExtensionForm, WindowForm, first_hour_of
from incidents.maintenance.reads import coming, roll
from incidents.models import MaintenanceWindow
from uptime.clock import database_now
from uptime.errors import Conflict, Invalid
from uptime.pages import paged, render_page, sought, zone_of

SHOWN = timedelta(days=366)
SHOWN_AT_MOST = 12


@viewer
@require_GET
def window_list(request: TeamRequest) -> HttpResponse:
    """All windows, what is on or comes next first."""
    now = database_now()
    page = paged(request, MaintenanceWindow.objects.visible_to(request.team))
    for window in page.object_list:
        roll(window, now)
    rows = [(window, window.state_at(now)) for window in page.object_list]
    context = {"section": "incidents", "now": now, "page": page, "rows": rows}
    return render_page(request, "incidents/maintenance/list.html", context)


@viewer
@require_GET
def calendar(request: TeamRequest) -> HttpResponse:
    """A month, by the clocks of the reader's zone: what is on on each of its days."""
    now, zone = database_now(), zone_of(request)
    first = read_month(request.GET.get("month", ""), now, zone)
    since, until = stretch_of(first, zone)
    windows = list(MaintenanceWindow.objects.visible_to(request.team).between(since, until))
    for window in windows:
        roll(window, now)
    month = month_of(windows, first, now, zone)
    context = {
        "section": "incidents",
        "month": month,
        "weekdays": day_name,
        "is_present": first == read_month("", now, zone),
        "is_free": not any(day.entries for week in month.weeks for day in week),
    }
    return render_page(request, "incidents/maintenance/calendar.html", context)


@viewer
@require_GET
def window_page(request: TeamRequest, window_id: UUID) -> HttpResponse:
    """One window: whom it covers, when it is on."""
    window = _window(request.team, window_id)
    now = database_now()
    roll(window, now)
    context = {
        "section": "incidents",
        "now": now,
        "window": window,
        "state": window.state_at(now),
        "occurrences": list(islice(coming(window, now, now + SHOWN), SHOWN_AT_MOST)),
        "monitors": window.monitors.order_by("name", "id"),
        "form": ExtensionForm(),
    }
    return render_page(request, "incidents/maintenance/window.html", context)


@editor
@require_http_methods(["GET", "POST"])
def new_window(request: TeamRequest) -> HttpResponse:
    chosen = {
        "monitors": request.GET.getlist("monitor"),
        "timezone": zone_of(request).key,
        **first_hour_of(request.GET.get("day", "")),
    }
    form = WindowForm(
        request.POST or None, team=request.team, initial=chosen, search=sought(request)
    )
    if form.is_valid():
        try:
            window = create_window(team=request.team, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            messages.success(request, "Saved.")
            return redirect(window)
    return _window_form(request, form)


@editor
@require_http_methods(["GET", "POST"])
def edit_window(request: TeamRequest, window_id: UUID) -> HttpResponse:
    window = _window(request.team, window_id)
    form = WindowForm(
        request.POST or None, team=request.team, window=window, search=sought(request)
    )
    if form.is_valid():
        try:
            update_window(window=window, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            messages.success(request, "Saved.")
            return redirect(window)
    return _window_form(request, form, window)


@editor
@require_GET
def window_monitors(request: TeamRequest) -> HttpResponse:
    """The monitors to choose from: the chosen and the sought, as a part of the form."""
    chosen = {"monitors": request.GET.getlist("monitors")}
    form = WindowForm(team=request.team, initial=chosen, search=sought(request))
    context = {"form": form, "sought": sought(request)}
    return render_page(request, "incidents/maintenance/monitors.html", context)


@editor
@require_http_methods(["GET", "POST"])
def remove_window(request: TeamRequest, window_id: UUID) -> HttpResponse:
    """Ask first, then delete."""
    window = _window(request.team, window_id)
    if request.method == "POST":
        delete_window(window=window)
        messages.success(request, f"The maintenance window “{window.name}” is deleted.")
        return redirect("maintenance")
    context = {
        "section": "incidents",
        "title": f"Delete the maintenance window “{window.name}”?",
        "text": "If it is on, it ends at once. What was under maintenance stays so in the history.",
        "back": window.get_absolute_url(),
    }
    return render_page(request, "parts/confirm_delete.html", context)


@editor
@require_POST
def start(request: TeamRequest, window_id: UUID) -> HttpResponse:
    return _change(request, window_id, lambda window: start_window(window=window), "It is on.")


@editor
@require_POST
def end(request: TeamRequest, window_id: UUID) -> HttpResponse:
    return _change(request, window_id, lambda window: end_window(window=window), "It is over.")


@editor
@require_POST
def extend(request: TeamRequest, window_id: UUID) -> HttpResponse:
    window, form = _window(request.team, window_id), ExtensionForm(request.POST)
    if not form.is_valid():
        messages.warning(request, "Say how many minutes longer, from one to a year of them.")
        return redirect(window)
    minutes = form.cleaned_data["minutes"]
    return _change(
        request,
        window_id,
        lambda window: extend_window(window=window, minutes=minutes),
        f"It ends {minutes} minutes later.",
    )


def _change(
    request: TeamRequest,
    window_id: UUID,
    change: Callable[[MaintenanceWindow], MaintenanceWindow],
    done: str,
) -> HttpResponse:
    window = _window(request.team, window_id)
    try:
        change(window)
    except Conflict as conflict:
        messages.warning(request, str(conflict))
    else:
        messages.success(request, done)
    return redirect(window)


def _window(team: Team, window_id: UUID) -> MaintenanceWindow:
    return get_object_or_404(MaintenanceWindow.objects.visible_to(team), pk=window_id)


def _window_form(
    request: TeamRequest, form: WindowForm, window: MaintenanceWindow | None = None
) -> HttpResponse:
    context = {
        "section": "incidents",
        "form": form,
        "window": window,
        "sought": sought(request),
        "back": window.get_absolute_url() if window else reverse("maintenance"),
    }
    status = 422 if form.errors else 200
    return render_page(request, "incidents/maintenance/form.html", context, status=status)
