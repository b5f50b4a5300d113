"""What processes cost, by the operating system's own accounting."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil


def tree_cpu_s(pid: int) -> float:
    """CPU seconds of a process and all its descendants, those that ended and were reaped too."""
    total = 0.0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


class EngineThreads:
    """CPU seconds of the check engines under a process, by what they were spent on.

    An engine's process is told by its threads' names (`uptime.local_engine`); its main thread is
    the event loop that probes. Shifts come and go, so look once a second or so.
    """

    NAMES: Final = ("lease", "store")

    def __init__(self, root_pid: int) -> None:
        self._root = psutil.Process(root_pid)
        self._first: dict[tuple[str, int], float] = {}
        self._last: dict[tuple[str, int], float] = {}

    def look(self, *, is_first: bool = False) -> None:
        for process in self._root.children(recursive=True):
            with suppress(psutil.Error, OSError):
                self._look_at(process, is_first=is_first)

    def spent_s(self, part: str) -> float:
        """What `part` ("lease", "probe" or "store") took between the first look and the last."""
        return sum(
            cpu_s - self._first.get(thread, 0)
            for thread, cpu_s in self._last.items()
            if thread[0] == part
        )

    def _look_at(self, process: psutil.Process, *, is_first: bool) -> None:
        tasks = Path(f"/proc/{process.pid}/task")
        cpu_s = {thread.id: thread.user_time + thread.system_time for thread in process.threads()}
        names = {id_: (tasks / str(id_) / "comm").read_text().strip() for id_ in cpu_s}
        if not set(self.NAMES) <= set(names.values()):
            return
        names[process.pid] = "probe"
        for id_, spent in cpu_s.items():
            if is_first:
                self._first[names[id_], id_] = spent
            self._last[names[id_], id_] = spent


def tree_memory_mb(pid: int) -> float:
    """Memory of a process and all its descendants in MB; pages that they share count once (PSS)."""
    total = 0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 2**20


def peak_memory_mb() -> float:
    """The most memory that this process ever held, in MB.

    Not getrusage's figure: that one starts with what the parent held when it forked.
    """
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


class Meter:
    """CPU and wall-clock seconds spent inside, here and in PostgreSQL."""

    def __init__(self, postgres_pid: int) -> None:
        self._pid = postgres_pid
        self.cpu_s = self.postgres_cpu_s = self.wall_s = 0.0

    @contextmanager
    def measuring(self) -> Iterator[None]:
        cpu, postgres, wall = time.process_time(), tree_cpu_s(self._pid), time.monotonic()
        yield
        self.wall_s += time.monotonic() - wall
        self.cpu_s += time.process_time() - cpu
        self.postgres_cpu_s += tree_cpu_s(self._pid) - postgres
