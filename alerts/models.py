"""Who hears of it: channels, policies with steps, and the outbox of deliveries."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.utils import timezone

from accounts.models import Team
from incidents.models import Incident, IncidentEvent
from monitors.models import Monitor
from uptime import secrets
from uptime.ids import uuid7


class Channel(models.Model):
    """A way to reach somebody; its type's module in alerts/channels/ knows how."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="channels")
    name = models.CharField(max_length=200)
    type = models.CharField(max_length=20)
    config = models.JSONField(default=dict, blank=True)
    secrets = models.TextField(blank=True, editable=False, help_text="Encrypted config.")
    enabled = models.BooleanField(default=True)
    fallback = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="stands_in_for",
        help_text="Told in this channel's place when a message through it is given up.",
    )
    dead_since = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When it was disabled because its receiver refused it for good.",
    )
    last_sent_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    # Secrets that were made for the team just now and may be shown this once; never stored.
    new_secrets: Mapping[str, str] = MappingProxyType({})

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def full_config(self) -> dict[str, Any]:
        """The config with its secrets, in the clear: for the sender, never for a reader."""
        return secrets.unseal(self.config, self.secrets)


class Event(models.TextChoices):
    """What a policy may tell of."""

    DOWN = "down", "Down"
    DEGRADED = "degraded", "Degraded"
    RECOVERED = "recovered", "Recovered"


class Reach(models.TextChoices):
    """Which monitors a policy is for."""

    ALL = "all", "All monitors"
    TAGS = "tags", "Monitors with a tag"
    MONITORS = "monitors", "Chosen monitors"


class Policy(models.Model):
    """Which events of which monitors are told to which channels."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="policies")
    name = models.CharField(max_length=200)
    enabled = models.BooleanField(default=True)
    reach = models.CharField(max_length=10, choices=Reach, default=Reach.ALL)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    monitors = models.ManyToManyField(Monitor, blank=True, related_name="policies")
    on = ArrayField(models.CharField(max_length=10, choices=Event), default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "policies"
        ordering = ["name", "id"]
        indexes = [GinIndex(fields=["tags"], name="policy_by_tag")]

    def __str__(self) -> str:
        return self.name


class PolicyStep(models.Model):
    """One step of a policy: these channels, this long after the event."""

    id = models.BigAutoField(primary_key=True)
    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField(default=0)
    delay_s = models.PositiveIntegerField(default=0)
    channels = models.ManyToManyField(Channel, related_name="steps")

    class Meta:
        ordering = ["policy", "position"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "position"], name="one_step_at_a_position")
        ]

    def __str__(self) -> str:
        return f"step {self.position + 1} of {self.policy_id}"


class DeliveryStatus(models.TextChoices):
    QUEUED = "queued", "Queued"
    SENDING = "sending", "Sending"
    SENT = "sent", "Sent"
    FAILED = "failed", "Failed, will be tried again"
    DEAD = "dead", "Dead"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def visible_to(self, team: Team) -> Self:
        return self.filter(team=team)

    def due(self, now: datetime) -> Self:
        """What is to be sent now: its time has come, or its lease has lapsed."""
        return self.filter(next_attempt_at__lte=now)

    def in_turn(self) -> Self:
        """Without what must wait for an earlier message of the same incident to the same channel.

        Nobody is told of a recovery while the news of the failure is still on its way.
        """
        earlier = Delivery.objects.filter(
            incident=models.OuterRef("incident"),
            channel=models.OuterRef("channel"),
            next_attempt_at__isnull=False,
            pk__lt=models.OuterRef("pk"),
        )
        return self.filter(~models.Exists(earlier))

    def neglected(self, now: datetime) -> Self:
        """What nobody sends though it is due, and though nothing is on its way to its channel.

        A long queue to one slow receiver is that receiver's fault; this is ours.
        """
        under_way = Delivery.objects.filter(
            channel=models.OuterRef("channel"),
            status=DeliveryStatus.SENDING,
            next_attempt_at__gt=now,
        )
        return self.due(now).in_turn().filter(~models.Exists(under_way))


class Delivery(models.Model):
    """One message to one channel: a row of the outbox.

    It is made in the transaction of the event that it tells of, and holds all that the message says
    (`facts`, as of that moment). `next_attempt_at` is null once it is sent or dead; while a sender
    holds it, it is the moment when its lease lapses and it is sent again. `step` is -1 for a test
    and -2 for the notice that the channel was disabled, which goes to the team's owners by e-mail.
    `settled` are the receivers that are not tried again, as in `alerts.errors.DeliveryError`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    incident = models.ForeignKey(
        Incident, on_delete=models.CASCADE, null=True, blank=True, related_name="deliveries"
    )
    incident_event = models.ForeignKey(
        IncidentEvent, on_delete=models.CASCADE, null=True, blank=True, related_name="deliveries"
    )
    event = models.CharField(max_length=10, help_text="down, degraded, recovered, test or disabled")
    step = models.SmallIntegerField(default=0)
    facts = models.JSONField()
    status = models.CharField(max_length=8, choices=DeliveryStatus, default=DeliveryStatus.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    lease_owner = models.UUIDField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    settled = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["incident_event", "channel", "step"], name="one_delivery_an_event"
            ),
        ]
        indexes = [
            # the sender; the team's log, newest first
            models.Index(
                fields=["next_attempt_at"],
                name="delivery_due",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            models.Index(fields=["team", "-created_at"], name="delivery_log"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.channel_id}"
