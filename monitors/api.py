"""Monitors, their results, statistics and history, and locations, over REST."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from pydantic_core import to_jsonable_python
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.actions import snooze_monitor, unsnooze_monitor
from monitors.actions import check_now, create_monitor, update_monitor
from monitors.figures import Figures, group_figures, monitor_figures
from monitors.groups import GROUP
from monitors.history import Wanted, read_results
from monitors.models import (
    Location,
    Monitor,
    MonitorQuerySet,
    Result,
    Status,
    StatusSpan,
)
from monitors.reads import (
    MonitorRow,
    monitor_rows,
    named_members_of,
    parents_of,
    under_maintenance,
)
from monitors.shapes import (
    MAX_BULK,
    BulkIn,
    BulkOut,
    ChecksOut,
    GroupSlaOut,
    GroupStatisticsOut,
    GroupStatisticsQuery,
    HistoryQuery,
    LatencyOut,
    LocationOut,
    MonitorIn,
    MonitorOut,
    MonitorPatch,
    MonitorsQuery,
    PhasesOut,
    ResultOut,
    ResultsQuery,
    SecondsOut,
    SlaOut,
    SnoozeIn,
    SpanOut,
    StatisticsOut,
    StatisticsQuery,
)
from monitors.statistics import Statistics, judge_promise
from probe.kinds import KINDS
from uptime.api.pagination import Cursor, page_of, slice_from
from uptime.api.schema import describe
from uptime.api.shapes import Nothing, Page, PageQuery, Slice, as_object
from uptime.api.views import ApiView
from uptime.bulk import save_monitors
from uptime.errors import Invalid
from uptime.operations import delete_monitor, set_enabled

WINDOWS = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
    "365d": timedelta(days=365),
}


class MonitorView(ApiView):
    """Endpoints of one monitor."""

    def monitor(self, id: UUID) -> Monitor:
        return get_object_or_404(Monitor.objects.visible_to(self.team), pk=id)

    def answer(self, monitor: Monitor, status: int = 200) -> Response:
        fresh = Monitor.objects.get(pk=monitor.pk)
        return Response(present_monitors([fresh])[0], status=status)


class Monitors(MonitorView):
    @describe("list_monitors", "List monitors", query=MonitorsQuery, answer=Page[MonitorOut])
    def get(self, request: Request) -> Response:
        query = self.query(MonitorsQuery)
        rows = _filtered(Monitor.objects.visible_to(self.team), query)
        return Response(page_of(request._request, rows, query, present_monitors))

    @describe("create_monitor", "Create a monitor", body=MonitorIn, answer=MonitorOut, status=201)
    def post(self, request: Request) -> Response:
        created = create_monitor(team=self.team, values=as_object(self.body))
        response = self.answer(created, status=201)
        response["Location"] = request.build_absolute_uri(
            reverse("api:monitor", kwargs={"id": created.pk})
        )
        return response


class OneMonitor(MonitorView):
    @describe("get_monitor", "Read a monitor", answer=MonitorOut)
    def get(self, request: Request, id: UUID) -> Response:
        return self.answer(self.monitor(id))

    @describe("change_monitor", "Change some fields", body=MonitorPatch, answer=MonitorOut)
    def patch(self, request: Request, id: UUID) -> Response:
        return self._save(id, is_whole=False)

    @describe(
        "replace_monitor",
        "Set all fields; those not given get their defaults, but `enabled` stays",
        body=MonitorIn,
        answer=MonitorOut,
    )
    def put(self, request: Request, id: UUID) -> Response:
        return self._save(id, is_whole=True)

    @describe("delete_monitor", "Delete a monitor and its history", answer=None, status=204)
    def delete(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        delete_monitor(monitor=self.monitor(id), by=self.user)
        return Response(status=204)

    def _save(self, id: UUID, *, is_whole: bool) -> Response:
        values = as_object(self.body)
        monitor = update_monitor(monitor=self.monitor(id), values=values, is_whole=is_whole)
        if "enabled" in values:
            set_enabled(monitor=monitor, is_enabled=values["enabled"], by=self.user)
        return self.answer(monitor)


class PauseMonitor(MonitorView):
    @describe("pause_monitor", "Stop checking", body=Nothing, answer=MonitorOut)
    def post(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        return self.answer(set_enabled(monitor=self.monitor(id), is_enabled=False, by=self.user))


class ResumeMonitor(MonitorView):
    @describe("resume_monitor", "Check again", body=Nothing, answer=MonitorOut)
    def post(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        return self.answer(set_enabled(monitor=self.monitor(id), is_enabled=True, by=self.user))


class SnoozeMonitor(MonitorView):
    @describe("snooze_monitor", "Tell nobody of it for a while", body=SnoozeIn, answer=MonitorOut)
    def post(self, request: Request, id: UUID) -> Response:
        length = timedelta(seconds=self.read(SnoozeIn).seconds)
        return self.answer(snooze_monitor(monitor=self.monitor(id), length=length, by=self.user))


class UnsnoozeMonitor(MonitorView):
    @describe("unsnooze_monitor", "End its snooze now", body=Nothing, answer=MonitorOut)
    def post(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        return self.answer(unsnooze_monitor(monitor=self.monitor(id), by=self.user))


class CheckMonitor(MonitorView):
    @describe("check_monitor", "Check now", body=Nothing, answer=MonitorOut, status=202)
    def post(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        monitor = self.monitor(id)
        check_now(monitor=monitor)
        return self.answer(monitor, status=202)


class MonitorResults(MonitorView):
    @describe(
        "list_results",
        "What the checks saw, newest first",
        query=ResultsQuery,
        answer=Slice[ResultOut],
    )
    def get(self, request: Request, id: UUID) -> Response:
        monitor, query = self.monitor(id), self.query(ResultsQuery)
        places = dict(monitor.assignments.values_list("id", "location__slug"))
        wanted = Wanted(
            [pk for pk, slug in places.items() if not query.location or slug in query.location],
            since=query.since,
            until=query.until,
            statuses=query.status,
        )

        def fetch(cursor: Cursor | None, limit: int) -> list[Result]:
            if cursor is None:
                return read_results(wanted, limit)
            edge = (cursor.at, cursor.id)
            past = replace(wanted, edge=edge, is_ascending=cursor.is_backward)
            return read_results(past, limit)

        def present(results: Sequence[Result]) -> list[ResultOut]:
            inside = under_maintenance(monitor, [one.checked_at for one in results])
            return [
                present_result(
                    one,
                    monitor=monitor.pk,
                    location=places[one.assignment_id],
                    is_in_maintenance=one.checked_at in inside,
                )
                for one in results
            ]

        return Response(slice_from(request._request, fetch, query, present, by="checked_at"))


class MonitorHistory(MonitorView):
    @describe(
        "list_history",
        "Stretches of one status, newest first",
        query=HistoryQuery,
        answer=Page[SpanOut],
    )
    def get(self, request: Request, id: UUID) -> Response:
        monitor, query = self.monitor(id), self.query(HistoryQuery)
        spans = _spans_within(monitor, query.since, query.until).order_by("-started_at", "-id")
        return Response(page_of(request._request, spans, query, _present_spans))


class MonitorStatistics(MonitorView):
    @describe(
        "get_statistics",
        "Figures of a window: uptime, latency, incidents, SLA",
        query=StatisticsQuery,
        answer=StatisticsOut,
    )
    def get(self, request: Request, id: UUID) -> Response:
        monitor = self.monitor(id)
        since, until = _window(self.query(StatisticsQuery), now=timezone.now())
        found = monitor_figures(monitor, since=since, until=until)
        return Response(
            StatisticsOut(
                **_present_figures(found, since, until),
                sla=_present_promise(found.spent, monitor.sla_target),
            )
        )


class GroupStatistics(ApiView):
    @describe(
        "get_group_statistics",
        "Figures of a window, of the team's monitors together or of those with a tag",
        query=GroupStatisticsQuery,
        answer=GroupStatisticsOut,
    )
    def get(self, request: Request) -> Response:
        query = self.query(GroupStatisticsQuery)
        since, until = _window(query, now=timezone.now())
        monitors = Monitor.objects.visible_to(self.team).tagged(*query.tag)
        found = group_figures(monitors, since=since, until=until)
        kept = Counter(promise.is_kept for promise in found.promises.values())
        return Response(
            GroupStatisticsOut(
                **_present_figures(found, since, until),
                monitors=found.monitors,
                sla=GroupSlaOut(met=kept[True], missed=kept[False]),
            )
        )


class BulkMonitors(ApiView):
    max_body_bytes: ClassVar[int] = 16 << 20

    @describe(
        "save_monitors",
        "Create or update up to 1,000 monitors, all or none, matched by `key`",
        body=BulkIn,
        answer=BulkOut,
    )
    def post(self, request: Request) -> Response:
        saved = save_monitors(team=self.team, items=_bulk_items(self.body), by=self.user)
        return Response(
            BulkOut(created=saved.created, updated=saved.updated, results=_in_order(saved.ids))
        )


class Locations(ApiView):
    @describe(
        "list_locations", "Places that checks run from", query=PageQuery, answer=Page[LocationOut]
    )
    def get(self, request: Request) -> Response:
        query = self.query(PageQuery)
        return Response(page_of(request._request, Location.objects.all(), query, _present_places))


def present_monitors(monitors: Sequence[Monitor]) -> list[MonitorOut]:
    """Monitors as the API shows them: at most four queries, whatever their number."""
    parents = parents_of([monitor.pk for monitor in monitors])
    groups = [monitor.pk for monitor in monitors if monitor.kind == GROUP]
    members = named_members_of(groups) if groups else {}
    incidents = dict(
        Monitor.objects.filter(
            pk__in=[monitor.pk for monitor in monitors],
            incidents__status__in=["open", "acknowledged"],
        ).values_list("pk", "incidents__pk")
    )
    return [
        _present_monitor(
            row,
            incidents.get(row.monitor.pk),
            parents[row.monitor.pk],
            members.get(row.monitor.pk, []),
        )
        for row in monitor_rows(monitors)
    ]


def _present_monitor(
    row: MonitorRow, incident: UUID | None, parents: list[UUID], members: list[UUID]
) -> MonitorOut:
    monitor = row.monitor
    kind = KINDS.get(monitor.kind)
    return MonitorOut(
        id=monitor.pk,
        created_at=monitor.created_at,
        updated_at=monitor.updated_at,
        key=monitor.key,
        name=monitor.name,
        kind=monitor.kind,
        target=monitor.target,
        interval=monitor.interval_s,
        timeout=monitor.timeout_ms / 1000,
        failure_threshold=monitor.failure_threshold,
        failure_window=monitor.failure_window,
        recovery_threshold=monitor.recovery_threshold,
        retry_interval=monitor.retry_interval_s,
        locations=list(row.locations),
        quorum=monitor.quorum,
        flap_threshold=monitor.flap_threshold,
        flap_window=monitor.flap_window_s,
        depends_on=[str(parent) for parent in parents],
        members=[str(member) for member in members],
        enabled=monitor.enabled,
        tags=monitor.tags,
        settings={**_default_settings(monitor.kind), **monitor.settings},
        sla_target=monitor.sla_target,
        status=Status(monitor.status),
        reason=monitor.reason,
        message=monitor.message,
        last_checked_at=row.last_checked_at,
        last_change_at=monitor.last_change_at,
        latency_ms=row.latency_ms,
        cert_expires_at=row.cert_expires_at,
        incident=incident,
        snoozed_until=monitor.snoozed_until,
        ping_url=ping_url(monitor) if kind is not None and kind.is_passive else None,
    )


def ping_url(monitor: Monitor) -> str:
    return f"{settings.BASE_URL}{reverse('ping', kwargs={'key': monitor.ping_key})}"


def present_result(
    result: Result, *, monitor: UUID, location: str, is_in_maintenance: bool
) -> ResultOut:
    return ResultOut(
        id=result.id,
        monitor=monitor,
        location=location,
        checked_at=result.checked_at,
        due_at=result.due_at,
        status=result.status,
        reason=result.reason,
        message=result.message,
        http_status=result.http_status,
        latency_ms=result.latency_ms,
        phases=PhasesOut(
            dns_ms=result.dns_ms,
            connect_ms=result.connect_ms,
            tls_ms=result.tls_ms,
            first_byte_ms=result.first_byte_ms,
            transfer_ms=result.transfer_ms,
        ),
        cert_expires_at=result.cert_expires_at,
        attempt=result.attempt,
        maintenance=is_in_maintenance,
    )


RANKS = {"p50_ms": 0.5, "p75_ms": 0.75, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99}


def _present_figures(found: Figures, since: datetime, until: datetime) -> dict[str, Any]:
    """The fields of `WindowFiguresOut`."""
    spent, checks, latencies = found.spent, found.checks, found.checks.latencies
    percentiles = latencies.percentiles_ms(RANKS.values())
    return {
        "since": since,
        "until": until,
        "seconds": SecondsOut(
            **{name: getattr(spent, name).total_seconds() for name in SecondsOut.model_fields}
        ),
        "uptime_percent": spent.uptime_percent,
        "coverage_percent": spent.coverage_percent,
        "checks": ChecksOut(**{name: getattr(checks, name) for name in ChecksOut.model_fields}),
        "latency": LatencyOut(
            avg_ms=_tidy_ms(latencies.avg_ms),
            min_ms=_tidy_ms(latencies.min_ms),
            max_ms=_tidy_ms(latencies.max_ms),
            **{name: _tidy_ms(ms) for name, ms in zip(RANKS, percentiles, strict=True)},
        ),
        "incidents": found.incidents.count,
        "mttr_seconds": _in_seconds(found.incidents.mttr),
        "mtbf_seconds": _in_seconds(found.incidents.mtbf(spent)),
    }


def _present_promise(spent: Statistics, per_mille: int | None) -> SlaOut | None:
    if per_mille is None:
        return None
    promise = judge_promise(spent, per_mille=per_mille)
    return SlaOut(
        target_percent=per_mille / 10,
        met=promise.is_kept,
        error_budget_seconds=promise.budget.total_seconds(),
        error_budget_left_seconds=promise.left.total_seconds(),
    )


def _tidy_ms(latency_ms: float | None) -> float | None:
    """To the microsecond, as it was measured."""
    return None if latency_ms is None else round(latency_ms, 3)


def _in_seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _present_spans(spans: Sequence[StatusSpan]) -> list[SpanOut]:
    now = timezone.now()
    return [
        SpanOut(
            status=Status(span.status),
            reason=span.reason,
            started_at=span.started_at,
            ended_at=span.ended_at,
            duration_seconds=((span.ended_at or now) - span.started_at).total_seconds(),
        )
        for span in spans
    ]


def _present_places(locations: Sequence[Location]) -> list[LocationOut]:
    return [
        LocationOut(
            slug=one.slug,
            name=one.name,
            blind_since=one.blind_since,
            offline_since=one.offline_since,
            created_at=one.created_at,
        )
        for one in locations
    ]


def _in_order(ids: Sequence[UUID]) -> list[MonitorOut]:
    found = Monitor.objects.in_bulk(ids)
    return present_monitors([found[id] for id in ids])


@cache
def _default_settings(kind: str) -> dict[str, Any]:
    """What a kind's settings are when nothing is said; a kind that is no more has none."""
    if kind not in KINDS:
        return {}
    fields = KINDS[kind].settings.model_fields.items()
    return {
        name: to_jsonable_python(field.get_default(call_default_factory=True))
        for name, field in fields
        if not field.is_required()
    }


def _filtered(monitors: MonitorQuerySet, query: MonitorsQuery) -> MonitorQuerySet:
    if query.status:
        monitors = monitors.filter(status__in=query.status)
    if query.kind:
        monitors = monitors.filter(kind__in=query.kind)
    if query.tag:
        monitors = monitors.filter(tags__contains=query.tag)
    if query.enabled is not None:
        monitors = monitors.filter(enabled=query.enabled)
    if query.q:
        monitors = monitors.filter(
            Q(name__icontains=query.q) | Q(target__icontains=query.q) | Q(key__icontains=query.q)
        )
    field = query.ordering.removeprefix("-")
    if field == "status":
        ordered = monitors.worst_first()
        return ordered.reverse() if query.ordering.startswith("-") else ordered
    return monitors.order_by(query.ordering, "id")


def _spans_within(
    monitor: Monitor, since: datetime | None, until: datetime | None
) -> QuerySet[StatusSpan]:
    """The spans of which any part lies in the window."""
    spans = StatusSpan.objects.filter(monitor=monitor)
    if since:
        spans = spans.filter(Q(ended_at=None) | Q(ended_at__gt=since))
    if until:
        spans = spans.filter(started_at__lt=until)
    return spans


def _window(query: StatisticsQuery, *, now: datetime) -> tuple[datetime, datetime]:
    """The window that is asked for, cut at the present. Raises Invalid."""
    if query.window and (query.since or query.until):
        raise Invalid({"window": ["Give either a window or since and until."]})
    if query.since is None:
        if query.until:
            raise Invalid({"since": ["With until, since is needed too."]})
        return now - WINDOWS[query.window or "24h"], now
    until = min(query.until or now, now)
    if query.since >= until:
        raise Invalid({"since": ["This must be before until, and in the past."]})
    return query.since, until


def _bulk_items(body: Any) -> list[dict[str, Any]]:
    """The monitors of a bulk request. Raises Invalid for a wrong form."""
    envelope = as_object(body)
    if unknown := envelope.keys() - {"monitors"}:
        raise Invalid({name: ["There is no such field."] for name in unknown})
    items = envelope.get("monitors")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Invalid({"monitors": ["This must be a list of monitors."]})
    if not 1 <= len(items) <= MAX_BULK:
        raise Invalid({"monitors": [f"Send 1 to {MAX_BULK} monitors."]})
    return items
