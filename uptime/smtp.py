"""Django's SMTP backend with an end: a server that answers byte by byte holds nobody for ever.

`EMAIL_TIMEOUT` limits how long one read waits, and a byte now and then satisfies it. Here a
connection as a whole has `LONGEST_S`, TLS included; then it is shut down under whoever reads.
"""

import contextlib
import smtplib
import socket
from threading import Timer
from typing import Any

from django.core.mail.backends import smtp

LONGEST_S = 60.0


class _Limited(smtplib.SMTP):
    _is_over = False
    _end: Timer | None = None
    _handle: socket.socket | None = None

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = super()._get_socket(host, port, timeout)  # type: ignore[misc]  # not in the stubs
        assert isinstance(sock, socket.socket)
        # A second handle of the same connection: the first one TLS takes for its own.
        self._handle = sock.dup()
        self._end = Timer(LONGEST_S, self._shut, [self._handle])
        self._end.daemon = True
        self._end.start()
        return sock

    def connect(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        try:
            return super().connect(*args, **kwargs)
        except BaseException:
            self.close()
            raise

    def getreply(self) -> tuple[int, bytes]:
        """Whatever it then reads, half an answer included, counts for nothing."""
        try:
            return super().getreply()
        finally:
            if self._is_over:
                raise TimeoutError(f"it took longer than {LONGEST_S:g} s")

    def close(self) -> None:
        super().close()
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _shut(self, handle: socket.socket) -> None:
        self._is_over = True
        with contextlib.suppress(OSError):  # it may be closed by now
            handle.shutdown(socket.SHUT_RDWR)


class _LimitedOverTls(smtplib.SMTP_SSL, _Limited):
    """What SMTP_SSL wraps is `_Limited`'s socket, so that the handshake is limited, too."""


class EmailBackend(smtp.EmailBackend):
    @property
    def connection_class(self) -> Any:
        return _LimitedOverTls if self.use_ssl else _Limited
