"""Identifiers that the outside may name."""

import uuid

import uuid_utils.compat


def uuid7() -> uuid.UUID:
    """A version 7 UUID (RFC 9562): sorts by the time it was made, so indexes grow at their end."""
    made: uuid.UUID = uuid_utils.compat.uuid7()
    return made
