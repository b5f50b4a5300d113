"""What processes cost, by the operating system's own accounting."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
