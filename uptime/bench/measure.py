"""What processes cost, by the operating system's own accounting."""

from contextlib import suppress

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
