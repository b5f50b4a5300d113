"""What processes cost, by the operating system's own accounting."""

from contextlib import suppress
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
