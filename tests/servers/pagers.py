"""Look-alikes of services that page people: they keep incidents by their key."""

import base64
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

from tests.servers.chats import Vendor, as_json
from tests.servers.webhook import Reply, Request


class PagerDuty(Vendor):
    KEY = "0123456789abcdef0123456789abcdef"
    INVALID_KEY = as_json(
        400,
        {
            "status": "invalid event",
            "message": "Event object is invalid",
            "errors": ["Invalid routing key"],
        },
    )
    INVALID_EVENT = as_json(
        400,
        {
            "status": "invalid event",
            "message": "Event object is invalid",
            "errors": ["'payload.severity' is invalid"],
        },
    )
    FLOOD = as_json(429, {"status": "throttle exceeded", "message": "Too many"}, Retry_After="31")

    def __init__(self) -> None:
        super().__init__()
        self.incidents: dict[str, str] = {}

    def judge(self, request: Request) -> Reply:
        event = request.json()
        assert request.path == "/v2/enqueue"
        if event["routing_key"] != self.KEY:
            return self.INVALID_KEY
        if event["event_action"] == "trigger" and not self._is_trigger(event["payload"]):
            return self.INVALID_EVENT
        states = {"trigger": "triggered", "acknowledge": "acknowledged", "resolve": "resolved"}
        self.incidents[event["dedup_key"]] = states[event["event_action"]]
        self.taken.append(event)
        return as_json(
            202,
            {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]},
        )

    def _is_trigger(self, payload: dict[str, Any]) -> bool:
        return (
            1 <= len(payload["summary"]) <= 1024
            and bool(payload["source"])
            and payload["severity"] in ("critical", "error", "warning", "info")
        )


class Opsgenie(Vendor):
    KEY = "opsgenie-secret-of-the-lookalike"
    FORBIDDEN = as_json(403, {"message": "API key is not valid", "took": 0.0})
    UNPROCESSABLE = as_json(422, {"message": "Request body is not processable.", "took": 0.0})
    FLOOD = as_json(429, {"message": "You are making too many requests"}, Retry_After="31")

    def __init__(self) -> None:
        super().__init__()
        self.alerts: dict[str, str] = {}

    def judge(self, request: Request) -> Reply:
        if request.headers.get("Authorization") != f"GenieKey {self.KEY}":
            return self.FORBIDDEN
        values = request.json()
        address = urlsplit(request.path)
        if address.path == "/v2/alerts":
            limits = {"message": 130, "alias": 512, "description": 15_000, "entity": 512}
            if any(len(values[name]) > limit for name, limit in limits.items()):
                return self.UNPROCESSABLE
            self.alerts[values["alias"]] = "open"
        else:
            act = re.fullmatch(r"/v2/alerts/([^/]+)/(close|acknowledge)", address.path)
            assert act is not None
            assert address.query == "identifierType=alias"
            self.alerts[act[1]] = {"close": "closed", "acknowledge": "acknowledged"}[act[2]]
        self.taken.append(values)
        return as_json(202, {"result": "Request will be processed", "took": 0.1})


class Twilio(Vendor):
    SID = "AC" + "0123456789abcdef" * 2
    TOKEN = "twilioSecretOfTheLookalike"
    KEY, KEY_SECRET = "SK" + "0123456789abcdef" * 2, "twilioKeySecretOfTheLookalike"
    UNAUTHORIZED = as_json(
        401, {"code": 20003, "message": "Authenticate", "status": 401, "more_info": "…"}
    )
    INVALID_TO = as_json(
        400, {"code": 21211, "message": "Invalid 'To' Phone Number", "status": 400}
    )
    STOPPED = as_json(
        400, {"code": 21610, "message": "Attempt to send to unsubscribed", "status": 400}
    )
    TOO_LONG = as_json(400, {"code": 21617, "message": "Body exceeds the limit", "status": 400})
    FLOOD = as_json(
        429, {"code": 20429, "message": "Too Many Requests", "status": 429}, Retry_After="31"
    )

    def __init__(self) -> None:
        super().__init__()
        self.status = "active"

    def judge(self, request: Request) -> Reply:
        credentials = request.headers.get("Authorization")
        is_account = credentials == _basic(self.SID, self.TOKEN)
        if not is_account and credentials != _basic(self.KEY, self.KEY_SECRET):
            return self.UNAUTHORIZED
        if request.method == "GET":
            return self._question(request.path, is_account=is_account)
        values = dict(parse_qsl(request.body.decode(), strict_parsing=True))
        account = f"/2010-04-01/Accounts/{self.SID}"
        if request.path == f"{account}/Messages.json":
            if len(values["Body"]) > 1600:
                return self.TOO_LONG
        else:
            assert request.path == f"{account}/Calls.json"
            assert len(values["Twiml"]) <= 4000
            ElementTree.fromstring(values["Twiml"])
        if not re.fullmatch(r"\+\d{6,15}", values["To"]):
            return self.INVALID_TO
        self.taken.append(values)
        return as_json(201, {"sid": "SM0123", "status": "queued"})

    def _question(self, path: str, *, is_account: bool) -> Reply:
        account = f"/2010-04-01/Accounts/{self.SID}"
        if path == f"{account}.json":  # which no key but a main one may ask
            return self.lives({"status": self.status}) if is_account else self.UNAUTHORIZED
        assert re.fullmatch(rf"{account}/(Messages|Calls)\.json\?PageSize=1", path)
        return self.lives({"messages": [], "calls": []})


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
