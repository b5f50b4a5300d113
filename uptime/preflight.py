"""What `up` asks before it starts anything. A refusal is one line and leaves all as it was."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import psycopg

from uptime.environment import (
    data_dir,
    database,
    embedded_socket_dir,
    is_database_embedded,
    listen_address,
)

LOCK_NAME = "up.lock"
# How long a predecessor that was just killed may take to disappear.
PATIENCE_S = 3


class Refusal(Exception):
    """Why the product does not start, in one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a running instance holds for as long as it lives: its directory and its port."""

    directory: Path
    lock: TextIO
    listener: socket.socket


def claim() -> Claim:
    """Check all that can be known beforehand, take directory and port. Raises Refusal."""
    directory = data_dir()
    check_data_dir(directory)
    if not is_database_embedded():
        check_database(database())
    # A second start beside the first would find its port in use as well: the lock tells it better.
    # Where nobody ever started there is no lock yet, and the port comes first, to leave no trace.
    lock = hold_data_dir(directory) if (directory / LOCK_NAME).exists() else None
    listener = listen(*listen_address())
    return Claim(directory, lock or hold_data_dir(directory), listener)


def check_data_dir(directory: Path) -> None:
    """Refuse a directory in which, or the missing directory's parent in which, we can't write."""
    existing = directory
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise Refusal(
            f"the data directory {directory} can't be made: {existing} is not a directory"
        )
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
        raise Refusal(
            f"the data directory {directory} is not writable: change its permissions"
            " or set UPTIME_DATA_DIR to another"
        )


def hold_data_dir(directory: Path) -> TextIO:
    """Lock the directory for this process until it ends, however it ends."""
    path = directory / LOCK_NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+")
    except OSError as error:
        raise Refusal(
            f"the data directory {directory} can't be used ({path.name}: {error.strerror}):"
            " start as the user that it belongs to, or set UPTIME_DATA_DIR to another"
        ) from None
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            lock.seek(0)
            raise Refusal(
                f"another instance (process {lock.read().strip()}) runs on the data directory"
                f" {directory}: stop it, or set UPTIME_DATA_DIR to another"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return lock


def listen(host: str, port: int) -> socket.socket:
    """Take the port. The socket outlives the web process, whose restart so refuses nobody."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise Refusal(f"UPTIME_HOST {host!r} is not an address of this machine") from None
    family, _, _, _, address = found[0]
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            listener.bind(address)
            listener.listen(1024)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            listener.close()
            raise Refusal(_why_not_bound(host, port, error)) from None
        return listener


def _why_not_bound(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use: stop the program that listens there,"
            " or set UPTIME_PORT to another"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} is reserved for root: set UPTIME_PORT to one above 1023"
    return f"can't listen on {host} port {port} (UPTIME_HOST, UPTIME_PORT): {error.strerror}"


def check_database(settings: Mapping[str, Any]) -> None:
    """Connect once to the database of DATABASE_URL."""
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    options = {key: value for key, value in settings["OPTIONS"].items() if key in known}
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    given = {key: settings[name] for key, name in names.items() if settings[name]}
    try:
        psycopg.connect(dbname=settings["NAME"], **given, **options).close()
    except psycopg.OperationalError as error:
        reason = _first_line(error)
        host = settings["HOST"] or options.get("host", "localhost")
        place = f"{host} port {settings['PORT'] or 5432}"
        raise Refusal(
            f"the database at {place} (DATABASE_URL) can't be reached: {reason}"
        ) from None


def explain(error: Exception) -> str | None:
    """One sentence for who ran a command and can mend what its database said; None for the rest.

    Takes Django's errors of the database.
    """
    causes = list(_causes(error))
    if denied := [one for one in causes if isinstance(one, psycopg.errors.InsufficientPrivilege)]:
        return (
            f"the user of DATABASE_URL lacks rights in its database ({_first_line(denied[0])}):"
            " give it CREATE and USAGE on the schema, and the tables that are there"
        )
    if any(isinstance(cause, psycopg.errors.InvalidSchemaName) for cause in causes):
        return (
            "the database of DATABASE_URL has no schema to make tables in:"
            " create one, or see to the user's search_path"
        )
    if any(isinstance(cause, psycopg.errors.UndefinedTable) for cause in causes):
        return "the database lacks tables: run `manage.py migrate` first"
    if any(isinstance(cause, psycopg.errors.UndefinedColumn) for cause in causes):
        return "the database is older than this version: run `manage.py migrate` first"
    if not any(isinstance(cause, psycopg.OperationalError) for cause in causes):
        return None
    if is_database_embedded() and not is_embedded_running():
        return "the embedded database is not running: start `manage.py up`, or set DATABASE_URL"
    return f"the database does not answer: {_first_line(error)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__  # Django chains by either


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].removeprefix("connection failed: ")


def is_embedded_running() -> bool:
    return (embedded_socket_dir() / ".s.PGSQL.5432").exists()
