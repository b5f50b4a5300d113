"""Incidents over REST: what went wrong, and what people say and do about it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from incidents.actions import assign_incident, snooze_monitor, unsnooze_monitor
from incidents.evidence import evidence_of
from incidents.models import (
    EventKind,
    Evidence,
    Incident,
    IncidentEvent,
    IncidentStatus,
    Severity,
)
from incidents.timeline import Entry, timeline_of
from monitors.shapes import SnoozeIn
from uptime.api.pagination import page_of
from uptime.api.schema import describe
from uptime.api.shapes import Moment, Nothing, Page, PageQuery, Shape, commas
from uptime.api.views import ApiView
from uptime.errors import Invalid
from uptime.operations import acknowledge_incident, comment_incident, resolve_incident


class UpdateOut(Shape):
    """One entry of an incident's timeline."""

    id: UUID
    kind: EventKind
    at: datetime
    author: str | None
    """E-mail of the person; null for what the product noticed itself."""
    severity: Severity | None
    message: str
    public: bool


class IncidentOut(Shape):
    id: UUID
    monitor: UUID
    status: IncidentStatus
    severity: Severity
    reason: str
    message: str
    started_at: datetime
    """The first failing check."""
    confirmed_at: datetime
    """When enough checks agreed and the incident was opened."""
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    """E-mail of the person."""
    assigned_to: str | None
    """E-mail of the person whose it is."""
    resolved_at: datetime | None
    duration_seconds: float
    """Until now while it is not resolved."""
    locations: list[str]
    flapping: bool
    """It comes and goes: one incident, over when nothing has changed for the flap window."""
    changes: int
    """How often the status changed, where it flaps or flapped; else 0."""
    held: bool
    """Nobody is told of it: its monitor depends on others that are down, or may be."""
    snoozed_until: datetime | None
    """Until then nobody is told of its monitor."""
    parent: UUID | None
    """The incident that this one comes of: of what its monitor depends on."""
    children: list[UUID]
    """The incidents that come of this one."""
    updates: list[UpdateOut]
    """Oldest first."""


class EntryOut(Shape):
    """One entry of an incident's story: what was seen, decided, said and told."""

    kind: EventKind | Literal["began", "notified", "escalated"]
    """`began` is the first failing check; `notified` and `escalated` are messages."""
    at: datetime
    author: str | None
    """E-mail of the person; null for what the product did itself."""
    assignee: str | None
    severity: Severity | None
    message: str
    locations: list[str]
    """Where it was seen, of what was confirmed."""
    public: bool
    channel: str | None
    """Name of the channel that was told."""
    channel_type: str | None
    event: str | None
    """What the channel was told of."""
    delivery: UUID | None
    outcome: str | None
    """What became of the message: the delivery's status."""


class EvidenceOut(Shape):
    """What the check saw that began the trouble at a location."""

    location: str
    checked_at: datetime
    status: Literal["degraded", "down"]
    reason: str
    message: str
    http_status: int | None
    latency_ms: float | None
    phases: dict[str, float]
    cert_expires_at: datetime | None
    details: dict[str, Any]
    """By kind: the answer's head and body, addresses, certificates, DNS records, hops. Secrets are
    masked, long texts cut."""


class OneIncidentOut(IncidentOut):
    """An incident with its whole story."""

    timeline: list[EntryOut]
    """Oldest first."""
    evidence: list[EvidenceOut]
    """Oldest first; kept as long as results are."""


class IncidentsQuery(PageQuery):
    status: commas(IncidentStatus) = []  # type: ignore[valid-type]
    monitor: commas(UUID) = []  # type: ignore[valid-type]
    since: Moment | None = None
    """Started at this time or later, e.g. `2026-01-31T12:00:00Z`."""
    until: Moment | None = None
    """Started before this time."""


class UpdateIn(Shape):
    message: str
    public: bool = False
    """Whether status pages show it."""


class AssignIn(Shape):
    to: str | None
    """E-mail of a member of the team; null for nobody."""


class IncidentView(ApiView):
    """Endpoints of one incident."""

    def incident(self, id: UUID) -> Incident:
        return get_object_or_404(_visible(self), pk=id)

    def answer(self, id: UUID) -> Response:
        return Response(_present_whole(self.incident(id)))


class Incidents(ApiView):
    @describe(
        "list_incidents",
        "List incidents, newest first",
        query=IncidentsQuery,
        answer=Page[IncidentOut],
    )
    def get(self, request: Request) -> Response:
        query = self.query(IncidentsQuery)
        incidents = _filtered(_visible(self), query).order_by("-started_at", "-id")
        return Response(page_of(request._request, incidents, query, present_incidents))


class OneIncident(IncidentView):
    @describe("get_incident", "Read an incident", answer=OneIncidentOut)
    def get(self, request: Request, id: UUID) -> Response:
        return self.answer(id)


class AcknowledgeIncident(IncidentView):
    @describe(
        "acknowledge_incident", "Say that somebody is on it", body=Nothing, answer=OneIncidentOut
    )
    def post(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        acknowledge_incident(incident=self.incident(id), by=self.user)
        return self.answer(id)


class AssignIncident(IncidentView):
    @describe(
        "assign_incident",
        "Make it a member's to deal with, or nobody's",
        body=AssignIn,
        answer=OneIncidentOut,
    )
    def post(self, request: Request, id: UUID) -> Response:
        email, incident = self.read(AssignIn).to, self.incident(id)
        to = User.objects.filter(email__iexact=email).first() if email is not None else None
        if email is not None and to is None:
            raise Invalid({"to": ["Choose a member of the team."]})
        assign_incident(incident=incident, to=to, by=self.user)
        return self.answer(id)


class SnoozeIncident(IncidentView):
    @describe(
        "snooze_incident",
        "Tell nobody of its monitor for a while",
        body=SnoozeIn,
        answer=OneIncidentOut,
    )
    def post(self, request: Request, id: UUID) -> Response:
        length = timedelta(seconds=self.read(SnoozeIn).seconds)
        snooze_monitor(monitor=self.incident(id).monitor, length=length, by=self.user)
        return self.answer(id)


class UnsnoozeIncident(IncidentView):
    @describe("unsnooze_incident", "End its snooze now", body=Nothing, answer=OneIncidentOut)
    def post(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        unsnooze_monitor(monitor=self.incident(id).monitor, by=self.user)
        return self.answer(id)


class ResolveIncident(IncidentView):
    @describe(
        "resolve_incident",
        "Resolve it by hand; the monitor is checked at once",
        body=Nothing,
        answer=OneIncidentOut,
    )
    def post(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        resolve_incident(incident=self.incident(id), by=self.user)
        return self.answer(id)


class IncidentUpdates(IncidentView):
    @describe("add_update", "Write into the timeline", body=UpdateIn, answer=UpdateOut, status=201)
    def post(self, request: Request, id: UUID) -> Response:
        given = self.read(UpdateIn)
        event = comment_incident(
            incident=self.incident(id), by=self.user, message=given.message, public=given.public
        )
        return Response(_present_update(event), status=201)


def present_incidents(incidents: Sequence[Incident]) -> list[IncidentOut]:
    """Incidents as the API shows them; they come with their people and events."""
    now = timezone.now()
    return [_present_incident(incident, now) for incident in incidents]


def _present_incident(incident: Incident, now: datetime) -> IncidentOut:
    return IncidentOut(
        id=incident.pk,
        monitor=incident.monitor_id,
        status=IncidentStatus(incident.status),
        severity=Severity(incident.severity),
        reason=incident.reason,
        message=incident.message,
        started_at=incident.started_at,
        confirmed_at=incident.confirmed_at,
        acknowledged_at=incident.acknowledged_at,
        acknowledged_by=incident.acknowledged_by.email if incident.acknowledged_by else None,
        assigned_to=incident.assigned_to.email if incident.assigned_to else None,
        resolved_at=incident.resolved_at,
        duration_seconds=incident.duration(now).total_seconds(),
        locations=incident.locations,
        flapping=incident.is_flapping,
        changes=incident.changes,
        held=incident.is_held,
        snoozed_until=incident.monitor.snoozed_until,
        parent=incident.parent_id,
        children=[child.pk for child in incident.children.all()],
        updates=[_present_update(event) for event in incident.events.all()],
    )


def _present_whole(incident: Incident) -> OneIncidentOut:
    [shown] = present_incidents([incident])
    return OneIncidentOut(
        **dict(shown),
        timeline=[_present_entry(entry) for entry in timeline_of(incident)],
        evidence=[_present_evidence(one) for one in evidence_of(incident)],
    )


def _present_entry(entry: Entry) -> EntryOut:
    return EntryOut(
        kind=entry.kind,
        at=entry.at,
        author=entry.author.email if entry.author else None,
        assignee=entry.assignee.email if entry.assignee else None,
        severity=Severity(entry.severity) if entry.severity else None,
        message=entry.message,
        locations=list(entry.locations),
        public=entry.is_public,
        channel=entry.channel or None,
        channel_type=entry.channel_type or None,
        event=entry.event or None,
        delivery=entry.delivery,
        outcome=entry.outcome or None,
    )


def _present_evidence(one: Evidence) -> EvidenceOut:
    return EvidenceOut(
        location=one.assignment.location.slug,
        checked_at=one.checked_at,
        status=one.status,
        reason=one.reason,
        message=one.message,
        http_status=one.http_status,
        latency_ms=one.latency_ms,
        phases=one.phases,
        cert_expires_at=one.cert_expires_at,
        details=one.details,
    )


def _present_update(event: IncidentEvent) -> UpdateOut:
    return UpdateOut(
        id=event.pk,
        kind=EventKind(event.kind),
        at=event.at,
        author=event.author.email if event.author else None,
        severity=Severity(event.severity) if event.severity else None,
        message=event.message,
        public=event.is_public,
    )


def _visible(view: ApiView) -> QuerySet[Incident]:
    events = IncidentEvent.objects.select_related("author").order_by("at", "id")
    children = Incident.objects.only("pk", "parent_id").order_by("started_at", "pk")
    return (
        Incident.objects.visible_to(view.team)
        .select_related("monitor", "acknowledged_by", "assigned_to")
        .prefetch_related(Prefetch("events", events), Prefetch("children", children))
    )


def _filtered(incidents: QuerySet[Incident], query: IncidentsQuery) -> QuerySet[Incident]:
    if query.status:
        incidents = incidents.filter(status__in=query.status)
    if query.monitor:
        incidents = incidents.filter(monitor__in=query.monitor)
    if query.since:
        incidents = incidents.filter(started_at__gte=query.since)
    if query.until:
        incidents = incidents.filter(started_at__lt=query.until)
    return incidents
