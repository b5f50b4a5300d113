"""Status pages over REST: pages, their components, and what is told on them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from pydantic import ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response

from statuspages.actions import (
    add_component,
    add_post_update,
    create_page,
    delete_component,
    delete_page,
    delete_post,
    publish_post,
    update_component,
    update_page,
    update_post,
)
from statuspages.models import (
    Component,
    ComponentStatus,
    Language,
    Phase,
    Post,
    PostKind,
    PostUpdate,
    StatusPage,
    Theme,
    Visibility,
)
from uptime.api.pagination import page_of
from uptime.api.schema import describe
from uptime.api.shapes import Nothing, Page, PageQuery, Shape, as_object
from uptime.api.views import ApiView


def _as_changes(schema: dict[str, Any]) -> None:
    """Nothing is required of a PATCH, and what it leaves out is kept rather than defaulted."""
    schema.pop("required", None)
    for field in schema["properties"].values():
        field.pop("default", None)


class StatusPageIn(Shape):
    name: str = Field(min_length=1, max_length=200)
    slug: str = Field(max_length=60, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    """What follows `/status/` in its address."""
    description: str = Field("", max_length=2000)
    website: str = Field("", max_length=500)
    visibility: Visibility = Visibility.PUBLIC
    """`link`: only a secret address leads to it, the `url` of the answer."""
    password: str | None = Field(None, max_length=200)
    """For visibility `password`; write-only. Null keeps the present one."""
    domain: str | None = Field(None, max_length=253)
    """A domain that shows this page and nothing else."""
    language: Language = Language.EN
    theme: Theme = Theme.AUTO
    accent: str = ""
    """A colour as in CSS, `#0f5c8c`."""
    custom_css: str = Field("", max_length=50_000)
    show_uptime: bool = True


class StatusPagePatch(StatusPageIn):
    """The fields to change."""

    model_config = ConfigDict(json_schema_extra=_as_changes)


class StatusPageOut(Shape):
    id: UUID
    created_at: datetime
    changed_at: datetime
    name: str
    slug: str
    url: str
    """Where readers find it."""
    description: str
    website: str
    visibility: Visibility
    domain: str | None
    language: Language
    theme: Theme
    accent: str
    custom_css: str
    show_uptime: bool


class ComponentIn(Shape):
    name: str = Field(min_length=1, max_length=200)
    """The public name; a monitor's own is never shown."""
    monitor: UUID | None = None
    """None: people set the status."""
    description: str = Field("", max_length=500)
    section: str = Field("", max_length=200)
    """The heading that it stands under."""
    status: ComponentStatus = ComponentStatus.OPERATIONAL
    """Of one without a monitor."""
    show_uptime: bool = True
    show_latency: bool = False
    position: int | None = Field(None, ge=0, le=100_000)


class ComponentPatch(ComponentIn):
    """The fields to change."""

    model_config = ConfigDict(json_schema_extra=_as_changes)


class ComponentOut(Shape):
    id: UUID
    name: str
    monitor: UUID | None
    description: str
    section: str
    status: ComponentStatus | None
    """What people set; null for a monitor's."""
    show_uptime: bool
    show_latency: bool
    position: int


class AffectedComponent(Shape):
    component: UUID
    impact: ComponentStatus


class PostIn(Shape):
    kind: PostKind = PostKind.INCIDENT
    title: str = Field(min_length=1, max_length=200)
    phase: Phase
    """One of its kind's: `investigating`, `identified`, `monitoring`, `resolved` of incidents,
    `scheduled`, `in_progress`, `completed` of maintenance."""
    body: str = Field("", max_length=20_000)
    """The first update, in Markdown."""
    starts_at: datetime | None = None
    """Required of maintenance; an incident begins now unless told else."""
    ends_at: datetime | None = None
    affected: list[AffectedComponent] = []
    notify: bool = True
    """Whether subscribers are told."""


class PostPatch(Shape):
    """The fields to change; the phase changes with an update."""

    model_config = ConfigDict(json_schema_extra=_as_changes)

    title: str = Field(min_length=1, max_length=200)
    starts_at: datetime
    ends_at: datetime | None = None
    affected: list[AffectedComponent] = []


class PostUpdateIn(Shape):
    phase: Phase
    body: str = Field("", max_length=20_000)
    notify: bool = True
    """Whether subscribers are told."""


class PostUpdateOut(Shape):
    id: UUID
    phase: Phase
    body: str
    at: datetime
    author: str | None
    """E-mail of the person."""


class PostOut(Shape):
    id: UUID
    status_page: UUID
    kind: PostKind
    title: str
    phase: Phase
    """As readers see it: a maintenance keeps to its times."""
    starts_at: datetime
    ends_at: datetime | None
    created_at: datetime
    updated_at: datetime
    affected: list[AffectedComponent]
    updates: list[PostUpdateOut]
    """Oldest first."""


class StatusPages(ApiView):
    @describe("list_status_pages", "List status pages", query=PageQuery, answer=Page[StatusPageOut])
    def get(self, request: Request) -> Response:
        pages = StatusPage.objects.visible_to(self.team).order_by("name", "id")
        return Response(page_of(request._request, pages, self.query(PageQuery), present_pages))

    @describe(
        "create_status_page",
        "Create a status page",
        body=StatusPageIn,
        answer=StatusPageOut,
        status=201,
    )
    def post(self, request: Request) -> Response:
        page = create_page(team=self.team, values=as_object(self.body))
        return Response(_present_page(page), status=201)


class StatusPageView(ApiView):
    """Endpoints of one page."""

    def page(self, id: UUID) -> StatusPage:
        return get_object_or_404(StatusPage.objects.visible_to(self.team), pk=id)


class OneStatusPage(StatusPageView):
    @describe("get_status_page", "Read a status page", answer=StatusPageOut)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(_present_page(self.page(id)))

    @describe(
        "change_status_page", "Change some fields", body=StatusPagePatch, answer=StatusPageOut
    )
    def patch(self, request: Request, id: UUID) -> Response:
        page = update_page(page=self.page(id), values=as_object(self.body))
        return Response(_present_page(page))

    @describe(
        "delete_status_page",
        "Delete a page with all that was told on it",
        answer=None,
        status=204,
    )
    def delete(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        delete_page(page=self.page(id))
        return Response(status=204)


class PageComponents(StatusPageView):
    @describe(
        "list_components",
        "List a page's components in their order",
        query=PageQuery,
        answer=Page[ComponentOut],
    )
    def get(self, request: Request, id: UUID) -> Response:
        rows = self.page(id).components.order_by("position", "id")
        return Response(page_of(request._request, rows, self.query(PageQuery), present_components))

    @describe("add_component", "Add a component", body=ComponentIn, answer=ComponentOut, status=201)
    def post(self, request: Request, id: UUID) -> Response:
        component = add_component(page=self.page(id), values=as_object(self.body))
        return Response(_present_component(component), status=201)


class OneComponent(ApiView):
    @describe("get_component", "Read a component", answer=ComponentOut)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(_present_component(self._component(id)))

    @describe("change_component", "Change some fields", body=ComponentPatch, answer=ComponentOut)
    def patch(self, request: Request, id: UUID) -> Response:
        values = as_object(self.body)
        return Response(
            _present_component(update_component(component=self._component(id), values=values))
        )

    @describe("delete_component", "Take it off its page", answer=None, status=204)
    def delete(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        delete_component(component=self._component(id))
        return Response(status=204)

    def _component(self, id: UUID) -> Component:
        rows = Component.objects.select_related("page").filter(page__team=self.team)
        return get_object_or_404(rows, pk=id)


class PagePosts(StatusPageView):
    @describe(
        "list_posts", "List a page's posts, newest first", query=PageQuery, answer=Page[PostOut]
    )
    def get(self, request: Request, id: UUID) -> Response:
        rows = _posts(self).filter(page=self.page(id)).order_by("-starts_at", "id")
        return Response(page_of(request._request, rows, self.query(PageQuery), present_posts))

    @describe(
        "publish_post",
        "Tell of an incident or a maintenance",
        body=PostIn,
        answer=PostOut,
        status=201,
    )
    def post(self, request: Request, id: UUID) -> Response:
        post = publish_post(page=self.page(id), values=as_object(self.body), by=self.user)
        return Response(_present_post(_post(self, post.pk)), status=201)


class OnePost(ApiView):
    @describe("get_post", "Read a post", answer=PostOut)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(_present_post(_post(self, id)))

    @describe("change_post", "Set right what it says of itself", body=PostPatch, answer=PostOut)
    def patch(self, request: Request, id: UUID) -> Response:
        update_post(post=_post(self, id), values=as_object(self.body))
        return Response(_present_post(_post(self, id)))

    @describe("delete_post", "Delete a post", answer=None, status=204)
    def delete(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        delete_post(post=_post(self, id))
        return Response(status=204)


class PostUpdates(ApiView):
    @describe(
        "add_post_update", "Go on telling", body=PostUpdateIn, answer=PostUpdateOut, status=201
    )
    def post(self, request: Request, id: UUID) -> Response:
        values = as_object(self.body)
        update = add_post_update(post=_post(self, id), values=values, by=self.user)
        return Response(_present_update(update), status=201)


def present_pages(pages: Sequence[StatusPage]) -> list[StatusPageOut]:
    return [_present_page(page) for page in pages]


def _present_page(page: StatusPage) -> StatusPageOut:
    names = [name for name in StatusPageOut.model_fields if name != "url"]
    return StatusPageOut(**{name: getattr(page, name) for name in names}, url=page.public_url)


def present_components(components: Sequence[Component]) -> list[ComponentOut]:
    return [_present_component(one) for one in components]


def _present_component(one: Component) -> ComponentOut:
    return ComponentOut(
        id=one.pk,
        name=one.name,
        monitor=one.monitor_id,
        description=one.description,
        section=one.section,
        status=ComponentStatus(one.status) if one.is_by_hand else None,
        show_uptime=one.show_uptime,
        show_latency=one.show_latency,
        position=one.position,
    )


def present_posts(posts: Sequence[Post]) -> list[PostOut]:
    return [_present_post(post) for post in posts]


def _present_post(post: Post) -> PostOut:
    now = timezone.now()
    return PostOut(
        id=post.pk,
        status_page=post.page_id,
        kind=PostKind(post.kind),
        title=post.title,
        phase=post.phase_at(now),
        starts_at=post.starts_at,
        ends_at=post.ends_at,
        created_at=post.created_at,
        updated_at=post.updated_at,
        affected=[
            AffectedComponent(component=one.component_id, impact=ComponentStatus(one.impact))
            for one in post.affected.all()
        ],
        updates=[
            _present_update(one) for one in sorted(post.updates.all(), key=lambda one: one.at)
        ],
    )


def _present_update(update: PostUpdate) -> PostUpdateOut:
    return PostUpdateOut(
        id=update.pk,
        phase=Phase(update.phase),
        body=update.body,
        at=update.at,
        author=update.author.email if update.author else None,
    )


def _posts(view: ApiView) -> QuerySet[Post]:
    return (
        Post.objects.filter(page__team=view.team)
        .select_related("page")
        .prefetch_related("affected", "updates__author")
    )


def _post(view: ApiView, id: UUID) -> Post:
    return get_object_or_404(_posts(view), pk=id)
