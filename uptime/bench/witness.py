"""What the outside sees of a fault run: targets that go up and down, and a receiver of alerts.

    with witness(seed=1) as outside:
        outside.target(7)       # URL of the seventh target
        outside.calm()          # from now on all targets are up
        outside.evidence()     # how often each target was asked, and what the receiver got

A process of its own, which no fault reaches: what it counted is the truth.
"""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

# Of every ten targets one goes up and down, of every fifty one takes its time.
FLAPPING, SLOW = 10, 50
SLOWNESS_S = 1.5


@dataclass(frozen=True, slots=True)
class Evidence:
    """`up[n]` and `down[n]`: how often target n answered so. `told[id]`: how often that came."""

    up: dict[int, int]
    down: dict[int, int]
    told: dict[str, int]


@dataclass(frozen=True, slots=True)
class Witness:
    port: int

    @property
    def receiver(self) -> str:
        return f"http://127.0.0.1:{self.port}/told"

    def target(self, number: int) -> str:
        return f"http://127.0.0.1:{self.port}/{number}"

    def calm(self) -> None:
        self._ask("calm")

    def evidence(self) -> Evidence:
        found = json.loads(self._ask("evidence"))
        up, down = ({int(n): count for n, count in found[way].items()} for way in ("up", "down"))
        return Evidence(up, down, found["told"])

    def _ask(self, what: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{what}", timeout=30) as answer:
            body: bytes = answer.read()
        return body


@contextmanager
def witness(*, seed: int) -> Iterator[Witness]:
    """Start one; with the same seed its targets go up and down at the same instants."""
    with subprocess.Popen(  # noqa: S603 - this interpreter, on this module
        [sys.executable, "-m", "uptime.bench.witness", str(seed)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield Witness(int(process.stdout.readline()))
        finally:
            process.terminate()


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A target's: of every `cycle_s` it is down for `down_s`, the first time after `first_s`."""

    cycle_s: float
    down_s: float
    first_s: float

    @classmethod
    def of(cls, seed: int, number: int) -> "Rhythm":
        chance = Random(f"{seed}/{number}")  # noqa: S311 - the same each time
        cycle_s = chance.uniform(16, 40)
        return cls(cycle_s, chance.uniform(0.3, 0.5) * cycle_s, chance.uniform(2, cycle_s))

    def is_down(self, at_s: float) -> bool:
        return at_s >= self.first_s and (at_s - self.first_s) % self.cycle_s < self.down_s


class _Outside:
    """What this process counts."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._began = time.monotonic()
        self._is_calm = False
        self._rhythms: dict[int, Rhythm] = {}
        self._answers: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._told: Counter[str] = Counter()

    def answer(self, path: str, event_id: str) -> tuple[int, bytes, float]:
        """Status, body and the seconds to wait with it."""
        if path.isdecimal():
            number = int(path)
            way = "down" if self._is_down(number) else "up"
            self._answers[way][number] += 1
            return (503 if way == "down" else 200), b"", SLOWNESS_S * (number % SLOW == SLOW - 1)
        if path == "told":
            self._told[event_id] += 1
        elif path == "calm":
            self._is_calm = True
        elif path == "evidence":
            return 200, json.dumps({**self._evidence(), "told": self._told}).encode(), 0
        return 200, b"", 0

    def _is_down(self, number: int) -> bool:
        if self._is_calm or number % FLAPPING:
            return False
        if number not in self._rhythms:
            self._rhythms[number] = Rhythm.of(self._seed, number)
        return self._rhythms[number].is_down(time.monotonic() - self._began)

    def _evidence(self) -> dict[str, Counter[int]]:
        return {way: self._answers[way] for way in ("up", "down")}


async def _serve(seed: int) -> None:
    outside = _Outside(seed)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            await reader.readexactly(int(headers.get("content-length", 0)))
            path = lines[0].split(" ")[1].strip("/")
            status, body, wait_s = outside.answer(path, headers.get("x-uptime-event-id", ""))
            await asyncio.sleep(wait_s)
            answer = f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{answer}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # whoever asked was killed
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
