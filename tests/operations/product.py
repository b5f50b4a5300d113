"""The real product, started as an operator starts it, in a directory of its own."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import psutil
from django.db import connections

from uptime.environment import BASE_DIR

# Other people's work on the machine may slow a start down tenfold; by itself it takes some eight
# seconds the first time, for the migrations, and three from then on.
PATIENCE_S = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Return once the condition holds; processes offer no event to a stranger, so it is asked."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {condition}"
        time.sleep(0.05)


def database_url(name: str, **options: str) -> str:
    """The address of a database on the server of the test run."""
    given = connections.settings["default"]
    host = given["HOST"] or given["OPTIONS"]["host"]
    user = f"{given['USER']}:{quote(given['PASSWORD'], safe='')}"
    query = urlencode(
        {"host": host, **({"port": given["PORT"]} if given["PORT"] else {}), **options}
    )
    return f"postgres://{user}@/{name}?{query}"


def environment(directory: Path, port: int, **variables: str) -> dict[str, str]:
    """A bare environment, as a new user's is, with the data in `directory`."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    places = {"UPTIME_DATA_DIR": str(directory), "UPTIME_PORT": str(port)}
    return {**kept, **places, **variables}


def run_command(
    *arguments: str,
    env: dict[str, str],
    prefix: tuple[str, ...] = (),
    within_s: float = PATIENCE_S,
) -> subprocess.CompletedProcess[str]:
    """Run one of manage.py's commands to its end."""
    return subprocess.run(
        [*prefix, sys.executable, "manage.py", *arguments],
        cwd=BASE_DIR,
        env=env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=within_s,
        check=False,
    )


class Product:
    """One installation; `start` and `stop` as often as wanted."""

    def __init__(self, home: Path) -> None:
        self.directory = home / "data"
        self.output = home / "output.txt"
        self.port = free_port()
        self.env = environment(self.directory, self.port)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        return self.output.read_text()

    def start(self) -> None:
        """Start it and return when it has said its address."""
        with self.output.open("wb") as output:
            self.start_with(lambda command: self._spawn(command, output.fileno()))

    def start_with(self, spawn: Callable[[list[str]], subprocess.Popen[bytes]]) -> None:
        process = self.process = spawn([sys.executable, "manage.py", "up"])
        wait_until(lambda: "Ctrl-C stops it" in self.said or process.poll() is not None)
        assert process.poll() is None, self.said

    def _spawn(self, command: list[str], output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=BASE_DIR,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )

    def processes(self) -> list[psutil.Process]:
        """Every living process that was started with this installation's data directory."""
        return list(self._processes())

    def _processes(self) -> Iterator[psutil.Process]:
        mark = f"UPTIME_DATA_DIR={self.directory}\0".encode()
        for process in psutil.process_iter():
            with contextlib.suppress(OSError, psutil.Error):
                if mark in Path(f"/proc/{process.pid}/environ").read_bytes():
                    yield process

    def child(self, pattern: str) -> psutil.Process | None:
        """The supervisor's child whose command line matches."""
        assert self.process is not None
        for pid in self._children():
            with contextlib.suppress(psutil.Error):
                child = psutil.Process(pid)
                if re.search(pattern, " ".join(child.cmdline())):
                    return child
        return None

    def family(self, pattern: str) -> list[psutil.Process]:
        """The supervisor's child whose command line matches and all that it started."""
        child = self.child(pattern)
        try:
            return [child, *child.children(recursive=True)] if child else []
        except psutil.NoSuchProcess:
            return []

    def _children(self) -> list[int]:
        assert self.process is not None
        pid = self.process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def page(self, path: str = "/") -> int:
        """The status of a page, where redirects lead; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return int(answer.status)
        except OSError:
            return 0

    def kill_all(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait(PATIENCE_S)
