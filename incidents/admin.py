from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from incidents.actions import assign_incident
from incidents.maintenance.actions import end_window, start_window
from incidents.models import Evidence, Incident, IncidentEvent, MaintenanceWindow
from uptime.admin_site import RecordAdmin, act_on_each, signed_in
from uptime.operations import acknowledge_incident, resolve_incident


class TimelineInline(admin.TabularInline[IncidentEvent, Incident]):
    model = IncidentEvent
    fields = readonly_fields = ("at", "kind", "author", "severity", "message", "is_public")
    ordering = ("at",)
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[IncidentEvent]:
        return super().get_queryset(request).select_related("author")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Incident)
class IncidentAdmin(RecordAdmin[Incident]):
    """To be looked at, acknowledged and resolved; only transitions write an incident."""

    list_display = (
        "monitor",
        "team",
        "severity",
        "status",
        "reason",
        "started_at",
        "resolved_at",
        "acknowledged_by",
        "assigned_to",
        "changes",
        "parent",
        "held_since",
    )
    list_filter = ("status", "severity")
    list_select_related = ("monitor", "team", "acknowledged_by", "assigned_to", "parent__monitor")
    search_fields = ("monitor__name", "team__name", "reason")
    ordering = ("-id",)
    inlines = (TimelineInline,)
    actions = ("acknowledge", "take", "resolve")

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("incidents.change_incident")

    @admin.action(description="Acknowledge", permissions=["act"])
    def acknowledge(self, request: HttpRequest, chosen: QuerySet[Incident]) -> None:
        act_on_each(
            request,
            chosen,
            lambda incident: acknowledge_incident(incident=incident, by=signed_in(request)),
            done="Acknowledged",
        )

    @admin.action(description="Assign to me", permissions=["act"])
    def take(self, request: HttpRequest, chosen: QuerySet[Incident]) -> None:
        me = signed_in(request)
        act_on_each(
            request,
            chosen,
            lambda incident: assign_incident(incident=incident, to=me, by=me),
            done="Assigned",
        )

    @admin.action(description="Resolve", permissions=["act"])
    def resolve(self, request: HttpRequest, chosen: QuerySet[Incident]) -> None:
        act_on_each(
            request,
            chosen,
            lambda incident: resolve_incident(incident=incident, by=signed_in(request)),
            done="Resolved",
        )


@admin.register(Evidence)
class EvidenceAdmin(RecordAdmin[Evidence]):
    list_display = ("checked_at", "assignment", "status", "reason", "http_status")
    list_filter = ("status",)
    list_select_related = ("assignment__monitor", "assignment__location")
    search_fields = ("assignment__monitor__name", "reason")
    ordering = ("-id",)


@admin.register(IncidentEvent)
class IncidentEventAdmin(RecordAdmin[IncidentEvent]):
    list_display = ("at", "incident", "kind", "severity", "author", "is_public")
    list_filter = ("kind", "is_public")
    list_select_related = ("incident__monitor", "author")
    search_fields = ("incident__monitor__name", "message")
    ordering = ("-id",)


@admin.register(MaintenanceWindow)
class MaintenanceWindowAdmin(RecordAdmin[MaintenanceWindow]):
    """To be looked at, started and ended; what covers whom is planned by its team."""

    list_display = (
        "name",
        "team",
        "begins_at",
        "finishes_at",
        "rrule",
        "time_zone",
        "is_for_all",
        "tags",
        "is_public",
    )
    list_filter = ("is_public", "is_for_all")
    list_select_related = ("team",)
    search_fields = ("name", "team__name")
    ordering = ("begins_at", "id")
    actions = ("start", "end")

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("incidents.change_maintenancewindow")

    @admin.action(description="Start the next occurrence now", permissions=["act"])
    def start(self, request: HttpRequest, chosen: QuerySet[MaintenanceWindow]) -> None:
        act_on_each(request, chosen, lambda one: start_window(window=one), done="Started")

    @admin.action(description="End the present occurrence now", permissions=["act"])
    def end(self, request: HttpRequest, chosen: QuerySet[MaintenanceWindow]) -> None:
        act_on_each(request, chosen, lambda one: end_window(window=one), done="Ended")
