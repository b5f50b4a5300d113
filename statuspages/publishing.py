"""Publishing: pages are rendered when something on them changed, and kept as files.

Each machine that runs the web publishes for itself, in a thread of one of its web processes: its
files are there when the database is not. It looks once a second, with one query, whether a page or
the status of one of its monitors changed; and it renders everything anew about once a minute, for
the day that goes on, the maintenance that begins, and the time that a page says it is of.
"""

import fcntl
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, close_old_connections, connection, connections
from django.utils import translation

from monitors.days import DAY, hourly_latency
from monitors.figures import time_spent
from monitors.models import Status
from statuspages.badges import BadgeText
from statuspages.documents import Document
from statuspages.models import Badge, ComponentStatus, StatusPage, Visibility
from statuspages.places import PublicFiles
from statuspages.reads import STATUS_OF, page_view
from statuspages.rendering import badge_document, render_documents
from statuspages.wording import milliseconds, percent
from uptime.clock import database_now
from uptime.database import Outage

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
REFRESH = timedelta(seconds=60)
# All pages together may take this share of the time; with very many they are refreshed less often.
SHARE = 20
# A document counts as fresh for so many refreshes: one that fails is no reason to alarm readers.
FRESH_FOR = 3
BADGE_DAYS = 30
GATE = "gate"


@cache
def public_files() -> PublicFiles:
    return PublicFiles(settings.DATA_DIR)


def publish_page(
    page: StatusPage, now: datetime, *, fresh_for: timedelta = FRESH_FOR * REFRESH
) -> None:
    """Render the page and put its documents where they are served from."""
    files = public_files()
    documents = render_documents(page_view(page, now), fresh_for=fresh_for)
    if page.visibility == Visibility.PASSWORD:
        # in this order: nobody finds it open meanwhile
        files.pages.forget(page.public_name)
        files.gated.put(page.public_name, {**documents, GATE: _gate(page)})
    else:
        files.pages.put(page.public_name, documents)
        files.gated.forget(page.public_name)


def _gate(page: StatusPage) -> Document:
    """What asking for the password needs, so that it works without the database, too."""
    gate = {
        "password": page.password,
        "name": page.name,
        "language": page.language,
        "theme": page.theme,
    }
    return Document(json.dumps(gate).encode(), "application/json")


def publish_badges(now: datetime, *, fresh_for: timedelta = FRESH_FOR * REFRESH) -> None:
    """All badges of monitors, in a fixed number of queries."""
    rows = list(Badge.objects.values_list("key", "monitor_id", "monitor__status"))
    monitor_ids = [monitor_id for _, monitor_id, _ in rows]
    spent = time_spent(monitor_ids, since=now - BADGE_DAYS * DAY, until=now)
    latencies = hourly_latency(monitor_ids, since=now - DAY, until=now)
    files, until = public_files(), (now + fresh_for).timestamp()
    with translation.override("en"):
        for key, monitor_id, status in rows:
            uptime = spent[monitor_id].uptime_percent if monitor_id in spent else None
            hours = [mean for _, mean in latencies.get(monitor_id, []) if mean is not None]
            texts = _badge_texts(Status(status), uptime, hours)
            files.badges.put(
                str(key),
                {name: badge_document(text, fresh_until=until) for name, text in texts.items()},
            )
    files.badges.keep_only(str(key) for key, _, _ in rows)


def _badge_texts(
    status: Status, uptime_percent: float | None, hours_ms: list[float]
) -> dict[str, BadgeText]:
    none = ComponentStatus.UNKNOWN.value
    uptime = BadgeText(f"uptime {BADGE_DAYS} d", "no data", none)
    if uptime_percent is not None:
        grade = "operational" if uptime_percent >= 99 else "degraded"
        grade = "major_outage" if uptime_percent < 95 else grade
        uptime = BadgeText(uptime.label, percent(uptime_percent), grade)
    latency = BadgeText("response 24 h", "no data", none)
    if hours_ms:
        mean = sum(hours_ms) / len(hours_ms)
        latency = BadgeText(latency.label, milliseconds(mean), "operational")
    return {
        "status": BadgeText("status", status.label.lower(), STATUS_OF[status].value),
        "uptime": uptime,
        "latency": latency,
    }


class Publisher:
    """Keeps this machine's published files in line with the database."""

    def __init__(self) -> None:
        self._seen: dict[UUID, Any] = {}
        self._seen_badges: Any = None
        self._refresh_at: datetime | None = None
        self._pace = REFRESH

    def run(self, stop: Callable[[float], bool]) -> None:
        """Publish until `stop`, which waits so many seconds at most, says so.

        Of all processes of this machine one publishes; the others wait for its end.
        """
        outage = Outage("publishing")
        with _Turn(public_files().root / ".publishing") as turn:
            while not stop(LOOK_EVERY_S):
                if not turn.take():
                    continue
                try:
                    self.step(database_now())
                except (DatabaseError, InterfaceError) as error:
                    outage.begin(error)
                    connections.close_all()
                except OSError as error:  # a full disk: the files that are there stay
                    log.warning("publishing.failed", error=str(error))
                else:
                    outage.end()
                    close_old_connections()

    def step(self, now: datetime) -> int:
        """Publish what changed, or all where that is due; returns how many pages."""
        began = time.monotonic()
        is_round = self._refresh_at is None or now >= self._refresh_at
        signatures, badges = _signatures()
        changed = [pk for pk, seen in signatures.items() if is_round or self._seen.get(pk) != seen]
        for page in StatusPage.objects.filter(pk__in=changed):
            self._publish(page, now)
        if is_round or changed or signatures.keys() != self._seen.keys():
            _clear_up()
        if is_round or badges != self._seen_badges:
            self._publish_badges(now)
        self._seen, self._seen_badges = signatures, badges
        if is_round:
            took = timedelta(seconds=time.monotonic() - began)
            self._pace = max(REFRESH, took * SHARE)
            self._refresh_at = _next_round(now, self._pace)
        return len(changed)

    def _publish(self, page: StatusPage, now: datetime) -> None:
        try:
            publish_page(page, now, fresh_for=FRESH_FOR * self._pace)
        except (DatabaseError, InterfaceError, OSError):
            raise
        except Exception:  # the loop's edge: one page that can't be rendered keeps no other
            log.exception("publishing.page.failed", page=str(page.pk))

    def _publish_badges(self, now: datetime) -> None:
        try:
            publish_badges(now, fresh_for=FRESH_FOR * self._pace)
        except (DatabaseError, InterfaceError, OSError):
            raise
        except Exception:  # the loop's edge: badges that can't be drawn keep no page
            log.exception("publishing.badges.failed")


def _next_round(now: datetime, pace: timedelta) -> datetime:
    """On a whole minute, so that a maintenance that begins on one is shown at once."""
    later = now + pace
    return later.replace(second=0, microsecond=0)


def _signatures() -> tuple[dict[UUID, Any], Any]:
    """What, if it changes, changes pages; and likewise all badges. Two queries."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT p.id, p.changed_at, md5(string_agg(
                concat(m.id, m.status, m.last_change_at), ',' ORDER BY m.id)),
                (SELECT md5(string_agg(
                    concat(w.id, w.changed_at, w.begins_at, w.finishes_at), ',' ORDER BY w.id))
                FROM incidents_maintenancewindow AS w
                WHERE w.team_id = p.team_id AND w.is_public)
            FROM statuspages_statuspage AS p
            LEFT JOIN statuspages_component AS c ON c.page_id = p.id
            LEFT JOIN monitors_monitor AS m ON m.id = c.monitor_id
            GROUP BY p.id
            """
        )
        pages = {pk: signs for pk, *signs in cursor.fetchall()}
        cursor.execute(
            """
            SELECT md5(string_agg(concat(b.key, m.status), ',' ORDER BY b.key))
            FROM statuspages_badge AS b JOIN monitors_monitor AS m ON m.id = b.monitor_id
            """
        )
        return pages, cursor.fetchone()


def _clear_up() -> None:
    """Forget what was published under names that are no more; and write down the domains."""
    files = public_files()
    pages = list(StatusPage.objects.only("slug", "access_key", "visibility", "domain"))
    is_gated = {page.public_name: page.visibility == Visibility.PASSWORD for page in pages}
    files.pages.keep_only(name for name, gated in is_gated.items() if not gated)
    files.gated.keep_only(name for name, gated in is_gated.items() if gated)
    files.put_hosts({page.domain: page.public_name for page in pages if page.domain})


class _Turn:
    """Whose turn it is among this machine's processes: the lock goes with its process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None
        self._is_ours = False

    def __enter__(self) -> "_Turn":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def take(self) -> bool:
        if self._is_ours:
            return True
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        self._is_ours = True
        return True
