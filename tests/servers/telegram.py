"""The part of Telegram's Bot API that alerts use, on loopback: sendMessage, getChat, refusals."""

import json
import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from tests.servers.webhook import Misbehaviour, Receiver, Reply, Request


@dataclass(frozen=True)
class Refusal:
    """An error as the API words it, with an HTTP status that is the same as its code."""

    code: int
    description: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def reply(self) -> Reply:
        body = {"ok": False, "error_code": self.code, "description": self.description}
        if self.parameters:
            body["parameters"] = self.parameters
        return Reply(self.code, {"Content-Type": "application/json"}, json.dumps(body).encode())


UNAUTHORIZED = Refusal(401, "Unauthorized")
CHAT_NOT_FOUND = Refusal(400, "Bad Request: chat not found")
BLOCKED = Refusal(403, "Forbidden: bot was blocked by the user")


def as_read(text: str) -> str:
    """A text without its markup: what the API's limit of 4,096 characters is about."""
    return unescape(re.sub(r"<[^>]+>", "", text))


def flood(seconds: int) -> Refusal:
    text = f"Too Many Requests: retry after {seconds}"
    return Refusal(429, text, {"retry_after": seconds})


class BotApi(Receiver):
    """Knows one bot and one chat; `messages` are those that it took, `asked` counts questions."""

    TOKEN = "123456:AAExample-token_of-the-look-alike"
    CHAT = "-100200300"

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []
        self.chats = {self.CHAT}
        self.asked = 0

    def answer(self, request: Request) -> Reply | Misbehaviour:
        if self.script:
            return self.script.popleft()
        call = re.fullmatch(r"/bot([^/]+)/(sendMessage|getChat)", request.path)
        if call is None or call[1] != self.TOKEN:
            return UNAUTHORIZED.reply()
        message = request.json()
        if message["chat_id"] not in self.chats:
            return CHAT_NOT_FOUND.reply()
        if call[2] == "getChat":
            self.asked += 1
            return _result({"id": int(message["chat_id"]), "type": "supergroup"})
        if len(as_read(message["text"])) > 4096:
            return Refusal(400, "Bad Request: message is too long").reply()
        self.messages.append(message)
        return _result({"message_id": len(self.messages)})


def _result(values: dict[str, Any]) -> Reply:
    body = json.dumps({"ok": True, "result": values}).encode()
    return Reply(200, {"Content-Type": "application/json"}, body)
