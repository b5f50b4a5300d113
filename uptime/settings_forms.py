"""Forms made from settings models: the kinds of check and the channels describe themselves.

A settings model (pydantic) names its settings, says how they are written and what they mean; this
module turns each into fields of a Django form and a submitted form back into the JSON that the API
takes. It parses only: what is right is decided by the model, in the action that both edges call.

A field's name in the form is its path in the JSON (`settings.auth.basic.username`), which is also
how an error about it is named, so that errors find their field.

    setting                        in the form
    bool, number, Literal, enum    checkbox, number, select
    str                            a line, or a box where it may be long
    SecretStr                      never filled in; blank keeps what is stored, a box removes it
    list of str                    one line, separated by commas
    dict of str                    one `Name: value` a line
    one of several models          a select of their `type`, and the fields of each
    list of models                 rows
    a model without a `type`       a box of JSON
"""

import enum
import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from django import forms
from django.core.exceptions import ValidationError
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from uptime.secrets import MASK

LONG_TEXT = 10_000
BLANK_ROWS = 2
NEW_ROW = "__row__"
"""Stands for a row's number in the row that the script copies."""
_LINES = {True: forms.PasswordInput, False: forms.TextInput}
OMITTED: Any = object()
"""What a field that was left blank stands for: the setting's default."""


class NumberField(forms.FloatField):
    """A number that may have a fraction, shown without one where it has none."""

    def prepare_value(self, value: Any) -> Any:
        return f"{value:.10g}" if isinstance(value, float) else value


class ListField(forms.CharField):
    """Several short texts on one line, separated by commas."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value

    def clean(self, value: Any) -> list[str]:
        return [part for part in (p.strip() for p in super().clean(value).split(",")) if part]


class MappingField(forms.CharField):
    """Names and values, one `Name: value` a line."""

    widget = forms.Textarea({"rows": 3, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return "\n".join(f"{name}: {text}" for name, text in value.items())

    def clean(self, value: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in super().clean(value).splitlines():
            name, colon, text = line.partition(":")
            if not line.strip():
                continue
            if not colon or not name.strip():
                raise ValidationError(f"Write “Name: value”, not “{line.strip()[:60]}”.")
            found[name.strip()] = text.strip()
        return found


class ScalarField(forms.CharField):
    """A text, number, truth value or null, as in JSON; quotes make a number a text."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return json.dumps(value) if self._parsed(value) is not value else value
        return value if value is None else json.dumps(value)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        return OMITTED if text == "" else self._parsed(text)

    @staticmethod
    def _parsed(text: str) -> Any:
        try:
            parsed = json.loads(text, parse_constant=lambda _: text)
        except (ValueError, RecursionError):
            return text
        return text if isinstance(parsed, list | dict) else parsed


class StructureField(forms.CharField):
    """A structure of any depth, as JSON."""

    widget = forms.Textarea({"rows": 4, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2) if isinstance(value, Mapping) else value

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValidationError(f"This is not JSON: {error}.") from None


@dataclass(frozen=True)
class Shape:
    """An annotation without its wrappings: the type, whether it may be None, its limits."""

    type: Any
    is_optional: bool
    limits: Mapping[str, Any]


def _shape(annotation: Any, metadata: Sequence[Any]) -> Shape:
    limits = {
        name: value
        for item in metadata
        for name in ("max_length", "ge", "gt", "le", "lt")
        if (value := getattr(item, name, None)) is not None
    }
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _shape(inner, [*metadata, *more])
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        is_optional = len(members) < len(get_args(annotation))
        if len(members) == 1:
            inner_shape = _shape(members[0], metadata)
            return Shape(inner_shape.type, is_optional, inner_shape.limits)
        return Shape(tuple(members), is_optional, limits)
    return Shape(annotation, False, limits)


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def _word(value: Any) -> str:
    text = str(value.value if isinstance(value, enum.Enum) else value)
    return text if text.isupper() else text.replace("_", " ")


def _choices(shape: Shape) -> list[tuple[str, str]] | None:
    if get_origin(shape.type) is Literal:
        return [(str(value), _word(value)) for value in get_args(shape.type)]
    if isinstance(shape.type, type) and issubclass(shape.type, enum.Enum):
        return [(str(member.value), _word(member)) for member in shape.type]
    return None


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def leaf_field(info: FieldInfo) -> forms.Field:
    """The form field of one setting that is a single value."""
    shape = _shape(info.annotation, info.metadata)
    texts: dict[str, Any] = {
        "label": info.title,
        "help_text": info.description or "",
        "required": False,
    }
    if choices := _choices(shape):
        nothing = [("", "–")] if info.is_required() else []
        return forms.ChoiceField(choices=[*nothing, *choices], **texts)
    if shape.type is bool:
        return forms.BooleanField(**texts)
    if shape.type in (int, float):
        made = (forms.IntegerField if shape.type is int else NumberField)(**texts)
        made.widget.attrs |= {"inputmode": "decimal", "step": "1" if shape.type is int else "any"}
        return made
    if isinstance(shape.type, tuple) and not any(map(_is_model, shape.type)):
        return ScalarField(**texts)
    if get_origin(shape.type) is dict:
        return MappingField(**texts)
    if _is_model(shape.type):
        return StructureField(**texts)
    if get_origin(shape.type) in (list, tuple):
        return ListField(**texts)
    return _text_field(shape, texts)


def _text_field(shape: Shape, texts: dict[str, Any]) -> forms.Field:
    is_long = shape.limits.get("max_length", 0) >= LONG_TEXT
    attrs: dict[str, Any] = {"rows": 4} if is_long else {}
    if shape.type is SecretStr:
        attrs["autocomplete"] = "new-password"
    widget = forms.Textarea if is_long else _LINES[shape.type is SecretStr]
    return forms.CharField(widget=widget(attrs), strip=not is_long, **texts)


@dataclass(frozen=True)
class ShownField:
    """A field on a page; `forget` is the box that removes a stored secret."""

    template: ClassVar[str] = "forms/part.html"
    field: forms.BoundField
    forget: forms.BoundField | None = None

    @property
    def has_errors(self) -> bool:
        return bool(self.field.errors)


@dataclass(frozen=True)
class ShownChoice:
    """A select of one of several models, and the fields of each."""

    template: ClassVar[str] = "forms/choice.html"
    field: forms.BoundField
    options: Mapping[str, Sequence["Shown"]]

    @property
    def has_errors(self) -> bool:
        parts = [part for parts in self.options.values() for part in parts]
        return bool(self.field.errors) or any(part.has_errors for part in parts)


@dataclass(frozen=True)
class ShownRow:
    """One row of a list; `remove` holds the errors about the row as a whole, too."""

    fields: Sequence["Shown"]
    remove: forms.BoundField

    @property
    def has_errors(self) -> bool:
        return bool(self.remove.errors) or any(part.has_errors for part in self.fields)


@dataclass(frozen=True)
class ShownRows:
    """The rows of a list, and the one that the script copies."""

    template: ClassVar[str] = "forms/rows.html"
    path: str
    title: str
    help: str
    rows: Sequence[ShownRow]
    new: ShownRow
    next: int

    @property
    def has_errors(self) -> bool:
        return any(row.has_errors for row in self.rows)


Shown = ShownField | ShownChoice | ShownRows


@dataclass(frozen=True)
class Section:
    """Some fields under a title; folded unless it has none, or an error inside."""

    title: str
    parts: Sequence[Shown]

    @property
    def has_errors(self) -> bool:
        return any(part.has_errors for part in self.parts)


@dataclass(frozen=True)
class Leaf:
    """One setting that is one field."""

    path: str
    info: FieldInfo

    @property
    def is_secret(self) -> bool:
        return _shape(self.info.annotation, self.info.metadata).type is SecretStr

    @property
    def forget(self) -> str:
        """The name of the box that removes a stored secret."""
        return f"{self.path}.forget"

    def add_to(self, form: "SettingsForm", value: Any) -> None:
        made = leaf_field(self.info)
        if self.info.is_required():
            made.widget.attrs["aria-required"] = "true"
        if self.is_secret:
            self._add_secret(form, made, is_stored=value == MASK)
        else:
            form.add(self.path, made, _plain(value))

    def _add_secret(self, form: "SettingsForm", made: forms.Field, *, is_stored: bool) -> None:
        if is_stored:
            made.widget.attrs["placeholder"] = "Stored; leave blank to keep it"
        form.add(self.path, made, None)
        if is_stored and not self.info.is_required():
            box = forms.BooleanField(required=False, label=f"Remove: {made.label}")
            form.add(self.forget, box, False)

    def show(self, form: "SettingsForm") -> Shown:
        forget = form[self.forget] if self.forget in form.fields else None
        return ShownField(form[self.path], forget)

    def read(self, form: "SettingsForm") -> Any:
        given = form.cleaned_data.get(self.path)
        if not self.is_secret:
            return OMITTED if given in (None, "", [], {}) else given
        if given:
            return given
        is_kept = form.is_secret_stored(self.path) and not form.cleaned_data.get(self.forget)
        return MASK if is_kept else OMITTED


@dataclass(frozen=True)
class OneOf:
    """One of several models, told apart by their `type`, or none."""

    path: str
    info: FieldInfo
    options: Mapping[str, "Group"]
    is_optional: bool

    @property
    def type_path(self) -> str:
        return f"{self.path}.type"

    def add_to(self, form: "SettingsForm", value: Any) -> None:
        chosen = value.get("type", "") if isinstance(value, Mapping) else ""
        none = [("", "none")] if self.is_optional else []
        form.add(
            self.type_path,
            forms.ChoiceField(
                choices=[*none, *((name, _word(name)) for name in self.options)],
                label=self.info.title,
                help_text=self.info.description or "",
                required=False,
            ),
            chosen,
        )
        for name, group in self.options.items():
            group.add_to(form, value if name == chosen else {})

    def show(self, form: "SettingsForm") -> Shown:
        options = {name: group.show(form) for name, group in self.options.items()}
        return ShownChoice(form[self.type_path], options)

    def read(self, form: "SettingsForm") -> Any:
        chosen = form.cleaned_data.get(self.type_path)
        if not chosen:
            return OMITTED
        return {"type": chosen, **self.options[chosen].read(form)}


@dataclass(frozen=True)
class Rows:
    """A list of models, a row for each."""

    path: str
    info: FieldInfo
    model: type[BaseModel]

    def row(self, number: int | str) -> "Group":
        return Group.of(self.model, f"{self.path}.{number}")

    def remove(self, number: int | str) -> str:
        """The name of the box that removes a row where there is no script."""
        return f"{self.path}.{number}.remove"

    def add_to(self, form: "SettingsForm", value: Any) -> None:
        stored = list(value) if isinstance(value, list | tuple) else []
        numbers = self._sent(form) if form.is_bound else list(range(len(stored) + BLANK_ROWS))
        form.rows[self.path] = numbers
        every: list[int | str] = [*numbers, NEW_ROW]
        for number in every:
            known = stored[number] if isinstance(number, int) and number < len(stored) else {}
            self.row(number).add_to(form, known)
            form.add(self.remove(number), forms.BooleanField(required=False, label="Remove"), False)

    def show(self, form: "SettingsForm") -> Shown:
        numbers = form.rows[self.path]
        return ShownRows(
            path=self.path,
            title=self.info.title or "",
            help=self.info.description or "",
            rows=[self._show_row(form, number) for number in numbers],
            new=self._show_row(form, NEW_ROW),
            next=max(numbers, default=-1) + 1,
        )

    def _show_row(self, form: "SettingsForm", number: int | str) -> ShownRow:
        return ShownRow(self.row(number).show(form), form[self.remove(number)])

    def read(self, form: "SettingsForm") -> Any:
        kept = [number for number in form.rows[self.path] if self._is_kept(form, number)]
        form.rows_read[self.path] = kept
        return [self.row(number).read(form) for number in kept]

    def _is_kept(self, form: "SettingsForm", number: int) -> bool:
        """Whether something was entered: a row of untouched fields is no row."""
        if form.cleaned_data.get(self.remove(number)):
            return False
        entered = ((part, part.read(form)) for part in self.row(number).parts)
        return any(
            value is not OMITTED and value != _plain(part.info.default) for part, value in entered
        )

    def _sent(self, form: "SettingsForm") -> list[int]:
        pattern = re.compile(rf"{re.escape(self.path)}\.(\d{{1,4}})\.")
        return sorted({int(m.group(1)) for name in form.data if (m := pattern.match(name))})


Part = Leaf | OneOf | Rows


@dataclass(frozen=True)
class Group:
    """The settings of one model, in its order."""

    parts: Sequence[Part]

    @classmethod
    def of(cls, model: type[BaseModel], path: str) -> "Group":
        named = ((name, info) for name, info in model.model_fields.items() if name != "type")
        return cls([_part(f"{path}.{name}", info) for name, info in named])

    def add_to(self, form: "SettingsForm", values: Mapping[str, Any]) -> None:
        for part in self.parts:
            default = part.info.get_default(call_default_factory=True)
            fallback = None if default is PydanticUndefined else default
            part.add_to(form, values.get(_key(part), fallback))

    def show(self, form: "SettingsForm") -> list[Shown]:
        return [part.show(form) for part in self.parts]

    def sections(self, form: "SettingsForm", titles: Mapping[str, Sequence[str]]) -> list[Section]:
        """The settings under their titles; the open section first, unnamed settings last."""
        known = {_key(part): part for part in self.parts}
        named = [name for names in titles.values() for name in names]
        rest = [name for name in known if name not in named]
        plan = {"": (), **titles, "More": rest}
        return [
            Section(title, [known[name].show(form) for name in names])
            for title, names in plan.items()
            if names or not title
        ]

    def read(self, form: "SettingsForm") -> dict[str, Any]:
        found = {_key(part): part.read(form) for part in self.parts}
        return {key: value for key, value in found.items() if value is not OMITTED}


def _key(part: Part) -> str:
    return part.path.rpartition(".")[2]


def _part(path: str, info: FieldInfo) -> Part:
    shape = _shape(info.annotation, info.metadata)
    members = shape.type if isinstance(shape.type, tuple) else (shape.type,)
    if all(_is_model(member) and "type" in member.model_fields for member in members):
        options = {
            get_args(member.model_fields["type"].annotation)[0]: member for member in members
        }
        groups = {name: Group.of(member, f"{path}.{name}") for name, member in options.items()}
        return OneOf(path, info, groups, shape.is_optional)
    items = get_args(shape.type)
    if get_origin(shape.type) in (list, tuple) and _is_model(items[0]):
        return Rows(path, info, items[0])
    return Leaf(path, info)


class SettingsForm(forms.Form):
    """A form of which a part is made from a settings model.

    `settings_path` is the model's key in the values that the action takes, `settings` what is
    stored, its secrets masked.
    """

    settings_path: ClassVar[str]

    def __init__(
        self,
        data: Any = None,
        *,
        model: type[BaseModel],
        settings: Mapping[str, Any],
        initial: Mapping[str, Any],
    ) -> None:
        super().__init__(data, initial=dict(initial))
        self.rows: dict[str, list[int]] = {}
        self.rows_read: dict[str, list[int]] = {}
        self.settings = settings
        self.group = Group.of(model, self.settings_path)
        self.group.add_to(self, settings)

    def add(self, name: str, made: forms.Field, value: Any) -> None:
        self.fields[name] = made
        self.initial[name] = value

    def show(self, names: Sequence[str]) -> list[Shown]:
        """These fields of the form's own, as far as it has them."""
        return [ShownField(self[name]) for name in names if name in self.fields]

    def is_secret_stored(self, path: str) -> bool:
        """Whether the setting at this path of the form holds a secret already."""
        keys = path.split(".")[1:]
        value: Any = self.settings
        for key in keys:
            if not isinstance(value, Mapping):
                return False
            # the name of a chosen model stands in a field's path, not in what is stored
            if key not in value and value.get("type") == key:
                continue
            value = value.get(key)
        return bool(value == MASK)

    def read_settings(self) -> dict[str, Any]:
        """What was entered, as the action and the API take it."""
        return self.group.read(self)

    def show_errors(self, fields: Mapping[str, Sequence[str]]) -> None:
        """Put each error of an action at its field, or above the form where there is none."""
        for path, sentences in fields.items():
            name = self._field_of(self._as_submitted(path))
            for sentence in sentences:
                self.add_error(name, sentence)

    def _as_submitted(self, path: str) -> str:
        """A path with the place in the list that was sent changed into the row's own number."""
        for rows, numbers in self.rows_read.items():
            place, _, rest = path.removeprefix(f"{rows}.").partition(".")
            if path.startswith(f"{rows}.") and place.isdigit() and int(place) < len(numbers):
                return f"{rows}.{numbers[int(place)]}" + (f".{rest}" if rest else "")
        return path

    def _field_of(self, path: str) -> str | None:
        for candidate in _upwards(path):
            for name in (candidate, f"{candidate}.type", f"{candidate}.remove"):
                if name in self.fields:
                    return name
        return None


def _upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition(".")[0]
