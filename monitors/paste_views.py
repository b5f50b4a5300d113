"""The page on which many monitors are made from a pasted text."""

from collections.abc import Sequence
from itertools import chain

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from accounts.access import TeamRequest, editor
from monitors.forms import PasteForm
from monitors.pasting import Line, look_through
from uptime.bulk import save_monitors
from uptime.errors import Invalid
from uptime.pages import render_page


@editor
@require_http_methods(["GET", "POST"])
def paste_monitors(request: TeamRequest) -> HttpResponse:
    """Look through what was pasted, or make all of it, or nothing."""
    form = PasteForm(request.POST or None)
    lines: list[Line] = []
    if form.is_valid():
        lines = look_through(form.cleaned_data["lines"], team=request.team, common=form.common())
        form.take_common_errors(lines)
    is_fit = form.is_bound and not form.errors and not _obstacles(form, lines)
    wanted = [line for line in lines if line.twin is None]
    if is_fit and wanted and "preview" not in request.POST:
        try:
            items = [line.values for line in wanted]
            saved = save_monitors(team=request.team, items=items, by=request.user)
        except Invalid as invalid:  # somebody took away a location in between
            form.add_error(None, list(chain(*invalid.fields.values())))
        else:
            messages.success(request, _told(saved.created, len(lines) - len(wanted)))
            return redirect("home")
    context = {
        "section": "monitors",
        "form": form,
        "lines": lines,
        "wanted": len(wanted),
        "problems": len(_obstacles(form, lines)),
        "is_fit": is_fit,
    }
    is_refused = form.is_bound and not is_fit and "preview" not in request.POST
    return render_page(
        request, "monitors/paste.html", context, status=422 if is_refused or form.errors else 200
    )


def _obstacles(form: PasteForm, lines: Sequence[Line]) -> list[Line]:
    """The lines that keep all from being saved."""
    if not lines:
        return []
    skips = form.cleaned_data["skips_twins"]
    return [line for line in lines if line.errors or (line.twin is not None and not skips)]


def _told(created: int, left_out: int) -> str:
    told = "1 monitor is" if created == 1 else f"{created} monitors are"
    rest = f" {left_out} were left out." if left_out > 1 else " 1 was left out." if left_out else ""
    return f"{told} being watched from now on.{rest}"
