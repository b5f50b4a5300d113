"""Look-alikes of push services and of a Matrix home server."""

import base64
import re

from tests.servers.chats import Vendor, as_json
from tests.servers.webhook import Reply, Request


class Ntfy(Vendor):
    TOKEN = "tk_ntfySecretOfTheLookalike"
    USER, PASSWORD = "phil", "ntfyPasswordOfTheLookalike"
    TOPIC = "alerts-of-the-shop"
    FORBIDDEN = as_json(403, {"code": 40301, "http": 403, "error": "forbidden"})
    UNAUTHORIZED = as_json(401, {"code": 40101, "http": 401, "error": "unauthorized"})
    TOO_LARGE = as_json(413, {"code": 41301, "http": 413, "error": "too large"})
    FLOOD = as_json(429, {"code": 42901, "http": 429, "error": "limit reached"}, Retry_After="31")

    def __init__(self, *, is_guarded: bool = False) -> None:
        super().__init__()
        pair = base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()
        self.keys = (f"Bearer {self.TOKEN}", f"Basic {pair}") if is_guarded else ()

    def judge(self, request: Request) -> Reply:
        if (request.method, request.path) == ("GET", "/v1/health"):
            return self.lives({"healthy": True})
        if self.keys and request.headers.get("Authorization") not in self.keys:
            return self.FORBIDDEN
        message = request.json()
        if request.path != "/" or not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", message["topic"]):
            return as_json(404, {"code": 40401, "http": 404, "error": "page not found"})
        if len(message["message"].encode()) > 4096 or len(message["actions"]) > 3:
            return self.TOO_LARGE
        assert message["priority"] in range(1, 6)
        self.taken.append(message)
        return as_json(200, {"id": "abc", "event": "message"})


class Gotify(Vendor):
    TOKEN = "AgotifySecretOfTheLookalike"
    UNAUTHORIZED = as_json(
        401,
        {
            "error": "Unauthorized",
            "errorCode": 401,
            "errorDescription": "you need to provide a valid access token",
        },
    )
    NOT_FOUND = as_json(
        404, {"error": "Not Found", "errorCode": 404, "errorDescription": "page not found"}
    )
    FLOOD = Reply(429, {"Retry-After": "31"})

    def judge(self, request: Request) -> Reply:
        if (request.method, request.path) == ("GET", "/health"):
            return self.lives({"health": "green", "database": "green"})
        if request.headers.get("X-Gotify-Key") != self.TOKEN:
            return self.UNAUTHORIZED
        assert request.path == "/message"
        message = request.json()
        assert message["message"]
        self.taken.append(message)
        return as_json(200, {"id": 1, **message})


class Pushover(Vendor):
    TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
    USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
    INVALID_TOKEN = as_json(
        400,
        {"token": "invalid", "errors": ["application token is invalid"], "status": 0},
    )
    INVALID_USER = as_json(
        400, {"user": "invalid", "errors": ["user identifier is invalid"], "status": 0}
    )
    FLOOD = as_json(429, {"errors": ["over the quota"], "status": 0}, Retry_After="31")

    def __init__(self) -> None:
        super().__init__()
        self.cancelled: list[str] = []

    def judge(self, request: Request) -> Reply:
        message = request.json()
        if message["token"] != self.TOKEN:
            return self.INVALID_TOKEN
        if tag := re.fullmatch(r"/1/receipts/cancel_by_tag/([\w-]+)\.json", request.path):
            self.cancelled.append(tag[1])
            return as_json(200, {"status": 1, "request": "647d2301", "canceled": 1})
        if message["user"] != self.USER:
            return self.INVALID_USER
        if request.path == "/1/users/validate.json":
            return self.lives({"status": 1, "group": 0, "devices": ["phone"]})
        assert request.path == "/1/messages.json"
        errors = self._errors(message)
        if errors:
            return as_json(400, {"errors": errors, "status": 0})
        self.taken.append(message)
        return as_json(200, {"status": 1, "request": "647d2300"})

    def _errors(self, message: dict[str, object]) -> list[str]:
        limits = {"title": 250, "message": 1024, "url": 512, "url_title": 100}
        errors = [
            f"{name} is too long"
            for name, limit in limits.items()
            if len(str(message.get(name, ""))) > limit
        ]
        if message["priority"] == 2 and not {"retry", "expire"} <= message.keys():
            errors.append("retry and expire are required")
        return errors


class Matrix(Vendor):
    """Drops a transaction that it has seen, as the specification demands."""

    TOKEN = "syt_matrixSecretOfTheLookalike"
    ROOM = "!room:example.org"
    ME = "@uptime:example.org"
    UNKNOWN_TOKEN = as_json(401, {"errcode": "M_UNKNOWN_TOKEN", "error": "Unknown token"})
    FORBIDDEN = as_json(403, {"errcode": "M_FORBIDDEN", "error": "You are not in the room"})
    TOO_LARGE = as_json(413, {"errcode": "M_TOO_LARGE", "error": "event too large"})
    FLOOD = as_json(
        429, {"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests", "retry_after_ms": 31500}
    )

    def __init__(self) -> None:
        super().__init__()
        self.membership = "join"

    def judge(self, request: Request) -> Reply:
        if request.headers.get("Authorization") != f"Bearer {self.TOKEN}":
            return self.UNKNOWN_TOKEN
        if request.path == "/_matrix/client/v3/account/whoami":
            return as_json(200, {"user_id": self.ME})
        room = "/_matrix/client/v3/rooms/%21room%3Aexample.org"
        if request.path == f"{room}/state/m.room.member/%40uptime%3Aexample.org":
            return self.lives({"membership": self.membership})
        sent = re.fullmatch(
            r"/_matrix/client/v3/rooms/%21room%3Aexample\.org/send/m\.room\.message/([\w-]+)",
            request.path,
        )
        if request.method != "PUT" or sent is None:
            return self.FORBIDDEN
        if len(request.body) > 65_536:
            return self.TOO_LARGE
        known = {one["transaction"] for one in self.taken}
        if sent[1] not in known:
            self.taken.append({"transaction": sent[1], **request.json()})
        return as_json(200, {"event_id": "$event"})
