"""Request bodies: JSON, strictly.

What PostgreSQL can't store (NUL, lone surrogates) and what JSON does not have (NaN, Infinity, a
field given twice) is refused here, so that nothing behind has to think of it.
"""

import json
import math
from typing import Any, NoReturn

from django.http import HttpRequest
from django.http.request import RawPostDataException, UnreadablePostError

from uptime.api.errors import malformed, not_json, too_large
from uptime.validation import is_storable

# Far more than any object of the API has, far less than what strains a recursive reader.
MAX_DEPTH = 32
_TOO_DEEP = "The body is nested too deeply."


def read_json(request: HttpRequest, limit: int) -> Any:
    """The request's body as JSON; an empty object when there is none.

    Raises `Refused`: 413 above `limit` bytes, 415 for another content type, 400 for no JSON.
    """
    raw = _read(request, limit)
    if not raw:
        return {}
    if request.content_type != "application/json":
        raise not_json()
    return parse_json(raw)


def parse_json(raw: bytes) -> Any:
    """Strict JSON (RFC 8259). Raises `Refused` (400) with the place of the fault."""
    try:
        value = json.loads(
            raw.decode(),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError as error:
        raise malformed("The body is not UTF-8.") from error
    except json.JSONDecodeError as error:
        raise malformed(
            f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from error
    except RecursionError as error:
        raise malformed(_TOO_DEEP) from error
    except ValueError as error:  # Python's own limit: an integer of more than 4,300 digits
        raise malformed("The body has a number that is too large.") from error
    _inspect(value, MAX_DEPTH)
    return value


def _read(request: HttpRequest, limit: int) -> bytes:
    # Not `request.body`: its limit is Django's for forms, and it trusts Content-Length alone.
    try:
        raw = request.read(limit + 1)
    except (RawPostDataException, UnreadablePostError) as error:
        raise malformed("The body can't be read.") from error
    if len(raw) > limit:
        raise too_large(limit)
    return bytes(raw)


def _refuse_constant(name: str) -> NoReturn:
    raise malformed(f"The body is not JSON: {name} is no number.")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise malformed("The body has a number that is too large.")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for name, value in pairs:
        if name in built:
            raise malformed(f"The field {name!r} is given twice.")
        built[name] = value
    return built


def _inspect(value: Any, depth: int) -> None:
    """Refuse texts that can't be stored, and what is nested deeper than `depth`."""
    match value:
        case str():
            if not is_storable(value):
                raise malformed("The body has a character that can't be stored (NUL or surrogate).")
        case dict() | list() if not depth:
            raise malformed(_TOO_DEEP)
        case dict():
            for name, item in value.items():
                _inspect(name, depth)
                _inspect(item, depth - 1)
        case list():
            for item in value:
                _inspect(item, depth - 1)
