"""Who the http check says it is: digest, OAuth2, and what it tells when that fails."""

import json
import re
from dataclasses import replace
from urllib.parse import parse_qs

import pytest

from probe.prober import Prober
from probe.values import Job, Reason, Status
from tests.probe.conftest import Check, make_job
from tests.servers import http
from tests.servers.http import header_of
from tests.servers.raw import Conduct, Connection, free_port, serve

CHALLENGE = http.respond(
    status="401 Unauthorized",
    headers={"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'},
)
SECRET = {"type": "oauth2", "client_id": "app", "client_secret": "s3cret"}


async def test_digest_answers_the_challenge(check: Check) -> None:
    seen: list[bytes] = []

    def guard(head: bytes) -> bytes:
        return http.OK if header_of(head, "Authorization") else CHALLENGE

    async with serve(http.react(guard, seen=seen)) as server:
        auth = {"type": "digest", "username": "ana", "password": "secret"}
        result = await check("http", server.url, auth=auth)
    assert result.status == Status.UP, result.message
    answer = header_of(seen[-1], "Authorization") or ""
    assert answer.startswith('Digest username="ana"')
    assert "secret" not in answer


async def test_digest_logs_in_for_head_and_for_get(check: Check) -> None:
    seen: list[bytes] = []

    def guard(head: bytes) -> bytes:
        return http.OK if header_of(head, "Authorization") else CHALLENGE

    async with serve(http.react(guard, seen=seen)) as server:
        auth = {"type": "digest", "username": "ana", "password": "secret"}
        result = await check("http", server.url, auth=auth, method="HEAD")
    assert (result.status, result.http_status) == (Status.UP, 200), result.message
    logged_in = [head.split(b" ")[0] for head in seen if header_of(head, "Authorization")]
    assert logged_in == [b"HEAD", b"GET"]


async def test_digest_stays_with_its_host(check: Check) -> None:
    seen: list[bytes] = []
    async with (
        serve(http.answer(CHALLENGE, seen=seen)) as stranger,
        serve(http.answer(http.redirect(stranger.url))) as own,
    ):
        auth = {"type": "digest", "username": "ana", "password": "secret"}
        await check("http", own.url, auth=auth)
    assert [header_of(head, "Authorization") for head in seen] == [None]


async def test_a_server_that_challenges_without_end_is_down(check: Check) -> None:
    stale = 'Digest realm="r", nonce="n", qop="auth", stale=true'
    again = http.respond(status="401 Unauthorized", headers={"WWW-Authenticate": stale})
    async with serve(http.answer(again)) as server:
        auth = {"type": "digest", "username": "ana", "password": "secret"}
        seen = await check("http", server.url, auth=auth, timeout=10)
    assert (seen.status, seen.reason, seen.http_status) == (Status.DOWN, Reason.HTTP_STATUS, 401)
    assert re.fullmatch(
        rf"127\.0\.0\.1 port {server.port} answers each login with a new challenge"
        r" \(status 401\), after \d+ ms\.",
        seen.message,
    )


class TokenServer:
    """Hands out tokens t1, t2, ...; `forms` are what was asked."""

    def __init__(self, *, expires_in: object = 3600) -> None:
        self.heads: list[bytes] = []
        self.forms: list[dict[str, list[str]]] = []
        self._expires_in = expires_in

    async def conduct(self, connection: Connection) -> None:
        head = await connection.read_request()
        length = int(header_of(head, "Content-Length") or 0)
        self.heads.append(head)
        self.forms.append(parse_qs((await connection.reader.readexactly(length)).decode()))
        token = {"access_token": f"t{len(self.forms)}", "expires_in": self._expires_in}
        await connection.send(http.respond(json.dumps(token).encode()))


def oauth_job(url: str, token_url: str, **auth: object) -> Job:
    return make_job("http", url, auth=SECRET | {"token_url": token_url} | auth)


async def test_a_token_is_fetched_once_and_shown(prober: Prober) -> None:
    tokens, seen = TokenServer(), list[bytes]()
    async with serve(tokens.conduct) as issuer, serve(http.answer(http.OK, seen=seen)) as server:
        job = oauth_job(server.url, issuer.url, scope="read write", audience="api")
        for _ in range(3):
            assert (await prober.observe(job)).status == Status.UP
    assert [header_of(head, "Authorization") for head in seen] == ["Bearer t1"] * 3
    assert tokens.forms == [
        {"grant_type": ["client_credentials"], "scope": ["read write"], "audience": ["api"]}
    ]
    assert (header_of(tokens.heads[0], "Authorization") or "").startswith("Basic ")


async def test_credentials_can_go_in_the_body(prober: Prober) -> None:
    tokens = TokenServer()
    async with serve(tokens.conduct) as issuer, serve(http.answer(http.OK)) as server:
        await prober.observe(oauth_job(server.url, issuer.url, send_in="body"))
    assert tokens.forms[0]["client_secret"] == ["s3cret"]
    assert header_of(tokens.heads[0], "Authorization") is None


@pytest.mark.parametrize("expires_in", [0, "0", -5])
async def test_a_token_that_has_run_out_is_fetched_anew(prober: Prober, expires_in: object) -> None:
    tokens, seen = TokenServer(expires_in=expires_in), list[bytes]()
    async with serve(tokens.conduct) as issuer, serve(http.answer(http.OK, seen=seen)) as server:
        job = oauth_job(server.url, issuer.url)
        for _ in range(2):
            await prober.observe(job)
    assert [header_of(head, "Authorization") for head in seen] == ["Bearer t1", "Bearer t2"]


async def test_a_token_that_was_withdrawn_is_replaced_within_the_check(prober: Prober) -> None:
    good = {"Bearer t1"}

    def guard(head: bytes) -> bytes:
        is_good = header_of(head, "Authorization") in good
        return http.OK if is_good else http.respond(status="401 Unauthorized")

    async with serve(TokenServer().conduct) as issuer, serve(http.react(guard)) as server:
        job = oauth_job(server.url, issuer.url)
        assert (await prober.observe(job)).status == Status.UP
        good.clear()
        good.add("Bearer t2")
        seen = await prober.observe(job)
    assert seen.status == Status.UP, seen.message


TOKEN_FAILURES: dict[str, tuple[Conduct, Reason, str]] = {
    "it knows no such client": (
        http.answer(
            http.respond(
                b'{"error": "invalid_client", "error_description": "who?"}', status="401 No"
            )
        ),
        Reason.HTTP_STATUS,
        r"No OAuth2 token from URL: status 401 \(invalid_client: who\?\)\.",
    ),
    "it answers with a page": (
        http.answer(http.respond(b"<html>")),
        Reason.HTTP_STATUS,
        r"No OAuth2 token from URL: status 200 without an access_token\.",
    ),
    "its token is no text": (
        http.answer(http.respond(b'{"access_token": "a\\nb"}')),
        Reason.HTTP_STATUS,
        r"No OAuth2 token from URL: status 200 without an access_token\.",
    ),
    "it closes": (
        http.close_after_request,
        Reason.HTTP_PROTOCOL,
        r"No OAuth2 token from URL: HOST closed the connection without an answer, after \d+ ms\.",
    ),
    "it says nothing": (
        http.stay_silent,
        Reason.TIMEOUT,
        r"No OAuth2 token from URL: HOST took longer than 0\.5 s, while waiting for the first"
        r" byte\.",
    ),
}


@pytest.mark.parametrize("name", TOKEN_FAILURES)
async def test_a_token_server_is_told_when(name: str, check: Check) -> None:
    conduct, reason, message = TOKEN_FAILURES[name]
    async with serve(conduct) as issuer, serve(http.answer(http.OK)) as server:
        auth = SECRET | {"token_url": issuer.url}
        seen = await check("http", server.url, auth=auth, timeout=0.5)
    assert (seen.status, seen.reason) == (Status.DOWN, reason), seen
    wanted = message.replace("URL", rf"{issuer.url}/")
    assert re.fullmatch(wanted.replace("HOST", f"127.0.0.1 port {issuer.port}"), seen.message)
    assert server.connections == 0


async def test_a_token_server_inside_is_guarded(prober: Prober) -> None:
    job = oauth_job("http://192.0.2.1", f"http://127.0.0.1:{free_port()}")
    seen = await prober.observe(replace(job, spec=replace(job.spec, allow_private=False)))
    assert seen.reason == Reason.TARGET_FORBIDDEN
