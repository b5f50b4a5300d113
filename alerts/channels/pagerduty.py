"""PagerDuty: Events API v2, one incident of theirs for each of ours.

https://developer.pagerduty.com/docs/events-api-v2/trigger-events/ (the request; a summary of 1,024
characters), https://developer.pagerduty.com/docs/events-api-v2/overview/ (202 is taken; 400 is an
invalid event or key, 429 too many; the rest is to be tried again). Our incident's id is the
`dedup_key`, so that acknowledgement and end find the page that the trouble set off, and a
repetition changes nothing.

A key takes 120 events a minute
(https://developer.pagerduty.com/docs/events-api-v2/overview/).
"""

from typing import Any, Literal

from pydantic import Field

from alerts.addresses import URL_LIMIT, Server, Token
from alerts.channels.base import ChannelType, WordedConfig
from alerts.door import Answer, Door
from alerts.errors import DeliveryError
from alerts.messages import Message
from alerts.pacing import Rate
from alerts.pagers import PagerAction, pager_actions
from alerts.refusals import answered_object, answered_word, refusal
from alerts.wording import cut

SUMMARY_LIMIT = 1024
Severity = Literal["critical", "error", "warning", "info"]


class PagerDutyConfig(WordedConfig):
    routing_key: Token = Field(
        title="Integration key",
        description="Of an integration “Events API v2” of a service: 32 characters.",
        min_length=32,
        max_length=32,
    )
    severity_down: Severity = Field(
        default="critical", title="Severity of down", description="As PagerDuty calls it."
    )
    severity_degraded: Severity = Field(
        default="warning", title="Severity of degraded", description="As PagerDuty calls it."
    )
    server: Server = Field(
        default="https://events.pagerduty.com",
        title="Server",
        description="For accounts of the EU: https://events.eu.pagerduty.com",
        max_length=URL_LIMIT,
    )


def payload(message: Message, config: PagerDutyConfig, action: PagerAction) -> dict[str, Any]:
    values: dict[str, Any] = {
        "routing_key": config.routing_key.get_secret_value(),
        "event_action": action.value,
        "dedup_key": str(message.story_id),
    }
    if action is not PagerAction.TRIGGER:
        return values
    return values | {
        "client": "Uptime",
        "client_url": message.link,
        "links": [{"href": link.url, "text": link.label} for link in message.links],
        "payload": _details(message, config),
    }


def _details(message: Message, config: PagerDutyConfig) -> dict[str, Any]:
    facts = message.facts
    severities = {"down": config.severity_down, "degraded": config.severity_degraded}
    monitor = facts.monitor
    told = {line.label: line.value for line in message.lines}
    return {
        "summary": cut(message.subject, SUMMARY_LIMIT),
        "source": (monitor.target or monitor.name) if monitor else "uptime",
        "severity": severities.get(facts.tone, "info"),
        "timestamp": facts.occurred_at.isoformat(),
        "component": monitor.name if monitor else "uptime",
        "class": facts.reason or facts.event,
        "custom_details": {"Message": message.prose} if message.prose else told,
    }


def send(message: Message, config: PagerDutyConfig, door: Door) -> None:
    for action in pager_actions(message):
        answer = door.send_json(f"{config.server}/v2/enqueue", payload(message, config, action))
        if not answer.is_success:
            raise _refusal(answer)


def _refusal(answer: Answer) -> DeliveryError:
    errors = answered_object(answer).get("errors")
    details = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
    said = ": ".join(part for part in (answered_word(answer, "message"), details) if part)
    return refusal(
        answer,
        said=said,
        is_dead=answer.status == 400 and "routing_key" in said.replace(" ", "_").lower(),
        is_permanent=answer.status == 400,
    )


CHANNEL = ChannelType(
    name="pagerduty",
    label="PagerDuty",
    config=PagerDutyConfig,
    send=send,
    rate=Rate(120, 30),
    is_pager=True,
)
