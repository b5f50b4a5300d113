"""What went wrong: incidents and their timeline. `incidents.transitions` is their one writer."""

import json
from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.urls import reverse
from django.utils import timezone

from accounts.models import Team
from incidents.maintenance.recurrence import Occurrence, Plan
from monitors.charts import PHASE_LABELS
from monitors.models import Assignment, Monitor
from uptime.ids import uuid7
from uptime.wall_clock import zone_or_utc


class IncidentStatus(models.TextChoices):
    OPEN = "open", "Open"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    RESOLVED = "resolved", "Resolved"


class Severity(models.TextChoices):
    DOWN = "down", "Down"
    DEGRADED = "degraded", "Degraded"


class IncidentQuerySet(models.QuerySet["Incident"]):
    def visible_to(self, team: Team) -> Self:
        return self.filter(team=team)

    def unresolved(self) -> Self:
        return self.exclude(status=IncidentStatus.RESOLVED)

    def locked(self, *, skip_locked: bool = False) -> Self:
        """As `monitors.models.MonitorQuerySet.locked`."""
        return self.order_by("id").select_for_update(
            no_key=True, skip_locked=skip_locked, of=("self",)
        )


class Incident(models.Model):
    """One stretch of trouble of one monitor, from its first failing check to its recovery.

    One that flaps goes on over its recoveries, until nothing has changed for the flap window.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="incidents")
    monitor = models.ForeignKey(
        Monitor,
        on_delete=models.CASCADE,
        related_name="incidents",
        db_index=False,  # incident_of_monitor begins with it
    )
    status = models.CharField(max_length=12, choices=IncidentStatus, default=IncidentStatus.OPEN)
    severity = models.CharField(max_length=10, choices=Severity)
    reason = models.CharField(max_length=30, blank=True)
    message = models.TextField(blank=True)
    locations = ArrayField(models.CharField(max_length=50), default=list)
    started_at = models.DateTimeField(help_text="The first failing check.")
    confirmed_at = models.DateTimeField(help_text="When enough checks agreed and it was opened.")
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    resolved_at = models.DateTimeField(null=True, blank=True)
    changes = models.PositiveIntegerField(
        default=0, help_text="How often the status changed, once that is flapping; else 0."
    )
    calm_at = models.DateTimeField(
        null=True, blank=True, help_text="When it has flapped enough, unless it changes again."
    )

    parent = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="children",
        help_text="The trouble that this one comes of: of what its monitor depends on.",
    )
    held_since = models.DateTimeField(
        null=True, blank=True, help_text="Since when nobody is told of it; empty: not held."
    )
    held_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When it is told at the latest; empty: when its parent is over.",
    )
    told_at = models.DateTimeField(
        null=True, blank=True, help_text="When its trouble was first handed on to be told."
    )

    objects = IncidentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["monitor"],
                condition=~models.Q(status="resolved"),
                name="one_open_incident",
            ),
        ]
        indexes = [
            # the team's list, newest first
            models.Index(fields=["team", "-started_at"], name="incident_list"),
            # a monitor's incidents, and how long it took to mend them, which reads nothing else
            models.Index(
                fields=["monitor", "-started_at"],
                include=["resolved_at"],
                name="incident_of_monitor",
            ),
            # what has stopped flapping, looked for every second
            models.Index(
                fields=["calm_at"],
                name="incident_calm",
                condition=models.Q(calm_at__isnull=False),
            ),
            # what is held, looked at every second
            models.Index(
                fields=["held_since"],
                name="incident_held",
                condition=models.Q(held_since__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.monitor} {self.severity}"

    def get_absolute_url(self) -> str:
        # Not reversed: that loads all pages and the API, in the transaction of the first failure.
        return f"/incidents/{self.pk}/"

    @property
    def is_resolved(self) -> bool:
        return self.status == IncidentStatus.RESOLVED

    @property
    def is_flapping(self) -> bool:
        return self.calm_at is not None

    @property
    def is_held(self) -> bool:
        """Whether nobody is told of it, because of what its monitor depends on."""
        return self.held_since is not None

    @property
    def is_secret(self) -> bool:
        """Whether nobody was told of it, so that nobody is to hear of its end."""
        return self.is_held and self.told_at is None

    def duration(self, now: datetime) -> timedelta:
        return (self.resolved_at or now) - self.started_at


class EventKind(models.TextChoices):
    OPENED = "opened", "Opened"
    MAINTENANCE = "maintenance", "Maintenance began"
    OUTLASTED = "outlasted", "Goes on after the maintenance"
    SEVERITY_CHANGED = "severity_changed", "Severity changed"
    SNOOZED = "snoozed", "Snoozed"
    UNSNOOZED = "unsnoozed", "The snooze is over"
    HELD = "held", "Held"
    RELEASED = "released", "Released"
    FLAPPING = "flapping", "Flapping"
    CALMED = "calmed", "Stopped flapping"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    ASSIGNED = "assigned", "Assigned"
    COMMENTED = "commented", "Commented"
    RESOLVED = "resolved", "Resolved"


class IncidentEvent(models.Model):
    """One entry of an incident's timeline: the audit log, and what deliveries are made from."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=20, choices=EventKind)
    at = models.DateTimeField(default=timezone.now)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    severity = models.CharField(max_length=10, choices=Severity, blank=True)
    message = models.TextField(blank=True)
    locations = ArrayField(
        models.CharField(max_length=50), default=list, blank=True, help_text="Where it was seen."
    )
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    is_public = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["incident", "at"], name="incident_timeline")]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M:%S}"


class Evidence(models.Model):
    """What the check saw that began a location's trouble. Passing checks leave none.

    `details` is what its kind tells besides (the answer's head and body, records, hops), without
    secrets; see `incidents.evidence`.
    """

    id = models.BigAutoField(primary_key=True)
    # No constraint in the database, as for results: it is written where the hot row is locked.
    assignment = models.ForeignKey(
        Assignment,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,  # the constraint's begins with it
        related_name="evidence",
    )
    checked_at = models.DateTimeField()
    status = models.CharField(max_length=8)
    reason = models.CharField(max_length=30, blank=True)
    message = models.TextField(blank=True)
    http_status = models.PositiveSmallIntegerField(null=True)
    latency_ms = models.FloatField(null=True)
    phases = models.JSONField(default=dict)
    cert_expires_at = models.DateTimeField(null=True)
    details = models.JSONField(default=dict)
    # The way to the host is still to be traced: see `incidents.routes`.
    wants_trace = models.BooleanField(default=False)

    class Meta:
        verbose_name_plural = "evidence"
        constraints = [
            models.UniqueConstraint(fields=["assignment", "checked_at"], name="one_evidence")
        ]
        indexes = [
            # what is too old, looked for every hour
            models.Index(fields=["checked_at"], name="evidence_by_age"),
            models.Index(
                fields=["checked_at"],
                name="evidence_untraced",
                condition=models.Q(wants_trace=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason or self.status} at {self.checked_at:%Y-%m-%d %H:%M:%S}"

    @property
    def labelled_phases(self) -> list[tuple[str, float]]:
        """How long each phase took, in ms, in the order of the check."""
        taken = ((label, self.phases.get(f"{name}_ms")) for name, label in PHASE_LABELS.items())
        return [(label, ms) for label, ms in taken if ms is not None]

    @property
    def other_details(self) -> str:
        """The details that the page shows in no other way, to be read."""
        shown = ("response", "route")
        rest = {name: value for name, value in self.details.items() if name not in shown}
        return json.dumps(rest, indent=2, ensure_ascii=False) if rest else ""


class WindowState(models.TextChoices):
    SCHEDULED = "scheduled", "Scheduled"
    ACTIVE = "active", "On"
    OVER = "over", "Over"


class MaintenanceWindowQuerySet(models.QuerySet["MaintenanceWindow"]):
    def visible_to(self, team: Team) -> Self:
        return self.filter(team=team)

    def between(self, since: datetime, until: datetime) -> Self:
        """Those that may be on at some time of that stretch, as planned or as changed by hand."""
        return self.filter(
            models.Q(starts_at__lt=until) & (~models.Q(rrule="") | models.Q(ends_at__gt=since))
            | models.Q(begins_at__lt=until, finishes_at__gt=since)
        )

    def begun(self, now: datetime) -> Self:
        """Those whose occurrence at hand has begun, and is not settled yet if it is over."""
        return self.filter(begins_at__lte=now)


class MaintenanceWindow(models.Model):
    """Planned work on some monitors: they are checked, and nobody is told.

    `starts_at` and `ends_at` are those of the first occurrence; `begins_at` and `finishes_at` those
    of the one at hand, the present or the next, which may have been started early, extended or
    ended early. All three of it are null when there is none to come.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="maintenance_windows")
    name = models.CharField(max_length=200)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    rrule = models.CharField(max_length=500, blank=True, help_text="RFC 5545; empty: once.")
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Whose clocks it goes by.")
    is_for_all = models.BooleanField(default=False, help_text="Of the team's monitors.")
    monitors = models.ManyToManyField(Monitor, blank=True, related_name="maintenance_windows")
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    is_public = models.BooleanField(default=False, help_text="Whether status pages may show it.")
    planned_at = models.DateTimeField(
        null=True, editable=False, help_text="When the occurrence at hand begins by the plan."
    )
    begins_at = models.DateTimeField(null=True, editable=False)
    finishes_at = models.DateTimeField(null=True, editable=False)
    changed_at = models.DateTimeField(
        default=timezone.now, editable=False, help_text="What it covers counts from then on."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = MaintenanceWindowQuerySet.as_manager()

    class Meta:
        ordering = ["begins_at", "name", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")), name="maintenance_lasts"
            ),
        ]
        indexes = [
            # what has begun, looked for every second
            models.Index(
                fields=["begins_at"],
                name="maintenance_at_hand",
                condition=models.Q(begins_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("maintenance-window", args=[self.pk])

    @property
    def zone(self) -> ZoneInfo:
        return zone_or_utc(self.time_zone)

    @property
    def plan(self) -> Plan:
        return Plan(self.starts_at, self.ends_at, self.zone, self.rrule)

    @property
    def at_hand(self) -> Occurrence | None:
        """The present occurrence or the next, as it was changed by hand."""
        if self.begins_at is None or self.finishes_at is None:
            return None
        return Occurrence(self.begins_at, self.finishes_at)

    def is_on(self, now: datetime) -> bool:
        return self.at_hand is not None and self.at_hand.starts_at <= now < self.at_hand.ends_at

    def state_at(self, now: datetime) -> WindowState:
        if self.at_hand is None:
            return WindowState.OVER
        return WindowState.ACTIVE if self.is_on(now) else WindowState.SCHEDULED
