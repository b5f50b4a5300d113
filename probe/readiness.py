"""Which sockets are ready, for those that live briefly: an epoll of their own, watched by the loop.

A socket that comes and goes within a few milliseconds costs one system call here; the loop's own
way takes two, and objects for each, which is a tenth of a check that only connects.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from weakref import WeakKeyDictionary

IN = select.EPOLLIN
OUT = select.EPOLLOUT

_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Readiness] = WeakKeyDictionary()


def readiness() -> Readiness:
    """That of the running loop."""
    loop = asyncio.get_running_loop()
    found = _of_loops.get(loop)
    if found is None:
        found = _of_loops[loop] = Readiness(loop)
    return found


class Readiness:
    """Tells who waits for a socket, by its descriptor, that it is ready, broken or at its end.

    A socket is to be forgotten before it is closed: its number goes to another.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # the loop is not kept: what it is the key of must not keep it alive
        self._epoll = select.epoll()
        self._told: dict[int, Callable[[], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._look)

    def watch(self, fd: int, events: int, tell: Callable[[], None]) -> None:
        """Call `tell` whenever the socket is ready, until it is forgotten."""
        self._told[fd] = tell
        self._epoll.register(fd, events)

    async def until(self, fd: int, events: int) -> None:
        """Wait once. A socket has one who waits."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell() -> None:
            if not ready.done():
                ready.set_result(None)

        is_known = fd in self._told
        self._told[fd] = tell
        change = self._epoll.modify if is_known else self._epoll.register
        change(fd, events | select.EPOLLONESHOT)
        await ready

    def forget(self, fd: int) -> None:
        """The socket is about to be closed, which takes it out of the epoll."""
        self._told.pop(fd, None)

    def _look(self) -> None:
        for fd, _ in self._epoll.poll(0):
            tell = self._told.get(fd)
            if tell is None:
                continue
            try:
                tell()
            except Exception as error:  # noqa: BLE001 - the loop's edge: others wait as well
                told = {"message": "A socket that is ready has met an error", "exception": error}
                asyncio.get_running_loop().call_exception_handler(told)
