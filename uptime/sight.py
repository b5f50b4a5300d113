"""An engine lost the network, or has it back: its row, the location, the notices, at once."""

from uuid import UUID

import structlog
from django.db import transaction

from alerts.notices import tell_blind, tell_sighted
from monitors.sight import note_sight

log = structlog.get_logger(__name__)


def report_sight(*, shift_id: UUID, is_blind: bool) -> None:
    with transaction.atomic():
        change = note_sight(shift_id=shift_id, is_blind=is_blind)
        if change is None:
            return
        if change.sighted_at is None:
            tell_blind(change.location, since=change.blind_since)
        else:
            tell_sighted(change.location, since=change.blind_since, until=change.sighted_at)
    log.warning(
        "location.blind" if change.sighted_at is None else "location.sighted",
        location=change.location.slug,
        since=change.blind_since.isoformat(),
    )
