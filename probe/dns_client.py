"""One question to one name server, over UDP, TCP or TLS.

    answer = await ask(question, "9.9.9.9", 53, "udp", deadline)

Raises Trouble where no answer comes; what the server says, failures included, is the answer.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from probe.dns_message import Answer, MalformedError, UnrelatedError, encode_query, read_answer
from probe.dns_words import sentence
from probe.net import Deadline, Trouble, describe_errno, is_address, own_fault, reason_of_errno
from probe.readiness import IN, readiness
from probe.streams import Stream, connect
from probe.values import Reason

Transport = Literal["udp", "tcp", "tls"]

RESOLV_CONF = Path("/etc/resolv.conf")

_FIRST_WAIT_S = 1.0  # then the question is sent again, as a datagram may get lost
_MAX_DATAGRAM = 65_535


@dataclass(frozen=True, slots=True)
class Question:
    name: str
    record_type: int
    type_name: str


@dataclass(frozen=True, slots=True)
class Server:
    """A name server; `title` is how messages call it, in the middle of a sentence. `is_ours`: this
    machine's, so that it is no fault of a target's when nobody is there."""

    address: str
    port: int
    title: str
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Security:
    """How a name server over TLS is verified: the name and the further authorities (PEM)."""

    name: str
    authorities: str | None = None
    verify: bool = True


class OverTcpError(Trouble):
    """A truncated answer that can't be had over TCP either."""


def own_server(resolver: str, default_port: int = 53) -> Server:
    """The one that a check names, `ip`, `ip:port` or `[ip]:port`."""
    address, port = resolver, default_port
    if not is_address(resolver):
        head, _, digits = resolver.rpartition(":")
        address, port = head.strip("[]"), int(digits)
    return Server(address, port, f"the resolver {resolver}")


def system_servers(port: int = 53) -> list[Server]:
    """The name servers of this machine, as resolv.conf(5) has them; its own where there are none.

    Read again a second later, so that a change of it is seen.
    """
    addresses = _read_addresses(str(RESOLV_CONF), int(time.monotonic()))
    return [Server(address, port, "the system's resolver", is_ours=True) for address in addresses]


@lru_cache(maxsize=4)
def _read_addresses(path: str, _second: int) -> tuple[str, ...]:
    try:
        lines = Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    words = [line.split() for line in lines]
    found = [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"]
    usable = tuple(address for address in found[:3] if is_address(address))
    return usable or ("127.0.0.1",)


def check_own_end(server: Server) -> None:
    """Raise Trouble (check_error) where this machine can't even begin to ask, for want of a free
    descriptor, port or way."""
    if number := own_fault(server.address, server.port):
        message = f"{server.title} can't be asked from here: {describe_errno(number)}."
        raise Trouble(Reason.CHECK_ERROR, sentence(message))


async def ask(
    question: Question,
    server: Server,
    transport: Transport,
    deadline: Deadline,
    security: Security | None = None,
) -> Answer:
    """What `server` says to `question`; a truncated answer is asked for again over TCP.

    `security` goes with the transport tls.
    """
    if transport == "udp":
        answer = await _ask_udp(question, server, deadline, has_edns=True)
        if answer.rcode in (
            "FORMERR",
            "NOTIMP",
            "BADVERS",
        ):  # servers from before EDNS, RFC 6891 section 7
            answer = await _ask_udp(question, server, deadline, has_edns=False)
        if not answer.is_truncated:
            return answer
        try:
            return await _ask_stream(question, server, deadline, None)
        except Trouble as trouble:
            raise OverTcpError(
                trouble.reason,
                f"The answer of {server.title} for {question.name} does not fit a datagram, and"
                f" over TCP: {trouble.message}",
            ) from None
    return await _ask_stream(question, server, deadline, security)


# UDP


async def _ask_udp(
    question: Question, server: Server, deadline: Deadline, *, has_edns: bool
) -> Answer:
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            # connected: the kernel keeps other senders out, and tells of a port that is closed
            sock.connect((server.address, server.port))
            exchange = _Exchange(loop, sock, question, deadline, has_edns=has_edns)
            ready = readiness()
            ready.watch(sock.fileno(), IN, exchange.read)
            try:
                exchange.send()
                return await exchange.answer
            finally:
                ready.forget(sock.fileno())
                exchange.close()
    except MalformedError as error:
        raise _malformed(question, server, error) from None
    except TimeoutError as error:
        raise _silent(question, server, deadline, str(error)) from None
    except OSError as error:
        raise _unreachable(question, server, error) from None


class _Exchange:
    """A question under way on a UDP socket, sent again until it is answered or time is up."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        question: Question,
        deadline: Deadline,
        *,
        has_edns: bool,
    ) -> None:
        self.answer: asyncio.Future[Answer] = loop.create_future()
        self._loop = loop
        self._sock = sock
        self._question = question
        self._deadline = deadline
        self._identity = secrets.randbits(16)
        self._query = encode_query(
            self._identity, question.name, question.record_type, has_edns=has_edns
        )
        self._wait_s = min(_FIRST_WAIT_S, deadline.remaining_s / 2)
        self._unrelated = 0
        self._timer: asyncio.TimerHandle | None = None

    def send(self) -> None:
        remaining_s = self._deadline.remaining_s
        if remaining_s <= 0.001:
            if not self.answer.done():
                self.answer.set_exception(TimeoutError(self._strays()))
            return
        self._attempt(lambda: self._sock.send(self._query))
        self._timer = self._loop.call_later(min(self._wait_s, remaining_s), self.send)
        self._wait_s *= 2

    def read(self) -> None:
        self._attempt(self._read)

    def _read(self) -> None:
        data = self._sock.recv(_MAX_DATAGRAM)
        question = self._question
        try:
            answer = read_answer(data, self._identity, question.name, question.record_type)
        except UnrelatedError:
            self._unrelated += 1
        except MalformedError as error:
            if data[:2] == self._query[:2]:
                raise
            self._unrelated += 1
            del error
        else:
            self.answer.set_result(answer)

    def _attempt(self, action: Callable[[], object]) -> None:
        if self.answer.done():
            return
        try:
            action()
        except BlockingIOError:
            return
        except (OSError, MalformedError) as error:
            self.answer.set_exception(error)

    def _strays(self) -> str:
        if not self._unrelated:
            return ""
        count = "1 datagram" if self._unrelated == 1 else f"{self._unrelated} datagrams"
        return f"; {count} came that did not answer the question"

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


# TCP and TLS


async def _ask_stream(
    question: Question, server: Server, deadline: Deadline, security: Security | None
) -> Answer:
    try:
        async with asyncio.timeout(max(deadline.remaining_s, 0)):
            stream = await connect(server.address, [server.address], server.port)
            try:
                if security is not None:
                    await stream.start_tls(
                        security.name, verify=security.verify, authorities=security.authorities
                    )
                return await _exchange_on(stream, question)
            finally:
                stream.close()
    except Trouble as trouble:
        if server.is_ours and trouble.reason.startswith("connect_"):
            raise Trouble(Reason.CHECK_ERROR, trouble.message) from None
        raise
    except (MalformedError, UnrelatedError) as error:
        raise _malformed(question, server, error) from None
    except TimeoutError:
        raise _silent(question, server, deadline, "") from None
    except OSError as error:
        raise _unreachable(question, server, error) from None


async def _exchange_on(stream: Stream, question: Question) -> Answer:
    identity = secrets.randbits(16)
    query = encode_query(identity, question.name, question.record_type, has_edns=True)
    await stream.send(struct.pack("!H", len(query)) + query)
    received = bytearray()
    while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2], "big"):
        data = await stream.receive()
        if not data:
            raise MalformedError("the connection was closed before it was whole")
        received += data
    length = int.from_bytes(received[:2], "big")
    data = bytes(received[2 : 2 + length])
    return read_answer(data, identity, question.name, question.record_type)


# What is said


def _malformed(question: Question, server: Server, error: Exception) -> Trouble:
    how = str(error) or "it answers another question"
    return Trouble(
        Reason.DNS_SERVFAIL,
        sentence(f"{server.title} gave a malformed answer for {question.name}: {how}."),
    )


def _silent(question: Question, server: Server, deadline: Deadline, strays: str) -> Trouble:
    return Trouble(
        Reason.DNS_TIMEOUT,
        sentence(
            f"{server.title} did not answer for {question.name} within {deadline.timeout_s:g} s"
            f"{strays}."
        ),
    )


def _unreachable(question: Question, server: Server, error: OSError) -> Trouble:
    number = error.errno or 0
    reason = reason_of_errno(number)
    if server.is_ours:
        reason = Reason.CHECK_ERROR
    elif reason == Reason.CONNECT_REFUSED:
        reason = Reason.DNS_REFUSED
    return Trouble(
        reason,
        sentence(
            f"{server.title} can't be reached to resolve {question.name}: {describe_errno(number)}."
        ),
    )
