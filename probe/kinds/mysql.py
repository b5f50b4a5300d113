"""mysql: connect and log in to MySQL or MariaDB, and optionally a query with its value."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

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
from probe.values import Job, Observation, Reason

PORT = 3306
MAX_ANSWER_BYTES = 16_777_216
"""How much a server may say in one check."""

_make_plan = planner(PORT)
_NOT_LET_IN = {1044, 1045, 1130, 1251, 1698, 1820, 1862, 3118, 4151}
"""ER_*_DENIED_ERROR, ER_HOST_NOT_PRIVILEGED, ER_NOT_SUPPORTED_AUTH_MODE, ER_MUST_CHANGE_PASSWORD,
and what MySQL (3118) and MariaDB (4151) say of an account that is locked."""


_CLIENT_ERRORS = range(2000, 3000)
"""CR_*: what the library finds; all else is said by the server."""


class _NamedContext(ssl.SSLContext):
    """Verifies one name, whichever address a client library thinks that it connects to."""

    name: str = ""

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        options["server_hostname"] = self.name
        return super().wrap_bio(*arguments, **options)


@lru_cache(maxsize=64)
def _context(name: str, authorities: str | None, *, verify: bool) -> ssl.SSLContext:
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.name = name
    context.hostname_checks_common_name = False
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.load_verify_locations(certificates.system_authorities())
    if authorities:
        context.load_verify_locations(cadata=authorities)
    return context


async def _ask(asking: Asking) -> list[Row]:
    import aiomysql

    plan = asking.plan
    connection = _connection_class()(**_options(plan, asking.address))
    try:
        with _reading(asking):
            await connection._connect()
        if plan.settings.tls and not _is_secured(connection):
            raise Trouble(Reason.TLS_HANDSHAKE, f"{plan.place} offers no TLS.")
        asking.connected()
        if not plan.settings.query:
            return []
        with _reading(asking):
            # never closed: that would read on to the end of a long answer
            cursor = await connection.cursor(aiomysql.SSCursor)
            await cursor.execute(plan.settings.query)
            rows = await cursor.fetchmany(MAX_ROWS)
        asking.answered()
        return [row[:1] for row in rows]
    finally:
        connection.close()


@lru_cache(maxsize=1)
def _connection_class() -> type[Any]:
    """The library's connection, for which a server has only so many bytes to say."""
    import aiomysql

    class BoundedConnection(aiomysql.Connection):  # type: ignore[misc] # it ships no types
        bytes_left = MAX_ANSWER_BYTES

        async def _read_bytes(self, num_bytes: int) -> bytes:
            self.bytes_left -= num_bytes
            if self.bytes_left < 0:
                place = f"{self._host} port {self._port}"
                raise Trouble(
                    Reason.BODY_TOO_LARGE,
                    f"{place} answered with more than {MAX_ANSWER_BYTES} bytes.",
                )
            data: bytes = await super()._read_bytes(num_bytes)
            return data

    return BoundedConnection


@contextmanager
def _reading(asking: Asking) -> Iterator[None]:
    """Round the library's reading of what the server sends, and nothing else: it doubts none of it,
    so whatever it stumbles over there is the server's doing. Raises Trouble."""
    import aiomysql

    try:
        yield
    except aiomysql.Error as error:
        raise _trouble(asking, error) from None
    except (asyncio.IncompleteReadError, EOFError):
        raise Trouble(
            Reason.CONNECT_RESET,
            f"{asking.plan.place} closed the connection while {asking.doing}.",
        ) from None
    except _STUMBLES as error:
        raise asking.unreadable(f"its answer can't be read ({type(error).__name__})") from None


_STUMBLES = (
    ValueError,  # text, numbers and keys that are none
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    UnboundLocalError,  # a greeting that breaks off
    RuntimeError,  # asked for a file of ours, which it doesn't get
    struct.error,
)


def _is_secured(connection: Any) -> bool:
    """The library goes on in the clear where a server offers no TLS, and says so nowhere else."""
    return bool(connection._secure)


def _options(plan: DatabasePlan, address: str) -> dict[str, Any]:
    settings = plan.settings
    context = None
    if settings.tls:
        context = _context(
            plan.host.removesuffix("."), settings.ca_certificate, verify=settings.verify_tls
        )
    return {
        "host": address,
        "port": plan.port,
        "user": settings.username or "root",
        # the library sends Latin-1: so each byte of UTF-8, as MySQL's own client sends it, as one
        "password": plan.password.encode().decode("latin-1"),
        "db": settings.database or None,
        "ssl": context,
        "charset": "utf8mb4",
        "autocommit": None,
        "program_name": "uptime",
        "local_infile": False,
    }


def _trouble(asking: Asking, error: Exception) -> Trouble:
    """What the library or the server says, as the cause."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return certificates.trouble_of(
            cause.verify_code, cause.verify_message, None, asking.plan.host
        )
    if isinstance(cause, ssl.SSLError):
        words = certificates.tail(str(cause))
        return Trouble(Reason.TLS_HANDSHAKE, f"No TLS with {asking.plan.place}: {words}.")
    if isinstance(cause, OSError) and cause.errno:
        return broken(asking, cause.errno)
    code = error.args[0] if error.args else ""
    words = str(error.args[1]) if len(error.args) > 1 else ""
    said = f"{words} ({code})" if words else str(code)
    if isinstance(code, int) and code not in _CLIENT_ERRORS and words:
        is_about_login = asking.connect_ms is None and code in _NOT_LET_IN
        return asking.not_let_in(said) if is_about_login else asking.refused(said)
    if (number := errno_in(words)) is not None:
        return broken(asking, number)
    if "Packet sequence number" in str(error):  # the fourth byte is none of a packet's header
        return Trouble(
            Reason.BANNER_MISMATCH,
            f"What answers at {asking.plan.place} does not speak the protocol of MySQL.",
        )
    if code in (2003, 2006, 2013):  # CR_CONN_HOST_ERROR, CR_SERVER_GONE_ERROR, CR_SERVER_LOST
        return Trouble(
            Reason.CONNECT_RESET, f"{asking.plan.place} closed the connection while {asking.doing}."
        )
    if code == 2026 or "SSL" in words:  # CR_SSL_CONNECTION_ERROR
        return Trouble(Reason.TLS_HANDSHAKE, f"No TLS with {asking.plan.place}: {words}.")
    return asking.refused(said)


async def observe(job: Job, net: Net) -> Observation:
    return await observe_database(job, net, net.plans.get(job.spec, _make_plan), _ask)


KIND = Kind(
    "mysql",
    "MySQL or MariaDB",
    DatabaseSettings,
    observe,
    cleaner(PORT),
    summary="Connect to MySQL or MariaDB, log in, and expect a value of a query.",
    target_label="Host and port",
    target_example="db.example.org:3306",
    sections=SECTIONS,
)
