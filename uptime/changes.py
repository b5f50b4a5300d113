"""Say what a transaction changed; once it commits, whoever shows it live hears of it.

A notice names rows and says nothing of them: it is small, and what is shown is read when it is
shown. Notices are a courtesy and nothing is decided by them. `uptime.live` listens.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum

from django.db import connection

CHANNEL = "changes"

# PostgreSQL takes a notice of less than 8,000 bytes.
_LONGEST = 7900


class Topic(StrEnum):
    """What the ids of a notice stand for."""

    CHECKS = "checks"  # assignments that were checked
    MONITORS = "monitors"  # whose status, or the reason for it, is another
    INCIDENTS = "incidents"  # whose state or timeline is another


def tell_changed(topic: Topic, ids: Iterable[object]) -> None:
    """Notify of these rows when the caller's transaction commits. One statement."""
    notices = list(_notices(topic, ids))
    if not notices:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_notify(%s, notice) FROM unnest(%s::text[]) AS notice", [CHANNEL, notices]
        )


def read_notice(notice: str) -> tuple[str, list[str]]:
    """What a notice says: the topic, which may be one of a newer version's, and the ids."""
    topic, _, ids = notice.partition(" ")
    return topic, ids.split(",")


def _notices(topic: Topic, ids: Iterable[object]) -> Iterator[str]:
    notice = ""
    for id_ in ids:
        if len(notice) + len(part := f",{id_}") > _LONGEST:
            yield notice
            notice = ""
        notice = f"{notice}{part}" if notice else f"{topic} {id_}"
    if notice:
        yield notice
