"""What the public sees: status pages with their components, what is told there, and badges.

Nothing of a monitor is public but what a page's component or a badge says of it, under the names
that were given there.
"""

import hashlib
import secrets
import uuid
from datetime import datetime
from typing import Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Team
from monitors.models import Monitor
from uptime.ids import uuid7


class Visibility(models.TextChoices):
    PUBLIC = "public", "Public"
    LINK = "link", "Whoever has the link"
    PASSWORD = "password", "With a password"


class Theme(models.TextChoices):
    AUTO = "auto", "As the reader's system has it"
    LIGHT = "light", "Light"
    DARK = "dark", "Dark"


class Language(models.TextChoices):
    EN = "en", "English"
    DE = "de", "Deutsch"
    FR = "fr", "Français"
    ES = "es", "Español"
    RU = "ru", "Русский"


class ComponentStatus(models.TextChoices):
    """From good to bad. Nobody sets `unknown`: it is what a monitor says that has not looked."""

    OPERATIONAL = "operational", _("Operational")
    UNKNOWN = "unknown", _("No data")
    MAINTENANCE = "maintenance", _("Under maintenance")
    DEGRADED = "degraded", _("Degraded performance")
    PARTIAL = "partial_outage", _("Partial outage")
    MAJOR = "major_outage", _("Major outage")


SETTABLE = [status for status in ComponentStatus if status != ComponentStatus.UNKNOWN]


def new_access_key() -> str:
    """What stands in the address of a page that only its link leads to; no slug has a `_`."""
    return f"k_{secrets.token_hex(16)}"


class StatusPageQuerySet(models.QuerySet["StatusPage"]):
    def visible_to(self, team: Team) -> Self:
        return self.filter(team=team)

    def named(self, public_name: str) -> Self:
        """The page that this part of an address leads to."""
        return self.filter(
            models.Q(slug=public_name) & ~models.Q(visibility=Visibility.LINK)
            | models.Q(access_key=public_name, visibility=Visibility.LINK)
        )


class StatusPage(models.Model):
    """One public page. Every action on it, or on what is in it, sets `changed_at`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="status_pages")
    name = models.CharField(max_length=200)
    slug = models.CharField(
        max_length=60,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9]+(-[a-z0-9]+)*$")],
    )
    description = models.TextField(blank=True)
    website = models.URLField(blank=True, max_length=500)
    visibility = models.CharField(max_length=10, choices=Visibility, default=Visibility.PUBLIC)
    access_key = models.CharField(max_length=40, unique=True, default=new_access_key)
    password = models.CharField(max_length=200, blank=True, editable=False, help_text="Hashed.")
    domain = models.CharField(max_length=253, unique=True, null=True, blank=True)
    language = models.CharField(max_length=5, choices=Language, default=Language.EN)
    theme = models.CharField(max_length=5, choices=Theme, default=Theme.AUTO)
    accent = models.CharField(max_length=7, blank=True, help_text="As in CSS: #0f5c8c.")
    logo = models.BinaryField(null=True, blank=True, editable=False)
    logo_type = models.CharField(max_length=20, blank=True, editable=False)
    custom_css = models.TextField(blank=True)
    show_uptime = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = StatusPageQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        indexes = [models.Index(fields=["team", "name"], name="status_page_list")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("status-page", args=[self.pk])

    @property
    def public_name(self) -> str:
        """The part of its address that names it."""
        return self.access_key if self.visibility == Visibility.LINK else self.slug

    @property
    def public_path(self) -> str:
        return f"/status/{self.public_name}/"

    @property
    def public_origin(self) -> str:
        """Where what belongs to it is asked for: at its own domain if it has one."""
        if self.domain:
            return f"{'https' if settings.IS_HTTPS else 'http'}://{self.domain}"
        return str(settings.BASE_URL)

    @property
    def public_url(self) -> str:
        """Where readers find it."""
        return f"{self.public_origin}{'/' if self.domain else self.public_path}"


class Component(models.Model):
    """A line of a page: a monitor under a public name, or something whose status people set.

    `status` is that of one by hand. `section` is the heading that it stands under; sections stand
    in the order of their first components.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    page = models.ForeignKey(StatusPage, on_delete=models.CASCADE, related_name="components")
    monitor = models.ForeignKey(
        Monitor, on_delete=models.CASCADE, null=True, blank=True, related_name="components"
    )
    name = models.CharField(max_length=200)
    description = models.CharField(max_length=500, blank=True)
    section = models.CharField(max_length=200, blank=True)
    position = models.PositiveIntegerField(default=0)
    status = models.CharField(
        max_length=20, choices=ComponentStatus, default=ComponentStatus.OPERATIONAL
    )
    show_uptime = models.BooleanField(default=True)
    show_latency = models.BooleanField(default=False)

    class Meta:
        ordering = ["page", "position", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_by_hand(self) -> bool:
        return self.monitor_id is None


class ComponentSpan(models.Model):
    """One stretch of one status of a component by hand; they meet like a monitor's spans."""

    id = models.BigAutoField(primary_key=True)
    component = models.ForeignKey(Component, on_delete=models.CASCADE, related_name="spans")
    status = models.CharField(max_length=20, choices=ComponentStatus)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["component"],
                condition=models.Q(ended_at=None),
                name="one_open_component_span",
            ),
        ]
        indexes = [
            # the bars of a page
            models.Index(fields=["component", "-started_at"], name="component_span_history"),
        ]

    def __str__(self) -> str:
        return f"{self.status} from {self.started_at:%Y-%m-%d %H:%M:%S}"


class PostKind(models.TextChoices):
    INCIDENT = "incident", "Incident"
    MAINTENANCE = "maintenance", "Maintenance"


class Phase(models.TextChoices):
    INVESTIGATING = "investigating", _("Investigating")
    IDENTIFIED = "identified", _("Identified")
    MONITORING = "monitoring", _("Monitoring")
    RESOLVED = "resolved", _("Resolved")
    SCHEDULED = "scheduled", _("Scheduled")
    IN_PROGRESS = "in_progress", _("In progress")
    COMPLETED = "completed", _("Completed")


PHASES = {
    PostKind.INCIDENT: [
        Phase.INVESTIGATING,
        Phase.IDENTIFIED,
        Phase.MONITORING,
        Phase.RESOLVED,
    ],
    PostKind.MAINTENANCE: [Phase.SCHEDULED, Phase.IN_PROGRESS, Phase.COMPLETED],
}
ENDS = (Phase.RESOLVED, Phase.COMPLETED)


class PostQuerySet(models.QuerySet["Post"]):
    def unfinished(self, now: datetime) -> Self:
        """Those that are not over: `Post.phase_at` says the same of one."""
        is_past = models.Q(kind=PostKind.MAINTENANCE, ends_at__lte=now)
        return self.exclude(models.Q(phase__in=ENDS) | is_past)


class Post(models.Model):
    """An incident or a maintenance as people tell it, update by update.

    `phase` is that of the latest update. A maintenance lasts from `starts_at` to `ends_at`, and
    turns by itself from scheduled to in progress to completed; an incident ends with an update.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    page = models.ForeignKey(StatusPage, on_delete=models.CASCADE, related_name="posts")
    kind = models.CharField(max_length=12, choices=PostKind)
    title = models.CharField(max_length=200)
    phase = models.CharField(max_length=15, choices=Phase)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = PostQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at=None) | models.Q(ends_at__gte=models.F("starts_at")),
                name="post_runs_forward",
            ),
        ]
        indexes = [
            # the page's posts, newest first
            models.Index(fields=["page", "-starts_at"], name="post_list"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_maintenance(self) -> bool:
        return self.kind == PostKind.MAINTENANCE

    def phase_at(self, now: datetime) -> Phase:
        """The phase that readers see: a maintenance keeps to its times if nobody says more."""
        phase = Phase(self.phase)
        if phase == Phase.SCHEDULED and self.starts_at <= now:
            phase = Phase.IN_PROGRESS
        if phase == Phase.IN_PROGRESS and self.ends_at is not None and self.ends_at <= now:
            phase = Phase.COMPLETED
        return phase


class Affected(models.Model):
    """A component that a post is about, and what the post makes of its status while it lasts."""

    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="affected")
    component = models.ForeignKey(Component, on_delete=models.CASCADE, related_name="affected")
    impact = models.CharField(max_length=20, choices=ComponentStatus)

    class Meta:
        verbose_name_plural = "affected components"
        constraints = [models.UniqueConstraint(fields=["post", "component"], name="affected_once")]

    def __str__(self) -> str:
        return f"{self.component_id}: {self.impact}"


class PostUpdate(models.Model):
    """One thing said of a post, in Markdown."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="updates")
    phase = models.CharField(max_length=15, choices=Phase)
    body = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        indexes = [models.Index(fields=["post", "-at"], name="post_timeline")]

    def __str__(self) -> str:
        return f"{self.phase} at {self.at:%Y-%m-%d %H:%M:%S}"

    @property
    def phase_label(self) -> str:
        return str(Phase(self.phase).label)


class PostTemplate(models.Model):
    """Words made ready for the night when nobody finds them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="post_templates")
    kind = models.CharField(max_length=12, choices=PostKind)
    name = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    phase = models.CharField(max_length=15, choices=Phase)
    body = models.TextField(blank=True)

    class Meta:
        ordering = ["kind", "name", "id"]

    def __str__(self) -> str:
        return self.name


class Badge(models.Model):
    """That a monitor's status, uptime and latency may be seen by whoever knows its key."""

    key = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    monitor = models.OneToOneField(Monitor, on_delete=models.CASCADE, related_name="badge")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return str(self.key)


class SubscriberKind(models.TextChoices):
    EMAIL = "email", "E-mail"
    WEBHOOK = "webhook", "Webhook"


def new_token() -> str:
    return secrets.token_urlsafe(24)


class Subscriber(models.Model):
    """Who wants to be told of a page's posts; of all components unless they chose some.

    Nothing but the link to confirm is sent before `confirmed_at`. Whoever knows the token may
    confirm, choose and unsubscribe; with a webhook's, requests to it are signed.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    page = models.ForeignKey(StatusPage, on_delete=models.CASCADE, related_name="subscribers")
    kind = models.CharField(max_length=10, choices=SubscriberKind)
    address = models.CharField(max_length=2000)
    is_choosy = models.BooleanField(
        default=False, help_text="Of `components` only, also once none of them is left."
    )
    components = models.ManyToManyField(Component, blank=True, related_name="subscribers")
    token = models.CharField(max_length=40, unique=True, default=new_token, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    asked_at = models.DateTimeField(help_text="When the link to confirm was last sent.")
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["page", "kind", "address"], name="subscribed_once")
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def secret(self) -> str:
        """What a webhook's requests are signed with; shown where it is confirmed."""
        return hashlib.sha256(f"webhook {self.token}".encode()).hexdigest()


class Mailing(models.Model):
    """One message to one subscriber, of an update or, without one, to confirm: a row of the outbox.

    `next_attempt_at` is null once it is sent or given up; while a sender holds it, it is when the
    lease lapses and it is sent again.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="mailings")
    update = models.ForeignKey(
        PostUpdate, on_delete=models.CASCADE, null=True, blank=True, related_name="mailings"
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    lease_owner = models.UUIDField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "update"], name="one_mailing_an_update")
        ]
        indexes = [
            # the courier
            models.Index(
                fields=["next_attempt_at"],
                name="mailing_due",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"to {self.subscriber_id}"
