"""The form of a maintenance window: from a page's fields to the values that the actions take."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError

from accounts.models import Team
from incidents.maintenance.actions import LONGEST_EXTENSION_MIN, window_values
from incidents.models import MaintenanceWindow
from monitors.models import Monitor
from uptime.settings_forms import ListField
from uptime.time_forms import WallTimeField
from uptime.wall_clock import instant_of, is_zone, wall_time

MONITORS_OFFERED = 50

_DAYS = {
    "MO": "Monday",
    "TU": "Tuesday",
    "WE": "Wednesday",
    "TH": "Thursday",
    "FR": "Friday",
    "SA": "Saturday",
    "SU": "Sunday",
}
_WEEKLY = re.compile(rf"FREQ=WEEKLY;BYDAY=((?:{'|'.join(_DAYS)})(?:,(?:{'|'.join(_DAYS)}))*)")


def first_hour_of(day: str) -> dict[str, datetime]:
    """What a form for that day (2026-12-24) begins with; empty where it is none."""
    try:
        start = datetime.strptime(day, "%Y-%m-%d")  # noqa: DTZ007 - what wall clocks show
    except ValueError:
        return {}
    return {"starts_at": start, "ends_at": start + timedelta(hours=1)}


class WindowForm(forms.Form):
    name = forms.CharField(label="Name", required=False)
    starts_at = WallTimeField(label="From")
    ends_at = WallTimeField(label="Until")
    timezone = forms.CharField(
        label="Time zone",
        required=False,
        help_text="Such as Europe/Berlin. What repeats keeps to its clocks when they change.",
    )
    repeats = forms.ChoiceField(
        label="Repeats",
        choices=[
            ("", "never"),
            ("FREQ=DAILY", "every day"),
            ("FREQ=WEEKLY", "every week"),
            ("FREQ=MONTHLY", "every month, on the same day"),
            ("rule", "by a rule"),
        ],
        required=False,
    )
    days = forms.MultipleChoiceField(
        label="Every week on",
        choices=list(_DAYS.items()),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None: on the day on which it is first.",
    )
    rule = forms.CharField(
        label="Rule",
        required=False,
        help_text="By RFC 5545, such as FREQ=MONTHLY;BYDAY=1SU for each month's first Sunday.",
    )
    all = forms.BooleanField(label="For all monitors", required=False)
    tags = ListField(
        label="For monitors with any of these tags",
        required=False,
        help_text="Separated by commas.",
    )
    monitors = forms.MultipleChoiceField(
        label="For these monitors", required=False, widget=forms.CheckboxSelectMultiple
    )
    public = forms.BooleanField(label="Status pages may show it", required=False)

    def __init__(
        self,
        data: Any = None,
        *,
        team: Team,
        window: MaintenanceWindow | None = None,
        initial: Mapping[str, Any] | None = None,
        search: str = "",
    ) -> None:
        entered = _entered(window) if window else {"timezone": "UTC", **(initial or {})}
        super().__init__(data, initial=entered)
        boxes = self.fields["monitors"]
        assert isinstance(boxes, forms.MultipleChoiceField)
        boxes.choices = self._offered(team, search)

    def clean_timezone(self) -> str:
        """Without it no other time makes sense."""
        name: str = self.cleaned_data["timezone"].strip()
        if not is_zone(name):
            raise ValidationError("This is not the name of a time zone, such as Europe/Berlin.")
        return name

    def values(self) -> dict[str, Any]:
        """What was entered, under the API's names."""
        given = self.cleaned_data
        zone = ZoneInfo(given["timezone"])
        is_for_all = given["all"]
        return {
            "name": given["name"],
            "timezone": given["timezone"],
            "rrule": self._rule(),
            "all": is_for_all,
            "tags": [] if is_for_all else given["tags"],
            "monitors": [] if is_for_all else given["monitors"],
            "public": given["public"],
            **{
                name: instant_of(given[name], zone)
                for name in ("starts_at", "ends_at")
                if given[name]
            },
        }

    def show_errors(self, fields: Mapping[str, Sequence[str]]) -> None:
        """Put each error of an action at its field."""
        for path, sentences in fields.items():
            name = {"rrule": "rule"}.get(path, path.partition(".")[0])
            self.add_error(name if name in self.fields else None, list(sentences))

    def _rule(self) -> str:
        chosen: str = self.cleaned_data["repeats"]
        if chosen == "rule":
            return str(self.cleaned_data["rule"])
        if chosen == "FREQ=WEEKLY" and self.cleaned_data["days"]:
            return f"{chosen};BYDAY={','.join(self.cleaned_data['days'])}"
        return chosen

    def _offered(self, team: Team, search: str) -> list[tuple[str, str]]:
        """The chosen ones, then the first that match what is sought."""
        ours = Monitor.objects.visible_to(team)
        kept = ours.filter(pk__in=[one for one in self["monitors"].value() or [] if _is_uuid(one)])
        offered = ours.filter(name__icontains=search).exclude(pk__in=kept.values("pk"))
        rows = [
            *kept.order_by("name", "id").values_list("id", "name"),
            *offered.order_by("name", "id").values_list("id", "name")[:MONITORS_OFFERED],
        ]
        return [(str(key), name) for key, name in rows]


class ExtensionForm(forms.Form):
    minutes = forms.IntegerField(
        label="Minutes", min_value=1, max_value=LONGEST_EXTENSION_MIN, initial=30
    )


def _entered(window: MaintenanceWindow) -> dict[str, Any]:
    """A window as the form's fields show it."""
    values, rule = window_values(window), window.rrule
    weekly = _WEEKLY.fullmatch(rule)
    is_plain = rule in ("", "FREQ=DAILY", "FREQ=WEEKLY", "FREQ=MONTHLY")
    return {
        **values,
        "starts_at": wall_time(window.starts_at, window.zone),
        "ends_at": wall_time(window.ends_at, window.zone),
        "monitors": [str(key) for key in values["monitors"]],
        "repeats": "FREQ=WEEKLY" if weekly else rule if is_plain else "rule",
        "days": weekly[1].split(",") if weekly else [],
        "rule": "" if weekly or is_plain else rule,
    }


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
