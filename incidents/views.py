"""The pages of incidents, and pausing, which ends them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import TeamRequest, editor, public, viewer
from accounts.models import Team, User
from incidents.actions import assign_incident, snooze_monitor, unsnooze_monitor
from incidents.evidence import evidence_of
from incidents.links import ActionLink, LinkRefused, Purpose
from incidents.models import Incident, IncidentStatus
from incidents.timeline import timeline_of
from monitors.models import Monitor
from uptime.errors import Conflict, Invalid
from uptime.operations import acknowledge_incident, comment_incident, resolve_incident, set_enabled
from uptime.pages import paged, render_page


class CommentForm(forms.Form):
    message = forms.CharField(
        label="Comment",
        widget=forms.Textarea({"rows": 3, "placeholder": "What you know, what you are doing"}),
        required=False,
    )
    public = forms.BooleanField(label="Show it on status pages", required=False)


class LinkCommentForm(CommentForm):
    """Of whoever holds the link: what the public reads, members decide."""

    public = None  # type: ignore[assignment] # so Django takes the field away


class SnoozeForm(forms.Form):
    """For how long."""

    CHOICES: ClassVar = [
        ("1", "1 hour"),
        ("4", "4 hours"),
        ("8", "8 hours"),
        ("24", "a day"),
        ("72", "3 days"),
        ("168", "a week"),
    ]
    hours = forms.ChoiceField(label="For how long", choices=CHOICES)


class AssignForm(forms.Form):
    to = forms.ModelChoiceField(
        User.objects.none(), label="Whose it is", required=False, empty_label="Nobody's"
    )

    def __init__(self, data: Any = None, *, incident: Incident) -> None:
        super().__init__(data, initial={"to": incident.assigned_to_id})
        chooser = self.fields["to"]
        assert isinstance(chooser, forms.ModelChoiceField)
        members = User.objects.filter(memberships__team=incident.team_id, is_active=True)
        chooser.queryset = members.order_by("name", "email")


@viewer
@require_GET
def incident_list(request: TeamRequest) -> HttpResponse:
    """All incidents, newest first, or those in one state."""
    ours = Incident.objects.visible_to(request.team)
    status = request.GET.get("status", "")
    shown = ours.filter(status=status) if status in IncidentStatus.values else ours
    context = {
        "section": "incidents",
        "now": timezone.now(),
        "status": status if status in IncidentStatus.values else "",
        "statuses": IncidentStatus.choices,
        "open_count": ours.unresolved().count(),
        "page": paged(
            request,
            shown.select_related("monitor", "parent__monitor").order_by("-started_at", "id"),
        ),
    }
    return render_page(request, "incidents/list.html", context)


@viewer
@require_GET
def incident_page(request: TeamRequest, incident_id: UUID) -> HttpResponse:
    """One incident: what, since when, who is on it, and its timeline."""
    return _incident_page(request, _incident(request.team, incident_id), CommentForm())


@editor
@require_POST
def acknowledge(request: TeamRequest, incident_id: UUID) -> HttpResponse:
    incident = _incident(request.team, incident_id)
    try:
        acknowledge_incident(incident=incident, by=request.user)
    except Conflict as conflict:
        messages.warning(request, str(conflict))
    return redirect(incident)


@editor
@require_POST
def assign(request: TeamRequest, incident_id: UUID) -> HttpResponse:
    incident = _incident(request.team, incident_id)
    form = AssignForm(request.POST, incident=incident)
    if not form.is_valid():
        messages.warning(request, "Choose a member of the team.")
        return redirect(incident)
    try:
        assign_incident(incident=incident, to=form.cleaned_data["to"], by=request.user)
    except Conflict as conflict:
        messages.warning(request, str(conflict))
    return redirect(incident)


@public
@require_http_methods(["GET", "HEAD", "POST"])
def act_by_link(request: HttpRequest, token: str) -> HttpResponse:
    """Ask whether to do what a signed link is for, and do it when that is answered."""
    try:
        link = ActionLink.read(token)
        incident = Incident.objects.select_related("monitor").get(pk=link.incident_id)
    except LinkRefused as refused:
        return _link_page(request, {"refused": str(refused)}, status=410)
    except Incident.DoesNotExist:
        return _link_page(request, {"refused": "The incident is deleted."}, status=410)
    given = request.POST if request.method == "POST" else None
    form = _link_form(link.purpose, given, incident)
    context = {"incident": incident, "purpose": link.purpose, "form": form}
    if request.method != "POST":
        return _link_page(request, {**context, "is_done": "done" in request.GET})
    if not form.is_valid():
        return _link_page(request, context, status=422)
    try:
        _act(link.purpose, incident, form, _member(request, incident))
    except (Conflict, Invalid) as problem:
        return _link_page(request, {**context, "problem": str(problem)}, status=409)
    return redirect(f"{request.path}?done")  # to reload that does nothing again


def _link_form(purpose: Purpose, data: Any, incident: Incident) -> forms.Form:
    match purpose:
        case Purpose.COMMENT:
            return LinkCommentForm(data)
        case Purpose.ASSIGN:
            return AssignForm(data, incident=incident)
        case _:
            return forms.Form(data)


def _act(purpose: Purpose, incident: Incident, form: forms.Form, by: User | None) -> None:
    match purpose:
        case Purpose.ACKNOWLEDGE:
            acknowledge_incident(incident=incident, by=by)
        case Purpose.RESOLVE:
            resolve_incident(incident=incident, by=by)
        case Purpose.COMMENT:
            comment_incident(incident=incident, by=by, message=form.cleaned_data["message"])
        case Purpose.ASSIGN:
            assign_incident(incident=incident, to=form.cleaned_data["to"], by=by)


def _member(request: HttpRequest, incident: Incident) -> User | None:
    """Who is signed in, if they are of the incident's team; the link is enough without."""
    user = request.user
    if not isinstance(user, User):
        return None
    return user if user.memberships.filter(team=incident.team_id).exists() else None


def _link_page(
    request: HttpRequest, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    response = render(request, "incidents/link.html", context, status=status)
    # the address is the key: it is not to be kept, nor told to anybody
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex"
    return response


@editor
@require_POST
def resolve(request: TeamRequest, incident_id: UUID) -> HttpResponse:
    incident = _incident(request.team, incident_id)
    try:
        resolve_incident(incident=incident, by=request.user)
    except Conflict as conflict:
        messages.warning(request, str(conflict))
    else:
        messages.success(
            request, "Resolved. The monitor is checked at once; if it fails, a new incident opens."
        )
    return redirect(incident)


@editor
@require_POST
def comment(request: TeamRequest, incident_id: UUID) -> HttpResponse:
    incident = _incident(request.team, incident_id)
    form = CommentForm(request.POST)
    if form.is_valid():
        try:
            comment_incident(incident=incident, by=request.user, **form.cleaned_data)
        except Invalid as invalid:
            for sentence in invalid.fields.get("message", []):
                form.add_error("message", sentence)
        else:
            return redirect(incident)
    return _incident_page(request, incident, form)


@editor
@require_POST
def pause(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    monitor = get_object_or_404(Monitor.objects.visible_to(request.team), pk=monitor_id)
    set_enabled(monitor=monitor, is_enabled=False, by=request.user)
    messages.success(request, "Paused: no checks and no alerts until you resume it.")
    return redirect(monitor)


@editor
@require_POST
def snooze(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    monitor = get_object_or_404(Monitor.objects.visible_to(request.team), pk=monitor_id)
    form = SnoozeForm(request.POST)
    if form.is_valid():
        length = timedelta(hours=int(form.cleaned_data["hours"]))
        snooze_monitor(monitor=monitor, length=length, by=request.user)
        messages.success(request, "Snoozed: it is checked, and nobody is told until that is over.")
    else:
        messages.warning(request, "Choose for how long.")
    return _back(request, monitor)


@editor
@require_POST
def unsnooze(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    monitor = get_object_or_404(Monitor.objects.visible_to(request.team), pk=monitor_id)
    unsnooze_monitor(monitor=monitor, by=request.user)
    messages.success(request, "The snooze is over: what is wrong is told now.")
    return _back(request, monitor)


def _back(request: TeamRequest, monitor: Monitor) -> HttpResponse:
    """To the incident that it was asked from, else to the monitor."""
    is_from_incident = "incident" in request.GET
    incident = Incident.objects.filter(monitor=monitor).unresolved().first()
    return redirect(incident if incident and is_from_incident else monitor)


@editor
@require_POST
def resume(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    monitor = get_object_or_404(Monitor.objects.visible_to(request.team), pk=monitor_id)
    set_enabled(monitor=monitor, is_enabled=True)
    messages.success(request, "Resumed: it is being watched again.")
    return redirect(monitor)


def _incident(team: Team, incident_id: UUID) -> Incident:
    rows = Incident.objects.visible_to(team).select_related(
        "monitor", "acknowledged_by", "assigned_to", "parent__monitor"
    )
    return get_object_or_404(rows, pk=incident_id)


def _incident_page(request: TeamRequest, incident: Incident, form: CommentForm) -> HttpResponse:
    deliveries = incident.deliveries.select_related("channel").order_by("created_at")
    context = {
        "section": "incidents",
        "now": timezone.now(),
        "incident": incident,
        "children": incident.children.select_related("monitor").order_by("monitor__name", "id"),
        "timeline": timeline_of(incident),
        "evidence": evidence_of(incident),
        # by its reverse name: this package does not know of the next one
        "deliveries": deliveries,
        "escalations": incident.escalations.exclude(state="told")
        .select_related("step__policy")
        .prefetch_related("step__channels", "step__schedules")
        .order_by("due_at", "id"),
        "form": form,
        "assign_form": AssignForm(incident=incident),
        "snooze_lengths": SnoozeForm.CHOICES,
    }
    status = 422 if form.errors else 200
    return render_page(request, "incidents/incident.html", context, status=status)
