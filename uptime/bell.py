"""What a waiter sleeps on: it wakes for a NOTIFY of the database and for its own threads."""

import socket
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper


class Bell:
    """Wakes whoever waits on it. NOTIFY is a courtesy: who waits must look by himself as well.

    It listens on a database connection of its own, made anew after the database was away. A pooler
    that doesn't pass NOTIFY on costs promptness, nothing else.
    """

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._listener: BaseDatabaseWrapper | None = None
        self._waker, self._wakee = socket.socketpair()
        self._waker.setblocking(False)
        self._wakee.setblocking(False)

    def ring(self) -> None:
        """Wake the waiter, from any thread."""
        # Full: it has been rung so often that it will wake anyway. Closed: nobody waits any more.
        with suppress(OSError):
            self._waker.send(b"!")

    def listen(self) -> None:
        """Listen from now on, if not already. Raises a database error while there is none."""
        if self._listener is None:
            listener = connections.create_connection(DEFAULT_DB_ALIAS)
            with listener.cursor() as cursor:
                cursor.execute(f"LISTEN {self._channel}")
            self._listener = listener

    def wait(self, timeout: float) -> list[str]:
        """Return when it rings or a notification comes, or after `timeout` seconds.

        Returns what the notifications said.
        """
        sources: list[Any] = [self._wakee]
        if self._listener is not None:
            sources.append(self._listener.connection)
        ready = wait(sources, timeout)
        if self._wakee in ready:
            self._hush()
        if self._listener is not None and self._listener.connection in ready:
            return self._take_notifications(self._listener)
        return []

    @property
    def is_listening(self) -> bool:
        return self._listener is not None

    def close(self) -> None:
        self._forget_listener()
        self._waker.close()
        self._wakee.close()

    def _hush(self) -> None:
        with suppress(BlockingIOError):
            while self._wakee.recv(4096):
                pass

    def _take_notifications(self, listener: BaseDatabaseWrapper) -> list[str]:
        try:
            return [one.payload for one in listener.connection.notifies(timeout=0)]
        except psycopg.Error:
            # The database went away; whoever waits finds out at its next query and calls `listen`.
            self._forget_listener()
            return []

    def _forget_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
