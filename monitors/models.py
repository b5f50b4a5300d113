"""What is watched: monitors, locations, assignments, results, rollups, spans, pings, shifts."""

import uuid
from datetime import timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from accounts.models import Team
from monitors.fields import HistogramField
from probe.values import Status as CheckStatus
from uptime.ids import uuid7


class Status(models.TextChoices):
    """A monitor's state as people see it; what a single check saw is `probe.values.Status`."""

    PENDING = "pending", "Pending"
    UP = "up", "Up"
    DEGRADED = "degraded", "Degraded"
    DOWN = "down", "Down"
    RECOVERING = "recovering", "Recovering"
    PAUSED = "paused", "Paused"
    MAINTENANCE = "maintenance", "Maintenance"
    UNKNOWN = "unknown", "Unknown"


class LocationQuerySet(models.QuerySet["Location"]):
    def sightless(self) -> Self:
        """Those without network, and those where nobody checks."""
        return self.exclude(blind_since=None, offline_since=None)


class Location(models.Model):
    """A place that checks run from. The built-in one, `local`, is this installation itself."""

    LOCAL: ClassVar[str] = "local"

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    anchors = ArrayField(
        models.CharField(max_length=300),
        default=list,
        blank=True,
        help_text="What answers as long as the network is there, separated by commas: host:port, or"
        " “resolver” for the location's name servers. Empty: the resolver, if it ever answers, and"
        " hosts of monitors that were up.",
    )
    blind_since = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Since when its engines have no network; what gets no answer is not judged.",
    )
    offline_since = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Since when nobody checks there; see `uptime.sight`.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = LocationQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class MonitorQuerySet(models.QuerySet["Monitor"]):
    def visible_to(self, team: Team) -> Self:
        return self.filter(team=team)

    def tagged(self, *tags: str) -> Self:
        return self.filter(tags__contains=list(tags))

    def locked(self, *, skip_locked: bool = False) -> Self:
        """Locked against whoever changes them, in the order in which everybody does so.

        Not against new rows that refer to them: who commits such a row would wait for us, and we
        perhaps for him.
        """
        return self.order_by("id").select_for_update(no_key=True, skip_locked=skip_locked)

    def worst_first(self) -> Self:
        """Order for the eye: what is wrong now comes first."""
        order = [
            Status.DOWN,
            Status.RECOVERING,
            Status.DEGRADED,
            Status.UNKNOWN,
            Status.PENDING,
            Status.UP,
            Status.MAINTENANCE,
        ]
        rank = models.Case(
            *(models.When(status=status, then=place) for place, status in enumerate(order)),
            default=len(order),
        )
        return self.order_by(rank, "name", "id")


class Monitor(models.Model):
    """One thing that is watched. Only `incidents.transitions` writes its `status`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="monitors")
    key = models.CharField(  # noqa: DJ001 - many have none, and it is unique
        max_length=200, null=True, blank=True, help_text="Your own stable name, for upserts."
    )
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20)
    target = models.CharField(max_length=2000, blank=True)
    interval_s = models.PositiveIntegerField(
        default=60, validators=[MinValueValidator(1), MaxValueValidator(86400)]
    )
    timeout_ms = models.PositiveIntegerField(
        default=10_000, validators=[MinValueValidator(100), MaxValueValidator(120_000)]
    )
    failure_threshold = models.PositiveSmallIntegerField(
        default=2, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    failure_window = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(2), MaxValueValidator(60)],
        help_text="Failing checks are counted among so many last ones; empty: in a row.",
    )
    recovery_threshold = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    retry_interval_s = models.PositiveIntegerField(
        default=5, validators=[MinValueValidator(1), MaxValueValidator(86400)]
    )
    quorum = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1)])
    flap_threshold = models.PositiveSmallIntegerField(
        default=4,
        validators=[MaxValueValidator(100)],
        help_text="More changes of status than this within the flap window are flapping; 0: off.",
    )
    flap_window_s = models.PositiveIntegerField(
        default=900, validators=[MinValueValidator(60), MaxValueValidator(86400)]
    )
    depends_on = models.ManyToManyField(
        "self",
        symmetrical=False,
        blank=True,
        related_name="dependents",
        help_text="While one of these is down, nobody is told of this monitor's trouble.",
    )
    members = models.ManyToManyField(
        "self",
        symmetrical=False,
        blank=True,
        related_name="groups",
        help_text="Of a group: those named. The rest are told by the tags in its settings.",
    )
    enabled = models.BooleanField(default=True)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    settings = models.JSONField(default=dict, blank=True)
    settings_version = models.PositiveSmallIntegerField(default=1, editable=False)
    secrets = models.TextField(blank=True, editable=False, help_text="Encrypted settings.")
    sla_target = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Per mille, e.g. 999 for 99.9 %."
    )
    ping_key = models.UUIDField(
        default=uuid.uuid4, unique=True, editable=False, help_text="Random: who knows it may ping."
    )

    snoozed_at = models.DateTimeField(null=True, editable=False)
    snoozed_until = models.DateTimeField(
        null=True, editable=False, help_text="Nobody is told of it; set until that end was seen to."
    )
    revision = models.PositiveIntegerField(default=1, editable=False)
    status = models.CharField(max_length=12, choices=Status, default=Status.PENDING, editable=False)
    reason = models.CharField(max_length=30, blank=True, editable=False)
    message = models.TextField(blank=True, editable=False)
    last_change_at = models.DateTimeField(default=timezone.now, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # By the database's clock, as all that is decided by: what covers a monitor does so since then.
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = MonitorQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["team", "key"], name="one_monitor_key", nulls_distinct=True
            ),
        ]
        indexes = [
            # the list of monitors, filtered by state or in the order of names
            models.Index(fields=["team", "status", "name"], name="monitor_list_by_status"),
            models.Index(fields=["team", "name"], name="monitor_list_by_name"),
            # the list of monitors, what changed last first
            models.Index(fields=["team", "last_change_at", "id"], name="monitor_list_by_change"),
            GinIndex(fields=["tags"], name="monitor_by_tag"),
            # what is under maintenance or comes out of it, looked at every second
            models.Index(
                fields=["status"],
                name="monitor_in_maintenance",
                condition=models.Q(status__in=["maintenance", "pending"]),
            ),
            # whose snooze is over, looked for every second
            models.Index(
                fields=["snoozed_until"],
                name="monitor_snoozed",
                condition=models.Q(snoozed_until__isnull=False),
            ),
            # the groups that a monitor whose status turns may be in
            models.Index(fields=["team"], name="monitor_groups", condition=models.Q(kind="group")),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        # Not reversed: that loads all pages and the API, in the transaction of the first failure.
        return f"/monitors/{self.pk}/"

    @property
    def interval(self) -> timedelta:
        return timedelta(seconds=self.interval_s)

    @property
    def timeout(self) -> timedelta:
        return timedelta(milliseconds=self.timeout_ms)

    @property
    def retry_interval(self) -> timedelta:
        return timedelta(seconds=self.retry_interval_s)

    @property
    def flap_window(self) -> timedelta:
        return timedelta(seconds=self.flap_window_s)


class Doubt(models.Model):
    """That a monitor, most likely a group, may have another status, though no check of its own
    says so: by what changed within this stretch of time.

    Whoever looks at it takes it away (`incidents.reviews`). No constraint in the database: it would
    lock the group's row for each member that turns, against the order of locks.
    """

    id = models.BigAutoField(primary_key=True)
    monitor = models.ForeignKey(
        Monitor,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,  # the table is read whole: what is in it is to be looked at
        related_name="+",
    )
    since = models.DateTimeField()
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.monitor_id} from {self.since:%Y-%m-%d %H:%M:%S}"


class SavedView(models.Model):
    """A person's own name for a way to look at a team's list: the query of its address."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            # what a person sees of a team, and that a name is theirs once
            models.UniqueConstraint(fields=["user", "team", "name"], name="one_saved_view"),
        ]

    def __str__(self) -> str:
        return self.name


class Assignment(models.Model):
    """One monitor at one location: the narrow, hot row that the engine leases and updates.

    A location that was taken off its monitor keeps its row (`is_active` false), because its results
    name it. `next_due_at` is null while nothing is to be checked. The row's rhythm is a fixed grid:
    due instants lie at `id`-dependent phases of the interval.
    """

    id = models.BigAutoField(primary_key=True)
    # No index of their own: those below begin with them, and each costs every check an entry.
    monitor = models.ForeignKey(
        Monitor, on_delete=models.CASCADE, related_name="assignments", db_index=False
    )
    location = models.ForeignKey(
        Location, on_delete=models.PROTECT, related_name="assignments", db_index=False
    )
    is_active = models.BooleanField(default=True)
    revision = models.PositiveIntegerField(
        default=1, help_text="The monitor's, so that a lease needs no join."
    )
    next_due_at = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    lease_owner = models.UUIDField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=12, choices=Status, default=Status.PENDING)
    failures = models.PositiveIntegerField(default=0, help_text="Failing checks in a row.")
    passes = models.PositiveIntegerField(
        default=0, help_text="Checks in a row that speak for a better state."
    )
    troubles = models.PositiveIntegerField(
        default=0, help_text="Checks in a row that were not up: degraded or failing."
    )
    recent = models.BigIntegerField(
        default=0, help_text="The last 60 checks, the latest lowest; a bit is set where it failed."
    )
    unknowns = models.PositiveIntegerField(
        default=0, help_text="Checks in a row that failed by a fault of ours."
    )
    troubled_since = models.DateTimeField(
        null=True, blank=True, help_text="When the present run of troubled checks began."
    )
    missed = models.PositiveIntegerField(
        default=0, help_text="Slots that passed unchecked, in all."
    )
    last_status = models.CharField(max_length=8, blank=True)
    last_reason = models.CharField(max_length=30, blank=True)
    last_message = models.TextField(blank=True)
    last_checked_at = models.DateTimeField(null=True, blank=True)
    last_latency_ms = models.FloatField(null=True, blank=True)
    last_seen_at = models.DateTimeField(null=True, blank=True, help_text="A heartbeat's last ping.")
    cert_expires_at = models.DateTimeField(null=True, blank=True)
    fingerprint = models.TextField(
        blank=True, help_text="What the next check is to know of the last, where its kind asks."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["monitor", "location"], name="one_assignment")
        ]
        indexes = [
            # the lease; nothing else that changes with a check is indexed, so updates stay HOT
            models.Index(fields=["location", "next_due_at"], name="assignment_due"),
        ]

    def __str__(self) -> str:
        return f"{self.monitor_id} at {self.location_id}"


class Details(models.Model):
    """What a passing check saw besides its result, the last time that one was asked for it."""

    # No constraint in the database: it would lock the hot row for every row that names it.
    assignment = models.OneToOneField(
        Assignment,
        on_delete=models.CASCADE,
        db_constraint=False,
        primary_key=True,
        related_name="details",
    )
    checked_at = models.DateTimeField()
    found = models.JSONField(help_text="`Observation.details`, without the answer and secrets.")

    def __str__(self) -> str:
        return f"assignment {self.assignment_id} at {self.checked_at:%Y-%m-%d %H:%M:%S}"


class Result(models.Model):
    """What one check saw. Append-only; partitioned by day, dropped whole by retention.

    The table is made by migration 0002: its primary key is `(assignment, checked_at)`, which `id`
    (from assignment, due instant and attempt, see `probe.values.result_id`) repeats as one value
    for the outside. There is no foreign key in the database: it would be checked for every row.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    assignment = models.ForeignKey(
        Assignment, on_delete=models.DO_NOTHING, db_constraint=False, related_name="results"
    )
    checked_at = models.DateTimeField()
    due_at = models.DateTimeField()
    attempt = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=8, choices=[(s.value, s.value) for s in CheckStatus])
    reason = models.CharField(max_length=30, null=True)  # noqa: DJ001 - null costs no byte in 10^9 rows
    message = models.TextField(null=True)  # noqa: DJ001 - likewise
    http_status = models.PositiveSmallIntegerField(null=True)
    latency_ms = models.FloatField(null=True)
    dns_ms = models.FloatField(null=True)
    connect_ms = models.FloatField(null=True)
    tls_ms = models.FloatField(null=True)
    first_byte_ms = models.FloatField(null=True)
    transfer_ms = models.FloatField(null=True)
    cert_expires_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "monitors_result"

    def __str__(self) -> str:
        return f"{self.status} at {self.checked_at:%Y-%m-%d %H:%M:%S}"

    @property
    def lateness(self) -> timedelta:
        return self.checked_at - self.due_at


class Rollup(models.Model):
    """What an assignment's checks of one stretch of time add up to; `monitors.rollups` writes it.

    Latency is that of the checks that were answered: up or degraded.
    """

    # No constraint in the database: it would lock the hot row for every row that names it.
    assignment = models.ForeignKey(
        Assignment,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,  # the primary key begins with it
        related_name="+",
    )
    started_at = models.DateTimeField()
    latency_sum_ms = models.FloatField()
    latency_min_ms = models.FloatField(null=True)
    latency_max_ms = models.FloatField(null=True)
    up = models.IntegerField()
    degraded = models.IntegerField()
    down = models.IntegerField()
    unknown = models.IntegerField()
    histogram = HistogramField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"assignment {self.assignment_id} from {self.started_at:%Y-%m-%d %H:%M}"


class HourRollup(Rollup):
    pk = models.CompositePrimaryKey("assignment_id", "started_at")


class DayRollup(Rollup):
    """A UTC day."""

    pk = models.CompositePrimaryKey("assignment_id", "started_at")


class WeekRollup(Rollup):
    """Seven UTC days from Monday."""

    pk = models.CompositePrimaryKey("assignment_id", "started_at")


class PackedResults(models.Model):
    """Results of one assignment within one UTC day, as one row; see `monitors.history`."""

    pk = models.CompositePrimaryKey("assignment_id", "first_at")
    assignment = models.ForeignKey(
        Assignment,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,  # the primary key begins with it
        related_name="+",
    )
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    checks = models.IntegerField()
    statuses = models.SmallIntegerField(help_text="Which occur, as bits.")
    payload = models.BinaryField(help_text="See `monitors.packing`.")

    def __str__(self) -> str:
        return f"assignment {self.assignment_id} from {self.first_at:%Y-%m-%d %H:%M}"


class LateResult(models.Model):
    """A mark that an assignment got a result for an hour that may be rolled up already."""

    id = models.BigAutoField(primary_key=True)
    # No foreign key, as for results: it is written with them.
    assignment_id = models.BigIntegerField()
    hour = models.DateTimeField()

    def __str__(self) -> str:
        return f"assignment {self.assignment_id} at {self.hour:%Y-%m-%d %H:%M}"


class Chore(models.Model):
    """How far a lasting work on the stored history has come; see `monitors.chores`.

    Everything before `done_until` is done, and of what comes next, the assignments up to the id
    `position`.
    """

    name = models.CharField(max_length=40, primary_key=True)
    done_until = models.DateTimeField(null=True)
    position = models.BigIntegerField(default=0)
    ran_at = models.DateTimeField(null=True, help_text="When a step last succeeded.")
    failing_since = models.DateTimeField(null=True, help_text="When the first of its steps failed.")
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name


class StatusSpan(models.Model):
    """One stretch of one status of a monitor. Spans of a monitor meet without gap or overlap.

    Recovering is part of the stretch of down.
    """

    id = models.BigAutoField(primary_key=True)
    monitor = models.ForeignKey(
        Monitor,
        on_delete=models.CASCADE,
        related_name="spans",
        db_index=False,  # span_history begins with it
    )
    status = models.CharField(max_length=12, choices=Status)
    reason = models.CharField(max_length=30, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["monitor"], condition=models.Q(ended_at=None), name="one_open_span"
            ),
            models.CheckConstraint(
                condition=models.Q(ended_at=None) | models.Q(ended_at__gte=models.F("started_at")),
                name="span_runs_forward",
            ),
        ]
        indexes = [
            # the history of a monitor, and uptime over a window, which reads nothing else
            models.Index(
                fields=["monitor", "-started_at"],
                include=["status", "ended_at"],
                name="span_history",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} from {self.started_at:%Y-%m-%d %H:%M:%S}"


class PingKind(models.TextChoices):
    SUCCESS = "success", "Success"
    START = "start", "Start"
    FAIL = "fail", "Fail"
    LOG = "log", "Log"


class Ping(models.Model):
    """One call of a heartbeat's ping URL, with its body."""

    id = models.BigAutoField(primary_key=True)
    monitor = models.ForeignKey(
        Monitor,
        on_delete=models.CASCADE,
        related_name="pings",
        db_index=False,  # ping_history begins with it
    )
    kind = models.CharField(max_length=8, choices=PingKind)
    at = models.DateTimeField()
    method = models.CharField(max_length=10)
    exit_status = models.PositiveSmallIntegerField(null=True)
    rid = models.UUIDField(null=True, help_text="Pairs a start with its end.")
    duration_ms = models.FloatField(null=True, help_text="From the start with the same rid.")
    remote_address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    body = models.BinaryField(default=bytes)

    class Meta:
        indexes = [
            # the pings of a monitor, newest first; pairing a start with its end
            models.Index(fields=["monitor", "-at"], name="ping_history"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M:%S}"


class Shift(models.Model):
    """One bounded run of an engine inside a queue worker; it beats while it lives.

    The beats tell which leases are orphans, whether checks run at all, and when to start another.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    duty = models.CharField(max_length=20, help_text="What it does: checks or deliveries.")
    host = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    is_draining = models.BooleanField(default=False)
    blind_since = models.DateTimeField(
        null=True, help_text="Since when it has lost the network; see `probe.sight`."
    )
    busy = models.FloatField(
        default=1.0, help_text="The share of what it can do, over the last seconds."
    )
    busy_lately = models.FloatField(default=1.0, help_text="Likewise, over the last minute.")
    lateness = models.DurationField(
        default=timedelta, help_text="The 99th percentile of its last checks; see `uptime.load`."
    )

    def __str__(self) -> str:
        return f"{self.duty} on {self.host} (pid {self.pid})"
