"""Do the books of a fault run balance? What is stored is held against itself and against a witness.

Each account returns sentences, one for each discrepancy. The history is worked out once more from
the stored results, by the product's own pure rules; the rest is counting.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from alerts.models import Delivery, DeliveryStatus
from incidents.machine import LocationState, decide_verdict
from incidents.models import EventKind, Incident, IncidentEvent
from monitors.cadence import next_slot
from monitors.models import Assignment, Monitor, Result, Status, StatusSpan
from monitors.streaks import Streak, Thresholds, decide_streak
from probe.values import Status as Seen
from uptime import counters
from uptime.bench.witness import Evidence

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Books:
    """All that is stored of one monitor; the results in the order of their due instants."""

    monitor: Monitor
    assignment: Assignment
    results: list[Result]
    spans: list[StatusSpan]
    incidents: list[Incident]

    @property
    def name(self) -> str:
        return self.monitor.name


@dataclass(slots=True)
class History:
    """What the results add up to: the spans as (status, begin), the incidents as (begin, end)."""

    spans: list[tuple[Status, datetime]]
    incidents: list[tuple[datetime, datetime | None]] = field(default_factory=list)


def open_books() -> list[Books]:
    """The books of all monitors; each has one assignment."""
    results, spans, incidents = defaultdict(list), defaultdict(list), defaultdict(list)
    for result in Result.objects.order_by("assignment_id", "due_at", "attempt"):
        results[result.assignment_id].append(result)
    for span in StatusSpan.objects.order_by("monitor_id", "started_at", "id"):
        spans[span.monitor_id].append(span)
    for incident in Incident.objects.order_by("monitor_id", "started_at", "id"):
        incidents[incident.monitor_id].append(incident)
    return [
        Books(one.monitor, one, results[one.pk], spans[one.monitor_id], incidents[one.monitor_id])
        for one in Assignment.objects.select_related("monitor").order_by("id")
    ]


def audit(books: Sequence[Books], evidence: Evidence) -> list[str]:
    """All discrepancies."""
    found = [line for one in books for account in ACCOUNTS for line in account(one)]
    found += audit_answers(books, evidence)
    found += audit_events()
    found += audit_deliveries(evidence)
    found += audit_counters(sum(len(one.results) for one in books))
    return found


def audit_instants(books: Books) -> Iterator[str]:
    """Each due instant has one result, or is among the missed."""
    if not books.results:
        yield f"{books.name}: never checked"
        return
    assignment, interval = books.assignment, books.monitor.interval
    instants = [(one.due_at, one.attempt) for one in books.results]
    for instant, count in Counter(instants).items():
        if count > 1:
            yield f"{books.name}: {count} results for {instant}"
    assert assignment.next_due_at is not None
    missed = 0
    for before, after in pairwise([*instants, (assignment.next_due_at, assignment.attempt)]):
        due_at, attempt = after
        if attempt:
            if attempt != before[1] + 1:
                yield f"{books.name}: attempt {attempt} at {due_at} comes after {before[1]}"
        elif due_at != next_slot(assignment.pk, interval, due_at - _TICK):
            yield f"{books.name}: {due_at} is not on the grid"
        else:
            missed += (due_at - next_slot(assignment.pk, interval, before[0])) // interval
    if missed != assignment.missed:
        yield f"{books.name}: {missed} instants have no result, {assignment.missed} are missed"


def audit_order(books: Books) -> Iterator[str]:
    """Checks of a monitor come one after the other, none before it is due."""
    for before, after in pairwise(books.results):
        if after.checked_at <= before.checked_at:
            yield f"{books.name}: {after.due_at} was checked before {before.due_at}"
    for one in books.results:
        if one.lateness < timedelta(milliseconds=-50):
            yield f"{books.name}: {one.due_at} was checked {-one.lateness} early"


def audit_history(books: Books) -> Iterator[str]:
    """Spans and incidents are those that the results add up to; no gap, no overlap, none twice."""
    expected = replay(books)
    spans = [(Status(one.status), one.started_at) for one in books.spans]
    if spans != expected.spans:
        yield f"{books.name}: its results say {expected.spans}, its spans {spans}"
    ends = [one.ended_at for one in books.spans]
    if ends != [*(one.started_at for one in books.spans[1:]), None]:
        yield f"{books.name}: its spans don't meet, or the last one has an end"
    now = Status.DOWN if books.monitor.status == Status.RECOVERING else books.monitor.status
    if books.spans and books.spans[-1].status != now:
        yield f"{books.name}: is {books.monitor.status}, its span says {books.spans[-1].status}"
    incidents = [(one.started_at, one.resolved_at) for one in books.incidents]
    if incidents != expected.incidents:
        yield f"{books.name}: its results say {expected.incidents}, its incidents {incidents}"


ACCOUNTS = (audit_instants, audit_order, audit_history)


def replay(books: Books) -> History:
    """The history that follows from the results, one after the other."""
    monitor, streak = books.monitor, Streak()
    thresholds = Thresholds(
        monitor.failure_threshold, monitor.recovery_threshold, monitor.failure_window
    )
    history = History([(Status.PENDING, monitor.created_at)])
    if books.spans:  # the first one is made with the monitor, not by a result
        history.spans = [(Status(books.spans[0].status), books.spans[0].started_at)]
    for one in books.results:
        before = streak.state
        streak = decide_streak(
            streak, seen=Seen(one.status), at=one.checked_at, thresholds=thresholds
        )
        if streak.state != before:
            _turn(history, streak, one.checked_at)
    return history


def _turn(history: History, streak: Streak, at: datetime) -> None:
    """What `incidents.transitions` does with a location's new state."""
    status, changed_at = history.spans[-1]
    verdict = decide_verdict(
        [LocationState("", streak.state, streak.troubled_since, "", "")],
        quorum=1,
        before=status,
        changed_at=changed_at,
    )
    since = max(verdict.since or at, history.spans[-1][1])
    if history.spans[-1][1] >= since:
        history.spans.pop()
    if not history.spans or history.spans[-1][0] != verdict.status:
        history.spans.append((verdict.status, since))
    is_open = bool(history.incidents) and history.incidents[-1][1] is None
    if verdict.status in (Status.DOWN, Status.DEGRADED) and not is_open:
        history.incidents.append((since, None))
    elif verdict.status == Status.UP and is_open:
        began, _ = history.incidents[-1]
        history.incidents[-1] = (began, max(at, since, began))


def audit_answers(books: Iterable[Books], evidence: Evidence) -> Iterator[str]:
    """No result tells of an answer that its target did not give."""
    for number, one in enumerate(books):
        answered = Counter(result.status for result in one.results if result.http_status)
        for way, given in ((Seen.UP, evidence.up), (Seen.DOWN, evidence.down)):
            if answered[way] > given.get(number, 0):
                yield f"{one.name}: {answered[way]} results {way}, {given.get(number, 0)} answers"


def audit_events() -> Iterator[str]:
    """Each incident has the entry of its opening and, once resolved, that of its end."""
    events = defaultdict(list)
    for event in IncidentEvent.objects.order_by("at", "id"):
        events[event.incident_id].append(EventKind(event.kind))
    for incident in Incident.objects.all():
        expected = [EventKind.OPENED, *([EventKind.RESOLVED] if incident.is_resolved else [])]
        if events[incident.pk] != expected:
            yield f"incident {incident.pk}: its timeline is {events[incident.pk]}"


def audit_deliveries(evidence: Evidence) -> Iterator[str]:
    """Each event was told, under one key, and nothing that did not happen was."""
    keys: defaultdict[UUID, list[str]] = defaultdict(list)
    for delivery in Delivery.objects.all():
        assert delivery.incident_event_id is not None
        keys[delivery.incident_event_id].append(str(delivery.pk))
        if delivery.status != DeliveryStatus.SENT:
            yield f"delivery {delivery.pk} is {delivery.status}: {delivery.last_error}"
        if str(delivery.pk) not in evidence.told:
            yield f"delivery {delivery.pk} never arrived"
    for event in IncidentEvent.objects.values_list("id", flat=True):
        if len(keys[event]) != 1:
            yield f"event {event}: told under {len(keys[event])} keys"
    known = {key for of_event in keys.values() for key in of_event}
    yield from (f"{key} was told and is no delivery" for key in evidence.told if key not in known)


def audit_counters(results: int) -> Iterator[str]:
    """The metrics count each result once."""
    counted = sum(counters.totals().get(counters.CHECKS, {}).values())
    if counted != results:
        yield f"{results} results, and the metrics counted {counted:.0f}"


def audit_leases() -> Iterator[str]:
    """Once all is stopped, nobody holds anything. For a stop in peace."""
    held = Assignment.objects.exclude(lease_owner=None).count()
    if held:
        yield f"{held} leases were not given back"
