"""Bad input is told apart and refused in one shape; nothing of it is a fault of ours."""

from typing import Any

import pytest
from django.test import AsyncRequestFactory, Client

from accounts.models import Membership, Team
from monitors.api import Monitors
from tests.api.conftest import Api
from tests.factories import make_monitor
from uptime.api.body import MAX_DEPTH, parse_json
from uptime.api.errors import Refused
from uptime.api.throttling import Budget, admit

NESTED = b"[" * 5000 + b"]" * 5000


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": "x\\u0000y"}',
        b'{"a\\u0000": 1}',
        b'{"a": ["\\ud800"]}',
        b'{"a": "\x00"}',
        NESTED,
        b'{"a":' * 200 + b"1" + b"}" * 200,
    ],
)
@pytest.mark.django_db
def test_what_is_no_json_is_refused(api: Api, raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse_json(raw)
    assert refused.value.status == 400

    answer = api.post("monitors/", raw)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "malformed"


def test_what_is_json_is_taken() -> None:
    assert parse_json(b'{"a": [1, 2.5, null, "\\u00e9 \\\\u0000"]}') == {
        "a": [1, 2.5, None, "é \\u0000"]
    }
    parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


@pytest.mark.parametrize("body", [[], "text", 1, None, True, [{}]])
@pytest.mark.parametrize("path", ["monitors/", "monitors/bulk/", "channels/", "policies/"])
@pytest.mark.django_db
def test_a_body_that_is_no_object_is_refused(api: Api, path: str, body: Any) -> None:
    answer = api.client.post(
        f"/api/v1/{path}",
        "null" if body is None else body,
        content_type="application/json",
        headers=api.headers,
    )

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "nonsense",
    ],
)
@pytest.mark.parametrize("has_session", [True, False])
@pytest.mark.django_db
def test_another_content_type_is_refused(
    api: Api, membership: Membership, content_type: str, has_session: bool
) -> None:
    if has_session:  # Django's CSRF check reads forms before we do
        client = Client(enforce_csrf_checks=True)
        client.force_login(membership.user)
        client.cookies["csrftoken"] = "x" * 32
        caller = Api(None, client)
        caller.headers = {"X-CSRFToken": "x" * 32}
    else:
        caller = api

    answer = caller.post("monitors/", b"name=x", Content_Type=content_type)

    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_media_type"


@pytest.mark.django_db
def test_a_body_over_the_limit_is_refused(api: Api) -> None:
    answer = api.post("monitors/", b'{"name": "' + b"x" * (2 << 20) + b'"}')

    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"


@pytest.mark.django_db
def test_a_body_without_a_length_is_read(api: Api) -> None:
    raw = b'{"name": "x", "kind": "heartbeat"}'
    request = AsyncRequestFactory().post(
        "/api/v1/monitors/", raw, content_type="application/json", headers=api.headers
    )
    del request.META["CONTENT_LENGTH"]  # as when it is sent in chunks

    answer = Monitors.as_view()(request)

    assert answer.status_code == 201


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nowhere/",
        "monitors",
        "monitors/1/",
        "monitors/not-a-uuid/",
        "monitors/01890000-0000-7000-8000-000000000000/x/",
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
@pytest.mark.django_db
def test_an_address_that_is_none_is_not_found(api: Api, path: str, method: str) -> None:
    answer = api.get(path) if method == "get" else api.send(method, path)

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    "method", ["DELETE", "PUT", "OPTIONS", "TRACE", "READ", "DISPATCH", "X" * 99]
)
@pytest.mark.django_db
def test_a_method_that_is_none_is_refused(api: Api, method: str) -> None:
    answer = api.client.generic(method, "/api/v1/monitors/", headers=api.headers)

    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert answer["Allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("action", ["pause", "resume", "check"])
@pytest.mark.django_db
def test_an_action_takes_no_fields(api: Api, team: Team, action: str) -> None:
    monitor = make_monitor(team)

    assert api.post(f"monitors/{monitor.pk}/{action}/", {"force": 1}).status_code == 400
    path = f"/api/v1/monitors/{monitor.pk}/{action}/"
    bodiless = api.client.generic("POST", path, headers=api.headers)
    assert bodiless.status_code in (200, 202, 409)


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", ""])
@pytest.mark.django_db
def test_the_answer_is_json_whatever_is_asked_for(api: Api, accept: str) -> None:
    answer = api.client.get("/api/v1/monitors/?limit=1", headers={**api.headers, "Accept": accept})

    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"


@pytest.mark.django_db
def test_a_fault_of_ours_says_so_in_the_same_shape(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: Any) -> None:
        raise RuntimeError("out of paper")

    monkeypatch.setattr("monitors.api.present_monitors", break_down)
    api.client.raise_request_exception = False

    answer = api.get("monitors/")

    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "paper" not in answer.content.decode()


class TestRateLimit:
    def test_is_a_budget_that_refills(self) -> None:
        now = [100.0]
        budget = Budget(per_minute=3, clock=lambda: now[0])
        for _ in range(3):
            budget.take("me")
        with pytest.raises(Refused) as refused:
            budget.take("me")
        assert refused.value.retry_after == pytest.approx(20)
        budget.take("somebody else")

        now[0] += 20
        budget.take("me")
        with pytest.raises(Refused):
            budget.take("me")

    def test_refusals_cost_nothing(self) -> None:
        ready_at, wait = admit(130.0, 100.0, gap=20, burst=2)

        assert (ready_at, wait) == (130.0, 10.0)

    def test_forgets_the_rested_before_memory_fills(self) -> None:
        now = [0.0]
        budget = Budget(per_minute=60, clock=lambda: now[0])
        budget.MAX_CALLERS = 10
        for caller in range(10):
            budget.take(caller)
        now[0] += 60
        budget.take("new")

        assert len(budget._ready_at) == 1

    @pytest.mark.django_db
    def test_answers_429_with_retry_after(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("uptime.api.views.CALLERS", Budget(1))
        assert api.get("monitors/").status_code == 200

        answer = api.get("monitors/")

        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "rate_limited"
        assert 1 <= int(answer["Retry-After"]) <= 60

    @pytest.mark.django_db
    def test_of_strangers_does_not_touch_those_with_a_token(
        self, api: Api, stranger: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("uptime.api.views.STRANGERS", Budget(1))

        assert stranger.get("monitors/").status_code == 401
        assert stranger.get("monitors/").status_code == 429
        assert Api("upt_wrong").get("monitors/").status_code == 429
        assert api.get("monitors/").status_code == 200


def test_a_field_that_is_given_twice_is_found_among_very_many(api: Api) -> None:
    """Compared each with each, these would keep a process busy for minutes."""
    names = [*(f'"{number:x}":1' for number in range(150_000)), '"0":1']
    answer = api.post("monitors/", f"{{{','.join(names)}}}".encode())
    assert answer.status_code == 400
    assert "'0' is given twice" in answer.json()["error"]["message"]
