"""The forms of channels and policies: from a page's fields to the values that the actions take."""

from typing import Any
from uuid import UUID

from django import forms

from accounts.models import Team
from alerts.actions import policy_values
from alerts.channels.base import ChannelType
from alerts.models import Channel, Event, Policy, Reach
from monitors.models import Monitor
from uptime.settings_forms import ListField, Section, SettingsForm

MONITORS_OFFERED = 20


class ChannelForm(SettingsForm):
    """Create or edit a channel of one type; its fields come from the type's own config."""

    settings_path = "config"

    name = forms.CharField(label="Name", required=False)
    enabled = forms.BooleanField(
        label="Enabled", required=False, help_text="Off: nothing is sent, tests excepted."
    )

    fallback = forms.ChoiceField(
        label="When a message through it is given up, tell",
        required=False,
        help_text="Another channel, told in this one's place.",
    )

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
            },
        )
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
        return {**given, "config": self.read_settings()}

    def sections(self) -> list[Section]:
        worded = [name for name in self.model.model_fields if name.endswith("_template")]
        plain = [name for name in self.model.model_fields if name not in worded]
        titles = {"": plain, "Wording": worded} if worded else {"": plain}
        first, *more = self.group.sections(self, titles)
        parts = [*self.show(["name"]), *first.parts, *self.show(["fallback", "enabled"])]
        return [Section("", parts), *more]


class PolicyForm(forms.Form):
    """Create or edit a policy. Of many monitors only the chosen and the sought are listed."""

    name = forms.CharField(label="Name", required=False)
    on = forms.MultipleChoiceField(
        label="When a monitor is",
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
    monitors = forms.MultipleChoiceField(
        label="Monitors", required=False, widget=forms.CheckboxSelectMultiple
    )
    channels = forms.MultipleChoiceField(
        label="Tell", required=False, widget=forms.CheckboxSelectMultiple
    )
    enabled = forms.BooleanField(label="Enabled", required=False)

    def __init__(
        self, data: Any = None, *, team: Team, policy: Policy | None = None, search: str = ""
    ) -> None:
        super().__init__(data, initial=_initial(policy))
        channels = Channel.objects.filter(team=team).values_list("id", "name")
        self._offer("channels", [(str(key), name) for key, name in channels])
        self._offer("monitors", self._monitors(team, search))

    def values(self) -> dict[str, Any]:
        """What was entered, under the API's names."""
        chosen = self.cleaned_data
        reach = chosen["reach"]
        return {
            "name": chosen["name"],
            "enabled": chosen["enabled"],
            "on": chosen["on"],
            "all": reach == Reach.ALL,
            "tags": chosen["tags"] if reach == Reach.TAGS else [],
            "monitors": chosen["monitors"] if reach == Reach.MONITORS else [],
            "steps": [{"delay_seconds": 0, "channels": chosen["channels"]}],
        }

    def show_errors(self, fields: dict[str, list[str]]) -> None:
        """Put each error of an action at its field."""
        for path, sentences in fields.items():
            name = "channels" if path.startswith("steps") else path.partition(".")[0]
            for sentence in sentences:
                self.add_error(name if name in self.fields else None, _readable(name, sentence))

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        made = self.fields[name]
        assert isinstance(made, forms.MultipleChoiceField)
        made.choices = choices

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


def _initial(policy: Policy | None) -> dict[str, Any]:
    if policy is None:
        return {
            "on": [Event.DOWN, Event.RECOVERED],
            "reach": Reach.ALL,
            "monitors": [],
            "enabled": True,
        }
    values = policy_values(policy)
    return {
        **values,
        "reach": policy.reach,
        "monitors": [str(key) for key in values["monitors"]],
        "channels": [str(key) for step in values["steps"] for key in step["channels"]],
    }


def _readable(name: str, sentence: str) -> str:
    if "at least 1 item" in sentence:
        return {"on": "Choose at least one.", "channels": "Choose at least one channel."}[name]
    return sentence


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
