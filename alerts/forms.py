"""The forms of channels and policies: from a page's fields to the values that the actions take."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django import forms
from pydantic import BaseModel, Field

from accounts.models import Team
from alerts.actions import DIGEST_ABOVE, policy_values
from alerts.channels.base import ChannelType
from alerts.hours import DAYS
from alerts.models import (
    Channel,
    Event,
    OutsideHours,
    Policy,
    Reach,
    ReportPeriod,
    Schedule,
    default_expiry_days,
)
from incidents.models import Severity
from monitors.models import Monitor
from uptime.settings_forms import NEW_ROW, ListField, Section, SettingsForm, Shown

MONITORS_OFFERED = 20


class ChannelForm(SettingsForm):
    """Create or edit a channel of one type; its fields come from the type's own config."""

    settings_path = "config"
    _PACE = ("digest_above", "rate_per_minute")

    name = forms.CharField(label="Name", required=False)
    enabled = forms.BooleanField(
        label="Enabled", required=False, help_text="Off: nothing is sent, tests excepted."
    )

    fallback = forms.ChoiceField(
        label="When a message through it is given up, tell",
        required=False,
        help_text="Another channel, told in this one's place.",
    )
    digest_above = forms.IntegerField(
        label="Merge when more than so many messages come within ten seconds",
        required=False,
        help_text="A storm then is one message that lists them. Empty: never.",
    )
    reports = forms.MultipleChoiceField(
        label="Reports",
        choices=ReportPeriod.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="How the team's monitors fared, in the morning after the week or month.",
    )
    rate_per_minute = forms.IntegerField(label="Messages a minute, at most", required=False)

    def __init__(
        self,
        data: Any = None,
        *,
        team: Team,
        type_: ChannelType[Any],
        channel: Channel | None = None,
    ) -> None:
        self.model = type_.config
        super().__init__(
            data,
            model=type_.config,
            settings=channel.config if channel else {},
            initial={
                "name": channel.name if channel else type_.label,
                "enabled": channel.enabled if channel else True,
                "fallback": str(channel.fallback_id or "") if channel else "",
                "digest_above": channel.digest_above if channel else DIGEST_ABOVE,
                "rate_per_minute": channel.rate_per_minute if channel else None,
                "reports": channel.reports if channel else [],
            },
        )
        usual = f"{type_.rate.per_minute:g} a minute" if type_.rate else "no limit"
        self.fields["rate_per_minute"].help_text = f"Empty: what its vendor allows ({usual})."
        if type_.is_pager:
            del self.fields["digest_above"], self.fields["reports"]
        others = Channel.objects.filter(team=team)
        if channel:
            others = others.exclude(pk=channel.pk)
        made = self.fields["fallback"]
        assert isinstance(made, forms.ChoiceField)
        made.choices = [
            ("", "nobody"),
            *((str(key), name) for key, name in others.values_list("id", "name")),
        ]

    def values(self) -> dict[str, Any]:
        """What was entered, under the API's names."""
        given = {name: self.cleaned_data[name] for name in ("name", "enabled")}
        given["fallback"] = self.cleaned_data["fallback"] or None
        for name in (*self._PACE, "reports"):
            if name in self.fields:
                given[name] = self.cleaned_data[name]
        return {**given, "config": self.read_settings()}

    def sections(self) -> list[Section]:
        worded = [name for name in self.model.model_fields if name.endswith("_template")]
        plain = [name for name in self.model.model_fields if name not in worded]
        titles = {"": plain, "Wording": worded} if worded else {"": plain}
        first, *more = self.group.sections(self, titles)
        last = [name for name in ("fallback", "reports", "enabled") if name in self.fields]
        parts = [*self.show(["name"]), *first.parts, *self.show(last)]
        pace = self.show([name for name in self._PACE if name in self.fields])
        return [Section("", parts), Section("Many at once", pace), *more]


class _StepRow(BaseModel):
    """A step as people enter it; which channels and severities there are, the form knows."""

    after_min: float | None = Field(None, title="After (min)")
    repeat_min: float | None = Field(None, title="Repeat every (min)")
    max_repeats: int | None = Field(None, title="Repeats at most")
    channels: list[str] = Field([], title="Tell")
    schedules: list[str] = Field([], title="Whoever is on call by")
    severities: list[str] = Field([], title="Only if it is")


class _WindowRow(BaseModel):
    start: str = Field("", title="From")
    end: str = Field("", title="Until")
    days: list[str] = Field([], title="On")


class _PolicyRows(BaseModel):
    steps: list[_StepRow] = Field(
        [],
        title="Tell whom, and when",
        description="Each step tells its channels so long after the event, if it still lasts then.",
    )
    windows: list[_WindowRow] = Field(
        [],
        title="Active hours",
        description="When it tells; without any, at all times. One that ends before it starts goes"
        " on into the next day.",
    )


class PolicyForm(SettingsForm):
    """Create or edit a policy. Of many monitors only the chosen and the sought are listed."""

    settings_path = "policy"

    name = forms.CharField(label="Name", required=False)
    on = forms.MultipleChoiceField(
        label="Events",
        choices=Event.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    reach = forms.ChoiceField(
        label="For", choices=Reach.choices, required=False, widget=forms.RadioSelect
    )
    tags = ListField(
        label="Tags",
        required=False,
        help_text="Monitors with any of these tags; separated by commas.",
    )
    names = ListField(
        label="Names",
        required=False,
        help_text="Monitors with any of these names; * stands for any text: shop-*, *.example.org.",
    )
    monitors = forms.MultipleChoiceField(
        label="Monitors", required=False, widget=forms.CheckboxSelectMultiple
    )
    expiry_days = ListField(
        label="Days before a certificate or a domain expires",
        required=False,
        help_text="Separated by commas: 30, 14, 7, 1.",
    )
    stop_on_acknowledge = forms.BooleanField(
        label="Stop when somebody acknowledges it",
        required=False,
        help_text="Off: later steps and repeats go on until it is over.",
    )
    timezone = forms.CharField(
        label="Time zone of the hours",
        required=False,
        help_text="Such as Europe/Berlin.",
    )
    outside_hours = forms.ChoiceField(
        label="What falls outside is",
        choices=[(value, label.lower()) for value, label in OutsideHours.choices],
        required=False,
        help_text="The end of what was told is told at any hour.",
    )
    enabled = forms.BooleanField(label="Enabled", required=False)

    def __init__(
        self, data: Any = None, *, team: Team, policy: Policy | None = None, search: str = ""
    ) -> None:
        channels = list(Channel.objects.filter(team=team).values_list("id", "name"))
        values = policy_values(policy) if policy else _new_policy([key for key, _ in channels])
        super().__init__(
            data, model=_PolicyRows, settings=_entered_rows(values), initial=_entered(values)
        )
        self._offer_in_rows("steps", "channels", [(str(key), name) for key, name in channels])
        schedules = Schedule.objects.filter(team=team).values_list("id", "name")
        self._offer_in_rows("steps", "schedules", [(str(key), name) for key, name in schedules])
        self._offer_in_rows("steps", "severities", list(Severity.choices))
        self._offer_in_rows("windows", "days", [(day, day.title()) for day in DAYS])
        for name in ("start", "end"):
            self._each_in_rows("windows", name, lambda made: _as_clock(made))
        self._offer("monitors", self._monitors(team, search))

    @property
    def has_channels(self) -> bool:
        return bool(self.fields[f"policy.steps.{NEW_ROW}.channels"].choices)  # type: ignore[attr-defined] # made so above

    @property
    def steps(self) -> Shown:
        return self.group.parts[0].show(self)

    @property
    def windows(self) -> Shown:
        return self.group.parts[1].show(self)

    def values(self) -> dict[str, Any]:
        """What was entered, under the API's names."""
        chosen = self.cleaned_data
        reach = chosen["reach"]
        rows = self.read_settings()
        windows = [{"days": [], **row} for row in rows["windows"]]
        return {
            "name": chosen["name"],
            "enabled": chosen["enabled"],
            "on": chosen["on"],
            "all": reach == Reach.ALL,
            "tags": chosen["tags"] if reach == Reach.TAGS else [],
            "names": chosen["names"] if reach == Reach.NAMES else [],
            "monitors": chosen["monitors"] if reach == Reach.MONITORS else [],
            "steps": [_step_value(row) for row in rows["steps"]],
            "expiry_days": chosen["expiry_days"] or default_expiry_days(),
            "stop_on_acknowledge": chosen["stop_on_acknowledge"],
            "active_hours": (
                {"timezone": chosen["timezone"], "windows": windows} if windows else None
            ),
            "outside_hours": chosen["outside_hours"] or OutsideHours.WAIT,
        }

    def show_errors(self, fields: Mapping[str, Sequence[str]]) -> None:
        """Put each error of an action at its field."""
        entered = {
            _as_entered(path): [_readable(path, sentence) for sentence in sentences]
            for path, sentences in fields.items()
        }
        super().show_errors(entered)

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        made = self.fields[name]
        assert isinstance(made, forms.MultipleChoiceField)
        made.choices = choices

    def _offer_in_rows(self, rows: str, name: str, choices: list[tuple[str, str]]) -> None:
        """Boxes to tick in place of the text that the rows' model makes of a list."""
        for path in self._paths(rows, name):
            label, value = self.fields[path].label, self.initial[path]
            boxes = forms.MultipleChoiceField(
                label=label, choices=choices, required=False, widget=forms.CheckboxSelectMultiple
            )
            self.add(path, boxes, value)

    def _each_in_rows(self, rows: str, name: str, change: Callable[[forms.Field], None]) -> None:
        for path in self._paths(rows, name):
            change(self.fields[path])

    def _paths(self, rows: str, name: str) -> list[str]:
        numbers = [*self.rows[f"policy.{rows}"], NEW_ROW]
        return [f"policy.{rows}.{number}.{name}" for number in numbers]

    def _monitors(self, team: Team, search: str) -> list[tuple[str, str]]:
        """The chosen ones, then the first that match what is sought."""
        chosen = self["monitors"].value() or []
        ours = Monitor.objects.visible_to(team)
        kept = ours.filter(pk__in=[one for one in chosen if _is_uuid(one)])
        offered = ours.filter(name__icontains=search).exclude(pk__in=kept.values("pk"))
        rows = [
            *kept.order_by("name", "id").values_list("id", "name"),
            *offered.order_by("name", "id").values_list("id", "name")[:MONITORS_OFFERED],
        ]
        return [(str(key), name) for key, name in rows]


_NEW_POLICY: dict[str, Any] = {
    "enabled": True,
    "on": [Event.DOWN, Event.RECOVERED],
    "all": True,
    "monitors": [],
    "steps": [{"delay_seconds": 0, "channels": []}],
    "expiry_days": default_expiry_days(),
    "stop_on_acknowledge": True,
    "active_hours": None,
    "outside_hours": OutsideHours.WAIT,
}
_STEP_FIELDS = {"delay_seconds": "after_min", "repeat_seconds": "repeat_min"}


def _entered(values: Mapping[str, Any]) -> dict[str, Any]:
    """A policy's values as the form's own fields show them."""
    chosen = (reach for reach in ("tags", "names", "monitors") if values.get(reach))
    return {
        **values,
        "reach": next(chosen, "all"),
        "monitors": [str(key) for key in values["monitors"]],
        "timezone": (values["active_hours"] or {}).get("timezone", "UTC"),
    }


def _new_policy(channels: Sequence[UUID]) -> dict[str, Any]:
    """What the form of a new one begins with: it tells the team's channel, if there is but one."""
    only = [str(key) for key in channels] if len(channels) == 1 else []
    [step] = _NEW_POLICY["steps"]
    return {**_NEW_POLICY, "steps": [{**step, "channels": only}]}


def _entered_rows(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "steps": [_entered_step(step) for step in values["steps"]],
        "windows": (values["active_hours"] or {}).get("windows", []),
    }


def _entered_step(step: Mapping[str, Any]) -> dict[str, Any]:
    repeat_s = step.get("repeat_seconds")
    return {
        **step,
        "after_min": step["delay_seconds"] / 60,
        "repeat_min": repeat_s / 60 if repeat_s else None,
        "channels": [str(key) for key in step["channels"]],
        "schedules": [str(key) for key in step.get("schedules", [])],
    }


def _step_value(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the action takes it; what was left blank is its default."""
    value = {name: given for name, given in row.items() if name not in _STEP_FIELDS.values()}
    for name, entered in _STEP_FIELDS.items():
        if entered in row:
            value[name] = round(row[entered] * 60)
    return {"channels": [], **value}


def _as_entered(path: str) -> str:
    """The form's name for a field of the action."""
    top, _, rest = path.partition(".")
    if top == "steps":
        parts = [_STEP_FIELDS.get(part, part) for part in rest.split(".")]
        return ".".join(["policy.steps", *filter(None, parts)])
    if path.startswith("active_hours.windows"):
        return f"policy.{path.removeprefix('active_hours.')}"
    return "timezone" if top == "active_hours" else path


def _as_clock(made: forms.Field) -> None:
    made.widget = forms.TimeInput({"type": "time"})


def _readable(path: str, sentence: str) -> str:
    if "at least 1 item" not in sentence:
        return sentence
    return {
        "steps": "Say at least one step: whom to tell.",
        "days": "Choose at least one day.",
    }.get(path.rpartition(".")[2], "Choose at least one.")


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
