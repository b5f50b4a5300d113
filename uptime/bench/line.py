"""A TCP line to a PostgreSQL that listens on a socket of its own; it can be cut and mended."""

import contextlib
import socket
import threading
from pathlib import Path


class Line:
    """Listens on `port` (0: any) while it is mended; what was connected is cut with it.

    Where PostgreSQL is away, so is the line: who connects is hung up on.
    """

    def __init__(self, socket_dir: Path | str, port: int = 0) -> None:
        self._far = f"{socket_dir}/.s.PGSQL.5432"
        self._open: list[socket.socket] = []
        self.port = port

    def mend(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._open.append(listener)
        threading.Thread(target=self._listen, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _listen(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(self._far)
        except OSError:
            near.close()
            far.close()
            return
        self._open += [near, far]
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=_carry, args=(source, sink), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    """Carry what comes until one side ends, and then end the other."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
