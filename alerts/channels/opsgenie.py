"""Opsgenie: its Alert API, one alert of theirs for each incident of ours.

https://docs.opsgenie.com/docs/alert-api (create, acknowledge and close by alias; a message of 130
characters, a description of 15,000, details of 8,000 in all), and
https://docs.opsgenie.com/docs/response (202 is taken; 401 and 403 an invalid key; 422 an invalid
alert; 429 too many). Our incident's id is the alias, so that the end finds the alert that the
trouble opened, and a repetition is counted by Opsgenie and opens nothing.

Its rate depends on the plan
(https://docs.opsgenie.com/docs/api-rate-limiting); this is a modest one's.
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
from alerts.refusals import answered_word, is_own_answer, refusal
from alerts.wording import cut

MESSAGE_LIMIT = 130
DESCRIPTION_LIMIT = 15_000
_DEAD = (401, 403)
_SOURCE = "Uptime"
_PATHS = {PagerAction.ACKNOWLEDGE: "acknowledge", PagerAction.RESOLVE: "close"}
Priority = Literal["P1", "P2", "P3", "P4", "P5"]


class OpsgenieConfig(WordedConfig):
    api_key: Token = Field(
        title="API key",
        description="Of an integration “API” that may create alerts.",
        max_length=200,
    )
    priority_down: Priority = Field(
        default="P1", title="Priority of down", description="As Opsgenie calls it."
    )
    priority_degraded: Priority = Field(
        default="P3", title="Priority of degraded", description="As Opsgenie calls it."
    )
    server: Server = Field(
        default="https://api.opsgenie.com",
        title="Server",
        description="For accounts of the EU: https://api.eu.opsgenie.com",
        max_length=URL_LIMIT,
    )


def path_of(message: Message, action: PagerAction) -> str:
    if action is PagerAction.TRIGGER:
        return "/v2/alerts"
    return f"/v2/alerts/{message.story_id}/{_PATHS[action]}?identifierType=alias"


def payload(message: Message, config: OpsgenieConfig, action: PagerAction) -> dict[str, Any]:
    if action is not PagerAction.TRIGGER:
        return {"source": _SOURCE, "note": cut(message.subject, 1000)}
    facts = message.facts
    priorities = {"down": config.priority_down, "degraded": config.priority_degraded}
    links = "\n".join(f"{link.label}: {link.url}" for link in message.links)
    return {
        "message": cut(message.subject, MESSAGE_LIMIT),
        "alias": str(message.story_id),
        "description": f"{cut(message.body, DESCRIPTION_LIMIT - 3000)}\n\n{links}",
        "details": {"event": facts.event, "reason": facts.reason or "", "url": message.link},
        "entity": cut(facts.monitor.name, 512) if facts.monitor else "",
        "source": _SOURCE,
        "priority": priorities.get(facts.tone, "P5"),
    }


def send(message: Message, config: OpsgenieConfig, door: Door) -> None:
    for action in pager_actions(message):
        answer = door.send_json(
            config.server + path_of(message, action),
            payload(message, config, action),
            headers={"Authorization": f"GenieKey {config.api_key.get_secret_value()}"},
        )
        if not answer.is_success:
            raise _refusal(answer)


def _refusal(answer: Answer) -> DeliveryError:
    return refusal(
        answer,
        said=answered_word(answer, "message"),
        is_dead=is_own_answer(answer, *_DEAD),
        is_permanent=answer.status in (400, 413, 422),
    )


CHANNEL = ChannelType(
    name="opsgenie",
    label="Opsgenie",
    config=OpsgenieConfig,
    send=send,
    rate=Rate(300, 50),
    is_pager=True,
)
