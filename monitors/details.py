"""What passing checks see besides their result, for a monitor's page: asked for now and then.

Details cost: a certificate is read, a row is written. So a check is asked for them once in six
hours, and after its monitor was changed; no more than a few a second by one process, so that one
that begins among many monitors asks for theirs one after the other. Nothing of the server's answer
is kept.
"""

import json
import time
from collections.abc import Iterable
from datetime import timedelta

from monitors.masking import harmless, secrets_in
from monitors.models import Details
from monitors.storing import Stored
from probe.kinds import KINDS
from probe.values import Spec, Status

EVERY = timedelta(hours=6)
# A check that was asked and failed, or was lost, is asked again.
AGAIN = timedelta(minutes=5)
PER_SECOND = 5.0
AT_ONCE = 20.0
LARGEST = 32_000  # characters of JSON
_MOST_KNOWN = 200_000


class Asking:
    """Which checks of this process bring their details. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._due: dict[int, tuple[int, float]] = {}
        self._left, self._left_at = AT_ONCE, 0.0

    def asks(self, assignment_id: int, spec: Spec, now: float) -> bool:
        """Whether this check is to bring them; if so, it is not asked again at once."""
        revision, due = self._due.get(assignment_id, (0, 0.0))
        if (revision == spec.revision and now < due) or not _has_details(spec):
            return False
        self._left = min(AT_ONCE, self._left + (now - self._left_at) * PER_SECOND)
        self._left_at = now
        if self._left < 1:
            return False
        self._left -= 1
        self._note(assignment_id, spec.revision, now + AGAIN.total_seconds())
        return True

    def rest(self, assignment_id: int, revision: int, now: float) -> None:
        """They came: until they are old there is nothing to be asked."""
        self._note(assignment_id, revision, now + EVERY.total_seconds())

    def _note(self, assignment_id: int, revision: int, due: float) -> None:
        if len(self._due) >= _MOST_KNOWN:
            self._due.clear()
        self._due[assignment_id] = (revision, due)


asking = Asking()


def _has_details(spec: Spec) -> bool:
    kind = KINDS.get(spec.kind)
    return kind is not None and kind.has_target and not kind.is_passive


def keep_details(stored: Iterable[Stored]) -> None:
    """Keep what those of these checks saw that were asked and passed; in the caller's transaction.

    What began trouble is kept as evidence.
    """
    now = time.monotonic()
    rows = []
    for one in stored:
        job, seen = one.finished.job, one.finished.observation
        if not job.wants_details or seen.status not in (Status.UP, Status.DEGRADED):
            continue
        asking.rest(job.assignment_id, job.spec.revision, now)
        bare = {name: value for name, value in (seen.details or {}).items() if name != "response"}
        found = harmless(bare, secrets_in(job.spec.settings))
        if found and len(json.dumps(found)) <= LARGEST:
            rows.append(
                Details(
                    assignment_id=job.assignment_id,
                    checked_at=one.finished.started_at,
                    found=found,
                )
            )
    if rows:
        Details.objects.bulk_create(
            {row.assignment_id: row for row in rows}.values(),
            update_conflicts=True,
            unique_fields=["assignment"],
            update_fields=["checked_at", "found"],
        )
