"""Who hears of it: channels, policies with steps, and the outbox of deliveries."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Greatest
from django.utils import timezone

from accounts.models import Membership, Team
from alerts.wording import duration_phrase
from incidents.models import Incident, IncidentEvent, Severity
from monitors.models import Monitor
from uptime import secrets
from uptime.ids import uuid7


class ReportPeriod(models.TextChoices):
    WEEKLY = "weekly", "Weekly"
    MONTHLY = "monthly", "Monthly"


class ChannelQuerySet(models.QuerySet["Channel"]):
    def usable(self) -> Self:
        """What is told to a dead channel is given up at once and so handed on to its fallback."""
        return self.filter(
            models.Q(enabled=True) | models.Q(dead_since__isnull=False, fallback__isnull=False)
        )


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
    digest_above = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        default=5,
        help_text="More messages than this within ten seconds become one; empty: never.",
    )
    rate_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Of messages, at most; empty: what the receiver's vendor allows.",
    )
    reports = ArrayField(
        models.CharField(max_length=7, choices=ReportPeriod),
        default=list,
        blank=True,
        help_text="Of which periods it gets reports.",
    )
    member = models.OneToOneField(
        Membership,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        editable=False,
        related_name="email_channel",
        help_text="Whose e-mail address it goes to, whatever that is by then.",
    )
    contact_of = models.ManyToManyField(
        Membership,
        blank=True,
        related_name="contacts",
        help_text="Who is reached through it when on call.",
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

    objects = ChannelQuerySet.as_manager()

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


class ChannelPace(models.Model):
    """What a channel was sent of late, as in `alerts.pacing`; locked while it is decided on.

    Apart from its channel, so that neither waits for the other's changes. `tokens` are null where
    its rate has no limit; before `not_before` there is nothing to look for.
    """

    channel = models.OneToOneField(
        Channel, on_delete=models.CASCADE, primary_key=True, related_name="pace"
    )
    tokens = models.FloatField(null=True)
    counted_at = models.DateTimeField()
    window_since = models.DateTimeField()
    singles = models.PositiveIntegerField(default=0)
    digested_at = models.DateTimeField(null=True)
    not_before = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"pace of {self.channel_id}"


class ChannelProbe(models.Model):
    """What came of asking whether the channel lives, without a message (`alerts.probing`).

    Apart from its channel, so that neither waits for the other's changes. It is asked at `due_at`;
    while somebody asks, that is when their lease lapses. `proven_at` is when it last proved to
    live, `alive_since` the first proof of those that no failure interrupted. `is_final` says that
    the error will not pass by itself; the owners were told at `told_at`.
    """

    channel = models.OneToOneField(
        Channel, on_delete=models.CASCADE, primary_key=True, related_name="probe"
    )
    due_at = models.DateTimeField()
    lease_owner = models.UUIDField(null=True)
    asked_at = models.DateTimeField(null=True)
    proven_at = models.DateTimeField(null=True)
    alive_since = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    is_final = models.BooleanField(default=False)
    told_at = models.DateTimeField(null=True)

    class Meta:
        # whoever asks looks for what is due
        indexes = [models.Index(fields=["due_at"], name="channel_probe_due")]

    def __str__(self) -> str:
        return f"probe of {self.channel_id}"


class Report(models.Model):
    """That a channel got the report of the period since `since`, so that it gets it once."""

    id = models.BigAutoField(primary_key=True)
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="sent_reports")
    period = models.CharField(max_length=7, choices=ReportPeriod)
    since = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "period", "since"], name="one_report_a_period"
            )
        ]

    def __str__(self) -> str:
        return f"{self.period} report since {self.since:%Y-%m-%d} to {self.channel_id}"


class Schedule(models.Model):
    """Who is on call: layers of members who take turns, and overrides."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="schedules")
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="UTC")
    feed_version = models.PositiveIntegerField(
        default=1, editable=False, help_text="Another one makes the calendar's address another."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class Rotation(models.TextChoices):
    DAILY = "daily", "Daily"
    WEEKLY = "weekly", "Weekly"
    CUSTOM = "custom", "Every so many hours"


class ScheduleLayer(models.Model):
    """Members who take turns; a layer at a later position stands above those before it.

    `start` is a wall time in the schedule's zone: when the first turn begins, and with it the time
    of day, and the day of the week, of every hand-over.
    """

    id = models.BigAutoField(primary_key=True)
    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="layers")
    position = models.PositiveSmallIntegerField()
    start = models.CharField(max_length=16, help_text="A wall time, such as 2026-01-05T09:00.")
    rotation = models.CharField(max_length=6, choices=Rotation, default=Rotation.WEEKLY)
    turn_hours = models.PositiveIntegerField(help_text="How long a turn is, by wall clocks.")
    windows = models.JSONField(
        default=list, blank=True, help_text="When it counts, as in the API; empty: always."
    )
    members = models.ManyToManyField(Membership, through="LayerMember")

    class Meta:
        ordering = ["schedule", "position"]
        constraints = [
            models.UniqueConstraint(fields=["schedule", "position"], name="one_layer_at_a_position")
        ]

    def __str__(self) -> str:
        return f"layer {self.position + 1} of {self.schedule_id}"


class LayerMember(models.Model):
    """A member's place in the order of a layer's turns; somebody may have several."""

    id = models.BigAutoField(primary_key=True)
    layer = models.ForeignKey(ScheduleLayer, on_delete=models.CASCADE, related_name="places")
    member = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="places")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["layer", "position"]
        constraints = [
            models.UniqueConstraint(fields=["layer", "position"], name="one_member_at_a_position")
        ]

    def __str__(self) -> str:
        return f"{self.member_id} in {self.layer_id}"


class Override(models.Model):
    """Somebody who is on call for a stretch of time whatever the layers say."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="overrides")
    member = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="overrides")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")), name="override_runs_forward"
            )
        ]

    def __str__(self) -> str:
        return f"{self.member_id} from {self.starts_at:%Y-%m-%d %H:%M}"


class Event(models.TextChoices):
    """What a policy may tell of."""

    DOWN = "down", "Down"
    DEGRADED = "degraded", "Degraded"
    HEARTBEAT_LATE = "heartbeat_late", "Heartbeat late"
    FLAPPING = "flapping", "Flapping"
    CERTIFICATE_EXPIRING = "certificate_expiring", "Certificate expiring"
    DOMAIN_EXPIRING = "domain_expiring", "Domain expiring"
    LOCATION_BLIND = "location_blind", "Location blind"
    AGENT_OFFLINE = "agent_offline", "Agent offline"
    RECOVERED = "recovered", "Recovered"


class Reach(models.TextChoices):
    """Which monitors a policy is for."""

    ALL = "all", "All monitors"
    TAGS = "tags", "Monitors with a tag"
    NAMES = "names", "Monitors by name"
    MONITORS = "monitors", "Chosen monitors"


class OutsideHours(models.TextChoices):
    """What becomes of what falls outside a policy's active hours."""

    WAIT = "wait", "Told when they begin, if it is still so"
    DROP = "drop", "Not told"


def default_expiry_days() -> list[int]:
    return [30, 14, 7, 1]


class Policy(models.Model):
    """Which events of which monitors are told to which channels, and when."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="policies")
    name = models.CharField(max_length=200)
    enabled = models.BooleanField(default=True)
    reach = models.CharField(max_length=10, choices=Reach, default=Reach.ALL)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    names = ArrayField(
        models.CharField(max_length=200),
        default=list,
        blank=True,
        help_text="Of monitors; * stands for any text.",
    )
    monitors = models.ManyToManyField(Monitor, blank=True, related_name="policies")
    on = ArrayField(models.CharField(max_length=30, choices=Event), default=list)
    expiry_days = ArrayField(
        models.PositiveSmallIntegerField(),
        default=default_expiry_days,
        blank=True,
        help_text="So many days before a certificate or a domain expires, its events are told.",
    )
    stop_on_acknowledge = models.BooleanField(
        default=True, help_text="Off: later steps and repeats go on until it is over."
    )
    active_hours = models.JSONField(
        null=True, blank=True, help_text="As in the API; empty: at any time."
    )
    outside_hours = models.CharField(max_length=4, choices=OutsideHours, default=OutsideHours.WAIT)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "policies"
        ordering = ["name", "id"]
        indexes = [GinIndex(fields=["tags"], name="policy_by_tag")]

    def __str__(self) -> str:
        return self.name

    @property
    def event_labels(self) -> list[str]:
        return [str(Event(one).label) for one in self.on]


class PolicyStep(models.Model):
    """One step of a policy: these channels, this long after the event, and again each so often.

    `severities` are those of an incident that the step is for; none: all of them.
    """

    id = models.BigAutoField(primary_key=True)
    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField(default=0)
    delay_s = models.PositiveIntegerField(default=0)
    repeat_s = models.PositiveIntegerField(null=True, blank=True)
    max_repeats = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Empty: until it is acknowledged or over."
    )
    severities = ArrayField(
        models.CharField(max_length=10, choices=Severity), default=list, blank=True
    )
    channels = models.ManyToManyField(Channel, related_name="steps")
    schedules = models.ManyToManyField(Schedule, related_name="steps")

    class Meta:
        ordering = ["policy", "position"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "position"], name="one_step_at_a_position")
        ]

    def __str__(self) -> str:
        return f"step {self.position + 1} of {self.policy_id}"

    @property
    def when(self) -> str:
        """In words, after whom it tells: `after 10 min, again every 30 min`; empty: at once."""
        parts = []
        if self.delay_s:
            parts.append(f"after {duration_phrase(timedelta(seconds=self.delay_s))}")
        if self.repeat_s:
            parts.append(f"again every {duration_phrase(timedelta(seconds=self.repeat_s))}")
        if self.max_repeats:
            parts.append(f"at most {self.max_repeats} times")
        if len(self.severities) == 1:
            parts.append(f"only if {self.severities[0]}")
        return ", ".join(parts)


class ExpiryNotice(models.Model):
    """That a policy has told how few days are left of something, so that it tells it once.

    A renewed certificate has another end, and is told of anew.
    """

    id = models.BigAutoField(primary_key=True)
    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="expiry_notices")
    monitor = models.ForeignKey(Monitor, on_delete=models.CASCADE, related_name="expiry_notices")
    event = models.CharField(max_length=30, choices=Event)
    expires_at = models.DateTimeField()
    days = models.PositiveSmallIntegerField()
    told_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["policy", "monitor", "expires_at", "days"], name="one_expiry_notice"
            )
        ]

    def __str__(self) -> str:
        return f"{self.event} of {self.monitor_id} within {self.days} days"


class EscalationState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    TOLD = "told", "Told"
    SKIPPED = "skipped", "Skipped"


class Skip(models.TextChoices):
    """Why nobody is told of what was to be told later."""

    ACKNOWLEDGED = "acknowledged", "It was acknowledged"
    RESOLVED = "resolved", "It was over"
    CHANGED = "changed", "It became better or worse, and that was told"
    POLICY = "policy", "The policy does not ask for it any more"
    HOURS = "hours", "It fell outside the active hours"
    NOBODY = "nobody", "There was nobody to tell"


class Escalation(models.Model):
    """What a step of a policy tells later: its delay, a repetition, the wait for active hours.

    It is made in the transaction of the event, and decided at `due_at` by the state of things then.
    `repeat` counts from 0, the first time. What is decided stays, as part of the incident's story.
    """

    id = models.BigAutoField(primary_key=True)
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="escalations")
    incident_event = models.ForeignKey(
        IncidentEvent, on_delete=models.CASCADE, related_name="escalations"
    )
    step = models.ForeignKey(PolicyStep, on_delete=models.CASCADE, related_name="escalations")
    event = models.CharField(max_length=30, choices=Event)
    repeat = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField()
    state = models.CharField(max_length=7, choices=EscalationState, default=EscalationState.WAITING)
    skipped_because = models.CharField(max_length=12, choices=Skip, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["incident_event", "step", "repeat"], name="one_escalation_a_repeat"
            ),
        ]
        indexes = [
            # the dispatcher's look for what is due
            models.Index(
                fields=["due_at"],
                name="escalation_due",
                condition=models.Q(state="waiting"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} to step {self.step_id} at {self.due_at:%Y-%m-%d %H:%M:%S}"


class DeliveryStatus(models.TextChoices):
    QUEUED = "queued", "Queued"
    SENDING = "sending", "Sending"
    SENT = "sent", "Sent"
    FAILED = "failed", "Failed, will be tried again"
    DEAD = "dead", "Dead"
    DROPPED = "dropped", "Dropped"


BEGINNINGS = (
    Event.CERTIFICATE_EXPIRING,
    Event.DOMAIN_EXPIRING,
    Event.LOCATION_BLIND,
    Event.AGENT_OFFLINE,
)
"""What begins a story that is no incident's."""
ENDS = ("closed", "location_sighted", "agent_online")


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def visible_to(self, team: Team) -> Self:
        return self.filter(team=team)

    def due(self, now: datetime) -> Self:
        """What is to be sent now: its time has come, or its lease has lapsed."""
        return self.filter(next_attempt_at__lte=now)

    def in_turn(self) -> Self:
        """Without what must wait for an earlier message of the same incident to the same channel.

        Nobody is told of a recovery while the news of the failure is still on its way. What ends
        other stories than incidents waits for whatever may have begun one.
        """
        earlier = Delivery.objects.filter(
            incident=models.OuterRef("incident"),
            channel=models.OuterRef("channel"),
            pk__lt=models.OuterRef("pk"),
        )
        # Not one query with an OR, nor each excluded by itself: those become joins, which are done
        # row by row with all rows where the planner takes the table for empty, as before a storm.
        is_late = models.Exists(earlier.filter(next_attempt_at__isnull=False)) | models.Exists(
            earlier.filter(digest__next_attempt_at__isnull=False)
        )
        begun = Delivery.objects.filter(
            next_attempt_at__isnull=False,
            incident=None,
            channel=models.OuterRef("channel"),
            pk__lt=models.OuterRef("pk"),
            event__in=BEGINNINGS,
        )
        is_end = models.Q(incident=None, event__in=ENDS)
        return self.exclude(is_late).exclude(is_end & models.Exists(begun))

    def neglected(self, now: datetime) -> Self:
        """What nobody sends though it is due, and though nothing is on its way to its channel.

        A long queue to one slow receiver is that receiver's fault, and so is one that its rate
        holds back; this is ours. `waited_since` is when it could have been sent.
        """
        under_way = Delivery.objects.filter(
            channel=models.OuterRef("channel"),
            status=DeliveryStatus.SENDING,
            next_attempt_at__gt=now,
        )
        return (
            self.due(now)
            .in_turn()
            .filter(~models.Exists(under_way))
            .exclude(channel__pace__not_before__gt=now)
            # PostgreSQL's GREATEST passes over what is null
            .annotate(waited_since=Greatest("next_attempt_at", "channel__pace__not_before"))
        )


class Delivery(models.Model):
    """One message to one channel: a row of the outbox.

    It is made in the transaction of the event that it tells of, and holds all that the message says
    (`facts`, as of that moment). `next_attempt_at` is null once it is sent or dead; while a sender
    holds it, it is the moment when its lease lapses and it is sent again. `due_at` is when its
    policies wanted it told: what several of them want told of one event at one moment is one
    delivery. `step` is -1 for a test, -3 for a report, and -2 for a notice, which goes to the
    team's owners by e-mail: that the channel was disabled or would take nothing, or (without a
    channel) that a location of the team's monitors sees nothing, or sees again. `settled` are the
    receivers that are not tried again, as in `alerts.errors.DeliveryError`. What was merged into a
    `digest` has that one's fate.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(
        Channel, on_delete=models.CASCADE, null=True, blank=True, related_name="deliveries"
    )
    incident = models.ForeignKey(
        Incident, on_delete=models.CASCADE, null=True, blank=True, related_name="deliveries"
    )
    incident_event = models.ForeignKey(
        IncidentEvent, on_delete=models.CASCADE, null=True, blank=True, related_name="deliveries"
    )
    event = models.CharField(
        max_length=30, help_text="What it tells: as in a policy, or reminder, test, disabled."
    )
    step = models.SmallIntegerField(default=0)
    repeat = models.PositiveIntegerField(default=0, help_text="0 is the first time.")
    due_at = models.DateTimeField(default=timezone.now)
    silenced_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when maintenance or a snooze keeps it back."
    )
    owes_recovery = models.BooleanField(
        default=False, help_text="Whether its channel is to hear when it is over."
    )
    facts = models.JSONField()
    status = models.CharField(max_length=8, choices=DeliveryStatus, default=DeliveryStatus.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    lease_owner = models.UUIDField(null=True, blank=True)
    digest = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="members",
        help_text="The delivery in which it is sent together with others.",
    )
    last_error = models.TextField(blank=True)
    settled = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["incident_event", "channel", "due_at"], name="one_delivery_an_event"
            ),
        ]
        indexes = [
            # the sender; the team's log, newest first
            models.Index(
                fields=["next_attempt_at", "id"],
                name="delivery_due_in_order",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            models.Index(fields=["team", "-created_at"], name="delivery_log"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.channel_id}"


class Attempt(models.Model):
    """One attempt to send a delivery: what was sent and answered, without secrets.

    `exchanges` are those of `alerts.exchanges`; an attempt that failed before it could send
    anything has none. It goes with its delivery.
    """

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="log")
    number = models.PositiveSmallIntegerField(help_text="From 1; anew after a retry by hand.")
    began_at = models.DateTimeField()
    duration_ms = models.FloatField()
    exchanges = models.JSONField(default=list)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.delivery_id}"
