from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import User
from incidents.actions import assign_incident
from incidents.maintenance.actions import (
    LONGEST_EXTENSION_MIN,
    end_window,
    extend_window,
    start_window,
)
from incidents.models import Evidence, Incident, IncidentEvent, MaintenanceWindow
from uptime.admin_site import RecordAdmin, act_on_each, signed_in
from uptime.operations import acknowledge_incident, comment_incident, resolve_incident


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


class IncidentActionForm(ActionForm):
    """What some of the list's actions need besides."""

    comment = forms.CharField(label="Comment:", required=False)
    to = forms.CharField(label="Assign to (e-mail):", required=False)


@admin.register(Incident)
class IncidentAdmin(RecordAdmin[Incident]):
    """To be looked at, and for what people do to incidents; only transitions write them."""

    action_form = IncidentActionForm

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
    actions = ("acknowledge", "take", "assign", "comment", "resolve")

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

    @admin.action(
        description="Assign to the one with this e-mail, or to nobody", permissions=["act"]
    )
    def assign(self, request: HttpRequest, chosen: QuerySet[Incident]) -> None:
        by, email = signed_in(request), request.POST.get("to", "").strip()
        to = User.objects.filter(email__iexact=email).first() if email else None
        if email and to is None:
            self.message_user(request, f"Nobody has the address {email}.", messages.WARNING)
            return
        act_on_each(
            request,
            chosen,
            lambda incident: assign_incident(incident=incident, to=to, by=by),
            done="Assigned",
        )

    @admin.action(description="Comment", permissions=["act"])
    def comment(self, request: HttpRequest, chosen: QuerySet[Incident]) -> None:
        by, message = signed_in(request), request.POST.get("comment", "")
        act_on_each(
            request,
            chosen,
            lambda incident: comment_incident(incident=incident, by=by, message=message),
            done="Commented",
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


class WindowActionForm(ActionForm):
    """By how much an occurrence is to be extended."""

    minutes = forms.IntegerField(
        label="Minutes:", min_value=1, max_value=LONGEST_EXTENSION_MIN, initial=30, required=False
    )


@admin.register(MaintenanceWindow)
class MaintenanceWindowAdmin(RecordAdmin[MaintenanceWindow]):
    """To be looked at, started, extended and ended; its team plans what covers whom."""

    action_form = WindowActionForm

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
    actions = ("start", "extend", "end")

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("incidents.change_maintenancewindow")

    @admin.action(description="Start the next occurrence now", permissions=["act"])
    def start(self, request: HttpRequest, chosen: QuerySet[MaintenanceWindow]) -> None:
        act_on_each(request, chosen, lambda one: start_window(window=one), done="Started")

    @admin.action(description="Let the present or next occurrence end later", permissions=["act"])
    def extend(self, request: HttpRequest, chosen: QuerySet[MaintenanceWindow]) -> None:
        minutes = int(request.POST.get("minutes") or 30)
        act_on_each(
            request,
            chosen,
            lambda one: extend_window(window=one, minutes=minutes),
            done="Extended",
        )

    @admin.action(description="End the present occurrence now", permissions=["act"])
    def end(self, request: HttpRequest, chosen: QuerySet[MaintenanceWindow]) -> None:
        act_on_each(request, chosen, lambda one: end_window(window=one), done="Ended")
