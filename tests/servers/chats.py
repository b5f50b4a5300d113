"""Look-alikes of the chats' incoming webhooks: they refuse what the real ones refuse."""

import json
from abc import abstractmethod
from typing import Any

from tests.servers.webhook import Misbehaviour, Receiver, Reply, Request


def as_json(status: int, values: Any, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kind = {"Content-Type": "application/json"}
    return Reply(status, {**kind, **named}, json.dumps(values).encode())


class Vendor(Receiver):
    """Answers as scripted, else by `judge`; keeps messages that it took in `taken`.

    `asked` counts the questions whether it lives.
    """

    PATH = "/"

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Any] = []
        self.asked = 0

    @property
    def address(self) -> str:
        return self.url + self.PATH

    def answer(self, request: Request) -> Reply | Misbehaviour:
        return self.script.popleft() if self.script else self.judge(request)

    @abstractmethod
    def judge(self, request: Request) -> Reply:
        """The answer of a service that is well."""

    def lives(self, values: Any) -> Reply:
        """The good answer to a question."""
        self.asked += 1
        return as_json(200, values)


class Slack(Vendor):
    PATH = "/services/T00000001/B00000001/SlackSecretOfTheLookalike"
    NO_SERVICE = Reply(404, body=b"no_service")
    ARCHIVED = Reply(410, body=b"channel_is_archived")
    NOT_FOUND = Reply(404, body=b"channel_not_found")
    PROHIBITED = Reply(403, body=b"action_prohibited")
    INVALID = Reply(400, body=b"invalid_payload")
    FLOOD = Reply(429, {"Retry-After": "31"}, b"rate_limited")

    def judge(self, request: Request) -> Reply:
        if request.path != self.PATH:
            return self.NO_SERVICE
        message = request.json()
        blocks = [
            *message.get("blocks", ()),
            *(block for one in message.get("attachments", ()) for block in one["blocks"]),
        ]
        if not message["text"] or not all(map(self._is_block, blocks)):
            return self.INVALID
        self.taken.append(message)
        return Reply(200, {"Content-Type": "text/html"}, b"ok")

    def _is_block(self, block: dict[str, Any]) -> bool:
        match block["type"]:
            case "header":
                return block["text"]["type"] == "plain_text" and len(block["text"]["text"]) <= 150
            case "section":
                fields = block.get("fields", [])
                texts = [block["text"]] if "text" in block else fields
                limit = 3000 if "text" in block else 2000
                return len(fields) <= 10 and all(1 <= len(t["text"]) <= limit for t in texts)
            case "actions":
                return all(
                    button["type"] == "button"
                    and button["url"].startswith("http")
                    and len(button["text"]["text"]) <= 75
                    for button in block["elements"]
                )
        return False


class Discord(Vendor):
    PATH = "/api/webhooks/100000000000000001/DiscordSecretOfTheLookalike"
    UNKNOWN = as_json(404, {"message": "Unknown Webhook", "code": 10015})
    INVALID_TOKEN = as_json(401, {"message": "Invalid Webhook Token", "code": 50027})
    INVALID = as_json(400, {"message": "Invalid Form Body", "code": 50035})
    FLOOD = as_json(
        429, {"message": "You are being rate limited.", "retry_after": 31.5, "global": False}
    )

    def judge(self, request: Request) -> Reply:
        if request.path != self.PATH:
            return self.UNKNOWN
        if request.method == "GET":
            return self.lives({"id": "100000000000000001", "type": 1, "channel_id": "2"})
        message = request.json()
        if not 1 <= len(message["embeds"]) <= 10 or not all(map(_is_embed, message["embeds"])):
            return self.INVALID
        self.taken.append(message)
        return Reply(204)


def _is_embed(embed: dict[str, Any]) -> bool:
    """https://discord.com/developers/docs/resources/message#embed-object-embed-limits"""
    fields = embed.get("fields", [])
    texts = [embed["title"], embed.get("description", "")]
    texts += [text for field in fields for text in (field["name"], field["value"])]
    return (
        len(embed["title"]) <= 256
        and len(embed.get("description", "")) <= 4096
        and len(fields) <= 25
        and all(1 <= len(f["name"]) <= 256 and 1 <= len(f["value"]) <= 1024 for f in fields)
        and sum(map(len, texts)) <= 6000
        and 0 <= embed["color"] <= 0xFFFFFF
    )


class Teams(Vendor):
    PATH = (
        "/workflows/0a1b2c/triggers/manual/paths/invoke?api-version=1&sig=TeamsSecretOfTheLookalike"
    )
    GONE = as_json(404, {"error": {"code": "WorkflowNotFound", "message": "The flow is gone."}})
    UNSIGNED = as_json(401, {"error": {"code": "SigInvalid", "message": "The sig is invalid."}})
    OFF = as_json(400, {"error": {"code": "TriggerDisabled", "message": "It is switched off."}})
    FLOOD = Reply(429, {"Retry-After": "31"})

    def judge(self, request: Request) -> Reply:
        if request.path != self.PATH:
            return self.UNSIGNED
        message = request.json()
        [attachment] = message["attachments"]
        card = attachment["content"]
        is_card = (
            message["type"] == "message"
            and attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
            and card["type"] == "AdaptiveCard"
            and all(action["type"] == "Action.OpenUrl" for action in card["actions"])
            and len(request.body) <= 28 * 1024
        )
        if not is_card:
            return as_json(400, {"error": {"code": "InvalidCard", "message": "No card."}})
        self.taken.append(message)
        return Reply(202)


class Mattermost(Vendor):
    PATH = "/hooks/mattermostsecretofthelookalike"
    INVALID_HOOK = as_json(
        400,
        {
            "id": "web.incoming_webhook.invalid.app_error",
            "message": "Invalid webhook.",
            "status_code": 400,
        },
    )
    NO_CHANNEL = as_json(
        404,
        {
            "id": "store.sql_channel.get_by_name.missing.app_error",
            "message": "Channel does not exist.",
            "status_code": 404,
        },
    )
    TOO_LONG = as_json(
        400,
        {"id": "api.post.too_long.app_error", "message": "Too long.", "status_code": 400},
    )
    FLOOD = Reply(429, {"Retry-After": "31"}, b"limit exceeded")

    def judge(self, request: Request) -> Reply:
        if (request.method, request.path) == ("GET", "/api/v4/system/ping"):
            return self.lives({"status": "OK"})
        if request.path != self.PATH:
            return self.INVALID_HOOK
        message = request.json()
        if len(json.dumps(message["attachments"], ensure_ascii=False)) > 7900:
            return self.TOO_LONG
        [attachment] = message["attachments"]
        assert attachment["fallback"]
        self.taken.append(message)
        return Reply(200, body=b"ok")


class GoogleChat(Vendor):
    PATH = "/v1/spaces/AAAA/messages?key=GoogleKeyOfTheLookalike&token=GoogleTokenOfTheLookalike"
    NO_SPACE = as_json(
        404, {"error": {"code": 404, "message": "Space not found.", "status": "NOT_FOUND"}}
    )
    DENIED = as_json(
        403, {"error": {"code": 403, "message": "Denied.", "status": "PERMISSION_DENIED"}}
    )
    INVALID = as_json(
        400, {"error": {"code": 400, "message": "Invalid JSON.", "status": "INVALID_ARGUMENT"}}
    )
    FLOOD = as_json(
        429,
        {"error": {"code": 429, "message": "Quota.", "status": "RESOURCE_EXHAUSTED"}},
        Retry_After="31",
    )

    def judge(self, request: Request) -> Reply:
        if not request.path.startswith(self.PATH):
            return self.DENIED
        message = request.json()
        [card] = message["cardsV2"]
        widgets = [w for section in card["card"]["sections"] for w in section["widgets"]]
        known = {"decoratedText", "textParagraph", "buttonList"}
        if len(request.body) > 32_000 or not all(len(w) == 1 and set(w) <= known for w in widgets):
            return self.INVALID
        self.taken.append(message | {"query": request.path.partition("?")[2]})
        return as_json(200, {"name": "spaces/AAAA/messages/BBBB"})
