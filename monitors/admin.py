import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin import helpers
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from incidents.actions import snooze_monitor, unsnooze_monitor
from monitors.actions import check_now, create_monitor, update_monitor
from monitors.models import (
    Assignment,
    Chore,
    Location,
    Monitor,
    Ping,
    Result,
    Shift,
    StatusSpan,
)
from probe.anchors import clean_anchor
from probe.kinds import KINDS
from uptime.admin_site import (
    ActionAdmin,
    ActionForm,
    Admin,
    RecentFilter,
    RecordAdmin,
    act_on_each,
    link_to_list,
    signed_in,
)
from uptime.operations import delete_monitor, set_enabled

BODY_SHOWN = 2000


class MonitorForm(ActionForm[Monitor]):
    """Rules live in `monitors.drafts`; secrets in the settings are masked, and kept if left so."""

    value_names = {
        "interval_s": "interval",
        "timeout_ms": "timeout",
        "retry_interval_s": "retry_interval",
        "flap_window_s": "flap_window",
    }
    kind = forms.ChoiceField(choices=lambda: [(kind.name, kind.label) for kind in KINDS.values()])
    locations = forms.ModelMultipleChoiceField(
        Location.objects.all(), to_field_name="slug", widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = Monitor
        fields = (
            "team",
            "kind",
            "name",
            "target",
            "key",
            "tags",
            "enabled",
            "interval_s",
            "timeout_ms",
            "retry_interval_s",
            "failure_threshold",
            "failure_window",
            "recovery_threshold",
            "quorum",
            "flap_threshold",
            "flap_window_s",
            "depends_on",
            "members",
            "sla_target",
            "settings",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chosen = Location.objects.filter(slug=Location.LOCAL)
        if not self.instance._state.adding:
            chosen = Location.objects.filter(
                assignments__monitor=self.instance, assignments__is_active=True
            )
        self.initial["locations"] = [location.slug for location in chosen]

    def as_value(self, field: str, entered: Any) -> Any:
        if field == "locations":
            return [location.slug for location in entered]
        if field in ("depends_on", "members"):
            return [str(monitor.pk) for monitor in entered]
        if field == "timeout_ms" and entered is not None:
            return entered / 1000
        if field == "settings":
            return entered or {}
        return entered


class HoursForm(helpers.ActionForm):
    """For how long to snooze."""

    hours = forms.IntegerField(
        label="Hours:", min_value=1, max_value=30 * 24, initial=8, required=False
    )


@admin.register(Monitor)
class MonitorAdmin(ActionAdmin[Monitor]):
    form = MonitorForm
    action_form = HoursForm
    list_display = ("name", "team", "kind", "target", "status", "reason", "last_change_at")
    list_filter = ("status", "kind", "enabled")
    list_select_related = ("team",)
    search_fields = ("name", "target", "key", "team__name")
    ordering = ("name", "id")
    autocomplete_fields = ("team", "depends_on", "members")
    actions = ("pause", "resume", "snooze", "unsnooze", "check_soon")
    readonly_fields = (
        "status",
        "reason",
        "message",
        "last_change_at",
        "snoozed_until",
        "history",
        "revision",
        "created_at",
        "updated_at",
    )
    fieldsets = (
        (None, {"fields": ("team", "kind", "name", "target", "key", "tags", "enabled")}),
        (
            "When and where",
            {"fields": ("interval_s", "timeout_ms", "retry_interval_s", "locations")},
        ),
        (
            "Judging",
            {
                "fields": (
                    "failure_threshold",
                    "failure_window",
                    "recovery_threshold",
                    "quorum",
                    "flap_threshold",
                    "flap_window_s",
                    "depends_on",
                    "members",
                    "sla_target",
                )
            },
        ),
        ("Settings of the kind", {"fields": ("settings",)}),
        ("State", {"fields": readonly_fields}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Monitor | None = None) -> list[str]:
        # Pausing ends incidents: it is an action of the list, not a box to tick.
        fixed = ["team", "kind", "enabled"] if obj else []
        return [*self.readonly_fields, *fixed]

    @admin.display(description="history")
    def history(self, monitor: Monitor) -> SafeString | str:
        if monitor._state.adding:
            return "-"
        links = [
            link_to_list(
                Result, f"Results at {one.location.slug}", assignment=one.pk, when="last day"
            )
            for one in monitor.assignments.select_related("location").order_by("location__slug")
        ]
        others: list[tuple[type[Model], str]] = [(StatusSpan, "Status spans"), (Ping, "Pings")]
        links += [link_to_list(model, text, monitor=monitor.pk) for model, text in others]
        return format_html_join(" · ", "{}", ((link,) for link in links))

    def create(self, values: dict[str, Any], request: HttpRequest) -> Monitor:
        return create_monitor(team=values.pop("team"), values=values)

    def update(self, obj: Monitor, values: dict[str, Any], request: HttpRequest) -> object:
        return update_monitor(monitor=obj, values=values)

    def remove(self, obj: Monitor) -> None:
        delete_monitor(monitor=obj)

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, chosen: QuerySet[Monitor]) -> None:
        self._switch(request, chosen, is_on=False)

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, chosen: QuerySet[Monitor]) -> None:
        self._switch(request, chosen, is_on=True)

    @admin.action(description="Snooze for so many hours", permissions=["change"])
    def snooze(self, request: HttpRequest, chosen: QuerySet[Monitor]) -> None:
        by, length = signed_in(request), timedelta(hours=int(request.POST.get("hours") or 8))
        act_on_each(
            request,
            chosen,
            lambda monitor: snooze_monitor(monitor=monitor, length=length, by=by),
            done="Snoozed",
        )

    @admin.action(description="End the snooze", permissions=["change"])
    def unsnooze(self, request: HttpRequest, chosen: QuerySet[Monitor]) -> None:
        by = signed_in(request)
        act_on_each(
            request,
            chosen,
            lambda monitor: unsnooze_monitor(monitor=monitor, by=by),
            done="Ended",
        )

    def _switch(self, request: HttpRequest, chosen: QuerySet[Monitor], *, is_on: bool) -> None:
        by = signed_in(request)
        act_on_each(
            request,
            chosen,
            lambda monitor: set_enabled(monitor=monitor, is_enabled=is_on, by=by),
            done="Resumed" if is_on else "Paused",
        )

    @admin.action(description="Check now", permissions=["change"])
    def check_soon(self, request: HttpRequest, chosen: QuerySet[Monitor]) -> None:
        act_on_each(
            request, chosen, lambda monitor: check_now(monitor=monitor), done="Being checked"
        )


class LocationForm(forms.ModelForm[Location]):
    def clean_anchors(self) -> list[str]:
        try:
            return [clean_anchor(name) for name in self.cleaned_data["anchors"]]
        except ValueError as error:
            raise ValidationError(str(error)) from None


@admin.register(Location)
class LocationAdmin(Admin[Location]):
    """A location that has assignments can't be deleted: results name them."""

    form = LocationForm
    list_display = ("slug", "name", "blind_since", "offline_since", "created_at")
    search_fields = ("slug", "name")

    def get_readonly_fields(self, request: HttpRequest, obj: Location | None = None) -> list[str]:
        return [*(["slug"] if obj else []), "blind_since", "offline_since", "created_at"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and (obj.slug == Location.LOCAL or obj.assignments.exists()):
            return False
        return super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """One by one only: each is asked whether it is in use."""
        return {}


@admin.register(Assignment)
class AssignmentAdmin(RecordAdmin[Assignment]):
    list_display = (
        "monitor",
        "location",
        "state",
        "next_due_at",
        "last_checked_at",
        "last_status",
        "last_reason",
        "failures",
        "missed",
        "lease_expires_at",
    )
    list_filter = ("state", "is_active", "location")
    list_select_related = ("monitor", "location")
    search_fields = ("monitor__name",)
    ordering = ("-id",)


class ResultSpan(RecentFilter):
    """Without an assignment, results are found by time alone: further back there are too many."""

    spans = {
        "last 5 minutes": timedelta(minutes=5),
        "last hour": timedelta(hours=1),
        "last day": timedelta(days=1),
        "all": None,
    }

    def offered(self, request: HttpRequest) -> list[str]:
        return list(self.spans) if "assignment" in request.GET else list(self.spans)[:2]

    def since(self, queryset: QuerySet[Result], moment: datetime) -> QuerySet[Result]:
        return queryset.filter(checked_at__gte=moment)


@admin.register(Result)
class ResultAdmin(RecordAdmin[Result]):
    """The results of the last days, which are not packed yet; the API has those before, too.

    Fast on any number of results, because every query is bounded.
    A list is bounded by time (BRIN index) or by one assignment (primary key), and ordered by time.
    Names come from two further queries for the page's rows, not from a join of all candidates.
    """

    MOST_FOUND: ClassVar[int] = 50

    list_display = (
        "checked_at",
        "monitor",
        "location",
        "status",
        "reason",
        "http_status",
        "latency_ms",
        "lateness_ms",
        "attempt",
    )
    list_filter = (ResultSpan, "status")
    search_fields = ("assignment__monitor__name",)
    search_help_text = f"A part of a monitor's name; the first {MOST_FOUND} monitors count."
    ordering = ("-checked_at",)
    fields = (
        "id",
        "monitor",
        "location",
        "due_at",
        "checked_at",
        "lateness_ms",
        "attempt",
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
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Result]:
        return (
            super()
            .get_queryset(request)
            .prefetch_related("assignment__monitor", "assignment__location")
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Result], search_term: str
    ) -> tuple[QuerySet[Result], bool]:
        if not search_term:
            return queryset, False
        found = Monitor.objects.filter(name__icontains=search_term).order_by("name")
        monitors = list(found.values_list("pk", flat=True)[: self.MOST_FOUND])
        assignments = Assignment.objects.filter(monitor__in=monitors)
        return queryset.filter(assignment__in=list(assignments.values_list("pk", flat=True))), False

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Result | None:
        """By the id alone, which has no index, and yet within a bounded span of time.

        The id begins with the due instant (see `probe.values.result_id`). Hardly any check starts
        more than minutes late; for those that do, a day is searched.
        """
        try:
            wanted = uuid.UUID(object_id)
            due_at = datetime.fromtimestamp((wanted.int >> 80) / 1000, UTC)
            for patience in (timedelta(minutes=5), timedelta(days=1)):
                near = Q(
                    checked_at__gte=due_at - timedelta(seconds=5), checked_at__lt=due_at + patience
                )
                if result := self.get_queryset(request).filter(near, pk=wanted).first():
                    return result
        except (ValueError, OverflowError, ValidationError):
            pass  # no id of a result: not found
        return None

    @admin.display(description="monitor")
    def monitor(self, result: Result) -> str:
        return str(result.assignment.monitor)

    @admin.display(description="location")
    def location(self, result: Result) -> str:
        return str(result.assignment.location)

    @admin.display(description="late (ms)")
    def lateness_ms(self, result: Result) -> float:
        return round(result.lateness / timedelta(milliseconds=1), 1)


@admin.register(StatusSpan)
class StatusSpanAdmin(RecordAdmin[StatusSpan]):
    list_display = ("monitor", "status", "reason", "started_at", "ended_at")
    list_filter = ("status",)
    list_select_related = ("monitor",)
    search_fields = ("monitor__name",)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Each by an index that has this very order."""
        return ("-started_at",) if "monitor" in request.GET else ("-id",)


@admin.register(Ping)
class PingAdmin(RecordAdmin[Ping]):
    list_display = ("at", "monitor", "kind", "method", "exit_status", "duration_ms")
    list_filter = ("kind",)
    list_select_related = ("monitor",)
    search_fields = ("monitor__name",)
    fields = (
        "monitor",
        "kind",
        "at",
        "method",
        "exit_status",
        "rid",
        "duration_ms",
        "remote_address",
        "user_agent",
        "text",
    )

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Each by an index that has this very order."""
        return ("-at",) if "monitor" in request.GET else ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Ping]:
        """Lists do without the bodies: up to 100 kB for each row."""
        queryset = super().get_queryset(request)
        matched = request.resolver_match
        is_list = matched is not None and matched.url_name == "monitors_ping_changelist"
        return queryset.defer("body") if is_list else queryset

    @admin.display(description="body")
    def text(self, ping: Ping) -> str:
        body = bytes(ping.body)
        cut = f"\n… {len(body) - BODY_SHOWN} bytes more" if len(body) > BODY_SHOWN else ""
        return body[:BODY_SHOWN].decode(errors="replace") + cut


@admin.register(Chore)
class ChoreAdmin(RecordAdmin[Chore]):
    list_display = ("name", "done_until", "position", "ran_at", "failing_since", "error")
    ordering = ("name",)


@admin.register(Shift)
class ShiftAdmin(RecordAdmin[Shift]):
    list_display = (
        "duty",
        "host",
        "pid",
        "started_at",
        "beat_at",
        "is_draining",
        "busy",
        "lateness",
        "blind_since",
    )
    list_filter = ("duty", "is_draining")
    search_fields = ("host",)
    ordering = ("-beat_at",)
