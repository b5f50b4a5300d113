"""Every change to status pages and what is on them, whoever asks for it.

`values` are those of the API, under its field names. Wrong ones raise `uptime.errors.Invalid` and
change nothing; so does everything that is not the team's own.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.db.models.functions import Now
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    StringConstraints,
    model_validator,
)

from accounts.audit import record
from accounts.models import Team, User
from monitors.models import Monitor
from statuspages.dress import check_css, check_logo
from statuspages.markup import BODY_LIMIT
from statuspages.models import (
    ENDS,
    PHASES,
    SETTABLE,
    Affected,
    Badge,
    Component,
    ComponentSpan,
    ComponentStatus,
    Language,
    Phase,
    Post,
    PostKind,
    PostTemplate,
    PostUpdate,
    StatusPage,
    Theme,
    Visibility,
    new_access_key,
)
from statuspages.subscriptions import queue_mailings
from uptime.clock import database_now
from uptime.database import lock_row
from uptime.errors import Conflict, Invalid
from uptime.validation import validate
from uptime.wall_clock import Instant

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Heading = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
Body = Annotated[str, StringConstraints(strip_whitespace=True, max_length=BODY_LIMIT)]


def _lowered(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _not_our_own(domain: str) -> str:
    if domain == urlsplit(settings.BASE_URL).hostname:
        raise ValueError("This is where the product itself is: the page would shut everybody out.")
    return domain


Slug = Annotated[
    str,
    BeforeValidator(_lowered),
    StringConstraints(max_length=60, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$"),
]
Domain = Annotated[
    str,
    BeforeValidator(_lowered),
    StringConstraints(
        max_length=253,
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$",
    ),
    AfterValidator(_not_our_own),
]
Website = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"^(https?://[^\s]+)?$")
]
Accent = Annotated[str, BeforeValidator(_lowered), StringConstraints(pattern=r"^(#[0-9a-f]{6})?$")]


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def mark_changed(page: StatusPage) -> None:
    """Have the page rendered anew: whoever publishes it sees that it changed."""
    StatusPage.objects.filter(pk=page.pk).update(changed_at=Now())


def mark_pages_of(monitor: Monitor) -> None:
    """Have all pages rendered anew that show this monitor."""
    StatusPage.objects.filter(components__monitor=monitor).update(changed_at=Now())


# -- pages -----------------------------------------------------------------------------------------


class PageValues(_Values):
    name: Title
    slug: Slug = Field(description="Small letters, digits and single hyphens: shop-status.")
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""
    website: Website = Field("", description="It begins with https:// or http://.")
    visibility: Visibility = Visibility.PUBLIC
    password: SecretStr | None = Field(None, max_length=200)
    domain: Domain | None = Field(None, description="A name alone: status.example.com.")
    language: Language = Language.EN
    theme: Theme = Theme.AUTO
    accent: Accent = Field("", description="A colour as in CSS, six digits: #0f5c8c.")
    custom_css: Annotated[str, AfterValidator(check_css)] = ""
    show_uptime: StrictBool = True


_PLAIN = [name for name in PageValues.model_fields if name != "password"]


@transaction.atomic
def create_page(*, team: Team, values: Mapping[str, Any]) -> StatusPage:
    page = _save_page(StatusPage(team=team), validate(PageValues, values))
    record("status_page.created", page, team=team)
    return page


@transaction.atomic
def update_page(*, page: StatusPage, values: Mapping[str, Any]) -> StatusPage:
    """Change what is given. A password that is left out, or None, stays as it is."""
    lock_row(page)
    stored = {name: getattr(page, name) for name in _PLAIN}
    _save_page(page, validate(PageValues, {**stored, **values}))
    record("status_page.changed", page, team=page.team_id, changed=values.keys())
    return page


@transaction.atomic
def delete_page(*, page: StatusPage) -> None:
    """Remove it with all that was told on it; its address is free again."""
    record("status_page.deleted", page, team=page.team_id)
    page.delete()


@transaction.atomic
def _save_page(page: StatusPage, given: PageValues) -> StatusPage:
    others = StatusPage.objects.exclude(pk=page.pk)
    if others.filter(slug=given.slug).exists():
        raise Invalid({"slug": ["Another status page has this address."]})
    if given.domain and others.filter(domain=given.domain).exists():
        raise Invalid({"domain": ["Another status page has this domain."]})
    password = given.password.get_secret_value() if given.password else ""
    if given.visibility == Visibility.PASSWORD and not (password or page.password):
        raise Invalid({"password": ["Give the password that readers have to know."]})
    for name in _PLAIN:
        setattr(page, name, getattr(given, name))
    if password:
        page.password = make_password(password)
    page.changed_at = database_now()
    try:
        with transaction.atomic():
            page.save()
    except IntegrityError as error:  # somebody took it a moment ago
        field = "domain" if "domain" in str(error) else "slug"
        raise Invalid({field: ["Another status page has it by now."]}) from None
    return page


@transaction.atomic
def set_logo(*, page: StatusPage, image: bytes | None) -> StatusPage:
    """Show this image beside the page's name; None: no image. PNG, JPEG, WebP, GIF or SVG."""
    try:
        kind = "" if image is None else check_logo(image)
    except ValueError as error:
        raise Invalid({"logo": [str(error)]}) from None
    page.logo, page.logo_type, page.changed_at = image, kind, database_now()
    page.save(update_fields=["logo", "logo_type", "changed_at"])
    record("status_page.changed", page, team=page.team_id, changed=["logo"])
    return page


@transaction.atomic
def renew_link(*, page: StatusPage) -> StatusPage:
    """Another secret address: the old one leads nowhere any more."""
    page.access_key, page.changed_at = new_access_key(), database_now()
    page.save(update_fields=["access_key", "changed_at"])
    record("status_page.changed", page, team=page.team_id, changed=["link"])
    return page


# -- components ------------------------------------------------------------------------------------


def _settable(status: ComponentStatus) -> ComponentStatus:
    if status not in SETTABLE:
        raise ValueError("Nobody can set this status; it is what a monitor says without data.")
    return status


SetStatus = Annotated[ComponentStatus, AfterValidator(_settable)]


class ComponentValues(_Values):
    name: Title
    monitor: UUID | None = None
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""
    section: Heading = ""
    status: SetStatus = ComponentStatus.OPERATIONAL
    show_uptime: StrictBool = True
    show_latency: StrictBool = False
    position: int | None = Field(None, ge=0, le=100_000)


COMPONENTS_ON_A_PAGE = 1000


def component_values(component: Component) -> dict[str, Any]:
    """What the component is, under the API's field names."""
    plain = [name for name in ComponentValues.model_fields if name != "monitor"]
    return {**{name: getattr(component, name) for name in plain}, "monitor": component.monitor_id}


@transaction.atomic
def add_component(*, page: StatusPage, values: Mapping[str, Any]) -> Component:
    """A new line of the page, below the others unless a position is given."""
    given = validate(ComponentValues, values)
    if page.components.count() >= COMPONENTS_ON_A_PAGE:
        raise Conflict(f"A page has at most {COMPONENTS_ON_A_PAGE} components.")
    last = page.components.aggregate(last=Max("position"))["last"]
    component = Component(page=page, position=0 if last is None else last + 1)
    return _save_component(component, given)


@transaction.atomic
def update_component(*, component: Component, values: Mapping[str, Any]) -> Component:
    lock_row(component)
    given = validate(ComponentValues, {**component_values(component), **values})
    return _save_component(component, given)


@transaction.atomic
def delete_component(*, component: Component) -> None:
    component.delete()
    _note_components(component.page)


@transaction.atomic
def move_component(*, component: Component, by: Literal[-1, 1]) -> None:
    """Change places with the one above or below; at the end nothing happens."""
    rows = list(component.page.components.select_for_update().order_by("position", "id"))
    place = next(i for i, row in enumerate(rows) if row.pk == component.pk)
    if 0 <= place + by < len(rows):
        rows[place], rows[place + by] = rows[place + by], rows[place]
    for position, row in enumerate(rows):
        row.position = position
    Component.objects.bulk_update(rows, ["position"])
    _note_components(component.page)


def _save_component(component: Component, given: ComponentValues) -> Component:
    page = component.page
    if given.monitor and not Monitor.objects.filter(team=page.team_id, pk=given.monitor).exists():
        raise Invalid({"monitor": [f"There is no monitor {given.monitor}."]})
    component.monitor_id = given.monitor
    for name in ("name", "description", "section", "show_uptime", "show_latency"):
        setattr(component, name, getattr(given, name))
    component.status = given.status if given.monitor is None else ComponentStatus.OPERATIONAL
    if given.position is not None:
        component.position = given.position
    component.save()
    _turn_span(component)
    _note_components(page)
    return component


def _note_components(page: StatusPage) -> None:
    record("status_page.changed", page, team=page.team_id, changed=["components"])
    mark_changed(page)


def _turn_span(component: Component) -> None:
    """Let the component's history go on with its present status; a monitor has its own."""
    open_spans = component.spans.filter(ended_at=None)
    if component.is_by_hand and open_spans.filter(status=component.status).exists():
        return
    now = database_now()
    open_spans.update(ended_at=now)
    if component.is_by_hand:
        ComponentSpan.objects.create(component=component, status=component.status, started_at=now)


# -- posts -----------------------------------------------------------------------------------------


class _AffectedValues(_Values):
    component: UUID
    impact: SetStatus


class PostValues(_Values):
    kind: PostKind = PostKind.INCIDENT
    title: Title
    phase: Phase
    body: Body = ""
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    affected: list[_AffectedValues] = Field(default=[], max_length=COMPONENTS_ON_A_PAGE)
    notify: StrictBool = True

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.phase not in PHASES[self.kind]:
            raise ValueError(_phases_sentence(self.kind))
        if self.kind == PostKind.MAINTENANCE and not (self.starts_at and self.ends_at):
            raise ValueError("Say when the maintenance starts and when it ends.")
        if self.starts_at and self.ends_at and self.ends_at < self.starts_at:
            raise ValueError("It ends before it starts.")
        return self


class PostChanges(_Values):
    """What of a post can be set right afterwards; its phase changes with an update only."""

    title: Title
    starts_at: Instant
    ends_at: Instant | None = None
    affected: list[_AffectedValues] = Field(default=[], max_length=COMPONENTS_ON_A_PAGE)

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.ends_at and self.ends_at < self.starts_at:
            raise ValueError("It ends before it starts.")
        return self


class UpdateValues(_Values):
    phase: Phase
    body: Body = ""
    notify: StrictBool = True


def _phases_sentence(kind: PostKind) -> str:
    return f"The phases of {kind.label.lower()} posts are {', '.join(PHASES[kind])}."


@transaction.atomic
def publish_post(*, page: StatusPage, values: Mapping[str, Any], by: User | None = None) -> Post:
    """Tell of an incident or a maintenance; `body` is its first update."""
    given = validate(PostValues, values)
    now = database_now()
    post = Post(
        page=page,
        kind=given.kind,
        title=given.title,
        phase=given.phase,
        starts_at=given.starts_at or now,
        ends_at=given.ends_at,
        created_at=now,
    )
    if given.phase in ENDS and post.ends_at is None:
        post.ends_at = max(now, post.starts_at)
    post.save()
    _set_affected(post, given.affected)
    _add_update(
        post, UpdateValues(phase=given.phase, body=given.body, notify=given.notify), now, by
    )
    record("post.published", post, team=page.team_id)
    return post


@transaction.atomic
def add_post_update(*, post: Post, values: Mapping[str, Any], by: User | None = None) -> PostUpdate:
    """Go on telling. The phases resolved and completed end the post; another reopens it.

    What is said of one that is over, in its last phase, does not move its end.
    """
    given = validate(UpdateValues, values)
    locked = Post.objects.select_for_update().get(pk=post.pk)
    if given.phase not in PHASES[PostKind(locked.kind)]:
        raise Invalid({"phase": [_phases_sentence(PostKind(locked.kind))]})
    now = database_now()
    was_over = locked.phase_at(now) in ENDS
    locked.phase = given.phase
    if given.phase in ENDS:
        if not was_over or locked.ends_at is None:
            locked.ends_at = max(now, locked.starts_at)
    elif was_over or (locked.ends_at is not None and not locked.is_maintenance):
        locked.ends_at = None
    locked.save(update_fields=["phase", "ends_at"])
    record("post.changed", locked, team=post.page.team_id, changed=["updates"])
    return _add_update(locked, given, now, by)


@transaction.atomic
def update_post(*, post: Post, values: Mapping[str, Any]) -> Post:
    lock_row(post)
    given = validate(PostChanges, {**post_values(post), **values})
    if post.is_maintenance and given.ends_at is None and post.phase not in ENDS:
        raise Invalid({"ends_at": ["Say when the maintenance ends."]})
    post.title, post.starts_at, post.ends_at = given.title, given.starts_at, given.ends_at
    post.updated_at = database_now()
    post.save(update_fields=["title", "starts_at", "ends_at", "updated_at"])
    _set_affected(post, given.affected)
    record("post.changed", post, team=post.page.team_id, changed=values.keys())
    mark_changed(post.page)
    return post


@transaction.atomic
def delete_post(*, post: Post) -> None:
    record("post.deleted", post, team=post.page.team_id)
    post.delete()
    mark_changed(post.page)


def post_values(post: Post) -> dict[str, Any]:
    """What can be changed of a post, under the API's field names."""
    return {
        "title": post.title,
        "starts_at": post.starts_at,
        "ends_at": post.ends_at,
        "affected": [
            {"component": one.component_id, "impact": one.impact} for one in post.affected.all()
        ],
    }


def _set_affected(post: Post, wanted: Sequence[_AffectedValues]) -> None:
    known = set(post.page.components.values_list("pk", flat=True))
    if missing := [one.component for one in wanted if one.component not in known]:
        raise Invalid({"affected": [f"There is no component {one}." for one in missing]})
    post.affected.all().delete()
    impacts = {one.component: one.impact for one in wanted}
    Affected.objects.bulk_create(
        [Affected(post=post, component_id=pk, impact=impact) for pk, impact in impacts.items()]
    )


def _add_update(post: Post, given: UpdateValues, at: datetime, by: User | None) -> PostUpdate:
    update = PostUpdate.objects.create(
        post=post, phase=given.phase, body=given.body, at=at, author=by
    )
    Post.objects.filter(pk=post.pk).update(updated_at=at)
    if given.notify:
        queue_mailings(update)
    mark_changed(post.page)
    return update


# -- templates and badges --------------------------------------------------------------------------


class TemplateValues(_Values):
    kind: PostKind = PostKind.INCIDENT
    name: Title
    title: Title
    phase: Phase
    body: Body = ""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.phase not in PHASES[self.kind]:
            raise ValueError(_phases_sentence(self.kind))
        return self


def save_template(
    *, team: Team, values: Mapping[str, Any], template: PostTemplate | None = None
) -> PostTemplate:
    """A new template, or other words for one that there is."""
    given = validate(TemplateValues, values)
    row = template or PostTemplate(team=team)
    for name in TemplateValues.model_fields:
        setattr(row, name, getattr(given, name))
    row.save()
    return row


def delete_template(*, template: PostTemplate) -> None:
    template.delete()


@transaction.atomic
def show_badges(*, monitor: Monitor) -> Badge:
    """Let whoever is told the key see the monitor's badges. Doing so twice keeps the key."""
    badge, is_new = Badge.objects.get_or_create(monitor=monitor)
    if is_new:
        record("monitor.changed", monitor, team=monitor.team_id, changed=["badges"])
    return badge


@transaction.atomic
def hide_badges(*, monitor: Monitor) -> None:
    """No badges any more; shown again, they have another key."""
    count, _ = Badge.objects.filter(monitor=monitor).delete()
    if count:
        record("monitor.changed", monitor, team=monitor.team_id, changed=["badges"])
