"""Values as they compare: numbers as numbers, dates as dates, versions as versions, else texts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

Version = tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]]

_VERSION = re.compile(r"v?(\d{1,18}(?:\.\d{1,18}){0,9})(?:-([0-9A-Za-z.-]{1,100}))?(?:\+.*)?", re.A)
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2,8}, ?\d", re.A)
_RELEASE = ((1, 0, ""),)
"""Sorts after every pre-release of the same version (semver.org, clause 11)."""


_INTEGER = re.compile(r"\s*[+-]?\d{1,400}\s*", re.A)


def number_of(value: Any) -> float | None:
    """Whole numbers as such: a float holds no more than 15 of their digits."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, str) and "_" in value:  # which Python would leave out
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if number == number else None  # "nan" is a text, not a number


def moment_of(value: Any) -> datetime | None:
    """A date or time of ISO 8601 (UTC where it names no zone), or one as HTTP writes it."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        if _ISO_DATE.match(value):
            moment = datetime.fromisoformat(value)
        elif _HTTP_DATE.match(value):
            moment = parsedate_to_datetime(value)
        else:
            return None
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def version_of(value: Any) -> Version | None:
    """A version, as semver.org orders them; trailing zeros don't count."""
    if not isinstance(value, str) or len(value) > 300 or _ISO_DATE.match(value):
        return None
    match = _VERSION.fullmatch(value)
    if match is None:
        return None
    numbers = [int(part) for part in match.group(1).split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    if match.group(2) is None:
        return tuple(numbers), _RELEASE
    parts = match.group(2).split(".")
    return tuple(numbers), tuple(
        (0, int(part), "") if part.isdigit() and len(part) < 19 else (0, 1 << 64, part)
        for part in parts
    )


def text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def is_orderable(value: Any) -> bool:
    return number_of(value) is not None or moment_of(value) is not None or bool(version_of(value))


def order(actual: Any, expected: Any) -> int | None:
    """-1, 0 or 1 as one is less than, as much as, or more than the other; None: incomparable."""
    readings: tuple[Callable[[Any], Any], ...] = (number_of, moment_of, version_of)
    for read in readings:
        left, right = read(actual), read(expected)
        if left is not None and right is not None:
            return int(left > right) - int(left < right)
    return None


def equals(actual: Any, expected: Any) -> bool:
    """Numbers and dates by their value, also where one of them is a text; all else as text."""
    if actual is None or expected is None:
        return actual is None and expected in (None, "null")
    for read in (number_of, moment_of):
        left, right = read(actual), read(expected)
        if left is not None and right is not None:
            return bool(left == right)
    if isinstance(actual, dict | list) and isinstance(expected, str):
        try:
            return bool(actual == json.loads(expected))
        except (ValueError, RecursionError):
            return False
    return text_of(actual) == text_of(expected)


def contains(actual: Any, expected: Any) -> bool:
    if isinstance(actual, list):
        return any(equals(item, expected) for item in actual)
    if isinstance(actual, dict):
        return text_of(expected) in actual
    return text_of(expected) in text_of(actual)
