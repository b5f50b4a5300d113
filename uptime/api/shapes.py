"""Shapes: what goes in and out, as values that are checked, rendered and documented alike.

A shape's attribute docstrings are the descriptions of the OpenAPI schema.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import Annotated, Any, Generic, Self, TypeVar

from django.http import QueryDict
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    create_model,
)

from uptime.errors import Invalid
from uptime.validation import is_storable, validate


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @classmethod
    def read(cls, values: Any) -> Self:
        """The shape with these values. Raises `Invalid` with each wrong or unknown field."""
        return validate(cls, as_object(values))


def as_object(values: Any) -> dict[str, Any]:
    """Raises `Invalid` unless a body is an object."""
    if not isinstance(values, dict):
        raise Invalid({"": ["The body must be an object."]})
    return values


class Nothing(Shape):
    """An empty body."""


class Problem(Shape):
    code: str
    """Stable, for programs."""
    message: str
    """One sentence, for people."""
    fields: dict[str, list[str]]
    """What is wrong with which field; nested ones by dotted names."""


class Error(Shape):
    """The answer to every request that was not served."""

    error: Problem


T = TypeVar("T")


# A class made of a generic one has no source: the search for its docstrings costs each start of a
# process a tenth of a second, and finds nothing.
_WITHOUT_SOURCE = ConfigDict(use_attribute_docstrings=False)


class Page(Shape, Generic[T]):
    """One page of a list."""

    model_config = _WITHOUT_SOURCE

    results: list[T]
    next: str | None = Field(description="Address of the next page.")
    previous: str | None = Field(description="Address of the page before.")
    count: int = Field(description="How many there are on all pages.")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__.removesuffix('Out')}Page"


class Slice(Shape, Generic[T]):
    """One page of a list that is too long to count."""

    model_config = _WITHOUT_SOURCE

    results: list[T]
    next: str | None = Field(description="Address of the next page, of older ones.")
    previous: str | None = Field(description="Address of the page before, of newer ones.")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__.removesuffix('Out')}Slice"


def any_of(models: Iterable[type[BaseModel]]) -> Any:
    """The union of these models, to be used as a field's type."""
    return reduce(or_, models)


def one_of(name: str, models: Iterable[type[BaseModel]], *, by: str) -> Any:
    """A body that is one of these models, told apart by its field `by`."""
    told_apart: Any = Annotated[any_of(models), Field(discriminator=by)]
    return create_model(name, __base__=RootModel[told_apart])


class Query(Shape):
    """The query parameters of an endpoint: its fields are the only ones allowed."""

    @classmethod
    def of(cls, parameters: QueryDict) -> Self:
        """Read them from an address. Raises `Invalid`, also for unknown ones."""
        values: dict[str, str | list[str]] = {}
        for name, given in parameters.lists():
            if not all(is_storable(text) for text in (name, *given)):
                raise Invalid({"": ["A query parameter has a character that can't be stored."]})
            values[name] = given[0] if len(given) == 1 else given
        return cls.read(values)


def _split(value: Any) -> Any:
    """`a,b` and `a` given twice with `b` are the same list."""
    given = value if isinstance(value, list) else [value]
    return [part.strip() for text in given for part in str(text).split(",")]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("this time is outside the calendar") from error


def _no_number(value: Any) -> Any:
    """Pydantic reads `1700000000` as a Unix time; the API knows one form of time only."""
    if not isinstance(value, str) or value.strip().lstrip("+-").replace(".", "", 1).isdigit():
        raise ValueError("give a time such as 2026-01-31T12:00:00Z")
    return value


def commas(item: Any) -> Any:
    """A query parameter that takes several values, separated by commas."""
    return Annotated[list[item], BeforeValidator(_split)]


Moment = Annotated[AwareDatetime, BeforeValidator(_no_number), AfterValidator(_in_utc)]


class PageQuery(Query):
    limit: int = Field(50, ge=1, le=500)
    """How many at most."""
    offset: int = Field(0, ge=0, le=1_000_000_000)
    """How many to pass over."""


class SliceQuery(Query):
    limit: int = Field(50, ge=1, le=500)
    """How many at most."""
    cursor: str | None = Field(None, max_length=200)
    """Where to go on; taken from `next` or `previous`, never made."""


class WindowQuery(Query):
    """Fields for a stretch of time, in the queries that have one."""

    since: Moment | None = None
    """From this time on, e.g. `2026-01-31T12:00:00Z`."""
    until: Moment | None = None
    """Before this time."""
