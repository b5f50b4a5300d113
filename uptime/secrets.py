"""Encryption of secrets at rest (Fernet, keys derived from UPTIME_SECRET_KEY and its fallbacks)."""

import base64
import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from pydantic import BaseModel, SecretStr
from pydantic_core import to_jsonable_python

MASK = "********"


class SecretsUnreadable(Exception):
    """None of the configured keys opens this text: UPTIME_SECRET_KEY was replaced, not rotated."""


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    def derive(key: str) -> Fernet:
        digest = hashlib.blake2b(key.encode(), digest_size=32, person=b"uptime.secrets").digest()
        return Fernet(base64.urlsafe_b64encode(digest))

    return MultiFernet([derive(key) for key in keys])


def _current() -> MultiFernet:
    return _fernet((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


def encrypt(values: dict[str, Any]) -> str:
    """`values` as one encrypted text; an empty mapping is the empty text."""
    return _current().encrypt(json.dumps(values).encode()).decode() if values else ""


def decrypt(text: str) -> dict[str, Any]:
    """The mapping that `encrypt` was given. Raises SecretsUnreadable when no key fits."""
    if not text:
        return {}
    try:
        opened: dict[str, Any] = json.loads(_current().decrypt(text.encode()))
    except InvalidToken as error:
        raise SecretsUnreadable(
            "the stored secrets can't be read with UPTIME_SECRET_KEY: put the former key after the"
            " present one, separated by a comma"
        ) from error
    return opened


def seal(model: BaseModel) -> tuple[dict[str, Any], str]:
    """Split a validated settings object into what may be read and what is encrypted.

    Returns its JSON with each secret leaf (`pydantic.SecretStr`) as the mask, and the encrypted
    leaves by their path.
    """
    found: dict[str, str] = {}

    def walk(value: Any, path: str) -> Any:
        if isinstance(value, SecretStr):
            found[path] = value.get_secret_value()
            return MASK
        if isinstance(value, dict):
            return {key: walk(item, f"{path}/{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [walk(item, f"{path}/{place}") for place, item in enumerate(value)]
        return value

    masked = walk(model.model_dump(mode="python", exclude_defaults=True), "")
    public: dict[str, Any] = to_jsonable_python(masked)
    return public, encrypt(found)


def bare_masks(model: BaseModel) -> list[str]:
    """The paths of secrets that are nothing but the mask: it stood for none that is stored."""

    def walk(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, SecretStr) and value.get_secret_value() == MASK:
            yield path
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, f"{path}.{key}")
        elif isinstance(value, list | tuple):
            for place, item in enumerate(value):
                yield from walk(item, f"{path}.{place}")

    return [path.lstrip(".") for path in walk(model.model_dump(mode="python"), "")]


def unseal(public: dict[str, Any], encrypted: str) -> dict[str, Any]:
    """The settings in the clear: for the prober or the sender, never for a reader."""
    opened: dict[str, Any] = _fill(public, decrypt(encrypted))
    return opened


def keep_secrets(incoming: dict[str, Any], encrypted: str) -> dict[str, Any]:
    """`incoming` with the stored secret wherever the caller sent the mask back unchanged."""
    kept: dict[str, Any] = _fill(incoming, decrypt(encrypted))
    return kept


def _fill(value: Any, found: dict[str, Any], path: str = "") -> Any:
    if value == MASK and path in found:
        return found[path]
    if isinstance(value, dict):
        return {key: _fill(item, found, f"{path}/{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, found, f"{path}/{place}") for place, item in enumerate(value)]
    return value
