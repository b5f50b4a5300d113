"""What went wrong: incidents and their timeline. `incidents.transitions` is their one writer."""

import json
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.urls import reverse
from django.utils import timezone

from accounts.models import Team
from monitors.models import Assignment, Monitor
from uptime.ids import uuid7


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


class Incident(models.Model):
    """One stretch of trouble of one monitor, from its first failing check to its recovery.

    One that flaps goes on over its recoveries, until nothing has changed for the flap window.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="incidents")
    monitor = models.ForeignKey(Monitor, on_delete=models.CASCADE, related_name="incidents")
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
            # the team's list, newest first; a monitor's incidents
            models.Index(fields=["team", "-started_at"], name="incident_list"),
            models.Index(fields=["monitor", "-started_at"], name="incident_of_monitor"),
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
        return reverse("incident", args=[self.pk])

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
    SEVERITY_CHANGED = "severity_changed", "Severity changed"
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

    class Meta:
        verbose_name_plural = "evidence"
        constraints = [
            models.UniqueConstraint(fields=["assignment", "checked_at"], name="one_evidence")
        ]
        indexes = [
            # what is too old, looked for every hour
            models.Index(fields=["checked_at"], name="evidence_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.reason or self.status} at {self.checked_at:%Y-%m-%d %H:%M:%S}"

    @property
    def other_details(self) -> str:
        """The details but for an http answer, to be read."""
        rest = {name: value for name, value in self.details.items() if name != "response"}
        return json.dumps(rest, indent=2, ensure_ascii=False) if rest else ""
