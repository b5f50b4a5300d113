"""Errors that the edges (API, pages, commands) turn into an answer.

ProductError
├── Invalid     the caller's values are wrong: nothing was changed
└── Conflict    the object is not in a state that allows this
"""

from collections.abc import Mapping, Sequence


class ProductError(Exception):
    """The root of the errors that a caller can mend."""


class Invalid(ProductError):
    """Values that can't be accepted; `fields` maps a field's name to sentences about it.

    Errors of no single field stand under the empty name.
    """

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self.fields = {name: list(sentences) for name, sentences in fields.items()}
        super().__init__("; ".join(f"{name}: {' '.join(s)}" for name, s in self.fields.items()))


class Conflict(ProductError):
    """The object's present state does not allow this; the message says why."""
