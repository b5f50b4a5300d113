"""`/health/live` and `/health/ready`: for whoever must decide to restart, or to send traffic."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import redis
import structlog
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.access import public
from monitors.models import Location
from uptime import vitals
from uptime.clock import database_now

log = structlog.get_logger(__name__)

STATEMENT_LIMIT = timedelta(seconds=2)
# For the whole examination: a database that takes connections and never answers is failing too.
PATIENCE = timedelta(seconds=3)

MAX_WAITING = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Part:
    """One part's health; `message` says what is wrong, `facts` are figures with units."""

    is_ok: bool
    message: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        message = {"message": self.message} if self.message else {}
        return {"status": "ok" if self.is_ok else "failing", **message, **self.facts}


NOT_LOOKED_AT = Part(False, "not looked at, because of what failed before it")

# -- what each part is judged by -----------------------------------------------------------------


def examine_database(now: datetime) -> Part:
    """It answered with its time, and did so in time; it has to take writes as well."""
    if vitals.is_read_only():
        return Part(False, "it takes no writes: a standby, or set to read only")
    return Part(True)


def examine_broker(now: datetime) -> Part:
    return Part(True, facts={"waiting_tasks": vitals.queue_depths(now)})


def examine_checks(now: datetime) -> Part:
    """A shift that drains while its successor is on its way keeps the part healthy."""
    shifts = vitals.living_shifts(now)
    alive, draining = shifts.get(("checks", False), 0), shifts.get(("checks", True), 0)
    silence = f"{vitals.SILENCE.total_seconds():g} s"
    return Part(
        is_ok=alive + draining > 0,
        message="" if alive + draining else f"no check engine gave a sign of life for {silence}",
        facts={"engines": alive, "engines_draining": draining},
    )


def examine_overdue(now: datetime) -> Part:
    age = vitals.overdue_checks(now).get(Location.LOCAL, timedelta())
    return _judge_age(age, vitals.MAX_OVERDUE, "a check has been due for {age}, and nobody took it")


def examine_sight(now: datetime) -> Part:
    """Whether what this installation's own engines see can be judged."""
    since = vitals.sight_of_locations()[Location.LOCAL].blind_since
    engines = vitals.blind_engines(now)
    if since is None:
        return Part(True, facts={"engines_blind": engines})
    return Part(
        False,
        f"no network for {round((now - since).total_seconds())} s: what gets no answer is unknown",
        {"engines_blind": engines, "blind_since": since.isoformat()},
    )


def examine_deliveries(now: datetime) -> Part:
    age = vitals.waiting_deliveries(now)
    return _judge_age(age, MAX_WAITING, "a delivery has been due for {age}, and nobody sent it")


def examine_history(now: datetime) -> Part:
    failing = vitals.failing_chores()
    message = f"failing, and tried again each minute: {', '.join(failing)}" if failing else ""
    return Part(not failing, message)


def _judge_age(age: timedelta, limit: timedelta, sentence: str) -> Part:
    seconds = round(age.total_seconds(), 3)
    message = sentence.format(age=f"{seconds:.0f} s") if age > limit else ""
    return Part(age <= limit, message, {"age_s": seconds, "limit_s": limit.total_seconds()})


PARTS: dict[str, Callable[[datetime], Part]] = {
    "database": examine_database,
    "broker": examine_broker,
    "checks": examine_checks,
    "overdue": examine_overdue,
    "sight": examine_sight,
    "deliveries": examine_deliveries,
    "history": examine_history,
}


def examine(found: dict[str, Part]) -> None:
    """Judge the parts one by one and put them into `found`; stop at a database that fails.

    Raises nothing. What a database or Redis says of its trouble goes to the log and not into
    `found`, which the public reads: it may name hosts and users.
    """
    for name, examine_part in PARTS.items():
        try:
            with vitals.bounded_reads(STATEMENT_LIMIT):
                found[name] = examine_part(database_now())
        except (DatabaseError, redis.RedisError) as error:
            kind = type(error).__name__
            log.warning("health.part.failed", part=name, kind=kind, error=str(error))
            found[name] = Part(False, f"can't be asked ({kind}); the log says more")
            if name == "database":
                return


class Examination(threading.Thread):
    """One examination in a thread and on a connection of its own.

    A thread, so that nobody waits longer than PATIENCE; a daemon, so that one that hangs doesn't
    hold up the end of the process.
    """

    def __init__(self) -> None:
        super().__init__(name="health", daemon=True)
        self.found: dict[str, Part] = {}

    def run(self) -> None:
        try:
            examine(self.found)
        except Exception:  # the thread's end: whatever it is, it is ours, and readiness is false
            log.exception("health.broke")
        finally:
            connection.close()

    def wait(self) -> dict[str, Part]:
        """All parts: those that are known once PATIENCE is over; the next holds up the rest."""
        self.join(PATIENCE.total_seconds())
        late = f"no answer within {PATIENCE.total_seconds():g} s"
        why = late if self.is_alive() else "a fault of ours; the log says more"
        parts = dict(self.found)
        missing = [name for name in PARTS if name not in parts]
        if missing and parts.get("database", Part(True)).is_ok:
            parts[missing.pop(0)] = Part(False, why)
        return parts | dict.fromkeys(missing, NOT_LOOKED_AT)


_lock = threading.Lock()
_running: Examination | None = None


def join_examination() -> Examination:
    """The examination that is under way, else a new one.

    So that however many ask, and however slow the database is, there is one at a time.
    """
    global _running
    with _lock:
        if _running is None or not _running.is_alive():
            _running = Examination()
            _running.start()
        return _running


@public
@never_cache
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """This process answers; nothing else is asked."""
    return JsonResponse({"status": "ok"})


@public
@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 when every part is healthy; else 503, the failing parts named."""
    parts = join_examination().wait()
    failing = [name for name, part in parts.items() if not part.is_ok]
    return JsonResponse(
        {
            "status": "failing" if failing else "ok",
            "failing": failing,
            "parts": {name: part.as_json() for name, part in parts.items()},
        },
        status=503 if failing else 200,
    )


urlpatterns = [
    path("health/live", live, name="health-live"),
    path("health/ready", ready, name="health-ready"),
]
