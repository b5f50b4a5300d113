"""libcurl's multi interface on asyncio: many transfers at once, driven by the loop's events.

libcurl says which sockets it waits for; they live in an epoll of their own, and the loop watches
that one descriptor: a socket that comes, changes and goes within a millisecond then costs one
system call each, and events are handled in batches.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterable
from typing import Any, TypeAlias

import pycurl

Handle: TypeAlias = Any
"""A pycurl.Curl (pycurl ships no types)."""

Option: TypeAlias = tuple[int, Any]

_EVENTS = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}
_BROKEN = select.EPOLLHUP | select.EPOLLERR


def text_info(handle: Handle, info: int) -> str:
    """A piece of information that came from the server, whatever bytes it is made of."""
    raw: bytes | None = handle.getinfo_raw(info)
    return raw.decode("utf-8", "replace") if raw else ""


class Transfers:
    """Transfers in flight. Belongs to the loop it was made in."""

    SPARE_HANDLES = 256

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pending: dict[Handle, asyncio.Future[tuple[int, str]]] = {}
        self._spare: list[Handle] = []
        self._due_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._running = 0
        self._registered: set[int] = set()
        self._epoll = select.epoll()
        self._loop.add_reader(self._epoll.fileno(), self._on_ready)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer_wanted)

    def take_handle(self) -> Handle:
        """A clean handle; give it back with `give_back`."""
        return self._spare.pop() if self._spare else pycurl.Curl()

    def give_back(self, handle: Handle) -> None:
        if len(self._spare) < self.SPARE_HANDLES:
            handle.reset()  # no option of one monitor may reach another,
            handle.setopt(pycurl.COOKIELIST, "ALL")  # and no cookie, which a reset keeps
            self._spare.append(handle)
        else:
            handle.close()

    async def perform(self, handle: Handle, options: Iterable[Option]) -> tuple[int, str]:
        """Run one transfer. Returns libcurl's result code and its message; 0 is success."""
        for option, value in options:
            handle.setopt(option, value)
        future: asyncio.Future[tuple[int, str]] = self._loop.create_future()
        self._pending[handle] = future
        self._multi.add_handle(handle)
        self._running += 1
        try:
            return await future
        finally:
            if self._pending.pop(handle, None) is not None:  # cancelled
                self._multi.remove_handle(handle)
                self._running -= 1

    def close(self) -> None:
        for handle in list(self._pending):
            self._multi.remove_handle(handle)
            self._pending.pop(handle).cancel()
        if self._timer is not None:
            self._timer.cancel()
        for handle in self._spare:
            handle.close()
        self._spare.clear()
        self._multi.close()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _on_socket(self, what: int, fd: int, multi: Any, data: Any) -> None:
        """libcurl wants to be told about other events of a socket."""
        if what == pycurl.POLL_REMOVE:
            self._registered.discard(fd)
            self._epoll.unregister(fd)
        elif fd in self._registered:
            self._epoll.modify(fd, _EVENTS[what])
        else:
            self._registered.add(fd)
            self._epoll.register(fd, _EVENTS[what])

    def _on_ready(self) -> None:
        for fd, events in self._epoll.poll(0):
            if fd not in self._registered:  # gone while an earlier event was handled
                continue
            ready = 0
            if events & select.EPOLLIN:
                ready |= pycurl.CSELECT_IN
            if events & select.EPOLLOUT:
                ready |= pycurl.CSELECT_OUT
            if events & _BROKEN:
                ready |= pycurl.CSELECT_ERR
            self._drive(fd, ready)

    def _on_timer_wanted(self, timeout_ms: int) -> None:
        """libcurl wants to be woken in `timeout_ms`, or not at all when it is negative.

        A timer that is set already and rings earlier is kept: most wishes are taken back before
        they come true, and re-arming costs more than one idle ring.
        """
        if timeout_ms < 0:
            self._due_at = None
            return
        self._due_at = self._loop.time() + timeout_ms / 1000
        self._arm(self._due_at)

    def _arm(self, due_at: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= due_at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due_at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._due_at is None:
            return
        if self._due_at > self._loop.time() + 0.001:
            self._arm(self._due_at)
            return
        self._due_at = None
        self._drive(pycurl.SOCKET_TIMEOUT, 0)

    def _drive(self, fd: int, ready: int) -> None:
        _, running = self._multi.socket_action(fd, ready)
        if running < self._running:
            self._collect()

    def _collect(self) -> None:
        """Hand the transfers that have ended to those who wait for them."""
        queued = 1
        while queued:
            queued, passed, failed = self._multi.info_read(100)
            for handle in passed:
                self._finish(handle, 0, "")
            for handle, code, message in failed:
                self._finish(handle, code, message)

    def _finish(self, handle: Handle, code: int, message: str) -> None:
        self._multi.remove_handle(handle)
        self._running -= 1
        future = self._pending.pop(handle)
        if not future.done():
            future.set_result((code, message))
