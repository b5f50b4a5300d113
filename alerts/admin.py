import uuid
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from pydantic_core import to_jsonable_python

from alerts.actions import (
    create_channel,
    create_policy,
    delete_channel,
    delete_policy,
    policy_values,
    retry_delivery,
    send_test,
    update_channel,
    update_policy,
)
from alerts.channels import CHANNELS
from alerts.models import (
    Attempt,
    Channel,
    Delivery,
    Escalation,
    Event,
    ExpiryNotice,
    Override,
    Policy,
    Reach,
    Schedule,
)
from alerts.on_call.actions import (
    create_schedule,
    delete_schedule,
    schedule_values,
    update_schedule,
)
from uptime.admin_site import ActionAdmin, ActionForm, RecentFilter, RecordAdmin, act_on_each


class ChannelForm(ActionForm[Channel]):
    """Secrets in the config are masked, and kept if left so."""

    type = forms.ChoiceField(choices=lambda: [(name, name) for name in CHANNELS])

    class Meta:
        model = Channel
        fields = (
            "team",
            "name",
            "type",
            "enabled",
            "fallback",
            "digest_above",
            "rate_per_minute",
            "reports",
            "config",
        )

    def as_value(self, field: str, entered: Any) -> Any:
        if field == "fallback":
            return entered.pk if entered else None
        return entered or {} if field == "config" else entered


@admin.register(Channel)
class ChannelAdmin(ActionAdmin[Channel]):
    form = ChannelForm
    list_display = ("name", "team", "type", "enabled", "last_sent_at", "last_error")
    list_filter = ("type", "enabled")
    list_select_related = ("team",)
    search_fields = ("name", "team__name")
    ordering = ("name", "id")
    autocomplete_fields = ("team", "fallback")
    actions = ("test", "enable", "disable")
    fields = (
        "team",
        "name",
        "type",
        "enabled",
        "fallback",
        "digest_above",
        "rate_per_minute",
        "reports",
        "config",
        "dead_since",
        "last_sent_at",
        "last_error",
        "created_at",
        "updated_at",
    )
    readonly_fields = ("dead_since", "last_sent_at", "last_error", "created_at", "updated_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Channel | None = None) -> list[str]:
        return [*self.readonly_fields, *(["team", "type"] if obj else [])]

    def create(self, values: dict[str, Any], request: HttpRequest) -> Channel:
        channel = create_channel(team=values.pop("team"), values=values)
        if channel.new_secrets:
            made = " and ".join(channel.new_secrets)
            messages.info(request, f"A {made} was made. Set your own in the config to know it.")
        return channel

    def update(self, obj: Channel, values: dict[str, Any], request: HttpRequest) -> object:
        return update_channel(channel=obj, values=values)

    def remove(self, obj: Channel) -> None:
        delete_channel(channel=obj)

    @admin.action(description="Send a test", permissions=["change"])
    def test(self, request: HttpRequest, chosen: QuerySet[Channel]) -> None:
        act_on_each(
            request, chosen, lambda channel: send_test(channel=channel), done="Tests queued"
        )

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, chosen: QuerySet[Channel]) -> None:
        self._switch(request, chosen, is_on=True)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, chosen: QuerySet[Channel]) -> None:
        self._switch(request, chosen, is_on=False)

    def _switch(self, request: HttpRequest, chosen: QuerySet[Channel], *, is_on: bool) -> None:
        act_on_each(
            request,
            chosen,
            lambda channel: update_channel(channel=channel, values={"enabled": is_on}),
            done="Enabled" if is_on else "Disabled",
        )


_MORE = ("stop_on_acknowledge", "outside_hours")


class PolicyForm(ActionForm[Policy]):
    """A policy; its steps and active hours as the API knows them."""

    on = forms.MultipleChoiceField(choices=Event.choices, widget=forms.CheckboxSelectMultiple)
    steps = forms.JSONField(
        initial=[{"delay_seconds": 0, "channels": []}],
        help_text="A list; channels are told by their ids.",
    )

    class Meta:
        model = Policy
        fields = (
            "team",
            "name",
            "enabled",
            "on",
            "reach",
            "tags",
            "names",
            "monitors",
            "expiry_days",
            "stop_on_acknowledge",
            "active_hours",
            "outside_hours",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.initial["steps"] = to_jsonable_python(policy_values(self.instance)["steps"])

    def values(self, *, only_changed: bool) -> dict[str, Any]:
        """Always whole: what the policy reaches is four fields here and one value there."""
        given = self.cleaned_data
        reach = given["reach"]
        plain = (
            "name",
            "enabled",
            "on",
            "steps",
            "expiry_days",
            "stop_on_acknowledge",
            "outside_hours",
        )
        return {
            **({} if only_changed else {"team": given["team"]}),
            **{name: given[name] for name in plain},
            "active_hours": given["active_hours"] or None,
            "all": reach == Reach.ALL,
            "tags": given["tags"] if reach == Reach.TAGS else [],
            "names": given["names"] if reach == Reach.NAMES else [],
            "monitors": (
                [monitor.pk for monitor in given["monitors"]] if reach == Reach.MONITORS else []
            ),
        }


@admin.register(Policy)
class PolicyAdmin(ActionAdmin[Policy]):
    form = PolicyForm
    list_display = ("name", "team", "enabled", "reach", "tags", "on")
    list_filter = ("enabled", "reach")
    list_select_related = ("team",)
    search_fields = ("name", "team__name")
    ordering = ("name", "id")
    autocomplete_fields = ("team", "monitors")
    actions = ("enable", "disable")
    fields = (
        "team",
        "name",
        "enabled",
        "on",
        "reach",
        "tags",
        "names",
        "monitors",
        "steps",
        "expiry_days",
        "stop_on_acknowledge",
        "active_hours",
        "outside_hours",
        "created_at",
        "updated_at",
    )
    readonly_fields = ("created_at", "updated_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Policy | None = None) -> list[str]:
        return [*self.readonly_fields, *(["team"] if obj else [])]

    def create(self, values: dict[str, Any], request: HttpRequest) -> Policy:
        return create_policy(team=values.pop("team"), values=values)

    def update(self, obj: Policy, values: dict[str, Any], request: HttpRequest) -> object:
        return update_policy(policy=obj, values=values)

    def remove(self, obj: Policy) -> None:
        delete_policy(policy=obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The action has written the monitors, too."""

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, chosen: QuerySet[Policy]) -> None:
        self._switch(request, chosen, is_on=True)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, chosen: QuerySet[Policy]) -> None:
        self._switch(request, chosen, is_on=False)

    def _switch(self, request: HttpRequest, chosen: QuerySet[Policy], *, is_on: bool) -> None:
        act_on_each(
            request,
            chosen,
            lambda policy: update_policy(policy=policy, values={"enabled": is_on}),
            done="Enabled" if is_on else "Disabled",
        )


class ScheduleForm(ActionForm[Schedule]):
    """A schedule; its layers as the API knows them."""

    value_names = {"time_zone": "timezone"}
    layers = forms.JSONField(help_text="A list; members are told by their e-mails.")

    class Meta:
        model = Schedule
        fields = ("team", "name", "time_zone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.initial["layers"] = schedule_values(self.instance)["layers"]


@admin.register(Schedule)
class ScheduleAdmin(ActionAdmin[Schedule]):
    form = ScheduleForm
    list_display = ("name", "team", "time_zone")
    list_select_related = ("team",)
    search_fields = ("name", "team__name")
    ordering = ("name", "id")
    autocomplete_fields = ("team",)
    fields = ("team", "name", "time_zone", "layers", "created_at", "updated_at")
    readonly_fields = ("created_at", "updated_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Schedule | None = None) -> list[str]:
        return [*self.readonly_fields, *(["team"] if obj else [])]

    def create(self, values: dict[str, Any], request: HttpRequest) -> Schedule:
        return create_schedule(team=values.pop("team"), values=values)

    def update(self, obj: Schedule, values: dict[str, Any], request: HttpRequest) -> object:
        return update_schedule(schedule=obj, values=values)

    def remove(self, obj: Schedule) -> None:
        delete_schedule(schedule=obj)


@admin.register(Override)
class OverrideAdmin(RecordAdmin[Override]):
    list_display = ("schedule", "member", "starts_at", "ends_at")
    list_select_related = ("schedule", "member__user", "member__team")
    search_fields = ("schedule__name", "member__user__email")
    ordering = ("-id",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("alerts.delete_override")


@admin.register(Escalation)
class EscalationAdmin(RecordAdmin[Escalation]):
    list_display = ("due_at", "event", "incident", "step", "repeat", "state", "skipped_because")
    list_filter = ("state", "skipped_because")
    list_select_related = ("incident__monitor", "step")
    search_fields = ("incident__monitor__name", "step__policy__name")
    ordering = ("-id",)


@admin.register(ExpiryNotice)
class ExpiryNoticeAdmin(RecordAdmin[ExpiryNotice]):
    list_display = ("told_at", "event", "monitor", "days", "expires_at", "policy")
    list_filter = ("event",)
    list_select_related = ("monitor", "policy")
    search_fields = ("monitor__name", "policy__name")
    ordering = ("-id",)


class DeliverySpan(RecentFilter):
    """By the id, which begins with the moment when it was made: there is an index on it."""

    spans = {
        "last day": timedelta(days=1),
        "last hour": timedelta(hours=1),
        "last 30 days": timedelta(days=30),
        "all": None,
    }

    def since(self, queryset: QuerySet[Delivery], moment: datetime) -> QuerySet[Delivery]:
        first = uuid.UUID(int=round(moment.timestamp() * 1000) << 80)
        return queryset.filter(pk__gte=first)


@admin.register(Attempt)
class AttemptAdmin(RecordAdmin[Attempt]):
    list_display = ("began_at", "delivery", "number", "duration_ms", "error")
    list_select_related = ("delivery",)
    search_fields = ("delivery__id",)
    ordering = ("-id",)


@admin.register(Delivery)
class DeliveryAdmin(RecordAdmin[Delivery]):
    list_display = (
        "created_at",
        "event",
        "channel",
        "team",
        "status",
        "attempts",
        "next_attempt_at",
        "sent_at",
        "last_error",
    )
    list_filter = (DeliverySpan, "status", "event", "channel__type")
    list_select_related = ("channel", "team")
    search_fields = ("channel__name", "team__name", "incident__monitor__name", "last_error")
    ordering = ("-id",)
    actions = ("retry",)

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("alerts.change_delivery")

    @admin.action(description="Retry", permissions=["act"])
    def retry(self, request: HttpRequest, chosen: QuerySet[Delivery]) -> None:
        act_on_each(
            request, chosen, lambda delivery: retry_delivery(delivery=delivery), done="Queued again"
        )
