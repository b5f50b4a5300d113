"""The domain check against a registry on loopback that answers as told."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from probe.kinds import KINDS
from probe.values import Observation, Reason, Status
from tests.probe.conftest import Check
from tests.servers import http
from tests.servers.raw import free_port, serve


def registration(**changes: Any) -> bytes:
    days = changes.pop("days", 400)
    ends_at = datetime.now(UTC) + timedelta(days=days, hours=1)
    document = {
        "objectClassName": "domain",
        "ldhName": "x.example",
        "status": ["active"],
        "events": [
            {"eventAction": "registration", "eventDate": "2001-01-01T00:00:00Z"},
            {"eventAction": "expiration", "eventDate": ends_at.isoformat()},
        ],
        "entities": [
            {"roles": ["registrar"], "vcardArray": ["vcard", [["fn", {}, "text", "Names Inc"]]]}
        ],
    }
    return http.respond(json.dumps({**document, **changes}).encode())


async def look_up(check: Check, answer: bytes, **settings: Any) -> tuple[Observation, str]:
    async with serve(http.answer(answer)) as server:
        seen = await check("domain", "x.example", rdap_url=server.url, **settings)
        return seen, seen.message.replace(server.url, "URL")


async def test_a_registration_with_time_left_is_up(check: Check) -> None:
    seen, message = await look_up(check, registration())
    assert (seen.status, message) == (Status.UP, "")
    assert seen.details is not None
    assert seen.details["registrar"] == "Names Inc"
    assert seen.details["statuses"] == ["active"]


async def test_the_registry_is_asked_for_the_domain(check: Check) -> None:
    heads: list[bytes] = []
    async with serve(http.answer(registration(), seen=heads)) as server:
        await check("domain", "Bücher.Example.", rdap_url=f"{server.url}/rdap/")
    assert http.path_of(heads[0]) == "/rdap/domain/xn--bcher-kva.example"
    assert http.header_of(heads[0], "accept") == "application/rdap+json, application/json"


async def test_redirects_to_the_registry_are_followed(check: Check) -> None:
    async with serve(http.answer(registration(days=5))) as registry:
        answer = http.redirect(f"{registry.url}/domain/x.example")
        seen, _ = await look_up(check, answer)
    assert seen.reason == Reason.DOMAIN_EXPIRING


VERDICTS: dict[str, tuple[bytes, Status, Reason, str]] = {
    "near its end": (
        registration(days=12),
        Status.DEGRADED,
        Reason.DOMAIN_EXPIRING,
        "12 days left, expected at least 30 (registrar: Names Inc).",
    ),
    "expired": (
        registration(days=-3),
        Status.DOWN,
        Reason.DOMAIN_EXPIRED,
        "3 days ago (registrar: Names Inc).",
    ),
    "lapsed": (
        registration(status=["redemption period"]),
        Status.DOWN,
        Reason.DOMAIN_EXPIRED,
        "The registration of x.example has lapsed: redemption period (registrar: Names Inc).",
    ),
    "on hold": (
        registration(status=["Client Hold"], entities=[]),
        Status.DOWN,
        Reason.DOMAIN_EXPIRED,
        "x.example is on hold and does not resolve: client hold.",
    ),
    "not registered": (
        http.respond(b"{}", status="404 Not Found"),
        Status.DOWN,
        Reason.DOMAIN_EXPIRED,
        "x.example is not registered, says URL/domain/x.example.",
    ),
    "no end": (
        registration(events=[]),
        Status.UNKNOWN,
        Reason.CHECK_ERROR,
        "The registration of x.example says nothing of its end.",
    ),
    "an end before all time": (
        registration(
            events=[{"eventAction": "expiration", "eventDate": "0001-01-01T00:00:00+14:00"}]
        ),
        Status.UNKNOWN,
        Reason.CHECK_ERROR,
        "The registration of x.example can't be looked up: URL/domain/x.example can't be read: its"
        " end lies beyond the calendar.",
    ),
    "too many questions": (
        http.respond(b"", status="429 Too Many Requests"),
        Status.UNKNOWN,
        Reason.CHECK_ERROR,
        "The registration of x.example can't be looked up: URL/domain/x.example answered with"
        " status 429.",
    ),
    "no JSON": (
        http.respond(b"<html>"),
        Status.UNKNOWN,
        Reason.CHECK_ERROR,
        "can't be read: Expecting value: line 1 column 1 (char 0).",
    ),
    "another object": (
        http.respond(b'{"objectClassName": "nameserver"}'),
        Status.UNKNOWN,
        Reason.CHECK_ERROR,
        "can't be read: it is no RDAP answer about a domain.",
    ),
    "a date that is none": (
        registration(events=[{"eventAction": "expiration", "eventDate": "soon"}]),
        Status.UNKNOWN,
        Reason.CHECK_ERROR,
        "can't be read: Invalid isoformat string: 'soon'.",
    ),
    "shapes that are none": (
        registration(events={"a": 1}, status="active", entities=[1, {"roles": "registrar"}]),
        Status.UNKNOWN,
        Reason.CHECK_ERROR,
        "The registration of x.example says nothing of its end.",
    ),
}


@pytest.mark.parametrize("name", VERDICTS)
async def test_what_a_registry_says_is_judged(name: str, check: Check) -> None:
    answer, status, reason, end = VERDICTS[name]
    seen, message = await look_up(check, answer)
    assert (seen.status, seen.reason) == (status, reason), message
    assert message.endswith(end), message


async def test_a_registry_that_is_away_is_not_the_domains_fault(check: Check) -> None:
    seen = await check("domain", "x.example", rdap_url=f"http://127.0.0.1:{free_port()}")
    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.CHECK_ERROR)
    assert "was refused" in seen.message


async def test_days_can_be_asserted(check: Check) -> None:
    wanted = {"source": "domain_days", "comparison": "at_least", "value": 500}
    seen, _ = await look_up(check, registration(), assertions=[wanted])
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.ASSERTION_FAILED)


async def test_forbidden_networks_are_not_asked(check: Check) -> None:
    seen, _ = await look_up(check, registration(), allow_private=False)
    assert (seen.status, seen.reason) == (Status.DOWN, Reason.TARGET_FORBIDDEN)


@pytest.mark.parametrize("bad", ["", "example", "192.0.2.1", "::1", "a b.example"])
def test_a_domain_has_two_labels(bad: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        KINDS["domain"].clean_target(bad)


# The manual kind, beside it because it is as short


@pytest.mark.parametrize("status", ["degraded", "down"])
async def test_people_set_the_status(status: str, check: Check) -> None:
    bare = await check("manual", status=status)
    noted = await check("manual", status=status, note="The lift is stuck.")
    assert (bare.status, bare.reason) == (Status(status), Reason.MANUAL)
    assert bare.message == f"Set to {status} by hand."
    assert noted.message == "The lift is stuck."


async def test_a_manual_monitor_is_up_at_first(check: Check) -> None:
    assert (await check("manual")).status == Status.UP
    with pytest.raises(ValueError, match="no target"):
        KINDS["manual"].clean_target("x")
