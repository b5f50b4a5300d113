"""A write that is sent again is answered again, not done again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from accounts.models import IdempotentRequest, Membership
from monitors.models import Monitor
from tests.api.conftest import Api
from tests.factories import MembershipFactory, make_monitor

HTTP = {"name": "Shop", "kind": "http", "target": "http://127.0.0.1:9/"}
KEY = {"Idempotency_Key": "order-66"}


@pytest.mark.django_db
class TestTheSameKey:
    def test_with_the_same_body_gets_the_first_answer(self, api: Api) -> None:
        first = api.post("monitors/", HTTP, **KEY)
        again = api.post("monitors/", dict(reversed(HTTP.items())), **KEY)

        assert (first.status_code, again.status_code) == (201, 201)
        assert again.json() == first.json()
        assert again["Location"] == first["Location"]
        assert again["Idempotent-Replayed"] == "true"
        assert Monitor.objects.count() == 1

    def test_gets_a_refusal_again_too(self, api: Api) -> None:
        first = api.post("monitors/", {**HTTP, "interval": 0}, **KEY)
        again = api.post("monitors/", {**HTTP, "interval": 0}, **KEY)

        assert (first.status_code, again.status_code) == (400, 400)
        assert again.json() == first.json()

    def test_is_free_again_when_the_database_went_away_meanwhile(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def go_away(**_: Any) -> None:
            raise OperationalError("the connection is lost")

        with monkeypatch.context() as patched:
            patched.setattr("monitors.api.create_monitor", go_away)
            first = api.post("monitors/", HTTP, **KEY)

        assert first.status_code == 503
        assert first.json()["error"]["code"] == "unavailable"
        assert api.post("monitors/", HTTP, **KEY).status_code == 201

    def test_gets_an_empty_answer_again(self, api: Api, membership: Membership) -> None:
        path = f"monitors/{make_monitor(membership.team).pk}/"

        assert api.delete(path, **KEY).status_code == 204
        again = api.delete(path, **KEY)
        assert (again.status_code, again.content) == (204, b"")

    @pytest.mark.parametrize("other", [{**HTTP, "name": "Other"}, {}])
    def test_with_another_body_is_a_conflict(self, api: Api, other: dict[str, Any]) -> None:
        api.post("monitors/", HTTP, **KEY)

        answer = api.post("monitors/", other, **KEY)

        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "idempotency_key_reused"

    def test_at_another_address_is_a_conflict(self, api: Api) -> None:
        api.post("monitors/", HTTP, **KEY)

        assert api.post("channels/", HTTP, **KEY).status_code == 409

    def test_is_another_teams_own(self, api: Api, api_of: Callable[..., Api]) -> None:
        api.post("monitors/", HTTP, **KEY)

        theirs = api_of(MembershipFactory()).post("monitors/", HTTP, **KEY)

        assert theirs.status_code == 201
        assert "Idempotent-Replayed" not in theirs

    def test_is_free_again_after_a_day(self, api: Api) -> None:
        api.post("monitors/", HTTP, **KEY)
        IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(hours=24))

        answer = api.post("monitors/", {**HTTP, "name": "Other"}, **KEY)

        assert answer.status_code == 201
        assert Monitor.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é"])
def test_a_key_of_a_wrong_form_is_refused(api: Api, key: str) -> None:
    assert api.post("monitors/", HTTP, Idempotency_Key=key).status_code == 400


@pytest.mark.django_db
def test_a_secret_in_an_answer_is_not_kept_in_the_clear(api: Api) -> None:
    body = {"name": "Hook", "type": "webhook", "config": {"url": "http://127.0.0.1:9/"}}

    first = api.post("channels/", body, **KEY).json()

    assert len(first["config"]["secret"]) > 20
    assert first["config"]["secret"] not in str(IdempotentRequest.objects.values().get())
    assert api.post("channels/", body, **KEY).json() == first


@pytest.mark.django_db
def test_a_fault_of_ours_is_not_remembered(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(**_: Any) -> Monitor:
        raise RuntimeError("out of paper")

    with monkeypatch.context() as broken:
        broken.setattr("monitors.api.create_monitor", break_down)
        with pytest.raises(RuntimeError, match="out of paper"):
            api.post("monitors/", HTTP, **KEY)

    assert api.post("monitors/", HTTP, **KEY).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_while_the_first_request_runs_the_second_is_told_to_wait(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, may_end = Event(), Event()
    from monitors.api import create_monitor

    def create_slowly(**given: Any) -> Monitor:
        has_begun.set()
        assert may_end.wait(10)
        return create_monitor(**given)

    def send() -> int:
        try:
            return api.post("monitors/", HTTP, **KEY).status_code
        finally:
            connection.close()

    monkeypatch.setattr("monitors.api.create_monitor", create_slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send)
        assert has_begun.wait(10)
        second = api.post("monitors/", HTTP, **KEY)
        may_end.set()

        assert second.status_code == 409
        assert second.json()["error"]["code"] == "request_in_progress"
        assert second["Retry-After"] == "1"
        assert first.result(10) == 201
    assert Monitor.objects.count() == 1
