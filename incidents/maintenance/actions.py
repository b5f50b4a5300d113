"""Every change to maintenance windows, whoever asks for it.

`values` are those of the API, under its field names. Wrong ones raise `uptime.errors.Invalid`, a
window that is not in the state for it `Conflict`; both change nothing.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from django.db import transaction
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

from accounts.audit import record
from accounts.models import Team
from incidents.maintenance.reads import roll, set_at_hand
from incidents.maintenance.recurrence import LONGEST_RULE, clean_rule, next_occurrence
from incidents.models import MaintenanceWindow
from monitors.models import Monitor
from uptime.clock import database_now
from uptime.errors import Conflict, Invalid
from uptime.validation import validate
from uptime.wall_clock import AnyInstant, ZoneName

LONGEST = timedelta(days=366)
LONGEST_EXTENSION_MIN = 366 * 24 * 60

Text = Annotated[str, StringConstraints(strip_whitespace=True)]
Tag = Annotated[Text, StringConstraints(min_length=1, max_length=100)]


def _whole_second(moment: datetime) -> datetime:
    if not 2000 <= moment.year < 2100:
        raise ValueError("Should be in this century.")
    return moment.astimezone(UTC).replace(microsecond=0)


Instant = Annotated[AnyInstant, AfterValidator(_whole_second)]


class _WindowValues(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[Text, Field(min_length=1, max_length=200)]
    starts_at: Instant
    ends_at: Instant
    rrule: Annotated[Text, Field(max_length=LONGEST_RULE + len("RRULE:"))] = ""
    timezone: ZoneName = "UTC"
    all: StrictBool = False
    monitors: list[UUID] = Field(default=[], max_length=10_000)
    tags: list[Tag] = Field(default=[], max_length=100)
    public: StrictBool = False

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if not timedelta() < self.ends_at - self.starts_at <= LONGEST:
            raise ValueError("It has to end after it starts, at most a year later.")
        return self

    @model_validator(mode="after")
    def _covers_something(self) -> Self:
        if self.all == bool(self.monitors or self.tags):
            raise ValueError("Say which monitors it is for: all, or some monitors and tags.")
        return self


@transaction.atomic
def create_window(*, team: Team, values: Mapping[str, Any]) -> MaintenanceWindow:
    window = _save(MaintenanceWindow(team=team), validate(_WindowValues, values))
    record("maintenance.created", window, team=team)
    return window


@transaction.atomic
def update_window(*, window: MaintenanceWindow, values: Mapping[str, Any]) -> MaintenanceWindow:
    """Change what is given; `all` replaces monitors and tags, and they replace `all`.

    Another time is planned anew, also where the occurrence at hand was changed by hand.
    """
    locked = _lock(window)
    if not values:
        return locked
    stored = window_values(locked)
    if values.get("all"):
        stored |= {"monitors": [], "tags": []}
    elif values.get("monitors") or values.get("tags"):
        stored["all"] = False
    given = validate(_WindowValues, {**stored, **values})
    planned = (locked.starts_at, locked.ends_at, locked.rrule, locked.time_zone)
    _save(locked, given, planned=planned)
    record("maintenance.changed", locked, team=locked.team_id, changed=values.keys())
    return locked


@transaction.atomic
def delete_window(*, window: MaintenanceWindow) -> None:
    """It ends within a second, if it is on."""
    record("maintenance.deleted", window, team=window.team_id)
    window.delete()


@transaction.atomic
def start_window(*, window: MaintenanceWindow) -> MaintenanceWindow:
    """Begin the next occurrence now, ahead of its time; it ends as planned."""
    locked, now = _lock(window), database_now()
    roll(locked, now)
    if locked.begins_at is None:
        raise Conflict("There is nothing to start: it is over.")
    if locked.is_on(now):
        raise Conflict("It is on already.")
    locked.begins_at = now
    locked.save()
    record("maintenance.started", locked, team=locked.team_id)
    return locked


@transaction.atomic
def extend_window(*, window: MaintenanceWindow, minutes: int) -> MaintenanceWindow:
    """Let the present or next occurrence end so much later."""
    if not 1 <= minutes <= LONGEST_EXTENSION_MIN:
        raise Invalid({"minutes": ["Should be from a minute to a year."]})
    locked = _lock(window)
    roll(locked, database_now())
    if locked.finishes_at is None:
        raise Conflict("There is nothing to extend: it is over.")
    locked.finishes_at += timedelta(minutes=minutes)
    locked.save()
    record("maintenance.extended", locked, team=locked.team_id)
    return locked


@transaction.atomic
def end_window(*, window: MaintenanceWindow) -> MaintenanceWindow:
    """End the present occurrence now; those to come stay."""
    locked, now = _lock(window), database_now()
    if not locked.is_on(now):
        raise Conflict("It is not on.")
    locked.finishes_at = now
    locked.save()
    record("maintenance.ended", locked, team=locked.team_id)
    return locked


def window_values(window: MaintenanceWindow) -> dict[str, Any]:
    """What the window says, under the API's field names."""
    return {
        "name": window.name,
        "starts_at": window.starts_at,
        "ends_at": window.ends_at,
        "rrule": window.rrule,
        "timezone": window.time_zone,
        "all": window.is_for_all,
        "monitors": [monitor.pk for monitor in window.monitors.all()],
        "tags": window.tags,
        "public": window.is_public,
    }


def _save(
    window: MaintenanceWindow,
    given: _WindowValues,
    *,
    planned: tuple[datetime, datetime, str, str] | None = None,
) -> MaintenanceWindow:
    monitors = _own_monitors(window.team, given.monitors)
    window.starts_at, window.ends_at, window.time_zone = (
        given.starts_at,
        given.ends_at,
        given.timezone,
    )
    window.rrule = _rule(given.rrule, window)
    window.name, window.is_public, window.is_for_all = given.name, given.public, given.all
    window.tags = list(dict.fromkeys(given.tags))
    now = database_now()
    window.changed_at = now
    if planned != (window.starts_at, window.ends_at, window.rrule, window.time_zone):
        set_at_hand(window, next_occurrence(window.plan, now))
    window.save()
    window.monitors.set(monitors)
    return window


def _rule(text: str, window: MaintenanceWindow) -> str:
    try:
        return clean_rule(text, window.starts_at, window.zone)
    except ValueError as error:
        raise Invalid({"rrule": [str(error)]}) from None


def _own_monitors(team: Team, ids: Collection[UUID]) -> list[Monitor]:
    found = Monitor.objects.visible_to(team).in_bulk(list(ids))
    if missing := [one for one in ids if one not in found]:
        raise Invalid({"monitors": [f"There is no monitor {one}." for one in missing]})
    return list(found.values())


def _lock(window: MaintenanceWindow) -> MaintenanceWindow:
    return MaintenanceWindow.objects.select_for_update(no_key=True).get(pk=window.pk)
