"""What a process of ours promises the operating system."""

import ctypes
import gc
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_ENOUGH_FILES = 65_536


def die_with_parent(signum: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to send `signum` to this process when its parent dies (Linux; else nothing).

    The wish is per process and not inherited by fork: each child asks for itself.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), signum)


def name_thread(name: str) -> None:
    """Show this thread under `name`, cut to 15 characters, in `top -H` (Linux; else nothing)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15])


def allow_many_files() -> int:
    """Let this process open as many files as the system lets it; returns how many.

    Each check that runs has a socket, and the usual limit of 1024 is soon reached.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def prepare_to_fork() -> None:
    """Make every process forked from this one, at any depth, end when its own parent dies.

    What is loaded by now is kept out of garbage collections, so that its memory stays shared.
    """
    os.register_at_fork(after_in_child=die_with_parent)
    spare_collections()


def spare_collections() -> None:
    """Keep what is alive by now out of the garbage collections to come: it is there to stay."""
    gc.collect()
    gc.freeze()
