"""Every change to schedules, overrides and contacts, whoever asks for it.

`values` are those of the API, under its field names; members are told by their e-mail. Wrong ones
raise `uptime.errors.Invalid` and change nothing; so does everything that is not the team's own.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from django.db import transaction
from django.db.models import F
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from accounts.audit import record
from accounts.models import Membership, Team
from alerts.hours import WindowValues
from alerts.models import (
    Channel,
    LayerMember,
    Override,
    Rotation,
    Schedule,
    ScheduleLayer,
)
from uptime.database import lock_row
from uptime.errors import Invalid
from uptime.validation import validate
from uptime.wall_clock import YEARS, Instant, ZoneName

LONGEST_TURN_H = 24 * 7 * 53
LONGEST_OVERRIDE = timedelta(days=366)
_HOURS = {Rotation.DAILY: 24, Rotation.WEEKLY: 24 * 7}

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Email = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, max_length=254)]


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _wall_time(text: str) -> str:
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("Give a date and a time of day, such as 2026-01-05T09:00.") from None
    if given.tzinfo is not None or given.year not in YEARS:
        raise ValueError("Give a time as clocks show it in the schedule's zone.")
    return f"{given:%Y-%m-%dT%H:%M}"


class _LayerValues(_Values):
    members: list[Email] = Field(min_length=1, max_length=100)
    start: Annotated[str, AfterValidator(_wall_time)]
    rotation: Rotation = Rotation.WEEKLY
    turn_hours: int | None = Field(default=None, ge=1, le=LONGEST_TURN_H)
    windows: list[WindowValues] = Field(default=[], max_length=50)

    @model_validator(mode="after")
    def _says_how_long_a_turn_is(self) -> Self:
        known = _HOURS.get(self.rotation)
        if known is None and self.turn_hours is None:
            raise ValueError("Say how long a turn is: give turn_hours.")
        if known is not None and self.turn_hours not in (None, known):
            raise ValueError("A daily or weekly turn has its length: turn_hours is for custom.")
        return self

    @property
    def hours(self) -> int:
        return self.turn_hours or _HOURS[self.rotation]


class _ScheduleValues(_Values):
    name: Name
    timezone: ZoneName = "UTC"
    layers: list[_LayerValues] = Field(min_length=1, max_length=20)


@transaction.atomic
def create_schedule(*, team: Team, values: Mapping[str, Any]) -> Schedule:
    schedule = _save(Schedule(team=team), validate(_ScheduleValues, values))
    record("schedule.created", schedule, team=team)
    return schedule


@transaction.atomic
def update_schedule(*, schedule: Schedule, values: Mapping[str, Any]) -> Schedule:
    """Change what is given; `layers` is one value."""
    if not values:
        return schedule
    lock_row(schedule)
    _save(schedule, validate(_ScheduleValues, {**schedule_values(schedule), **values}))
    record("schedule.changed", schedule, team=schedule.team_id, changed=values.keys())
    return schedule


@transaction.atomic
def delete_schedule(*, schedule: Schedule) -> None:
    """Remove it from every policy."""
    record("schedule.deleted", schedule, team=schedule.team_id)
    schedule.delete()


def schedule_values(schedule: Schedule) -> dict[str, Any]:
    """What the schedule says, under the API's field names."""
    return {
        "name": schedule.name,
        "timezone": schedule.time_zone,
        "layers": [
            {
                "members": [place.member.user.email for place in layer.places.all()],
                "start": layer.start,
                "rotation": layer.rotation,
                "turn_hours": layer.turn_hours,
                "windows": layer.windows,
            }
            for layer in schedule.layers.all()
        ],
    }


def _save(schedule: Schedule, given: _ScheduleValues) -> Schedule:
    members = [
        _members(schedule.team, layer.members, field=f"layers.{place}.members")
        for place, layer in enumerate(given.layers)
    ]
    schedule.name, schedule.time_zone = given.name, given.timezone
    with transaction.atomic():
        schedule.save()
        schedule.layers.all().delete()
        for position, (layer, turns) in enumerate(zip(given.layers, members, strict=True)):
            stored = ScheduleLayer.objects.create(
                schedule=schedule,
                position=position,
                start=layer.start,
                rotation=layer.rotation,
                turn_hours=layer.hours,
                windows=[window.model_dump(mode="json") for window in layer.windows],
            )
            LayerMember.objects.bulk_create(
                LayerMember(layer=stored, member=member, position=place)
                for place, member in enumerate(turns)
            )
    return schedule


def renew_feed(*, schedule: Schedule) -> None:
    """Give its calendar another address; the old one ends."""
    Schedule.objects.filter(pk=schedule.pk).update(feed_version=F("feed_version") + 1)
    schedule.refresh_from_db(fields=["feed_version"])


class _OverrideValues(_Values):
    member: Email
    starts_at: Instant
    ends_at: Instant

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if not timedelta() < self.ends_at - self.starts_at <= LONGEST_OVERRIDE:
            raise ValueError("It has to end after it starts, at most a year later.")
        return self


@transaction.atomic
def add_override(*, schedule: Schedule, values: Mapping[str, Any]) -> Override:
    """Put somebody in everybody's place for a time; it stands above those made before."""
    given = validate(_OverrideValues, values)
    [member] = _members(schedule.team, [given.member], field="member")
    override = Override.objects.create(
        schedule=schedule, member=member, starts_at=given.starts_at, ends_at=given.ends_at
    )
    _record("override.added", override)
    return override


@transaction.atomic
def remove_override(*, override: Override) -> None:
    _record("override.removed", override)
    override.delete()


def _record(action: str, override: Override) -> None:
    name = f"{override.schedule}: {override.member.user.email}"
    record(action, override, team=override.schedule.team_id, name=name)


class _ContactValues(_Values):
    channels: list[UUID] = Field(max_length=50)


@transaction.atomic
def set_contacts(*, member: Membership, values: Mapping[str, Any]) -> None:
    """Through which of the team's channels a member is reached when on call; none: by e-mail."""
    given = validate(_ContactValues, values).channels
    found = Channel.objects.filter(team=member.team).in_bulk(given)
    if missing := [one for one in given if one not in found]:
        raise Invalid({"channels": [f"There is no channel {one}." for one in missing]})
    member.contacts.set(found.values())
    record("contacts.changed", member, team=member.team_id, name=member.user.email)


def _members(team: Team, emails: Collection[str], *, field: str) -> list[Membership]:
    """In this order. Raises Invalid when one of them is not in the team."""
    rows = Membership.objects.filter(team=team, user__email__in=emails).select_related("user")
    found = {member.user.email: member for member in rows}
    if missing := [email for email in dict.fromkeys(emails) if email not in found]:
        raise Invalid({field: [f"There is no member {email}." for email in missing]})
    return [found[email] for email in emails]
