from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm as ListForm
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import User
from incidents.actions import assign_incident
from incidents.maintenance.actions import (
    LONGEST_EXTENSION_MIN,
    create_window,
    delete_window,
    end_window,
    extend_window,
    start_window,
    update_window,
)
from incidents.models import Evidence, Incident, IncidentEvent, MaintenanceWindow
from uptime.admin_site import ActionAdmin, ActionForm, RecordAdmin, act_on_each, signed_in
from uptime.operations import acknowledge_incident, comment_incident, resolve_incident
from uptime.time_forms import WallTimeField
from uptime.wall_clock import instant_of, is_zone, wall_time


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


class IncidentActionForm(ListForm):
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


class WindowActionForm(ListForm):
    """By how much an occurrence is to be extended."""

    minutes = forms.IntegerField(
        label="Minutes:", min_value=1, max_value=LONGEST_EXTENSION_MIN, initial=30, required=False
    )


class WindowForm(ActionForm[MaintenanceWindow]):
    """A window; its times are those of the clocks of its time zone, as on its page."""

    value_names = {"time_zone": "timezone", "is_for_all": "all", "is_public": "public"}
    starts_at = WallTimeField(label="From", required=True)
    ends_at = WallTimeField(label="Until", required=True)

    class Meta:
        model = MaintenanceWindow
        fields = (
            "team",
            "name",
            "time_zone",
            "rrule",
            "is_for_all",
            "monitors",
            "tags",
            "is_public",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        window = self.instance
        if not window._state.adding:
            for name in _TIMES:
                self.initial[name] = wall_time(getattr(window, name), window.zone)

    def clean_time_zone(self) -> str:
        """Without it no time makes sense."""
        name: str = self.cleaned_data["time_zone"].strip()
        if not is_zone(name):
            raise forms.ValidationError("This is not the name of a time zone.")
        return name

    def _get_validation_exclusions(self) -> set[str]:
        # Wall times, which the model knows nothing of: the action judges what they mean.
        return {*super()._get_validation_exclusions(), *_TIMES}  # type: ignore[misc] # not in the stubs

    def values(self, *, only_changed: bool) -> dict[str, Any]:
        """Times go with their zone: another one makes others of them."""
        values = super().values(only_changed=only_changed)
        if "timezone" in values or not values.keys().isdisjoint(_TIMES):
            values |= {name: self.cleaned_data[name] for name in _TIMES}
        zone = ZoneInfo(self.cleaned_data["time_zone"])
        return {
            name: instant_of(value, zone) if name in _TIMES else value
            for name, value in values.items()
        }

    def as_value(self, field: str, entered: Any) -> Any:
        return [monitor.pk for monitor in entered] if field == "monitors" else entered


_TIMES = ("starts_at", "ends_at")


@admin.register(MaintenanceWindow)
class MaintenanceWindowAdmin(ActionAdmin[MaintenanceWindow]):
    form = WindowForm
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
    autocomplete_fields = ("team", "monitors")
    actions = ("start", "extend", "end")
    fields = (
        "team",
        "name",
        "time_zone",
        "starts_at",
        "ends_at",
        "rrule",
        "is_for_all",
        "monitors",
        "tags",
        "is_public",
        "begins_at",
        "finishes_at",
        "created_at",
    )
    readonly_fields = ("begins_at", "finishes_at", "created_at")

    def get_readonly_fields(
        self, request: HttpRequest, obj: MaintenanceWindow | None = None
    ) -> list[str]:
        return [*self.readonly_fields, *(["team"] if obj else [])]

    def create(self, values: dict[str, Any], request: HttpRequest) -> MaintenanceWindow:
        return create_window(team=values.pop("team"), values=values)

    def update(
        self, obj: MaintenanceWindow, values: dict[str, Any], request: HttpRequest
    ) -> object:
        return update_window(window=obj, values=values)

    def remove(self, obj: MaintenanceWindow) -> None:
        delete_window(window=obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The action has written the monitors, too."""

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
