"""postgres: connect and log in, and optionally a query with the value that it should give."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from probe import certificates
from probe.kinds.base import Kind
from probe.kinds.database import (
    MAX_ROWS,
    SECTIONS,
    Asking,
    DatabasePlan,
    DatabaseSettings,
    Row,
    broken,
    cleaner,
    errno_in,
    observe_database,
    planner,
)
from probe.net import Net, Trouble
from probe.streams import connect
from probe.values import Job, Observation, Reason

PORT = 5432
MAX_ANSWER_BYTES = 16_777_216
"""How much a server may say in one check."""

_BYTES_RECEIVED = struct.Struct("@128xQ")  # of Linux' tcp_info
_CANCEL_S = 1.0
"""How long a server may take to hear that a query is to end; no check waits for that."""

_CLOSED = "closed the connection unexpectedly"
_SAYS_LITTLE = re.compile(f"{_CLOSED}|no error details available")
_SAID_BY_SERVER = ("FATAL:", "ERROR:", "PANIC:")
_ABOUT_LOGIN = re.compile(
    r"authentication failed|pg_hba\.conf|not permitted to log in|permission denied for database"
    r'|role ".*" does not exist'
)
"""libpq hands on what a server says of a login, but not its SQLSTATE. A server that speaks another
language than English is quoted all the same, only under the wider reason."""
_NO_FILE = "/dev/null/none"
_make_plan = planner(PORT)


async def _ask(asking: Asking) -> list[Row]:
    import psycopg

    plan = asking.plan
    connection = None
    try:
        own = _own_authorities(plan)  # to be kept until libpq has read them
        connection = await _connection_class().connect(
            **_options(plan, asking.address, own), autocommit=True
        )
        asking.connected()
        rows: list[Row] = []
        if plan.settings.query:
            rows = await _rows(connection, plan.settings.query)
            asking.answered()
        return rows
    except _TooMuchError:
        raise Trouble(
            Reason.BODY_TOO_LARGE, f"{plan.place} answered with more than {MAX_ANSWER_BYTES} bytes."
        ) from None
    except psycopg.Error as error:
        if asking.connect_ms is None and _SAYS_LITTLE.search(str(error)):
            await _connect_plainly(asking)
        raise _trouble(asking, error) from None
    except UnicodeError:
        raise asking.unreadable("it sends text that can't be read") from None
    finally:
        if connection is not None:
            await connection.close()


class _TooMuchError(Exception):
    """A server says more than it may."""


@lru_cache(maxsize=1)
def _connection_class() -> type[Any]:
    """The library's connection, for which a server has only so many bytes to say: libpq keeps a
    message of any size. It also ends at once where its time is over; the library waits for the
    server to hear of that."""
    import psycopg
    from psycopg import waiting

    class BoundedConnection(psycopg.AsyncConnection[Any]):
        @classmethod
        def _connect_gen(cls, conninfo: str = "") -> Any:
            return _bounded(super()._connect_gen(conninfo), lambda wanted: wanted[0])

        async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            fd = self.pgconn.socket
            try:
                steps: Any = _bounded(gen, lambda _: fd)
                return await waiting.wait_async(steps, fd, interval=interval, timeout=timeout)
            except asyncio.CancelledError:
                if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                    _cancel_aside(self.pgconn)
                self.pgconn.finish()
                raise

    return BoundedConnection


def _bounded(
    steps: Generator[Any, Any, Any], descriptor_of: Callable[[Any], int]
) -> Generator[Any, Any, Any]:
    """The same steps between which a socket is waited for, while it has not brought too much."""
    ready = None
    while True:
        try:
            wanted = steps.send(ready)
        except StopIteration as end:
            return end.value
        ready = yield wanted
        if _bytes_received(descriptor_of(wanted)) > MAX_ANSWER_BYTES:
            raise _TooMuchError


def _bytes_received(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as same:
        info = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.size)
    if len(info) < _BYTES_RECEIVED.size:  # a kernel that doesn't count
        return 0
    received: int = _BYTES_RECEIVED.unpack(info)[0]
    return received


_cancelling: set[asyncio.Task[None]] = set()


def _cancel_aside(pgconn: Any) -> None:
    """Tell the server that nobody waits for the query any more, beside what else is to do."""
    import psycopg
    from psycopg import generators, waiting

    async def tell(request: Any) -> None:
        with suppress(psycopg.Error):
            await waiting.wait_conn_async(generators.cancel(request), 0.1, _CANCEL_S)

    with suppress(psycopg.Error):
        request = pgconn.cancel_conn()
        request.start()
        task = asyncio.create_task(tell(request))
        _cancelling.add(task)
        task.add_done_callback(_cancelling.discard)


async def _connect_plainly(asking: Asking) -> None:
    """libpq tells of a refusal, as of a reset, that the connection was closed, and nothing where it
    got no socket. Raises Trouble where no connection is made."""
    stream = await connect(asking.plan.host, [asking.address], asking.plan.port)
    stream.close()


async def _rows(connection: Any, query: str) -> list[Row]:
    """Row by row, so that a long answer is never held as a whole."""
    from psycopg.rows import tuple_row

    rows: list[Row] = []
    cursor = connection.cursor(row_factory=tuple_row)
    answer = cursor.stream(query.encode())
    try:
        async for row in answer:
            rows.append(row[:1])
            if len(rows) >= MAX_ROWS:
                break
    finally:
        await answer.aclose()
    return rows


def _options(plan: DatabasePlan, address: str, own: BinaryIO | None) -> dict[str, Any]:
    """Of libpq's: nothing may come from this machine's environment or files."""
    settings = plan.settings
    options: dict[str, Any] = {
        "host": plan.host,
        "hostaddr": address,
        "port": plan.port,
        "user": settings.username or "postgres",
        "password": plan.password,
        "dbname": settings.database or settings.username or "postgres",
        "application_name": "uptime",
        "passfile": _NO_FILE,
        "sslcert": _NO_FILE,
        "sslrootcert": _NO_FILE,
        "gssencmode": "disable",
        "sslmode": "disable",
        "client_encoding": "UTF8",
    }
    if settings.tls:
        options["sslmode"] = "verify-full" if settings.verify_tls else "require"
    if settings.tls and settings.verify_tls:
        options["sslrootcert"] = (
            f"/proc/self/fd/{own.fileno()}" if own else certificates.system_authorities()
        )
    return options


def _own_authorities(plan: DatabasePlan) -> BinaryIO | None:
    """The check's own authorities with the system's, as a file that libpq can read. Raises
    Trouble."""
    pem = plan.settings.ca_certificate
    if pem is None:
        return None
    try:
        return _kept_in_memory(pem)
    except OSError as error:
        raise Trouble(
            Reason.CHECK_ERROR, f"The authorities can't be given to libpq: {error.strerror}."
        ) from None


@lru_cache(maxsize=64)
def _kept_in_memory(own: str) -> BinaryIO:
    """On no disk, that may be full, and gone with the process."""
    system = Path(certificates.system_authorities()).read_bytes()
    file = os.fdopen(os.memfd_create("authorities"), "wb")
    file.write(system + b"\n" + own.encode() + b"\n")
    file.flush()
    return file


def _trouble(asking: Asking, error: Any) -> Trouble:
    """What libpq or the server says, as the cause."""
    words = error.diag.message_primary or str(error)
    if asking.connect_ms is None:
        words = words.removeprefix("connection failed: ").split("failed: ", 1)[-1]
    words = words.split("\n", 1)[0]
    if error.sqlstate is not None or words.startswith(_SAID_BY_SERVER):
        is_about_login = asking.connect_ms is None and _ABOUT_LOGIN.search(words)
        return asking.not_let_in(words) if is_about_login else asking.refused(words)
    if (number := errno_in(words)) is not None:
        return broken(asking, number)
    if "no password supplied" in words:
        return Trouble(
            Reason.AUTH_FAILED, f"{asking.plan.place} asks for a password, and none is given."
        )
    lowered = words.lower()
    if "certificate" in lowered or "ssl" in lowered:
        return _tls_trouble(asking.plan, words)
    if _CLOSED in words:
        return Trouble(
            Reason.CONNECT_RESET, f"{asking.plan.place} closed the connection while {asking.doing}."
        )
    return asking.unreadable(words)


def _tls_trouble(plan: DatabasePlan, words: str) -> Trouble:
    lowered = words.lower()
    for sign, reason in (
        ("does not match host name", Reason.TLS_HOSTNAME),
        ("certificate has expired", Reason.TLS_EXPIRED),
        ("certificate is not yet valid", Reason.TLS_NOT_YET_VALID),
        ("certificate verify failed", Reason.TLS_UNTRUSTED),
        ("self-signed", Reason.TLS_UNTRUSTED),
    ):
        if sign in lowered:
            return Trouble(reason, f"The certificate of {plan.host} is not accepted: {words}.")
    return Trouble(Reason.TLS_HANDSHAKE, f"No TLS with {plan.place}: {words}.")


async def observe(job: Job, net: Net) -> Observation:
    return await observe_database(job, net, net.plans.get(job.spec, _make_plan), _ask)


KIND = Kind(
    "postgres",
    "PostgreSQL",
    DatabaseSettings,
    observe,
    cleaner(PORT),
    summary="Connect to PostgreSQL, log in, and expect a value of a query.",
    target_label="Host and port",
    target_example="db.example.org:5432",
    sections=SECTIONS,
)
