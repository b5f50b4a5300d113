"""The pages of monitors."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import TeamRequest, editor, viewer
from accounts.models import Team
from incidents.maintenance.reads import planned, windows_over
from incidents.views import SnoozeForm
from monitors.actions import check_now
from monitors.charts import (
    PHASE_LABELS,
    PHASES,
    Bar,
    Point,
    course_chart,
    latency_chart,
    phase_bars,
    stack_chart,
    status_band,
)
from monitors.courses import DEFAULT_ZOOM, ZOOMS, Step, Zoom, course_of
from monitors.days import DAY, daily_time, first_day
from monitors.facts import Facts, facts_in
from monitors.figures import time_spent
from monitors.groups import groups_of, members_of
from monitors.models import Assignment, Details, Location, Monitor, Ping, Result
from monitors.reads import drawn_stretches, first_results_since, monitor_rows, recent_results
from monitors.snippets import snippets_for
from monitors.statistics import Promise, Statistics, judge_promise, statistics_of
from probe.kinds import KINDS
from uptime.errors import Conflict
from uptime.operations import delete_monitor
from uptime.pages import render_page

CHECKS_CHARTED = 120
CHECKS_LISTED = 20
PINGS_LISTED = 20
MEMBERS_LISTED = 100
SPANS_LISTED = 12
INCIDENTS_LISTED = 5
WINDOWS_LISTED = 3
MAINTENANCE_AHEAD = timedelta(days=31)
# How long a page tells of a check that was asked for.
ASKED_FOR = timedelta(minutes=10)
WINDOWS = {
    "24 hours": timedelta(days=1),
    "7 days": timedelta(days=7),
    "30 days": timedelta(days=30),
    "90 days": timedelta(days=90),
    "1 year": timedelta(days=365),
}
CALENDAR_DAYS = 365


@viewer
@require_GET
def monitor_page(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    """One monitor: its state and why, its last checks or pings, its history."""
    monitor = _monitor(request.team, monitor_id)
    now = timezone.now()
    a_day_ago = now - timedelta(days=1)
    [row] = monitor_rows([monitor])
    kind = KINDS[monitor.kind]
    drawn = drawn_stretches(monitor, since=a_day_ago, until=now)
    active = monitor.assignments.filter(is_active=True)
    places = active.select_related("location").order_by("location__slug")
    # by its reverse name: this package does not know of the next one
    incidents = list(monitor.incidents.order_by("-started_at")[:INCIDENTS_LISTED])
    context = {
        "section": "monitors",
        "now": now,
        "monitor": monitor,
        "kind": kind,
        "row": row,
        "windows": _windows(monitor, now),
        "calendar": _calendar(monitor, now),
        "places": places,
        "band": status_band(drawn, since=a_day_ago, until=now),
        "sightless": Location.objects.sightless().filter(
            assignments__monitor=monitor, assignments__is_active=True
        ),
        "history": monitor.spans.order_by("-started_at", "-id")[:SPANS_LISTED],
        "parents": monitor.depends_on.order_by("name", "id"),
        "groups": groups_of(monitor).order_by("name", "id"),
        "snooze_lengths": SnoozeForm.CHOICES,
        "maintenance": planned(windows_over(monitor), now, now + MAINTENANCE_AHEAD)[
            :WINDOWS_LISTED
        ],
        "incidents": incidents,
        "incident": next((one for one in incidents if not one.is_resolved), None),
    }
    if kind.is_derived:
        extra = _member_context(monitor)
    elif kind.is_passive:
        extra = _ping_context(monitor)
    else:
        zoom = ZOOMS.get(request.GET.get("zoom", ""), ZOOMS[DEFAULT_ZOOM])
        extra = {
            **_check_context(monitor),
            **_course_context(monitor, zoom, now),
            "known": _known(places),
            **_asked_context(request.GET.get("asked", ""), places, now),
        }
    return render_page(request, "monitors/monitor.html", {**context, **extra})


@editor
@require_http_methods(["GET", "POST"])
def remove_monitor(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    """Ask first, then delete."""
    monitor = _monitor(request.team, monitor_id)
    if request.method == "POST":
        delete_monitor(monitor=monitor, by=request.user)
        messages.success(request, f"“{monitor.name}” and its history are deleted.")
        return redirect("home")
    context = {
        "section": "monitors",
        "title": f"Delete “{monitor.name}”?",
        "text": "Its results, its history and its incidents go with it. This can't be undone; to"
        " stop the checks for a while, pause it instead.",
        "back": monitor.get_absolute_url(),
    }
    return render_page(request, "parts/confirm_delete.html", context)


@editor
@require_POST
def check_monitor(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    """Have it checked now; the page shows the result as soon as it is there."""
    monitor = _monitor(request.team, monitor_id)
    try:
        asked_at = check_now(monitor=monitor)
    except Conflict as conflict:
        messages.warning(request, str(conflict))
        return redirect(monitor)
    query = {"asked": asked_at.isoformat()}
    if zoom := request.GET.get("zoom"):
        query["zoom"] = zoom
    return redirect(f"{monitor.get_absolute_url()}?{urlencode(query)}")


def _monitor(team: Team, monitor_id: UUID) -> Monitor:
    return get_object_or_404(Monitor.objects.visible_to(team), pk=monitor_id)


@dataclass(frozen=True, slots=True)
class WindowLine:
    """A window's figures; a young monitor's window begins with it."""

    label: str
    spent: Statistics
    promise: Promise | None


def _windows(monitor: Monitor, now: datetime) -> list[WindowLine]:
    lines = []
    for label, length in WINDOWS.items():
        since = max(now - length, monitor.created_at)
        found = time_spent([monitor.pk], since=since, until=now).get(monitor.pk)
        spent = found or statistics_of({}, max(now - since, timedelta()))
        target = monitor.sla_target
        promise = judge_promise(spent, per_mille=target) if target else None
        lines.append(WindowLine(label, spent, promise))
    return lines


@dataclass(frozen=True, slots=True)
class DayCell:
    """A day of the calendar: `column` is its week, `line` its day of the week, from Monday."""

    day: datetime
    column: int
    line: int
    name: str
    down: timedelta
    uptime_percent: float | None


def _calendar(monitor: Monitor, now: datetime) -> list[DayCell]:
    since = first_day(now, CALENDAR_DAYS)
    days = daily_time([monitor.pk], since=since, until=now)[monitor.pk]
    cells = []
    for number, spent in enumerate(days):
        day = since + number * DAY
        column, line = divmod(number + since.weekday(), 7)
        name = _worst_of(spent)
        cells.append(DayCell(day, column, line, name, spent.down, spent.uptime_percent))
    return cells


def _worst_of(spent: Statistics) -> str:
    for name in ("down", "degraded", "maintenance", "up"):
        if getattr(spent, name):
            return name
    return "none"


@dataclass(frozen=True, slots=True)
class Slot:
    """A step of the course with the bar that is pointed at, and what it is marked with."""

    step: Step
    bar: Bar
    phases: list[tuple[str, float]]
    marks: list[str]


def _course_context(monitor: Monitor, zoom: Zoom, now: datetime) -> dict[str, Any]:
    steps = course_of(monitor, zoom, now=now)
    chart = course_chart([step.percentiles_ms for step in steps])
    stack = stack_chart([step.phases_ms for step in steps])
    since, until = steps[0].at, steps[-1].until
    drawn = drawn_stretches(monitor, since=since, until=now)
    marks = [
        bar
        for bar in status_band(drawn, since=since, until=until)
        if bar.name in ("down", "degraded", "maintenance")
    ]
    taken = [layer.name for layer in stack.layers] if stack else []
    return {
        "zoom": zoom,
        "zooms": ZOOMS.values(),
        "course": chart,
        "stack": stack,
        "phases_taken": [(name, PHASE_LABELS[name]) for name in taken],
        "course_since": since,
        "slots": [
            Slot(step, bar, _named_phases(step, taken), _marks_over(step, marks))
            for step, bar in zip(steps, chart.slots, strict=True)
        ]
        if chart
        else [],
        "marks": marks,
    }


def _named_phases(step: Step, taken: Collection[str]) -> list[tuple[str, float]]:
    by_name = zip(PHASES, step.phases_ms, strict=False)
    return [(PHASE_LABELS[name], spent_ms) for name, spent_ms in by_name if name in taken]


def _marks_over(step: Step, marks: Iterable[Bar]) -> list[str]:
    """What the step was, at some time in it, apart from up."""
    over = {
        bar.name
        for bar in marks
        if (bar.at is None or bar.at < step.until) and (bar.until is None or bar.until > step.at)
    }
    return sorted(over)


@dataclass(frozen=True, slots=True)
class Known:
    """What a passing check at a location saw besides its result, and when."""

    place: Assignment
    at: datetime
    facts: list[Facts]


def _known(places: Iterable[Assignment]) -> list[Known]:
    by_place = {one.pk: one for one in places}
    rows = Details.objects.filter(assignment__in=by_place)
    found = {row.pk: Known(by_place[row.pk], row.checked_at, facts_in(row.found)) for row in rows}
    return [found[pk] for pk in by_place if pk in found and found[pk].facts]


@dataclass(frozen=True, slots=True)
class Asked:
    """A location with what its check saw that was asked for; None while that is not known."""

    place: Assignment
    line: "CheckLine | None"


def _asked_context(text: str, places: Iterable[Assignment], now: datetime) -> dict[str, Any]:
    """What became of a check that somebody asked for at the instant that the text names."""
    try:
        asked_at = datetime.fromisoformat(text)
    except ValueError:
        return {}
    if asked_at.tzinfo is None or not now - ASKED_FOR < asked_at < now + ASKED_FOR:
        return {}
    listed = list(places)
    found = first_results_since(listed, asked_at)
    scale_ms = max((one.latency_ms or 0 for one in found.values()), default=0)
    asked = [
        Asked(one, _line(found[one.pk], scale_ms) if one.pk in found else None) for one in listed
    ]
    return {"asked_at": asked_at, "asked": asked, "is_awaited": len(found) < len(listed)}


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check with its phases drawn to the page's scale."""

    result: Result
    phases: list[Bar]


def _check_context(monitor: Monitor) -> dict[str, Any]:
    results = recent_results(monitor, CHECKS_CHARTED)
    listed = results[:CHECKS_LISTED]
    scale_ms = max((result.latency_ms or 0 for result in listed), default=0)
    points = [Point(r.checked_at, r.status, r.latency_ms) for r in reversed(results)]
    lines = [_line(result, scale_ms) for result in listed]
    seen = {bar.name for line in lines for bar in line.phases}
    return {
        "chart": latency_chart(points),
        "lines": lines,
        "phase_labels": PHASE_LABELS,
        "phases_seen": [(name, label) for name, label in PHASE_LABELS.items() if name in seen],
    }


def _line(result: Result, scale_ms: float) -> CheckLine:
    return CheckLine(result, phase_bars(_phases(result), scale_ms=scale_ms))


def _phases(result: Result) -> list[float | None]:
    return [
        result.dns_ms,
        result.connect_ms,
        result.tls_ms,
        result.first_byte_ms,
        result.transfer_ms,
    ]


@dataclass(frozen=True, slots=True)
class PingLine:
    """One ping with the readable part of its body."""

    ping: Ping
    body: str


def _member_context(group: Monitor) -> dict[str, Any]:
    """A group's members, the worst first; of many the rest is told by its number."""
    members = members_of(group)
    count = members.count()
    listed = members.worst_first()[:MEMBERS_LISTED]
    return {"members": listed, "member_count": count, "more_members": count - MEMBERS_LISTED}


def _ping_context(monitor: Monitor) -> dict[str, Any]:
    pings = Ping.objects.filter(monitor=monitor).order_by("-at")[:PINGS_LISTED]
    url = settings.BASE_URL + reverse("ping", args=[monitor.ping_key])
    return {
        "pings": [PingLine(p, bytes(p.body[:4000]).decode(errors="replace")) for p in pings],
        "ping_url": url,
        "snippets": snippets_for(url),
    }
