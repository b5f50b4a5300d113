"""The team's side of status pages: what is on them, and what is told there."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db.models import Count, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import TeamRequest, editor, viewer
from accounts.models import Team
from monitors.models import Monitor
from statuspages.actions import (
    add_component,
    add_post_update,
    create_page,
    delete_component,
    delete_page,
    delete_post,
    delete_template,
    hide_badges,
    move_component,
    publish_post,
    renew_link,
    save_template,
    set_logo,
    show_badges,
    update_component,
    update_page,
    update_post,
)
from statuspages.domains import examine_domain
from statuspages.forms import (
    ComponentForm,
    PageForm,
    PostChangeForm,
    PostForm,
    TemplateForm,
    UpdateForm,
)
from statuspages.models import (
    Badge,
    Component,
    Mailing,
    Post,
    PostKind,
    PostTemplate,
    StatusPage,
    Subscriber,
    Visibility,
)
from statuspages.places import BADGES
from statuspages.reads import page_view
from statuspages.subscriptions import unsubscribe
from uptime.errors import Conflict, Invalid
from uptime.pages import paged, render_page, zone_of

SECTION = "status-pages"


# -- pages -----------------------------------------------------------------------------------------


@viewer
@require_GET
def status_page_list(request: TeamRequest) -> HttpResponse:
    unfinished = Post.objects.unfinished(timezone.now()).filter(page=OuterRef("pk"))
    count = unfinished.order_by().values("page").values(n=Count("*"))
    rows = (
        StatusPage.objects.visible_to(request.team)
        .defer("logo", "custom_css")
        .annotate(
            component_count=Count("components"), open_posts=Coalesce(Subquery(count), Value(0))
        )
    )
    return render_page(request, "statuspages/team/list.html", {"section": SECTION, "pages": rows})


@editor
@require_http_methods(["GET", "POST"])
def new_status_page(request: TeamRequest) -> HttpResponse:
    form = PageForm(request.POST or None, request.FILES or None)
    if form.is_valid():
        try:
            page = create_page(team=request.team, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            _set_logo(form, page)
            messages.success(request, "The page is there. Now say what is on it.")
            return redirect(page)
    return _page_form(request, form)


@viewer
@require_GET
def status_page(request: TeamRequest, page_id: UUID) -> HttpResponse:
    """What is on the page: components as readers see them, and what is told."""
    page = _page(request.team, page_id)
    now = timezone.now()
    view = page_view(page, now)
    statuses = {one.id: one.status for one in view.components}
    components = [
        (one, statuses[one.pk])
        for one in page.components.select_related("monitor").order_by("position", "id")
    ]
    posts = page.posts.order_by("-starts_at", "id")
    context = {
        **_common(page),
        "now": now,
        "view": view,
        "components": components,
        "posts": [(post, post.phase_at(now)) for post in paged(request, posts)],
        "page_of_posts": paged(request, posts),
    }
    return render_page(request, "statuspages/team/page.html", context)


@editor
@require_http_methods(["GET", "POST"])
def edit_status_page(request: TeamRequest, page_id: UUID) -> HttpResponse:
    page = _page(request.team, page_id)
    form = PageForm(request.POST or None, request.FILES or None, page=page)
    if form.is_valid():
        try:
            update_page(page=page, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            _set_logo(form, page)
            messages.success(request, "Saved. The page shows it within a second or two.")
            return redirect(page)
    return _page_form(request, form, page)


def _set_logo(form: PageForm, page: StatusPage) -> None:
    if form.wants_logo_change:
        set_logo(page=page, image=form.logo_bytes())


@editor
@require_POST
def new_link(request: TeamRequest, page_id: UUID) -> HttpResponse:
    """Another secret address."""
    page = _page(request.team, page_id)
    renew_link(page=page)
    messages.success(request, "The page has another link now; the old one leads nowhere.")
    return redirect(page)


@editor
@require_http_methods(["GET", "POST"])
def remove_status_page(request: TeamRequest, page_id: UUID) -> HttpResponse:
    """Ask first, then delete."""
    page = _page(request.team, page_id)
    if request.method == "POST":
        delete_page(page=page)
        messages.success(request, f"The status page “{page.name}” is deleted.")
        return redirect("status-pages")
    return _ask(
        request,
        f"Delete the status page “{page.name}”?",
        "With it go its components, everything that was told on it, and its address.",
        page.get_absolute_url(),
    )


@viewer
@require_GET
def page_embeds(request: TeamRequest, page_id: UUID) -> HttpResponse:
    """Feeds, badges and the widget, ready to be copied."""
    page = _page(request.team, page_id)
    site = page.public_origin
    context = {**_common(page), "base": f"{site}{page.public_path.rstrip('/')}", "site": site}
    return render_page(request, "statuspages/team/embeds.html", context)


@viewer
@require_GET
def subscriber_list(request: TeamRequest, page_id: UUID) -> HttpResponse:
    """Who is told of the page's posts, and what could not be delivered."""
    page = _page(request.team, page_id)
    rows = page.subscribers.prefetch_related("components").order_by("-id")
    last = Mailing.objects.filter(subscriber=OuterRef("pk")).order_by("-id")
    shown = paged(request, rows.annotate(last_error=Subquery(last.values("last_error")[:1])))
    context = {**_common(page), "now": timezone.now(), "subscribers": shown}
    return render_page(request, "statuspages/team/subscribers.html", context)


@editor
@require_http_methods(["GET", "POST"])
def remove_subscriber(request: TeamRequest, subscriber_id: UUID) -> HttpResponse:
    """Ask first, then delete."""
    rows = Subscriber.objects.select_related("page").filter(page__team=request.team)
    subscriber = get_object_or_404(rows, pk=subscriber_id)
    back = reverse("status-page-subscribers", args=[subscriber.page_id])
    if request.method == "POST":
        unsubscribe(subscriber=subscriber)
        messages.success(request, f"{subscriber.address} is told nothing any more.")
        return redirect(back)
    text = "They are told nothing any more, and not that you did this."
    return _ask(request, f"Delete the subscriber {subscriber.address}?", text, back)


# -- components ------------------------------------------------------------------------------------


@editor
@require_http_methods(["GET", "POST"])
def new_component(request: TeamRequest, page_id: UUID) -> HttpResponse:
    page = _page(request.team, page_id)
    form = ComponentForm(request.POST or None, page=page)
    if form.is_valid():
        try:
            component = add_component(page=page, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        except Conflict as conflict:
            form.show_errors({"": [str(conflict)]})
        else:
            messages.success(request, f"“{component.name}” is on the page.")
            return redirect(page)
    return _component_form(request, form, page)


@editor
@require_http_methods(["GET", "POST"])
def edit_component(request: TeamRequest, component_id: UUID) -> HttpResponse:
    component = _component(request.team, component_id)
    form = ComponentForm(request.POST or None, page=component.page, component=component)
    if form.is_valid():
        try:
            update_component(component=component, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            messages.success(request, "Saved.")
            return redirect(component.page)
    return _component_form(request, form, component.page, component)


@editor
@require_POST
def shift_component(request: TeamRequest, component_id: UUID) -> HttpResponse:
    """Move it up or down."""
    component = _component(request.team, component_id)
    move_component(component=component, by=-1 if "up" in request.POST else 1)
    return redirect(component.page)


@editor
@require_http_methods(["GET", "POST"])
def remove_component(request: TeamRequest, component_id: UUID) -> HttpResponse:
    """Ask first, then delete."""
    component = _component(request.team, component_id)
    if request.method == "POST":
        delete_component(component=component)
        messages.success(request, f"“{component.name}” is taken off the page.")
        return redirect(component.page)
    return _ask(
        request,
        f"Take “{component.name}” off the page?",
        "Its monitor stays as it is." if component.monitor_id else "Its history goes with it.",
        component.page.get_absolute_url(),
    )


# -- posts -----------------------------------------------------------------------------------------


@editor
@require_http_methods(["GET", "POST"])
def new_post(request: TeamRequest, page_id: UUID, kind: str) -> HttpResponse:
    page, of_kind = _page(request.team, page_id), _kind(kind)
    templates = PostTemplate.objects.filter(team=request.team, kind=of_kind)
    chosen = next((one for one in templates if str(one.pk) == request.GET.get("template")), None)
    form = PostForm(
        request.POST or None, page=page, kind=of_kind, zone=zone_of(request), template=chosen
    )
    if form.is_valid():
        try:
            post = publish_post(page=page, values=form.values(), by=request.user)
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            messages.success(request, "It is on the page.")
            return redirect("status-post", post.pk)
    context = {
        **_common(page),
        "form": form,
        "kind": of_kind,
        "templates": templates,
        "chosen": chosen,
    }
    return _form_page(request, "statuspages/team/post_form.html", form, context)


@viewer
@require_GET
def post_page(request: TeamRequest, post_id: UUID) -> HttpResponse:
    post = _post(request.team, post_id)
    return _post_page(request, post, UpdateForm(post=post))


@editor
@require_POST
def update_post_phase(request: TeamRequest, post_id: UUID) -> HttpResponse:
    """Go on telling."""
    post = _post(request.team, post_id)
    form = UpdateForm(request.POST, post=post)
    if form.is_valid():
        try:
            add_post_update(post=post, values=form.values(), by=request.user)
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            messages.success(request, "It is on the page.")
            return redirect("status-post", post.pk)
    return _post_page(request, post, form)


@editor
@require_http_methods(["GET", "POST"])
def edit_post(request: TeamRequest, post_id: UUID) -> HttpResponse:
    post = _post(request.team, post_id)
    form = PostChangeForm(request.POST or None, post=post, zone=zone_of(request))
    if form.is_valid():
        try:
            update_post(post=post, values=form.values())
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            messages.success(request, "Saved.")
            return redirect("status-post", post.pk)
    context = {**_common(post.page), "form": form, "post": post}
    return _form_page(request, "statuspages/team/post_form.html", form, context)


@editor
@require_http_methods(["GET", "POST"])
def remove_post(request: TeamRequest, post_id: UUID) -> HttpResponse:
    """Ask first, then delete."""
    post = _post(request.team, post_id)
    if request.method == "POST":
        delete_post(post=post)
        messages.success(request, f"“{post.title}” is deleted.")
        return redirect(post.page)
    return _ask(
        request,
        f"Delete “{post.title}”?",
        "Readers find it neither on the page nor in its history any more.",
        reverse("status-post", args=[post.pk]),
    )


# -- templates and badges --------------------------------------------------------------------------


@viewer
@require_GET
def template_list(request: TeamRequest) -> HttpResponse:
    rows = PostTemplate.objects.filter(team=request.team)
    context = {"section": SECTION, "templates": rows, "kinds": PostKind.choices}
    return render_page(request, "statuspages/team/templates.html", context)


@editor
@require_http_methods(["GET", "POST"])
def new_template(request: TeamRequest, kind: str) -> HttpResponse:
    of_kind = _kind(kind)
    form = TemplateForm(request.POST or None, kind=of_kind)
    return _saved_template(request, form, of_kind, None)


@editor
@require_http_methods(["GET", "POST"])
def edit_template(request: TeamRequest, template_id: UUID) -> HttpResponse:
    template = _template(request.team, template_id)
    kind = PostKind(template.kind)
    form = TemplateForm(request.POST or None, kind=kind, template=template)
    return _saved_template(request, form, kind, template)


def _saved_template(
    request: TeamRequest, form: TemplateForm, kind: PostKind, template: PostTemplate | None
) -> HttpResponse:
    if form.is_valid():
        try:
            save_template(team=request.team, values=form.values(), template=template)
        except Invalid as invalid:
            form.show_errors(invalid.fields)
        else:
            messages.success(request, "Saved.")
            return redirect("post-templates")
    context = {"section": SECTION, "form": form, "kind": kind, "template": template}
    return _form_page(request, "statuspages/team/template_form.html", form, context)


@editor
@require_http_methods(["GET", "POST"])
def remove_template(request: TeamRequest, template_id: UUID) -> HttpResponse:
    """Ask first, then delete."""
    template = _template(request.team, template_id)
    if request.method == "POST":
        delete_template(template=template)
        messages.success(request, f"The template “{template.name}” is deleted.")
        return redirect("post-templates")
    title = f"Delete the template “{template.name}”?"
    text = "What was posted with it stays."
    return _ask(request, title, text, reverse("post-templates"))


@viewer
@require_GET
def monitor_badges(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    """A monitor's badges: whether there are any, and how they are put elsewhere."""
    monitor = get_object_or_404(Monitor.objects.visible_to(request.team), pk=monitor_id)
    badge = Badge.objects.filter(monitor=monitor).first()
    context = {
        "section": "monitors",
        "monitor": monitor,
        "badge": badge,
        "addresses": badge
        and {name: f"{settings.BASE_URL}/badge/{badge.key}/{name}.svg" for name in BADGES},
    }
    return render_page(request, "statuspages/team/badges.html", context)


@editor
@require_POST
def switch_badges(request: TeamRequest, monitor_id: UUID) -> HttpResponse:
    monitor = get_object_or_404(Monitor.objects.visible_to(request.team), pk=monitor_id)
    if "show" in request.POST:
        show_badges(monitor=monitor)
        messages.success(request, "Whoever has the addresses sees the badges.")
    else:
        hide_badges(monitor=monitor)
        messages.success(request, "There are no badges of this monitor any more.")
    return redirect("monitor-badges", monitor.pk)


# -- parts -----------------------------------------------------------------------------------------


def _page(team: Team, page_id: UUID) -> StatusPage:
    return get_object_or_404(StatusPage.objects.visible_to(team), pk=page_id)


def _component(team: Team, component_id: UUID) -> Component:
    rows = Component.objects.select_related("page").filter(page__team=team)
    return get_object_or_404(rows, pk=component_id)


def _post(team: Team, post_id: UUID) -> Post:
    rows = Post.objects.select_related("page").filter(page__team=team)
    return get_object_or_404(rows, pk=post_id)


def _template(team: Team, template_id: UUID) -> PostTemplate:
    return get_object_or_404(PostTemplate, team=team, pk=template_id)


def _kind(name: str) -> PostKind:
    if name not in PostKind.values:
        raise Http404(f"There is no kind of post called {name}.")
    return PostKind(name)


def _common(page: StatusPage) -> dict[str, Any]:
    return {"section": SECTION, "page": page}


def _ask(request: TeamRequest, title: str, text: str, back: str) -> HttpResponse:
    context = {"section": SECTION, "title": title, "text": text, "back": back}
    return render_page(request, "parts/confirm_delete.html", context)


def _form_page(
    request: TeamRequest, template: str, form: Any, context: dict[str, Any]
) -> HttpResponse:
    return render_page(request, template, context, status=422 if form.errors else 200)


def _page_form(
    request: TeamRequest, form: PageForm, page: StatusPage | None = None
) -> HttpResponse:
    domain = examine_domain(page.domain) if page and page.domain else None
    context = {
        "section": SECTION,
        "form": form,
        "page": page,
        "domain": domain,
        "is_by_link": page is not None and page.visibility == Visibility.LINK,
    }
    return _form_page(request, "statuspages/team/page_form.html", form, context)


def _component_form(
    request: TeamRequest, form: ComponentForm, page: StatusPage, component: Component | None = None
) -> HttpResponse:
    context = {**_common(page), "form": form, "component": component}
    return _form_page(request, "statuspages/team/component_form.html", form, context)


def _post_page(request: TeamRequest, post: Post, form: UpdateForm) -> HttpResponse:
    now = timezone.now()
    context = {
        **_common(post.page),
        "now": now,
        "post": post,
        "phase": post.phase_at(now),
        "affected": post.affected.select_related("component").order_by("component__position"),
        "updates": post.updates.select_related("author").order_by("-at"),
        "form": form,
    }
    return _form_page(request, "statuspages/team/post.html", form, context)
