"""The overview: the list of monitors, its saved views, and what is done to many at once."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import TeamRequest, editor, viewer
from accounts.models import Team
from incidents.actions import resume_monitors, snooze_monitors, unsnooze_monitors
from incidents.views import SnoozeForm
from monitors.actions import pace_monitors, tag_monitors, untag_monitors
from monitors.forms import BulkForm, FilterForm, IntervalForm, TagForm, ViewForm
from monitors.listing import (
    ORDERS,
    PAGE_SIZE,
    WRONG,
    Turned,
    Wish,
    count_by_status,
    tags_of,
    turn_to,
)
from monitors.models import Location, Monitor, MonitorQuerySet, SavedView
from monitors.overview import overview_rows, window_of
from probe.kinds import KINDS
from uptime.operations import delete_monitors, pause_monitors
from uptime.pages import render_page

ON_THE_WALL = 60
NAMED_IN_BULK = 20
IN_ONE_TRANSACTION = 500


@viewer
@require_GET
def monitor_list(request: TeamRequest) -> HttpResponse:
    """The home page: what is wrong now, first; the rest after it."""
    form, now = FilterForm(request.GET), timezone.now()
    wish, is_wall = form.wish(), "wall" in request.GET
    ours = wish.of(request.team)
    counts = count_by_status(request.team)
    turned = turn_to(
        ours,
        order="state" if is_wall else form.chosen("sort"),
        place=request.GET.get("page", ""),
        size=ON_THE_WALL if is_wall else PAGE_SIZE,
    )
    window = window_of(form.chosen("bars"), now)
    context = {
        "section": "monitors",
        "now": now,
        "form": form,
        "query": form.query(),
        "is_narrow": wish.is_narrow,
        "counts": [(status, n) for status, n in counts.items() if n],
        "total": sum(counts.values()),
        "found": _found(turned, counts, wish),
        "sightless": Location.objects.sightless(),
        "wrong": [(status, counts[status]) for status in WRONG if counts[status]],
        "wrong_states": WRONG,
        "turned": turned,
    }
    if is_wall:
        return render_page(request, "monitors/wall.html", context, whole="layouts/wall.html")
    extra = {
        "rows": overview_rows(turned.monitors, window),
        "window": window,
        "views": SavedView.objects.filter(team=request.team, user=request.user).order_by("name"),
        "bulk_actions": BulkForm.CHOICES,
        # only the whole page asks for these
        "kinds": KINDS,
        "orders": ORDERS,
        "tags": SimpleLazyObject(lambda: tags_of(request.team)),
        "locations": SimpleLazyObject(lambda: list(Location.objects.all())),
    }
    return render_page(request, "monitors/list.html", {**context, **extra})


@viewer
@require_POST
def save_view(request: TeamRequest) -> HttpResponse:
    """Give the list as it is shown a name; a name that is there already means this from now on."""
    form = ViewForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Give the view a name of at most 60 characters.")
        return redirect("home")
    query, name = form.cleaned_data["query"], form.cleaned_data["name"]
    SavedView.objects.update_or_create(
        team=request.team, user=request.user, name=name, defaults={"query": query}
    )
    messages.success(request, f"Saved as “{name}”.")
    return redirect(f"{reverse('home')}?{query}")


@viewer
@require_POST
def remove_view(request: TeamRequest, view_id: UUID) -> HttpResponse:
    mine = SavedView.objects.filter(team=request.team, user=request.user)
    view = get_object_or_404(mine, pk=view_id)
    view.delete()
    messages.success(request, f"The view “{view.name}” is forgotten.")
    return redirect(f"{reverse('home')}?{view.query}")


@editor
@require_http_methods(["GET", "POST"])
def change_many(request: TeamRequest) -> HttpResponse:
    """Do one thing to many monitors: GET asks first, POST does it, some hundreds at a time."""
    is_confirmed = request.method == "POST"
    form = BulkForm(request.POST if is_confirmed else request.GET)
    if not form.is_valid():
        messages.warning(request, "Choose what to do with the ticked monitors.")
        return redirect("home")
    chosen = _chosen(form, request.team)
    back = f"{reverse('home')}?{form.shown_filters.query()}"
    total = chosen.count()
    if not total:
        messages.warning(request, "Tick at least one monitor first.")
        return redirect(back)
    detail = _detail_form(form.cleaned_data["action"], request.POST if is_confirmed else None)
    if is_confirmed and (detail is None or detail.is_valid()):
        values = detail.cleaned_data if detail else {}
        done = sum(_do(form.cleaned_data["action"], request, chosen, values))
        rest = f"; {total - done:,} stay as they are" if done < total else ""
        messages.success(request, f"{form.label}: {done:,} of {total:,} monitors{rest}.")
        return redirect(back)
    context = {
        "section": "monitors",
        "form": form,
        "detail": detail,
        "total": total,
        "named": chosen.order_by("name")[:NAMED_IN_BULK],
        "unnamed": max(total - NAMED_IN_BULK, 0),
        "back": back,
    }
    status = 422 if detail is not None and detail.errors else 200
    return render_page(request, "monitors/bulk.html", context, status=status)


def _found(turned: Turned, counts: dict[Any, int], wish: Wish) -> int | None:
    """How many monitors the filters let through, where that is known without counting them."""
    if not turned.after:
        return turned.last_number
    if wish.is_narrow:
        return None
    return sum(n for status, n in counts.items() if wish.status in ("", status))


def _chosen(form: BulkForm, team: Team) -> MonitorQuerySet:
    if form.cleaned_data["everything"]:
        return form.shown_filters.wish().of(team)
    return Monitor.objects.visible_to(team).filter(pk__in=form.cleaned_data["monitor"])


def _detail_form(action: str, data: Any) -> TagForm | IntervalForm | SnoozeForm | None:
    """What else has to be said of an action."""
    if action == "snooze":
        return SnoozeForm(data)
    if action in ("tag", "untag"):
        return TagForm(data)
    return IntervalForm(data) if action == "interval" else None


def _do(
    action: str, request: TeamRequest, chosen: MonitorQuerySet, values: dict[str, Any]
) -> Iterator[int]:
    """How many monitors each step changed. A step is a transaction: none keeps checks waiting."""
    act: dict[str, Callable[[Sequence[UUID]], int]] = {
        "pause": lambda ids: pause_monitors(monitor_ids=ids, by=request.user),
        "resume": lambda ids: resume_monitors(monitor_ids=ids),
        "snooze": lambda ids: snooze_monitors(
            monitor_ids=ids, length=timedelta(hours=int(values["hours"])), by=request.user
        ),
        "unsnooze": lambda ids: unsnooze_monitors(monitor_ids=ids, by=request.user),
        "tag": lambda ids: tag_monitors(monitor_ids=ids, tag=values["tag"]),
        "untag": lambda ids: untag_monitors(monitor_ids=ids, tag=values["tag"]),
        "interval": lambda ids: pace_monitors(monitor_ids=ids, interval_s=values["interval"]),
        "delete": lambda ids: delete_monitors(monitor_ids=ids, by=request.user),
    }
    ids = list(chosen.order_by("id").values_list("id", flat=True))
    for start in range(0, len(ids), IN_ONE_TRANSACTION):
        yield act[action](ids[start : start + IN_ONE_TRANSACTION])
