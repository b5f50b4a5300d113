"""redis: connect, log in, PING, and optionally a command with the value that it should give.

RESP2 by hand over a session (redis.io/docs/latest/develop/reference/protocol-spec): so that the
address that was judged is the one connected to, and what a server may send is bounded.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from probe.assertions import Judge, Source
from probe.kinds.base import Kind, clean_host, join_host_port, split_host_port
from probe.kinds.session import (
    NETWORK_SECTION,
    TLS_SECTION,
    Session,
    SessionPlan,
    StreamSettings,
    observe_session,
)
from probe.net import Net, Trouble
from probe.starttls import StartTls, shown
from probe.values import Job, Observation, Reason, Spec

PORT = 6379
MAX_ANSWER_BYTES = 1_048_576
MAX_ITEMS, MAX_DEPTH = 10_000, 8
"""How much of an answer is taken in, and how deep arrays in arrays may go."""


class RedisSettings(StreamSettings):
    sources: ClassVar[frozenset[Source]] = (StreamSettings.sources - {Source.BANNER}) | {
        Source.VALUE,
        Source.ROWS,
    }

    tls: bool = Field(default=False, title="TLS", description="Speak TLS from the first byte.")
    username: str | None = Field(
        default=None,
        max_length=500,
        title="User name",
        description="Of an access control list (ACL). Empty: the default user.",
    )
    password: SecretStr | None = Field(default=None, max_length=2000, title="Password")
    database: int = Field(default=0, ge=0, le=65_535, title="Database", description="Its number.")
    query: str | None = Field(
        default=None,
        max_length=10_000,
        title="Command",
        description="Such as `GET queue:length`. Empty: only PING.",
    )
    expected: str | None = Field(
        default=None,
        max_length=10_000,
        title="Expected value",
        description="What the command must give, as text.",
    )

    @field_validator("query")
    @classmethod
    def _check_query(cls, query: str | None) -> str | None:
        if not query or not query.strip():
            return None
        try:
            shlex.split(query)
        except ValueError as error:
            raise ValueError(f"This is not a command: {error}") from None
        return query

    @model_validator(mode="after")
    def _check_parts_fit(self) -> Self:
        if self.expected is not None and self.query is None:
            raise ValueError("An expected value needs a command that gives it")
        if self.username and self.password is None:
            raise ValueError("A user name and its password go together")
        return self


@dataclass(frozen=True, slots=True)
class RedisPlan(SessionPlan):
    own: RedisSettings
    command: tuple[str, ...]


def make_plan(spec: Spec) -> RedisPlan:
    settings: RedisSettings = spec.settings
    host, port = split_host_port(spec.target)
    judge = Judge(settings.assertions, settings.assertion_tree)
    command = tuple(shlex.split(settings.query or ""))
    way: StartTls | None = "none" if settings.tls else None
    return RedisPlan(host, port, way, settings, judge, settings, command)


class RedisError(Exception):
    """What a server answers when it will not."""


def encode(*words: str) -> bytes:
    """A command as an array of strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Reader:
    """Answers out of a session's stream. Raises Trouble where they are none, or too large."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._buffer = bytearray()
        self._size = 0

    async def answer(self, depth: int = 0) -> Any:
        """The next answer: str, int, None or a list of them. RedisError where it is an error."""
        line = await self._line()
        mark, rest = line[:1], line[1:]
        if mark == b"+":
            return _text(rest)
        if mark == b"-":
            raise RedisError(_text(rest))
        if mark in (b":", b"$", b"*"):
            number = self._number(rest, line)
            if mark == b":":
                return number
            if number == -1:
                return None
            if number < 0:
                raise self._strange("an answer of Redis", line)
            if mark == b"$":
                return _text(await self._bytes(number))
            if number > MAX_ITEMS or depth >= MAX_DEPTH:
                raise self._strange("an array that large or deep", line)
            return [await self.answer(depth + 1) for _ in range(number)]
        raise self._strange("an answer of Redis", line)

    def _number(self, digits: bytes, line: bytes) -> int:
        if len(digits) > 19 or not digits.removeprefix(b"-").isdigit():
            raise self._strange("a number", line)
        return int(digits)

    async def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            await self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    async def _bytes(self, count: int) -> bytes:
        if count > MAX_ANSWER_BYTES:
            raise self._too_large()
        while len(self._buffer) < count + 2:
            await self._fill()
        data = bytes(self._buffer[:count])
        del self._buffer[: count + 2]
        return data

    async def _fill(self) -> None:
        data = await self._session.stream.receive()
        if not data:
            so_far = f"after {shown(_text(bytes(self._buffer)))}" if self._buffer else "first"
            raise Trouble(
                Reason.BANNER_MISMATCH,
                f"{self._session.place} closed the connection instead of answering ({so_far}).",
            )
        self._buffer += data
        self._size += len(data)
        if self._size > MAX_ANSWER_BYTES:
            raise self._too_large()

    def _too_large(self) -> Trouble:
        return Trouble(
            Reason.BODY_TOO_LARGE,
            f"{self._session.place} answered with more than {MAX_ANSWER_BYTES} bytes.",
        )

    def _strange(self, expected: str, got: bytes) -> Trouble:
        return Trouble(
            Reason.BANNER_MISMATCH,
            f"Expected {expected} from {self._session.place}, got {shown(_text(got))}.",
        )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


async def _talk(session: Session, plan: RedisPlan) -> None:
    reader, settings = Reader(session), plan.own
    if settings.password is not None:
        session.doing = "logging in"
        password = settings.password.get_secret_value()
        words = [settings.username, password] if settings.username else [password]
        await _ask(session, reader, "log in", "AUTH", *words)
    if settings.database:
        await _ask(session, reader, "choose the database", "SELECT", str(settings.database))
    session.doing = "waiting for an answer"
    started_at = time.monotonic()
    if not plan.command:
        answer = await _ask(session, reader, "answer PING", "PING")
        session.note("first_byte_ms", started_at)
        session.facts[Source.VALUE] = as_text(answer)
        if as_text(answer).upper() != "PONG":
            raise Trouble(
                Reason.BANNER_MISMATCH,
                f"Expected PONG from {session.place}, got {shown(as_text(answer))}.",
            )
        return
    answer = await _ask(session, reader, "carry out the command", *plan.command)
    session.note("first_byte_ms", started_at)
    session.facts[Source.VALUE] = as_text(answer)
    session.facts[Source.ROWS] = len(answer) if isinstance(answer, list) else 1
    if settings.expected is not None and as_text(answer) != settings.expected:
        raise Trouble(
            Reason.ASSERTION_FAILED,
            f"{plan.command[0]} on {session.place} should give {shown(settings.expected)}, got"
            f" {shown(as_text(answer))}.",
        )


async def _ask(session: Session, reader: Reader, what: str, *words: str) -> Any:
    await session.stream.send(encode(*words))
    try:
        return await reader.answer()
    except RedisError as error:
        reason = Reason.AUTH_FAILED if _is_about_login(str(error)) else Reason.BANNER_MISMATCH
        raise Trouble(
            reason, f"{session.place} did not {what}: it said {shown(str(error))}."
        ) from None


def _is_about_login(error: str) -> bool:
    """Whether a login is missing or wrong; servers before Redis 6 say so with no code of its own,
    and to those a user name is one word too many."""
    return error.startswith(("WRONGPASS", "NOAUTH", "ERR invalid password", "ERR AUTH")) or (
        error.startswith("ERR ") and ("sent AUTH" in error or "'auth' command" in error)
    )


def as_text(answer: Any) -> str:
    """An answer as users write it; (nil) is what redis-cli calls nothing."""
    if answer is None:
        return "(nil)"
    if isinstance(answer, list):
        return "\n".join(map(as_text, answer))
    return str(answer)


async def observe(job: Job, net: Net) -> Observation:
    plan = net.plans.get(job.spec, make_plan)
    return await observe_session(job, net, plan, lambda session: _talk(session, plan))


def clean_target(text: str) -> str:
    host, port = split_host_port(text, default_port=PORT)
    return join_host_port(clean_host(host), port)


KIND = Kind(
    "redis",
    "Redis",
    RedisSettings,
    observe,
    clean_target,
    summary="Connect to Redis or Valkey, log in, and expect a value of a command.",
    target_label="Host and port",
    target_example="cache.example.org:6379",
    sections={
        "": ("username", "password", "database", "query", "expected"),
        "TLS and certificates": ("tls", *TLS_SECTION),
        "Network": NETWORK_SECTION,
    },
)
