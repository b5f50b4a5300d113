"""Schedules as rotas, and the channels of whoever is on call; set by set."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from pydantic import ValidationError

from accounts.models import Membership
from alerts.hours import ActiveHours, HoursValues
from alerts.models import Channel, LayerMember, Override, Schedule, ScheduleLayer
from alerts.on_call import rotation
from alerts.on_call.rotation import Rota, Shift, next_shifts, who_is_on_call
from uptime.wall_clock import zone_or_utc


def with_parts(schedules: QuerySet[Schedule], since: datetime | None = None) -> QuerySet[Schedule]:
    """The schedules with all that a rota is made of; overrides that end after `since`."""
    overrides = Override.objects.select_related("member__user").order_by("pk")
    return schedules.prefetch_related(
        Prefetch("layers", ScheduleLayer.objects.order_by("position")),
        Prefetch(
            "layers__places",
            LayerMember.objects.select_related("member__user").order_by("position"),
        ),
        Prefetch("overrides", overrides.filter(ends_at__gt=since) if since else overrides),
    )


def rota_of(schedule: Schedule) -> Rota[Membership]:
    """The rota of a schedule that was read `with_parts`.

    Who may not sign in any more is on call for nobody: their turns are those of the layer below.
    """
    return Rota(
        zone=zone_or_utc(schedule.time_zone),
        layers=tuple(_layer(schedule, layer) for layer in schedule.layers.all()),
        overrides=tuple(
            rotation.Override(one.member, one.starts_at, one.ends_at)
            for one in schedule.overrides.all()
            if one.member.user.is_active
        ),
    )


def _layer(schedule: Schedule, layer: ScheduleLayer) -> rotation.Layer[Membership]:
    return rotation.Layer(
        members=tuple(
            place.member if place.member.user.is_active else None for place in layer.places.all()
        ),
        start=datetime.fromisoformat(layer.start),
        turn=timedelta(hours=layer.turn_hours),
        hours=_hours(schedule, layer),
    )


def _hours(schedule: Schedule, layer: ScheduleLayer) -> ActiveHours | None:
    if not layer.windows:
        return None
    try:
        values = HoursValues(timezone=schedule.time_zone, windows=layer.windows)
    except ValidationError:
        return None
    return values.as_hours()


@dataclass(frozen=True, slots=True)
class Duty:
    """A schedule, who is on call by it now and from when on somebody else is."""

    schedule: Schedule
    now: Shift[Membership]
    next: list[Shift[Membership]]


def duty_of(schedule: Schedule, at: datetime, how_many: int = 2) -> Duty:
    """For a schedule that was read `with_parts`."""
    now, *following = next_shifts(rota_of(schedule), at, how_many)
    return Duty(schedule, now, following)


def channels_on_call(schedules: Collection[UUID], at: datetime) -> dict[UUID, tuple[UUID, ...]]:
    """For each schedule the channels of who is on call then; none where nobody can be reached."""
    if not schedules:
        return {}
    found = with_parts(Schedule.objects.filter(pk__in=schedules), since=at)
    on_call = {schedule.pk: who_is_on_call(rota_of(schedule), at) for schedule in found}
    contacts = contacts_of([member for member in on_call.values() if member])
    return {
        schedule: contacts.get(member.pk, ()) if member else ()
        for schedule, member in on_call.items()
    }


def contacts_of(members: Iterable[Membership]) -> dict[int, tuple[UUID, ...]]:
    """How members (with their users) are reached: by their contacts that work, else by e-mail.

    Who may not sign in any more is not reached. The channel of an e-mail address is made here when
    it is first needed.
    """
    active = {member.pk: member for member in members if member.user.is_active}
    chosen = Channel.contact_of.through.objects.filter(
        membership__in=active, channel__in=Channel.objects.usable()
    ).order_by("channel__name", "channel")
    contacts: dict[int, tuple[UUID, ...]] = {}
    for channel_id, member_id in chosen.values_list("channel_id", "membership_id"):
        contacts[member_id] = (*contacts.get(member_id, ()), channel_id)
    by_email = [member for pk, member in active.items() if pk not in contacts]
    return contacts | {pk: (channel,) for pk, channel in _email_channels(by_email).items()}


def _email_channels(members: Collection[Membership]) -> dict[int, UUID]:
    if not members:
        return {}
    channels = Channel.objects.filter(member__in=members)
    known = set(channels.values_list("member_id", flat=True))
    Channel.objects.bulk_create(
        [_email_channel(member) for member in members if member.pk not in known],
        ignore_conflicts=True,  # somebody else may have made it by now
    )
    usable = channels.usable().values_list("member_id", "pk")
    return {member_id: channel_id for member_id, channel_id in usable if member_id is not None}


def _email_channel(member: Membership) -> Channel:
    return Channel(
        team_id=member.team_id,
        name=f"E-mail to {member.user}"[:200],
        type="email",
        config={"to": [member.user.email]},
        member=member,
    )


def contacts_chosen(members: QuerySet[Membership]) -> QuerySet[Membership]:
    """Members with their users and with the contacts that were chosen for them."""
    return members.select_related("user").prefetch_related(
        Prefetch("contacts", Channel.objects.order_by("name", "pk"))
    )
