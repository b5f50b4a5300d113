"""A location sees nothing, or sees again: its row and the notices, at once.

An engine says of itself that it has lost the network. That there is no engine, nobody says of
himself: whoever sends the notices looks for it (`Lookout`).
"""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction

from alerts.messages import BLIND, OFFLINE, LocationTrouble
from alerts.notices import GRACE, tell_end, tell_trouble
from monitors.models import Location
from monitors.sight import LocationChange, note_presence, note_sight
from uptime import vitals
from uptime.database import may_pass

log = structlog.get_logger(__name__)

LOOK_EVERY = timedelta(seconds=5)


def report_sight(*, shift_id: UUID, is_blind: bool) -> None:
    with transaction.atomic():
        _tell(BLIND, note_sight(shift_id=shift_id, is_blind=is_blind))


class Lookout:
    """Looks for locations where nobody checks: no engine beats, or none takes what is due.

    What it has seen itself for `GRACE` counts, so that after a stop of everything the engines have
    time to begin.
    """

    def __init__(self) -> None:
        self._looked_at: datetime | None = None
        self._missing: dict[str, datetime] = {}

    def look(self, now: datetime) -> None:
        """Report what changed; for whoever calls often, it looks each `LOOK_EVERY`."""
        if self._looked_at and timedelta() <= now - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = now
        try:
            self._look(now)
        except Exception as error:  # the loop's edge: whoever looks has other work, too
            if may_pass(error):
                raise
            log.exception("lookout.failed")

    def _look(self, now: datetime) -> None:
        sight = vitals.sight_of_locations()
        offline = {slug for slug, one in sight.items() if one.offline_since}
        missing = self._missing_at(now, offline)
        self._missing = {slug: min(self._missing.get(slug, now), now) for slug in missing}
        for slug, since in self._missing.items():
            if slug not in offline and now - since >= GRACE:
                self._report(slug, since, now)
        for slug in offline - missing:
            self._report(slug, None, now)

    @staticmethod
    def _report(slug: str, offline_since: datetime | None, now: datetime) -> None:
        with transaction.atomic():
            change = note_presence(slug=slug, offline_since=offline_since, now=now)
            _tell(OFFLINE, change)

    def _missing_at(self, now: datetime, offline: set[str]) -> set[str]:
        """Where nobody is seen to check; what is offline is back once what is due is taken."""
        missing = {
            slug
            for slug, age in vitals.untaken_checks(now).items()
            if age > (vitals.MAX_OVERDUE / 2 if slug in offline else vitals.MAX_OVERDUE)
        }
        if not any(duty == "checks" for duty, _ in vitals.living_shifts(now)):
            missing.add(Location.LOCAL)
        return missing


def _tell(trouble: LocationTrouble, change: LocationChange | None) -> None:
    """In the caller's transaction."""
    if change is None:
        return
    event, location, since = trouble.begins, change.location, change.since
    if change.until is None:
        tell_trouble(location, trouble, since=since)
    else:
        event = trouble.ends
        tell_end(location, trouble, since=since, until=change.until)
    transaction.on_commit(
        lambda: log.warning(
            "location.noticed", notice=event, location=location.slug, since=since.isoformat()
        )
    )
