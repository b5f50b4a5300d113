"""From a caller's values to a validated object, or to sentences about each field."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from uptime.errors import Invalid

Model = TypeVar("Model", bound=BaseModel)
T = TypeVar("T")


class Problems:
    """What is wrong with a caller's values, gathered so that it is told all at once."""

    def __init__(self) -> None:
        self.fields: dict[str, list[str]] = {}

    def add(self, field: str, sentence: str) -> None:
        self.fields.setdefault(field, []).append(sentence)

    def gather(self, make: Callable[[], T]) -> T | None:
        """What `make` returns; None when it raised Invalid, whose sentences are kept."""
        try:
            return make()
        except Invalid as invalid:
            for field, sentences in invalid.fields.items():
                known = self.fields.setdefault(field, [])
                known += [one for one in sentences if one not in known]
            return None


def validate(model: type[Model], values: Mapping[str, Any], *, under: str = "") -> Model:
    """`values` as a `model`. Raises Invalid, its fields named under `under` where that is given."""
    if place := _find_nul(values):
        raise Invalid({_join(under, place): ["A NUL character can't be stored."]})
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise Invalid(_fields_of(error, model, under)) from None


def _fields_of(error: ValidationError, model: type[BaseModel], under: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for one in error.errors(include_url=False, include_input=False):
        path = [str(part) for part in one["loc"]]
        field = model.model_fields.get(path[0]) if len(path) == 1 else None
        described = field.description if field is not None else None
        sentence = _sentence(one["type"], one["msg"], described or "")
        fields.setdefault(_join(under, ".".join(path)), []).append(sentence)
    return fields


def _sentence(type_: str, message: str, described: str) -> str:
    if type_ == "string_pattern_mismatch" and described:
        return f"This does not have the right form. {described}"
    if type_ == "extra_forbidden":
        return "There is no such field."
    if type_ == "string_too_short" and message.endswith("at least 1 character"):
        return "This can't be empty."
    if type_ == "missing":
        return "This field is required."
    message = message.removeprefix("Value error, ").replace("Input should be", "Should be")
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _join(under: str, place: str) -> str:
    return ".".join(part for part in (under, place) if part)


def is_storable(text: str) -> bool:
    """Whether PostgreSQL takes this text: no NUL, and every character has a UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _find_nul(value: Any, place: str = "") -> str | None:
    """Where in a JSON-like value a NUL character stands, which PostgreSQL can't store."""
    if isinstance(value, str):
        return place if "\x00" in value else None
    if isinstance(value, Mapping):
        for key, item in value.items():
            if "\x00" in str(key):
                return place or "settings"
            if found := _find_nul(item, _join(place, str(key))):
                return found
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if found := _find_nul(item, _join(place, str(index))):
                return found
    return None
