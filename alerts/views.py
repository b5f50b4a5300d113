"""The pages of alerts: channels, policies, and the log of what was sent."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import TeamRequest, editor, viewer
from accounts.models import Team
from alerts.actions import (
    create_channel,
    create_policy,
    delete_channel,
    delete_policy,
    retry_delivery,
    send_test,
    update_channel,
    update_policy,
)
from alerts.channels import CHANNELS
from alerts.channels.base import ChannelType
from alerts.forms import ChannelForm, PolicyForm
from alerts.messages import compose_message, facts_of_report
from alerts.models import Channel, Delivery, DeliveryStatus, Policy, ReportPeriod
from alerts.previews import preview_message
from alerts.reports import last_period, read_report
from incidents.models import Incident
from uptime.errors import Conflict, Invalid
from uptime.pages import paged, render_page, show_once, sought, take_shown_once

DELIVERIES_LISTED = 10
MEMBERS_LISTED = 100


@viewer
@require_GET
def channel_list(request: TeamRequest) -> HttpResponse:
    channels = Channel.objects.filter(team=request.team).select_related("probe")
    context = {
        "section": "alerts",
        "now": timezone.now(),
        "channels": [(channel, _label(channel)) for channel in channels],
        "has_policy": Policy.objects.filter(team=request.team, enabled=True).exists(),
        "types": CHANNELS,
    }
    return render_page(request, "alerts/channels.html", context)


@editor
@require_GET
def choose_type(request: TeamRequest) -> HttpResponse:
    """The first step to a new channel: by which way."""
    types = sorted(CHANNELS.values(), key=lambda type_: type_.label)
    return render_page(request, "alerts/choose_type.html", {"section": "alerts", "types": types})


@editor
@require_http_methods(["GET", "POST"])
def new_channel(request: TeamRequest, type_name: str) -> HttpResponse:
    type_ = _type(type_name)
    form = ChannelForm(request.POST or None, team=request.team, type_=type_)
    if form.is_valid():
        values = {**form.values(), "type": type_.name}
        try:
            channel = create_channel(team=request.team, values=values)
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            show_once(request, channel.new_secrets)
            messages.success(request, "Saved. Send a test to see that it works.")
            return redirect("channel", channel.pk)
    return _channel_form(request, form, type_)


@editor
@require_POST
def preview_new_channel(request: TeamRequest, type_name: str) -> HttpResponse:
    type_ = _type(type_name)
    return _preview(request, ChannelForm(request.POST, team=request.team, type_=type_), type_)


@editor
@require_POST
def preview_channel(request: TeamRequest, channel_id: UUID) -> HttpResponse:
    channel = _channel(request.team, channel_id)
    type_ = _type(channel.type)
    form = ChannelForm(request.POST, team=request.team, type_=type_, channel=channel)
    return _preview(request, form, type_, channel)


def _preview(
    request: TeamRequest,
    form: ChannelForm,
    type_: ChannelType[Any],
    channel: Channel | None = None,
) -> HttpResponse:
    """What the channel would say with the settings as they stand in the form."""
    incident = Incident.objects.visible_to(request.team).order_by("-started_at").first()
    shown, errors = "", {}
    if form.is_valid():
        try:
            shown = preview_message(
                type_=type_,
                config=form.values()["config"],
                now=timezone.now(),
                channel=channel,
                incident=incident,
            )
        except Invalid as invalid:
            errors = invalid.fields
    context = {
        "section": "alerts",
        "shown": shown,
        "incident": incident,
        "errors": [sentence for sentences in errors.values() for sentence in sentences],
    }
    return render_page(request, "alerts/channel_preview.html", context)


@viewer
@require_GET
def channel_page(request: TeamRequest, channel_id: UUID) -> HttpResponse:
    """One channel: whether it works, and what went through it last."""
    channel = _channel(request.team, channel_id)
    context = {
        "section": "alerts",
        "now": timezone.now(),
        "channel": channel,
        "label": _label(channel),
        "proves": CHANNELS[channel.type].proves if channel.type in CHANNELS else "",
        "secrets": take_shown_once(request),
        "deliveries": channel.deliveries.select_related("incident__monitor").order_by(
            "-created_at"
        )[:DELIVERIES_LISTED],
    }
    return render_page(request, "alerts/channel.html", context)


@viewer
@require_GET
def report_page(request: TeamRequest, channel_id: UUID, period: str) -> HttpResponse:
    """The last report of that period, as the channel would get it now."""
    channel = _channel(request.team, channel_id)
    if period not in ReportPeriod.values:
        raise Http404(f"There is no period called {period}.")
    wanted, now = ReportPeriod(period), timezone.now()
    since, until = last_period(wanted, now)
    report = read_report(request.team, wanted, since=since, until=until)
    context = {
        "section": "alerts",
        "channel": channel,
        "message": compose_message(channel.pk, facts_of_report(report, now)),
    }
    return render_page(request, "alerts/report.html", context)


@editor
@require_http_methods(["GET", "POST"])
def edit_channel(request: TeamRequest, channel_id: UUID) -> HttpResponse:
    channel = _channel(request.team, channel_id)
    type_ = _type(channel.type)
    form = ChannelForm(request.POST or None, team=request.team, type_=type_, channel=channel)
    if form.is_valid():
        try:
            update_channel(channel=channel, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            messages.success(request, "Saved. Send a test to see that it works.")
            return redirect("channel", channel.pk)
    return _channel_form(request, form, type_, channel)


@editor
@require_http_methods(["GET", "POST"])
def remove_channel(request: TeamRequest, channel_id: UUID) -> HttpResponse:
    """Ask first, then delete."""
    channel = _channel(request.team, channel_id)
    if request.method == "POST":
        delete_channel(channel=channel)
        messages.success(request, f"The channel “{channel.name}” is deleted.")
        return redirect("channels")
    policies = Policy.objects.filter(steps__channels=channel).distinct()
    names = ", ".join(f"“{policy}”" for policy in policies)
    context = {
        "section": "alerts",
        "title": f"Delete the channel “{channel.name}”?",
        "text": (f"It is taken out of {names}. " if names else "")
        + "What waits to be sent through it is not sent, and its log is deleted.",
        "back": reverse("channel", args=[channel.pk]),
    }
    return render_page(request, "parts/confirm_delete.html", context)


@editor
@require_POST
def test_channel(request: TeamRequest, channel_id: UUID) -> HttpResponse:
    """Send a test; the channel's page shows what becomes of it."""
    channel = _channel(request.team, channel_id)
    send_test(channel=channel)
    messages.info(request, "The test is on its way; what becomes of it appears below.")
    return redirect("channel", channel.pk)


@viewer
@require_GET
def policy_list(request: TeamRequest) -> HttpResponse:
    policies = Policy.objects.filter(team=request.team).prefetch_related(
        "monitors", "steps__channels", "steps__schedules"
    )
    context = {
        "section": "alerts",
        "policies": policies,
        "has_channels": Channel.objects.filter(team=request.team).exists(),
    }
    return render_page(request, "alerts/policies.html", context)


@editor
@require_http_methods(["GET", "POST"])
def new_policy(request: TeamRequest) -> HttpResponse:
    form = PolicyForm(request.POST or None, team=request.team, search=sought(request))
    if form.is_valid():
        try:
            policy = create_policy(team=request.team, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            messages.success(request, f"The policy “{policy.name}” is in force.")
            return redirect("policies")
    return _policy_form(request, form)


@editor
@require_http_methods(["GET", "POST"])
def edit_policy(request: TeamRequest, policy_id: UUID) -> HttpResponse:
    policy = _policy(request.team, policy_id)
    form = PolicyForm(
        request.POST or None, team=request.team, policy=policy, search=sought(request)
    )
    if form.is_valid():
        try:
            update_policy(policy=policy, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            messages.success(request, "Saved.")
            return redirect("policies")
    return _policy_form(request, form, policy)


@editor
@require_GET
def policy_monitors(request: TeamRequest) -> HttpResponse:
    """The part of a policy's form that lists monitors, for what is sought and what is chosen."""
    form = PolicyForm(request.GET, team=request.team, search=sought(request))
    context = {"form": form, "sought": sought(request)}
    return render_page(request, "alerts/policy_monitors.html", context)


@editor
@require_http_methods(["GET", "POST"])
def remove_policy(request: TeamRequest, policy_id: UUID) -> HttpResponse:
    """Ask first, then delete."""
    policy = _policy(request.team, policy_id)
    if request.method == "POST":
        delete_policy(policy=policy)
        messages.success(request, f"The policy “{policy.name}” is deleted.")
        return redirect("policies")
    context = {
        "section": "alerts",
        "title": f"Delete the policy “{policy.name}”?",
        "text": "What it would have told is not told any more. Its channels stay.",
        "back": reverse("policies"),
    }
    return render_page(request, "parts/confirm_delete.html", context)


@viewer
@require_GET
def delivery_list(request: TeamRequest) -> HttpResponse:
    """The log: what was sent to whom, what was not, and why."""
    ours = Delivery.objects.visible_to(request.team)
    status = request.GET.get("status", "")
    is_known = status in DeliveryStatus.values
    shown = ours.filter(status=status) if is_known else ours
    rows = shown.select_related("channel", "incident__monitor").order_by("-created_at", "id")
    context = {
        "section": "alerts",
        "now": timezone.now(),
        "status": status if is_known else "",
        "statuses": DeliveryStatus.choices,
        "page": paged(request, rows),
    }
    return render_page(request, "alerts/deliveries.html", context)


@viewer
@require_GET
def delivery_page(request: TeamRequest, delivery_id: UUID) -> HttpResponse:
    """One delivery: each attempt, what was sent and what was answered."""
    ours = Delivery.objects.visible_to(request.team)
    delivery = get_object_or_404(
        ours.select_related("channel", "incident__monitor"), pk=delivery_id
    )
    context = {
        "section": "alerts",
        "now": timezone.now(),
        "delivery": delivery,
        "attempts": delivery.log.order_by("id"),
        "members": ours.filter(digest=delivery)
        .select_related("channel", "incident__monitor")
        .order_by("pk")[:MEMBERS_LISTED],
    }
    return render_page(request, "alerts/delivery_page.html", context)


@editor
@require_POST
def retry(request: TeamRequest, delivery_id: UUID) -> HttpResponse:
    """Try again what failed or was given up."""
    delivery = get_object_or_404(Delivery.objects.visible_to(request.team), pk=delivery_id)
    try:
        retry_delivery(delivery=delivery)
    except Conflict as conflict:
        messages.warning(request, str(conflict))
    else:
        messages.success(request, "It is being sent again.")
    return redirect("deliveries")


def _channel(team: Team, channel_id: UUID) -> Channel:
    channels = Channel.objects.select_related("fallback", "probe")
    return get_object_or_404(channels, team=team, pk=channel_id)


def _policy(team: Team, policy_id: UUID) -> Policy:
    return get_object_or_404(Policy, team=team, pk=policy_id)


def _type(name: str) -> ChannelType[Any]:
    if name not in CHANNELS:
        raise Http404(f"There is no type of channel called {name}.")
    return CHANNELS[name]


def _label(channel: Channel) -> str:
    return CHANNELS[channel.type].label if channel.type in CHANNELS else channel.type


def _channel_form(
    request: TeamRequest,
    form: ChannelForm,
    type_: ChannelType[Any],
    channel: Channel | None = None,
) -> HttpResponse:
    context = {"section": "alerts", "form": form, "type": type_, "channel": channel}
    status = 422 if form.errors else 200
    return render_page(request, "alerts/channel_form.html", context, status=status)


def _policy_form(
    request: TeamRequest, form: PolicyForm, policy: Policy | None = None
) -> HttpResponse:
    context = {"section": "alerts", "form": form, "policy": policy}
    status = 422 if form.errors else 200
    return render_page(request, "alerts/policy_form.html", context, status=status)
