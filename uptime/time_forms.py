"""Times in forms: as the clocks of a zone show them, whatever the server's are."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError

from uptime.wall_clock import YEARS, instant_of, wall_time, zone_or_none

_MOMENT = "%Y-%m-%dT%H:%M"


class WallTimeField(forms.DateTimeField):
    """What the clocks of a zone show that another field names: a naive time."""

    widget = forms.DateTimeInput({"type": "datetime-local"}, format=_MOMENT)

    def __init__(self, *, required: bool = False, **kwargs: Any) -> None:
        formats = [_MOMENT, f"{_MOMENT}:%S"]
        super().__init__(required=required, input_formats=formats, **kwargs)

    def to_python(self, value: Any) -> datetime | None:
        found = super().to_python(value)
        if found and found.year not in YEARS:
            raise ValidationError(f"Give a year from {YEARS[0]} to {YEARS[-1]}.")
        return found.replace(tzinfo=None) if found else None


class ReaderTimes:
    """The times of a form by the clocks of its reader.

    The zone goes along with what is sent (a hidden field), so that a time means what it meant when
    it was typed.
    """

    def __init__(self, data: Mapping[str, Any] | None, reader_zone: ZoneInfo) -> None:
        self.zone = zone_or_none((data or {}).get("zone")) or reader_zone

    def note(self) -> str:
        return f"By the clocks of {self.zone.key}."

    def shown(self, at: datetime | None) -> datetime | None:
        return at and wall_time(at, self.zone)

    def meant(self, wall: datetime | None) -> datetime | None:
        return wall and instant_of(wall, self.zone)
