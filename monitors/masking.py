"""What a check saw, without the secrets that it was made with: servers repeat what is sent."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from monitors.storing import storable
from uptime.secrets import MASK

SHORTEST_SECRET = 4


def secrets_in(settings: Any) -> list[str]:
    """The secret values in a kind's settings, the longest first."""
    found = {secret for secret in _secrets(settings) if len(secret) >= SHORTEST_SECRET}
    return sorted(found, key=len, reverse=True)


def _secrets(value: Any) -> Iterable[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            for name in type(value).model_fields:
                yield from _secrets(getattr(value, name))
        case Mapping():
            for part in value.values():
                yield from _secrets(part)
        case list() | tuple():
            for part in value:
                yield from _secrets(part)


def harmless(value: Any, hidden: Collection[str]) -> Any:
    """A JSON-like value as PostgreSQL takes it, the `hidden` texts in it masked."""
    match value:
        case str():
            text = storable(value)
            for secret in hidden:
                text = text.replace(secret, MASK)
            return text
        case Mapping():
            return {harmless(str(key), hidden): harmless(one, hidden) for key, one in value.items()}
        case list() | tuple():
            return [harmless(one, hidden) for one in value]
        case float() if value != value or value in (float("inf"), float("-inf")):
            return None  # JSON knows no such numbers
        case bool() | int() | float() | None:
            return value
        case _:
            return harmless(str(value), hidden)
