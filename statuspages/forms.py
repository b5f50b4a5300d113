"""The forms of status pages: from a page's fields to the values that the actions take."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.text import slugify

from monitors.forms import MonitorsField
from monitors.links import find_monitors
from monitors.models import Monitor
from statuspages.dress import LOGO_LIMIT, check_logo
from statuspages.models import (
    PHASES,
    SETTABLE,
    Component,
    ComponentStatus,
    Language,
    Post,
    PostKind,
    PostTemplate,
    StatusPage,
    Theme,
    Visibility,
)
from uptime.time_forms import ReaderTimes, WallTimeField

_TIMES = ("starts_at", "ends_at")
MONITORS_OFFERED = 200


class ActionForm(forms.Form):
    """A form that parses only: what is right is decided by the action that it is for."""

    def show_errors(self, fields: Mapping[str, list[str]]) -> None:
        """Put each error of the action at its field."""
        for path, sentences in fields.items():
            name = path.partition(".")[0]
            for sentence in sentences:
                self.add_error(name if name in self.fields else None, sentence)

    def values(self) -> dict[str, Any]:
        """What was entered, under the API's names."""
        return dict(self.cleaned_data)


def _slug_of(name: str) -> str:
    """What a page of this name is called in its address; empty where no letter is left of it."""
    return slugify(name.replace("_", " "))[:60].strip("-")


class PageForm(ActionForm):
    name = forms.CharField(label="Name", required=False, help_text="Readers see it.")
    slug = forms.CharField(
        label="Address",
        required=False,
        help_text="What follows /status/ in the page's address. Empty: made of the name.",
    )
    description = forms.CharField(
        label="Description", required=False, widget=forms.Textarea({"rows": 2})
    )
    website = forms.CharField(
        label="Your website", required=False, help_text="A link beside the name; with https://."
    )
    visibility = forms.ChoiceField(
        label="Who may read it", choices=Visibility.choices, widget=forms.RadioSelect
    )
    password = forms.CharField(
        label="Password",
        required=False,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
        help_text="For “with a password”; left blank, the present one stays.",
    )
    show_uptime = forms.BooleanField(
        label="Show 90 days of bars and the uptime of the components", required=False
    )
    language = forms.ChoiceField(label="Language", choices=Language.choices)
    theme = forms.ChoiceField(label="Light or dark", choices=Theme.choices)
    accent = forms.CharField(
        label="Colour",
        required=False,
        help_text="Of links and buttons, as in CSS: #0f5c8c. Blank: the product's own.",
    )
    logo = forms.FileField(
        label="Logo",
        required=False,
        widget=forms.FileInput({"accept": "image/png,image/jpeg,image/webp,image/gif,.svg"}),
        help_text=f"PNG, JPEG, WebP, GIF or SVG, at most {LOGO_LIMIT // 1000} kB.",
    )
    remove_logo = forms.BooleanField(label="Remove the present logo", required=False)
    domain = forms.CharField(
        label="Domain of its own",
        required=False,
        help_text="Such as status.example.com; saved, this page says what to set in DNS.",
    )
    custom_css = forms.CharField(
        label="Stylesheet",
        required=False,
        strip=False,
        widget=forms.Textarea({"rows": 6, "spellcheck": "false"}),
        help_text="Comes after the page's own; can load nothing from other servers.",
    )

    dressing = ("language", "theme", "accent", "logo", "remove_logo", "custom_css")
    """These fields are folded away."""

    def __init__(self, data: Any = None, files: Any = None, *, page: StatusPage | None = None):
        super().__init__(data, files, initial=_page_initial(page))
        if page is None or not page.logo:
            del self.fields["remove_logo"]

    def values(self) -> dict[str, Any]:
        given = dict(self.cleaned_data)
        for name in ("logo", "remove_logo"):
            given.pop(name, None)
        given["slug"] = given["slug"].strip() or _slug_of(given["name"])
        given["password"] = given["password"] or None
        given["domain"] = given["domain"].strip() or None
        return given

    @property
    def wants_logo_change(self) -> bool:
        return bool(self.cleaned_data.get("logo") or self.cleaned_data.get("remove_logo"))

    def clean_logo(self) -> Any:
        """Judged before the page is saved, so that a wrong image keeps all from being saved."""
        given = self.cleaned_data["logo"]
        if given:
            try:
                check_logo(given.read(LOGO_LIMIT + 1))
            except ValueError as error:
                raise ValidationError(str(error)) from None
            given.seek(0)
        return given

    def logo_bytes(self) -> bytes | None:
        """The image to show from now on; None for none."""
        given = self.cleaned_data.get("logo")
        return given.read() if given else None

    def main_fields(self) -> Iterator[forms.BoundField]:
        return (self[name] for name in self.fields if name not in self.dressing)

    def dressing_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.dressing if name in self.fields]

    @property
    def has_dressing_errors(self) -> bool:
        return any(field.errors for field in self.dressing_fields())


def _page_initial(page: StatusPage | None) -> dict[str, Any]:
    if page is None:
        return {
            "visibility": Visibility.PUBLIC,
            "language": Language.EN,
            "theme": Theme.AUTO,
            "show_uptime": True,
        }
    names = [name for name in PageForm.base_fields if hasattr(page, name)]
    return {name: getattr(page, name) for name in names if name not in ("password", "logo")}


class ComponentForm(ActionForm):
    monitor = forms.ChoiceField(
        label="Monitor",
        required=False,
        help_text="Readers see neither its name nor its target nor its messages.",
    )
    name = forms.CharField(label="Public name", required=False)
    description = forms.CharField(label="Description", required=False)
    section = forms.CharField(
        label="Section", required=False, help_text="The heading that it stands under; or none."
    )
    status = forms.ChoiceField(
        label="Status",
        choices=[(one.value, one.label) for one in SETTABLE],
        help_text="Of one without a monitor. A post sets it, too, while it lasts.",
    )
    show_uptime = forms.BooleanField(label="Show its bars and uptime", required=False)
    show_latency = forms.BooleanField(label="Show its response time", required=False)

    def __init__(
        self, data: Any = None, *, page: StatusPage, component: Component | None = None
    ) -> None:
        super().__init__(data, initial=_component_initial(component))
        self.page = page
        rows = Monitor.objects.visible_to(page.team).order_by("name", "id")
        offered = list(rows.values_list("id", "name")[: MONITORS_OFFERED + 1])
        if len(offered) > MONITORS_OFFERED:
            self._ask_for_name(component)
            return
        made = self.fields["monitor"]
        assert isinstance(made, forms.ChoiceField)
        made.choices = [
            ("", "none: people set its status"),
            *((str(key), name) for key, name in offered),
        ]

    def _ask_for_name(self, component: Component | None) -> None:
        """Among so many nobody finds it in a list, which would be all of the page."""
        told = "By its name, key or id; empty: none, people set its status."
        self.fields["monitor"] = MonitorsField(
            label="Monitor",
            required=False,
            help_text=f"{told} {self.fields['monitor'].help_text}",
            widget=forms.TextInput({"spellcheck": "false"}),
        )
        chosen = component and component.monitor_id
        self.initial["monitor"] = [str(chosen)] if chosen else []

    @property
    def sections(self) -> list[str]:
        """The headings that there are, to be offered."""
        rows = self.page.components.exclude(section="").order_by("position")
        return list(dict.fromkeys(rows.values_list("section", flat=True)))

    def values(self) -> dict[str, Any]:
        """Raises Invalid for a monitor that there is not."""
        given = dict(self.cleaned_data)
        monitor = given["monitor"] or None
        if isinstance(monitor, list):
            [found] = find_monitors(self.page.team, monitor[:1], field="monitor")
            monitor = found.pk
        return {**given, "monitor": monitor}


def _component_initial(component: Component | None) -> dict[str, Any]:
    if component is None:
        return {"show_uptime": True, "status": ComponentStatus.OPERATIONAL}
    names = ("name", "description", "section", "status", "show_uptime", "show_latency")
    return {
        **{name: getattr(component, name) for name in names},
        "monitor": str(component.monitor_id or ""),
    }


class _AffectedMixin(ActionForm):
    """One choice for each component: what the post makes of it."""

    def offer_components(self, page: StatusPage, impacts: Mapping[Any, str]) -> None:
        self._components = list(page.components.order_by("position", "id"))
        for one in self._components:
            self.fields[f"impact-{one.pk}"] = forms.ChoiceField(
                label=one.name,
                required=False,
                choices=[("", "not affected"), *((s.value, s.label) for s in SETTABLE)],
                initial=impacts.get(one.pk, ""),
            )

    def impact_fields(self) -> list[forms.BoundField]:
        return [self[f"impact-{one.pk}"] for one in self._components]

    def affected(self) -> list[dict[str, Any]]:
        found = {one.pk: self.cleaned_data.get(f"impact-{one.pk}") for one in self._components}
        return [{"component": pk, "impact": impact} for pk, impact in found.items() if impact]


class PostForm(_AffectedMixin):
    """A new post of one kind, perhaps begun from a template."""

    title = forms.CharField(label="Title", required=False)
    phase = forms.ChoiceField(label="Phase")
    starts_at = WallTimeField(label="Starts")
    ends_at = WallTimeField(label="Ends")
    body = forms.CharField(
        label="What readers should know",
        required=False,
        widget=forms.Textarea({"rows": 6}),
        help_text="Markdown: *emphasis*, **strong**, `code`, lists, links.",
    )
    notify = forms.BooleanField(label="Tell the subscribers", required=False, initial=True)

    def __init__(
        self,
        data: Any = None,
        *,
        page: StatusPage,
        kind: PostKind,
        zone: ZoneInfo,
        template: PostTemplate | None = None,
    ) -> None:
        self.times = ReaderTimes(data, zone)
        words = template and {
            "title": template.title,
            "phase": template.phase,
            "body": template.body,
        }
        super().__init__(data, initial=words or {})
        self._kind = kind
        _offer_phases(self, kind)
        if kind == PostKind.INCIDENT:
            del self.fields["starts_at"], self.fields["ends_at"]
        self.offer_components(page, {})

    def values(self) -> dict[str, Any]:
        names = [name for name in self.base_fields if name in self.fields]
        given = {name: self.cleaned_data.get(name) for name in names}
        meant = _meant(self.times, given)
        return {**given, **meant, "kind": self._kind, "affected": self.affected()}


class PostChangeForm(_AffectedMixin):
    title = forms.CharField(label="Title", required=False)
    starts_at = WallTimeField(label="Began", required=True)
    ends_at = WallTimeField(label="Ended or ends")

    def __init__(self, data: Any = None, *, post: Post, zone: ZoneInfo) -> None:
        self.times = ReaderTimes(data, zone)
        self._stored = {name: getattr(post, name) for name in _TIMES}
        shown = {name: self.times.shown(at) for name, at in self._stored.items()}
        super().__init__(data, initial={"title": post.title, **shown})
        impacts = dict(post.affected.values_list("component_id", "impact"))
        self.offer_components(post.page, impacts)

    def values(self) -> dict[str, Any]:
        given = {name: self.cleaned_data.get(name) for name in self.base_fields}
        meant = _meant(self.times, given)
        for name, stored in self._stored.items():
            # it was shown to the minute: what was left as it stood keeps its seconds
            if stored and meant[name] == stored.replace(second=0, microsecond=0):
                meant[name] = stored
        return {**given, **meant, "affected": self.affected()}


class UpdateForm(ActionForm):
    phase = forms.ChoiceField(label="Phase")
    body = forms.CharField(label="What is new", required=False, widget=forms.Textarea({"rows": 4}))
    notify = forms.BooleanField(label="Tell the subscribers", required=False, initial=True)

    def __init__(self, data: Any = None, *, post: Post) -> None:
        super().__init__(data, initial={"phase": post.phase_at(timezone.now())})
        _offer_phases(self, PostKind(post.kind))


class TemplateForm(ActionForm):
    name = forms.CharField(label="Name", required=False, help_text="By which you find it.")
    title = forms.CharField(label="Title of the post", required=False)
    phase = forms.ChoiceField(label="Phase")
    body = forms.CharField(label="Text", required=False, widget=forms.Textarea({"rows": 6}))

    def __init__(
        self, data: Any = None, *, kind: PostKind, template: PostTemplate | None = None
    ) -> None:
        names = ("name", "title", "phase", "body")
        super().__init__(
            data, initial={name: getattr(template, name) for name in names} if template else {}
        )
        self._kind = kind
        _offer_phases(self, kind)

    def values(self) -> dict[str, Any]:
        return {**self.cleaned_data, "kind": self._kind}


def _meant(times: ReaderTimes, given: Mapping[str, Any]) -> dict[str, datetime | None]:
    return {name: times.meant(given[name]) for name in _TIMES if name in given}


def _offer_phases(form: forms.Form, kind: PostKind) -> None:
    made = form.fields["phase"]
    assert isinstance(made, forms.ChoiceField)
    made.choices = [(phase.value, phase.label) for phase in PHASES[kind]]
