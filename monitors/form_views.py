"""The pages on which monitors are made, tried, changed and copied."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import TeamRequest, editor
from accounts.models import Team
from monitors.actions import create_monitor, update_monitor
from monitors.charts import PHASE_LABELS, phase_bars
from monitors.facts import facts_in
from monitors.forms import MonitorForm
from monitors.models import Monitor
from monitors.trials import Trial, is_tryable, try_monitor
from probe.kinds import KINDS
from probe.kinds.base import Kind
from uptime.errors import Conflict, Invalid
from uptime.pages import render_page

# What most people look for; the others follow by name.
WANTED_FIRST = ("http", "heartbeat", "icmp", "tcp", "tls", "dns", "domain")


@editor
@require_GET
def choose_kind(request: TeamRequest) -> HttpResponse:
    """The first step to a new monitor: what kind it is."""
    first = [KINDS[name] for name in WANTED_FIRST]
    others = sorted((one for one in KINDS.values() if one not in first), key=lambda one: one.label)
    kinds = [*first, *others]
    return render_page(
        request, "monitors/choose_kind.html", {"section": "monitors", "kinds": kinds}
    )


@editor
@require_http_methods(["GET", "POST"])
def new_monitor(request: TeamRequest, kind_name: str) -> HttpResponse:
    """A new monitor of one kind."""
    kind = _kind(kind_name)
    form = MonitorForm(request.POST or None, kind=kind)
    return _create(request, form, like=None) or _form_page(
        request, form, trial=reverse("monitor-new-try", args=[kind.name])
    )


@editor
@require_http_methods(["GET", "POST"])
def clone_monitor(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    """A new monitor that begins as a copy of another one, with its secrets."""
    like = _monitor(request.team, monitor_id)
    form = MonitorForm(request.POST or None, kind=_kind(like.kind), monitor=like, is_copy=True)
    return _create(request, form, like=like) or _form_page(
        request, form, like=like, trial=reverse("monitor-try", args=[like.pk])
    )


@editor
@require_http_methods(["GET", "POST"])
def edit_monitor(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    monitor = _monitor(request.team, monitor_id)
    form = MonitorForm(request.POST or None, kind=_kind(monitor.kind), monitor=monitor)
    if form.is_valid():
        try:
            update_monitor(monitor=monitor, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            is_checked = not form.kind.is_derived
            soon = " The next check uses the new settings." if is_checked else ""
            messages.success(request, f"Saved.{soon}")
            return redirect(monitor)
    return _form_page(
        request, form, monitor=monitor, trial=reverse("monitor-try", args=[monitor.pk])
    )


@editor
@require_POST
def try_new(request: TeamRequest, kind_name: str) -> HttpResponse:
    """What a check with these settings sees. Nothing is stored."""
    return _try(request, MonitorForm(request.POST, kind=_kind(kind_name)), like=None)


@editor
@require_POST
def try_again(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    """The same with the settings of a monitor that are being changed or copied; secrets that are
    left blank are the stored ones.
    """
    like = _monitor(request.team, monitor_id)
    form = MonitorForm(request.POST, kind=_kind(like.kind), monitor=like)
    return _try(request, form, like=like)


def _monitor(team: Team, monitor_id: UUID) -> Monitor:
    return get_object_or_404(Monitor.objects.visible_to(team), pk=monitor_id)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise Http404(f"There is no kind of monitor called {name}.")
    return KINDS[name]


def _create(
    request: TeamRequest, form: MonitorForm, *, like: Monitor | None
) -> HttpResponse | None:
    """Create what was entered; None where nothing was, or where it is wrong."""
    if not form.is_valid():
        return None
    values = {**form.values(), "kind": form.kind.name}
    try:
        monitor = create_monitor(team=request.team, values=values, like=like)
    except Invalid as invalid:
        form.show_errors(invalid.fields)
        return None
    messages.success(request, f"“{monitor.name}” is being watched from now on.")
    return redirect(monitor)


def _form_page(
    request: TeamRequest,
    form: MonitorForm,
    *,
    trial: str,
    monitor: Monitor | None = None,
    like: Monitor | None = None,
) -> HttpResponse:
    context = {
        "section": "monitors",
        "form": form,
        "kind": form.kind,
        "monitor": monitor,
        "like": like,
        "trial_url": trial if is_tryable(form.kind) else "",
    }
    return render_page(request, "monitors/form.html", context, status=422 if form.errors else 200)


def _try(request: TeamRequest, form: MonitorForm, *, like: Monitor | None) -> HttpResponse:
    trial, refusal = None, ""
    if form.is_valid():
        values = {**form.values(), "kind": form.kind.name}
        try:
            trial = try_monitor(team=request.team, values=values, like=like)
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        except Conflict as conflict:
            refusal = str(conflict)
    context = {
        "section": "monitors",
        "now": timezone.now(),
        "kind": form.kind,
        "errors": list(_errors(form)),
        "refusal": refusal,
        **(_shown(trial) if trial else {}),
    }
    # the script swaps in only what went well
    status = 200 if trial or request.htmx else 409 if refusal else 422
    return render_page(request, "monitors/trial.html", context, status=status)


def _shown(trial: Trial) -> dict[str, object]:
    seen = trial.observation
    phases = seen.phases
    spent = [phases.dns_ms, phases.connect_ms, phases.tls_ms]
    spent += [phases.first_byte_ms, phases.transfer_ms]
    details = dict(seen.details or {})
    return {
        "seen": seen,
        "phases": phase_bars(spent, scale_ms=sum(ms or 0 for ms in spent)),
        "phase_labels": PHASE_LABELS,
        "judged": trial.judged,
        "facts": facts_in(details),
        "answer": details.get("response"),
    }


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with a field, to be shown elsewhere; `field_id` is empty for the whole form."""

    field_id: str
    label: str
    text: str


def _errors(form: MonitorForm) -> Iterator[FieldError]:
    for name, sentences in form.errors.items():
        field = form[name] if name in form.fields else None
        field_id = (field.id_for_label or field.auto_id) if field else ""
        label = str(field.label) if field else ""
        for sentence in sentences:
            yield FieldError(field_id, label, str(sentence))
