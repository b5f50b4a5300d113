"""What an alert says.

Facts are captured in the transaction of the event and kept as JSON with the delivery, so that a
message tells what was true then, however late it leaves. A message is made from them and nothing
else, and every channel shows the same one in its own dress.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from pydantic import BaseModel, ConfigDict

from alerts.digests import DigestFacts, digest_lines, digest_subject
from alerts.models import Channel, Event
from alerts.recaps import ReportFacts, report_lines, report_subject
from alerts.wording import (
    cut,
    duration_phrase,
    event_color,
    one_line,
    reason_phrase,
    time_phrase,
)
from incidents.links import ActionLink, Purpose
from incidents.models import EventKind, Incident
from incidents.transitions import Transition
from monitors.models import Location, Monitor

TEST = "test"
DIGEST = "digest"
REPORT = "report"
DISABLED = "disabled"
REMINDER = "reminder"
PROBE_FAILED = "probe_failed"
CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class LocationTrouble:
    """What keeps a location from seeing: its two events, and how they are told."""

    begins: str
    ends: str
    title: str
    title_after: str
    what: str
    what_after: str
    meanwhile: str


BLIND = LocationTrouble(
    begins=Event.LOCATION_BLIND.value,
    ends="location_sighted",
    title="Location blind",
    title_after="Location sees again",
    what="Most of what it checks and asks is silent at once: its own network is gone.",
    what_after="The network is back. What was due meanwhile counts as unknown, not as down.",
    meanwhile="Checks go on; what gets no answer is not judged.",
)
OFFLINE = LocationTrouble(
    begins=Event.AGENT_OFFLINE.value,
    ends="agent_online",
    title="Agent offline",
    title_after="Agent back",
    what="Nobody checks there: its check engine is gone, or does not take what is due.",
    what_after="Checks are made again. What was due meanwhile counts as missed.",
    meanwhile="Nothing is watched from there. Look at its worker, at the log and at /health/ready.",
)
LOCATION_NOTICES = {
    event: trouble for trouble in (BLIND, OFFLINE) for event in (trouble.begins, trouble.ends)
}
NOTICES = (DISABLED, PROBE_FAILED, *LOCATION_NOTICES)
"""What a team's owners are told by e-mail, without a policy; of locations policies tell, too."""
FOR_PAGERS = (EventKind.ACKNOWLEDGED.value, CLOSED)
"""Of an incident, what pagers are told that were told of it, without a policy."""
SUBJECT_LIMIT = 180
_STORIES = UUID("019ca000-0000-7000-8000-00000000000b")
VALUE_LIMIT = 600  # so that all lines of a message fit into 4,096 characters
_TONELESS = (TEST, *NOTICES, *FOR_PAGERS)
_STATUS_AFTER = {Event.DOWN.value: "down", Event.DEGRADED.value: "degraded", "recovered": "up"}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class MonitorFacts(_Frozen):
    """The monitor as it was; `url` is its page in this product."""

    id: UUID
    name: str
    kind: str
    target: str
    url: str


class IncidentFacts(_Frozen):
    """The incident; `url` is its page in this product."""

    id: UUID
    url: str


class ChannelFacts(_Frozen):
    """A channel as it was; `url` is its page in this product."""

    id: UUID
    name: str
    url: str


class Facts(_Frozen):
    """What an alert tells of; as JSON it is the body of a webhook, with the field names of API.md.

    A test and a notice have neither monitor nor incident. `status` is the monitor's after the
    event, `severity` how bad the incident is then: a recovery tells what it was last. `changes`
    says how often the status changed, where it flaps; then `status` is the worst of them.
    `failed_channel` is the one in whose place this is sent, if any; a notice that a channel was
    disabled is about it. `digest` is what many alerts in one message have in common,
    `report` what a period was like.
    """

    event: str
    occurred_at: datetime
    message: str
    monitor: MonitorFacts | None = None
    incident: IncidentFacts | None = None
    status: str | None = None
    severity: str | None = None
    reason: str | None = None
    started_at: datetime | None = None
    resolved_at: datetime | None = None
    duration_seconds: float | None = None
    locations: list[str] = []
    changes: int = 0
    expires_at: datetime | None = None
    failed_channel: ChannelFacts | None = None
    digest: DigestFacts | None = None
    report: ReportFacts | None = None

    @property
    def tone(self) -> str:
        """How it is to be shown: as `down`, `degraded`, `recovered`, or empty for what is neither.

        An event that is none of these itself, a reminder for instance, has that of the status.
        """
        if self.event in _STATUS_AFTER:
            return self.event
        if self.event == DIGEST and self.status == "up":
            return Event.RECOVERED.value
        if self.expires_at:
            return Event.DEGRADED.value
        is_trouble = self.status in (Event.DOWN, Event.DEGRADED) and self.event not in _TONELESS
        return self.status if self.status and is_trouble else ""

    @property
    def is_trouble(self) -> bool:
        return self.tone in (Event.DOWN, Event.DEGRADED)

    @property
    def duration(self) -> timedelta:
        return timedelta(seconds=self.duration_seconds or 0)

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class Line:
    """One fact in words: `Why`, `connection refused`."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Link:
    """Something to open from the message; where a channel has buttons, one of them."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Message:
    """An alert, ready for any channel. `event_id` stays the same over all attempts to send it.

    `settled` are those of several receivers whom earlier attempts dealt with, as in
    `alerts.errors.DeliveryError`.
    """

    event_id: UUID
    facts: Facts
    subject: str
    lines: list[Line]
    links: list[Link]
    prose: str = ""  # the team's own words, in place of the lines
    settled: Mapping[str, str] = field(default_factory=dict)

    def with_words(self, **words: str) -> "Message":
        """The same message with another `subject`, or with `prose` in place of its lines."""
        return replace(self, **words)  # type: ignore[arg-type] # both are texts

    @property
    def link(self) -> str:
        """Where the message leads first of all: the incident's page, if there is one."""
        return self.links[0].url

    @property
    def body(self) -> str:
        """The facts in words, one a line, without the subject and the links."""
        return self.prose or "\n".join(f"{line.label}: {line.value}" for line in self.lines)

    @property
    def story_id(self) -> UUID:
        """The same for all messages of one incident: under it a receiver keeps them together.

        So are those of one end of a certificate or a domain, and of one blindness of a location.
        """
        facts = self.facts
        if facts.incident:
            return facts.incident.id
        if facts.monitor and facts.expires_at:
            return uuid5(facts.monitor.id, facts.expires_at.astimezone(UTC).isoformat())
        if facts.event in LOCATION_NOTICES and facts.started_at:
            place = "".join(facts.locations)
            return uuid5(_STORIES, f"{place} {facts.started_at.astimezone(UTC).isoformat()}")
        return self.event_id

    @property
    def text(self) -> str:
        return self._rendered("alerts/messages/alert.txt")

    @property
    def html(self) -> str:
        return self._rendered("alerts/messages/alert.html")

    def _rendered(self, template: str) -> str:
        return render_to_string(template, {"message": self, "color": event_color(self.facts.tone)})


def facts_of_transition(transition: Transition) -> Facts:
    return _incident_state(transition.incident, transition.kind, transition.event.at)


def facts_of_incident(incident: Incident, now: datetime, *, event: str = "") -> Facts:
    """As it is now: told of as `event`, else as its trouble, or its end where it has ended."""
    kind = Event.RECOVERED if incident.is_resolved else Event(incident.severity)
    return _incident_state(incident, event or kind.value, now)


def _incident_state(incident: Incident, kind: str, at: datetime) -> Facts:
    return Facts(
        event=kind,
        occurred_at=at,
        message=incident.message,
        monitor=_monitor_facts(incident.monitor),
        incident=_incident_facts(incident),
        status=_STATUS_AFTER.get(kind, incident.severity),
        severity=incident.severity,
        reason=incident.reason,
        started_at=incident.started_at,
        resolved_at=incident.resolved_at,
        duration_seconds=round(incident.duration(at).total_seconds(), 3),
        locations=incident.locations,
        changes=incident.changes,
    )


def facts_of_digest(digest: DigestFacts, now: datetime) -> Facts:
    """One message for many; its status is the worst of theirs."""
    return Facts(
        event=DIGEST,
        occurred_at=now,
        message=f"{digest.count} alerts came together: {digest_subject(digest)}.",
        status=digest.status,
        digest=digest,
    )


def facts_of_report(report: ReportFacts, now: datetime) -> Facts:
    return Facts(event=REPORT, occurred_at=now, message=f"{report_subject(report)}.", report=report)


def facts_of_test(channel: Channel, now: datetime) -> Facts:
    return Facts(
        event=TEST,
        occurred_at=now,
        message=f"This is a test of the channel “{channel.name}”. Nothing is wrong.",
    )


def facts_of_expiry(monitor: Monitor, event: str, expires_at: datetime, now: datetime) -> Facts:
    """That the monitor's certificate, or its domain, is about to expire."""
    what = "registration" if event == Event.DOMAIN_EXPIRING else "certificate"
    left = duration_phrase(expires_at - now)
    return Facts(
        event=event,
        occurred_at=now,
        message=f"Its {what} expires on {expires_at:%Y-%m-%d}, in {left}.",
        monitor=_monitor_facts(monitor),
        status=monitor.status,
        expires_at=expires_at,
    )


def facts_of_dead_channel(channel: Channel, why: str, now: datetime) -> Facts:
    """A notice to the team's owners that the channel was disabled."""
    return Facts(
        event=DISABLED,
        occurred_at=now,
        message=why,
        failed_channel=channel_facts(channel),
    )


def facts_of_failed_probe(channel: Channel, why: str, now: datetime) -> Facts:
    """A notice to the team's owners that the channel would take no message."""
    return Facts(
        event=PROBE_FAILED,
        occurred_at=now,
        message=why,
        failed_channel=channel_facts(channel),
    )


def facts_of_location(
    location: Location, trouble: LocationTrouble, *, since: datetime, until: datetime | None
) -> Facts:
    """A notice that the location sees nothing, or (with `until`) that it sees again."""
    return Facts(
        event=trouble.ends if until else trouble.begins,
        occurred_at=until or since,
        message=trouble.what_after if until else trouble.what,
        started_at=since,
        resolved_at=until,
        duration_seconds=round((until - since).total_seconds(), 3) if until else None,
        locations=[location.slug],
    )


def channel_facts(channel: Channel) -> ChannelFacts:
    url = settings.BASE_URL + reverse("channel", args=[channel.pk])
    return ChannelFacts(id=channel.pk, name=channel.name, url=url)


def sample_message() -> Message:
    """An invented one, of an incident that has all that an incident can have."""
    began = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    return compose_message(
        UUID("019ca000-0000-7000-8000-000000000001"),
        Facts(
            event=Event.DOWN,
            occurred_at=began + timedelta(seconds=252),
            message="shop.example:443 refused the connection.",
            monitor=MonitorFacts(
                id=UUID("019ca000-0000-7000-8000-000000000002"),
                name="Shop",
                kind="http",
                target="https://shop.example/",
                url=settings.BASE_URL + "/monitors/019ca000-0000-7000-8000-000000000002/",
            ),
            incident=IncidentFacts(
                id=UUID("019ca000-0000-7000-8000-000000000003"),
                url=settings.BASE_URL + "/incidents/019ca000-0000-7000-8000-000000000003/",
            ),
            status="down",
            severity="down",
            reason="connect_refused",
            started_at=began,
            resolved_at=began + timedelta(seconds=252),
            duration_seconds=252.0,
            locations=["local"],
        ),
    )


def message_with_everything() -> Message:
    """The invented one with whatever a message can hold, so that every name in it is known."""
    channel = ChannelFacts(
        id=UUID("019ca000-0000-7000-8000-000000000004"),
        name="Chat",
        url=settings.BASE_URL + "/channels/019ca000-0000-7000-8000-000000000004/",
    )
    message = sample_message()
    facts = message.facts.model_copy(update={"failed_channel": channel})
    return compose_message(message.event_id, facts)


def _monitor_facts(monitor: Monitor) -> MonitorFacts:
    return MonitorFacts(
        id=monitor.pk,
        name=monitor.name,
        kind=monitor.kind,
        target=monitor.target,
        url=settings.BASE_URL + monitor.get_absolute_url(),
    )


def _incident_facts(incident: Incident) -> IncidentFacts:
    return IncidentFacts(id=incident.pk, url=settings.BASE_URL + incident.get_absolute_url())


def compose_message(event_id: UUID, facts: Facts) -> Message:
    return Message(
        event_id=event_id,
        facts=facts,
        subject=_subject(facts),
        lines=_lines(facts),
        links=_links(facts),
    )


def action_urls(facts: Facts) -> dict[Purpose, str]:
    """Links that do one thing each to the incident without a login, while it is trouble.

    They are signed as of now, and so never stored.
    """
    if facts.incident is None or not facts.is_trouble:
        return {}
    return {purpose: ActionLink(purpose, facts.incident.id).url for purpose in Purpose}


def _links(facts: Facts) -> list[Link]:
    """The most important ones first: some receivers have room for few."""
    if facts.incident:
        asked = [Link(purpose.capitalize(), url) for purpose, url in action_urls(facts).items()]
        return [Link("Open the incident", facts.incident.url), *asked]
    if facts.monitor:
        return [Link("Open the monitor", facts.monitor.url)]
    if facts.digest:
        return [Link("Open the incidents", settings.BASE_URL + reverse("incidents"))]
    if facts.failed_channel:
        return [Link("Open the channel", facts.failed_channel.url)]
    return [Link("Open the monitor list", settings.BASE_URL + "/")]


def _subject(facts: Facts) -> str:
    if facts.report:
        return _one_line(report_subject(facts.report), SUBJECT_LIMIT)
    if facts.digest:
        return _one_line(digest_subject(facts.digest), SUBJECT_LIMIT)
    if facts.event == DISABLED and facts.failed_channel:
        return _one_line(f"Channel disabled: {facts.failed_channel.name}", SUBJECT_LIMIT)
    if facts.event == PROBE_FAILED and facts.failed_channel:
        return _one_line(f"Channel out of order: {facts.failed_channel.name}", SUBJECT_LIMIT)
    if trouble := LOCATION_NOTICES.get(facts.event):
        is_over, places = facts.event == trouble.ends, ", ".join(facts.locations)
        after = f", after {duration_phrase(facts.duration)}" if is_over else ""
        title = trouble.title_after if is_over else trouble.title
        return _one_line(f"{title}: {places}{after}", SUBJECT_LIMIT)
    if facts.monitor is None:
        return "TEST: this channel works"
    if facts.expires_at and facts.event != CLOSED:
        what = "DOMAIN" if facts.event == Event.DOMAIN_EXPIRING else "CERTIFICATE"
        left = duration_phrase(facts.expires_at - facts.occurred_at)
        return _one_line(f"{what} EXPIRES in {left}: {facts.monitor.name}", SUBJECT_LIMIT)
    if facts.event == REMINDER:
        word, lasted = f"STILL {(facts.severity or '').upper()}", f" for {_lasted(facts)}"
    else:
        word, lasted = facts.event.upper(), ""
    if facts.event == Event.RECOVERED:
        detail = f" after {_lasted(facts)}"
    else:
        detail = lasted + (f" — {reason_phrase(facts.reason)}" if facts.reason else "")
    return _one_line(f"{word}: {facts.monitor.name}", SUBJECT_LIMIT - len(detail)) + detail


def _lasted(facts: Facts) -> str:
    return duration_phrase(facts.duration)


def _lines(facts: Facts) -> list[Line]:
    if facts.report:
        told = report_lines(facts.report)
        return [Line(label, _one_line(value, VALUE_LIMIT)) for label, value in told if value]
    if facts.digest:
        return _lines_of_digest(facts, facts.digest)
    if facts.event in (DISABLED, PROBE_FAILED) and facts.failed_channel:
        return _lines_of_dead_channel(facts, facts.failed_channel)
    if trouble := LOCATION_NOTICES.get(facts.event):
        return _lines_of_location(facts, trouble)
    if facts.monitor and facts.expires_at:
        return _lines_of_expiry(facts, facts.monitor, facts.expires_at)
    if facts.monitor is None or facts.started_at is None:
        return [Line("Test", facts.message), Line("Sent", time_phrase(facts.occurred_at))]
    lines = [
        Line("Monitor", facts.monitor.name),
        Line("Target", facts.monitor.target),
        Line("Why", _why(facts)),
        Line("Since", time_phrase(facts.started_at)),
        Line("Until", time_phrase(facts.resolved_at) if facts.resolved_at else ""),
        Line("For", duration_phrase(facts.duration)),
        Line("Changes", f"{facts.changes} between up and down" if facts.changes else ""),
        Line("Where", ", ".join(facts.locations)),
        Line("Instead of", facts.failed_channel.name if facts.failed_channel else ""),
    ]
    return [Line(line.label, _one_line(line.value, VALUE_LIMIT)) for line in lines if line.value]


def _lines_of_digest(facts: Facts, digest: DigestFacts) -> list[Line]:
    told = [Line(label, _one_line(value, VALUE_LIMIT)) for label, value in digest_lines(digest)]
    return [*told, Line("Until", time_phrase(facts.occurred_at))]


def _lines_of_dead_channel(facts: Facts, channel: ChannelFacts) -> list[Line]:
    if facts.event == DISABLED:
        when = "Since"
        to_do = "Mend its settings and send a test: one that arrives enables it again."
    else:
        when = "Asked"
        to_do = "Nothing was lost, but a message would be. Mend its settings and send a test."
    return [
        Line("Channel", _one_line(channel.name, VALUE_LIMIT)),
        Line("Why", _one_line(facts.message, VALUE_LIMIT)),
        Line(when, time_phrase(facts.occurred_at)),
        Line("To do", to_do),
    ]


def _lines_of_expiry(facts: Facts, monitor: MonitorFacts, expires_at: datetime) -> list[Line]:
    lines = [
        Line("Monitor", monitor.name),
        Line("Target", monitor.target),
        Line("What", facts.message),
        Line("Until", time_phrase(expires_at)),
        Line("Instead of", facts.failed_channel.name if facts.failed_channel else ""),
    ]
    return [Line(line.label, _one_line(line.value, VALUE_LIMIT)) for line in lines if line.value]


def _lines_of_location(facts: Facts, trouble: LocationTrouble) -> list[Line]:
    lines = [
        Line("Location", ", ".join(facts.locations)),
        Line("What", facts.message),
        Line("Since", time_phrase(facts.started_at) if facts.started_at else ""),
        Line("Until", time_phrase(facts.resolved_at) if facts.resolved_at else ""),
        Line("Meanwhile", "" if facts.resolved_at else trouble.meanwhile),
    ]
    return [line for line in lines if line.value]


def _why(facts: Facts) -> str:
    known = [reason_phrase(facts.reason)] if facts.reason else []
    return ": ".join([*known, facts.message] if facts.message else known)


def _one_line(text: str, limit: int) -> str:
    return cut(one_line(text), limit)
