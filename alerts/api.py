"""Channels, policies and deliveries over REST."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Literal
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic_core import to_jsonable_python
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.actions import (
    DIGEST_ABOVE,
    FASTEST_PER_MINUTE,
    LONGEST_DELAY_S,
    MOST_SINGLES,
    SHORTEST_REPEAT_S,
    create_channel,
    create_policy,
    delete_channel,
    delete_policy,
    policy_values,
    retry_delivery,
    send_test,
    update_channel,
    update_policy,
)
from alerts.channels import CHANNELS
from alerts.hours import HoursValues
from alerts.models import (
    Attempt,
    Channel,
    ChannelProbe,
    Delivery,
    DeliveryStatus,
    Event,
    OutsideHours,
    Policy,
    ReportPeriod,
)
from incidents.models import Severity
from uptime.api.pagination import page_of, slice_of
from uptime.api.schema import describe
from uptime.api.shapes import (
    Nothing,
    Page,
    PageQuery,
    Shape,
    Slice,
    SliceQuery,
    any_of,
    as_object,
    commas,
    one_of,
)
from uptime.api.views import ApiView


class ProbeOut(Shape):
    """What came of asking, without a message, whether the channel lives."""

    proves: str
    """What an answer proves."""
    asked_at: datetime | None
    proven_at: datetime | None
    """When it last proved to live."""
    alive_since: datetime | None
    """The first proof of those that no failure interrupted; null after one."""
    error: str
    """Why it did not prove to live the last time."""
    is_final: bool
    """By the vendor's word it will not pass by itself; the team's owners were told."""
    next_at: datetime


class ChannelOut(Shape):
    id: UUID
    created_at: datetime
    updated_at: datetime
    name: str
    type: str
    config: dict[str, Any]
    """By type; secrets are `********`, which sent back keeps them."""
    enabled: bool
    fallback: UUID | None
    """The channel that is told in its place when a message through it is given up, or is not taken
    for some minutes."""
    digest_above: int | None
    """More messages than this within ten seconds become one; null: never."""
    rate_per_minute: int | None
    """Of messages, at most; null: what the receiver's vendor allows."""
    reports: list[ReportPeriod]
    """Of which periods it gets reports; they come the morning after, in UTC."""
    dead_since: datetime | None
    """When it was disabled because its receiver refused it for good."""
    last_sent_at: datetime | None
    last_error: str
    """Why the last delivery failed; empty after one that was sent."""
    probe: ProbeOut | None
    """Null where its type knows no silent question, or the channel was never enabled."""


def _body_of_type(name: str) -> type[BaseModel]:
    only: Any = Literal[name]
    return create_model(
        f"{name.title().replace('_', '')}ChannelIn",
        __config__=ConfigDict(extra="forbid"),
        name=(str, Field(min_length=1, max_length=200)),
        type=(only, ...),
        config=(CHANNELS[name].config, ...),
        enabled=(bool, True),
        fallback=(UUID | None, None),
        digest_above=(int | None, Field(DIGEST_ABOVE, ge=1, le=MOST_SINGLES)),
        rate_per_minute=(int | None, Field(None, ge=1, le=FASTEST_PER_MINUTE)),
        reports=(list[ReportPeriod], []),
    )


ChannelIn = one_of("ChannelIn", map(_body_of_type, sorted(CHANNELS)), by="type")
_AnyConfig = any_of(CHANNELS[name].config for name in sorted(CHANNELS))


def _as_changes(schema: dict[str, Any]) -> None:
    """Nothing is required of a PATCH, and what it leaves out is kept rather than defaulted."""
    schema.pop("required", None)
    for field in schema["properties"].values():
        field.pop("default", None)


class ChannelPatch(Shape):
    """The fields to change; `type` can't be."""

    model_config = ConfigDict(json_schema_extra=_as_changes)

    name: str = ""
    type: str = ""
    config: _AnyConfig = None  # type: ignore[valid-type]
    """Replaced as a whole; a secret sent back as `********` stays."""
    enabled: bool = True
    fallback: UUID | None = None
    digest_above: int | None = Field(DIGEST_ABOVE, ge=1, le=MOST_SINGLES)
    rate_per_minute: int | None = Field(None, ge=1, le=FASTEST_PER_MINUTE)
    reports: list[ReportPeriod] = []


class Step(Shape):
    delay_seconds: int = Field(0, ge=0, le=LONGEST_DELAY_S)
    """After the event; decided by the state of things then."""
    channels: list[UUID] = []
    """Give channels, schedules, or both."""
    schedules: list[UUID] = []
    """Whoever is on call by these then, through their own contacts."""
    severities: list[Severity] = []
    """Of incidents that the step is for; none: all of them."""
    repeat_seconds: int | None = Field(None, ge=SHORTEST_REPEAT_S, le=LONGEST_DELAY_S)
    """How often it is told again that it lasts; null: never."""
    max_repeats: int | None = Field(None, ge=1, le=1000)
    """Null: until the incident is acknowledged or over."""


class _PolicyParts(Shape):
    expiry_days: list[int] = [30, 14, 7, 1]
    """So many days before its end an expiring certificate or domain is told, by the first step."""
    stop_on_acknowledge: bool = True
    """False: later steps and repeats go on until the incident is over."""
    active_hours: HoursValues | None = None
    """When it tells; null: at any time. The end of what was told is told at any hour."""
    outside_hours: OutsideHours = OutsideHours.WAIT
    """What falls outside is told when the hours begin, if it still lasts (`wait`), or not."""


class PolicyOut(_PolicyParts):
    id: UUID
    created_at: datetime
    updated_at: datetime
    name: str
    enabled: bool
    on: list[Event]
    all: bool
    """For all monitors; else for those with one of `tags` or `names`, or for `monitors`."""
    tags: list[str]
    names: list[str]
    monitors: list[UUID]
    steps: list[Step]


class PolicyIn(_PolicyParts):
    """Which events of which monitors are told to which channels, and when.

    Give one of `all`, `tags`, `names` and `monitors`.
    """

    name: str = Field(min_length=1, max_length=200)
    enabled: bool = True
    on: list[Event] = [Event.DOWN, Event.RECOVERED]
    all: bool = False
    tags: list[str] = []
    names: list[str] = []
    """Of monitors, in any case; `*` stands for any text."""
    monitors: list[UUID] = []
    steps: list[Step] = Field(min_length=1, max_length=20)


class PolicyPatch(PolicyIn):
    """The fields to change; any of `all`, `tags`, `names` and `monitors` replaces the four."""

    model_config = ConfigDict(json_schema_extra=_as_changes)


class DeliveryOut(Shape):
    id: UUID
    channel: UUID | None
    """Null for a notice that goes to the team's owners by e-mail and is about no channel."""
    incident: UUID | None
    """Null for a test and for a notice."""
    event: Literal[
        "down",
        "degraded",
        "recovered",
        "flapping",
        "reminder",
        "acknowledged",
        "closed",
        "certificate_expiring",
        "domain_expiring",
        "digest",
        "report",
        "test",
        "disabled",
        "probe_failed",
        "location_blind",
        "location_sighted",
        "agent_offline",
        "agent_online",
    ]
    """A reminder tells that it is still down or degraded, a digest of many alerts at once. Only
    pagers hear of `acknowledged` and `closed` (paused, deleted or renewed)."""
    step: int | None
    """Which step of a policy told it, from 0; null for a test or notice."""
    repeat: int
    """For the how-manieth time that step tells it again; 0 is the first time."""
    digest: UUID | None
    """The delivery in which it is sent together with others."""
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    silenced_at: datetime | None
    """Since when maintenance or a snooze keeps it back, or kept it."""
    last_error: str
    created_at: datetime
    sent_at: datetime | None


class ExchangeOut(Shape):
    method: str
    """Of HTTP, or another protocol's name."""
    url: str
    headers: dict[str, str]
    sent: str
    """The request's body, cut; secrets are `********` here as elsewhere."""
    status: int | None
    """Null: there was no answer, and `answer` says why."""
    answer: str


class AttemptOut(Shape):
    number: int
    """From 1; anew after a retry by hand."""
    began_at: datetime
    duration_ms: float
    error: str
    """Empty: it was taken."""
    exchanges: list[ExchangeOut]


class DeliveryLogOut(DeliveryOut):
    log: list[AttemptOut]
    """Every attempt, in order; of what was merged, see its digest's."""


class DeliveriesQuery(SliceQuery):
    status: commas(DeliveryStatus) = []  # type: ignore[valid-type]
    channel: commas(UUID) = []  # type: ignore[valid-type]
    incident: commas(UUID) = []  # type: ignore[valid-type]
    digest: commas(UUID) = []  # type: ignore[valid-type]


class Channels(ApiView):
    @describe("list_channels", "List channels", query=PageQuery, answer=Page[ChannelOut])
    def get(self, request: Request) -> Response:
        channels = (
            Channel.objects.filter(team=self.team).order_by("name", "id").select_related("probe")
        )
        query = self.query(PageQuery)
        return Response(page_of(request._request, channels, query, _each(present_channel)))

    @describe(
        "create_channel",
        "Create a channel; secrets that were made for it are shown this once",
        body=ChannelIn,
        answer=ChannelOut,
        status=201,
    )
    def post(self, request: Request) -> Response:
        channel = create_channel(team=self.team, values=as_object(self.body))
        return Response(present_channel(channel), status=201)


class ChannelView(ApiView):
    """Endpoints of one channel."""

    def channel(self, id: UUID) -> Channel:
        channels = Channel.objects.select_related("probe")
        return get_object_or_404(channels, team=self.team, pk=id)


class OneChannel(ChannelView):
    @describe("get_channel", "Read a channel", answer=ChannelOut)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(present_channel(self.channel(id)))

    @describe("change_channel", "Change some fields", body=ChannelPatch, answer=ChannelOut)
    def patch(self, request: Request, id: UUID) -> Response:
        channel = update_channel(channel=self.channel(id), values=as_object(self.body))
        return Response(present_channel(channel))

    @describe(
        "delete_channel",
        "Delete a channel and its deliveries, sent or not",
        answer=None,
        status=204,
    )
    def delete(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        delete_channel(channel=self.channel(id))
        return Response(status=204)


class CheckChannel(ChannelView):
    @describe("test_channel", "Queue a test message", body=Nothing, answer=DeliveryOut, status=202)
    def post(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        return Response(present_delivery(send_test(channel=self.channel(id))), status=202)


class Policies(ApiView):
    @describe("list_policies", "List policies", query=PageQuery, answer=Page[PolicyOut])
    def get(self, request: Request) -> Response:
        query = self.query(PageQuery)
        return Response(page_of(request._request, _policies(self), query, _each(present_policy)))

    @describe("create_policy", "Create a policy", body=PolicyIn, answer=PolicyOut, status=201)
    def post(self, request: Request) -> Response:
        policy = create_policy(team=self.team, values=as_object(self.body))
        return Response(present_policy(policy), status=201)


class OnePolicy(ApiView):
    @describe("get_policy", "Read a policy", answer=PolicyOut)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(present_policy(self._policy(id)))

    @describe("change_policy", "Change some fields", body=PolicyPatch, answer=PolicyOut)
    def patch(self, request: Request, id: UUID) -> Response:
        update_policy(policy=self._policy(id), values=as_object(self.body))
        return Response(present_policy(self._policy(id)))

    @describe("delete_policy", "Delete a policy", answer=None, status=204)
    def delete(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        delete_policy(policy=self._policy(id))
        return Response(status=204)

    def _policy(self, id: UUID) -> Policy:
        return get_object_or_404(_policies(self), pk=id)


class Deliveries(ApiView):
    @describe(
        "list_deliveries",
        "What was or is to be sent, newest first",
        query=DeliveriesQuery,
        answer=Slice[DeliveryOut],
    )
    def get(self, request: Request) -> Response:
        query = self.query(DeliveriesQuery)
        deliveries = Delivery.objects.visible_to(self.team).defer("facts")
        for name in ("status", "channel", "incident", "digest"):
            if wanted := getattr(query, name):
                deliveries = deliveries.filter(**{f"{name}__in": wanted})
        return Response(
            slice_of(
                request._request, [deliveries], query, _each(present_delivery), by="created_at"
            )
        )


class OneDelivery(ApiView):
    @describe("get_delivery", "Read a delivery with its attempts", answer=DeliveryLogOut)
    def get(self, request: Request, id: UUID) -> Response:
        delivery = _delivery(self, id)
        attempts = delivery.log.order_by("id")
        values = present_delivery(delivery).model_dump()
        return Response(DeliveryLogOut(**values, log=[_present_attempt(one) for one in attempts]))


class RetryDelivery(ApiView):
    @describe(
        "retry_delivery",
        "Send again what failed or is dead",
        body=Nothing,
        answer=DeliveryOut,
        status=202,
    )
    def post(self, request: Request, id: UUID) -> Response:
        self.read(Nothing)
        delivery = retry_delivery(delivery=_delivery(self, id))
        return Response(present_delivery(delivery), status=202)


def present_channel(channel: Channel) -> ChannelOut:
    return ChannelOut(
        id=channel.pk,
        created_at=channel.created_at,
        updated_at=channel.updated_at,
        name=channel.name,
        type=channel.type,
        config={**_default_config(channel.type), **channel.config, **channel.new_secrets},
        enabled=channel.enabled,
        fallback=channel.fallback_id,
        digest_above=channel.digest_above,
        rate_per_minute=channel.rate_per_minute,
        reports=channel.reports,
        dead_since=channel.dead_since,
        last_sent_at=channel.last_sent_at,
        last_error=channel.last_error,
        probe=_present_probe(channel),
    )


def _present_probe(channel: Channel) -> ProbeOut | None:
    probe: ChannelProbe | None = getattr(channel, "probe", None)
    if probe is None or channel.type not in CHANNELS:
        return None
    return ProbeOut(
        proves=CHANNELS[channel.type].proves,
        asked_at=probe.asked_at,
        proven_at=probe.proven_at,
        alive_since=probe.alive_since,
        error=probe.error,
        is_final=probe.is_final,
        next_at=probe.due_at,
    )


def present_policy(policy: Policy) -> PolicyOut:
    return PolicyOut(
        id=policy.pk,
        created_at=policy.created_at,
        updated_at=policy.updated_at,
        **policy_values(policy),
    )


def present_delivery(delivery: Delivery) -> DeliveryOut:
    return DeliveryOut(
        id=delivery.pk,
        channel=delivery.channel_id,
        incident=delivery.incident_id,
        event=delivery.event,
        step=delivery.step if delivery.step >= 0 else None,
        repeat=delivery.repeat,
        digest=delivery.digest_id,
        status=DeliveryStatus(delivery.status),
        attempts=delivery.attempts,
        next_attempt_at=delivery.next_attempt_at,
        silenced_at=delivery.silenced_at,
        last_error=delivery.last_error,
        created_at=delivery.created_at,
        sent_at=delivery.sent_at,
    )


def _present_attempt(attempt: Attempt) -> AttemptOut:
    return AttemptOut(
        number=attempt.number,
        began_at=attempt.began_at,
        duration_ms=attempt.duration_ms,
        error=attempt.error,
        exchanges=[ExchangeOut(**one) for one in attempt.exchanges],
    )


def _each(present: Callable[[Any], Any]) -> Callable[[Sequence[Any]], list[Any]]:
    return lambda rows: [present(row) for row in rows]


@cache
def _default_config(type_name: str) -> Mapping[str, Any]:
    """What a channel's config is where nothing is said; secrets are never defaults."""
    if type_name not in CHANNELS:
        return {}
    fields = CHANNELS[type_name].config.model_fields.items()
    return {
        name: to_jsonable_python(field.default)
        for name, field in fields
        if not field.is_required() and field.default_factory is None
    }


def _policies(view: ApiView) -> QuerySet[Policy]:
    return (
        Policy.objects.filter(team=view.team)
        .order_by("name", "id")
        .prefetch_related("monitors", "steps__channels", "steps__schedules")
    )


def _delivery(view: ApiView, id: UUID) -> Delivery:
    return get_object_or_404(Delivery.objects.visible_to(view.team), pk=id)
