"""The dispatcher: decides what is due later, leases what is due, sends many at once, records."""

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Thread
from typing import ClassVar
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections

from alerts.escalation import AT_ONCE as ESCALATIONS_AT_ONCE
from alerts.escalation import decide_due
from alerts.outbox import (
    LEASE,
    NOTIFY_CHANNEL,
    Leased,
    Outcome,
    lease_deliveries,
    renew_leases,
)
from alerts.recording import Ended, record_outcomes
from alerts.sending import attempt_delivery
from uptime.bell import Bell
from uptime.clock import database_now
from uptime.database import may_pass

log = structlog.get_logger(__name__)

AT_ONCE = 64
# Of these, so many are for channels that have nothing in flight, one for each: a lone message
# leaves at once beside the long queues of others. To find it may take this share of the time.
KEPT_FREE = 16
LOOK_ASIDE_SHARE = 0.1
LOOK_ASIDE_EVERY_S = 0.3
# One receiver that hangs holds two senders, not all; one that proves quick may have more.
AT_ONCE_PER_CHANNEL = 2
MOST_PER_CHANNEL = 16
QUICK = timedelta(seconds=1)
LOOK_EVERY_S = 1.0
ESCALATE_EVERY = timedelta(seconds=0.9)  # at each look that no commit caused
DRAIN_S = 12.0


class Dispatcher:
    """Sends the outbox's deliveries, each in a thread of its own.

    All database work is done by the thread that calls `step` or `run`. The sending threads are
    daemons, so that a receiver that hangs can't keep the process from ending; what they held is
    sent again when its lease lapses.
    """

    def __init__(self, owner: UUID) -> None:
        self._owner = owner
        self._bell = Bell(NOTIFY_CHANNEL)
        self._in_flight: dict[UUID, Leased] = {}
        self._renewed_at: datetime | None = None
        self._escalated_at: datetime | None = None
        self._look_aside_at = 0.0
        self._allowances = _Allowances()
        # Appended to by the sending threads; what is here stays until it is recorded.
        self._finished: deque[Ended] = deque()

    def run(self, stop: Callable[[], bool], on_beat: Callable[[], object] = lambda: None) -> None:
        """Send until `stop()`, then wait for what is in flight, at most `DRAIN_S`.

        Wakes at once for a commit that queued something and looks at least every `LOOK_EVERY_S`;
        `on_beat` is called at each look, on this thread. Outlives the database's restarts.
        """
        outage = _Outage()
        try:
            while not stop():
                self._look(stop, on_beat, outage)
            self.drain(DRAIN_S)
        finally:
            self.close()

    def close(self) -> None:
        """Give back what it waits on; what is in flight ends unseen."""
        self._bell.close()

    def _look(
        self, stop: Callable[[], bool], on_beat: Callable[[], object], outage: "_Outage"
    ) -> None:
        try:
            self._bell.listen()
            on_beat()
            while self.step(database_now()) and not stop():
                pass
        except (DatabaseError, InterfaceError) as error:
            if not may_pass(error):
                raise
            outage.begin(error)
            close_old_connections()
            self._bell.wait(outage.pause_s)
        else:
            outage.end()
            self._bell.wait(LOOK_EVERY_S)

    def step(self, now: datetime) -> bool:
        """Record what has ended, start what is due. True if there may be more: look again."""
        was_busy = self.is_busy
        self._record()
        self._renew(now)
        is_more = self._escalate(now)
        started = (was_busy and self._start_of_idle(now)) or self._start_due(
            now, limit=AT_ONCE - KEPT_FREE, per_channel=self._allowances.of
        )
        return bool(started) or is_more

    def _start_of_idle(self, now: datetime) -> int:
        """Start one of each channel that has nothing in flight; how many there were.

        One look finds those of the first channels only, whose queues may be longer than a look.
        Any of them may have nothing in flight at this moment, so it takes another one beyond them.
        """
        began = time.monotonic()
        if began < self._look_aside_at:
            return 0
        started = 0
        while found := self._start_due(now, limit=AT_ONCE, per_channel=lambda _: 1):
            started += found
        ended = time.monotonic()
        # On a busy machine a look takes long that costs little.
        pause_s = min((ended - began) / LOOK_ASIDE_SHARE, LOOK_ASIDE_EVERY_S)
        self._look_aside_at = ended + pause_s
        return started

    def _start_due(
        self, now: datetime, *, limit: int, per_channel: Callable[[UUID | None], int]
    ) -> int:
        """Start what one look finds, up to `limit` in flight; how many that were."""
        leased = lease_deliveries(
            owner=self._owner,
            now=now,
            limit=limit - len(self._in_flight),
            per_channel=per_channel,
            in_flight=self._in_flight.values(),
        )
        for one in leased:
            self._start(one)
        return len(leased)

    @property
    def is_busy(self) -> bool:
        """Whether something is in flight."""
        return bool(self._in_flight)

    def drain(self, seconds: float) -> bool:
        """Lease nothing more, wait for what is in flight; true if all of it ended in time."""
        ends_at = time.monotonic() + seconds
        while self._in_flight and (left := ends_at - time.monotonic()) > 0:
            try:
                self._record()
            except (DatabaseError, InterfaceError) as error:
                if not may_pass(error):
                    raise
                close_old_connections()
            if self._in_flight:
                self._bell.wait(min(left, LOOK_EVERY_S))
        if self._in_flight:
            log.warning("alerts.dispatch.abandoned", count=len(self._in_flight))
        return not self._in_flight

    def _start(self, leased: Leased) -> None:
        self._in_flight[leased.id] = leased
        Thread(target=self._send, args=(leased,), name=f"send-{leased.id}", daemon=True).start()

    def _send(self, leased: Leased) -> None:
        self._finished.append((leased, attempt_delivery(leased)))
        self._bell.ring()

    def _record(self) -> None:
        ended = list(self._finished)
        if not ended:
            return
        recorded = record_outcomes(ended)
        for leased, outcome in ended:
            self._finished.popleft()
            del self._in_flight[leased.id]
            self._allowances.note(leased, outcome)
            _log_outcome(leased, outcome, leased.id in recorded)

    def _escalate(self, now: datetime) -> bool:
        """Decide what is due later; true if there may be more. Not at every commit's ring."""
        if _is_recent(self._escalated_at, now, ESCALATE_EVERY):
            return False
        if decide_due(now) >= ESCALATIONS_AT_ONCE:
            return True
        self._escalated_at = now
        return False

    def _renew(self, now: datetime) -> None:
        if not _is_recent(self._renewed_at, now, LEASE / 3):
            renew_leases(self._in_flight.values(), now)
            self._renewed_at = now


def _is_recent(at: datetime | None, now: datetime, within: timedelta) -> bool:
    """Not so of what lies ahead: then the database's clock was put back."""
    return at is not None and timedelta() <= now - at < within


class _Allowances:
    """How many deliveries each channel may have in flight.

    One more for each that its receiver takes quickly; back to few with the first that fails or
    drags.
    """

    def __init__(self) -> None:
        self._earned: dict[UUID | None, int] = {}

    def of(self, channel_id: UUID | None) -> int:
        return AT_ONCE_PER_CHANNEL + self._earned.get(channel_id, 0)

    def note(self, leased: Leased, outcome: Outcome) -> None:
        channel_id = leased.channel_id
        if outcome.error is not None or outcome.took >= QUICK:
            self._earned.pop(channel_id, None)
        elif self.of(channel_id) < MOST_PER_CHANNEL:
            self._earned[channel_id] = self._earned.get(channel_id, 0) + 1


class _Outage:
    """Tells of a database that is away, once, and how long to pause before the next look."""

    FIRST_PAUSE_S: ClassVar[float] = 0.1
    LONGEST_PAUSE_S: ClassVar[float] = 5.0

    def __init__(self) -> None:
        self.pause_s = 0.0

    def begin(self, error: Exception) -> None:
        if not self.pause_s:
            log.warning("alerts.dispatch.database_lost", error=str(error).strip())
        self.pause_s = min(self.pause_s * 2 or self.FIRST_PAUSE_S, self.LONGEST_PAUSE_S)

    def end(self) -> None:
        if self.pause_s:
            log.info("alerts.dispatch.database_back")
        self.pause_s = 0.0


def _log_outcome(leased: Leased, outcome: Outcome, is_recorded: bool) -> None:
    fields = {
        "delivery": str(leased.id),
        "told": leased.event,
        "type": leased.channel_type,
        "attempt": leased.attempt,
    }
    if not is_recorded:
        log.warning("alerts.delivery.lease_lost", **fields)
    elif outcome.error is None:
        log.info("alerts.delivery.sent", **fields)
    else:
        log.warning(
            "alerts.delivery.failed", **fields, error=outcome.error, is_final=outcome.is_permanent
        )
