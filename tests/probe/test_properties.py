"""Whatever bytes a server sends, a check ends in time with a verdict about the target."""

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from probe.prober import Prober
from probe.values import Observation, Status
from tests.probe.conftest import make_job
from tests.servers import http
from tests.servers.raw import serve

TIMEOUT_S = 0.5

_PIECES = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 302 Found\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 999 \xff\r\n",
    b"HTTP/1.0 204\r\n",
    b"HTTP/2 200\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: br, zstd\r\n",
    b"Content-Type: text/html; charset=\xff\r\n",
    b"Location: /again\r\n",
    b"Location: //[::1]:0/\xff\r\n",
    b"Location: http://\x80/\r\n",
    b"Set-Cookie: a=\xff; Domain=.; Path=\r\n",
    b": nameless\r\n",
    b" folded\r\n",
    b"\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"\x1f\x8b\x08\x00",
    b'{"a": [1, 2',
]
responses = st.lists(st.one_of(st.sampled_from(_PIECES), st.binary(max_size=40)), max_size=12)

ASSERTIONS = [
    {"source": "header", "property": "content-type", "comparison": "matches", "value": "x"},
    {"source": "json", "property": "$..a", "comparison": "equals", "value": 1},
    {"source": "body", "comparison": "contains", "value": "hello", "severity": "degraded"},
]


@dataclass(frozen=True)
class Outcome:
    http: Observation
    tcp: Observation
    seconds: float


async def _observe(response: bytes) -> Outcome:
    async with serve(http.answer(response)) as server, Prober() as prober:
        started_at = asyncio.get_running_loop().time()
        by_http = make_job("http", server.url, timeout=TIMEOUT_S, assertions=ASSERTIONS)
        by_tcp = make_job(
            "tcp",
            f"127.0.0.1:{server.port}",
            timeout=TIMEOUT_S,
            send=r"GET / HTTP/1.0\r\n\r\n",
            expect="hello",
        )
        seen = await asyncio.gather(prober.observe(by_http), prober.observe(by_tcp))
        return Outcome(*seen, asyncio.get_running_loop().time() - started_at)


@settings(max_examples=100, deadline=None)
@given(responses)
def test_no_answer_makes_a_check_fail_by_itself(pieces: list[bytes]) -> None:
    outcome = asyncio.run(_observe(b"".join(pieces)))
    for seen in (outcome.http, outcome.tcp):
        assert seen.status in (Status.UP, Status.DEGRADED, Status.DOWN), seen
        assert (seen.reason is None) == (seen.status == Status.UP)
        assert bool(seen.message) == (seen.status != Status.UP)
    assert outcome.seconds < TIMEOUT_S + 0.25
