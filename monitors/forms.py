"""The forms of monitors: from a page's fields to the values that the actions take, and back.

Rules live in `monitors.drafts`; the forms only parse. A blank field is a value not given.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from monitors.drafts import values_of
from monitors.listing import ORDERS, Wish
from monitors.models import Location, Monitor, Status
from monitors.pasting import MOST_LINES, Line, Pasted, name_of, read_lines
from probe.kinds import KINDS
from probe.kinds.base import Kind
from uptime.settings_forms import ListField, NumberField, Section, SettingsForm

_COPY = " (copy)"
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d{1,9})\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)?", re.I)


# What says how a check is made and judged.
_OF_CHECKS = (
    "timeout",
    "failure_threshold",
    "failure_window",
    "recovery_threshold",
    "retry_interval",
)


class DurationField(forms.CharField):
    """Whole seconds, written as people do: `45 s`, `5 min`, `1 h`; a bare number is seconds."""

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, int):
            return value
        unit = max((u for u in _UNITS if value % _UNITS[u] == 0), key=_UNITS.__getitem__)
        return f"{value // _UNITS[unit]} {unit}"

    def clean(self, value: Any) -> int | None:
        text = super().clean(value)
        if not text:
            return None
        match = _DURATION.fullmatch(text)
        if not match:
            raise ValidationError("Write a number and a unit: 30 s, 5 min, 1 h or 1 d.")
        number, unit = int(match[1]), (match[2] or "s").lower()
        return number * (60 if unit.startswith("m") else _UNITS[unit[0]])


class PercentField(forms.FloatField):
    """A share, written per cent with a decimal, kept per mille."""

    def prepare_value(self, value: Any) -> Any:
        return value / 10 if isinstance(value, int) else value

    def clean(self, value: Any) -> int | None:
        percent = super().clean(value)
        if percent is not None and not 0 <= percent <= 100:
            raise ValidationError("Give a share of 100 %.")
        return None if percent is None else round(percent * 10)


class MonitorsField(forms.CharField):
    """Other monitors of the team, one a line; shown by name where that says which."""

    widget = forms.Textarea({"rows": 2, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(self._shown(value)) if isinstance(value, list) else value

    def _shown(self, ids: list[str]) -> list[str]:
        monitors = list(Monitor.objects.filter(pk__in=ids).order_by("name", "pk"))
        names = [one.name for one in monitors]
        same = Monitor.objects.filter(team__in={one.team_id for one in monitors}, name__in=names)
        times = Counter(same.values_list("name", flat=True))
        return [one.name if times[one.name] == 1 else str(one.pk) for one in monitors]

    def clean(self, value: Any) -> list[str]:
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()]


class MonitorForm(SettingsForm):
    """Create or edit a monitor of one kind, or create one as a copy of another."""

    settings_path = "settings"

    name = forms.CharField(label="Name", required=False)
    target = forms.CharField(required=False)
    interval = DurationField(label="Check every", required=False)
    tags = ListField(label="Tags", required=False, help_text="Separated by commas.")
    timeout = NumberField(
        label="Timeout (s)", required=False, help_text="For the whole check, DNS to last byte."
    )
    failure_threshold = forms.IntegerField(
        label="Down after", required=False, help_text="Failing checks in a row."
    )
    failure_window = forms.IntegerField(
        label="Among the last",
        required=False,
        help_text="Checks, 2 to 60, for trouble that comes and goes. Empty: in a row.",
    )
    recovery_threshold = forms.IntegerField(
        label="Up again after", required=False, help_text="Passing checks in a row."
    )
    retry_interval = DurationField(
        label="Confirm a failure after",
        required=False,
        help_text="Between a first failure and the checks that confirm it.",
    )
    locations = forms.MultipleChoiceField(label="Locations", required=False)
    quorum = forms.IntegerField(
        label="Locations that must agree", required=False, help_text="Before it counts as down."
    )
    flap_threshold = forms.IntegerField(
        label="Flapping after more than",
        required=False,
        help_text="Changes between up and down. Then it is one incident, told once. 0: never.",
    )
    flap_window = DurationField(
        label="Changes within",
        required=False,
        help_text="It is over when nothing has changed for as long.",
    )
    depends_on = MonitorsField(
        label="Depends on",
        required=False,
        help_text="Monitors without which it can't work, by name, key or id, one a line. While one"
        " of them is down, nobody is told of this one.",
    )
    members = MonitorsField(
        label="Members",
        required=False,
        help_text="Monitors and other groups, by name, key or id, one a line.",
    )
    sla_target = PercentField(
        label="Promised uptime (%)", required=False, help_text="Such as 99.9. Optional."
    )
    key = forms.CharField(
        label="Key",
        required=False,
        help_text="Your own stable name for it, for scripts. Optional.",
    )

    def __init__(
        self,
        data: Any = None,
        *,
        kind: Kind,
        monitor: Monitor | None = None,
        is_copy: bool = False,
    ) -> None:
        stored = values_of(monitor) if monitor else {}
        if is_copy:
            stored |= {"name": _name_of_copy(stored["name"]), "key": None}
        self.kind = kind
        super().__init__(
            data,
            model=kind.settings,
            settings=stored.get("settings", {}),
            initial=stored or _defaults(kind),
        )
        self._suit_kind()

    def values(self) -> dict[str, Any]:
        """What was entered, under the API's names."""
        given = {
            name: value
            for name in MonitorForm.base_fields
            if name in self.fields and (value := self.cleaned_data.get(name)) not in (None, "")
        }
        # these may be emptied: the others have a default that a blank field asks for
        for name in ("key", "sla_target", "failure_window"):
            if name in self.fields:
                given.setdefault(name, None)
        if target := given.get("target"):
            given.setdefault("name", name_of(target))
        for name in ("depends_on", "members"):
            if name in self.fields:
                given.setdefault(name, [])
        self._follow_interval(given)
        return {**given, "settings": self.read_settings()}

    def _follow_interval(self, given: dict[str, Any]) -> None:
        """A pause before confirming that was left as it stood gets no longer than the interval."""
        pause, interval = given.get("retry_interval"), given.get("interval")
        if interval and pause and pause == self.initial.get("retry_interval"):
            given["retry_interval"] = min(pause, max(interval, 1))

    def sections(self) -> list[Section]:
        """The fields in the order of their weight; only the first section is open."""
        open_settings, *folded = self.group.sections(self, self.kind.sections)
        if self._is_set_by_people:
            folded = []  # how long a check takes is not a matter here
        first = ["name", "members" if self.kind.is_derived else "target", "interval", "tags"]
        judging = ["failure_threshold", "failure_window", "recovery_threshold"]
        judging += ["retry_interval", "timeout"]
        return [
            Section("", [*self.show(first[:3]), *open_settings.parts, *self.show(first[3:])]),
            *folded,
            Section("When it counts as down", self.show([*judging, "locations", "quorum"])),
            Section("When it comes and goes", self.show(["flap_threshold", "flap_window"])),
            Section("What it depends on", self.show(["depends_on"])),
            Section("Bookkeeping", self.show(["sla_target", "key"])),
        ]

    def _suit_kind(self) -> None:
        name, interval = self.fields["name"], self.fields["interval"]
        name.widget.attrs |= {"autofocus": True}
        if self.kind.has_target:
            target = self.fields["target"]
            name.help_text = "Empty: what it watches."
            target.label = self.kind.target_label
            target.widget.attrs |= {
                "placeholder": self.kind.target_example,
                "aria-required": "true",
                "autocapitalize": "none",
                "spellcheck": "false",
            }
        else:
            name.widget.attrs |= {"aria-required": "true"}
            self._drop("target")
        if self.kind.is_derived:
            self._drop("interval", *_OF_CHECKS, "locations", "quorum")
            return
        self._drop("members")
        if self._is_set_by_people:
            self._drop("interval", *_OF_CHECKS)
        elif self.kind.is_passive:
            interval.label = "A ping is expected every"
            interval.help_text = "Such as 5 min, 1 h or 1 d. A schedule takes its place."
            self._drop("timeout", "retry_interval")
        else:
            interval.help_text = "Such as 30 s, 5 min or 1 h."
        self._offer_locations()

    @property
    def _is_set_by_people(self) -> bool:
        kind = self.kind
        return not (kind.has_target or kind.is_passive or kind.is_derived)

    def _drop(self, *names: str) -> None:
        for name in names:
            del self.fields[name]

    def _offer_locations(self) -> None:
        """Locations are a matter of choice only where there are several."""
        slugs = list(Location.objects.values_list("slug", "name"))
        if len(slugs) < 2:
            del self.fields["locations"], self.fields["quorum"]
            return
        chooser = self.fields["locations"]
        assert isinstance(chooser, forms.MultipleChoiceField)
        chooser.choices = slugs
        chooser.widget = forms.CheckboxSelectMultiple(choices=slugs)


class PasteForm(forms.Form):
    """Many monitors of one kind, one a line, and what they have in common."""

    kind = forms.ChoiceField(
        label="Kind",
        initial="http",
        choices=[(kind.name, kind.label) for kind in KINDS.values() if kind.has_target],
    )
    lines = forms.CharField(
        label="Targets",
        max_length=1_000_000,
        widget=forms.Textarea({"rows": 12, "spellcheck": "false", "autocapitalize": "none"}),
        help_text="One a line, at most 1,000. A name may stand after it, behind a space:"
        " “https://example.org/ Shop”; or before it, with a tab or “ | ” between. Lines that begin"
        " with # are left out.",
    )
    interval = DurationField(
        label="Check every",
        required=False,
        help_text="Such as 30 s, 5 min or 1 h. Empty: as is usual for the kind.",
    )
    tags = ListField(label="Tags", required=False, help_text="Separated by commas.")
    skips_twins = forms.BooleanField(
        label="Leave out what is watched already or stands here twice", required=False
    )

    def clean_lines(self) -> list[Pasted]:
        pasted = read_lines(self.cleaned_data["lines"])
        if not pasted:
            raise ValidationError("Name at least one target.")
        if len(pasted) > MOST_LINES:
            raise ValidationError(f"At most {MOST_LINES:,} at once; these are {len(pasted):,}.")
        return pasted

    def common(self) -> dict[str, Any]:
        """What each of them has, under the API's names."""
        return {name: self.cleaned_data[name] for name in ("kind", "interval", "tags")}

    def take_common_errors(self, lines: Sequence[Line]) -> None:
        """What is wrong with a field of this form is told once, beside it."""
        for line in lines:
            for name in [one for one in line.errors if one.split(".")[0] in ("interval", "tags")]:
                field = name.split(".")[0]
                if field not in self.errors:
                    self.add_error(field, list(line.errors[name]))
            line.errors = {
                name: sentences
                for name, sentences in line.errors.items()
                if name.split(".")[0] not in ("interval", "tags")
            }


class FilterForm(forms.Form):
    """What of the team's monitors the list shows, and how; nonsense in the address changes nothing.

    Tags and locations are texts here: what there is to choose from is asked for where it is shown.
    """

    q = forms.CharField(required=False, max_length=200)
    status = forms.ChoiceField(required=False, choices=Status.choices)
    kind = forms.ChoiceField(
        required=False, choices=[(kind.name, kind.label) for kind in KINDS.values()]
    )
    tag = forms.CharField(required=False, max_length=100)
    location = forms.SlugField(required=False)
    sort = forms.ChoiceField(required=False, choices=list(ORDERS.items()))
    bars = forms.ChoiceField(required=False, choices=[("24h", "24 hours"), ("90d", "90 days")])
    density = forms.ChoiceField(required=False, choices=[("compact", "Compact")])

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__(data)
        self.is_valid()

    def chosen(self, name: str) -> str:
        return str(self.cleaned_data.get(name, ""))

    def wish(self) -> Wish:
        return Wish(**{one.name: self.chosen(one.name) for one in fields(Wish)})

    def query(self) -> str:
        """The address's query that shows the same again, from the first page on."""
        chosen = {name: value for name in self.fields if (value := self.chosen(name))}
        return urlencode(chosen)


class ViewForm(forms.Form):
    """A name for a way to look at the list."""

    name = forms.CharField(max_length=60)
    query = forms.CharField(max_length=1000, required=False)

    def clean_query(self) -> str:
        """What the list understands, and nothing else."""
        return FilterForm(QueryDict(self.cleaned_data["query"])).query()


class BulkForm(forms.Form):
    """What is to be done with which monitors: those ticked, or all that the filters let through."""

    CHOICES: ClassVar = [
        ("pause", "Pause"),
        ("resume", "Resume"),
        ("snooze", "Snooze"),
        ("unsnooze", "End the snooze"),
        ("tag", "Add a tag"),
        ("untag", "Remove a tag"),
        ("interval", "Change the interval"),
        ("delete", "Delete"),
    ]

    action = forms.ChoiceField(choices=CHOICES)
    monitor = forms.TypedMultipleChoiceField(required=False, coerce=UUID)
    everything = forms.BooleanField(required=False)
    query = forms.CharField(max_length=1000, required=False)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        ids = self.fields["monitor"]
        assert isinstance(ids, forms.TypedMultipleChoiceField)
        # whose they are is asked by the query that finds them
        ids.choices = [(one, one) for one in data.getlist("monitor") if _is_uuid(one)]

    @property
    def label(self) -> str:
        return dict(self.CHOICES)[self.cleaned_data["action"]]

    @property
    def shown_filters(self) -> FilterForm:
        return FilterForm(QueryDict(self.cleaned_data["query"]))


class TagForm(forms.Form):
    tag = forms.CharField(label="Tag", max_length=100)


class IntervalForm(forms.Form):
    interval = DurationField(label="Check every", help_text="Such as 30 s, 5 min or 1 h.")

    def clean_interval(self) -> int:
        seconds: int = self.cleaned_data["interval"]
        if not 1 <= seconds <= 86_400:
            raise ValidationError("Between 1 s and 1 d.")
        return seconds


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _name_of_copy(name: str) -> str:
    return f"{name[: 200 - len(_COPY)]}{_COPY}"


def _defaults(kind: Kind) -> dict[str, Any]:
    return {
        "interval": 86400 if kind.is_passive else int(kind.default_interval.total_seconds()),
        "timeout": kind.default_timeout.total_seconds(),
        "failure_threshold": kind.default_failure_threshold,
        "recovery_threshold": 1,
        "retry_interval": int(kind.default_retry_interval.total_seconds()),
        "locations": [Location.LOCAL],
        "quorum": 1,
        "flap_threshold": 4,
        "flap_window": 900,
        "tags": [],
    }
