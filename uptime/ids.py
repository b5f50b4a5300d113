"""Identifiers that the outside may name."""

import uuid
from datetime import UTC, datetime, timedelta

import uuid_utils.compat

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def uuid7() -> uuid.UUID:
    """A version 7 UUID (RFC 9562): sorts by the time it was made, so indexes grow at their end."""
    made: uuid.UUID = uuid_utils.compat.uuid7()
    return made


def lowest_uuid7(at: datetime) -> uuid.UUID:
    """The bound below which lies every id of `uuid7` that was made before this moment."""
    return uuid.UUID(int=(at - _EPOCH) // timedelta(milliseconds=1) << 80)
