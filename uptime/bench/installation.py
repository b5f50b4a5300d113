"""The real product, started as an operator starts it, for a benchmark to do its worst to.

`manage.py up` with a database and a port of its own, and beside it a second machine's part: workers
whose clocks are wrong, and whose line to the database can be cut.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
from django.conf import settings

from uptime.bench.line import Line
from uptime.embedded import DATABASE, ROLE, Embedded
from uptime.environment import BASE_DIR

START_WITHIN_S = 120
STOP_WITHIN_S = 20
# The queue, and by how many seconds the clock is wrong.
REMOTE_WORKERS = (("checks", 30), ("default", -30))


class Installation:
    """Start it, kill parts of it, stop it. `home` has to be empty."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._server = Embedded(data=home / "postgres", socket=home / "run")
        self._line = Line(self._server.socket)
        self._up: subprocess.Popen[bytes] | None = None
        self._remote: dict[str, subprocess.Popen[bytes]] = {}
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]

    @property
    def dsn(self) -> str:
        return self._server.dsn

    @property
    def socket_dir(self) -> Path:
        return self._server.socket

    @property
    def output(self) -> Path:
        """What its processes said."""
        return self._home / "output.log"

    def start(self) -> None:
        """Start it, again after `kill_all`; returns when it has said its address."""
        begin = self.output.stat().st_size if self.output.exists() else 0
        self._up = self._spawn("manage.py", "up")
        deadline = time.monotonic() + START_WITHIN_S
        while b"Ctrl-C stops it" not in self.output.read_bytes()[begin:]:
            if self._up.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The product did not start:\n{self.output.read_text()[-2000:]}")
            time.sleep(0.1)

    def start_remote(self) -> None:
        """Start the second machine's workers, each that is not running, and mend their line."""
        with contextlib.suppress(OSError):  # it is mended already
            self._line.mend()
        url = f"postgres://{ROLE}@127.0.0.1:{self._line.port}/{DATABASE}"
        for queue, skew_s in REMOTE_WORKERS:
            if queue not in self._remote or self._remote[queue].poll() is not None:
                self._remote[queue] = self._spawn(
                    *("-m", "uptime.bench.skewed", str(skew_s), "worker", queue), DATABASE_URL=url
                )

    def cut_line(self) -> None:
        self._line.cut()

    def stop(self) -> float:
        """Stop all of it as an operator does; returns how many seconds it took."""
        began = time.monotonic()
        for process in self._remote.values():
            process.terminate()
        for process in self._remote.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_WITHIN_S)
        self._line.cut()
        assert self._up is not None
        self._up.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._up.wait(STOP_WITHIN_S + 10)
        return time.monotonic() - began

    def kill_all(self) -> None:
        """End every process of it at once, as a power cut does."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        for started in (self._up, *self._remote.values()):
            if started is not None:
                started.wait()

    def kill_supervisor(self) -> None:
        """`up` is killed; what it started ends with it."""
        assert self._up is not None
        self._up.kill()
        self._up.wait()

    @contextlib.contextmanager
    def database_alone(self) -> Iterator[None]:
        """The database at rest, without anything that works on it."""
        self._server.prepare()
        process = self._server.start()
        try:
            self._server.wait_until_ready(process)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement on a connection of its own; its rows. Raises psycopg.Error."""
        with psycopg.connect(self.dsn, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Its living processes; of those named, the whole family of each.

        Names are pieces of a command line: `manage.py web`, `worker checks`, `bin/postgres`.
        """
        family: list[psutil.Process] = []
        for root in self._roots():
            with contextlib.suppress(psutil.Error):
                for child in (root, *root.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        if name in " ".join(child.cmdline()):
                            family += [child, *child.children(recursive=True)]
        living = (process for process in dict.fromkeys(family) if process.is_running())
        return sorted(living, key=lambda process: process.pid)

    def _roots(self) -> Iterator[psutil.Process]:
        for process in (self._up, *self._remote.values()):
            if process is not None:
                with contextlib.suppress(psutil.Error):
                    yield psutil.Process(process.pid)

    def _spawn(self, *arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with self.output.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own program, our own arguments
                [sys.executable, *arguments],
                cwd=BASE_DIR,
                env={
                    **kept,
                    "UPTIME_DATA_DIR": str(self._home),
                    "UPTIME_PORT": str(self.port),
                    # Ours, so that what is encrypted here can be read there.
                    "UPTIME_SECRET_KEY": settings.SECRET_KEY,
                    "UPTIME_SHIFT_SECONDS": "20",
                    "UPTIME_LOG_JSON": "true",
                    **variables,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
