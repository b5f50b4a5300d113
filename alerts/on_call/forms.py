"""The forms of on-call: from a page's fields to the values that the actions take."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.utils import timezone
from pydantic import BaseModel, Field

from accounts.models import Membership, Team
from alerts.hours import DAYS
from alerts.models import Channel, Rotation, Schedule
from alerts.on_call.actions import schedule_values
from uptime.errors import Invalid
from uptime.settings_forms import NEW_ROW, SettingsForm, Shown
from uptime.time_forms import WallTimeField
from uptime.wall_clock import instant_of, wall_time, zone_or_utc

_WINDOW = re.compile(r"(?P<days>[a-z,\s-]+?)\s+(?P<start>\S+?)\s*-\s*(?P<end>\S+)")
_HELP = "Such as mon-fri 08:00-18:00; sat 10:00-14:00. Empty: always."


class _LayerRow(BaseModel):
    members: list[str] = Field([], title="Members (e-mails, in the order of their turns)")
    start: str = Field("", title="First turn begins")
    rotation: str = Field(Rotation.WEEKLY.value, title="Turns")
    turn_hours: int | None = Field(None, title="Hours a turn")
    windows: str = Field("", title="Only in")


class _Rows(BaseModel):
    layers: list[_LayerRow] = Field(
        [],
        title="Layers",
        description="Each is a round of members. A later layer stands above those before it:"
        " whoever it names at a time is on call then. " + _HELP,
    )


class ScheduleForm(SettingsForm):
    settings_path = "schedule"

    name = forms.CharField(label="Name", required=False)
    timezone = forms.CharField(
        label="Time zone", required=False, help_text="Such as Europe/Berlin."
    )

    def __init__(self, data: Any = None, *, schedule: Schedule | None = None) -> None:
        values = schedule_values(schedule) if schedule else _NEW
        super().__init__(
            data,
            model=_Rows,
            settings={"layers": [_entered_layer(layer) for layer in values["layers"]]},
            initial=values,
        )
        for number in [*self.rows["schedule.layers"], NEW_ROW]:
            path = f"schedule.layers.{number}"
            self.fields[f"{path}.start"].widget = forms.DateTimeInput({"type": "datetime-local"})
            turns = forms.ChoiceField(label="Turns", choices=Rotation.choices, required=False)
            self.add(f"{path}.rotation", turns, self.initial[f"{path}.rotation"])

    @property
    def layers(self) -> Shown:
        return self.group.parts[0].show(self)

    def values(self) -> dict[str, Any]:
        """What was entered, under the API's names. Raises Invalid for windows without sense."""
        layers = self.read_settings()["layers"]
        return {
            "name": self.cleaned_data["name"],
            "timezone": self.cleaned_data["timezone"],
            "layers": [_layer_value(place, row) for place, row in enumerate(layers)],
        }

    def show_errors(self, fields: Mapping[str, Sequence[str]]) -> None:
        """Put each error of an action at its field."""
        super().show_errors(
            {
                f"schedule.{path}" if path.startswith("layers") else path: sentences
                for path, sentences in fields.items()
            }
        )


_NEW: dict[str, Any] = {"name": "", "timezone": "UTC", "layers": []}


def _entered_layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    is_custom = layer["rotation"] == Rotation.CUSTOM
    return {
        **layer,
        "turn_hours": layer["turn_hours"] if is_custom else None,
        "windows": windows_text(layer["windows"]),
    }


def _layer_value(place: int, row: Mapping[str, Any]) -> dict[str, Any]:
    windows = read_windows(row.get("windows", ""), field=f"layers.{place}.windows")
    known = {"members": [], "start": "", "rotation": Rotation.WEEKLY.value}
    return {**known, **row, "windows": windows}


def windows_text(windows: Sequence[Mapping[str, Any]]) -> str:
    """`mon,tue 08:00-18:00; sat 10:00-14:00`."""
    return "; ".join(
        f"{','.join(window['days'])} {window['start']}-{window['end']}" for window in windows
    )


def read_windows(text: str, *, field: str) -> list[dict[str, Any]]:
    """The windows that `windows_text` puts into words; days also as `mon-fri`. Raises Invalid."""
    windows = []
    for part in filter(None, (part.strip().lower() for part in text.split(";"))):
        found = _WINDOW.fullmatch(part)
        days = _days(found["days"]) if found else None
        if found is None or days is None:
            raise Invalid({field: [f"“{part}” makes no sense. {_HELP}"]})
        windows.append({"days": days, "start": found["start"], "end": found["end"]})
    return windows


def _days(text: str) -> list[str] | None:
    days: list[str] = []
    for part in re.split(r"[,\s]+", text.strip()):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            return None
        start, end = DAYS.index(first), DAYS.index(last or first)
        days += [DAYS[number % 7] for number in range(start, end + (1 if end >= start else 8))]
    return days


class OverrideForm(forms.Form):
    """Somebody for a time; the times are those of the schedule's zone."""

    member = forms.ChoiceField(label="Who", required=False)
    starts_at = WallTimeField(label="From")
    ends_at = WallTimeField(label="Until")

    def __init__(self, data: Any = None, *, schedule: Schedule) -> None:
        self.zone = zone_or_utc(schedule.time_zone)
        now = wall_time(timezone.now(), self.zone)
        super().__init__(data, initial={"starts_at": f"{now:%Y-%m-%dT%H:%M}"})
        members = Membership.objects.filter(team=schedule.team).select_related("user")
        who = self.fields["member"]
        assert isinstance(who, forms.ChoiceField)
        who.choices = [(one.user.email, str(one.user)) for one in members.order_by("pk")]

    def values(self) -> dict[str, Any]:
        """What was entered, under the API's names."""
        given = self.cleaned_data
        return {
            "member": given["member"],
            **{
                name: instant_of(given[name], self.zone)
                for name in ("starts_at", "ends_at")
                if given[name]
            },
        }

    def show_errors(self, fields: Mapping[str, Sequence[str]]) -> None:
        for name, sentences in fields.items():
            self.add_error(name if name in self.fields else None, list(sentences))


class ContactsForm(forms.Form):
    """How whoever is signed in is reached when on call."""

    channels = forms.MultipleChoiceField(
        label="When on call, reach me through",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None: by e-mail to your address.",
    )

    def __init__(self, data: Any = None, *, team: Team, member: Membership) -> None:
        chosen = [str(channel.pk) for channel in member.contacts.all()]
        super().__init__(data, initial={"channels": chosen})
        channels = Channel.objects.filter(team=team, member=None).values_list("id", "name")
        boxes = self.fields["channels"]
        assert isinstance(boxes, forms.MultipleChoiceField)
        boxes.choices = [(str(key), name) for key, name in channels]
