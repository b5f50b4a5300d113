"""The team's monitors as a file, in the shape in which the API takes many at once."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from django.http import Http404, StreamingHttpResponse
from django.views.decorators.http import require_GET

from accounts.access import TeamRequest, viewer
from monitors.api import present_monitors
from monitors.drafts import FIELDS
from monitors.forms import FilterForm
from monitors.models import Monitor, MonitorQuerySet
from uptime.files import csv_rows, json_list, stream_file

AT_ONCE = 500


@viewer
@require_GET
def export_monitors(request: TeamRequest, form: str) -> StreamingHttpResponse:
    """The monitors that the filters let through, the eldest first; secrets are masked."""
    batches = _batches(FilterForm(request.GET).wish().of(request.team))
    if form == "csv":
        return stream_file(request, _as_csv(batches), name="monitors.csv", content_type="text/csv")
    if form == "json":
        texts = ([json.dumps(one, ensure_ascii=False) for one in batch] for batch in batches)
        chunks = json_list(texts, before='{"monitors": [', after="]}")
        return stream_file(request, chunks, name="monitors.json", content_type="application/json")
    raise Http404("Monitors come as csv or json.")


def _batches(monitors: MonitorQuerySet) -> Iterator[list[dict[str, Any]]]:
    rest = monitors.order_by("pk")
    while found := list(rest[:AT_ONCE]):
        yield _values(found)
        rest = rest.filter(pk__gt=found[-1].pk)


def _values(monitors: Sequence[Monitor]) -> list[dict[str, Any]]:
    """The fields that can be set; of the settings those that differ from their defaults."""
    return [
        {name: getattr(shown, name) for name in FIELDS} | {"settings": monitor.settings}
        for monitor, shown in zip(monitors, present_monitors(monitors), strict=True)
    ]


def _as_csv(batches: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    yield csv_rows([FIELDS])
    for batch in batches:
        yield csv_rows([[_flat(one[name]) for name in FIELDS] for one in batch])


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return ", ".join(value) if isinstance(value, list) else value
