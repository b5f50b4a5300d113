"""The pages of single results: listed with filters, and taken away as CSV or JSON."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.access import TeamRequest, viewer
from monitors.api import present_result
from monitors.charts import PHASE_LABELS
from monitors.history import Wanted, read_results
from monitors.models import Monitor, Result
from monitors.reads import under_maintenance
from monitors.shapes import ResultOut
from probe.values import Status
from uptime.api.pagination import Cursor
from uptime.errors import Invalid
from uptime.files import csv_rows, json_list, stream_file
from uptime.pages import render_page, zone_of
from uptime.time_forms import ReaderTimes, WallTimeField

LISTED = 50
AT_ONCE = 1000
COLUMNS = (
    "checked_at",
    "location",
    "status",
    "reason",
    "message",
    "http_status",
    "latency_ms",
    "dns_ms",
    "connect_ms",
    "tls_ms",
    "first_byte_ms",
    "transfer_ms",
    "cert_expires_at",
    "attempt",
    "maintenance",
    "due_at",
    "id",
)


class ResultsForm(forms.Form):
    """Which of a monitor's results; what makes no sense filters nothing.

    Times are by the reader's clocks.
    """

    status = forms.ChoiceField(
        required=False,
        label="Result",
        choices=[("", "Any result"), *((one.value, one.value.capitalize()) for one in Status)],
    )
    location = forms.ChoiceField(required=False, label="Location")
    since = WallTimeField(label="From")
    until = WallTimeField(label="Before")

    def __init__(self, data: Any, places: dict[int, str], zone: ZoneInfo) -> None:
        super().__init__(data)
        self.places = places
        self.times = ReaderTimes(data, zone)
        chooser = self.fields["location"]
        assert isinstance(chooser, forms.ChoiceField)
        slugs = sorted(set(places.values()))
        chooser.choices = [("", "Any location"), *((slug, slug) for slug in slugs)]
        self.is_valid()

    @property
    def wanted(self) -> Wanted:
        found = self.cleaned_data
        place, status = found.get("location"), found.get("status")
        return Wanted(
            [pk for pk, slug in self.places.items() if place in ("", None, slug)],
            since=self.times.meant(found.get("since")),
            until=self.times.meant(found.get("until")),
            statuses=[status] if status else (),
        )


@dataclass(frozen=True, slots=True)
class Line:
    """A result, where it was seen, and its phases by name."""

    result: Result
    location: str
    phases: list[tuple[str, float]]


@viewer
@require_GET
def result_list(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    """A monitor's results, newest first, page by page as far back as they are kept."""
    monitor, places = _monitor(request, monitor_id)
    form = ResultsForm(request.GET, places, zone_of(request))
    cursor = _cursor(request.GET.get("page", ""))
    wanted = form.wanted
    is_backward = cursor is not None and cursor.is_backward
    if cursor is not None:
        wanted = replace(wanted, edge=(cursor.at, cursor.id), is_ascending=is_backward)
    found = read_results(wanted, LISTED + 1)
    has_more = len(found) > LISTED
    found = found[:LISTED]
    if is_backward:
        found.reverse()
    has_older = bool(found) and (is_backward or has_more)
    has_newer = bool(found) and (has_more if is_backward else cursor is not None)
    context = {
        "section": "monitors",
        "now": timezone.now(),
        "monitor": monitor,
        "form": form,
        "has_places": len(set(places.values())) > 1,
        "lines": [Line(one, places[one.assignment_id], _phases(one)) for one in found],
        "older": _edge(found[-1], is_backward=False) if has_older else "",
        "newer": _edge(found[0], is_backward=True) if has_newer else "",
    }
    return render_page(request, "monitors/results.html", context)


@viewer
@require_GET
def export_results(request: TeamRequest, monitor_id: UUID, form: str) -> StreamingHttpResponse:
    """The results that the filters let through, oldest first, as a file."""
    if form not in ("csv", "json"):
        raise Http404("Results come as csv or json.")
    monitor, places = _monitor(request, monitor_id)
    wanted = replace(ResultsForm(request.GET, places, zone_of(request)).wanted, is_ascending=True)
    batches = _batches(monitor, places, wanted)
    name = f"results-{monitor.pk}.{form}"
    if form == "csv":
        return stream_file(request, _as_csv(batches), name=name, content_type="text/csv")
    texts = ([one.model_dump_json() for one in batch] for batch in batches)
    return stream_file(request, json_list(texts), name=name, content_type="application/json")


def _monitor(request: TeamRequest, monitor_id: UUID) -> tuple[Monitor, dict[int, str]]:
    monitor = get_object_or_404(Monitor.objects.visible_to(request.team), pk=monitor_id)
    return monitor, dict(monitor.assignments.values_list("id", "location__slug"))


def _cursor(text: str) -> Cursor | None:
    """A text that no page gave begins at the beginning."""
    try:
        return Cursor.read(text) if text else None
    except Invalid:
        return None


def _edge(result: Result, *, is_backward: bool) -> str:
    return Cursor(result.checked_at, result.id, is_backward).write()


def _phases(result: Result) -> list[tuple[str, float]]:
    spent = [(label, getattr(result, f"{name}_ms")) for name, label in PHASE_LABELS.items()]
    return [(label, ms) for label, ms in spent if ms]


def _batches(monitor: Monitor, places: dict[int, str], wanted: Wanted) -> Iterator[list[ResultOut]]:
    while found := read_results(wanted, AT_ONCE):
        inside = under_maintenance(monitor, [one.checked_at for one in found])
        yield [
            present_result(
                one,
                monitor=monitor.pk,
                location=places[one.assignment_id],
                is_in_maintenance=one.checked_at in inside,
            )
            for one in found
        ]
        wanted = replace(wanted, edge=(found[-1].checked_at, found[-1].id))


def _as_csv(batches: Iterator[list[ResultOut]]) -> Iterator[bytes]:
    yield csv_rows([COLUMNS])
    for batch in batches:
        yield csv_rows([_cells(one) for one in batch])


def _cells(result: ResultOut) -> list[Any]:
    values = {**dict(result), **dict(result.phases)}
    return [values[name] for name in COLUMNS]
